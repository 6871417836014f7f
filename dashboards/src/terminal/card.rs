//! The decision card: everything about one workload that an engineer asks at 03:00, on one screen.

use std::fmt::Write as _;

use loadline_policies::{
    capacity::Source,
    ids::PolicyKey,
    now::Mono,
    plan::{Decision, Demand},
    policy::{Band, Bounds, LatencyObjective, Mode},
    reason::{Condition, ConditionKind},
};

use super::{
    Ink, Paper,
    bars::{load_line, sparkline, track},
    numbers::{duration, rate},
    paper::{columns, cut, wrap},
};

/// What a card is made of.
#[derive(Debug, Clone, Copy)]
pub struct Card<'a> {
    /// The policy.
    pub policy: &'a PolicyKey,
    /// What was decided.
    pub decision: &'a Decision,
    /// When it was decided, to say how long until the next look.
    pub at: Mono,
    /// The band of redundancy, if the policy is at hand.
    pub band: Option<Band>,
    /// Its bounds.
    pub bounds: Option<Bounds>,
    /// Its promise.
    pub objective: Option<LatencyObjective>,
    /// Weighted load of the last while, oldest first, NaN where it was not known; may be empty.
    pub course: &'a [f64],
}

/// Columns of a row's name.
const NAME: usize = 12;

/// A whole card, several lines, each ended.
#[must_use]
pub fn card(card: &Card<'_>, paper: Paper) -> String {
    let mut text = headline(card.policy, card.decision, paper);
    text.push('\n');
    let mut rows = Rows { text, paper };
    rows.load(card);
    rows.capacity(card.decision);
    rows.redundancy(card);
    rows.latency(card);
    rows.replicas(card);
    rows.reasons(card.decision);
    rows.doubts(card.decision);
    rows.conditions(&card.decision.conditions);
    if let Some(wake) = card.decision.wake_at {
        rows.row("looks again", &format!("in {} at the latest", duration(wake.since(card.at))));
    }
    rows.text
}

/// One line: the policy, how much Loadline may do, and its replicas.
#[must_use]
pub fn headline(policy: &PolicyKey, decision: &Decision, paper: Paper) -> String {
    let mode = match decision.mode {
        Some(Mode::Active) => "Active",
        Some(Mode::Recommend) => "Recommend",
        Some(Mode::Observe) => "Observe",
        None => "Invalid",
    };
    let totals = decision.replicas;
    let state = format!("{mode} · {} of {} ready", totals.ready, totals.wanted);
    let name = cut(&policy.to_string(), paper.width.saturating_sub(columns(&state) + 2));
    let gap = paper.width.saturating_sub(columns(&name) + columns(&state));
    format!("{}{}{}", paper.ink(Ink::Bold, &name), " ".repeat(gap), paper.ink(Ink::Faint, &state))
}

/// The rows of a card as they are written.
struct Rows {
    text: String,
    paper: Paper,
}

impl Rows {
    fn row(&mut self, name: &str, value: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(
            self.text,
            "  {}{}",
            self.paper.ink(Ink::Faint, &format!("{name:NAME$}")),
            value.trim_end()
        );
    }

    fn paragraph(&mut self, name: &str, text: &str, ink: Option<Ink>) {
        let width = self.paper.width.saturating_sub(NAME + 2);
        for (index, line) in wrap(text, width).iter().enumerate() {
            let line = ink.map_or_else(|| line.clone(), |ink| self.paper.ink(ink, line));
            self.row(if index == 0 { name } else { "" }, &line);
        }
    }

    /// The bar gets a third of the width, the words the rest.
    fn bar_width(&self) -> usize {
        (self.paper.width / 3).clamp(12, 36)
    }

    fn load(&mut self, card: &Card<'_>) {
        let d = card.decision;
        let Some(demand) = d.demand else {
            return self.row("load", &self.paper.ink(Ink::Warn, "not known"));
        };
        let unit = if (demand.weighted - demand.requests).abs() > 0.005 * demand.requests.max(1.0) {
            "weighted/s"
        } else {
            "requests/s"
        };
        let Some(per_replica) = d.per_replica else {
            return self.row("load", &format!("{} {unit}, capacity not known", rate(demand.weighted)));
        };
        let capacity = per_replica * f64::from(d.replicas.ready);
        let bar = load_line(demand.weighted, capacity, self.bar_width(), self.paper);
        self.row("load", &format!("{bar} {} of {} {unit}", rate(demand.weighted), rate(capacity)));
        if !card.course.is_empty() {
            let course = self.paper.ink(Ink::Accent, &sparkline(card.course, self.bar_width()));
            self.row("", &course);
        }
        if let Some(note) = note(&demand) {
            self.paragraph("", &note, Some(Ink::Faint));
        }
    }

    /// What one replica bears, where that was learned.
    fn capacity(&mut self, decision: &Decision) {
        let Some(known) = decision.capacity.filter(|known| known.source != Source::Declared) else { return };
        let learned = match known.source {
            Source::Learning => "being learned",
            Source::Provisional => "provisional",
            Source::Estimated => "estimated by CPU while being learned",
            Source::Learned | Source::Declared => "learned",
        };
        let value = known.per_replica.map_or_else(String::new, |c| format!("{} of each replica, ", rate(c)));
        let bounds = match (known.lower, known.upper) {
            (Some(lower), Some(upper)) => format!(", seen to bear {} and not {}", rate(lower), rate(upper)),
            (Some(lower), None) => format!(", seen to bear {}, knee not seen", rate(lower)),
            (None, _) => String::new(),
        };
        let confidence = format!(", confidence {:.2}", known.confidence);
        self.paragraph("capacity", &format!("{value}{learned}{bounds}{confidence}"), None);
    }

    fn redundancy(&mut self, card: &Card<'_>) {
        let Some(redundancy) = card.decision.redundancy else { return };
        let Some(band) = card.band else {
            return self.row("redundancy", &format!("{redundancy:.2}"));
        };
        let ink = match redundancy {
            r if r < 1.0 => Ink::Bad,
            r if r < band.min => Ink::Warn,
            _ => Ink::Good,
        };
        let place =
            self.paper.ink(ink, &track(redundancy, band.min, band.max, self.bar_width().saturating_sub(2)));
        self.row("redundancy", &format!("{place} {redundancy:.2} in {:.2} to {:.2}", band.min, band.max));
    }

    fn latency(&mut self, card: &Card<'_>) {
        let Some(seconds) = card.decision.latency.filter(|s| s.is_finite() && *s >= 0.0) else { return };
        let measured = duration(std::time::Duration::from_secs_f64(seconds.min(86_400.0)));
        let Some(objective) = card.objective else { return self.row("latency", &measured) };
        let ink = if seconds > objective.target.as_secs_f64() { Ink::Bad } else { Ink::Good };
        let text =
            format!("p{} {measured}, target {}", percentile(objective.quantile), duration(objective.target));
        self.row("latency", &self.paper.ink(ink, &text));
    }

    fn replicas(&mut self, card: &Card<'_>) {
        let d = card.decision;
        let mut text = if d.desired == d.replicas.wanted {
            format!("{} (kept)", d.desired)
        } else {
            format!("{} -> {}", d.replicas.wanted, d.desired)
        };
        if let Some(bounds) = card.bounds {
            let _ = write!(text, ", bounds {} to {}", bounds.min, bounds.max);
        }
        if d.placement.len() > 1 {
            let places: Vec<_> = d.placement.iter().map(|(cluster, n)| format!("{cluster} {n}")).collect();
            let _ = write!(text, "; {}", places.join(", "));
        }
        if d.shortfall > 0 {
            let _ = write!(text, "; {} fit nowhere", d.shortfall);
        }
        self.paragraph("replicas", &text, None);
        if !d.proposals.is_empty() {
            let wanted: Vec<_> = d.proposals.iter().map(|p| format!("{} {}", p.source, p.replicas)).collect();
            self.paragraph("wanted by", &wanted.join(", "), None);
        }
    }

    fn reasons(&mut self, decision: &Decision) {
        for (index, reason) in decision.reasons.iter().enumerate() {
            let (name, ink) = if index == 0 { ("why", None) } else { ("also", Some(Ink::Faint)) };
            self.paragraph(name, &reason.text, ink);
        }
    }

    fn doubts(&mut self, decision: &Decision) {
        for (signal, doubt) in &decision.doubts {
            self.paragraph("in doubt", &format!("{signal}: {doubt}"), Some(Ink::Warn));
        }
    }

    /// The conditions that are as they should be on one line, each other one with its message.
    fn conditions(&mut self, conditions: &[Condition]) {
        let (well, ill): (Vec<_>, Vec<_>) = conditions.iter().partition(|condition| is_well(condition));
        if !well.is_empty() {
            let not = |c: &Condition| if c.status == Some(false) { "not " } else { "" };
            let names: Vec<_> = well.iter().map(|c| format!("{}{}", not(c), c.kind)).collect();
            self.paragraph("conditions", &format!("✓ {}", names.join(", ")), Some(Ink::Good));
        }
        for condition in ill {
            let text = format!("✗ {} ({}): {}", condition.kind, condition.reason, condition.message);
            // Working without a forecast is no fault.
            let ink = if condition.kind == ConditionKind::ForecastTrusted { Ink::Faint } else { Ink::Warn };
            self.paragraph("", &text, Some(ink));
        }
    }
}

/// Whether a condition is as it should be; of some kinds False is the good one.
fn is_well(condition: &Condition) -> bool {
    match condition.kind {
        ConditionKind::Ready
        | ConditionKind::ScalingActive
        | ConditionKind::DataFresh
        | ConditionKind::ForecastTrusted
        | ConditionKind::CapacityKnown => condition.status == Some(true),
        ConditionKind::ScalingLimited | ConditionKind::Contested | ConditionKind::LatencyNotCapacityBound => {
            condition.status == Some(false)
        }
    }
}

/// What to know about how the load was measured.
fn note(demand: &Demand) -> Option<String> {
    let mut notes = Vec::new();
    if demand.capped {
        notes.push(format!("{} before the guard against feedback", rate(demand.raw)));
    }
    // Under a tenth the buckets fit the cuts well enough.
    if demand.interpolated > 0.1 {
        notes.push(format!("{:.0} % interpolated inside buckets", demand.interpolated * 100.0));
    }
    (!notes.is_empty()).then(|| notes.join(", "))
}

/// 0.99 as `99`, 0.999 as `99.9`.
fn percentile(quantile: f64) -> String {
    let text = format!("{:.2}", quantile * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
#[path = "card_tests.rs"]
mod tests;
