//! The vectors of elasticity.md §8: what HPA does with the same inputs, through the reference model and, where
//! production shares the arithmetic, through production.

use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::{
    behaviour::rate,
    desired::trigger,
    memory::Change,
    policy::{Amount, RateRule, Rules, Select},
};

const TEN_PERCENT: Tolerances = Tolerances { up: 0.1, down: 0.1 };
const READY: PodState = PodState::Ready;
const UNREADY: PodState = PodState::Unready;

fn pods(usages: &[Option<i64>], request: i64, unready: &[usize]) -> Vec<Pod> {
    usages
        .iter()
        .enumerate()
        .map(|(i, usage)| Pod {
            usage: *usage,
            request,
            state: if unready.contains(&i) { UNREADY } else { READY },
        })
        .collect()
}

fn some(usages: &[i64]) -> Vec<Option<i64>> {
    usages.iter().copied().map(Some).collect()
}

fn minutes_ago(minutes: u64) -> Mono {
    NOW.minus(Duration::from_mins(minutes))
}

const NOW: Mono = Mono(Duration::from_mins(1_000));

#[rstest]
#[case::three_pods_at_half(&some(&[300, 500, 700]), &[], 30, 5)]
#[case::one_of_the_three_unready(&some(&[300, 500, 700]), &[0], 30, 4)]
#[case::five_pods(&some(&[100, 300, 500, 250, 250]), &[], 50, 3)]
#[case::the_last_two_unready(&some(&[100, 300, 500, 250, 250]), &[3, 4], 50, 2)]
#[case::one_running_and_four_pending(&[Some(100), None, None, None, None], &[1, 2, 3, 4], 50, 1)]
#[case::metrics_of_two_of_four(&[Some(400), Some(95), None, None], &[], 100, 3)]
#[case::one_metric_of_two_at_target(&[Some(1000), None], &[], 100, 2)]
#[case::one_metric_of_two_above(&[Some(1900), None], &[], 100, 2)]
#[case::one_metric_of_two_below(&[Some(600), None], &[], 100, 2)]
fn cpu_utilisation_with_a_request_of_1000m(
    #[case] usages: &[Option<i64>],
    #[case] unready: &[usize],
    #[case] target: i64,
    #[case] expected: u32,
) {
    let current = u32::try_from(usages.len()).unwrap();
    assert_eq!(resource(&pods(usages, 1000, unready), target, current, TEN_PERCENT), Some(expected));
}

#[test]
fn a_utilisation_within_the_tolerance_changes_nothing() {
    let requests = [900, 1000, 1100];
    let usages = [1010, 1030, 1020];
    let pods: Vec<Pod> = requests
        .into_iter()
        .zip(usages)
        .map(|(request, usage)| Pod { usage: Some(usage), request, state: READY })
        .collect();
    assert_eq!(resource(&pods, 100, 3, TEN_PERCENT), Some(3));
}

#[test]
fn without_any_metric_a_resource_is_invalid() {
    assert_eq!(resource(&pods(&[None, None], 1000, &[]), 50, 2, TEN_PERCENT), None);
}

#[rstest]
#[case(&[20_000, 10_000, 30_000], 15_000, TEN_PERCENT, 4)]
#[case(&[12_000, 12_000, 12_000, 12_000, 12_000], 20_000, TEN_PERCENT, 3)]
#[case::within_the_tolerance(&[20_000, 21_000, 21_000], 20_000, TEN_PERCENT, 3)]
#[case::with_a_smaller_one_upwards(&[20_000, 21_000, 21_000], 20_000, Tolerances { up: 0.01, down: 0.1 }, 4)]
fn a_value_per_pod(
    #[case] usages: &[i64],
    #[case] target: i64,
    #[case] tolerances: Tolerances,
    #[case] expected: u32,
) {
    let current = u32::try_from(usages.len()).unwrap();
    assert_eq!(per_pod(&pods(&some(usages), 1000, &[]), target, current, tolerances), Some(expected));
}

#[rstest]
#[case::object_20_of_15_with_3_ready(20.0, 15.0, 3, 4)]
#[case::object_12_of_20_with_5(12.0, 20.0, 5, 3)]
#[case::external_8_6_of_14_334_with_5(8.6, 14.334, 5, 3)]
#[case::external_8_6_of_8_888_with_3(8.6, 8.888, 3, 3)]
fn a_value(#[case] value: f64, #[case] target: f64, #[case] ready: u32, #[case] expected: u32) {
    assert_eq!(trigger::value(value, target, ready, ready, TEN_PERCENT), expected);
}

#[rstest]
#[case(20.0, 5.0, 3, 4)]
#[case(6.0, 2.0, 5, 3)]
#[case::within_the_tolerance(20.166, 5.0, 4, 4)]
fn an_average_value(
    #[case] value: f64,
    #[case] per_replica: f64,
    #[case] current: u32,
    #[case] expected: u32,
) {
    assert_eq!(trigger::average_value(value, per_replica, current, TEN_PERCENT), expected);
}

fn rules(policies: &[(Amount, u64)]) -> Rules {
    Rules {
        stabilization_window: Duration::ZERO,
        policies: policies
            .iter()
            .map(|(amount, period)| RateRule { amount: *amount, period: Duration::from_secs(*period) })
            .collect(),
        select: Select::Max,
        tolerance: None,
        max_step: None,
        dwell: Duration::ZERO,
    }
}

fn both(policies: &[(Amount, u64)]) -> Behaviour {
    Behaviour { up: rules(policies), down: rules(policies) }
}

fn rate_limited(
    behaviour: Behaviour,
    current: u32,
    desired: u32,
    (min, max): (u32, u32),
    events: &[(u64, i64)],
) -> u32 {
    let mut hpa = Hpa::new(Bounds { min, max }, behaviour);
    for (seconds_ago, delta) in events {
        hpa.remember_change(NOW.minus(Duration::from_secs(*seconds_ago)), *delta);
    }
    hpa.step(current, &[Some(desired)], NOW)
}

#[rstest]
#[case::default_doubles(None, 10, 50, (1, 1000), 20)]
#[case::pods_and_percent(Some(&[(Amount::Replicas(100), 60), (Amount::Percent(100), 60)][..]), 10, 500, (1, 1000), 110)]
#[case::pods_up(Some(&[(Amount::Replicas(30), 60)][..]), 10, 50, (1, 1000), 40)]
#[case::pods_and_percent_down(Some(&[(Amount::Replicas(20), 60), (Amount::Percent(1), 60)][..]), 100, 2, (1, 1000), 80)]
#[case::pods_down(Some(&[(Amount::Replicas(5), 60)][..]), 10, 2, (1, 1000), 5)]
#[case::a_small_percentage_rounds_up(Some(&[(Amount::Percent(1), 60)][..]), 3, 1000, (1, 2000), 4)]
fn rate_rules(
    #[case] policies: Option<&[(Amount, u64)]>,
    #[case] current: u32,
    #[case] desired: u32,
    #[case] bounds: (u32, u32),
    #[case] expected: u32,
) {
    let behaviour = policies.map_or_else(Behaviour::hpa_default, both);
    assert_eq!(rate_limited(behaviour, current, desired, bounds, &[]), expected);
}

const UP_EVENTS: [(u64, i64); 3] = [(100, 1), (60, 5), (10, 9)];
const DOWN_EVENTS: [(u64, i64); 3] = [(100, -1), (60, -5), (10, -9)];

#[rstest]
#[case::pods_up(Amount::Replicas(5), &UP_EVENTS, 500, 100)]
#[case::percent_up(Amount::Percent(200), &UP_EVENTS, 500, 255)]
#[case::pods_down(Amount::Replicas(5), &DOWN_EVENTS, 2, 100)]
fn events_in_the_period_count(
    #[case] amount: Amount,
    #[case] events: &[(u64, i64)],
    #[case] desired: u32,
    #[case] expected: u32,
) {
    assert_eq!(rate_limited(both(&[(amount, 120)]), 100, desired, (1, 1000), events), expected);
}

#[test]
fn an_event_that_is_one_period_old_no_longer_counts() {
    let changes = [Change { at: NOW.minus(Duration::from_mins(2)), delta: 9 }].into();
    assert_eq!(rate::up_limit(100, &rules(&[(Amount::Replicas(5), 120)]), &changes, NOW), 105);
}

#[test]
fn disabled_and_min_select_as_hpa_does() {
    let two = [(Amount::Replicas(4), 60), (Amount::Percent(100), 60)];
    let select = |select| Rules { select, ..rules(&two) };
    let none = std::collections::VecDeque::new();
    assert_eq!(rate::up_limit(10, &select(Select::Max), &none, NOW), 20);
    assert_eq!(rate::up_limit(10, &select(Select::Min), &none, NOW), 14);
    assert_eq!(rate::up_limit(10, &select(Select::Disabled), &none, NOW), 10);
    assert_eq!(rate::down_limit(10, &select(Select::Max), &none, NOW), 0);
    assert_eq!(rate::down_limit(10, &select(Select::Min), &none, NOW), 6);
    assert_eq!(rate::down_limit(10, &select(Select::Disabled), &none, NOW), 10);
}

#[rstest]
#[case::the_highest_of_the_window(180, &[(2, 4), (1, 5)], 3, 5)]
#[case::those_before_the_window_do_not_count(300, &[(10, 10), (9, 9)], 3, 3)]
fn stabilisation(
    #[case] window: u64,
    #[case] recommended: &[(u64, u32)],
    #[case] desired: u32,
    #[case] expected: u32,
) {
    let mut behaviour = Behaviour::hpa_default();
    behaviour.down.stabilization_window = Duration::from_secs(window);
    let mut hpa = Hpa::new(Bounds { min: 1, max: 100 }, behaviour);
    for (ago, replicas) in recommended {
        hpa.remember_recommendation(minutes_ago(*ago), *replicas);
    }
    assert_eq!(hpa.step(10, &[Some(desired)], NOW), expected);
}

#[rstest]
#[case::below_min_at_once(1, (2, 10), &[Some(8)], 2)]
#[case::above_max_at_once(6, (1, 5), &[Some(8)], 5)]
#[case::one_broken_and_another_says_up(5, (1, 10), &[None, Some(7)], 7)]
#[case::one_broken_and_another_says_down(5, (1, 10), &[None, Some(3)], 5)]
#[case::all_broken(5, (1, 10), &[None, None], 5)]
#[case::nothing_changed(5, (1, 10), &[Some(5)], 5)]
#[case::scaled_to_zero_by_hand(0, (1, 10), &[Some(5)], 0)]
fn bounds_and_broken_metrics(
    #[case] current: u32,
    #[case] (min, max): (u32, u32),
    #[case] metrics: &[Option<u32>],
    #[case] expected: u32,
) {
    let mut behaviour = Behaviour::hpa_default();
    behaviour.down.stabilization_window = Duration::ZERO;
    assert_eq!(Hpa::new(Bounds { min, max }, behaviour).step(current, metrics, NOW), expected);
}
