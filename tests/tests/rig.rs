//! The rig does what the other tests rely on: real clusters, faults on their API servers, an emulator whose
//! numbers a real Prometheus reads back.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by panicking")]

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, ObjectMeta, PostParams},
};
use loadline_chaos::world::Shape;
use loadline_crds::ElasticPolicy;
use loadline_tests::{
    cluster::{self, Cluster, Component, Options},
    emulator::{self, Emulator, Exposition, Workload},
    prometheus::{self, Prometheus},
    proxy::{Answer, Mode, Proxy},
    wait::until,
};
use tokio::sync::OnceCell;

/// For what needs a moment of a real server.
const SOON: Duration = Duration::from_secs(30);

/// The cluster that the tests of this binary share; the reaper ends it with the process.
async fn hub() -> &'static Cluster {
    static HUB: OnceCell<Cluster> = OnceCell::const_new();
    HUB.get_or_init(|| async { Cluster::start("hub", &Options::default().audited()).await.unwrap() }).await
}

/// Prints how long a step took.
fn took(what: &str, since: Instant) {
    println!("{what}: {:.1} s", since.elapsed().as_secs_f64());
}

#[tokio::test]
async fn a_hub_and_three_members_run_at_once_and_leave_nothing() {
    let start = Instant::now();
    let options = |name: &str| match name {
        // Two CPUs in all: room for two pods of one.
        "public-a" => Options::default().nodes(1, 2),
        "public-b" => Options::default().start_delay(Duration::from_secs(3)),
        _ => Options::default(),
    };
    let up = |name: &'static str| async move { Cluster::start(name, &options(name)).await.unwrap() };
    let (private, public_a, public_b, hub) =
        tokio::join!(up("private"), up("public-a"), up("public-b"), hub());
    took("four clusters up", start);

    let versions = [hub, &private, &public_a, &public_b]
        .map(|c| async { c.client().await.unwrap().apiserver_version().await.unwrap().git_version });
    for version in futures::future::join_all(versions).await {
        assert_eq!(version, loadline_tests::binaries::Module::Kubernetes.version());
    }
    tokio::join!(
        pods_that_do_not_fit_stay_pending(&public_a),
        pods_become_ready_after_the_delay_asked_for(&public_b),
    );

    let folders = [&private, &public_a, &public_b].map(|c| c.folder().to_owned());
    let start = Instant::now();
    drop((private, public_a, public_b));
    for folder in folders {
        assert!(!folder.exists());
        until("its processes to end", SOON, || async {
            let left: Vec<_> =
                processes().into_iter().filter(|p| p.contains(folder.to_str().unwrap())).collect();
            if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
        })
        .await
        .unwrap();
    }
    took("three clusters gone", start);
}

async fn pods_that_do_not_fit_stay_pending(cluster: &Cluster) {
    let namespace = cluster.namespace("full").await.unwrap();
    cluster.deploy(&namespace, "web", 3, "1").await.unwrap();
    let pods: Api<Pod> = Api::namespaced(cluster.client().await.unwrap(), &namespace);
    until("two ready pods and one that does not fit", SOON, || async {
        let pods = pods.list(&ListParams::default()).await.unwrap().items;
        let ready = pods.iter().filter(|p| condition(p, "Ready").is_some()).count();
        let refused = pods.iter().filter(|p| {
            let conditions = p.status.iter().flat_map(|s| s.conditions.iter().flatten());
            conditions.into_iter().any(|c| c.reason.as_deref() == Some("Unschedulable"))
        });
        match (ready, refused.count()) {
            (2, 1) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
}

async fn pods_become_ready_after_the_delay_asked_for(cluster: &Cluster) {
    let namespace = cluster.namespace("slow").await.unwrap();
    cluster.deploy(&namespace, "web", 2, "1").await.unwrap();
    let pods: Api<Pod> = Api::namespaced(cluster.client().await.unwrap(), &namespace);
    let ready = until("two ready pods", SOON, || async {
        let pods = pods.list(&ListParams::default()).await.unwrap().items;
        let ready = pods.iter().filter(|p| condition(p, "Ready").is_some()).count();
        if ready == 2 { Ok(pods) } else { Err(format!("{ready} ready")) }
    })
    .await
    .unwrap();
    for pod in ready {
        let (bound, ready) = (condition(&pod, "PodScheduled").unwrap(), condition(&pod, "Ready").unwrap());
        let delay = ready.duration_since(bound).as_secs();
        println!("{} was ready {delay} s after it was bound", pod.name_any());
        // The API server cuts both times to whole seconds.
        assert!(delay >= 2, "asked for 3 s");
    }
}

/// Since when a condition is true.
fn condition(pod: &Pod, name: &str) -> Option<jiff::Timestamp> {
    let mut conditions = pod.status.as_ref()?.conditions.iter().flatten();
    let found = conditions.find(|c| c.type_ == name && c.status == "True")?;
    found.last_transition_time.as_ref().map(|t| t.0)
}

/// The command lines of all processes.
fn processes() -> Vec<String> {
    let read = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("cmdline")).ok();
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(read).collect()
}

#[tokio::test]
async fn the_crds_are_served_and_the_audit_log_says_who_wrote_what() {
    let cluster = hub().await;
    let namespace = cluster.namespace("audited").await.unwrap();
    let policies: Api<ElasticPolicy> = Api::namespaced(cluster.client().await.unwrap(), &namespace);
    assert!(policies.list(&ListParams::default()).await.unwrap().items.is_empty());
    until("the namespace in the audit log", SOON, || async {
        let log = std::fs::read_to_string(cluster.audit_log()).unwrap();
        let line = log.lines().find(|l| l.contains("\"verb\":\"create\"") && l.contains(&namespace));
        line.map(str::to_owned).ok_or("not there")
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_api_server_can_be_paused_killed_and_restarted() {
    let start = Instant::now();
    let cluster = Cluster::start("faulty", &Options { crds: false, ..Options::default() }).await.unwrap();
    let api: Api<Namespace> = Api::all(cluster.client().await.unwrap());
    let metadata = ObjectMeta { name: Some("kept".into()), ..ObjectMeta::default() };
    api.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await.unwrap();

    cluster.component(Component::ApiServer).await.unwrap().pause().unwrap();
    let silence = tokio::time::timeout(Duration::from_secs(1), api.get("kept")).await;
    assert!(silence.is_err(), "a paused API server does not answer");
    cluster.component(Component::ApiServer).await.unwrap().resume().unwrap();
    assert!(api.get("kept").await.is_ok());

    cluster.component(Component::ApiServer).await.unwrap().kill().unwrap();
    assert!(api.get("kept").await.is_err(), "a killed one refuses");
    let killed = Instant::now();
    cluster.restart(Component::ApiServer).await.unwrap();
    assert!(api.get("kept").await.is_ok(), "what was written is still there");
    took("an API server restarted", killed);
    took("the whole test", start);
}

#[tokio::test]
async fn a_proxy_answers_in_the_name_of_the_api_server() {
    let cluster = hub().await;
    let proxy = Proxy::before_api_server(cluster).await.unwrap();
    let kubeconfig = cluster.kubeconfig_via(proxy.port()).unwrap();
    let client: Client = cluster::client("via the proxy", &kubeconfig).await.unwrap();
    let api: Api<Namespace> = Api::all(client);
    assert!(api.get("default").await.is_ok(), "passed on, TLS and all");
    for (status, reason) in [(401, "Unauthorized"), (500, "InternalError")] {
        proxy.set(Mode::Answer(Answer::kubernetes(status, reason))).await;
        // The first request may still go out on the kept-alive connection that the change of mode cut.
        until("the proxy's own answer", SOON, || async {
            match api.get("default").await.unwrap_err() {
                kube::Error::Api(said) if (said.code, said.reason.as_str()) == (status, reason) => Ok(()),
                other => Err(other),
            }
        })
        .await
        .unwrap();
    }
    proxy.set(Mode::Drop).await;
    assert!(tokio::time::timeout(Duration::from_secs(1), api.get("default")).await.is_err());
    proxy.set(Mode::Pass).await;
    until("the API server's answer", SOON, || api.get("default")).await.unwrap();
}

/// A served workload of two pods, and a Prometheus that scrapes the emulator every second.
async fn observed(prefix: &str) -> (Workload, Emulator, Prometheus) {
    let cluster = hub().await;
    let namespace = cluster.namespace(prefix).await.unwrap();
    cluster.deploy(&namespace, "web", 2, "100m").await.unwrap();
    let emulator = Emulator::start([cluster], &emulator::Options::default()).await.unwrap();
    let workload = Workload::new(cluster.name(), &namespace, "web");
    let model = serde_yaml::from_str("{capacity: 100}").unwrap();
    emulator.serve(&workload, model, Shape::Constant { rate: 120.0 });
    let options = prometheus::Options::scraping(Duration::from_secs(1), [emulator.target()]);
    let prometheus = Prometheus::start(&options).await.unwrap();
    (workload, emulator, prometheus)
}

/// The rate of requests by the emulator's own histogram.
fn requests(workload: &Workload) -> String {
    let Workload { namespace, name, .. } = workload;
    format!(
        "sum(rate(http_server_request_duration_seconds_count\
         {{k8s_namespace_name=\"{namespace}\",k8s_deployment_name=\"{name}\"}}[4s]))"
    )
}

async fn until_value(prometheus: &Prometheus, query: &str, what: &str, near: f64) {
    until(what, SOON, || async {
        let value = prometheus.value(query).await.map_err(|e| e.to_string())?;
        if (value - near).abs() <= 0.05 * near { Ok(()) } else { Err(format!("{value}")) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_prometheus_reads_the_load_that_the_emulator_was_given() {
    let start = Instant::now();
    let (workload, emulator, prometheus) = observed("load").await;
    until_value(&prometheus, &requests(&workload), "120 requests/s", 120.0).await;
    took("the load is read", start);

    // A step, and more pods for it.
    let cluster = hub().await;
    emulator.offer(&workload, Shape::Constant { rate: 480.0 });
    cluster.deploy(&workload.namespace, &workload.name, 6, "100m").await.unwrap();
    until_value(&prometheus, &requests(&workload), "480 requests/s", 480.0).await;
    let pods = format!(
        "count(http_server_request_duration_seconds_count{{k8s_namespace_name=\"{}\"}})",
        workload.namespace
    );
    until_value(&prometheus, &pods, "six pods that report", 6.0).await;
    let seen = emulator.seen(&workload).unwrap();
    assert_eq!(seen.ready, 6);
    assert!((seen.utilisation - 0.8).abs() < 1e-9, "{seen:?}");

    emulator.silence(&workload, 0.5);
    until_value(&prometheus, &pods, "three pods that report", 3.0).await;
    took("load, step, silence", start);
}

#[tokio::test]
async fn telemetry_vanishes_goes_stale_and_turns_into_nan() {
    let (workload, emulator, prometheus) = observed("faults").await;
    until_value(&prometheus, &requests(&workload), "120 requests/s", 120.0).await;
    let series = format!(
        "http_server_request_duration_seconds_count{{k8s_namespace_name=\"{}\"}}",
        workload.namespace
    );
    let no_series = |what: &'static str| {
        let (prometheus, series) = (&prometheus, series.clone());
        async move {
            until(what, SOON, || async {
                match prometheus.query(&series).await.unwrap().len() {
                    0 => Ok(()),
                    n => Err(format!("{n} series")),
                }
            })
            .await
            .unwrap();
        }
    };
    emulator.expose(Exposition::Empty);
    no_series("an empty page").await;
    emulator.expose(Exposition::Live);
    until_value(&prometheus, &requests(&workload), "120 requests/s again", 120.0).await;
    emulator.expose(Exposition::Down);
    no_series("a failed scrape").await;

    emulator.expose(Exposition::Frozen);
    until("samples older than three scrapes", SOON, || async {
        let age = prometheus.value(&format!("max(time() - timestamp({series}))")).await;
        let age = age.map_err(|e| e.to_string())?;
        if age > 3.0 { Ok(()) } else { Err(format!("{age} s old")) }
    })
    .await
    .unwrap();

    emulator.expose(Exposition::NotANumber);
    until("NaN", SOON, || async {
        let samples = prometheus.query(&series).await.unwrap();
        if !samples.is_empty() && samples.iter().all(|s| s.value.is_nan()) {
            Ok(())
        } else {
            Err(format!("{samples:?}"))
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_prometheus_keeps_its_data_when_it_is_killed() {
    let (workload, _emulator, prometheus) = observed("killed").await;
    until_value(&prometheus, &requests(&workload), "120 requests/s", 120.0).await;
    prometheus.process().kill().unwrap();
    assert!(prometheus.query("up").await.is_err());
    prometheus.restart().await.unwrap();
    until_value(&prometheus, &requests(&workload), "120 requests/s after the restart", 120.0).await;
    prometheus.process().pause().unwrap();
    let silence = tokio::time::timeout(Duration::from_secs(1), prometheus.query("up")).await;
    assert!(silence.is_err(), "a paused Prometheus does not answer");
    prometheus.process().resume().unwrap();
    assert!(prometheus.query("up").await.is_ok());
}
