//! The pure core: every decision of Loadline, as a synchronous function of
//! (observations, policies, memory, now).
//!
//! ```text
//! Fleet (what is seen, age-stamped) ─┐
//! Memory (what must be remembered) ──┼─> load -> desired -> behaviour -> placement -> Plan<Proposed>
//! Now (wall and monotonic time) ─────┘                                    (actions, decisions, reasons)
//! ```
//!
//! Nothing here does I/O, reads a clock or draws randomness, so that every decision can be replayed,
//! simulated, property-tested and explained. The crate knows neither Kubernetes' types nor Prometheus'.

pub mod behaviour;
pub mod capacity;
pub mod conditions;
pub mod desired;
pub mod fleet;
pub mod forecast;
pub mod ids;
pub mod judge;
pub mod latency;
pub mod lead_time;
pub mod load;
pub mod memory;
pub mod now;
pub mod placement;
pub mod plan;
pub mod policy;
pub mod reading;
pub mod reason;
pub mod reference;
