//! `loadline crds`: the custom resource definitions, to standard output or one file each.

use std::{fs, io, io::Write as _, path::PathBuf};

use loadline_crds::generated;

use super::{CommandResult, Exit};

/// Arguments of `crds`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write one file per kind into this directory, instead of everything to standard output
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
}

/// Why the definitions could not be printed.
#[derive(Debug, thiserror::Error)]
enum CrdsError {
    #[error("cannot write {path}: check that the directory exists and is yours", path = path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Prints the definitions, or writes them to files.
pub(super) fn run(args: &Args) -> CommandResult {
    let files = generated()?;
    match &args.dir {
        None => {
            let mut out = io::stdout().lock();
            for (_, yaml) in &files {
                write!(out, "---\n{yaml}")?;
            }
        }
        Some(dir) => {
            for (name, yaml) in &files {
                let path = dir.join(name);
                fs::write(&path, yaml).map_err(|source| CrdsError::Write { path, source })?;
            }
        }
    }
    Ok(Exit::Ok)
}
