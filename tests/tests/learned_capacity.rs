//! The capacity of a replica learned by the whole production tick over the simulated fleet, against what the simulated
//! service really bears: the work per replica at which its latency leaves the objective.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it needs by panicking")]

use std::time::Duration;

use loadline_chaos::world::{
    Fault, FaultKind, World,
    service::{BaseLatency, ServiceModel, ServiceState},
};
use loadline_controller::simulated::Drive;
use loadline_policies::{
    capacity::{Known, Source},
    ids::{PolicyKey, Target},
    plan::Decision,
    reason::ConditionKind,
};

const TARGET: f64 = 0.25;
const QUANTILE: f64 = 0.99;

/// A service, its load, and how its policy is run.
struct Story {
    service: ServiceModel,
    replicas: u32,
    /// Requests per second by the hour, again and again.
    hours: Vec<f64>,
    mode: &'static str,
    /// `load.weights` of the policy, after the profile.
    weights: &'static str,
    max: u32,
    sync: Duration,
    faults: Vec<Fault>,
    /// Whether the CPU of its pods is measured; each asks for a core.
    cpu: bool,
    /// The operator is restarted every so many hours.
    restarts: Option<u64>,
    seed: u64,
}

/// What was decided at the end of each hour, the replicas wanted then, and the most within it.
struct Course {
    decisions: Vec<Decision>,
    most: Vec<u32>,
    replicas: Vec<u32>,
}

impl Story {
    /// Ten replicas that are only observed, under a day that swings from a tenth of `peak` to it; `peak` is per
    /// replica, as a share of what it bears.
    fn observed(service: ServiceModel, peak: f64) -> Self {
        let hours = day(truth(&service) * 10.0 * peak);
        let (mode, sync) = ("Observe", Duration::from_mins(1));
        Self {
            service,
            replicas: 10,
            hours,
            mode,
            weights: "",
            max: 10,
            sync,
            faults: Vec::new(),
            cpu: false,
            restarts: None,
            seed: 1,
        }
    }

    fn drive(&self) -> Drive {
        let config = format!(
            "
            resolution: 10s
            telemetry: {{scrape: 10s, delay: 1s, window: {window}s, burstWindow: 20s, cpu: {cpu}}}
            workloads:
            - namespace: shop
              name: checkout
              replicas: {{local: {replicas}}}
              service: {service}
              traffic: {{shape: {{kind: Trace, interval: 1h, values: {values:?}}}, noise: 0.03}}
            ",
            window = self.sync.as_secs(),
            cpu = self.cpu,
            replicas = self.replicas,
            service = serde_json::to_string(&self.service).unwrap(),
            values = self.hours,
        );
        let policy = format!(
            "
            apiVersion: loadline.dev/v1alpha1
            kind: ElasticPolicy
            metadata: {{namespace: shop, name: checkout}}
            spec:
              target: {{apiVersion: apps/v1, kind: Deployment, name: checkout}}
              mode: {}
              bounds: {{min: 2, max: {}}}
              load: {{profile: otel-http{}}}
              objective: {{latency: {{quantile: {QUANTILE}, target: 250ms}}}}
              capacity: {{perReplica: Learned}}
            ",
            self.mode, self.max, self.weights
        );
        let world = World::new(serde_yaml::from_str(&config).unwrap(), self.faults.clone(), self.seed);
        Drive::new(world, [serde_yaml::from_str(&policy).unwrap()], self.sync)
    }

    fn days(&self, days: u64) -> Course {
        let mut drive = self.drive();
        let (key, target) = (PolicyKey::new("shop", "checkout"), target());
        let syncs = 3_600 / self.sync.as_secs();
        let mut course = Course { decisions: Vec::new(), most: Vec::new(), replicas: Vec::new() };
        // An hour more than the days, so that the last one is closed.
        for hour in 0..=days * 24 {
            let (mut last, mut most) = (None, 0);
            if self.restarts.is_some_and(|every| hour > 0 && hour % every == 0) {
                let wanted = |drive: &Drive| drive.fleet().with(|world| world.pulse(&target).unwrap().wanted);
                let before = wanted(&drive);
                drive.restart();
                drive.look();
                assert_eq!(wanted(&drive), before, "a restart itself changes nothing");
            }
            for _ in 0..syncs {
                let mut plan = drive.advance();
                assert_eq!(drive.broken(&plan), []);
                last = plan.decisions.remove(&key);
                most = most.max(drive.fleet().with(|world| world.pulse(&target).unwrap().wanted));
            }
            course.decisions.extend(last);
            course.most.push(most);
            course.replicas.push(drive.fleet().with(|world| world.pulse(&target).unwrap().wanted));
        }
        course
    }
}

impl Course {
    /// What is known so many hours after the start.
    fn at(&self, hour: u64) -> Known {
        self.decisions[index(hour)].capacity.unwrap()
    }

    fn condition(&self, hour: u64, kind: ConditionKind) -> (Option<bool>, &'static str) {
        let decision = &self.decisions[index(hour)];
        decision.conditions.iter().find(|c| c.kind == kind).map(|c| (c.status, c.reason)).unwrap()
    }

    fn last(&self) -> Known {
        self.decisions.last().unwrap().capacity.unwrap()
    }
}

fn target() -> Target {
    Target::new("apps/v1", "Deployment", "shop", "checkout")
}

fn index(hour: u64) -> usize {
    usize::try_from(hour).unwrap()
}

/// A day by the hour: a tenth of the peak at night, the peak at three in the afternoon.
fn day(peak: f64) -> Vec<f64> {
    let hill = |hour: u32| (f64::from(hour) - 15.0).abs() / 12.0;
    (0..24).map(|hour| peak * (0.1 + 0.9 * (1.0 - hill(hour).min(1.0)))).collect()
}

/// What one replica of a service bears: requests per second at which its latency leaves the objective.
fn truth(service: &ServiceModel) -> f64 {
    let (mut low, mut high) = (0.0, service.capacity);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        let mut state = ServiceState::default();
        let served = (0..60).map(|_| service.serve(middle, 1, 1.0, &mut state)).last().unwrap();
        if served.latency.quantile(QUANTILE) <= TARGET { low = middle } else { high = middle }
    }
    low
}

fn service(capacity: f64, workers: u32, (median, p99): (f64, f64)) -> ServiceModel {
    ServiceModel { workers, latency: BaseLatency { median, p99 }, ..ServiceModel::plain(capacity) }
}

#[track_caller]
fn near(got: Option<f64>, wanted: f64, share: f64) {
    let got = got.unwrap();
    assert!((got / wanted - 1.0).abs() <= share, "{got} is not {wanted} within {share}");
}

#[test]
fn it_converges_within_a_tenth_on_steady_services() {
    let services = [
        service(100.0, 8, (0.020, 0.120)),
        service(40.0, 4, (0.030, 0.150)),
        service(350.0, 16, (0.005, 0.080)),
    ];
    for (seed, service) in (1..).zip(services) {
        let truth = truth(&service);
        let course = Story { seed, ..Story::observed(service, 1.15) }.days(4);
        assert_eq!(course.at(30).source, Source::Learning, "a day is not enough");
        assert_eq!(course.last().source, Source::Learned);
        near(course.last().per_replica, truth, 0.1);
    }
}

#[test]
fn an_image_change_takes_a_fifth_off_until_it_is_learned_anew() {
    // Given a service whose capacity is known after three days,
    let service = service(100.0, 8, (0.020, 0.120));
    let truth = truth(&service);
    let change = Fault {
        at: Duration::from_hours(3 * 24 + 6),
        lasts: Duration::ZERO,
        workload: None,
        cluster: None,
        fault: FaultKind::RollOut,
    };
    let story = Story { faults: vec![change], ..Story::observed(service, 1.15) };
    let course = story.days(7);
    let before = course.at(3 * 24 + 4).per_replica.unwrap();
    near(Some(before), truth, 0.1);
    // when its image changes, then four fifths of it are used at once,
    let after = course.at(3 * 24 + 8);
    assert_eq!(after.source, Source::Provisional);
    near(after.per_replica, before * 0.8, 0.01);
    assert_eq!((after.lower, after.upper), (None, None), "what was seen was another template");
    assert_eq!(course.condition(3 * 24 + 8, ConditionKind::CapacityKnown), (Some(true), "Provisional"));
    // and after some days it is known as before.
    assert_eq!(course.last().source, Source::Learned);
    near(course.last().per_replica, truth, 0.1);
}

#[test]
fn an_overloaded_window_is_never_trusted() {
    // Given a service that is asked for two and three times what it bears, for hours of every day, from the first day on,
    let service = service(100.0, 8, (0.020, 0.120));
    let truth = truth(&service);
    for factor in [2.0, 3.0] {
        let story = Story::observed(service.clone(), factor);
        let course = story.days(5);
        // then never more than it bears is believed.
        for hour in 0..5 * 24 {
            let known = course.at(hour);
            for believed in [known.per_replica, known.lower].into_iter().flatten() {
                assert!(believed <= truth * 1.03, "{believed} of {truth} at {hour} h: {known:?}");
            }
        }
        near(course.last().per_replica, truth, 0.1);
    }
}

#[test]
fn thirty_quiet_nights_lower_nothing() {
    // Given a service whose capacity is known after three days,
    let service = service(100.0, 8, (0.020, 0.120));
    let busy = day(truth(&service) * 10.0 * 1.15);
    // when thirty days follow in which it idles, is over-provisioned, or is just over half full at its peak,
    let quiet = |share: f64| busy.iter().map(move |rate| rate * share);
    let quiet = (0..30).flat_map(|n| quiet([0.03, 0.3, 0.55][n % 3]));
    let hours = busy.iter().copied().cycle().take(72).chain(quiet).collect();
    let story = Story { hours, sync: Duration::from_mins(2), ..Story::observed(service, 1.0) };
    let course = story.days(33);
    // then what is known of it is what was known before.
    let before = course.at(72);
    assert_eq!(before.source, Source::Learned);
    for hour in 72..33 * 24 {
        assert_eq!(course.at(hour).per_replica, before.per_replica, "at {hour} h");
    }
}

#[test]
fn a_slow_dependency_is_tried_once_told_and_not_learned() {
    // Given a service that is scaled by what was learned of it, under a steady load in the end,
    let service = service(100.0, 8, (0.020, 0.120));
    let steady = truth(&service) * 6.0;
    let hours = (0..3)
        .flat_map(|_| day(truth(&service) * 10.0 * 1.15))
        .chain(std::iter::repeat_n(steady, 48))
        .collect();
    let slow = Fault {
        at: Duration::from_hours(3 * 24 + 12),
        lasts: Duration::from_hours(6),
        workload: None,
        cluster: None,
        fault: FaultKind::ServiceSlow { factor: 8.0 },
    };
    let story = Story { hours, mode: "Active", max: 40, faults: vec![slow], ..Story::observed(service, 1.0) };
    let course = story.days(5);
    let (begins, ends) = (3 * 24 + 12, 3 * 24 + 18);
    let before = course.at(begins - 1);
    assert_eq!(before.source, Source::Learned);
    // when a dependency is slow for six hours, then a quarter more replicas are tried, once,
    let was = course.replicas[index(begins) - 1];
    let most = course.most[index(begins)..index(ends)].iter().max().copied().unwrap();
    assert!(most > was && most <= was + was.div_ceil(4), "{most} of {was}");
    // it says why no more are added, and stays with what the load needs,
    for hour in begins + 1..ends - 1 {
        let told = course.condition(hour, ConditionKind::LatencyNotCapacityBound);
        assert_eq!(told, (Some(true), "MoreReplicasDoNotHelp"), "at {hour} h");
        assert!(course.most[index(hour)] <= was + 1, "{:?}", course.most);
    }
    // and nothing of it is learned.
    assert_eq!(course.last().per_replica, before.per_replica);
}

#[test]
fn it_scales_by_what_it_learned_and_keeps_its_promise() {
    // Given a service of ten replicas under a load that needs more of them at its peak, and a policy that may act,
    let service = service(100.0, 8, (0.020, 0.120));
    let truth = truth(&service);
    let story = Story { mode: "Active", max: 60, ..Story::observed(service, 1.3) };
    let course = story.days(5);
    // then nothing is scaled before the capacity is known,
    assert_eq!(course.most[..47].iter().max(), Some(&10));
    assert_eq!(course.condition(40, ConditionKind::CapacityKnown), (Some(false), "Learning"));
    // and from then on the peak is served with what it needs and some head-room.
    near(course.last().per_replica, truth, 0.1);
    let peak = course.most[4 * 24..].iter().max().copied().unwrap();
    assert!((13..=17).contains(&peak), "{peak}");
    for hour in 3 * 24..5 * 24 {
        let told = course.condition(hour, ConditionKind::LatencyNotCapacityBound);
        assert_eq!(told.1, "WithinObjective", "at {hour} h");
    }
}

#[test]
fn an_operator_that_is_restarted_every_seven_hours_goes_on_where_it_was() {
    // Given the same service and policy, and an operator that is restarted again and again,
    let service = service(100.0, 8, (0.020, 0.120));
    let truth = truth(&service);
    let story = Story { mode: "Active", max: 60, restarts: Some(7), ..Story::observed(service, 1.3) };
    // when five days pass (no restart by itself changes the replicas: see `days`),
    let course = story.days(5);
    // then it has learned as much, as soon, and serves the peak as well.
    assert_eq!(course.last().source, Source::Learned);
    near(course.last().per_replica, truth, 0.1);
    let first = (0..5 * 24).find(|hour| course.at(*hour).source == Source::Learned).unwrap();
    assert!((47..=3 * 24).contains(&first), "{first} h");
    assert!((first..5 * 24).all(|hour| course.at(hour).source == Source::Learned), "never forgotten");
    let peak = course.most[4 * 24..].iter().max().copied().unwrap();
    assert!((13..=17).contains(&peak), "{peak}");
}

#[test]
fn what_never_reached_its_knee_is_a_lower_bound_and_says_so() {
    let service = service(100.0, 8, (0.020, 0.120));
    let truth = truth(&service);
    let course = Story { mode: "Active", max: 60, ..Story::observed(service, 0.4) }.days(4);
    assert_eq!(course.condition(90, ConditionKind::CapacityKnown), (Some(true), "LowerBound"));
    near(course.last().per_replica, truth * 0.4, 0.1);
    assert_eq!(course.last().upper, None);
}

#[test]
fn releases_do_not_wear_the_capacity_down() {
    // Given a service that is scaled by what was learned, so that none of its replicas is ever asked for more,
    let service = service(100.0, 8, (0.020, 0.120));
    let truth = truth(&service);
    let release = |day: u64| Fault {
        at: Duration::from_hours(day * 24 + 10),
        lasts: Duration::ZERO,
        workload: None,
        cluster: None,
        fault: FaultKind::RollOut,
    };
    // when it is released twice in two days, and again a week later,
    let faults = vec![release(3), release(4), release(10)];
    let story = Story { mode: "Active", max: 60, faults, ..Story::observed(service, 1.3) };
    let course = story.days(15);
    let known = |day: u64| course.at(day * 24 + 12).per_replica.unwrap();
    // then each time a fifth is taken off, once, and comes back within days.
    near(Some(known(3)), known(2) * 0.8, 0.01);
    near(Some(known(4)), known(3), 1e-9);
    near(Some(known(9)), truth, 0.1);
    near(Some(known(10)), known(9) * 0.8, 0.01);
    near(course.last().per_replica, truth, 0.1);
}

#[test]
fn work_that_is_weighted_by_latency_is_learned_in_its_own_unit() {
    // Given a policy that weighs requests by latency, so that a replica near its knee seems to do more,
    let weights = ", weights: {latency: {cuts: [10ms, 50ms, 100ms, 500ms], factors: [0.1, 0.5, 2, 4, 8]}}";
    let service = service(100.0, 8, (0.020, 0.120));
    let story = Story { mode: "Active", max: 60, weights, ..Story::observed(service, 1.3) };
    let course = story.days(5);
    // then its users are served within the objective at every hour, by not many more replicas than are needed.
    assert_eq!(course.last().source, Source::Learned);
    for hour in 3 * 24..5 * 24 {
        let told = course.condition(hour, ConditionKind::LatencyNotCapacityBound);
        assert_eq!(told.1, "WithinObjective", "at {hour} h");
    }
    let peak = course.most[4 * 24..].iter().max().copied().unwrap();
    assert!((13..=17).contains(&peak), "{peak}");
}

#[test]
fn until_it_is_learned_the_cpu_adds_replicas_and_removes_none() {
    // Given a service that is busy with computing, and whose CPU is measured,
    let service = service(100.0, 8, (0.020, 0.120));
    let truth = truth(&service);
    let story = Story { mode: "Active", max: 60, cpu: true, ..Story::observed(service, 1.3) };
    let course = story.days(4);
    // when its first morning has shown what requests cost, then the peak is served by an estimate,
    assert_eq!(course.condition(2, ConditionKind::CapacityKnown), (Some(false), "Learning"));
    let peak = course.at(14);
    assert_eq!(peak.source, Source::Estimated);
    assert_eq!(course.condition(14, ConditionKind::CapacityKnown), (Some(true), "Estimated"));
    // seven tenths of a core, at ten milliseconds a request,
    near(peak.per_replica, 70.0, 0.05);
    assert!(course.replicas[15] >= 16, "{:?}", course.replicas);
    // and nothing is removed until windows have told what a replica bears.
    let learned = (0..4 * 24).find(|hour| course.at(*hour).source == Source::Learned).unwrap();
    assert!((40..60).contains(&learned), "{learned}");
    let first: Vec<_> = course.replicas[..index(learned)].to_vec();
    assert!(first.windows(2).all(|w| w[0] <= w[1]), "{first:?}");
    assert!(course.replicas[index(learned)..].iter().any(|n| *n < first[first.len() - 1]));
    // What was learned is what the windows showed, no more than it bears, and the CPU is forgotten.
    assert!(course.last().per_replica.unwrap() <= truth * 1.03, "{:?}", course.last());
    assert_eq!(course.last().cpu, None);
}

#[test]
fn a_service_that_waits_for_others_is_not_scaled_in_by_its_cpu() {
    // Given a service that mostly waits: fully busy, a replica uses a tenth of the core that it asks for,
    let service = ServiceModel { cpu: 0.1, idle_cpu: 0.01, ..service(100.0, 8, (0.020, 0.120)) };
    let truth = truth(&service);
    let story = Story { mode: "Active", max: 60, cpu: true, ..Story::observed(service, 0.9) };
    let course = story.days(2);
    // when its CPU says that a replica bears many times what it does,
    let estimated: Vec<u64> = (0..48).filter(|h| course.at(*h).source == Source::Estimated).collect();
    assert!(estimated.len() > 24, "{estimated:?}");
    assert!(estimated.iter().all(|hour| course.at(*hour).per_replica.unwrap() > 5.0 * truth));
    // then nothing is removed for that.
    for hour in estimated {
        assert!(course.replicas[index(hour)] >= 10, "{:?}", course.replicas);
    }
}
