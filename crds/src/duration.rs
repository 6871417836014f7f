//! Durations as Gateway API duration strings: `15s`, `5m`, `1h30m`, `250ms`.

use std::{fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The pattern of GEP-2257; CEL's `duration()` reads every string that matches it.
pub const PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// A duration in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiDuration(pub Duration);

/// A string that is not a duration of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}: write for example 15s, 5m, 1h30m or 250ms (units h, m, s, ms; no days)", problem = self.problem())]
pub struct ParseDurationError(String);

impl ParseDurationError {
    /// What is wrong, without the way to fix it.
    #[must_use]
    pub fn problem(&self) -> String {
        format!("{:?} is not a duration", self.0)
    }
}

impl ApiDuration {
    /// A duration of whole seconds.
    #[must_use]
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
}

impl FromStr for ApiDuration {
    type Err = ParseDurationError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let error = || ParseDurationError(s.to_owned());
        let (mut rest, mut total, mut parts) = (s, Duration::ZERO, 0);
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let unit = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at(unit);
            parts += 1;
            if !(1..=5).contains(&digits) || parts > 4 {
                return Err(error());
            }
            let n: u64 = number.parse().map_err(|_| error())?;
            total += match unit {
                "h" => Duration::from_secs(n * 3600),
                "m" => Duration::from_secs(n * 60),
                "s" => Duration::from_secs(n),
                "ms" => Duration::from_millis(n),
                _ => return Err(error()),
            };
            rest = tail;
        }
        if parts == 0 { Err(error()) } else { Ok(Self(total)) }
    }
}

impl fmt::Display for ApiDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        let parts =
            [(ms / 3_600_000, "h"), (ms / 60_000 % 60, "m"), (ms / 1_000 % 60, "s"), (ms % 1_000, "ms")];
        if ms == 0 {
            return f.write_str("0s");
        }
        parts.iter().filter(|(n, _)| *n > 0).try_for_each(|(n, unit)| write!(f, "{n}{unit}"))
    }
}

impl Serialize for ApiDuration {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ApiDuration {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ApiDuration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PATTERN, "maxLength": 24 })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_that_are_durations_are_read() {
        for (text, ms) in [("15s", 15_000), ("5m", 300_000), ("1h30m", 5_400_000), ("250ms", 250), ("0s", 0)]
        {
            assert_eq!(text.parse::<ApiDuration>().unwrap().0.as_millis(), ms, "{text}");
        }
    }

    #[test]
    fn strings_that_are_not_durations_are_refused() {
        for text in ["", "5", "s", "-5s", "1.5h", "1d", "5 m", "100000s", "1s1s1s1s1s", "5M"] {
            assert!(text.parse::<ApiDuration>().is_err(), "{text}");
        }
    }
}
