//! The past of the load: read from the archive in the background, learned, and handed to the loop.
//!
//! ```text
//! loop ── desk ── who awaits it ──> room: batches ──> course of queries ──> pasts (2 bytes a point)
//!   ^                                                                           │ replayed, one after the other
//!   └──── before the next tick <── desk <── forecasters that have learned ──────┘
//! ```
//!
//! Neither a tick nor a write waits for it. It asks one query at a time, rests as long as each took, and learns on one
//! thread with rests as long: at most half of one connection and half of one core.

pub mod course;
mod desk;
#[cfg(test)]
mod fake;
pub mod learn;
pub mod read;
mod room;

pub use desk::Desk;
pub use room::{News, Wanted, run};
