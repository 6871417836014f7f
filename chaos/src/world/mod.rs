//! The simulated fleet: services, clusters, traffic and telemetry that lies, all moved by one seed.

pub mod service;
