//! The rig's binary: the local clusters for a person.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use loadline_tests::binaries::{Found, Origin, Packaged, Tool};

/// Local clusters of real Kubernetes, without containers.
#[derive(Debug, Parser)]
#[command(name = "rig", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Find or build every program that the clusters need, and say where each is.
    Binaries,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Binaries => binaries(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rig: {error}");
            ExitCode::FAILURE
        }
    }
}

fn binaries() -> Result<(), Box<dyn std::error::Error>> {
    for tool in Tool::ALL {
        let Found { path, origin } = tool.get(&|line| eprintln!("{line}"))?;
        println!(
            "{:<24} {:<10} {:<12} {}",
            tool.name(),
            tool.module().version(),
            origin.to_string(),
            path.display()
        );
    }
    for tool in [Packaged::Prometheus, Packaged::Promtool, Packaged::Alertmanager] {
        println!(
            "{:<24} {:<10} {:<12} {}",
            tool.to_string(),
            "packaged",
            Origin::Path.to_string(),
            tool.get()?.display()
        );
    }
    Ok(())
}
