//! Numbers of the API (`i32`, `f64`) as numbers of the domain, within their limits.

use std::time::Duration;

use loadline_crds::ApiDuration;

use super::{MAX_REPLICAS, complaint::Complaints};

/// A number of replicas between `least` and [`MAX_REPLICAS`].
pub(super) fn replicas(n: i32, least: u32, path: &str, c: &mut Complaints) -> Option<u32> {
    match u32::try_from(n) {
        Ok(n) if (least..=MAX_REPLICAS).contains(&n) => Some(n),
        _ => c.add(
            path,
            format!("{n} is not a possible number of replicas"),
            format!("give a number from {least} to {MAX_REPLICAS}"),
        ),
    }
}

/// A finite number above zero.
pub(super) fn positive(n: f64, path: &str, c: &mut Complaints) -> Option<f64> {
    if n.is_finite() && n > 0.0 {
        Some(n)
    } else {
        c.add(path, format!("{n} is not a number above 0"), "give a finite number above 0")
    }
}

/// A finite number that is zero or more.
pub(super) fn not_negative(n: f64, path: &str, c: &mut Complaints) -> Option<f64> {
    if n.is_finite() && n >= 0.0 {
        Some(n)
    } else {
        c.add(path, format!("{n} is not a number of 0 or more"), "give a finite number of 0 or more")
    }
}

/// A duration above zero, and at most `most` where that is given.
pub(super) fn period(
    d: ApiDuration,
    most: Option<Duration>,
    path: &str,
    c: &mut Complaints,
) -> Option<Duration> {
    if d.0.is_zero() {
        return c.add(path, "0s is no time at all", "give a duration above 0s, for example 15s");
    }
    match most {
        Some(most) if d.0 > most => {
            c.add(path, format!("{d} is too long"), format!("give at most {}", ApiDuration(most)))
        }
        _ => Some(d.0),
    }
}

/// A list of parsed items; `None` when one of them could not be parsed. All of them are tried.
pub(super) fn all<T>(items: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let parsed: Vec<Option<T>> = items.collect();
    parsed.into_iter().collect()
}
