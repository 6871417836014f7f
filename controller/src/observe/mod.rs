//! Observation: everything that is read from the world.

pub mod prometheus;
