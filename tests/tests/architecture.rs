//! The house keeps its shape: who may import whom, how long a file may be, what the core may not know.

#![expect(clippy::expect_used, reason = "a test says what it needs by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use cargo_metadata::{Metadata, MetadataCommand, Package};

/// Imports allowed between our crates, and no others (DESIGN: "The house").
const ALLOWED: &[(&str, &[&str])] = &[
    ("loadline-crds", &[]),
    ("loadline-policies", &[]),
    ("loadline-chaos", &["loadline-policies", "loadline-crds"]),
    ("loadline-dashboards", &["loadline-policies", "loadline-crds"]),
    ("loadline", &["loadline-policies", "loadline-crds", "loadline-chaos", "loadline-dashboards"]),
    (
        "loadline-tests",
        &["loadline", "loadline-policies", "loadline-crds", "loadline-chaos", "loadline-dashboards"],
    ),
];

/// What the pure core must not reach, however indirectly: I/O, runtimes, Kubernetes.
const UNKNOWN_TO_THE_CORE: &[&str] =
    &["kube", "kube-core", "kube-client", "k8s-openapi", "tokio", "reqwest", "hyper", "warp", "rand"];

/// A file holds one idea.
const MAX_LINES: usize = 500;

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).exec().expect("cargo metadata")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

fn ours(metadata: &Metadata) -> BTreeMap<String, &Package> {
    metadata.workspace_packages().into_iter().map(|p| (p.name.to_string(), p)).collect()
}

fn files(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a readable folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|n| n != "target" && n != ".git") {
                files(&path, extension, found);
            }
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
}

#[test]
fn crates_import_only_whom_they_may() {
    let metadata = metadata();
    let ours = ours(&metadata);
    let expected: BTreeSet<_> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(ours.keys().cloned().collect::<BTreeSet<_>>(), expected, "the crates of the house");
    for (name, allowed) in ALLOWED {
        for dependency in &ours[*name].dependencies {
            if ours.contains_key(&dependency.name) {
                assert!(
                    allowed.contains(&dependency.name.as_str()),
                    "{name} imports {}, which DESIGN's house does not allow",
                    dependency.name
                );
            }
        }
    }
}

#[test]
fn the_core_knows_neither_kubernetes_nor_a_runtime() {
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().expect("a resolved graph");
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|n| (&n.id, n)).collect();
    let names: BTreeMap<_, _> = metadata.packages.iter().map(|p| (&p.id, p.name.to_string())).collect();
    let core = &ours(&metadata)["loadline-policies"].id;
    let (mut seen, mut queue) = (BTreeSet::new(), vec![core]);
    while let Some(id) = queue.pop() {
        if !seen.insert(id) {
            continue;
        }
        let normal = nodes[id]
            .deps
            .iter()
            .filter(|d| d.dep_kinds.iter().any(|k| k.kind == cargo_metadata::DependencyKind::Normal));
        queue.extend(normal.map(|d| &d.pkg));
    }
    let reached: BTreeSet<_> = seen.iter().map(|id| names[id].as_str()).collect();
    assert!(reached.contains("jiff"), "the walk over the graph works: {reached:?}");
    for banned in UNKNOWN_TO_THE_CORE {
        assert!(!reached.contains(banned), "loadline-policies reaches {banned}");
    }
}

#[test]
fn every_dependency_is_pinned_in_the_workspace() {
    for (name, package) in ours(&metadata()) {
        let text = fs::read_to_string(&package.manifest_path).expect("a manifest");
        let (mut section, mut loose) = (String::new(), Vec::new());
        for line in text.lines() {
            if let Some(title) = line.strip_prefix('[') {
                title.clone_into(&mut section);
            } else if section.contains("dependencies")
                && line.contains('=')
                && !line.contains("workspace = true")
            {
                loose.push(line.to_owned());
            }
        }
        assert!(loose.is_empty(), "{name} pins outside the workspace: {loose:?}");
    }
}

#[test]
fn a_file_holds_one_idea() {
    let mut found = Vec::new();
    for folder in ["crds", "policies", "controller", "chaos", "dashboards", "tests"] {
        files(&root().join(folder), "rs", &mut found);
    }
    assert!(found.len() > 20, "the walk finds our sources");
    let long: Vec<_> = found
        .iter()
        .map(|path| (fs::read_to_string(path).expect("UTF-8").lines().count(), path))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .collect();
    assert!(long.is_empty(), "over {MAX_LINES} lines: {long:#?}");
}

#[test]
fn main_only_starts_the_library() {
    let main = fs::read_to_string(root().join("controller/src/main.rs")).expect("main.rs");
    assert!(main.lines().count() < 30, "main.rs stays under 30 lines");
}

#[test]
fn nothing_is_ignored_or_allowed() {
    let mut found = Vec::new();
    for folder in ["crds", "policies", "controller", "chaos", "dashboards", "tests"] {
        files(&root().join(folder), "rs", &mut found);
    }
    // Spelt in two halves so that this file does not find itself.
    let banned = [
        concat!("#[ig", "nore"),
        concat!("#[al", "low("),
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
    ];
    for path in found {
        let text = fs::read_to_string(&path).expect("UTF-8");
        for word in banned {
            assert!(!text.contains(word), "{} contains {word}", path.display());
        }
    }
}
