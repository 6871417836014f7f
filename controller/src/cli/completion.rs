//! `loadline completion`: a completion script for a shell.

use std::io::Write as _;

use super::{CommandResult, Exit};

/// Arguments of `completion`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which shell
    shell: clap_complete::Shell,
}

/// Prints the script.
pub(super) fn run(args: &Args) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::definition(None), "loadline", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Exit::Ok)
}
