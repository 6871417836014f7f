//! Sources: Prometheus-compatible endpoints, which clusters they know, and how to be let in.

use std::{collections::BTreeSet, fmt, path::PathBuf, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use loadline_policies::ids::ClusterId;
use reqwest::Url;

use super::{
    error::Complaints,
    pattern::check_label,
    raw::{RawSource, RawWindows},
};

/// A Prometheus-compatible endpoint: Prometheus, Thanos, Mimir, `VictoriaMetrics`.
#[derive(Debug, Clone)]
pub struct Source {
    /// Name, for messages and metrics.
    pub name: String,
    /// Base address; `/api/v1/query` is put behind it.
    pub url: Url,
    /// Which clusters it knows.
    pub reach: Reach,
    /// The only authorities that are trusted, as PEM; the system's where absent.
    pub ca_file: Option<PathBuf>,
    /// What the operator shows to the server.
    pub client_certificate: Option<ClientCertificate>,
    /// Who the operator says that it is.
    pub auth: Auth,
    /// Sent with every query, for example `X-Scope-OrgID`.
    pub headers: Headers,
    /// How long one query may take, from connecting to the last byte.
    pub timeout: Duration,
    /// How many bulk queries are sent to it at the same time; triggers have a number of their own.
    pub concurrency: usize,
    /// How often targets are scraped: a sample older than two scrapes is stale.
    pub scrape_interval: Duration,
    /// The windows that rates are over.
    pub windows: Windows,
    /// Longest answer that is read, in bytes after decompression.
    pub max_answer: usize,
}

/// Which clusters a source knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// One.
    Cluster(ClusterId),
    /// Many, told apart by a label.
    Label {
        /// The label.
        label: String,
        /// Its value for the cluster that the operator runs in.
        home: String,
    },
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The chain.
    pub cert_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
}

/// How the operator is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Anyone is.
    None,
    /// By the token in this file.
    Bearer {
        /// The file.
        token_file: PathBuf,
    },
    /// By name and the password in this file.
    Basic {
        /// The name.
        username: String,
        /// The file.
        password_file: PathBuf,
    },
}

/// Extra headers. Their values may be secret: they are never shown.
#[derive(Clone, Default)]
pub struct Headers(pub HeaderMap);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|name| (name.as_str(), "[redacted]"))).finish()
    }
}

/// The windows that rates are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// What scale-in is judged by.
    pub steady: Duration,
    /// What bursts are seen by; absent where it would not be shorter than `steady`.
    pub burst: Option<Duration>,
}

impl Windows {
    /// The windows for a scrape interval: steady `max(4 scrapes, 60 s)`, burst `max(3 scrapes, 15 s)`.
    ///
    /// A rate needs two samples. Since Prometheus 3 a range is open at its left end, so a window of three
    /// scrapes holds three samples and still two when one scrape fails.
    #[must_use]
    pub fn of(scrape: Duration) -> Self {
        Self::new((scrape * 4).max(Duration::from_mins(1)), (scrape * 3).max(Duration::from_secs(15)))
    }

    fn new(steady: Duration, burst: Duration) -> Self {
        Self { steady, burst: Some(burst).filter(|b| *b < steady) }
    }
}

/// `home` is what telemetry calls the cluster that the operator runs in.
pub(super) fn resolve(raw: Vec<RawSource>, home: &str, complaints: &mut Complaints) -> Vec<Source> {
    let sources: Vec<Source> = raw
        .into_iter()
        .enumerate()
        .filter_map(|(i, source)| resolve_one(source, home, &format!("sources[{i}]"), complaints))
        .collect();
    let (mut names, mut clusters, mut labels) = (BTreeSet::new(), BTreeSet::new(), 0);
    for source in &sources {
        if !names.insert(source.name.as_str()) {
            complaints.add("sources", format!("two are named {:?}", source.name), "give each its own name");
        }
        match &source.reach {
            Reach::Cluster(id) if !clusters.insert(id) => complaints.add(
                "sources",
                format!("two know the cluster {id}"),
                "keep one of them: each cluster is read from one source",
            ),
            Reach::Cluster(_) => {}
            Reach::Label { .. } => labels += 1,
        }
    }
    if labels > 1 {
        complaints.add(
            "sources",
            "more than one has a clusterLabel".into(),
            "keep one global source and give the others their `cluster`",
        );
    }
    sources
}

fn resolve_one(raw: RawSource, home: &str, field: &str, complaints: &mut Complaints) -> Option<Source> {
    let url = resolve_url(&raw.url, field, complaints);
    let reach = resolve_reach(&raw, home, field, complaints);
    let auth = resolve_auth(&raw, field, complaints);
    let headers = resolve_headers(&raw, field, complaints);
    let windows = resolve_windows(&raw.windows, raw.scrape_interval.0, field, complaints);
    if raw.timeout.0.is_zero() {
        complaints.add(
            format!("{field}.timeout"),
            "0s leaves no time to answer".into(),
            "write for example 5s",
        );
    }
    if raw.concurrency == 0 {
        complaints.add(format!("{field}.concurrency"), "0 lets no query through".into(), "write at least 1");
    }
    if raw.max_answer_megabytes == 0 {
        complaints.add(
            format!("{field}.maxAnswerMegabytes"),
            "0 lets no answer through".into(),
            "write for example 64",
        );
    }
    Some(Source {
        name: raw.name,
        url: url?,
        reach,
        ca_file: raw.ca_file,
        client_certificate: raw
            .client_certificate
            .map(|c| ClientCertificate { cert_file: c.cert_file, key_file: c.key_file }),
        auth,
        headers,
        timeout: raw.timeout.0,
        concurrency: raw.concurrency.max(1),
        scrape_interval: raw.scrape_interval.0,
        windows,
        max_answer: usize::try_from(raw.max_answer_megabytes).unwrap_or(usize::MAX).saturating_mul(1 << 20),
    })
}

fn resolve_url(text: &str, field: &str, complaints: &mut Complaints) -> Option<Url> {
    let field = format!("{field}.url");
    let fix = "write for example http://prometheus.monitoring:9090";
    match Url::parse(text) {
        Err(e) => complaints.add(field, format!("not an address: {e}"), fix),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            complaints.add(field, format!("the scheme {} is not known", url.scheme()), fix);
        }
        // Not shown: the text holds the password.
        Ok(url) if url.password().is_some() || !url.username().is_empty() => complaints.add(
            field,
            "the address holds credentials".into(),
            "write them in a Secret, mount it, and name the files in `basicAuth`",
        ),
        Ok(url) => return Some(url),
    }
    None
}

fn resolve_reach(raw: &RawSource, home: &str, field: &str, complaints: &mut Complaints) -> Reach {
    let named = |cluster: &str| if cluster == home { ClusterId::local() } else { ClusterId::new(cluster) };
    match (&raw.cluster, &raw.cluster_label) {
        (None, None) => Reach::Cluster(ClusterId::local()),
        (Some(cluster), None) => Reach::Cluster(named(cluster)),
        (None, Some(label)) => {
            check_label(label, &format!("{field}.clusterLabel"), complaints);
            Reach::Label { label: label.clone(), home: home.to_owned() }
        }
        (Some(cluster), Some(_)) => {
            complaints.add(
                format!("{field}.clusterLabel"),
                "both `cluster` and `clusterLabel` are set".into(),
                "keep `cluster` for a source of one cluster, `clusterLabel` for a global one",
            );
            Reach::Cluster(named(cluster))
        }
    }
}

fn resolve_auth(raw: &RawSource, field: &str, complaints: &mut Complaints) -> Auth {
    match (&raw.bearer_token_file, &raw.basic_auth) {
        (None, None) => Auth::None,
        (Some(token_file), None) => Auth::Bearer { token_file: token_file.clone() },
        (None, Some(basic)) => {
            Auth::Basic { username: basic.username.clone(), password_file: basic.password_file.clone() }
        }
        (Some(_), Some(_)) => {
            complaints.add(
                format!("{field}.basicAuth"),
                "both `bearerTokenFile` and `basicAuth` are set".into(),
                "keep the one that the server wants",
            );
            Auth::None
        }
    }
}

fn resolve_headers(raw: &RawSource, field: &str, complaints: &mut Complaints) -> Headers {
    let mut headers = HeaderMap::new();
    for (name, value) in &raw.headers {
        let field = format!("{field}.headers.{name}");
        let parsed = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()));
        match parsed {
            (Ok(http::header::AUTHORIZATION), _) => complaints.add(
                field,
                "credentials do not belong into the configuration".into(),
                "use `bearerTokenFile` or `basicAuth`",
            ),
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
            (Err(_), _) => complaints.add(field, "not the name of a header".into(), "write it as in HTTP"),
            (_, Err(_)) => {
                complaints.add(field, "not the value of a header".into(), "write one line of visible ASCII");
            }
        }
    }
    Headers(headers)
}

fn resolve_windows(raw: &RawWindows, scrape: Duration, field: &str, complaints: &mut Complaints) -> Windows {
    if scrape < Duration::from_secs(1) {
        complaints.add(
            format!("{field}.scrapeInterval"),
            format!("{} ms is too short", scrape.as_millis()),
            "write at least 1s",
        );
    }
    let default = Windows::of(scrape);
    let steady = raw.steady.map_or(default.steady, |d| d.0);
    let burst = raw.burst.map_or_else(|| (scrape * 3).max(Duration::from_secs(15)), |d| d.0);
    for (name, window) in [("steady", steady), ("burst", burst)] {
        if window < scrape * 3 {
            complaints.add(
                format!("{field}.windows.{name}"),
                format!("{} s is less than three scrapes of {} s", window.as_secs(), scrape.as_secs()),
                "make it longer: a rate needs two samples, also when one scrape fails",
            );
        }
    }
    Windows::new(steady, burst)
}
