//! Loadline beside HPA on recorded loads: what each violation and each replica costs, over all traces of a folder.
//!
//! HPA is run at targets from 0.2 to 0.95, Loadline at several quantiles of its forecast. Time with too few replicas and
//! cost are means over the traces of a group, which makes two curves; they are compared where both have points on either
//! side, and nowhere else.

use std::{fs::File, path::Path, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use loadline_controller::{
    closed_loop::{Accuracy, Grid, Noise, Score, Simulation, Trace},
    translate,
};
use loadline_crds::ElasticPolicy;
use loadline_dashboards::plot::{Line, Panel, Plot, Time};

use super::{Bound, Failure, Proof, Record, Scale};
use crate::emulator::trace;

pub(super) const PROOF: Proof = Proof {
    name: "frontier",
    about: "violations at equal cost and cost at equal violations, Loadline and HPA on recorded loads",
    run,
};

const TARGETS: [f64; 9] = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95];
const QUANTILES: [f64; 8] = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995];
/// The quantile whose calibration is looked at.
const CALIBRATED: f64 = 0.95;
/// Shorter traces leave too little after the first three days.
const SHORTEST: Duration = Duration::from_hours(5 * 24);

/// Traces of the same kind.
struct Group {
    name: &'static str,
    traces: &'static [&'static str],
    /// Costs, and shares of time with too few replicas in percent, at which the curves are compared.
    costs: &'static [f64],
    shares: &'static [f64],
    /// Fewer violations at equal cost, at the least.
    fewer: f64,
    /// Scale operations and pods over HPA's, at the most.
    churn: f64,
}

const GROUPS: [Group; 3] = [
    Group {
        name: "periodic",
        traces: &["crane_input0", "crane_input9", "crane_input13", "limbo_wikipedia_trace", "nab_nyc_taxi"],
        costs: &[1.08, 1.1, 1.15, 1.2, 1.25],
        shares: &[0.06, 0.1, 0.2, 0.4],
        fewer: 10.0,
        churn: 1.0,
    },
    Group {
        name: "aperiodic",
        traces: &["crane_input2", "crane_input11", "nab_elb_request_count_8c0756", "nab_Twitter_volume_GOOG"],
        costs: &[1.7, 1.85, 2.0, 2.25, 2.8, 3.5],
        shares: &[0.6, 1.0, 2.0, 3.0],
        fewer: 4.0,
        churn: 1.0,
    },
    Group {
        name: "aperiodic, all six",
        traces: &[
            "crane_input2",
            "crane_input4",
            "crane_input7",
            "crane_input11",
            "nab_elb_request_count_8c0756",
            "nab_Twitter_volume_GOOG",
        ],
        costs: &[1.65, 1.8, 2.0, 2.5, 3.0],
        shares: &[0.6, 1.0, 2.0],
        fewer: 4.0,
        churn: 1.0,
    },
];

/// A single trace, so that this proof does not rot.
const ONE: Group =
    // Between few points of one trace the churn may be a little over.
    Group {
        name: "one trace",
        traces: &["crane_input13"],
        costs: &[1.15, 1.2],
        shares: &[0.3],
        fewer: 2.0,
        churn: 1.2,
    };

const POLICY: &str = "
apiVersion: loadline.dev/v1alpha1
kind: ElasticPolicy
metadata: {name: trace, namespace: default, uid: trace, generation: 1}
spec:
  target: {apiVersion: apps/v1, kind: Deployment, name: trace}
  bounds: {min: 2, max: 600}
  load: {profile: otel-http}
";

/// A point of a curve: means over the traces of a group.
#[derive(Debug, Clone, Copy)]
struct Point {
    cost: f64,
    /// Share of the time with too few replicas, percent.
    short: f64,
    operations: f64,
    pods: f64,
}

/// What one strategy did on one trace.
struct Run {
    trace: &'static str,
    score: Score,
    accuracy: Accuracy,
}

fn run(record: &mut Record) -> BoxFuture<'_, Result<(), Failure>> {
    async move {
        let folder = trace::folder();
        if record.scale() != Scale::FULL {
            let Some(folder) = folder else {
                record.progress("not compared: LOADLINE_TRACES does not name the folder of the load traces");
                return Ok(());
            };
            return compare(record, &folder, &ONE, &[0.9, 0.95, 0.99], &[0.7, 0.8, 0.9]);
        }
        let folder = folder.ok_or("LOADLINE_TRACES does not name the folder of the load traces")?;
        for group in &GROUPS {
            compare(record, &folder, group, &QUANTILES, &TARGETS)?;
        }
        Ok(())
    }
    .boxed()
}

fn simulation(folder: &Path, name: &str) -> Result<Simulation, Failure> {
    let object: ElasticPolicy = serde_yaml::from_str(POLICY)?;
    let policy = translate::policy(&object).map_err(|complaints| format!("{complaints:?}"))?;
    let trace = Trace::read(File::open(folder.join(format!("{name}.csv")))?)?;
    let grid = Grid::new(&trace, Noise::None);
    Ok(Simulation::new(grid, policy, 60.0, Duration::from_mins(3), Duration::from_hours(72)))
}

/// Runs strategies on all traces of a group, each on its own thread.
fn runs(simulations: &[(&'static str, Simulation)], strategy: &str) -> Result<Vec<Run>, Failure> {
    let strategy = strategy.parse()?;
    let all = std::thread::scope(|scope| {
        let each = simulations.iter().map(|(trace, simulation)| {
            scope.spawn(move || {
                let run = simulation.run(strategy);
                Run { trace, score: run.score, accuracy: run.accuracy }
            })
        });
        let each: Vec<_> = each.collect();
        each.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Result<Vec<_>, _>>()
    });
    all.map_err(|_| "a simulation has panicked".into())
}

fn pooled(runs: &[Run]) -> Point {
    let count = f64::from(u32::try_from(runs.len()).unwrap_or(u32::MAX)).max(1.0);
    let mean = |of: fn(&Score) -> f64| runs.iter().map(|run| of(&run.score)).sum::<f64>() / count;
    Point {
        cost: mean(|s| s.cost),
        short: mean(|s| s.tau_u),
        operations: mean(|s| s.scale_ops_per_day),
        pods: mean(|s| s.pods_changed_per_day),
    }
}

fn compare(
    record: &mut Record,
    folder: &Path,
    group: &Group,
    quantiles: &[f64],
    targets: &[f64],
) -> Result<(), Failure> {
    let simulations = group
        .traces
        .iter()
        .map(|name| Ok((*name, simulation(folder, name)?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let short = simulations.iter().find(|(_, s)| s.times().count() < steps(SHORTEST));
    if let Some((name, _)) = short {
        return Err(format!("the trace {name} is shorter than five days").into());
    }
    let curve = |prefix: &str, parameters: &[f64]| -> Result<Vec<(f64, Vec<Run>)>, Failure> {
        let all = parameters.iter().map(|p| Ok((*p, runs(&simulations, &format!("{prefix}:{p}"))?)));
        all.collect()
    };
    let ours = curve("loadline", quantiles)?;
    let theirs = curve("hpa", targets)?;
    let points = |runs: &[(f64, Vec<Run>)]| {
        let mut points: Vec<_> = runs.iter().map(|(_, runs)| pooled(runs)).collect();
        points.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        frontier(points)
    };
    for (name, curve) in [("loadline", &ours), ("hpa", &theirs)] {
        println!("{}: {name}", group.name);
        for (parameter, runs) in curve {
            let Point { cost, short, operations, pods } = pooled(runs);
            println!(
                "  {parameter:<6} cost {cost:.3}  too few {short:.3} %  scaled {operations:.0}/day  pods {pods:.0}/day"
            );
        }
    }
    judge(record, group, &points(&ours), &points(&theirs));
    accuracy(record, group, &ours);
    let file = group.name.replace(", ", "-").replace(' ', "-");
    record.plot(&file, &picture(group, &points(&ours), &points(&theirs)))
}

/// The points, cheapest first, without those that a cheaper one beats: at the quantile 0.5, for example, the forecast is
/// hardly better than the last value and earns no trust, so that the reactive loop decides.
fn frontier(points: Vec<Point>) -> Vec<Point> {
    let mut best = f64::INFINITY;
    let better = |point: &Point| {
        let better = point.short < best;
        best = best.min(point.short);
        better
    };
    points.into_iter().filter(better).collect()
}

fn judge(record: &mut Record, group: &Group, ours: &[Point], theirs: &[Point]) {
    for cost in group.costs {
        let (Some(us), Some(them)) = (at_cost(ours, *cost), at_cost(theirs, *cost)) else { continue };
        let what = |what: &str| format!("{}: {what} at cost {cost}", group.name);
        record.figure(&what("times fewer violations"), them.short / us.short, "");
        record.bounded(
            &what("scale operations over HPA's"),
            us.operations / them.operations,
            "",
            Bound::AtMost(group.churn),
        );
        record.bounded(
            &what("pods started and stopped over HPA's"),
            us.pods / them.pods,
            "",
            Bound::AtMost(group.churn),
        );
    }
    let ratios: Vec<f64> = group
        .costs
        .iter()
        .filter_map(|cost| Some((at_cost(theirs, *cost)?.short / at_cost(ours, *cost)?.short).ln()))
        .collect();
    let count = f64::from(u32::try_from(ratios.len()).unwrap_or(u32::MAX));
    let mean = (ratios.iter().sum::<f64>() / count).exp();
    record.bounded(
        &format!("{}: times fewer violations, geometric mean", group.name),
        mean,
        "",
        Bound::AtLeast(group.fewer),
    );
    for share in group.shares {
        let (Some(us), Some(them)) = (at_share(ours, *share), at_share(theirs, *share)) else { continue };
        let name = format!("{}: cheaper with too few in {share} % of the time", group.name);
        record.figure(&name, 100.0 * (1.0 - us / them), "%");
    }
}

/// Calibration and errors of each trace at the quantile of [`CALIBRATED`].
fn accuracy(record: &mut Record, group: &Group, ours: &[(f64, Vec<Run>)]) {
    let Some((_, runs)) = ours.iter().find(|(q, _)| (q - CALIBRATED).abs() < f64::EPSILON) else { return };
    for Run { trace, accuracy, .. } in runs {
        let figures = [
            ("calibration", accuracy.calibration),
            ("error at 15 min over the last value's", accuracy.wape_15m),
            ("error at 60 min over the last value's", accuracy.wape_60m),
        ];
        for (what, value) in figures {
            if let Some(value) = value {
                record.figure(&format!("{} / {trace}: {what}", group.name), value, "");
            }
        }
    }
}

/// The curve at a cost, on a straight line between its points (of the logarithm of violations, which span four decades).
fn at_cost(curve: &[Point], cost: f64) -> Option<Point> {
    let (a, b) = curve.iter().zip(curve.iter().skip(1)).find(|(a, b)| (a.cost..=b.cost).contains(&cost))?;
    let share = (cost - a.cost) / (b.cost - a.cost).max(f64::MIN_POSITIVE);
    let line = |a: f64, b: f64| a + (b - a) * share;
    let log = |short: f64| short.max(1e-4).ln();
    Some(Point {
        cost,
        short: line(log(a.short), log(b.short)).exp(),
        operations: line(a.operations, b.operations),
        pods: line(a.pods, b.pods),
    })
}

/// The least cost at which the curve has so many violations.
fn at_share(curve: &[Point], share: f64) -> Option<f64> {
    let log = |short: f64| short.max(1e-4).ln();
    let between = |(a, b): &(&Point, &Point)| (b.short..=a.short).contains(&share);
    let (a, b) = curve.iter().zip(curve.iter().skip(1)).find(between)?;
    let part = (log(a.short) - log(share)) / (log(a.short) - log(b.short)).max(f64::MIN_POSITIVE);
    Some(a.cost + (b.cost - a.cost) * part)
}

fn picture(group: &Group, ours: &[Point], theirs: &[Point]) -> Plot {
    let most = group.costs.last().map_or(f64::INFINITY, |cost| 1.2 * cost);
    let line = |name: &str, points: &[Point]| {
        let shown = points.iter().filter(|p| p.cost <= most);
        Line::new(name, shown.map(|p| (p.cost, p.short.max(1e-4).log10() + 4.0)))
    };
    Plot {
        title: format!("{}: cost (to the right) and time with too few replicas", group.name),
        time: Time::Number,
        panels: vec![Panel {
            title: "1: 0.001 %, 2: 0.01 %, 3: 0.1 %, 4: 1 %, 5: 10 % of the time".to_owned(),
            lines: vec![line("loadline", ours), line("HPA", theirs)],
            ..Panel::default()
        }],
    }
}

fn steps(time: Duration) -> usize {
    usize::try_from(time.as_secs() / loadline_controller::closed_loop::STEP.as_secs()).unwrap_or(usize::MAX)
}
