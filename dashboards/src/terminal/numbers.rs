//! Numbers as people read them: three digits that matter, a unit, thousands apart.

use std::time::Duration;

/// A whole number with thousands apart, as in `1,240`.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate: `0.42`, `8.3`, `124`, `1,240`, `38.2k`, `1.20M`.
#[must_use]
pub fn rate(value: f64) -> String {
    if !value.is_finite() {
        return "?".to_owned();
    }
    match value {
        v if v < 1.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}"),
        v if v < 10_000.0 => count(whole(v)),
        v if v < 1_000_000.0 => format!("{:.1}k", v / 1_000.0),
        v => format!("{:.2}M", v / 1_000_000.0),
    }
}

/// A duration: `18 ms`, `2.5 s`, `42 s`, `5 min`, `1 h 30 min`.
#[must_use]
pub fn duration(d: Duration) -> String {
    let seconds = d.as_secs_f64();
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1_000.0),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 3_600.0 => format!("{:.0} min", s / 60.0),
        _ => {
            let minutes = d.as_secs() / 60;
            match minutes % 60 {
                0 => format!("{} h", minutes / 60),
                rest => format!("{} h {rest} min", minutes / 60),
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small and not negative; `as` saturates"
)]
pub(super) fn whole(value: f64) -> u64 {
    value.max(0.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_keep_three_digits_that_matter() {
        let read = [0.421, 8.34, 124.4, 1_240.0, 38_210.0, 1_204_000.0, f64::NAN].map(rate);
        assert_eq!(read, ["0.42", "8.3", "124", "1,240", "38.2k", "1.20M", "?"]);
    }

    #[test]
    fn durations_have_the_unit_that_people_use() {
        let read =
            [18, 2_500, 42_000, 300_000, 5_400_000, 7_200_000].map(|ms| duration(Duration::from_millis(ms)));
        assert_eq!(read, ["18 ms", "2.5 s", "42 s", "5 min", "1 h 30 min", "2 h"]);
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }
}
