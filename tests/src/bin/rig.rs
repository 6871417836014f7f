//! Starts and stops the local clusters.

fn main() {}
