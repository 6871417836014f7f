//! The rig does what the other tests rely on.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by panicking")]

use std::time::{Duration, Instant};

use loadline_tests::{
    cluster::{Cluster, Options},
    wait::until,
};

#[tokio::test]
async fn a_cluster_comes_up_and_leaves_nothing() {
    let start = Instant::now();
    let cluster = Cluster::start("smoke", &Options::default()).await.unwrap();
    println!("up in {:.1} s", start.elapsed().as_secs_f64());
    let folder = cluster.folder().to_owned();
    drop(cluster);
    assert!(!folder.exists());
    let needle = folder.to_str().unwrap().to_owned();
    until("its processes to end", Duration::from_secs(5), || async {
        let left: Vec<_> = processes().into_iter().filter(|p| p.contains(&needle)).collect();
        if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
    })
    .await
    .unwrap();
    println!("gone after {:.1} s", start.elapsed().as_secs_f64());
}

/// The command lines of all processes.
fn processes() -> Vec<String> {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|e| std::fs::read_to_string(e.path().join("cmdline")).ok())
        .collect()
}
