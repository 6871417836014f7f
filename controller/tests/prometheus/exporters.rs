//! Exporters: pages as real ones write them, with counters that grow as the page says.
//!
//! The numbers of counters on a recorded page are what they grow by in a second; gauges stay as they are.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use warp::{Filter, Reply, http::StatusCode, reply::Response};

/// Grows, although its exporter calls it a gauge (kafka_exporter).
const GROWING_GAUGES: [&str; 1] = ["kafka_topic_partition_current_offset"];

/// How an exporter behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Behaviour {
    /// Answers.
    Live,
    /// Answers, and starts again from zero every so often.
    Restarting(Duration),
    /// Answers HTTP 500.
    Down,
    /// Writes timestamps of its own, as a collector does that forwards samples; they stop at this moment.
    Stamped { until: Option<SystemTime> },
}

/// One exporter.
#[derive(Debug, Clone)]
struct Exporter {
    page: String,
    behaviour: Behaviour,
}

/// A server of many exporters, each at `/metrics/<name>`.
#[derive(Debug, Clone)]
pub(crate) struct Exporters {
    pub(crate) port: u16,
    exporters: Arc<Mutex<BTreeMap<String, Exporter>>>,
}

impl Exporters {
    /// Serves until the test ends.
    pub(crate) async fn serve() -> Self {
        let exporters: Arc<Mutex<BTreeMap<String, Exporter>>> = Arc::default();
        let started = Instant::now();
        let shared = Arc::clone(&exporters);
        let route = warp::path!("metrics" / String)
            .map(move |name: String| answer(&shared.lock().unwrap(), &name, started.elapsed()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(warp::serve(route).incoming(listener).run());
        Self { port, exporters }
    }

    /// Adds an exporter.
    pub(crate) fn add(&self, name: &str, page: String) {
        let exporter = Exporter { page, behaviour: Behaviour::Live };
        self.exporters.lock().unwrap().insert(name.to_owned(), exporter);
    }

    /// Changes how an exporter behaves.
    pub(crate) fn behave(&self, name: &str, behaviour: Behaviour) {
        self.exporters.lock().unwrap().get_mut(name).unwrap().behaviour = behaviour;
    }
}

fn answer(exporters: &BTreeMap<String, Exporter>, name: &str, elapsed: Duration) -> Response {
    let Some(exporter) = exporters.get(name) else { return StatusCode::NOT_FOUND.into_response() };
    let page = &exporter.page;
    let text = match exporter.behaviour {
        Behaviour::Down => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Behaviour::Live => grown(page, elapsed.as_secs_f64(), None),
        Behaviour::Restarting(life) => grown(page, elapsed.as_secs_f64() % life.as_secs_f64(), None),
        Behaviour::Stamped { until } => {
            let now = SystemTime::now();
            let at = until.unwrap_or(now).min(now);
            let behind = now.duration_since(at).unwrap_or_default();
            grown(page, elapsed.saturating_sub(behind).as_secs_f64(), Some(at))
        }
    };
    warp::reply::with_header(text, "content-type", "text/plain; version=0.0.4").into_response()
}

/// The page after so many seconds.
fn grown(page: &str, seconds: f64, at: Option<SystemTime>) -> String {
    let gauges: HashSet<&str> = page
        .lines()
        .filter_map(|l| l.strip_prefix("# TYPE ")?.strip_suffix(" gauge"))
        .filter(|name| !GROWING_GAUGES.contains(name))
        .collect();
    let stamp =
        at.map_or(String::new(), |at| format!(" {}", at.duration_since(UNIX_EPOCH).unwrap().as_millis()));
    let mut text = String::new();
    for line in page.lines() {
        match line.rsplit_once(' ') {
            Some((series, value)) if !line.starts_with('#') => {
                let name = series.split('{').next().unwrap_or_default();
                let value: f64 = value.parse().unwrap();
                let value = if gauges.contains(name) { value } else { value * seconds };
                writeln!(text, "{series} {value}{stamp}").unwrap();
            }
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}
