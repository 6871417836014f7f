//! Numbers and times as people read them at 03:00: rounded, without false precision.

use std::time::Duration;

/// A number with three significant digits or so: `480`, `12.3`, `0.92`, `1.1`.
#[must_use]
pub fn number(x: f64) -> String {
    let digits = match x.abs() {
        a if a >= 100.0 || a == 0.0 => 0,
        a if a >= 10.0 => 1,
        a if a >= 0.1 => 2,
        _ => 4,
    };
    trimmed(&format!("{x:.digits$}"))
}

/// Without zeros that say nothing.
fn trimmed(text: &str) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }.to_owned()
}

/// A number that is on one side of a limit, with as many digits as it takes to show it: `1.098` beside `1.1`.
#[must_use]
pub fn number_beside(x: f64, limit: f64) -> String {
    let (short, told) = (number(x), number(limit));
    if short != told {
        return short;
    }
    // Beyond six digits the difference is no news.
    let mut longer = (3..=6).map(|digits| trimmed(&format!("{x:.digits$}")));
    longer.find(|text| *text != told).unwrap_or(short)
}

/// `is` for one replica, `are` for any other number of them.
#[must_use]
pub const fn are(n: u32) -> &'static str {
    if n == 1 { "is" } else { "are" }
}

/// `1 replica`, `6 replicas`.
#[must_use]
pub fn replicas(n: u32) -> String {
    if n == 1 { "1 replica".to_owned() } else { format!("{n} replicas") }
}

/// `45 s`, `2 min 30 s`, `1 h 5 min`; rounded up to a second, so that a wait is never told as over too early.
#[must_use]
pub fn duration(d: Duration) -> String {
    let seconds = d.as_secs() + u64::from(d.subsec_nanos() > 0);
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, 0) => format!("{m} min"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, 0, _) => format!("{h} h"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_for_people() {
        let told: Vec<_> = [480.2, 12.34, 0.917, 1.1, 2.0, 0.0, 0.0123].map(number).into();
        assert_eq!(told, ["480", "12.3", "0.92", "1.1", "2", "0", "0.0123"]);
    }

    #[test]
    fn a_number_beside_a_limit_never_looks_like_it() {
        let told: Vec<_> = [(1.0981, 1.1), (0.92, 1.1), (1.602, 1.6), (1.099_999, 1.1), (2.0, 2.0)]
            .map(|(x, l)| number_beside(x, l))
            .into();
        assert_eq!(told, ["1.098", "0.92", "1.602", "1.099999", "2"]);
    }

    #[test]
    fn durations_are_rounded_up_to_a_second() {
        let told: Vec<_> = [0, 100, 45_000, 120_000, 150_000, 3_900_000]
            .map(|ms| duration(Duration::from_millis(ms)))
            .into();
        assert_eq!(told, ["0 s", "1 s", "45 s", "2 min", "2 min 30 s", "1 h 5 min"]);
    }
}
