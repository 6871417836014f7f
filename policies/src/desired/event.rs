//! Events: a known multiple of the usual load, between two moments: a sale, a broadcast.
//!
//! ```text
//! need = ceil(multiple × usual load(now … until more replicas are ready) / c)
//! ```
//!
//! The usual load is what the last seven days had at the same time of the day. An event raises, and keeps what it needs;
//! the load itself, where it is higher, counts as ever.

use jiff::Timestamp;

use crate::{
    desired::{
        count,
        say::{Opinion, Say},
        words,
    },
    fleet::Totals,
    load::{self, Assessment},
    memory::PolicyMemory,
    now::Now,
    policy::{Event, Policy},
    reason::{Reason, ReasonCode},
};

/// What each event that is on, or comes before more replicas could be ready, has to say.
pub fn all<'a>(
    policy: &'a Policy,
    assessment: &Assessment,
    memory: &'a PolicyMemory,
    replicas: Totals,
    now: Now,
) -> impl Iterator<Item = Say> + 'a {
    let ahead = load::horizon(memory);
    let until = now.wall.checked_add(jiff::SignedDuration::from_mins(ahead.into())).unwrap_or(now.wall);
    let bears = assessment.per_replica.map(|c| c / assessment.latency_term.factor());
    let near = policy.events.iter().filter(move |event| event.from < until && now.wall < event.to);
    near.map(move |event| {
        let usual = usual(event, memory, now.wall, ahead);
        let opinion = usual.zip(bears).map_or(Opinion::Hold, |(usual, bears)| {
            let need = count::ceil(event.multiple * usual / bears);
            if need > replicas.wanted { Opinion::Up(need) } else { Opinion::Down(need) }
        });
        let reason = Reason::new(ReasonCode::Event, text(event, usual, opinion, now.wall));
        Say { source: format!("event {}", event.name).into(), opinion, reason }
    })
}

/// The highest load of the next minutes on the last seven days, on average, without days that were in the event
/// themselves; `None` where none is known.
fn usual(event: &Event, memory: &PolicyMemory, now: Timestamp, ahead: u32) -> Option<f64> {
    let history = memory.forecaster.as_ref()?.history();
    let day = |days: i64| {
        let then = now.checked_sub(jiff::SignedDuration::from_hours(24 * days)).ok()?;
        let in_it = event.from <= then && then < event.to;
        (!in_it).then(|| history.highest(then, ahead)).flatten()
    };
    let (sum, days) = (1..=7).filter_map(day).fold((0.0, 0.0), |(sum, days), load| (sum + load, days + 1.0));
    (days > 0.0).then(|| sum / days)
}

fn text(event: &Event, usual: Option<f64>, opinion: Opinion, now: Timestamp) -> String {
    let Event { name, from, to, multiple } = event;
    let when = if now < *from { format!("begins at {from}") } else { format!("lasts until {to}") };
    match (usual, opinion) {
        (Some(usual), Opinion::Up(need) | Opinion::Down(need)) => format!(
            "Event {name} {when}: {multiple} times the usual {} weighted requests/s need {}.",
            words::number(usual),
            words::replicas(need)
        ),
        (Some(_), _) => {
            format!("Event {name} {when}: what one replica bears is not known, so nothing is removed.")
        }
        (None, _) => format!(
            "Event {name} {when}: the usual load at this time is not known yet, so nothing is removed."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::Forecaster;

    const DAY: i64 = 86_400;

    fn at(second: i64) -> Now {
        let since = std::time::Duration::from_secs(u64::try_from(second).unwrap());
        Now::new(Timestamp::from_second(second).unwrap(), since)
    }

    /// A forecaster that has seen so many days: 1,000 requests/s from eight to twenty o'clock, else 200.
    fn memory(days: i64) -> PolicyMemory {
        let mut forecaster = Forecaster::new(5, 0.95, 0);
        for minute in 0..days * 1_440 {
            let hour = minute.rem_euclid(1_440) / 60;
            let load = if (8..20).contains(&hour) { 1_000.0 } else { 200.0 };
            forecaster.remember(Timestamp::from_second(minute * 60).unwrap(), load);
        }
        PolicyMemory { forecaster: Some(Box::new(forecaster)), ..PolicyMemory::default() }
    }

    fn event(from: i64, to: i64) -> Event {
        let at = |second| Timestamp::from_second(second).unwrap();
        Event { name: "sale".into(), from: at(from), to: at(to), multiple: 3.0 }
    }

    #[test]
    fn the_usual_load_is_that_of_the_same_time_on_the_days_before() {
        // Given eight days, and a sale on the ninth from noon on,
        let sale = event(8 * DAY + 12 * 3_600, 8 * DAY + 30 * 3_600);
        let usual = |second: i64, days: i64| usual(&sale, &memory(days), at(second).wall, 5);
        // then at noon it is that of noon, at night that of night, and just before eight that of eight.
        assert!((usual(8 * DAY + 12 * 3_600, 8).unwrap() - 1_000.0).abs() < 2.0);
        assert!((usual(8 * DAY + 22 * 3_600, 8).unwrap() - 200.0).abs() < 1.0);
        assert!((usual(8 * DAY + 8 * 3_600 - 120, 8).unwrap() - 1_000.0).abs() < 2.0);
        assert_eq!(usual(12 * 3_600, 0), None);
    }

    #[test]
    fn the_first_day_of_a_long_event_is_not_usual_on_its_second() {
        let mut memory = memory(8);
        let forecaster = memory.forecaster.as_mut().unwrap();
        for minute in 8 * 1_440..9 * 1_440 {
            forecaster.remember(Timestamp::from_second(minute * 60).unwrap(), 3_000.0);
        }
        let sale = event(8 * DAY, 10 * DAY);
        let usual = usual(&sale, &memory, at(9 * DAY + 12 * 3_600).wall, 5).unwrap();
        assert!((usual - 1_000.0).abs() < 2.0, "{usual}");
    }
}
