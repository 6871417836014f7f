//! The configuration as it is written: field names, defaults, and no unknown field.

use std::{collections::BTreeMap, path::PathBuf};

use loadline_crds::{ApiDuration, elastic_policy::MAX_TRIGGERS};
use loadline_policies::ids::ClusterId;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RawConfig {
    pub(super) sync: ApiDuration,
    pub(super) cluster: String,
    pub(super) sources: Vec<RawSource>,
    /// As YAML values: an entry may override single fields of a built-in profile.
    pub(super) profiles: Vec<serde_yaml::Value>,
    pub(super) scale_targets: Vec<RawTargetKind>,
    pub(super) triggers: RawTriggers,
    pub(super) status: RawStatus,
}

impl Default for RawConfig {
    fn default() -> Self {
        let apps = |kind: &str| RawTargetKind { api_version: "apps/v1".to_owned(), kind: kind.to_owned() };
        Self {
            sync: ApiDuration::secs(5),
            cluster: ClusterId::local().as_str().to_owned(),
            sources: Vec::new(),
            profiles: Vec::new(),
            scale_targets: vec![apps("Deployment"), apps("StatefulSet")],
            triggers: RawTriggers::default(),
            status: RawStatus::default(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawTargetKind {
    pub(super) api_version: String,
    pub(super) kind: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawSource {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) cluster: Option<String>,
    pub(super) cluster_label: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) client_certificate: Option<RawClientCertificate>,
    pub(super) bearer_token_file: Option<PathBuf>,
    pub(super) basic_auth: Option<RawBasicAuth>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default = "five_seconds")]
    pub(super) timeout: ApiDuration,
    #[serde(default = "four")]
    pub(super) concurrency: usize,
    #[serde(default = "fifteen_seconds")]
    pub(super) scrape_interval: ApiDuration,
    #[serde(default)]
    pub(super) windows: RawWindows,
    #[serde(default = "sixty_four")]
    pub(super) max_answer_megabytes: u32,
}

/// One sync: an answer that takes longer would be about a world that is gone.
fn five_seconds() -> ApiDuration {
    ApiDuration::secs(5)
}

/// Prometheus' own default for queries at once is 20; four of them leave it to people and rules.
fn four() -> usize {
    4
}

/// The scrape interval of the Prometheus Operator's and most charts' examples is 15 s or 30 s.
fn fifteen_seconds() -> ApiDuration {
    ApiDuration::secs(15)
}

/// 90,000 bucket series are 10 MB of JSON; this is six times that.
fn sixty_four() -> u32 {
    64
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawClientCertificate {
    pub(super) cert_file: PathBuf,
    pub(super) key_file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawBasicAuth {
    pub(super) username: String,
    pub(super) password_file: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RawWindows {
    pub(super) steady: Option<ApiDuration>,
    pub(super) burst: Option<ApiDuration>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RawTriggers {
    pub(super) namespace_label: String,
    pub(super) source: Option<String>,
    pub(super) max_per_policy: usize,
    pub(super) max_per_namespace: usize,
    pub(super) timeout: ApiDuration,
    pub(super) concurrency: usize,
}

impl Default for RawTriggers {
    fn default() -> Self {
        Self {
            namespace_label: "namespace".to_owned(),
            source: None,
            max_per_policy: MAX_TRIGGERS,
            // A team's namespace may not fill the source for all others: 100 queries a sync are 20 a second.
            max_per_namespace: 100,
            timeout: ApiDuration::secs(2),
            concurrency: 8,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RawStatus {
    pub(super) min_interval: ApiDuration,
}

impl Default for RawStatus {
    fn default() -> Self {
        Self { min_interval: ApiDuration::secs(60) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawProfile {
    pub(super) name: String,
    /// Taken by the merge of profiles before this is read; kept so that a written-out profile reads again.
    #[serde(default, rename = "extends")]
    pub(super) _extends: Option<String>,
    pub(super) description: String,
    #[serde(default)]
    pub(super) experimental: bool,
    #[serde(default)]
    pub(super) independent: bool,
    #[serde(default)]
    pub(super) matchers: Vec<String>,
    pub(super) histogram: Option<RawHistogram>,
    pub(super) requests: Option<RawSeries>,
    pub(super) rejected: Option<RawSeries>,
    pub(super) backlog: Option<RawSeries>,
    pub(super) cpu: Option<RawCpu>,
    pub(super) identity: RawIdentity,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawCpu {
    pub(super) metric: String,
    #[serde(default)]
    pub(super) matchers: Vec<String>,
    pub(super) scrape_interval: Option<ApiDuration>,
    pub(super) namespace: String,
    pub(super) pod: Option<String>,
    pub(super) workload: Option<RawWorkload>,
    pub(super) replica: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawHistogram {
    pub(super) metric: String,
    pub(super) unit: RawUnit,
    #[serde(default)]
    pub(super) matchers: Vec<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) enum RawUnit {
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "ms")]
    Milliseconds,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawSeries {
    pub(super) metric: Option<String>,
    #[serde(default)]
    pub(super) matchers: Vec<String>,
    pub(super) expr: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawIdentity {
    pub(super) default: RawDefaultMatch,
    pub(super) namespace: Option<String>,
    #[serde(default)]
    pub(super) any_namespace: bool,
    pub(super) workload: Option<RawWorkload>,
    pub(super) pod: Option<String>,
    pub(super) route: Option<RawPlace>,
    pub(super) service: Option<RawPlace>,
    #[serde(default)]
    pub(super) labels: Vec<String>,
    pub(super) replica: Option<String>,
    pub(super) endpoint: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum RawDefaultMatch {
    Workload,
    Pod,
    Route,
    Service,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawWorkload {
    pub(super) kinds: Option<BTreeMap<String, RawPlace>>,
    pub(super) label: Option<String>,
    pub(super) pattern: Option<String>,
    pub(super) value: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawPlace {
    pub(super) label: String,
    pub(super) pattern: Option<String>,
    pub(super) value: Option<String>,
}
