//! `loadline lint`: what is wrong with policies, without a cluster.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use super::{CommandResult, Exit, cluster::Output};
use crate::{
    config::Config,
    lint::{Environment, Report, Severity, Source, lint},
};

/// Arguments of `lint`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files and directories to look at (*.yaml, *.yml, *.json); `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The operator's configuration, for its profiles and kinds; without it the built-in ones
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to print what was found
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Count warnings as errors
    #[arg(long)]
    strict: bool,
}

/// Why nothing could be looked at.
#[derive(Debug, thiserror::Error)]
enum LintError {
    #[error("cannot read {path}: check the path and its permissions", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} holds no .yaml, .yml or .json file: name a directory with policies", path = path.display())]
    Empty { path: PathBuf },
}

/// Looks at the files and prints what was found.
pub(super) fn run(args: &Args) -> CommandResult {
    let config = args.config.as_deref().map_or_else(|| Ok(Config::default()), Config::load)?;
    let mut sources = Vec::new();
    for path in &args.files {
        sources.extend(read(path)?);
    }
    let report = lint(&sources, &Environment::of(&config))?;
    let text = args.output.render(&report, |report| table(report, sources.len()))?;
    writeln!(io::stdout().lock(), "{}", text.trim_end())?;
    let errors = report.count(Severity::Error);
    let counted = if args.strict { report.findings.len() } else { errors };
    Ok(if counted > 0 { Exit::Findings } else { Exit::Ok })
}

/// The findings and a sum, for people.
fn table(report: &Report, files: usize) -> String {
    let one = |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    let sum = format!(
        "{} in {}: {}, {}",
        one(report.objects, "Loadline object"),
        one(files, "file"),
        one(report.count(Severity::Error), "error"),
        one(report.count(Severity::Warning), "warning")
    );
    report.findings.iter().map(ToString::to_string).chain([sum]).collect::<Vec<_>>().join("\n")
}

/// The texts of a file, of a directory and those in it, or of standard input.
fn read(path: &Path) -> Result<Vec<Source>, LintError> {
    let failed = |source| LintError::Read { path: path.to_owned(), source };
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map_err(failed)?;
        return Ok(vec![Source { name: "-".to_owned(), text }]);
    }
    let mut files = Vec::new();
    find(path, true, &mut files)?;
    if files.is_empty() {
        return Err(LintError::Empty { path: path.to_owned() });
    }
    files
        .into_iter()
        .map(|file| match fs::read_to_string(&file) {
            Ok(text) => Ok(Source { name: file.display().to_string(), text }),
            Err(source) => Err(LintError::Read { path: file, source }),
        })
        .collect()
}

/// The files at and under a path, in order. A file that was named itself may have any extension.
fn find(path: &Path, named: bool, files: &mut Vec<PathBuf>) -> Result<(), LintError> {
    let failed = |source| LintError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.is_dir() {
        let mut entries: Vec<PathBuf> = fs::read_dir(path)
            .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
            .map_err(failed)?;
        entries.sort();
        for entry in &entries {
            find(entry, false, files)?;
        }
    } else if named
        || path.extension().is_some_and(|e| ["yaml", "yml", "json"].iter().any(|known| e == *known))
    {
        files.push(path.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "
apiVersion: loadline.dev/v1alpha1
kind: ElasticPolicy
metadata: {name: checkout, namespace: shop}
spec:
  target: {apiVersion: apps/v1, kind: Deployment, name: checkout}
  bounds: {min: 3, max: MAX}
  load: {profile: otel-http}
";

    fn exit_of(folder: &Path) -> Exit {
        let args = Args { files: vec![folder.to_owned()], config: None, output: Output::Json, strict: false };
        run(&args).unwrap()
    }

    #[test]
    fn a_directory_is_searched_and_a_wrong_policy_in_it_sets_the_exit_code() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        fs::write(folder.path().join("inner/good.yml"), POLICY.replace("MAX", "4")).unwrap();
        fs::write(folder.path().join("notes.txt"), "kind: Nothing").unwrap();
        assert_eq!(exit_of(folder.path()), Exit::Ok);

        let other = POLICY.replace("MAX", "2").replace("checkout", "cart");
        fs::write(folder.path().join("bad.yaml"), other).unwrap();
        assert_eq!(exit_of(folder.path()), Exit::Findings);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("holds no .yaml"));
        let missing = folder.path().join("missing.yaml");
        assert!(read(&missing).unwrap_err().to_string().contains("missing.yaml"));
    }
}
