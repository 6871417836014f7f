//! One writer: the lease that elects it, and the permit that every write must hold.
//!
//! ```text
//!            Elector (pure)                     Permit (shared)
//! driver ──> next(now): wait, read, write ──┐   deadline, checked before
//!   ^                                       │   every send, less the time
//!   └── on(event, now) <── API server <─────┘   that a send may take
//! ```
//!
//! - Every write of the lease carries the resourceVersion that was read; who loses the race reads again.
//! - Expiry is judged by *locally observed* change on a clock that counts suspend, never by the times in the
//!   object: clocks of machines need not agree. Only time in which the API server answered counts, so that
//!   after its return the old holder renews before anybody else may take over.
//! - The permit ends before anybody else can take over: it is counted from *before* the renewal was sent,
//!   the others count from *after* they saw it, and it is shorter by a margin for clocks that run unequally.
//! - Another holder seen by a process that has held the lease: that process ends ([`Step::Lost`]). It ends too when
//!   somebody else has held the lease and let go of it while it could not look: what it remembers is too old.
//!
//! `model.rs` checks the same `Elector` against crashes, pauses, outages, lost and late requests, drifting clocks.
//!

mod driver;
mod elector;
mod permit;
mod record;

#[cfg(test)]
mod model;

pub use driver::{Driver, LeaseError, LeaseName, Role};
pub use elector::{Claim, Elector, Event, Record, Step, Timing, Write};
pub use permit::{Permit, PermitLapsed, Window};
