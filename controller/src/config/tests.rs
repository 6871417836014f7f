//! Tests of the configuration: what is read, and what a person is told about mistakes.

use std::time::Duration;

use loadline_policies::ids::ClusterId;

use super::*;

fn complaints(text: &str) -> Vec<String> {
    match Config::parse(text) {
        Err(ConfigError::Invalid { complaints, .. }) => complaints.iter().map(ToString::to_string).collect(),
        other => panic!("not refused for what it says: {other:?}"),
    }
}

fn parse_error(text: &str) -> String {
    match Config::parse(text) {
        Err(e @ ConfigError::Parse { .. }) => e.to_string(),
        other => panic!("parsed: {other:?}"),
    }
}

#[test]
fn an_empty_file_gives_the_defaults() {
    for text in ["", "# nothing\n", "{}"] {
        let config = Config::parse(text).unwrap();
        assert_eq!(config.sync, Duration::from_secs(5), "{text:?}");
        assert!(config.sources.is_empty());
        let kinds: Vec<&str> = config.scale_targets.iter().map(|t| t.kind.as_str()).collect();
        assert_eq!(kinds, ["Deployment", "StatefulSet"]);
    }
}

#[test]
fn every_built_in_profile_is_valid_and_says_what_it_is() {
    let mut complaints = Complaints::default();
    let profiles = Profiles::resolve(Vec::new(), &mut complaints);
    complaints.into_result(()).unwrap();
    for profile in profiles.iter() {
        assert!(!profile.description.is_empty(), "{}", profile.name);
        assert!(profile.sampled().is_some(), "{}", profile.name);
        assert_eq!(profiles.get(&profile.name).map(|p| p.name.as_str()), Some(profile.name.as_str()));
    }
    let proven: Vec<&str> = profiles.iter().filter(|p| !p.experimental).map(|p| p.name.as_str()).collect();
    insta::assert_debug_snapshot!(proven, @r#"
    [
        "envoy",
        "istio",
        "otel-http",
        "otel-http-pods",
        "queue-kafka",
        "queue-rabbitmq",
        "queue-redis-streams",
    ]
    "#);
    let wakes: Vec<&str> = profiles.iter().filter(|p| p.independent).map(|p| p.name.as_str()).collect();
    assert_eq!(
        wakes,
        ["envoy", "ingress-nginx", "queue-kafka", "queue-rabbitmq", "queue-redis-streams", "traefik"]
    );
}

#[test]
fn cpu_is_read_of_pods_unless_the_user_says_otherwise() {
    let config = Config::parse(
        r"
profiles:
- {name: istio, cpu: null}
- name: envoy
  cpu:
    metric: workload_cpu_seconds_total
    matchers: null
    pod: null
    workload: {label: workload}
    replica: instance
",
    )
    .unwrap();
    let cpu = |name: &str| config.profiles.get(name).unwrap().cpu.clone();
    let shipped = Config::default().profiles;
    let shipped: Vec<&str> = shipped.iter().filter(|p| p.cpu.is_none()).map(|p| p.name.as_str()).collect();
    assert_eq!(shipped, ["queue-kafka", "queue-rabbitmq", "queue-redis-streams"]);
    let pods = cpu("otel-http").unwrap();
    assert_eq!(
        (pods.metric.as_str(), pods.identity.pod.as_deref()),
        ("container_cpu_usage_seconds_total", Some("pod"))
    );
    assert_eq!(pods.matchers, r#"container!="",container!="POD""#);
    assert!(cpu("istio").is_none());
    let own = cpu("envoy").unwrap();
    assert_eq!((own.matchers.as_str(), own.identity.replica.as_str()), ("", "instance"));
    assert_eq!(own.identity.default, DefaultMatch::Workload);
}

#[test]
fn only_queues_are_read_across_namespaces() {
    let profiles = Config::default().profiles;
    let any: Vec<&str> =
        profiles.iter().filter(|p| p.identity.any_namespace).map(|p| p.name.as_str()).collect();
    assert_eq!(any, ["queue-kafka", "queue-rabbitmq", "queue-redis-streams"]);
    for profile in profiles.iter().filter(|p| !p.identity.any_namespace) {
        let by_label = profile.match_labels().is_some();
        assert_eq!(by_label, profile.identity.namespace.is_some(), "{}", profile.name);
    }
}

#[test]
fn a_whole_configuration_is_read() {
    let config = Config::parse(
        r"
sync: 2s
cluster: prod-eu
sources:
- name: main
  url: https://prometheus.monitoring:9090/prefix
  clusterLabel: cluster
  caFile: /etc/loadline/ca.crt
  clientCertificate: {certFile: /etc/loadline/tls.crt, keyFile: /etc/loadline/tls.key}
  basicAuth: {username: loadline, passwordFile: /etc/loadline/password}
  headers: {X-Scope-OrgID: team}
  timeout: 3s
  concurrency: 2
  scrapeInterval: 5s
- {name: edge, url: 'http://edge:9090', cluster: edge}
scaleTargets: [{apiVersion: argoproj.io/v1alpha1, kind: Rollout}]
triggers: {namespaceLabel: k8s_namespace_name, source: edge}
",
    )
    .unwrap();
    let [main, edge] = config.sources.as_slice() else { panic!("{:?}", config.sources) };
    assert_eq!(main.reach, Reach::Label { label: "cluster".into(), home: "prod-eu".into() });
    assert_eq!(main.windows.steady, Duration::from_mins(1));
    assert_eq!(main.windows.burst, Some(Duration::from_secs(15)));
    assert_eq!(edge.reach, Reach::Cluster(ClusterId::new("edge")));
    assert_eq!(edge.windows.burst, Some(Duration::from_secs(45)));
    assert_eq!(config.triggers.source.as_deref(), Some("edge"));
}

#[test]
fn a_source_may_call_the_operators_own_cluster_by_its_name() {
    let reach = |text: &str| Config::parse(text).unwrap().sources.remove(0).reach;
    let home = Reach::Cluster(ClusterId::local());
    assert_eq!(reach("cluster: prod-eu\nsources: [{name: a, url: 'http://a', cluster: prod-eu}]"), home);
    assert_eq!(reach("cluster: prod-eu\nsources: [{name: a, url: 'http://a'}]"), home);
    assert_eq!(
        reach("sources: [{name: a, url: 'http://a', cluster: prod-eu}]"),
        Reach::Cluster(ClusterId::new("prod-eu"))
    );
}

#[test]
fn a_slow_scrape_widens_the_windows() {
    let windows = Windows::of(Duration::from_mins(1));
    assert_eq!(windows, Windows { steady: Duration::from_mins(4), burst: Some(Duration::from_mins(3)) });
}

#[test]
fn every_mistake_of_a_source_is_told_at_once() {
    let text = r"
sync: 0s
cluster: ''
sources:
- name: a
  url: prometheus:9090
  cluster: x
  clusterLabel: y
  bearerTokenFile: /t
  basicAuth: {username: u, passwordFile: /p}
  headers: {Authorization: secret}
  timeout: 0s
  concurrency: 0
  windows: {steady: 10s}
- {name: b, url: 'http://me:secret@host', clusterLabel: c-d}
- {name: b, url: 'http://b', cluster: x}
- {name: b, url: 'http://b', cluster: x}
- {name: e, url: 'http://e', clusterLabel: c}
- {name: f, url: 'http://f', clusterLabel: c}
triggers: {namespaceLabel: '', source: nobody, maxPerPolicy: 9, timeout: 0s, concurrency: 0}
";
    let complaints = complaints(text);
    assert!(!complaints.concat().contains("secret@"), "a password is shown: {complaints:#?}");
    insta::assert_snapshot!(complaints.join("\n"));
}

#[test]
fn an_unknown_field_or_a_bad_duration_is_refused_with_its_place() {
    insta::assert_snapshot!(
        [
            parse_error("sources:\n- name: a\n  adress: http://a\n"),
            parse_error("sync: 5 minutes\n"),
            parse_error("scaleTargets: {Deployment: true}\n"),
        ]
        .join("\n")
    );
}

#[test]
fn the_users_profile_overrides_single_fields_of_a_built_in_one() {
    let config = Config::parse(
        r#"
profiles:
- {name: istio, matchers: ['reporter="waypoint"'], identity: {endpoint: null}}
- {name: shop-http, extends: otel-http, histogram: {metric: shop_http_seconds}}
"#,
    )
    .unwrap();
    let istio = config.profiles.get("istio").unwrap();
    let histogram = istio.histogram.as_ref().unwrap();
    assert_eq!(histogram.matchers, r#"reporter="waypoint""#);
    assert_eq!(histogram.metric, "istio_request_duration_milliseconds");
    assert_eq!(istio.identity.endpoint, None);
    let shop = config.profiles.get("shop-http").unwrap();
    assert_eq!(shop.histogram.as_ref().unwrap().metric, "shop_http_seconds");
    assert_eq!(shop.identity.namespace.as_deref(), Some("k8s_namespace_name"));
    assert!(config.profiles.get("otel-http").is_some());
}

#[test]
fn every_mistake_of_a_profile_is_told_at_once() {
    let text = r"
profiles:
- {description: nameless}
- {name: a, extends: nobody}
- name: b
  description: all wrong
  matchers: ['oops']
  requests: {metric: 'bad-name', expr: 'x'}
  rejected: {expr: 'sum(rate(x[$window]'}
  histogram: {metric: 'also bad', unit: s}
  identity:
    default: pod
    workload: {}
    route: {label: l, pattern: '(a)(b)', value: fixed}
    endpoint: 9lives
- {name: c, description: no load, identity: {default: workload, workload: {label: w}}}
- name: d
  description: expressions only
  requests: {expr: 'sum by ($by) (rate(x[$window]))'}
  identity: {default: workload, workload: {label: w}}
- {name: e, extends: istio, histogram: {unit: minutes}}
- {name: f, extends: istio, cpu: {metric: 'no metric', matchers: ['oops'], namespace: 'a b', pod: p, workload: {label: w}}}
- {name: g, extends: istio, cpu: {pod: null}}
";
    insta::assert_snapshot!(complaints(text).join("\n"));
}

#[test]
fn headers_and_their_secrets_are_not_shown() {
    let config =
        Config::parse("sources:\n- {name: a, url: 'http://a', headers: {X-Api-Key: topsecret}}\n").unwrap();
    let shown = format!("{config:?}");
    assert!(shown.contains("x-api-key"));
    assert!(!shown.contains("topsecret"));
}

#[test]
fn a_missing_file_is_said_with_its_path() {
    let error = Config::load(std::path::Path::new("/nowhere/loadline.yaml")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the configuration /nowhere/loadline.yaml"), "{error}");
}
