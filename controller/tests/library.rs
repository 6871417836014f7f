//! The policies of the library are met with silence by lint, and are what their file names say.

use std::{fs, path::Path};

use loadline_controller::{
    config::Config,
    lint::{Environment, Source, lint},
};

#[test]
fn every_policy_of_the_library_is_met_with_silence() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/library");
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_none_or(|ext| ext != "yaml") {
            continue;
        }
        let source = Source { name: name.clone(), text: fs::read_to_string(&path).unwrap() };
        let report = lint(&[source], &Environment::of(&Config::default())).unwrap();
        assert_eq!(report.findings, [], "{name}");
        assert_eq!(report.objects, 1, "{name} holds one policy");
        assert!(readme.contains(&format!("]({name})")), "{name} stands in the README");
        seen += 1;
    }
    assert!(seen >= 6, "the library was found: {seen}");
}
