//! What is known of the telemetry profiles of the operator's configuration, by name.

use std::collections::BTreeMap;

use crate::config::{Profile, Profiles};

/// The profiles that a policy may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownProfiles(BTreeMap<String, ProfileFacts>);

/// What a profile can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileFacts {
    /// Latency histograms: needed for `weights.latency` and for `objective.latency`.
    pub histogram: bool,
    /// Rates by endpoint: needed for `weights.endpoints`.
    pub endpoints: bool,
    /// Its series exist without the workload (a gateway, a queue): needed to wake it from zero by its load.
    pub outlives_workload: bool,
}

impl KnownProfiles {
    /// What is known of the profiles of a configuration.
    #[must_use]
    pub fn of(profiles: &Profiles) -> Self {
        let facts = |profile: &Profile| ProfileFacts {
            histogram: profile.histogram.is_some(),
            endpoints: profile.identity.endpoint.is_some(),
            outlives_workload: profile.independent,
        };
        profiles.iter().map(|profile| (profile.name.clone(), facts(profile))).collect()
    }

    /// What the profile can tell, or `None` when there is no such profile.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<ProfileFacts> {
        self.0.get(name).copied()
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

impl FromIterator<(String, ProfileFacts)> for KnownProfiles {
    fn from_iter<I: IntoIterator<Item = (String, ProfileFacts)>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}
