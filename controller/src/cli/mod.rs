//! The command line: one file per command, exit codes that scripts can rely on.
//!
//! `kubectl-loadline` is the same binary: put a link of that name on the PATH and `kubectl loadline …` works.

use std::{error::Error, io::Write as _, path::Path, process::ExitCode};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

mod cluster;
mod completion;
mod crds;
mod demo;
mod explain;
mod freeze;
mod lint;
mod run;
mod simulate;

/// What a command gives back: an exit code, or an error with its causes.
pub type CommandResult = Result<Exit, Box<dyn Error + Send + Sync>>;

/// Exit codes; documented in `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It worked, and there is nothing to complain about.
    Ok = 0,
    /// It could not be done; the message says why and what to do.
    Failed = 1,
    /// The command line is wrong (clap's own code).
    Usage = 2,
    /// It worked, and found something that needs a person: lint errors, a policy that is not Ready.
    Findings = 3,
    /// `run` only: another process holds the lease now, or has held it since. Start again to stand by.
    LeaseLost = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0  it worked
  1  it could not be done; the message says why
  2  the command line is wrong
  3  it worked and found something that needs you (lint errors, a policy that is not Ready)
  4  run: another process holds the lease now, or has held it since; start again to stand by";

/// Keeps services above their load line.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// In alphabetical order, here and in `dispatch`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Print a completion script for your shell
    Completion(completion::Args),
    /// Print the custom resource definitions
    Crds(crds::Args),
    /// Watch the loop work: a simulated day in a few minutes, no cluster needed
    Demo(demo::Args),
    /// Say what was decided for a workload, and why
    Explain(explain::Args),
    /// Stop all automation, with a reason
    Freeze(freeze::FreezeArgs),
    /// Say what is wrong with policies, without a cluster
    Lint(lint::Args),
    /// Run the operator
    Run(run::Args),
    /// Back-test a policy on a recorded load, against other autoscalers
    Simulate(simulate::Args),
    /// Let automation go on, with a reason
    Unfreeze(freeze::UnfreezeArgs),
}

fn dispatch(command: Command) -> CommandResult {
    match command {
        Command::Completion(args) => completion::run(&args),
        Command::Crds(args) => crds::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Freeze(args) => freeze::freeze(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Run(args) => run::run(args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Unfreeze(args) => freeze::unfreeze(&args),
    }
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let command = definition(arguments.first().map(Path::new));
    let cli = match command.try_get_matches_from(arguments).and_then(|m| Cli::from_arg_matches(&m)) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    match dispatch(cli.command) {
        Ok(exit) => exit.into(),
        Err(error) if is_closed_pipe(error.as_ref()) => Exit::Ok.into(),
        Err(error) => {
            complain(error.as_ref());
            Exit::Failed.into()
        }
    }
}

/// The definition of the command line, named as it was called: `loadline` or `kubectl loadline`.
fn definition(called: Option<&Path>) -> clap::Command {
    let plugin = called.and_then(Path::file_stem).is_some_and(|name| name == "kubectl-loadline");
    Cli::command().name("loadline").bin_name(if plugin { "kubectl loadline" } else { "loadline" })
}

/// Says what went wrong, with every cause that the message does not already tell.
fn complain(error: &(dyn Error + 'static)) {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    // Nothing is left to do when even stderr is closed.
    drop(writeln!(std::io::stderr(), "error: {text}"));
}

/// Whether the reader of our output went away (`loadline … | head`), which is not our failure.
fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    // A command may wrap it in an error of its own.
    let mut cause = Some(error);
    while let Some(e) = cause {
        let io = e.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe) {
            return true;
        }
        cause = e.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        definition(None).debug_assert();
    }

    #[test]
    fn called_as_a_plugin_it_names_itself_as_kubectl_does() {
        let called = |name: &str| definition(Some(Path::new(name))).get_bin_name().map(str::to_owned);
        assert_eq!(called("/usr/bin/kubectl-loadline").as_deref(), Some("kubectl loadline"));
        assert_eq!(called("target/debug/loadline").as_deref(), Some("loadline"));
    }

    #[test]
    fn every_exit_code_stands_in_the_help() {
        for exit in [Exit::Ok, Exit::Failed, Exit::Usage, Exit::Findings, Exit::LeaseLost] {
            let line = format!("\n  {}  ", exit as u8);
            assert!(EXIT_CODES.contains(&line), "{exit:?}");
        }
    }
}
