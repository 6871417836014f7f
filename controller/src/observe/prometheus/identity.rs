//! Which series belong to whom: keys of asks, and the same keys made of the labels of a row.
//!
//! ```text
//! ask  shop/checkout, Deployment  ──> shape (namespace label, deployment label)  key "0␀local␀shop␀checkout"
//! row  {k8s_namespace_name="shop", k8s_deployment_name="checkout"}        same key ──> same slot
//! ```
//!
//! Asks that find their series in the same way share a shape, so a row is looked up once for each shape (one
//! or two in practice), never once for each ask.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fmt::Write,
};

use loadline_policies::ids::{ClusterId, Target};

use super::pod_owners::PodOwners;
use crate::{
    config::{DefaultMatch, Identity, Place, Reach, Source},
    ports::SeriesSelector,
};

/// Between the parts of a key; no label, namespace or name holds it.
const SEPARATOR: char = '\0';

/// Pods by cluster, as the mapping of one answer sees them.
pub(super) type Owners = HashMap<ClusterId, PodOwners>;

/// Keys of asks to slots.
#[derive(Debug)]
pub(super) struct Index<'p> {
    /// Name of the profile, for messages.
    profile: &'p str,
    identity: &'p Identity,
    cluster: Where<'p>,
    /// Labels to group by.
    pub(super) by: Vec<String>,
    shapes: Vec<Vec<Step>>,
    slots: HashMap<String, usize>,
}

/// Which cluster a row is of.
#[derive(Debug)]
enum Where<'p> {
    /// The one cluster of the source.
    One(ClusterId),
    /// The one that this column names.
    Column {
        column: usize,
        /// What the column says for the operator's own cluster.
        home: &'p str,
        /// What that is called here.
        local: ClusterId,
    },
}

impl Where<'_> {
    /// `None` for a foreign cluster that telemetry calls by the name that the operator's own has here.
    fn of<'r>(&'r self, cell: &impl Fn(usize) -> &'r str) -> Option<&'r str> {
        match self {
            Self::One(id) => Some(id.as_str()),
            Self::Column { column, home, local } => match cell(*column) {
                name if name == *home => Some(local.as_str()),
                name if name == local.as_str() => None,
                name => Some(name),
            },
        }
    }
}

/// One part of a key, made of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A label as it is.
    Label(usize),
    /// The part of a label that a place describes.
    Workload(usize, String),
    Route(usize),
    Service(usize),
    /// The owner of the pod that two labels name.
    Owner {
        namespace: usize,
        pod: usize,
    },
}

impl<'p> Index<'p> {
    pub(super) fn new(profile: &'p str, identity: &'p Identity, source: &'p Source) -> Self {
        let mut by = Vec::new();
        let cluster = match &source.reach {
            Reach::Cluster(id) => Where::One(id.clone()),
            Reach::Label { label, home } => {
                by.push(label.clone());
                Where::Column { column: 0, home, local: ClusterId::local() }
            }
        };
        Self { profile, identity, cluster, by, shapes: Vec::new(), slots: HashMap::new() }
    }

    /// Number of slots.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The slot of an ask in a cluster; what a person must mend where the profile cannot find its series.
    pub(super) fn slot(
        &mut self,
        target: &Target,
        selector: &SeriesSelector,
        cluster: &ClusterId,
    ) -> Result<usize, String> {
        let (shape, parts) = self.locate(target, selector)?;
        let shape = self.shapes.iter().position(|s| *s == shape).unwrap_or_else(|| {
            self.shapes.push(shape);
            self.shapes.len() - 1
        });
        let mut key = start(shape, cluster.as_str());
        for part in &parts {
            push(&mut key, part);
        }
        let next = self.slots.len();
        Ok(*self.slots.entry(key).or_insert(next))
    }

    /// Calls `found` with the slot of each shape that a row belongs to.
    pub(super) fn slots_of(&self, row: &[Cow<'_, str>], owners: &Owners, mut found: impl FnMut(usize)) {
        let cell = |i: usize| row.get(i).map_or("", |c| &**c);
        let Some(cluster) = self.cluster.of(&cell) else { return };
        for (i, shape) in self.shapes.iter().enumerate() {
            let mut key = start(i, cluster);
            let whole =
                shape.iter().all(|step| self.append(&mut key, step, &cell, cluster, owners).is_some());
            if whole && let Some(&slot) = self.slots.get(&key) {
                found(slot);
            }
        }
    }

    fn append<'r>(
        &self,
        key: &mut String,
        step: &Step,
        cell: &impl Fn(usize) -> &'r str,
        cluster: &str,
        owners: &Owners,
    ) -> Option<()> {
        let id = self.identity;
        match step {
            Step::Label(column) => push(key, cell(*column)),
            Step::Workload(column, kind) => {
                push(key, id.workload.as_ref()?.of(kind)?.extract(cell(*column))?);
            }
            Step::Route(column) => push(key, id.route.as_ref()?.extract(cell(*column))?),
            Step::Service(column) => push(key, id.service.as_ref()?.extract(cell(*column))?),
            Step::Owner { namespace, pod } => {
                let owner =
                    owners.get(&ClusterId::new(cluster))?.workload_of(cell(*namespace), cell(*pod))?;
                push(key, &owner.kind);
                push(key, &owner.name);
            }
        }
        Some(())
    }

    /// Whether any ask is found by the owners of pods.
    pub(super) fn needs_owners(&self) -> bool {
        self.shapes.iter().flatten().any(|step| matches!(step, Step::Owner { .. }))
    }

    /// How an ask finds its series, and what stands there for it.
    fn locate(
        &mut self,
        target: &Target,
        selector: &SeriesSelector,
    ) -> Result<(Vec<Step>, Vec<String>), String> {
        let (profile, id) = (self.profile, self.identity);
        let (namespace, name) = (&*target.namespace, &*target.name);
        let missing = |what: &str| format!("profile {profile} cannot find series by {what}");
        let route = || id.route.as_ref().ok_or_else(|| missing("route"));
        let service = || id.service.as_ref().ok_or_else(|| missing("service"));
        match (selector, id.default) {
            (SeriesSelector::Route(name), _) => Ok(self.place(route()?, Step::Route, namespace, name)),
            (SeriesSelector::Profile, DefaultMatch::Route) => {
                Ok(self.place(route()?, Step::Route, namespace, name))
            }
            (SeriesSelector::Service(name), _) => Ok(self.place(service()?, Step::Service, namespace, name)),
            (SeriesSelector::Profile, DefaultMatch::Service) => {
                Ok(self.place(service()?, Step::Service, namespace, name))
            }
            (SeriesSelector::Profile, DefaultMatch::Workload) => {
                let kind = &*target.kind;
                let place = id.workload.as_ref().and_then(|w| w.of(kind)).ok_or_else(|| {
                    format!("profile {profile} has no label for the kind {kind}; give load.match")
                })?;
                Ok(self.place(place, |column| Step::Workload(column, kind.to_owned()), namespace, name))
            }
            (SeriesSelector::Profile, DefaultMatch::Pod) => self.pods(target),
            (SeriesSelector::Labels(labels), _) => self.labels(namespace, labels),
        }
    }

    fn labels(
        &mut self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<(Vec<Step>, Vec<String>), String> {
        let profile = self.profile;
        let known = self.identity.match_labels().ok_or_else(|| {
            format!("profile {profile} has no label with the namespace: its labels could be another's; use match.route or match.service")
        })?;
        let (mut steps, mut parts) = self.namespace(namespace);
        for (label, value) in labels {
            if !known.contains(label.as_str()) {
                return Err(format!(
                    "profile {profile} does not group by the label {label}; add it to its identity.labels"
                ));
            }
            steps.push(Step::Label(self.column(label)));
            parts.push(value.clone());
        }
        Ok((steps, parts))
    }

    fn place(
        &mut self,
        place: &Place,
        step: impl FnOnce(usize) -> Step,
        namespace: &str,
        name: &str,
    ) -> (Vec<Step>, Vec<String>) {
        let (mut steps, mut parts) = self.namespace(namespace);
        steps.push(step(self.column(&place.label)));
        parts.push(place.value.render(namespace, name));
        (steps, parts)
    }

    fn pods(&mut self, target: &Target) -> Result<(Vec<Step>, Vec<String>), String> {
        let id = self.identity;
        let (Some(namespace), Some(pod)) = (&id.namespace, &id.pod) else {
            return Err(format!("profile {} names no labels of pod and namespace", self.profile));
        };
        let (mut steps, mut parts) = self.namespace(&target.namespace);
        steps.push(Step::Owner { namespace: self.column(namespace), pod: self.column(pod) });
        parts.extend([target.kind.to_string(), target.name.to_string()]);
        Ok((steps, parts))
    }

    /// The namespace is part of every key: as a label of its own, or inside of the value of a place. Only a
    /// profile of `anyNamespace` has neither.
    fn namespace(&mut self, namespace: &str) -> (Vec<Step>, Vec<String>) {
        match &self.identity.namespace {
            Some(label) => (vec![Step::Label(self.column(label))], vec![namespace.to_owned()]),
            None => (Vec::new(), Vec::new()),
        }
    }

    fn column(&mut self, label: &str) -> usize {
        self.by.iter().position(|b| b == label).unwrap_or_else(|| {
            self.by.push(label.to_owned());
            self.by.len() - 1
        })
    }
}

fn start(shape: usize, cluster: &str) -> String {
    let mut key = String::with_capacity(64);
    // Writing to a string does not fail.
    let _ = write!(key, "{shape}{SEPARATOR}{cluster}");
    key
}

fn push(key: &mut String, part: &str) {
    key.push(SEPARATOR);
    key.push_str(part);
}
