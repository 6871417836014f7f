//! `loadline simulate`: what a policy would have done on a recorded load, against other autoscalers.

use std::{
    fs::{self, File},
    io::{self, BufReader, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use jiff::{Span, SpanRelativeTo};
use loadline_crds::ElasticPolicy;
use loadline_policies::policy::Policy;
use rayon::prelude::*;

mod past;
mod report;
mod result;

use self::{
    past::{PastError, Source},
    report::Part,
    result::{Results, StrategyResult, TraceResult},
};
use super::{CommandResult, Exit, cluster::Output};
use crate::{
    closed_loop::{Grid, Noise, STEP, Simulated, Simulation, Strategy, Trace, TraceError},
    translate,
};

/// Arguments of `simulate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Recorded load: a CSV file of `ts,value`, Unix seconds and requests per second, with a header line
    #[arg(
        long = "trace",
        required_unless_present = "from_prometheus",
        conflicts_with = "from_prometheus",
        num_args = 1..,
        value_name = "FILE"
    )]
    traces: Vec<PathBuf>,
    #[command(flatten)]
    from: Source,
    /// The policy to test; without it the defaults, between 2 and 600 replicas
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// What to compare: loadline or loadline:QUANTILE, hpa:TARGET, cudgx or cudgx:MIN-MAX/RATIO
    #[arg(long, value_delimiter = ',', default_value = "loadline,hpa:0.7,cudgx", value_name = "LIST")]
    strategies: Vec<Strategy>,
    /// From asking for a replica until it is ready
    #[arg(long, value_parser = duration, default_value = "180s", value_name = "TIME")]
    lead_time: Duration,
    /// Replicas that bear the peak (p99.5) of the trace, where the policy declares no capacity of a replica
    #[arg(long, value_parser = above_zero, default_value = "60", value_name = "N")]
    peak_replicas: f64,
    /// Time at the beginning that is not scored
    #[arg(long, value_parser = duration, default_value = "3d", value_name = "TIME")]
    warmup: Duration,
    /// What is added to a trace that is too smooth to be true
    #[arg(long, value_enum, default_value_t = NoiseKind::None)]
    noise: NoiseKind,
    /// The same seed gives the same noise
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Write report.html into this directory: a page with plots that needs nothing else
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum NoiseKind {
    /// The straight lines between the points of the trace
    None,
    /// Poisson arrivals of that mean
    Poisson,
}

impl Args {
    fn policy_name(&self) -> PathBuf {
        self.policy.clone().unwrap_or_else(|| PathBuf::from("the default policy"))
    }
}

/// Why nothing can be simulated.
#[derive(Debug, thiserror::Error)]
enum SimulateError {
    #[error("cannot read {path}: check the path and its permissions", path = path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("{path}: {source}", path = path.display())]
    Trace { path: PathBuf, source: TraceError },
    #[error("{path}: the trace lasts {lasts}, all of it warm-up: give a longer one, or a shorter --warmup than {warmup}", path = path.display())]
    AllWarmup { path: PathBuf, lasts: String, warmup: String },
    #[error(transparent)]
    Past(#[from] PastError),
    #[error("cannot write the report {path}", path = path.display())]
    Report { path: PathBuf, source: io::Error },
    #[error("{path} is no ElasticPolicy; look at it with: loadline lint {path}", path = path.display())]
    Policy { path: PathBuf, source: serde_yaml::Error },
    #[error("{path}: {complaints}", path = path.display())]
    InvalidPolicy { path: PathBuf, complaints: String },
}

/// Simulates and prints.
pub(super) fn run(args: &Args) -> CommandResult {
    let object = args.policy.as_deref().map_or_else(default_policy, read_policy)?;
    let policy = parse(&object)
        .map_err(|complaints| SimulateError::InvalidPolicy { path: args.policy_name(), complaints })?;
    let simulations: Vec<(String, Simulation)> = match args.from.read(&object)? {
        Some(past) => {
            let path = PathBuf::from(past.name.clone());
            vec![(past.name, prepare(&path, &past.trace, &policy, args)?)]
        }
        None => args.traces.iter().map(|path| from_file(path, &policy, args)).collect::<Result<_, _>>()?,
    };
    let runs = simulate(&simulations, args);
    let runs: Vec<&[Simulated]> = runs.chunks(args.strategies.len().max(1)).collect();
    let results: Vec<TraceResult> = simulations
        .iter()
        .zip(&runs)
        .map(|((trace, _), runs)| TraceResult {
            trace: trace.clone(),
            lead_time_s: args.lead_time.as_secs(),
            results: runs.iter().map(StrategyResult::from).collect(),
        })
        .collect();
    if let Some(folder) = &args.report {
        let parts = simulations.iter().zip(&runs).zip(&results);
        let parts: Vec<Part<'_>> =
            parts.map(|(((_, simulation), runs), result)| Part { simulation, runs, result }).collect();
        write_report(folder, &report::page(&parts))?;
    }
    let text = args.output.render(&Results::from(results), result::table)?;
    writeln!(io::stdout().lock(), "{}", text.trim_end())?;
    Ok(Exit::Ok)
}

/// Every strategy on every trace in this order, as many at once as there are processors.
fn simulate(simulations: &[(String, Simulation)], args: &Args) -> Vec<Simulated> {
    let jobs: Vec<(&Simulation, Strategy)> = simulations
        .iter()
        .flat_map(|(_, simulation)| args.strategies.iter().map(move |strategy| (simulation, *strategy)))
        .collect();
    let bar = progress(jobs.len());
    let done = jobs
        .par_iter()
        .map(|(simulation, strategy)| {
            let simulated = simulation.run(*strategy);
            bar.inc(1);
            simulated
        })
        .collect();
    bar.finish_and_clear();
    done
}

fn write_report(folder: &Path, page: &str) -> Result<(), SimulateError> {
    let path = folder.join(report::FILE);
    let failed = |source| SimulateError::Report { path: path.clone(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    fs::write(&path, page).map_err(failed)
}

/// A bar on a terminal, nothing elsewhere.
fn progress(jobs: usize) -> ProgressBar {
    let template = "{bar:40} {pos} of {len} runs, {elapsed}";
    match ProgressStyle::with_template(template) {
        Ok(style) if io::stderr().is_terminal() => ProgressBar::new(jobs as u64).with_style(style),
        _ => ProgressBar::hidden(),
    }
}

fn from_file(path: &Path, policy: &Policy, args: &Args) -> Result<(String, Simulation), SimulateError> {
    let file = File::open(path).map_err(|source| SimulateError::Open { path: path.to_owned(), source })?;
    let trace = Trace::read(BufReader::new(file))
        .map_err(|source| SimulateError::Trace { path: path.to_owned(), source })?;
    let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok((name, prepare(path, &trace, policy, args)?))
}

/// Says what had to be mended in a trace, and what is missing.
fn prepare(path: &Path, trace: &Trace, policy: &Policy, args: &Args) -> Result<Simulation, SimulateError> {
    let noise = match args.noise {
        NoiseKind::None => Noise::None,
        NoiseKind::Poisson => Noise::Poisson { seed: args.seed },
    };
    let grid = Grid::new(trace, noise);
    let mut told: Vec<String> = trace.repairs.iter().map(ToString::to_string).collect();
    if grid.gaps > 0 {
        let silent = STEP.saturating_mul(u32::try_from(grid.gaps).unwrap_or(u32::MAX));
        told.push(format!("{} lie in gaps: nobody knows the load there, and it is not scored", text(silent)));
    }
    for repair in told {
        eprintln!("{}: {repair}", path.display());
    }
    let lasts = STEP.saturating_mul(u32::try_from(grid.load.len()).unwrap_or(u32::MAX));
    if lasts <= args.warmup {
        let (lasts, warmup) = (text(lasts), text(args.warmup));
        return Err(SimulateError::AllWarmup { path: path.to_owned(), lasts, warmup });
    }
    let (peak, lead, warmup) = (args.peak_replicas, args.lead_time, args.warmup);
    Ok(Simulation::new(grid, policy.clone(), peak, lead, warmup))
}

fn read_policy(path: &Path) -> Result<ElasticPolicy, SimulateError> {
    let text =
        fs::read_to_string(path).map_err(|source| SimulateError::Open { path: path.to_owned(), source })?;
    serde_yaml::from_str(&text).map_err(|source| SimulateError::Policy { path: path.to_owned(), source })
}

/// What a policy says when it says as little as it can.
fn default_policy() -> Result<ElasticPolicy, SimulateError> {
    let text = include_str!("simulate/policy.yaml");
    serde_yaml::from_str(text)
        .map_err(|source| SimulateError::Policy { path: PathBuf::from("the default policy"), source })
}

fn parse(object: &ElasticPolicy) -> Result<Policy, String> {
    translate::policy(object)
        .map_err(|complaints| complaints.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

/// A time as `jiff` reads it (180s, 5m, 3d); a day has 24 hours.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: write for example 180s, 5m, 12h or 3d");
    let span: Span = text.parse().map_err(|_| wrong())?;
    let time = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(time).map_err(|_| wrong())
}

fn above_zero(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0);
    number.ok_or_else(|| format!("{text:?} is no number above 0"))
}

/// Days, hours and minutes, for people.
fn text(time: Duration) -> String {
    loadline_dashboards::terminal::duration(time)
}
