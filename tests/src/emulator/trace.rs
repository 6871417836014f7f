//! Real load traces, read from the folder that `LOADLINE_TRACES` names and never copied into the project.

use std::{env, fs, io, path::PathBuf, str::FromStr, time::Duration};

use loadline_chaos::world::Shape;

/// How a trace is replayed.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// Name of the file, without `.csv`.
    pub name: String,
    /// How many times as fast as it was recorded; > 0.
    pub speed: f64,
    /// Requests per second at its highest point; the trace is scaled to it. > 0.
    pub peak: f64,
}

/// A trace cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The folder is not named.
    #[error("LOADLINE_TRACES does not name the folder of the load traces")]
    NoFolder,
    /// The file cannot be read.
    #[error("cannot read the trace {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a trace.
    #[error("{path} is not a trace of ts,value on a regular grid: {why}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The words that describe a replay.
    #[error("{0:?} is not NAME SPEED PEAK, for example: crane_input0 60 2000")]
    Words(String),
}

impl FromStr for Replay {
    type Err = TraceError;

    fn from_str(words: &str) -> Result<Self, Self::Err> {
        let bad = || TraceError::Words(words.to_owned());
        let mut parts = words.split_whitespace();
        let name = parts.next().ok_or_else(bad)?.to_owned();
        let mut number = || parts.next()?.parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0);
        match (number(), number(), parts.next()) {
            (Some(speed), Some(peak), None) => Ok(Self { name, speed, peak }),
            _ => Err(bad()),
        }
    }
}

/// The folder of the traces, where there is one.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    env::var_os("LOADLINE_TRACES").filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// Reads a trace as traffic for an emulated workload.
///
/// # Errors
/// When there is no such trace.
pub fn load(replay: &Replay) -> Result<Shape, TraceError> {
    let path = folder().ok_or(TraceError::NoFolder)?.join(format!("{}.csv", replay.name));
    let text = fs::read_to_string(&path).map_err(|source| TraceError::File { path: path.clone(), source })?;
    parse(&text, replay).map_err(|why| TraceError::Shape { path, why })
}

fn parse(text: &str, replay: &Replay) -> Result<Shape, String> {
    let mut points = Vec::new();
    for (number, line) in text.lines().enumerate().skip(1).filter(|(_, l)| !l.trim().is_empty()) {
        let (at, value) = line.split_once(',').ok_or_else(|| format!("line {}: {line:?}", number + 1))?;
        let parse = |s: &str| s.trim().parse::<f64>().map_err(|e| format!("line {}: {e}", number + 1));
        points.push((parse(at)?, parse(value)?));
    }
    let (Some(first), Some(second)) = (points.first(), points.get(1)) else {
        return Err("it has fewer than two points".to_owned());
    };
    let step = second.0 - first.0;
    if step <= 0.0 || !step.is_finite() {
        return Err("its time does not advance".to_owned());
    }
    let highest = points.iter().map(|p| p.1).filter(|v| v.is_finite()).fold(0.0, f64::max);
    if highest <= 0.0 {
        return Err("it has no load".to_owned());
    }
    let values = points.iter().map(|p| p.1.max(0.0) * replay.peak / highest).collect();
    Ok(Shape::Trace { values, interval: Duration::from_secs_f64(step / replay.speed) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_scaled_to_its_peak_and_sped_up() {
        let replay: Replay = "a 60 500".parse().unwrap();
        let shape = parse("ts,value\n0,10\n60,20\n120,5\n", &replay).unwrap();
        let expected = Shape::Trace { values: vec![250.0, 500.0, 125.0], interval: Duration::from_secs(1) };
        assert_eq!(shape, expected);
    }

    #[test]
    fn what_is_no_trace_is_refused() {
        let replay: Replay = "a 1 1".parse().unwrap();
        for (text, why) in [
            ("ts,value\n0,1\n", "fewer than two"),
            ("ts,value\n0,1\n0,2\n", "does not advance"),
            ("ts,value\n0,0\n60,0\n", "no load"),
            ("ts,value\n0;1\n", "line 2"),
        ] {
            let said = parse(text, &replay).unwrap_err();
            assert!(said.contains(why), "{text:?}: {said}");
        }
        assert!("a 0 5".parse::<Replay>().is_err());
    }
}
