//! The result of a simulation: a contract that tools parse (elasticity.md §7), and a table for people.

use std::{collections::BTreeMap, fmt::Write as _};

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets::NOTHING};
use serde::Serialize;

use crate::closed_loop::{Score, Simulated};

/// One trace or several: a script that gives one gets an object, one that gives several gets a list.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Results {
    One(TraceResult),
    Several(Vec<TraceResult>),
}

/// The result of one trace.
#[derive(Debug, Serialize)]
pub(super) struct TraceResult {
    pub(super) trace: String,
    pub(super) lead_time_s: u64,
    pub(super) results: Vec<StrategyResult>,
}

/// The result of one strategy on it; percentages are 0 to 100.
#[derive(Debug, Serialize)]
pub(super) struct StrategyResult {
    strategy: String,
    #[serde(flatten)]
    score: Score,
    /// Share of windows whose maximum stayed at or under the forecast quantile; of forecasts only.
    calibration: Option<f64>,
    /// Mean absolute error 15 minutes ahead, as a ratio to that of the last value; of forecasts only.
    wape_15m: Option<f64>,
    /// The same 60 minutes ahead.
    wape_60m: Option<f64>,
    /// Shares of the time, 0 to 1, with each trust in the forecast; of forecasts only.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    trust: BTreeMap<&'static str, f64>,
    /// Shares of the time, 0 to 1, in which each candidate's forecast was used; of forecasts only.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    candidates: BTreeMap<&'static str, f64>,
    /// What the simulation took.
    seconds: f64,
}

impl From<Vec<TraceResult>> for Results {
    fn from(results: Vec<TraceResult>) -> Self {
        match <[TraceResult; 1]>::try_from(results) {
            Ok([one]) => Self::One(one),
            Err(several) => Self::Several(several),
        }
    }
}

impl Results {
    fn traces(&self) -> &[TraceResult] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }
}

impl From<&Simulated> for StrategyResult {
    fn from(simulated: &Simulated) -> Self {
        Self {
            strategy: simulated.strategy.to_string(),
            score: simulated.score,
            calibration: simulated.accuracy.calibration,
            wape_15m: simulated.accuracy.wape_15m,
            wape_60m: simulated.accuracy.wape_60m,
            trust: simulated.influence.trust(),
            candidates: simulated.influence.candidates(),
            seconds: simulated.took.as_secs_f64(),
        }
    }
}

/// The columns of the table, and what they mean.
pub(super) const COLUMNS: [&str; 7] =
    ["STRATEGY", "COST", "TOO FEW", "TOO MANY", "LOST", "SCALED/DAY", "PODS/DAY"];

/// What the columns mean.
pub(super) const LEGEND: &str = "COST: replicas asked for over replicas needed. TOO FEW, TOO MANY: share of the time. \
     LOST: share of the load that ready replicas could not bear. SCALED: changes of the replicas asked for. PODS: \
     started plus stopped.";

impl StrategyResult {
    /// A row of [`COLUMNS`].
    pub(super) fn row(&self) -> [String; COLUMNS.len()] {
        let Self { strategy, score, .. } = self;
        [
            strategy.clone(),
            format!("{:.3}", score.cost),
            format!("{:.2} %", score.tau_u),
            format!("{:.2} %", score.tau_o),
            format!("{:.3} %", score.loss),
            format!("{:.0}", score.scale_ops_per_day),
            format!("{:.0}", score.pods_changed_per_day),
        ]
    }

    /// How good the forecast was and how far it was trusted, in a sentence; `None` of what does not forecast.
    pub(super) fn forecast(&self) -> Option<String> {
        let share = |x: f64| format!("{:.1} %", 100.0 * x);
        let ratio = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{x:.2}"));
        let named = |shares: &BTreeMap<&'static str, f64>| {
            let mut all: Vec<_> = shares.iter().collect();
            all.sort_by(|a, b| b.1.total_cmp(a.1));
            all.iter().map(|(name, part)| format!("{name} {}", share(**part))).collect::<Vec<_>>().join(", ")
        };
        Some(format!(
            "{}: in {} of the cases the load stayed at or under its forecast until new replicas could be ready. As a \
             guess of the load itself its error is {} of the last value's 15 minutes ahead, and {} 60 minutes ahead. \
             Trust over time: {}. Forecast by: {}.",
            self.strategy,
            share(self.calibration?),
            ratio(self.wape_15m),
            ratio(self.wape_60m),
            named(&self.trust),
            named(&self.candidates)
        ))
    }
}

/// One table for each trace.
pub(super) fn table(results: &Results) -> String {
    let mut text = String::new();
    for TraceResult { trace, lead_time_s, results } in results.traces() {
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(COLUMNS);
        for result in results {
            let [strategy, numbers @ ..] = result.row();
            let numbers = numbers.map(|number| Cell::new(number).set_alignment(CellAlignment::Right));
            table.add_row(std::iter::once(Cell::new(strategy)).chain(numbers));
        }
        // Writing to a String does not fail.
        let _ = writeln!(text, "{trace}, replicas ready after {lead_time_s} s");
        for line in table.lines() {
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text.push('\n');
    }
    text + LEGEND
}
