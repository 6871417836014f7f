//! `rig up`, `status` and `down` as a person runs them, and what is left when the keeper is killed.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by panicking")]

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use loadline_tests::wait::until;
use rustix::process::{Pid, Signal, kill_process};

/// What a `rig` command prints, with the state in a folder of its own.
fn rig(state: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rig"));
    let output = command.args(arguments).env("LOADLINE_RIG_STATE", state).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "rig {arguments:?}: {text}");
    text
}

/// The folder of the hub's run, from the table.
fn hub(table: &str) -> PathBuf {
    let line = table.lines().find(|l| l.starts_with("hub") && l.contains("KUBECONFIG=")).unwrap();
    Path::new(line.split_once('=').unwrap().1).parent().unwrap().to_owned()
}

#[tokio::test]
async fn a_person_starts_it_finds_it_and_ends_it() {
    let state = tempfile::tempdir().unwrap();
    assert!(rig(state.path(), &["status"]).contains("nothing is up"));
    let table = rig(state.path(), &["up", "--clusters", "hub"]);
    let folder = hub(&table);
    assert!(folder.exists() && !table.contains("public-a"), "{table}");
    assert!(table.contains(&rig(state.path(), &["status"])), "status shows the same");
    rig(state.path(), &["down"]);
    assert!(!folder.exists());
    assert!(rig(state.path(), &["status"]).contains("nothing is up"));
}

#[tokio::test]
async fn a_keeper_that_is_killed_leaves_nothing() {
    let state = tempfile::tempdir().unwrap();
    let folder = hub(&rig(state.path(), &["up", "--clusters", "hub"]));
    let text = std::fs::read_to_string(state.path().join("rig-state.json")).unwrap();
    let keeper: serde_json::Value = serde_json::from_str(&text).unwrap();
    let keeper = i32::try_from(keeper["keeper"].as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(keeper).unwrap(), Signal::KILL).unwrap();
    until("the reapers to clean up", Duration::from_secs(30), || async {
        let read = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("cmdline")).ok();
        let lines = std::fs::read_dir("/proc").unwrap().flatten().filter_map(read);
        let left = lines.filter(|line| line.contains(folder.to_str().unwrap())).count();
        if left == 0 && !folder.exists() { Ok(()) } else { Err(format!("{left} processes")) }
    })
    .await
    .unwrap();
    assert!(rig(state.path(), &["status"]).contains("nothing is up"));
}
