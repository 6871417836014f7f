//! What is known of the telemetry profiles of the operator's configuration, by name.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{DefaultMatch, Place, Profile, Profiles, WorkloadPlaces};

/// The profiles that a policy may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownProfiles(BTreeMap<String, ProfileFacts>);

/// What a profile can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileFacts {
    /// Latency histograms: needed for `weights.latency` and for `objective.latency`.
    pub histogram: bool,
    /// What it tells of endpoints: needed for `weights.endpoints` and `weights.learned`.
    pub endpoints: Endpoints,
    /// Its series exist without the workload (a gateway, a queue): needed to wake it from zero by its load.
    pub outlives_workload: bool,
    /// How it can find the series of a workload.
    pub matches: Matches,
}

/// What a profile tells of endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoints {
    /// Nothing.
    Unknown,
    /// How many requests each has.
    Counted,
    /// That, and what CPU the workload uses: what they cost can be learned.
    CountedWithCpu,
}

impl Endpoints {
    fn of(profile: &Profile) -> Self {
        match (&profile.identity.endpoint, &profile.cpu) {
            (None, _) => Self::Unknown,
            (Some(_), None) => Self::Counted,
            (Some(_), Some(_)) => Self::CountedWithCpu,
        }
    }
}

/// How a profile can find the series of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matches {
    /// In every way, for every kind: a simulated source knows the workloads themselves.
    Anything,
    /// In these ways.
    Only {
        /// Labels that `match.labels` may name; `None` where they could be those of another namespace.
        labels: Option<BTreeSet<String>>,
        /// What `match.route` may be.
        route: Named,
        /// What `match.service` may be.
        service: Named,
        /// Kinds of workload that are found without `match`; `None` for every kind.
        kinds: Option<BTreeSet<String>>,
    },
}

/// What a policy may name a route or a service by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// Nothing: the profile knows none.
    Unknown,
    /// Any text that stands in the label.
    AsInTheLabel,
    /// The name of an object of the policy's namespace; the profile puts the namespace to it.
    InNamespace,
}

impl Named {
    fn of(place: Option<&Place>) -> Self {
        match place {
            None => Self::Unknown,
            Some(place) if place.value.is_namespaced() => Self::InNamespace,
            Some(_) => Self::AsInTheLabel,
        }
    }
}

impl KnownProfiles {
    /// What is known of the profiles of a configuration.
    #[must_use]
    pub fn of(profiles: &Profiles) -> Self {
        let facts = |profile: &Profile| ProfileFacts {
            histogram: profile.histogram.is_some(),
            endpoints: Endpoints::of(profile),
            outlives_workload: profile.independent,
            matches: matches(profile),
        };
        profiles.iter().map(|profile| (profile.name.clone(), facts(profile))).collect()
    }

    /// What the profile can tell, or `None` when there is no such profile.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ProfileFacts> {
        self.0.get(name)
    }

    /// The names, for people: `envoy, otel-http`.
    #[must_use]
    pub fn listed(&self) -> String {
        self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// The names, ascending.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

fn matches(profile: &Profile) -> Matches {
    let identity = &profile.identity;
    let labels = profile.match_labels().map(|labels| labels.into_iter().map(ToOwned::to_owned).collect());
    let kinds = match (identity.default, &identity.workload) {
        (DefaultMatch::Workload, Some(WorkloadPlaces::ByKind(kinds))) => {
            Some(kinds.keys().cloned().collect())
        }
        _ => None,
    };
    let (route, service) = (Named::of(identity.route.as_ref()), Named::of(identity.service.as_ref()));
    Matches::Only { labels, route, service, kinds }
}

impl FromIterator<(String, ProfileFacts)> for KnownProfiles {
    fn from_iter<I: IntoIterator<Item = (String, ProfileFacts)>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}
