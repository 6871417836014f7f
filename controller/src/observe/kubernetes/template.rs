//! The identity of a pod template: a number of its containers' images and resources, all that is kept of it.
//!
//! What one replica bears depends on these. A template that differs in an annotation or a probe is no other one: a
//! `kubectl rollout restart` must not make anybody forget what was learned.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What is read of a template, of whatever kind.
#[derive(Deserialize)]
struct Template {
    spec: Pod,
}

#[derive(Deserialize)]
struct Pod {
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    #[serde(default)]
    name: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    resources: Resources,
}

#[derive(Default, Deserialize)]
struct Resources {
    #[serde(default)]
    requests: BTreeMap<String, Value>,
    #[serde(default)]
    limits: BTreeMap<String, Value>,
}

/// The identity of a template; `None` for what is no template.
pub(super) fn of(template: &Value) -> Option<u64> {
    Template::deserialize(template).ok().map(|template| identity_of(&template))
}

/// Reads a template as its identity only. A template that is none gives `None`, never an error.
pub(super) fn identity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(of(&Value::deserialize(deserializer)?))
}

fn identity_of(template: &Template) -> u64 {
    let mut hash = Fnv::default();
    for container in &template.spec.containers {
        hash.word(&container.name);
        hash.word(&container.image);
        for resources in [&container.resources.requests, &container.resources.limits] {
            for (name, quantity) in resources {
                hash.word(name);
                hash.word(&quantity.to_string());
            }
            hash.word("");
        }
    }
    hash.0
}

/// FNV-1a with 64 bits (Fowler, Noll, Vo): it stands in status, so it must be the same in every version.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// Takes a word in, with its end.
    fn word(&mut self, word: &str) {
        for byte in word.bytes().chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(image: &str, cpu: &str, annotation: &str) -> Value {
        json!({"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": annotation}},
            "spec": {"containers": [{"name": "app", "image": image, "env": [],
                "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}], "volumes": []}})
    }

    #[test]
    fn images_and_resources_make_another_template_and_a_restart_does_not() {
        let old = of(&template("cart:1", "500m", "monday"));
        assert!(old.is_some());
        assert_eq!(old, of(&template("cart:1", "500m", "tuesday")));
        assert_ne!(old, of(&template("cart:2", "500m", "monday")));
        assert_ne!(old, of(&template("cart:1", "1", "monday")));
    }

    #[test]
    fn the_identity_is_the_same_in_every_version() {
        // It stands in the status of every policy: another number would take a fifth off all that was learned. This
        // one was made by another program, from the definition of FNV-1a.
        assert_eq!(of(&template("cart:1", "500m", "")), Some(0xac00_5c37_784a_35cb));
    }

    #[test]
    fn what_is_no_template_has_no_identity() {
        for odd in [json!(null), json!({}), json!({"spec": {"containers": 7}}), json!("text")] {
            assert_eq!(of(&odd), None, "{odd}");
        }
    }
}
