//! Names of things: clusters, policies, scale targets.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use litemap::LiteMap;
use serde::{Serialize, Serializer};

/// The name of a cluster; the one that the operator runs in is [`ClusterId::local`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ClusterId(Arc<str>);

impl ClusterId {
    /// A cluster by its `MemberCluster` name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The cluster that the operator itself runs in.
    #[must_use]
    pub fn local() -> Self {
        static LOCAL: LazyLock<ClusterId> = LazyLock::new(|| ClusterId::new("local"));
        LOCAL.clone()
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something of each cluster. Most workloads are in one: a node of a `BTreeMap` has room for eleven.
pub type ByCluster<V> = LiteMap<ClusterId, V>;

/// Writes a [`ByCluster`] as a map also where it is empty.
pub(crate) fn as_map<V: Serialize, S: Serializer>(map: &ByCluster<V>, s: S) -> Result<S::Ok, S::Error> {
    s.collect_map(map.iter())
}

/// An `ElasticPolicy` by namespace and name; shown as `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// Namespace of the policy and of its target.
    pub namespace: Arc<str>,
    /// Name of the policy.
    pub name: Arc<str>,
}

impl PolicyKey {
    /// A key from its two parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: Arc::from(namespace), name: Arc::from(name) }
    }
}

impl fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Serialize for PolicyKey {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// A scale target: one object with a `/scale` subresource, in the policy's namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Target {
    /// For example `apps/v1`.
    pub api_version: Arc<str>,
    /// For example `Deployment`.
    pub kind: Arc<str>,
    /// Namespace of the object.
    pub namespace: Arc<str>,
    /// Name of the object.
    pub name: Arc<str>,
}

impl Target {
    /// A target from its parts.
    #[must_use]
    pub fn new(api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            api_version: Arc::from(api_version),
            kind: Arc::from(kind),
            namespace: Arc::from(namespace),
            name: Arc::from(name),
        }
    }

    /// The object that it is, under whichever version of its API it was named.
    #[must_use]
    pub fn object(&self) -> TargetObject {
        // A version without a group is one of the core's.
        let group = self.api_version.split_once('/').map_or("", |(group, _)| group);
        TargetObject {
            group: Arc::from(group),
            kind: Arc::clone(&self.kind),
            namespace: Arc::clone(&self.namespace),
            name: Arc::clone(&self.name),
        }
    }
}

/// The object behind a [`Target`]: `apps/v1` and `apps/v1beta2` of one group name the same one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetObject {
    group: Arc<str>,
    kind: Arc<str>,
    namespace: Arc<str>,
    name: Arc<str>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_one_group_are_one_object_and_groups_are_not() {
        let object = |api_version: &str| Target::new(api_version, "Scaler", "shop", "cart").object();
        assert_eq!(object("apps/v1"), object("apps/v1beta2"));
        assert_ne!(object("apps/v1"), object("extensions/v1"));
        assert_eq!(object("v1"), object("v2"), "of the core");
        assert_ne!(object("v1"), object("apps/v1"));
    }
}
