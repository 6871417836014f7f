//! The `loadline` binary; everything is in the library.

fn main() {}
