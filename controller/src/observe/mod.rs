//! Observation: everything that is read from the world.

pub mod kubernetes;
pub mod prometheus;
