//! The `loadline` binary; everything is in the library.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// A tick over thousands of policies needs much for a moment, and this one gives it back.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    // reqwest and kube share one TLS provider; the only error is that one is installed already.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("loadline: a TLS provider was installed before main; going on with that one");
    }
    loadline_controller::cli::main()
}
