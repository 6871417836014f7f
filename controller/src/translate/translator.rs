//! The translator: parses what has changed since the last tick, and keeps the rest.
//!
//! Ten thousand policies are translated every sync and a hundred of them change: an unchanged object (the
//! same `Arc` of the watch cache) costs a pointer comparison, one whose status only was written a
//! comparison of UID, generation and annotations.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use kube::ResourceExt;
use loadline_crds::ElasticPolicy;
use loadline_policies::{ids::PolicyKey, policy::Policy};

use super::{complaint::Complaint, policy};
use crate::ports::{Objects, SeriesSelector};

/// Holds every policy of the fleet in parsed form.
#[derive(Debug, Default)]
pub struct Translator {
    pub(super) policies: HashMap<PolicyKey, Entry>,
}

/// One policy object and what was made of it.
#[derive(Debug)]
pub(super) struct Entry {
    /// The object that was parsed, or one that differs from it in its status only.
    pub(super) object: Arc<ElasticPolicy>,
    /// What was made of it.
    pub(super) parsed: Result<Parsed, Vec<Complaint>>,
}

/// A parsed policy, with what the telemetry must be asked for it.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    /// The domain value.
    pub(crate) policy: Arc<Policy>,
    /// How its series are found.
    pub(crate) selector: SeriesSelector,
    /// The queries of its triggers, by trigger name.
    pub(super) queries: BTreeMap<String, String>,
}

impl Translator {
    /// A translator that has just read these objects.
    #[must_use]
    pub fn of(objects: &Objects) -> Self {
        let mut translator = Self::default();
        translator.refresh(objects);
        translator
    }

    /// A valid policy.
    pub(crate) fn policy(&self, key: &PolicyKey) -> Option<&Policy> {
        self.policies.get(key)?.parsed.as_ref().ok().map(|parsed| &*parsed.policy)
    }

    /// Takes the policies of `objects`: parses those that are new or changed, forgets those that are gone.
    /// Gives how many were parsed.
    pub fn refresh(&mut self, objects: &Objects) -> usize {
        let mut before = std::mem::take(&mut self.policies);
        self.policies.reserve(objects.policies.len());
        let mut parsed = 0;
        for object in &objects.policies {
            let key = policy::key(object);
            let entry = match before.remove(&key) {
                Some(entry) if Arc::ptr_eq(&entry.object, object) => entry,
                Some(entry) if same_input(&entry.object, object) => {
                    Entry { object: Arc::clone(object), parsed: entry.parsed }
                }
                _ => {
                    parsed += 1;
                    Entry { object: Arc::clone(object), parsed: policy::parse(object) }
                }
            };
            self.policies.insert(key, entry);
        }
        parsed
    }
}

/// Whether two versions of an object make the same policy: the API server raises the generation with every
/// change of the spec, and annotations do not count for it.
fn same_input(a: &ElasticPolicy, b: &ElasticPolicy) -> bool {
    a.metadata.uid == b.metadata.uid
        && a.metadata.generation.is_some()
        && a.metadata.generation == b.metadata.generation
        && super::ANNOTATIONS.iter().all(|name| a.annotations().get(*name) == b.annotations().get(*name))
}
