//! The committed definitions are what the types print.

use std::{collections::BTreeSet, env, fs, path::Path};

const UPDATE: &str = "UPDATE=1 cargo test -p loadline-crds --test generated";

#[test]
fn the_committed_definitions_are_what_the_types_print() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated");
    let files = loadline_crds::generated().unwrap();
    if env::var_os("UPDATE").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for (name, yaml) in &files {
            fs::write(folder.join(name), yaml).unwrap();
        }
    }

    let committed: BTreeSet<String> = fs::read_dir(&folder)
        .expect("crds/generated exists")
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let printed: BTreeSet<String> = files.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(committed, printed, "one file per kind; write them with: {UPDATE}");
    for (name, yaml) in &files {
        let committed = fs::read_to_string(folder.join(name)).unwrap();
        assert!(
            committed == *yaml,
            "crds/generated/{name} is not what the types print; write it with: {UPDATE}"
        );
    }
}
