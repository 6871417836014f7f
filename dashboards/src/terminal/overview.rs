//! The overview: one row for each workload, the ones that need a person first.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets::NOTHING};
use loadline_policies::{
    ids::PolicyKey,
    plan::Decision,
    reason::{ConditionKind, Reason},
};

use super::{Paper, numbers::rate};

/// A table of decisions; those that are not Ready come first, then by name.
#[must_use]
pub fn overview<'a>(
    decisions: impl IntoIterator<Item = (&'a PolicyKey, &'a Decision)>,
    paper: Paper,
) -> String {
    let mut rows: Vec<_> = decisions.into_iter().collect();
    rows.sort_by_key(|(policy, decision)| (is_ready(decision), *policy));
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(paper.width).unwrap_or(u16::MAX));
    table.set_header(["POLICY", "READY", "DESIRED", "LOAD/S", "REDUNDANCY", "WHY"]);
    for (policy, decision) in rows {
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        table.add_row([
            Cell::new(policy),
            right(format!("{}/{}", decision.replicas.ready, decision.replicas.wanted)),
            right(decision.desired.to_string()),
            right(decision.demand.map_or_else(|| "?".to_owned(), |d| rate(d.weighted))),
            right(decision.redundancy.map_or_else(|| "?".to_owned(), |r| format!("{r:.2}"))),
            Cell::new(decision.reasons.first().map_or("", reason)),
        ]);
    }
    // Cells are padded to the width of their column; nobody needs the spaces at the end.
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

fn reason(reason: &Reason) -> &str {
    &reason.text
}

fn is_ready(decision: &Decision) -> bool {
    decision.conditions.iter().any(|c| c.kind == ConditionKind::Ready && c.status == Some(true))
}
