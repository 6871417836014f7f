//! The rig itself bears the scale that it is to prove: 10,000 workloads on a real API server, each with a load
//! and a histogram, scraped by a real Prometheus.

use std::time::{Duration, Instant};

use futures::FutureExt as _;
use loadline_chaos::world::{Shape, service::ServiceModel};

use super::{Bound, Failure, Proof, Record, Scale};
use crate::{
    cluster::{Cluster, Options},
    emulator::{self, Emulator, Workload},
    prometheus::{self, Prometheus},
    wait::until,
};

pub(super) const PROOF: Proof = Proof {
    name: "fleet",
    about: "10,000 workloads of one replica on a real API server, emulated and scraped every 15 s.",
    run: |record| run(record).boxed(),
};

/// Workloads at full size.
const WORKLOADS: u32 = 10_000;
/// Requests per second of each workload.
const RATE: f64 = 50.0;
/// For the pods of the whole fleet to be there: the control plane makes some 30 a second on two cores.
const PATIENCE: Duration = Duration::from_mins(20);

async fn run(record: &mut Record) -> Result<(), Failure> {
    let workloads = record.scale().count(WORKLOADS);
    // As fleets of such sizes scrape.
    let interval = Duration::from_secs(if record.scale() == Scale::FULL { 15 } else { 5 });
    let options =
        Options { nodes: workloads / 100 + 1, no_qps_limits: true, crds: false, ..Options::default() };
    let cluster = Cluster::start("fleet", &options).await?;
    let namespace = cluster.namespace("fleet").await?;
    let options = emulator::Options { tick: Duration::from_secs(1) };
    let emulator = Emulator::start([&cluster], &options).await?;
    let model: ServiceModel = serde_yaml::from_str("{capacity: 100}")?;

    let start = Instant::now();
    let names = cluster.deploy_many(&namespace, "web", workloads).await?;
    record.figure("Deployments created", f64::from(workloads) / start.elapsed().as_secs_f64(), "a second");
    let all: Vec<_> = names.iter().map(|name| Workload::new(cluster.name(), &namespace, name)).collect();
    for workload in &all {
        emulator.serve(workload, model.clone(), Shape::Constant { rate: RATE });
    }
    until("every pod to be ready", PATIENCE, || async {
        let ready = all.iter().filter(|w| emulator.seen(w).is_some_and(|s| s.ready == 1)).count();
        if ready == all.len() { Ok(()) } else { Err(format!("{ready} ready")) }
    })
    .await?;
    record.figure("all pods ready after", start.elapsed().as_secs_f64(), "s");

    let options = prometheus::Options::scraping(interval, [emulator.target()]);
    let prometheus = Prometheus::start(&options).await?;
    let window = format!("{}s", 4 * interval.as_secs());
    let expected = f64::from(workloads) * RATE;
    let total = until("the load of all to be read", 8 * interval, || async {
        match prometheus
            .value(&format!("sum(rate(http_server_request_duration_seconds_count[{window}]))"))
            .await
        {
            Ok(value) if (value - expected).abs() < 0.01 * expected => Ok(value),
            Ok(value) => Err(format!("{value} requests/s of {expected}")),
            Err(error) => Err(error.to_string()),
        }
    })
    .await?;
    record.bounded("load that was read", 100.0 * total / expected, "%", Bound::AtLeast(99.0));
    let scrape = prometheus.value("max_over_time(scrape_duration_seconds[5m])").await?;
    // Beside other tests a scrape takes what they leave it; only the full size, which runs alone, judges it.
    let full = record.scale() == Scale::FULL;
    let bound = if full { Bound::AtMost(interval.as_secs_f64() / 2.0) } else { Bound::None };
    record.bounded("longest scrape", scrape, "s", bound);
    let samples = prometheus.value("max(scrape_samples_scraped)").await?;
    record.bounded("samples of a scrape", samples, "", Bound::AtLeast(f64::from(workloads) * 17.0));
    let start = Instant::now();
    let grouped = format!(
        "sum by (k8s_namespace_name, k8s_deployment_name, le) \
         (rate(http_server_request_duration_seconds_bucket[{window}]))"
    );
    let groups = prometheus.query(&grouped).await?.len();
    record.figure("grouped query", start.elapsed().as_secs_f64(), "s");
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 groups")]
    record.bounded("groups of it", groups as f64, "", Bound::AtLeast(f64::from(workloads) * 15.0));
    if let Some(usage) = prometheus.process().usage() {
        #[expect(clippy::cast_precision_loss, reason = "bytes to mebibytes, for reading")]
        record.figure("memory of Prometheus", usage.rss_bytes as f64 / 1_048_576.0, "MiB");
    }
    Ok(())
}
