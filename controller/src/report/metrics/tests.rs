//! Stories of metrics: what a scraper sees.

use std::sync::atomic::AtomicBool;

use jiff::Timestamp;
use loadline_policies::{
    fleet::{Fleet, InvalidPolicy},
    ids::PolicyKey,
    memory::Memory,
    now::Now,
    plan::Demand,
    policy::Mode,
};

use super::*;
use crate::tick::tick;

/// The plan for these policies, each of which is not valid.
fn plan_of_invalid(names: &[&str]) -> Plan<Applied> {
    let invalid =
        |name: &&str| (PolicyKey::new("shop", name), InvalidPolicy { generation: 1, complaints: vec![] });
    let fleet = Fleet {
        now: Now::new(Timestamp::UNIX_EPOCH, Duration::ZERO),
        freeze: None,
        clusters: BTreeMap::new(),
        workloads: BTreeMap::new(),
        invalid: names.iter().map(invalid).collect(),
    };
    tick(&fleet, &mut Memory::default()).applied(Vec::new())
}

#[test]
fn a_problem_names_its_policy_for_as_long_as_it_lasts() {
    let line = |policy: &str| {
        format!(
            "loadline_policy_problem{{namespace=\"shop\",policy=\"{policy}\",condition=\"Ready\",\
             reason=\"InvalidSpec\"}} 1\n"
        )
    };
    let metrics = Metrics::default();
    metrics.plan(&plan_of_invalid(&["cart", "checkout"]));
    let text = metrics.text().unwrap();
    assert!(text.contains(&line("cart")) && text.contains(&line("checkout")), "{text}");
    metrics.plan(&plan_of_invalid(&["checkout"]));
    let text = metrics.text().unwrap();
    assert!(!text.contains(&line("cart")) && text.contains(&line("checkout")), "{text}");
    metrics.plan(&plan_of_invalid(&[]));
    assert!(!metrics.text().unwrap().contains("loadline_policy_problem{"));
}

/// A plan for one policy that was judged.
fn plan_of_judged(name: &str, desired: u32) -> Plan<Applied> {
    let mut plan = plan_of_invalid(&[name]);
    for decision in plan.decisions.values_mut() {
        decision.mode = Some(Mode::Active);
        decision.desired = desired;
        decision.redundancy = Some(f64::from(desired));
    }
    plan
}

#[test]
fn a_number_of_a_policy_goes_with_the_policy() {
    let metrics = Metrics::default();
    let line =
        |name: &str, n| format!("loadline_desired_replicas{{namespace=\"shop\",policy=\"{name}\"}} {n}\n");
    metrics.plan(&plan_of_judged("cart", 3));
    metrics.plan(&plan_of_judged("cart", 4));
    assert!(metrics.text().unwrap().contains(&line("cart", 4)));
    metrics.plan(&plan_of_judged("checkout", 5));
    let text = metrics.text().unwrap();
    assert!(text.contains(&line("checkout", 5)) && !text.contains("policy=\"cart\""), "{text}");
}

#[test]
fn a_scrape_in_the_middle_of_a_tick_sees_no_gap() {
    let metrics = Metrics::default();
    metrics.plan(&plan_of_judged("cart", 1));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (1..2_000).for_each(|n| metrics.plan(&plan_of_judged("cart", n % 7)));
            done.store(true, Ordering::SeqCst);
        });
        while !done.load(Ordering::SeqCst) {
            let text = metrics.text().unwrap();
            for series in
                ["loadline_desired_replicas{", "loadline_redundancy{", "loadline_policy_conditions{"]
            {
                assert!(text.contains(series), "{series} is missing in\n{text}");
            }
        }
    });
}

#[test]
fn data_that_cannot_be_read_any_more_grows_older() {
    let metrics = Metrics::default();
    let age_after = |second: u64, age: Option<u64>| {
        let mut plan = plan_of_judged("cart", 3);
        plan.at = Now::new(Timestamp::UNIX_EPOCH, Duration::from_secs(second));
        for decision in plan.decisions.values_mut() {
            let age = age.map(Duration::from_secs);
            decision.demand = age.map(|age| Demand {
                weighted: 1.0,
                raw: 1.0,
                requests: 1.0,
                interpolated: 0.0,
                capped: false,
                age,
            });
        }
        metrics.plan(&plan);
        metrics.data_age.get()
    };
    let ages = [(100, None), (105, None), (110, Some(3)), (115, Some(4)), (135, None), (140, Some(2))];
    let shown = ages.map(|(second, age)| age_after(second, age));
    assert_eq!(shown.map(|age| format!("{age:.0}")), ["0", "5", "3", "4", "24", "2"]);
}

#[test]
fn what_alerts_read_is_there_before_anything_happens() {
    let text = Metrics::default().text().unwrap();
    for line in [
        "loadline_actions_total{outcome=\"failed\"} 0",
        "loadline_status_writes_total{outcome=\"conflict\"} 0",
        "loadline_leader 0",
        "loadline_tick_step_duration_seconds_count{step=\"tick\"} 0",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

#[test]
fn queries_of_a_tick_are_the_difference() {
    let metrics = Metrics::default();
    metrics.queries(5);
    metrics.queries(12);
    let text = metrics.text().unwrap();
    assert!(text.contains("loadline_telemetry_queries_per_tick 7"), "{text}");
    assert!(text.contains("loadline_telemetry_queries_total 12"), "{text}");
}
