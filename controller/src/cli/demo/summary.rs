//! The closing summary: what the day cost and what went wrong in it, beside a fleet fixed at its peak.

use std::time::Duration;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets::NOTHING};
use loadline_chaos::world::Stats;
use loadline_dashboards::terminal::{Ink, Paper, duration, paragraph, rate};
use loadline_policies::policy::{PerReplica, Policy};

use super::day::Day;

/// The last lines.
pub(super) fn of(day: &Day, paper: Paper) -> String {
    let mut text = format!("\n{}\n", paper.ink(Ink::Bold, "The simulated day in numbers"));
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["", "SERVED", "TURNED AWAY", "VIOLATED", "SCALED", "REPLICA HOURS"]);
    for policy in day.policies() {
        let stats = day.stats(&policy.target);
        table.add_row(row(&format!("{}", policy.key), &stats, Some(stats.raises + stats.cuts)));
        if let Some(replicas) = peak_fleet(policy, &stats) {
            let fixed = day.fixed(&policy.target, replicas);
            table.add_row(row(&format!("  fixed at {replicas}"), &fixed, None));
        }
    }
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push('\n');
    for note in [
        "VIOLATED is time in which the 99th percentile of latency was over 250 ms or anybody was turned away \
         (for a queue: in which its own work was slow; messages wait, they are not lost).",
        "\"fixed\" is the same day, same seed and same faults, with the replicas that the highest load of the day \
         would need at the same benchmark and redundancy: a number that is known only after the day.",
        "This is a model of queues and start-up times, not a measurement. It shows how decisions are made, not \
         what your service will do.",
    ] {
        text.push_str(&paragraph("", note, Some(Ink::Faint), paper));
        text.push('\n');
    }
    text
}

fn row(name: &str, stats: &Stats, scaled: Option<u32>) -> Vec<Cell> {
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let share = if stats.offered > 0.0 { 100.0 * stats.served / stats.offered } else { 0.0 };
    vec![
        Cell::new(name),
        right(format!("{share:.3} %")),
        right(rate(stats.rejected)),
        right(if stats.violated == Duration::ZERO { "-".to_owned() } else { duration(stats.violated) }),
        right(scaled.map_or_else(|| "-".to_owned(), |n| format!("{n} times"))),
        right(format!("{:.0}", stats.replica_seconds / 3_600.0)),
    ]
}

/// The replicas that the highest load of the day needs at the policy's own benchmark and lowest redundancy.
fn peak_fleet(policy: &Policy, stats: &Stats) -> Option<u32> {
    let PerReplica::Declared(per_replica) = policy.capacity.per_replica else { return None };
    let wanted = (stats.peak * policy.capacity.redundancy.min / per_replica).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small, not negative; `as` saturates"
    )]
    let wanted = wanted as u32;
    Some(wanted.clamp(policy.bounds.min, policy.bounds.max))
}
