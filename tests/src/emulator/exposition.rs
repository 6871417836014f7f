//! The text that Prometheus scrapes: OpenTelemetry's HTTP histogram and CPU of each pod, and the queues.
//!
//! Names and labels are those of an OpenTelemetry collector's Prometheus exporter with resource attributes as
//! labels, of cAdvisor for CPU, and of RabbitMQ's per-object metrics for queues.

use std::fmt::Write;

use super::fleet::{BOUNDS, Counters, Fleet, Kind, Service, Workload};

/// How everything is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exposition {
    /// As it is.
    #[default]
    Live,
    /// The same samples again and again, with the time that they were taken at: they grow stale.
    Frozen,
    /// The same numbers again and again as if they were new: counters that do not move.
    Stuck,
    /// Every value is NaN.
    NotANumber,
    /// An empty page: the series vanish.
    Empty,
    /// An error instead of a page: the scrape fails.
    Down,
}

impl Exposition {
    /// All of them, by the name under which the emulator's server knows them.
    pub const ALL: [(&'static str, Self); 6] = [
        ("live", Self::Live),
        ("frozen", Self::Frozen),
        ("stuck", Self::Stuck),
        ("nan", Self::NotANumber),
        ("empty", Self::Empty),
        ("down", Self::Down),
    ];
}

/// The page as it is shown now.
#[derive(Debug, Default)]
pub(crate) struct Page {
    exposition: Exposition,
    /// The page of the moment when it was frozen.
    kept: String,
}

impl Page {
    pub(super) fn set(&mut self, exposition: Exposition, fleet: &Fleet) {
        self.exposition = exposition;
        self.kept = match exposition {
            Exposition::Frozen => render(fleet, false, Some(jiff::Timestamp::now().as_millisecond())),
            Exposition::Stuck => render(fleet, false, None),
            _ => String::new(),
        };
    }

    /// The page to answer with; `None` when the scrape is to fail.
    pub(super) fn show(&self, fleet: &Fleet) -> Option<String> {
        match self.exposition {
            Exposition::Live => Some(render(fleet, false, None)),
            Exposition::Frozen | Exposition::Stuck => Some(self.kept.clone()),
            Exposition::NotANumber => Some(render(fleet, true, None)),
            Exposition::Empty => Some(String::new()),
            Exposition::Down => None,
        }
    }
}

/// What makes a line: the values' mask and the time at its end.
struct Lines {
    text: String,
    nan: bool,
    tail: String,
}

impl Lines {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, more: &str, value: f64) {
        let Self { text, nan, tail } = self;
        // Writing to a String does not fail.
        let _ = if *nan {
            writeln!(text, "{name}{{{labels}{more}}} NaN{tail}")
        } else {
            writeln!(text, "{name}{{{labels}{more}}} {value}{tail}")
        };
    }
}

fn render(fleet: &Fleet, nan: bool, at: Option<i64>) -> String {
    let tail = at.map(|t| format!(" {t}")).unwrap_or_default();
    let pods: usize = fleet.services.values().map(|s| s.pods.len()).sum();
    // About 170 bytes for each of a pod's 18 lines.
    let mut lines = Lines { text: String::with_capacity(256 + pods * 18 * 170), nan, tail };
    lines.head("http_server_request_duration_seconds", "histogram", "Duration of HTTP server requests.");
    each(fleet, |workload, service, pod, counters| requests(&mut lines, workload, service, pod, counters));
    lines.head("container_cpu_usage_seconds_total", "counter", "Cumulative CPU time consumed.");
    each(fleet, |workload, _, pod, counters| {
        let Workload { cluster, namespace, .. } = workload;
        let labels =
            format!("cluster=\"{cluster}\",namespace=\"{namespace}\",pod=\"{pod}\",container=\"app\"");
        lines.line("container_cpu_usage_seconds_total", &labels, "", counters.cpu);
    });
    queues(&mut lines, fleet);
    lines.text
}

fn each(fleet: &Fleet, mut show: impl FnMut(&Workload, &Service, &str, &Counters)) {
    for (workload, service) in &fleet.services {
        for (pod, counters) in service.reporting() {
            show(workload, service, pod, counters);
        }
    }
}

/// A pod's histogram; of each endpoint where the service has some, with the latency of all of them.
fn requests(lines: &mut Lines, workload: &Workload, service: &Service, pod: &str, counters: &Counters) {
    let Workload { cluster, namespace, name } = workload;
    let kind = match service.kind {
        Kind::Deployment => "k8s_deployment_name",
        Kind::StatefulSet => "k8s_statefulset_name",
    };
    let labels = format!(
        "cluster=\"{cluster}\",k8s_namespace_name=\"{namespace}\",{kind}=\"{name}\",k8s_pod_name=\"{pod}\""
    );
    if service.model.endpoints.is_empty() {
        return histogram(lines, &labels, 1.0, counters);
    }
    for (endpoint, share) in service.model.by_endpoint(1.0) {
        let (method, route) = endpoint.split_once(' ').unwrap_or(("GET", endpoint));
        let labels = format!("{labels},http_request_method=\"{method}\",http_route=\"{route}\"");
        histogram(lines, &labels, share, counters);
    }
}

fn histogram(lines: &mut Lines, labels: &str, share: f64, counters: &Counters) {
    let bounds = BOUNDS.iter().copied().chain([f64::INFINITY]);
    let name = "http_server_request_duration_seconds";
    let bucket = format!("{name}_bucket");
    for (bound, count) in bounds.zip(counters.buckets) {
        let le = if bound.is_finite() { format!(",le=\"{bound}\"") } else { ",le=\"+Inf\"".to_owned() };
        lines.line(&bucket, labels, &le, count * share);
    }
    let [.., all] = counters.buckets;
    lines.line(&format!("{name}_sum"), labels, "", counters.sum * share);
    lines.line(&format!("{name}_count"), labels, "", all * share);
}

/// The queues, which a broker reports whether or not anybody consumes.
fn queues(lines: &mut Lines, fleet: &Fleet) {
    let queues: Vec<_> = fleet.services.iter().filter(|(_, s)| s.is_queue()).collect();
    if queues.is_empty() {
        return;
    }
    let name = "rabbitmq_detailed_queue_messages_ready";
    lines.head(name, "gauge", "Messages ready to be delivered to consumers.");
    for (Workload { cluster, namespace, name: queue }, service) in &queues {
        let labels = format!("cluster=\"{cluster}\",vhost=\"{namespace}\",queue=\"{queue}\"");
        lines.line(name, &labels, "", service.messages.waiting);
    }
    let name = "rabbitmq_detailed_queue_messages_published_total";
    lines.head(name, "counter", "Total number of messages published to queues.");
    for (Workload { cluster, namespace, name: queue }, service) in &queues {
        let labels =
            format!("cluster=\"{cluster}\",exchange=\"\",queue_vhost=\"{namespace}\",queue=\"{queue}\"");
        lines.line(name, &labels, "", service.messages.published);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loadline_chaos::world::{Shape, service::ServiceModel};
    use tokio::time::Instant;

    use super::*;

    fn fleet(model: &str) -> Fleet {
        let model: ServiceModel = serde_yaml::from_str(model).unwrap();
        let (mut fleet, web, start) = (Fleet::default(), Workload::new("hub", "shop", "web"), Instant::now());
        fleet.pod(&web, Kind::Deployment, "web-1", true);
        fleet.serve(&web, model, Shape::Constant { rate: 10.0 }, start);
        fleet.step(start);
        fleet.step(start + Duration::from_mins(1));
        fleet
    }

    #[test]
    fn the_page_is_what_promtool_takes_for_metrics() {
        let page = render(&fleet("{capacity: 100}"), false, None);
        let lines: Vec<_> = page.lines().filter(|l| l.contains("_bucket{")).collect();
        assert_eq!(lines.len(), 15);
        assert!(lines[14].contains(",le=\"+Inf\"} 600"), "{}", lines[14]);
        let mut check = std::process::Command::new(crate::binaries::Packaged::Promtool.get().unwrap())
            .args(["check", "metrics"])
            .stdin(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut check.stdin.take().unwrap(), page.as_bytes()).unwrap();
        let said = check.wait_with_output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }

    #[test]
    fn a_frozen_page_keeps_its_time_and_a_stuck_one_its_numbers() {
        let (mut page, fleet) = (Page::default(), fleet("{capacity: 100}"));
        page.set(Exposition::Frozen, &fleet);
        let frozen = page.show(&fleet).unwrap();
        let line = frozen.lines().find(|l| l.contains("+Inf")).unwrap();
        assert_eq!(line.split_whitespace().count(), 3, "a time at the end: {line}");
        page.set(Exposition::Stuck, &fleet);
        let stuck = page.show(&fleet).unwrap();
        assert_eq!(Some(stuck), page.show(&Fleet::default()), "whatever the fleet does");
    }

    #[test]
    fn nan_empty_and_down_are_three_things() {
        let (mut page, fleet) = (Page::default(), fleet("{capacity: 100}"));
        page.set(Exposition::NotANumber, &fleet);
        let shown = page.show(&fleet).unwrap();
        assert!(shown.lines().filter(|l| !l.starts_with('#')).all(|l| l.ends_with(" NaN")), "{shown}");
        page.set(Exposition::Empty, &fleet);
        assert_eq!(page.show(&fleet).as_deref(), Some(""));
        page.set(Exposition::Down, &fleet);
        assert_eq!(page.show(&fleet), None);
    }

    #[test]
    fn ten_thousand_workloads_fit_into_one_scrape() {
        let model: ServiceModel = serde_yaml::from_str("{capacity: 100}").unwrap();
        let (mut fleet, start) = (Fleet::default(), Instant::now());
        for i in 0..10_000 {
            let web = Workload::new("hub", "scale", &format!("web-{i:05}"));
            fleet.pod(&web, Kind::Deployment, &format!("web-{i:05}-5d4f7c9b8-abcde"), true);
            fleet.serve(&web, model.clone(), Shape::Constant { rate: 50.0 }, start);
        }
        fleet.step(start);
        let begin = std::time::Instant::now();
        fleet.step(start + Duration::from_secs(1));
        let stepped = begin.elapsed();
        let page = render(&fleet, false, None);
        println!(
            "a step: {stepped:?}, a page: {:?}, {} MB",
            begin.elapsed().saturating_sub(stepped),
            page.len() / 1_000_000
        );
        assert_eq!(page.lines().filter(|l| l.contains("_bucket{")).count(), 150_000);
    }

    #[test]
    fn a_queue_is_shown_as_rabbitmq_does_and_without_consumers() {
        let model = serde_yaml::from_str("{capacity: 100, queue: {kind: Backlog}}").unwrap();
        let (mut fleet, jobs, start) =
            (Fleet::default(), Workload::new("hub", "shop", "jobs"), Instant::now());
        fleet.serve(&jobs, model, Shape::Constant { rate: 10.0 }, start);
        fleet.step(start);
        fleet.step(start + Duration::from_secs(3));
        let page = render(&fleet, false, None);
        for line in [
            "rabbitmq_detailed_queue_messages_ready{cluster=\"hub\",vhost=\"shop\",queue=\"jobs\"} 30",
            "rabbitmq_detailed_queue_messages_published_total{cluster=\"hub\",exchange=\"\",queue_vhost=\"shop\",queue=\"jobs\"} 30",
        ] {
            assert!(page.lines().any(|l| l == line), "{page}");
        }
    }

    #[test]
    fn endpoints_share_the_requests() {
        let model = "{capacity: 100, endpoints: [{name: GET /cart, share: 3, cost: 1}, {name: POST /order, share: 1, cost: 1}]}";
        let page = render(&fleet(model), false, None);
        let count = |route: &str| {
            let line = page.lines().find(|l| l.contains("_count{") && l.contains(route)).unwrap();
            line.split_whitespace().last().unwrap().parse::<f64>().unwrap()
        };
        assert!((count("http_route=\"/cart\"") - 450.0).abs() < 1e-6);
        assert!((count("http_request_method=\"POST\"") - 150.0).abs() < 1e-6);
    }
}
