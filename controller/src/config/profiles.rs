//! All profiles by name: the built-in ones, overridden and extended by the user's.

use std::collections::BTreeMap;

use serde_yaml::Value;

use super::{error::Complaints, profile::Profile, raw::RawProfile};

/// The built-in profiles, as they lie in `controller/profiles/`.
const BUILT_IN: [(&str, &str); 12] = [
    ("envoy", include_str!("../../profiles/envoy.yaml")),
    ("ingress-nginx", include_str!("../../profiles/ingress-nginx.yaml")),
    ("istio", include_str!("../../profiles/istio.yaml")),
    ("linkerd", include_str!("../../profiles/linkerd.yaml")),
    ("micrometer", include_str!("../../profiles/micrometer.yaml")),
    ("otel-http", include_str!("../../profiles/otel-http.yaml")),
    ("otel-http-pods", include_str!("../../profiles/otel-http-pods.yaml")),
    ("otel-rpc", include_str!("../../profiles/otel-rpc.yaml")),
    ("queue-kafka", include_str!("../../profiles/queue-kafka.yaml")),
    ("queue-rabbitmq", include_str!("../../profiles/queue-rabbitmq.yaml")),
    ("queue-redis-streams", include_str!("../../profiles/queue-redis-streams.yaml")),
    ("traefik", include_str!("../../profiles/traefik.yaml")),
];

/// All profiles by name.
#[derive(Debug, Clone)]
pub struct Profiles(BTreeMap<String, Profile>);

impl Profiles {
    /// A profile by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Profile> {
        self.0.get(name)
    }

    /// All profiles, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Profile> {
        self.0.values()
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn resolve(user: Vec<Value>, complaints: &mut Complaints) -> Self {
        let mut values = BTreeMap::new();
        for (name, text) in BUILT_IN {
            match serde_yaml::from_str(text) {
                Ok(value) => drop(values.insert(name.to_owned(), (format!("built-in {name}"), value))),
                Err(e) => complaints.add(format!("built-in {name}"), e.to_string(), "report this as a bug"),
            }
        }
        for (i, entry) in user.into_iter().enumerate() {
            let field = format!("profiles[{i}]");
            match merge_user(entry, &values) {
                Ok((name, value)) => drop(values.insert(name, (field, value))),
                Err((problem, fix)) => complaints.add(field, problem, fix),
            }
        }
        let resolve = |(name, (field, value)): (String, (String, Value))| match serde_yaml::from_value::<
            RawProfile,
        >(value)
        {
            Ok(raw) => Some((name, Profile::resolve(raw, &field, complaints))),
            Err(e) => {
                complaints.add(field, e.to_string(), "see the profiles that ship with Loadline");
                None
            }
        };
        Self(values.into_iter().filter_map(resolve).collect())
    }
}

/// The user's entry over what it overrides (the profile of its name) or extends (the one it names).
fn merge_user(
    entry: Value,
    known: &BTreeMap<String, (String, Value)>,
) -> Result<(String, Value), (String, &'static str)> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
    let name = text("name").ok_or_else(|| ("no `name`".to_owned(), "give the profile a name"))?;
    let base = match text("extends") {
        Some(base) => Some(known.get(&base).ok_or_else(|| {
            let names = known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            (
                format!("extends {base:?}, which is none of {names}"),
                "name one of them, defined before this one",
            )
        })?),
        None => known.get(&name),
    };
    let value = match base {
        Some((_, base)) => merge(base.clone(), entry),
        None => entry,
    };
    Ok((name, value))
}

/// Maps are merged key by key; everything else is replaced, and a null takes the field away.
fn merge(base: Value, over: Value) -> Value {
    match (base, over) {
        (Value::Mapping(mut base), Value::Mapping(over)) => {
            for (key, value) in over {
                let merged = match base.remove(&key) {
                    Some(old) => merge(old, value),
                    None => value,
                };
                if !merged.is_null() {
                    base.insert(key, merged);
                }
            }
            Value::Mapping(base)
        }
        (_, over) => over,
    }
}
