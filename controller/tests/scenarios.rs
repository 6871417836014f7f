//! Every scenario of `chaos/scenarios` played through the production loop.

use std::{fs, path::Path};

use loadline_controller::simulated::scenario;

#[test]
fn every_scenario_ends_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chaos/scenarios");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no scenarios found");
    let mut failures = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        let read = scenario::parse(&text)
            .unwrap_or_else(|e| panic!("{name}: {e}: {:?}", std::error::Error::source(&e)));
        assert_eq!(read.name, name, "a scenario is named after its file");
        let run = scenario::run(&read)
            .unwrap_or_else(|e| panic!("{name}: {e}: {:?}", std::error::Error::source(&e)));
        failures.extend(run.failures.into_iter().map(|failure| format!("{name}: {failure}")));
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_scenario_that_expects_nothing_is_refused() {
    let text = "{name: a, story: b, duration: 1m, world: {workloads: []}, policies: [], expect: []}";
    assert!(matches!(scenario::parse(text), Err(scenario::ScenarioError::NoExpectations)));
}
