//! The report: one HTML page that needs nothing else, with a table and a picture for each trace.

use std::fmt::Write as _;

use loadline_dashboards::plot::{Line, Panel, Plot, Time};

use super::result::{COLUMNS, LEGEND, StrategyResult, TraceResult};
use crate::closed_loop::{STEP, STEPS_OF_A_DAY, Simulated, Simulation};

/// Its file in the directory that was asked for.
pub(super) const FILE: &str = "report.html";

const STYLE: &str = "body{font-family:sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222}\
    table{border-collapse:collapse;margin:1em 0}td,th{padding:.3em .8em;text-align:right;border-bottom:1px solid #ddd}\
    td:first-child,th:first-child{text-align:left}svg{width:100%;height:auto}p{line-height:1.4}";

/// One trace: what was simulated, what came of it, and its rows of the table.
pub(super) struct Part<'a> {
    pub(super) simulation: &'a Simulation,
    pub(super) runs: &'a [Simulated],
    pub(super) result: &'a TraceResult,
}

/// The page.
pub(super) fn page(parts: &[Part<'_>]) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>loadline simulate</title>\
         <style>{STYLE}</style></head><body>\n<h1>What each autoscaler would have done</h1>\n\
         <p>Each recorded load was played to each strategy in steps of {} s, in a closed loop: a replica is ready some \
         time after it was asked for, and a strategy sees only the past. Red stretches are times in which fewer \
         replicas were ready than the load needed.</p>\n<p>{LEGEND}</p>\n",
        STEP.as_secs()
    );
    for part in parts {
        part.write(&mut html);
    }
    html.push_str("</body></html>\n");
    html
}

// Writing to a String does not fail.
impl Part<'_> {
    fn write(&self, html: &mut String) {
        let TraceResult { trace, lead_time_s, results } = self.result;
        let name = escape(trace);
        let _ = writeln!(
            html,
            "<h2>{name}</h2>\n<p>Replicas are ready {lead_time_s} s after they were asked for; one bears {:.1} \
             requests/s.</p>",
            self.simulation.per_replica
        );
        table(html, results);
        for sentence in results.iter().filter_map(StrategyResult::forecast) {
            let _ = writeln!(html, "<p>{}</p>", escape(&sentence));
        }
        html.push_str(&self.busiest_day().svg());
        html.push_str(&self.plot(trace).svg());
    }

    /// The day with the highest load, close enough to see each step: what was forecast, and what each strategy did.
    fn busiest_day(&self) -> Plot {
        let load = &self.simulation.grid.load;
        let scored =
            load.iter().enumerate().skip(self.simulation.warmup).filter(|(_, load)| load.is_finite());
        let peak = scored.max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(step, _)| step);
        let half = STEPS_OF_A_DAY / 2;
        let from = peak.saturating_sub(half).min(load.len().saturating_sub(STEPS_OF_A_DAY));
        let day = |values: &mut dyn Iterator<Item = f64>| {
            let values: Vec<f64> = values.skip(from).take(STEPS_OF_A_DAY).collect();
            self.simulation.times().skip(from).zip(values).collect::<Vec<_>>()
        };
        let seen = day(&mut load.iter().copied());
        let mut panels = Vec::new();
        for run in self.runs.iter().filter(|run| run.course.forecast.iter().any(|load| load.is_finite())) {
            let forecast = day(&mut run.course.forecast.iter().copied());
            panels.push(Panel {
                title: format!(
                    "load, requests/s; shaded: up to what {} forecast before it came",
                    run.strategy
                ),
                lines: vec![
                    Line::new("load", seen.iter().copied()),
                    Line::new("forecast", forecast.iter().copied()),
                ],
                ribbon: seen
                    .iter()
                    .zip(&forecast)
                    .map(|((at, load), (_, most))| (*at, *load, *most))
                    .collect(),
                ..Panel::default()
            });
        }
        let needed = day(&mut self.simulation.needed().map(|n| n.map_or(f64::NAN, f64::from)));
        let ready = |run: &Simulated| day(&mut run.course.ready.iter().map(|n| f64::from(*n)));
        let strategies = self.runs.iter().map(|run| Line::new(&run.strategy.to_string(), ready(run)));
        panels.push(Panel {
            title: "ready replicas".to_owned(),
            lines: std::iter::once(Line::new("needed", needed)).chain(strategies).collect(),
            ..Panel::default()
        });
        Plot { title: "the busiest day".to_owned(), time: Time::Unix, panels }
    }

    /// The load, and for each strategy its ready replicas over those that were needed.
    fn plot(&self, trace: &str) -> Plot {
        let times = || self.simulation.times();
        let load = Line::new("load", times().zip(self.simulation.grid.load.iter().copied()));
        let mut panels =
            vec![Panel { title: "load, requests/s".to_owned(), lines: vec![load], ..Panel::default() }];
        let needed: Vec<f64> = self.simulation.needed().map(|n| n.map_or(f64::NAN, f64::from)).collect();
        for run in self.runs {
            let ready = run.course.ready.iter().map(|n| f64::from(*n));
            let lines = vec![
                Line::new("needed", times().zip(needed.iter().copied())),
                Line::new("ready", times().zip(ready.clone())),
            ];
            let short = needed.iter().zip(ready).map(|(needed, ready)| *needed > ready);
            panels.push(Panel {
                title: format!("replicas by {}", run.strategy),
                lines,
                marks: stretches(times().zip(short)),
                ..Panel::default()
            });
        }
        Plot { title: trace.to_owned(), time: Time::Unix, panels }
    }
}

fn table(html: &mut String, results: &[StrategyResult]) {
    let row = |html: &mut String, tag: &str, cells: &[String]| {
        html.push_str("<tr>");
        for cell in cells {
            let _ = write!(html, "<{tag}>{}</{tag}>", escape(cell));
        }
        html.push_str("</tr>\n");
    };
    html.push_str("<table>\n");
    row(html, "th", &COLUMNS.map(str::to_owned));
    for result in results {
        row(html, "td", &result.row());
    }
    html.push_str("</table>\n");
}

/// The stretches of time in which something held, of moments in order.
fn stretches(moments: impl Iterator<Item = (f64, bool)>) -> Vec<(f64, f64)> {
    let step = STEP.as_secs_f64();
    let mut stretches: Vec<(f64, f64)> = Vec::new();
    for (at, _) in moments.filter(|(_, held)| *held) {
        match stretches.last_mut() {
            Some(last) if at <= last.1 => last.1 = at + step,
            _ => stretches.push((at, at + step)),
        }
    }
    stretches
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_that_follow_each_other_are_one_stretch() {
        let held = [false, true, true, false, true];
        let times = (0..).map(|i| f64::from(i) * 15.0);
        assert_eq!(stretches(times.zip(held)), [(15.0, 45.0), (60.0, 75.0)]);
    }
}
