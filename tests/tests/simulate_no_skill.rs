//! Where nothing can be forecast, the forecast stays out of the way: the reactive loop decides, and does no worse than HPA
//! at the same cost. And where only the last value with a calibrated margin is better than the last value alone, that is
//! what is used, and said.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by panicking")]

use std::time::Duration;

use loadline_controller::{
    closed_loop::{Grid, STEP, Simulated, Simulation},
    translate,
};
use loadline_crds::ElasticPolicy;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Days of the load, of which the first three are not scored.
const DAYS: u64 = 6;

const POLICY: &str = "
apiVersion: loadline.dev/v1alpha1
kind: ElasticPolicy
metadata: {name: load, namespace: default, uid: load, generation: 1}
spec:
  target: {apiVersion: apps/v1, kind: Deployment, name: load}
  bounds: {min: 2, max: 600}
  load: {profile: otel-http}
";

fn simulation(load: Vec<f64>) -> Simulation {
    let object: ElasticPolicy = serde_yaml::from_str(POLICY).unwrap();
    let policy = translate::policy(&object).unwrap();
    let grid = Grid { start: 1_400_000_000.0, load, gaps: 0 };
    Simulation::new(grid, policy, 60.0, Duration::from_mins(3), Duration::from_hours(72))
}

fn steps() -> std::ops::Range<u64> {
    0..DAYS * 86_400 / STEP.as_secs()
}

/// A load that stands still, and jumps to any height about every hour, nobody knows when.
fn jumps(seed: u64) -> Vec<f64> {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let often = STEP.as_secs_f64() / Duration::from_hours(1).as_secs_f64();
    let level = |chance: &mut ChaCha8Rng| chance.random_range(300.0..1_500.0);
    let mut now = level(&mut chance);
    let next = |_| {
        if chance.random_bool(often) {
            now = level(&mut chance);
        }
        now
    };
    steps().map(next).collect()
}

fn run(simulation: &Simulation, strategy: &str) -> Simulated {
    let run = simulation.run(strategy.parse().unwrap());
    println!(
        "{strategy:15} cost {:.3} too few {:.3} % trust {:?} by {:?}",
        run.score.cost,
        run.score.tau_u,
        run.influence.trust(),
        run.influence.candidates()
    );
    run
}

/// HPA's share of time with too few replicas at a cost: between its two targets on either side of it.
fn hpa_at(simulation: &Simulation, cost: f64) -> f64 {
    let frontier = ["hpa:0.7", "hpa:0.75", "hpa:0.8", "hpa:0.85", "hpa:0.9", "hpa:0.95"]
        .map(|strategy| run(simulation, strategy).score);
    let (dear, cheap) = frontier
        .iter()
        .zip(frontier.iter().skip(1))
        .find(|(dear, cheap)| (cheap.cost..=dear.cost).contains(&cost))
        .unwrap();
    let share = (cost - cheap.cost) / (dear.cost - cheap.cost);
    cheap.tau_u + (dear.tau_u - cheap.tau_u) * share
}

#[test]
fn without_skill_the_reactive_loop_decides_and_is_no_worse_than_hpa_at_its_cost() {
    for seed in 1..=3 {
        // Given a load of which nothing is known beforehand,
        let simulation = simulation(jumps(seed));
        // when the median of what is coming, which is the last value, is asked for,
        let ours = run(&simulation, "loadline:0.5");
        // then the forecast is never trusted with anything,
        let trusted: f64 = ours
            .influence
            .trust()
            .iter()
            .filter(|(name, _)| name.contains("Full") || name.contains("ScaleOut"))
            .map(|(_, share)| share)
            .sum();
        assert!(trusted < 0.01, "seed {seed}: {:?}", ours.influence.trust());
        // and too few replicas are there no longer than HPA's at the same cost, by 2 %.
        let theirs = hpa_at(&simulation, ours.score.cost);
        assert!(
            ours.score.tau_u <= 1.02 * theirs,
            "seed {seed}: {} % instead of {theirs} %",
            ours.score.tau_u
        );
    }
}

#[test]
fn a_calibrated_margin_over_the_last_value_earns_its_place_without_any_season() {
    // Given a load that walks at random: the best guess is where it is, but how far it may get is known,
    let mut chance = ChaCha8Rng::seed_from_u64(1);
    let mut level = 0.0_f64;
    let mut walk: Vec<f64> = steps()
        .map(|_| {
            level = 0.9999 * level + 0.003 * chance.random_range(-1.0..1.0);
            1_000.0 * level.exp()
        })
        .collect();
    // in steps of a minute, so that no minute tells anything of the next.
    for minute in walk.chunks_mut(4) {
        let first = minute.first().copied().unwrap_or_default();
        minute.fill(first);
    }
    let ours = run(&simulation(walk), "loadline:0.95");
    // then the margin is trusted, and it is as wide as it says.
    let full = ours.influence.trust().get("Full").copied().unwrap_or_default();
    assert!(full > 0.9, "{:?}", ours.influence.trust());
    let covered = ours.accuracy.calibration.unwrap();
    assert!((0.93..=0.98).contains(&covered), "{covered}");
}

#[test]
fn where_the_last_value_is_the_best_candidate_it_is_used_and_said() {
    // Given a load that only ever falls, now and then: the highest of what is coming is what is there now,
    let mut chance = ChaCha8Rng::seed_from_u64(1);
    let mut level = 2_000.0_f64;
    let falling = steps().map(|_| {
        if chance.random_bool(1.0 / 240.0) {
            level *= 0.98;
        }
        level
    });
    let ours = run(&simulation(falling.collect()), "loadline:0.95");
    // then that is the candidate.
    let naive = ours.influence.candidates().get("naive").copied().unwrap_or_default();
    assert!(naive > 0.9, "{:?}", ours.influence.candidates());
}
