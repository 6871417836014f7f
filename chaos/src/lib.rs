//! Fault injection, and the deterministic simulated fleet that it is proven on.
//!
//! ```text
//! world::World  --observe()-->  what an API server and a telemetry source would show
//!      ^                                        │
//!      └-- step(now), apply(…) <── the production tick, through the controller's ports
//! ```

pub mod world;
