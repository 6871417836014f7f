//! `loadline simulate` against the reference table of elasticity.md §6, which an independent implementation gave:
//! cost within 3 % and time under-provisioned within 0.5 points, for HPA and CudgX on every trace.
//!
//! The traces lie in the folder that `LOADLINE_TRACES` names.

use std::{error::Error, fs::File, path::Path, time::Duration};

use loadline_controller::closed_loop::{Grid, Noise, Simulation, Strategy, Trace};
use loadline_controller::translate;
use loadline_crds::ElasticPolicy;
use loadline_tests::emulator::trace;

const STRATEGIES: [&str; 4] = ["hpa:0.5", "hpa:0.7", "hpa:0.9", "cudgx:100-300/30"];

/// Cost, time under-provisioned in percent and scale operations a day, for each of [`STRATEGIES`].
type Row = (&'static str, [(f64, f64, f64); 4]);

const TABLE: [Row; 9] = [
    ("crane_input0", [(2.038, 0.00, 67.0), (1.451, 0.34, 62.0), (1.132, 3.89, 59.0), (1.691, 1.63, 29.0)]),
    ("crane_input9", [(1.984, 0.17, 69.0), (1.419, 0.25, 67.0), (1.105, 3.47, 65.0), (1.330, 1.10, 26.0)]),
    ("crane_input13", [(1.974, 0.13, 51.0), (1.412, 0.20, 51.0), (1.094, 2.40, 50.0), (1.369, 0.65, 17.0)]),
    (
        "limbo_wikipedia_trace",
        [(1.974, 0.00, 42.0), (1.412, 0.00, 41.0), (1.100, 2.50, 40.0), (1.367, 0.62, 17.0)],
    ),
    ("nab_nyc_taxi", [(1.984, 0.00, 48.0), (1.419, 0.00, 47.0), (1.105, 3.38, 46.0), (1.367, 0.84, 19.0)]),
    (
        "crane_input2",
        [(2.128, 8.71, 1229.0), (1.523, 13.83, 1061.0), (1.186, 19.76, 936.0), (1.361, 13.39, 277.0)],
    ),
    (
        "crane_input11",
        [(2.090, 1.60, 331.0), (1.498, 3.36, 307.0), (1.175, 8.02, 285.0), (1.462, 3.57, 61.0)],
    ),
    (
        "nab_elb_request_count_8c0756",
        [(2.559, 12.11, 1698.0), (1.831, 23.72, 1546.0), (1.430, 35.81, 1421.0), (1.522, 25.69, 419.0)],
    ),
    (
        "nab_Twitter_volume_GOOG",
        [(2.196, 1.56, 751.0), (1.575, 7.63, 644.0), (1.229, 25.72, 561.0), (1.701, 5.91, 106.0)],
    ),
];

/// The policy of the table: between 2 and 600 replicas.
const POLICY: &str = "
apiVersion: loadline.dev/v1alpha1
kind: ElasticPolicy
metadata: {name: trace, namespace: default, uid: trace, generation: 1}
spec:
  target: {apiVersion: apps/v1, kind: Deployment, name: trace}
  bounds: {min: 2, max: 600}
  load: {profile: otel-http}
";

fn simulation(folder: &Path, name: &str) -> Result<Simulation, Box<dyn Error>> {
    let object: ElasticPolicy = serde_yaml::from_str(POLICY)?;
    let policy = translate::policy(&object).map_err(|complaints| format!("{complaints:?}"))?;
    let trace = Trace::read(File::open(folder.join(format!("{name}.csv")))?)?;
    let grid = Grid::new(&trace, Noise::None);
    let (lead, warmup) = (Duration::from_mins(3), Duration::from_hours(72));
    Ok(Simulation::new(grid, policy, 60.0, lead, warmup))
}

#[test]
fn hpa_and_cudgx_do_what_an_independent_implementation_of_them_did() {
    let Some(folder) = trace::folder() else {
        eprintln!("not compared: LOADLINE_TRACES does not name the folder of the load traces");
        return;
    };
    let mut off = Vec::new();
    for (name, row) in TABLE {
        let simulation = simulation(&folder, name).unwrap();
        for (strategy, (cost, tau_u, operations)) in STRATEGIES.into_iter().zip(row) {
            let score = simulation.run(strategy.parse::<Strategy>().unwrap()).score;
            println!(
                "{name:30} {strategy:18} cost {:.3} ({cost:.3})  too few {:.2} ({tau_u:.2})  scaled {:.0} ({operations:.0})",
                score.cost, score.tau_u, score.scale_ops_per_day
            );
            let far = (score.cost / cost - 1.0).abs() > 0.03
                || (score.tau_u - tau_u).abs() > 0.5
                || (score.scale_ops_per_day / operations - 1.0).abs() > 0.05;
            if far {
                off.push(format!("{strategy} on {name}: {score:?}"));
            }
        }
    }
    assert!(off.is_empty(), "{off:#?}");
}
