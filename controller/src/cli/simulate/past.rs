//! `--from-prometheus`: the user's own past as a trace, read as the operator reads it at its start.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use loadline_crds::ElasticPolicy;
use loadline_policies::{
    forecast::past::{Past, together},
    ids::{ClusterId, PolicyKey},
    load::weighted::weigh,
    now::Now,
    policy::Weights,
    reading::Doubt,
};
use serde_json::json;

use super::duration;
use crate::{
    closed_loop::{Trace, TraceError},
    config::{Config, ConfigError, Reach},
    history::read::{End, FOR_A_PERSON, Pasts, Step, course, make_room, read},
    observe::prometheus::{PrometheusArchive, PrometheusTelemetry, SharedPodOwners},
    ports::{Archive as _, Detail, LoadAsk, Telemetry as _},
    translate,
};

/// The shortest time that can be asked for: with less there is nothing to test.
const SHORTEST: Duration = Duration::from_hours(1);
/// The longest: further back by five minutes would take more memory and time than it tells.
const LONGEST: Duration = Duration::from_hours(90 * 24);
/// One query may take so long: a person waits, and no tick does.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where the past is read.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// Read the load of the policy's workload from this Prometheus: a URL, or the name of a source in --config
    #[arg(long = "from-prometheus", id = "from_prometheus", requires = "policy", value_name = "URL")]
    address: Option<String>,
    /// How far back it is read; by minute for the last two days, by five minutes before
    #[arg(long, value_parser = since, default_value = "14d", requires = "from_prometheus", value_name = "TIME")]
    since: Duration,
    /// The operator's configuration, for its sources and its telemetry profiles
    #[arg(long, requires = "from_prometheus", value_name = "FILE")]
    config: Option<PathBuf>,
    /// How often the workload is scraped there
    #[arg(long, value_parser = duration, default_value = "15s", requires = "from_prometheus", value_name = "TIME")]
    scrape_interval: Duration,
    /// The file of a bearer token for the Prometheus
    #[arg(long, requires = "from_prometheus", value_name = "FILE")]
    bearer_token_file: Option<PathBuf>,
    /// The authorities that its certificate is checked by, PEM; else the system's
    #[arg(long, requires = "from_prometheus", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// A past that was read.
pub(super) struct Read {
    /// Of whom: `namespace/policy`.
    pub(super) name: String,
    /// The load.
    pub(super) trace: Trace,
}

/// Why no past can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum PastError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the policy is not valid; look at it with: loadline lint FILE")]
    Policy,
    #[error("the load of {policy} cannot be read: {why}")]
    Unreadable { policy: PolicyKey, why: String },
    #[error("{source_name} does not tell the load of {policy}: {doubt}")]
    Failed { source_name: String, policy: PolicyKey, doubt: Doubt },
    #[error(
        "{source_name} has no load of {policy} by the profile {profile}, by minute since {since}: are \
         metadata.namespace, target.name and load.profile those of the workload, does this Prometheus scrape it, and \
         is --scrape-interval right?"
    )]
    Nothing { source_name: String, policy: PolicyKey, profile: String, since: Timestamp },
    #[error("the past of {policy}: {source}")]
    Trace { policy: PolicyKey, source: TraceError },
    #[error("no runtime")]
    Runtime(#[from] std::io::Error),
}

impl Source {
    /// Reads the past, if it is asked for.
    pub(super) fn read(&self, object: &ElasticPolicy) -> Result<Option<Read>, PastError> {
        let Some(address) = &self.address else { return Ok(None) };
        let config = self.config(address)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.fetch(&config, object)).map(Some)
    }

    /// A configuration with the one source that is asked.
    fn config(&self, address: &str) -> Result<Config, PastError> {
        let named = self.config.as_deref().map(Config::load).transpose()?;
        if let Some(mut config) = named.clone()
            && config.sources.iter().any(|source| source.name == address)
        {
            config.sources.retain(|source| source.name == address);
            return Ok(config);
        }
        let ms = |d: Duration| format!("{}ms", d.as_millis());
        let file = |path: &Option<PathBuf>| path.as_deref().map(Path::to_owned);
        let source = json!({
            "name": address, "url": address, "timeout": ms(TIMEOUT), "scrapeInterval": ms(self.scrape_interval),
            "bearerTokenFile": file(&self.bearer_token_file), "caFile": file(&self.ca_file),
        });
        // JSON is YAML.
        let config = Config::parse(&json!({ "sources": [source] }).to_string())?;
        Ok(match named {
            Some(named) => Config { sources: config.sources, ..named },
            None => config,
        })
    }

    async fn fetch(&self, config: &Config, object: &ElasticPolicy) -> Result<Read, PastError> {
        let parsed = translate::parse(object).map_err(|_| PastError::Policy)?;
        let policy = parsed.policy.key.clone();
        let Some(source) = config.sources.first() else { return Err(PastError::Policy) };
        let cluster = match &source.reach {
            Reach::Cluster(id) => id.clone(),
            Reach::Label { .. } => ClusterId::local(),
        };
        let weights = &parsed.policy.load.weights;
        let ask = LoadAsk {
            policy: policy.clone(),
            target: parsed.policy.target.clone(),
            profile: parsed.policy.load.profile.clone(),
            selector: parsed.selector,
            detail: Detail {
                latency: matches!(weights, Weights::Latency(_)),
                endpoints: matches!(weights, Weights::Endpoints(_) | Weights::LearnedEndpoints(_)),
                cpu: false,
            },
            expected: [(cluster, 0)].into(),
            triggers: std::collections::BTreeMap::new(),
        };
        let past = self.read_past(config, &ask).await?;
        let weight = weight(config, &ask, weights).await;
        let points: Vec<_> = together(&past).collect();
        let Some((first, _)) = points.first() else {
            let since = ago(self.since);
            let (source_name, profile) = (source.name.clone(), ask.profile);
            return Err(PastError::Nothing { source_name, policy, profile, since });
        };
        eprintln!("{policy}: {} points since {first}", points.len());
        #[expect(clippy::cast_precision_loss, reason = "Unix seconds")]
        let points = points.into_iter().map(|(at, load)| (at.as_second() as f64, load * weight));
        let trace =
            Trace::of(points).map_err(|source| PastError::Trace { policy: policy.clone(), source })?;
        Ok(Read { name: policy.to_string(), trace })
    }

    async fn read_past(&self, config: &Config, ask: &LoadAsk) -> Result<Vec<Past>, PastError> {
        let archive = PrometheusArchive::new(config);
        let (batches, unreadable) = archive.batches(std::slice::from_ref(ask));
        if let Some(unreadable) = unreadable.into_iter().next() {
            return Err(PastError::Unreadable { policy: unreadable.policy, why: unreadable.why });
        }
        let mut pasts = Pasts::new();
        let until = ago(Duration::from_mins(1));
        make_room(&mut pasts, ask, until, self.since);
        let longest = Past::new(until, self.since);
        let bar = bar();
        for batch in &batches {
            let told = |step: Step| {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "percent")]
                bar.set_position((100.0 * step.share) as u64);
            };
            let mut course = course(batch, &longest);
            let end = read(&archive, batch, &mut course, FOR_A_PERSON, &mut pasts, told).await;
            match end {
                End::Whole => {}
                End::Newest(doubt) => eprintln!("{}: {doubt}: only the newest part was read", batch.source),
                End::Failed(doubt) => {
                    let (source_name, policy) = (batch.source.clone(), ask.policy.clone());
                    return Err(PastError::Failed { source_name, policy, doubt });
                }
            }
        }
        bar.finish_and_clear();
        Ok(pasts.into_values().flat_map(std::collections::BTreeMap::into_values).collect())
    }
}

/// What a request weighs now: the past is a plain count of them.
async fn weight(config: &Config, ask: &LoadAsk, weights: &Weights) -> f64 {
    // Weights that are to be learned have a mean of 1 by themselves.
    if matches!(weights, Weights::Plain | Weights::LearnedEndpoints(_)) {
        return 1.0;
    }
    let telemetry = PrometheusTelemetry::new(config, SharedPodOwners::default());
    let now = Now::new(Timestamp::now(), Duration::ZERO);
    let readings = telemetry.read(std::slice::from_ref(ask), now).await;
    let sample = readings.loads.into_values().find_map(|load| load.steady.ok());
    let weighed = sample.and_then(|sample| weigh(&sample.value, weights).ok());
    let weight = weighed.map(|w| w.weighted / w.requests).filter(|w| w.is_finite() && *w > 0.0);
    match weight {
        Some(weight) => {
            eprintln!("{}: a request weighs {weight:.3} now, and is taken to have weighed that", ask.policy);
        }
        None => eprintln!("{}: what a request weighs cannot be read now: each counts 1", ask.policy),
    }
    weight.unwrap_or(1.0)
}

fn ago(time: Duration) -> Timestamp {
    let now = Timestamp::now();
    now.checked_sub(time).unwrap_or(now)
}

/// A bar on a terminal, nothing elsewhere.
fn bar() -> ProgressBar {
    use std::io::IsTerminal as _;

    match ProgressStyle::with_template("{bar:40} {pos} % of the past was read, {elapsed}") {
        Ok(style) if std::io::stderr().is_terminal() => ProgressBar::new(100).with_style(style),
        _ => ProgressBar::hidden(),
    }
}

/// A time between [`SHORTEST`] and [`LONGEST`].
fn since(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time < SHORTEST {
        return Err(format!(
            "{text} is too short to test anything: write at least 1h, and more than --warmup"
        ));
    }
    if time > LONGEST {
        return Err(format!("{text} is too long: write at most 90d"));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("14d", Ok(14 * 24))]
    #[case("336h", Ok(336))]
    #[case("90d", Ok(90 * 24))]
    #[case("59m", Err("too short"))]
    #[case("91d", Err("too long"))]
    #[case("fortnight", Err("is no time"))]
    #[case("-3d", Err("is no time"))]
    fn days_are_understood_and_what_cannot_be_tested_is_refused(
        #[case] text: &str,
        #[case] hours: Result<u64, &str>,
    ) {
        match (since(text), hours) {
            (Ok(time), Ok(hours)) => assert_eq!(time, Duration::from_hours(hours)),
            (Err(error), Err(says)) => assert!(error.contains(says), "{error}"),
            (other, expected) => panic!("{other:?} instead of {expected:?}"),
        }
    }
}
