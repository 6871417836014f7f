//! Translate: custom resources to domain values. Parse, don't validate.
//!
//! ```text
//! Objects ── Translator::refresh ──> parsed policies (cached by identity, UID, generation, annotations)
//!                                      │                       │
//!                                      ├─ asks ──> LoadAsk ──> telemetry ──> Readings
//!                                      └─ fleet(Readings, profiles, now) ──> Fleet
//! ```
//!
//! Everything here is pure. What leaves this room is valid by construction; what could not be parsed leaves
//! it as [`InvalidPolicy`](loadline_policies::fleet::InvalidPolicy) with every complaint, and stands in
//! nobody else's way.

mod activation;
mod against_profile;
mod asks;
mod behaviour;
mod complaint;
mod events;
mod fleet;
mod load;
mod numbers;
mod pause;
mod policy;
mod profiles;
mod schedules;
mod translator;
mod triggers;

pub(crate) use against_profile::against_profile;
pub use complaint::{Complaint, Complaints};
pub use fleet::freeze;
pub(crate) use load::trust;
pub use pause::ANNOTATIONS;
pub(crate) use policy::parse;
pub use policy::policy;
pub use profiles::{Endpoints, KnownProfiles, Matches, ProfileFacts};
pub(crate) use translator::Parsed;
pub use translator::Translator;

/// Most replicas that a policy may name anywhere; the same as in the schema.
pub const MAX_REPLICAS: u32 = loadline_crds::elastic_policy::MAX_REPLICAS.unsigned_abs();
