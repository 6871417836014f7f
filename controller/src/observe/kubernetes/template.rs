//! A pod template, as all that is kept of it: a number of its containers' images and resources, another one of the images
//! alone, and the CPU that a replica asks for.
//!
//! What one replica bears depends on these. A template that differs in an annotation or a probe is no other one: a
//! `kubectl rollout restart` must not make anybody forget what was learned.

use std::collections::BTreeMap;

use loadline_policies::fleet::Footprint;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What is kept of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Of the containers' images and resources.
    pub(super) identity: u64,
    /// What its CPU is judged by.
    pub(super) footprint: Footprint,
}

/// What is read of a template, of whatever kind.
#[derive(Deserialize)]
struct Template {
    spec: Pod,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pod {
    containers: Vec<Container>,
    #[serde(default)]
    init_containers: Vec<Container>,
    /// Of the whole pod: since Kubernetes 1.32 it counts instead of the containers' own.
    #[serde(default)]
    resources: Resources,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    #[serde(default)]
    name: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    resources: Resources,
    #[serde(default)]
    restart_policy: Option<String>,
}

#[derive(Default, Deserialize)]
struct Resources {
    #[serde(default)]
    requests: BTreeMap<String, Value>,
    #[serde(default)]
    limits: BTreeMap<String, Value>,
}

impl Resources {
    /// CPU asked for, in thousandths of a core. Who says a limit only asks for that: so the API server fills it in.
    fn cpu(&self) -> Option<u32> {
        self.requests.get("cpu").or_else(|| self.limits.get("cpu")).and_then(thousandths)
    }
}

/// What is kept of a template; `None` for what is no template.
pub(super) fn of(template: &Value) -> Option<Seen> {
    let template = Template::deserialize(template).ok()?;
    let footprint = Footprint { images: images_of(&template.spec), cpu_request: cpu_request(&template.spec) };
    Some(Seen { identity: identity_of(&template), footprint })
}

/// Reads a template as what is kept of it. A template that is none gives `None`, never an error.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Seen>, D::Error> {
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

fn images_of(pod: &Pod) -> u64 {
    let mut hash = Fnv::default();
    for container in running(pod) {
        hash.word(&container.name);
        hash.word(&container.image);
    }
    hash.0
}

/// What runs as long as the pod does: its containers, and init containers that are restarted (native sidecars).
fn running(pod: &Pod) -> impl Iterator<Item = &Container> {
    let sidecars = pod.init_containers.iter().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    pod.containers.iter().chain(sidecars)
}

/// What a replica asks for. As for an HPA, one container that asks for nothing makes a share of it meaningless.
fn cpu_request(pod: &Pod) -> Option<u32> {
    let sum = || {
        running(pod).try_fold(0_u32, |sum, container| Some(sum.saturating_add(container.resources.cpu()?)))
    };
    pod.resources.cpu().or_else(sum).filter(|request| *request > 0)
}

/// A quantity of CPU in thousandths of a core, rounded up as Kubernetes does; `None` for what is none.
fn thousandths(quantity: &Value) -> Option<u32> {
    let cores = match quantity {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => {
            let suffixes = [("n", 1e-9), ("u", 1e-6), ("m", 1e-3), ("k", 1e3)];
            let scaled = suffixes.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)));
            let (digits, unit) = scaled.unwrap_or((text, 1.0));
            digits.parse::<f64>().ok()? * unit
        }
        _ => return None,
    };
    let thousandths = (cores * 1e3 - 1e-6).ceil();
    let sound = (0.0..=f64::from(u32::MAX)).contains(&thousandths);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number in range")]
    sound.then_some(thousandths as u32)
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
        let identity = of(&template("cart:1", "500m", "")).map(|seen| seen.identity);
        assert_eq!(identity, Some(0xac00_5c37_784a_35cb));
    }

    #[test]
    fn another_request_is_another_footprint_of_the_same_images() {
        let footprint = |image, cpu| of(&template(image, cpu, "")).unwrap().footprint;
        let (half, whole) = (footprint("cart:1", "500m"), footprint("cart:1", "1"));
        assert_eq!((half.cpu_request, whole.cpu_request), (Some(500), Some(1_000)));
        assert_eq!(half.images, whole.images);
        assert_ne!(half.images, footprint("cart:2", "500m").images);
    }

    #[test]
    fn a_replica_asks_for_what_its_containers_and_sidecars_ask_for() {
        let request = |spec: Value| of(&json!({"spec": spec})).unwrap().footprint.cpu_request;
        let asks = |cpu: Value| json!({"name": "c", "resources": {"requests": {"cpu": cpu}}});
        let sidecar =
            json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}});
        let two = json!([asks(json!("250m")), asks(json!(1.5))]);
        // What only prepares the pod is gone when it serves.
        let init = json!([asks(json!("4")), sidecar]);
        assert_eq!(request(json!({"containers": two, "initContainers": init})), Some(1_800));
        // A limit alone is a request; one container without either makes the sum meaningless.
        let limited = json!({"name": "l", "resources": {"limits": {"cpu": "0.2"}}});
        assert_eq!(request(json!({"containers": [limited, asks(json!("100000u"))]})), Some(300));
        assert_eq!(request(json!({"containers": [asks(json!("1")), {"name": "none"}]})), None);
        // A request of the whole pod counts instead.
        let whole = json!({"requests": {"cpu": "2"}});
        assert_eq!(request(json!({"containers": [{"name": "none"}], "resources": whole})), Some(2_000));
        for odd in [json!("much"), json!("-1"), json!("NaN"), json!([]), json!("0")] {
            assert_eq!(request(json!({"containers": [asks(odd.clone())]})), None, "{odd}");
        }
    }

    #[test]
    fn what_is_no_template_has_no_identity() {
        for odd in [json!(null), json!({}), json!({"spec": {"containers": 7}}), json!("text")] {
            assert_eq!(of(&odd), None, "{odd}");
        }
    }
}
