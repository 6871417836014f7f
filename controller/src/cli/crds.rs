//! `loadline crds`: the custom resource definitions, to standard output or one file each.

use std::{fs, io, io::Write as _, path::PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResourceExt as _, ResourceExt as _};
use loadline_crds::{ElasticPolicy, SafetyLever};

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
    let all = [ElasticPolicy::crd(), SafetyLever::crd()];
    match &args.dir {
        None => {
            let mut out = io::stdout().lock();
            for crd in &all {
                write!(out, "---\n{}", yaml(crd)?)?;
            }
        }
        Some(dir) => {
            for crd in &all {
                let path = dir.join(format!("{}.yaml", crd.name_any()));
                fs::write(&path, yaml(crd)?).map_err(|source| CrdsError::Write { path, source })?;
            }
        }
    }
    Ok(Exit::Ok)
}

fn yaml(crd: &CustomResourceDefinition) -> Result<String, serde_yaml::Error> {
    serde_yaml::to_string(crd)
}
