//! The ports over the simulated fleet: the production translate, tick and record run unchanged over it.
//!
//! ```text
//! chaos::world::World <── SimulatedFleet: Clock, FleetSource, Telemetry, Actuator
//!                                  ^
//!                          Drive: step, then one whole sync; Scenario: a drive and its expectations
//! ```
//!
//! Nothing here decides anything. The adapter's futures never wait, so a run is as fast as the tick.

mod drive;
pub mod expect;
mod fleet;
mod reading;
pub mod scenario;

pub use drive::{Drive, Invariant};
pub use fleet::SimulatedFleet;
pub use reading::profiles;
