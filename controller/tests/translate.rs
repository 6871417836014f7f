//! From custom resources to domain values: what an SRE writes, and what the decisions get to see.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what it needs by panicking")]

use std::{sync::Arc, time::Duration};

use loadline_controller::{
    ports::{LoadReading, Objects, Readings, SeriesSelector, TargetView},
    translate::{Endpoints, KnownProfiles, Matches, ProfileFacts, Translator, policy},
};
use loadline_crds::{ElasticPolicy, SafetyLever};
use loadline_policies::{
    fleet::{
        ClusterState, Contender, Fleet, Footprint, LoadSample, ObjectVersion, Outage, OutageCause,
        TargetProblem,
    },
    forecast::trust::Trust,
    ids::{ClusterId, PolicyKey, Target},
    now::Now,
    policy::{LatencyWeights, Mode, PerReplica, Weights},
    reading::{Doubt, Reading},
};

/// The shortest useful policy, with `extra` lines in its spec.
fn cr(name: &str, target: &str, extra: &str) -> ElasticPolicy {
    let yaml = format!(
        "
apiVersion: loadline.dev/v1alpha1
kind: ElasticPolicy
metadata: {{name: {name}, namespace: shop, uid: uid-of-{name}, generation: 3}}
spec:
  target: {{apiVersion: apps/v1, kind: Deployment, name: {target}}}
  bounds: {{min: 3, max: 400}}
  load: {{profile: otel-http}}
{extra}"
    );
    serde_yaml::from_str(&yaml).unwrap_or_else(|e| panic!("{e}: {yaml}"))
}

fn complaints(cr: &ElasticPolicy) -> Vec<String> {
    policy(cr).unwrap_err().iter().map(ToString::to_string).collect()
}

fn profiles() -> KnownProfiles {
    let facts = |outlives_workload| ProfileFacts {
        histogram: true,
        endpoints: Endpoints::CountedWithCpu,
        outlives_workload,
        matches: Matches::Anything,
    };
    [("otel-http".to_owned(), facts(false)), ("gateway".to_owned(), facts(true))].into_iter().collect()
}

fn at(wall: &str) -> Now {
    Now::new(wall.parse().unwrap(), Duration::from_secs(1_000))
}

fn now() -> Now {
    at("2026-03-01T12:00:00Z")
}

fn key(name: &str) -> PolicyKey {
    PolicyKey::new("shop", name)
}

fn deployment(name: &str) -> Target {
    Target::new("apps/v1", "Deployment", "shop", name)
}

fn objects(policies: Vec<ElasticPolicy>) -> Objects {
    Objects { policies: policies.into_iter().map(Arc::new).collect(), ..Objects::default() }
}

fn view(ready: u32) -> TargetView {
    let version = ObjectVersion { uid: "u".into(), resource_version: "7".into() };
    TargetView {
        wanted: ready,
        current: ready,
        ready,
        rolling_out: false,
        template: Some(7),
        footprint: None,
        version,
    }
}

fn fleet(objects: &Objects, readings: &Readings) -> Fleet {
    Translator::of(objects).fleet(objects, readings, &profiles(), now())
}

#[test]
fn the_shortest_policy_gets_what_a_careful_sre_would_choose() {
    let p = policy(&cr("checkout", "checkout-v2", "")).unwrap();

    assert_eq!(p.key, key("checkout"));
    assert_eq!(p.target, deployment("checkout-v2"));
    assert_eq!((p.mode, p.generation, p.uid.as_str()), (Mode::Active, 3, "uid-of-checkout"));
    assert_eq!(p.load.weights, Weights::Plain);
    assert_eq!(p.capacity.per_replica, PerReplica::Learned);
    assert_eq!((p.capacity.redundancy.min, p.capacity.redundancy.max), (1.1, 1.6));
    assert_eq!(p.behaviour.down.stabilization_window, Duration::from_mins(5));
    assert_eq!(p.fallback.after, Duration::from_mins(3));
}

#[test]
fn latency_weights_without_cuts_are_those_of_cudgx() {
    let extra = "  capacity: {perReplica: \"12.5\"}";
    let yaml = serde_yaml::to_string(&cr("a", "a", extra)).unwrap();
    let cr: ElasticPolicy = serde_yaml::from_str(
        &yaml.replace("profile: otel-http", "profile: otel-http\n    weights: {latency: {}}"),
    )
    .unwrap();

    let p = policy(&cr).unwrap();

    assert_eq!(p.load.weights, Weights::Latency(LatencyWeights::default()));
    assert_eq!(p.capacity.per_replica, PerReplica::Declared(12.5));
}

#[test]
fn a_forecast_may_do_what_it_has_earned_unless_a_ceiling_is_written() {
    let most = |extra: &str| policy(&cr("web", "web", extra)).unwrap().forecast.max_trust;
    assert_eq!(most(""), Trust::Full);
    assert_eq!(most("  forecast: {quantile: 0.9}"), Trust::Full);
    for trust in Trust::ALL {
        assert_eq!(most(&format!("  forecast: {{maxTrust: {}}}", trust.name())), trust);
    }
}

#[test]
fn every_complaint_is_heard_at_once() {
    let heard = complaints(&cr(
        "a",
        "a",
        "  capacity: {perReplica: none, redundancy: {min: 0.9, max: 0.5}}
  objective: {latency: {quantile: 99, target: 250ms}}
  schedules: [{name: lunch, start: noon, duration: 2h, timeZone: Mars/Olympus, min: 4000}]
  triggers:
  - {name: backlog, query: \"sum(lag\", perReplica: 200}
  - {name: backlog, query: \"rate(lag[1m])\", perReplica: 200, target: 5}
  - {name: range, query: \"lag[5m]\", target: 5}
  fallback: {policy: AtLeast}
  activation: {trigger: nobody}",
    ));

    let paths: Vec<&str> = heard.iter().map(|c| c.split(": ").next().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "spec.objective.latency.quantile",
            "spec.capacity.perReplica",
            "spec.capacity.redundancy",
            "spec.schedules[0].start",
            "spec.schedules[0].timeZone",
            "spec.schedules[0].min",
            "spec.triggers[1].name",
            "spec.triggers[0].query",
            "spec.triggers[1]",
            "spec.triggers[2].query",
            "spec.fallback.replicas",
            "spec.activation.trigger",
        ],
        "{heard:#?}"
    );
}

#[test]
fn formulas_are_compiled_and_read_only_triggers_that_exist() {
    let with = |formula: &str| {
        cr("a", "a", &format!("  triggers:\n  - {{name: backlog, query: lag, formula: \"{formula}\"}}"))
    };

    assert!(policy(&with("values.backlog / 200.0 + ready")).is_ok());
    for (formula, answer) in [
        ("value / 0.0", "divide"),
        ("value +", "not a CEL expression"),
        ("values.traffic / 2.0", "read one of these: backlog"),
        ("cpu / 2.0", "which does not exist"),
    ] {
        let heard = complaints(&with(formula));
        assert!(heard[0].starts_with("spec.triggers[0].formula: ") && heard[0].contains(answer), "{heard:?}");
    }
}

#[test]
fn a_broken_policy_stands_in_nobody_elses_way() {
    let mut objects = objects(vec![
        cr("good", "good", ""),
        cr("bad", "bad", "  objective: {latency: {quantile: 2, target: 1s}}"),
    ]);
    objects.malformed.insert(key("ancient"), "missing field `bounds`".into());

    let fleet = fleet(&objects, &Readings::default());

    assert_eq!(fleet.workloads.keys().collect::<Vec<_>>(), [&key("good")]);
    assert_eq!(fleet.invalid.keys().collect::<Vec<_>>(), [&key("ancient"), &key("bad")]);
    assert_eq!(fleet.invalid[&key("bad")].generation, 3);
    assert!(fleet.invalid[&key("ancient")].complaints[0].contains("missing field `bounds`"));
}

#[test]
fn an_unknown_profile_is_answered_with_the_known_ones() {
    let mut wrong = cr("a", "a", "");
    wrong.spec.load.profile = "otlp".into();

    let fleet = fleet(&objects(vec![wrong]), &Readings::default());

    let complaint = &fleet.invalid[&key("a")].complaints[0];
    assert!(
        complaint.starts_with("spec.load.profile: ") && complaint.ends_with("gateway, otel-http"),
        "{complaint}"
    );
}

#[test]
fn zero_needs_series_that_outlive_the_workload() {
    let zero = |profile: &str| {
        let mut cr = cr("a", "a", "  activation: {}");
        (cr.spec.bounds.min, cr.spec.load.profile) = (0, profile.to_owned());
        objects(vec![cr])
    };

    assert!(fleet(&zero("otel-http"), &Readings::default()).invalid.contains_key(&key("a")));
    assert!(fleet(&zero("gateway"), &Readings::default()).workloads.contains_key(&key("a")));
}

#[test]
fn policies_that_write_to_one_target_are_contenders_of_each_other() {
    // Given two policies that write, on one target with an HPA; a careful one that only recommends, one that does
    // not know what a replica bears, and one that is paused.
    let known = "  capacity: {perReplica: 100}";
    let mut paused = cr("p", "web", known);
    paused.metadata.annotations = Some([("loadline.dev/paused".to_owned(), "true".to_owned())].into());
    let mut objects = objects(vec![
        cr("a", "web", known),
        cr("b", "web", known),
        cr("c", "web", "  mode: Recommend\n  capacity: {perReplica: 100}"),
        cr("d", "db", known),
        cr("o", "web", ""),
        paused,
    ]);
    let hpa = Contender { kind: "HorizontalPodAutoscaler".into(), name: "web".into() };
    // Two of them name the target by another version of its API.
    Arc::make_mut(&mut objects.policies[1]).spec.target.api_version = "apps/v1beta2".into();
    let named_by_hpa = Target::new("apps/v1beta1", "Deployment", "shop", "web");
    objects.contenders.insert(named_by_hpa.object(), vec![hpa.clone()]);

    let fleet = fleet(&objects, &Readings::default());

    // Then each hears of all others that write, and of no one else.
    let policy = |name: &str| Contender { kind: "ElasticPolicy".into(), name: name.into() };
    let heard = |name: &str| fleet.workloads[&key(name)].contenders.clone();
    assert_eq!(heard("a"), [policy("b"), hpa.clone()]);
    assert_eq!(heard("b"), [policy("a"), hpa.clone()]);
    assert_eq!(heard("c"), [policy("a"), policy("b"), hpa]);
    assert_eq!(heard("d"), []);
}

#[test]
fn a_policy_that_has_learned_what_a_replica_bears_writes_too() {
    // Given a policy that is to learn the capacity, beside one that declares it,
    let mut objects = objects(vec![cr("a", "web", "  capacity: {perReplica: 100}"), cr("l", "web", "")]);
    assert_eq!(fleet(&objects, &Readings::default()).workloads[&key("a")].contenders, []);
    // when its status says that it knows, then the two contend.
    let capacity = "{perReplica: 90, source: Learned, since: 2026-03-01T12:00:00Z, confidence: 0.5}";
    let status = format!("{{capacity: {capacity}}}");
    Arc::make_mut(&mut objects.policies[1]).status = Some(serde_yaml::from_str(&status).unwrap());
    let contender = Contender { kind: "ElasticPolicy".into(), name: "l".into() };
    assert_eq!(fleet(&objects, &Readings::default()).workloads[&key("a")].contenders, [contender]);
}

#[test]
fn cpu_is_asked_for_only_while_a_capacity_is_learned_of_replicas_that_ask_for_some() {
    let learned = "  objective: {latency: {quantile: 0.99, target: 250ms}}";
    let asked = |spec: &str, request, standing: Option<&str>| {
        let mut policy = cr("a", "web", spec);
        policy.status = standing.map(|standing| {
            let learned = format!("{{standing: {standing}, testedDays: 1, explainedDays: 1}}");
            let capacity = "source: Learning, since: 2026-03-01T12:00:00Z, confidence: 0";
            serde_yaml::from_str(&format!("{{capacity: {{{capacity}, learned: {learned}}}}}")).unwrap()
        });
        let mut objects = objects(vec![policy]);
        let footprint = Some(Footprint { images: 1, cpu_request: request });
        let view = TargetView { footprint, ..view(4) };
        objects.targets.insert((ClusterId::local(), deployment("web")), Ok(view));
        Translator::of(&objects).asks(&objects)[0].detail.cpu
    };
    assert!(asked(learned, Some(500), None));
    assert!(asked(learned, Some(500), Some("Learning")));
    assert!(!asked(learned, Some(500), Some("Learned")));
    assert!(!asked(learned, Some(500), Some("Provisional")));
    assert!(!asked(learned, None, None), "nothing can be estimated");
    assert!(!asked("", Some(500), None), "nobody says what healthy is");
    let mut weighs = cr("a", "web", "  capacity: {perReplica: 100}");
    weighs.spec.load.weights = serde_yaml::from_str("{learned: Endpoints}").unwrap();
    let objects = objects(vec![weighs]);
    let detail = Translator::of(&objects).asks(&objects)[0].detail;
    assert!(detail.cpu && detail.endpoints, "weights go on being learned");
    assert!(!asked(&format!("{learned}\n  capacity: {{perReplica: 100}}"), Some(500), None));
}

#[test]
fn what_was_not_read_is_a_doubt_and_what_was_not_seen_a_problem() {
    let triggers = "  triggers: [{name: backlog, query: lag, perReplica: 200}]";
    let mut objects = objects(vec![cr("seen", "seen", triggers), cr("unseen", "unseen", "")]);
    objects.targets.insert((ClusterId::local(), deployment("seen")), Ok(view(4)));
    let mut readings = Readings::default();

    let before = fleet(&objects, &readings);
    let sample = LoadSample {
        window: Duration::from_mins(1),
        histogram: None,
        endpoints: std::collections::BTreeMap::new(),
        requests: 50.0,
        backlog: None,
    };
    let steady = Ok(Reading::complete(sample, now().wall));
    readings.loads.insert(
        (key("seen"), ClusterId::local()),
        LoadReading { steady: steady.clone(), burst: None, cpu: None },
    );
    readings.triggers.insert((key("seen"), "backlog".into()), Err(Doubt::TimedOut));
    let after = fleet(&objects, &readings);

    let instance =
        |fleet: &Fleet| fleet.workloads[&key("seen")].instances[&ClusterId::local()].clone().unwrap();
    assert_eq!(instance(&before).load, Err(Doubt::NotYetRead));
    assert_eq!(before.workloads[&key("seen")].triggers["backlog"], Err(Doubt::NotYetRead));
    assert_eq!(instance(&after).load, steady);
    assert_eq!(instance(&after).ready, 4);
    assert_eq!(after.workloads[&key("seen")].triggers["backlog"], Err(Doubt::TimedOut));
    let unseen = &after.workloads[&key("unseen")].instances[&ClusterId::local()];
    assert_eq!(unseen.as_ref().unwrap_err(), &TargetProblem::NotYetSeen);
    assert_eq!(after.clusters[&ClusterId::local()].state, ClusterState::Healthy);
}

#[test]
fn a_cluster_of_which_nothing_was_seen_yet_is_dark() {
    let mut objects = objects(vec![cr("a", "a", "")]);
    objects.targets.insert((ClusterId::local(), deployment("a")), Err(TargetProblem::NotYetSeen));

    assert_eq!(fleet(&objects, &Readings::default()).clusters[&ClusterId::local()].state, ClusterState::Dark);
}

#[test]
fn a_cluster_that_cannot_be_written_says_why_and_keeps_what_was_seen() {
    let mut objects = objects(vec![cr("a", "a", "")]);
    objects.targets.insert((ClusterId::local(), deployment("a")), Ok(view(4)));
    let detail = "get leases loadline/loadline: no answer in time".to_owned();
    let outage = Outage { since: now().wall, cause: OutageCause::NoAnswer, detail };
    objects.outages.insert(ClusterId::local(), outage.clone());

    let fleet = fleet(&objects, &Readings::default());
    assert_eq!(fleet.clusters[&ClusterId::local()].state, ClusterState::Cut(outage));
    assert_eq!(fleet.workloads[&key("a")].instances[&ClusterId::local()].as_ref().unwrap().wanted, 4);
}

#[test]
fn the_lever_freezes_until_it_expires() {
    let lever: SafetyLever = serde_yaml::from_str(
        "
apiVersion: loadline.dev/v1alpha1
kind: SafetyLever
metadata: {name: default}
spec: {freeze: true, reason: INC-4711, expiresAt: \"2026-03-01T13:00:00Z\"}",
    )
    .unwrap();
    let objects = Objects { lever: Some(Arc::new(lever)), ..Objects::default() };
    let reason = |wall| {
        let fleet = Translator::of(&objects).fleet(&objects, &Readings::default(), &profiles(), at(wall));
        fleet.freeze.map(|f| f.reason)
    };

    assert_eq!(reason("2026-03-01T12:59:59Z"), Some("INC-4711".to_owned()));
    assert_eq!(reason("2026-03-01T13:00:00Z"), None);
}

#[test]
fn the_telemetry_is_asked_for_valid_policies_only() {
    let mut by_route = cr("route", "route", "  triggers: [{name: backlog, query: lag, perReplica: 200}]");
    by_route.spec.load.selector = Some(loadline_crds::elastic_policy::SeriesMatch {
        labels: None,
        route: Some("shop/cart".into()),
        service: None,
    });
    let mut objects = objects(vec![by_route, cr("bad", "bad", "  fallback: {policy: Static}")]);
    objects.targets.insert((ClusterId::local(), deployment("route")), Ok(view(4)));

    let asks = Translator::of(&objects).asks(&objects);

    assert_eq!(asks.len(), 1);
    assert_eq!(asks[0].policy, key("route"));
    assert_eq!(asks[0].selector, SeriesSelector::Route("shop/cart".into()));
    assert_eq!(asks[0].expected, [(ClusterId::local(), 4)].into());
    assert_eq!(asks[0].triggers, [("backlog".to_owned(), "lag".to_owned())].into());
}

#[test]
fn only_what_changed_is_parsed_again() {
    let mut objects = objects(vec![cr("a", "a", ""), cr("b", "b", ""), cr("c", "c", "")]);
    let mut translator = Translator::default();
    assert_eq!(translator.refresh(&objects), 3, "all are new");
    assert_eq!(translator.refresh(&objects), 0, "nothing changed");

    // A status was written: another object, the same generation.
    let mut touched = (*objects.policies[0]).clone();
    touched.metadata.resource_version = Some("99".into());
    objects.policies[0] = Arc::new(touched.clone());
    assert_eq!(translator.refresh(&objects), 0, "a status is no input");

    // A person pauses it, and edits another.
    touched.metadata.annotations = Some([("loadline.dev/paused".to_owned(), "true".to_owned())].into());
    objects.policies[0] = Arc::new(touched);
    let mut edited = cr("b", "b", "  mode: Observe");
    edited.metadata.generation = Some(4);
    objects.policies[1] = Arc::new(edited);
    objects.policies.remove(2);
    assert_eq!(translator.refresh(&objects), 2, "an annotation and a spec are");

    let fleet = translator.fleet(&objects, &Readings::default(), &profiles(), now());
    assert_eq!(fleet.workloads.len(), 2, "the deleted one is gone");
    assert!(fleet.workloads[&key("a")].policy.pause.all);
    assert_eq!(fleet.workloads[&key("b")].policy.mode, Mode::Observe);
}
