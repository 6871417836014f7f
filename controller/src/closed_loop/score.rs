//! How well replicas followed demand: the elasticity metrics of the SPEC research group.
//!
//! After Herbst et al., "Ready for Rain? A View from SPEC Research on the Future of Cloud Metrics" (2016):
//! accuracy θ, time share τ, instability. Demand is `d = ceil(load / c)`, at least 1; supply `s` is the ready
//! replicas.

use serde::Serialize;

use super::grid::count;

/// The metrics of one strategy on one trace; percentages are 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// Under-provisioning: the mean share of the demand that was not supplied, percent.
    pub theta_u: f64,
    /// Over-provisioning: the mean share of the demand that was supplied on top of it, percent.
    pub theta_o: f64,
    /// Share of the time in which supply was below demand, percent.
    pub tau_u: f64,
    /// Share of the time in which supply was above demand, percent.
    pub tau_o: f64,
    /// Share of the steps in which supply and demand changed in different directions, percent.
    pub instability: f64,
    /// Share of the load that ready replicas could not bear, percent.
    pub loss: f64,
    /// Replicas asked for over replicas needed, over the whole time.
    pub cost: f64,
    /// Changes of the replicas asked for, a day.
    pub scale_ops_per_day: f64,
    /// Pods started plus pods stopped, a day.
    pub pods_changed_per_day: f64,
}

/// Sums over the steps of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct Scorer {
    steps: usize,
    theta: (f64, f64),
    tau: (usize, usize),
    unstable: f64,
    lost: f64,
    load: f64,
    spec: f64,
    demand: f64,
    operations: usize,
    changed: f64,
    last: Option<(u32, u32, u32)>,
}

/// One step of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// Load; NaN where it is not known.
    pub(super) load: f64,
    /// What one replica bears.
    pub(super) per_replica: f64,
    /// Replicas asked for.
    pub(super) spec: u32,
    /// Replicas that are ready.
    pub(super) ready: u32,
}

/// Replicas that a load needs: `ceil(load / c)`, at least 1.
pub(super) fn demand(load: f64, per_replica: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    let needed = (load / per_replica).ceil() as u32;
    needed.max(1)
}

impl Scorer {
    /// The step before the first one that counts: only changes are measured against it.
    pub(super) fn before(&mut self, seen: Seen) {
        if seen.load.is_finite() {
            self.last = Some((seen.spec, seen.ready, demand(seen.load, seen.per_replica)));
        }
    }

    /// One more step. What is not known is not judged.
    pub(super) fn add(&mut self, seen: Seen) {
        let Seen { load, per_replica, spec, ready } = seen;
        let changed = self.last.map_or(0, |(before, ..)| spec.abs_diff(before));
        self.operations += usize::from(changed > 0);
        self.changed += f64::from(changed);
        let Some(needed) = load.is_finite().then(|| demand(load, per_replica)) else {
            self.last = self.last.map(|(_, _, d)| (spec, ready, d));
            return;
        };
        let (d, s) = (f64::from(needed), f64::from(ready));
        self.steps += 1;
        self.theta.0 += (d - s).max(0.0) / d;
        self.theta.1 += (s - d).max(0.0) / d;
        self.tau.0 += usize::from(needed > ready);
        self.tau.1 += usize::from(ready > needed);
        if let Some((_, before, needed_before)) = self.last {
            let sign = |now: u32, before: u32| f64::from(i8::from(now > before) - i8::from(now < before));
            self.unstable += (sign(ready, before) - sign(needed, needed_before)).abs().min(1.0);
        }
        self.lost += (load - s * per_replica).max(0.0);
        self.load += load;
        self.spec += f64::from(spec);
        self.demand += d;
        self.last = Some((spec, ready, needed));
    }

    /// The metrics of all steps; `days` is how long they took together.
    pub(super) fn score(&self, days: f64) -> Score {
        let share = |part: f64, whole: f64| if whole > 0.0 { 100.0 * part / whole } else { 0.0 };
        let steps = count(self.steps);
        let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        Score {
            theta_u: share(self.theta.0, steps),
            theta_o: share(self.theta.1, steps),
            tau_u: share(count(self.tau.0), steps),
            tau_o: share(count(self.tau.1), steps),
            instability: share(self.unstable, steps),
            loss: share(self.lost, self.load),
            cost: ratio(self.spec, self.demand),
            scale_ops_per_day: ratio(count(self.operations), days),
            pods_changed_per_day: ratio(self.changed, days),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_of_a_few_steps_by_hand() {
        let mut scorer = Scorer::default();
        let seen = |load, spec, ready| Seen { load, per_replica: 10.0, spec, ready };
        scorer.before(seen(15.0, 2, 2));
        // Demand 2, 4, 4, 1 against supply 2, 2, 4, 4.
        for step in [seen(15.0, 2, 2), seen(40.0, 4, 2), seen(40.0, 4, 4), seen(0.0, 4, 4)] {
            scorer.add(step);
        }
        scorer.add(seen(f64::NAN, 3, 3));
        let score = scorer.score(0.5);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} is not {b}");
        close(score.theta_u, 100.0 * 0.5 / 4.0);
        close(score.theta_o, 100.0 * 3.0 / 4.0);
        close(score.tau_u, 25.0);
        close(score.tau_o, 25.0);
        // Demand rises before supply does, and falls when supply stays.
        close(score.instability, 100.0 * 3.0 / 4.0);
        close(score.loss, 100.0 * 20.0 / 95.0);
        close(score.cost, 14.0 / 11.0);
        close(score.scale_ops_per_day, 4.0);
        close(score.pods_changed_per_day, 6.0);
    }
}
