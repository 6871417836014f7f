//! The committed definitions are what the types print.

use std::{collections::BTreeSet, env, fs, path::Path};

const UPDATE: &str = "UPDATE=1 cargo test -p loadline-crds --test generated";

/// The second is a copy: Helm packages nothing that lies outside of a chart's folder.
const FOLDERS: [&str; 2] = ["generated", "../charts/loadline/files/crds"];

#[test]
fn the_committed_definitions_are_what_the_types_print() {
    let files = loadline_crds::generated().unwrap();
    for folder in FOLDERS.map(|f| Path::new(env!("CARGO_MANIFEST_DIR")).join(f)) {
        if env::var_os("UPDATE").is_some() {
            fs::create_dir_all(&folder).unwrap();
            for (name, yaml) in &files {
                fs::write(folder.join(name), yaml).unwrap();
            }
        }

        let committed: BTreeSet<String> = fs::read_dir(&folder)
            .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let printed: BTreeSet<String> = files.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(committed, printed, "one file per kind; write them with: {UPDATE}");
        for (name, yaml) in &files {
            let path = folder.join(name);
            assert!(
                fs::read_to_string(&path).unwrap() == *yaml,
                "{} is not what the types print; write it with: {UPDATE}",
                path.display()
            );
        }
    }
}

/// Every `x-kubernetes-validations` of a schema and of the schemas in it.
fn rules(schema: &serde_json::Value, found: &mut Vec<serde_json::Value>) {
    match schema {
        serde_json::Value::Object(map) => {
            found.extend(
                map.get("x-kubernetes-validations").and_then(|r| r.as_array()).into_iter().flatten().cloned(),
            );
            map.values().for_each(|value| rules(value, found));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| rules(item, found)),
        _ => {}
    }
}

#[test]
fn every_rule_says_what_is_wrong_and_how_to_fix_it() {
    let mut found = Vec::new();
    for crd in loadline_crds::definitions() {
        rules(&serde_json::to_value(crd).unwrap(), &mut found);
    }
    assert!(found.len() > 20, "the rules were found: {}", found.len());
    for rule in found {
        let message = rule["message"].as_str().unwrap_or_else(|| panic!("{rule} has a message"));
        let (problem, fix) = message.split_once(": ").unwrap_or_else(|| panic!("{message:?}: PROBLEM: FIX"));
        assert!(!problem.is_empty() && !fix.is_empty(), "{message}");
        assert!(message.len() <= 256, "short enough to read in a terminal: {message}");
    }
}

#[test]
fn every_list_text_and_map_has_a_limit() {
    // Without limits, the API server takes the worst case for the cost of a rule, and a typing error that
    // repeats a list ten thousand times is stored.
    fn check(schema: &serde_json::Value, path: &str) {
        let has = |keyword: &str| schema.get(keyword).is_some();
        let limited = match schema.get("type").and_then(|t| t.as_str()) {
            Some("array") => has("maxItems"),
            Some("string") => has("maxLength") || has("enum") || has("format"),
            Some("object") => has("properties") || has("maxProperties"),
            _ => true,
        };
        assert!(limited, "{path} has no limit: {schema}");
        for (name, property) in schema.get("properties").and_then(|p| p.as_object()).into_iter().flatten() {
            check(property, &format!("{path}.{name}"));
        }
        for inner in ["items", "additionalProperties"] {
            schema.get(inner).into_iter().for_each(|s| check(s, &format!("{path}[]")));
        }
    }
    for crd in loadline_crds::definitions() {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
        check(&schema["openAPIV3Schema"]["properties"]["spec"], &crd.spec.names.kind);
    }
}
