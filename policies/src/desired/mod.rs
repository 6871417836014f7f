//! How many replicas a workload should have: what each source says, and what follows from all of it.

pub mod formula;
