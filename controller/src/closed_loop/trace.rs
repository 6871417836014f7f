//! A recorded load: `ts,value` with a header line, Unix seconds, regular or not.
//!
//! What cannot be understood is an error with its line; what can be mended is mended and told.

use std::{fmt, io};

/// Repeats of a kind of repair that are told by line; the rest is counted.
const TOLD: usize = 3;

/// A recorded load.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Points in the order of time: Unix seconds and the load in that step; at least two, times strictly rising,
    /// loads finite and at least 0, or `None` where it was not known.
    pub points: Vec<(f64, Option<f64>)>,
    /// What was mended.
    pub repairs: Vec<Repair>,
}

/// Something that was mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    what: Mended,
    times: usize,
    lines: Vec<u64>,
}

/// What can be mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mended {
    NoHeader,
    Unknown,
    NotFinite,
    Negative,
    Unsorted,
    Repeated,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            Mended::NoHeader => {
                return f.write_str("there is no header line: the first line was taken as data");
            }
            Mended::Unknown => "without a value: taken as gaps",
            Mended::NotFinite => "with an infinite value: taken as gaps",
            Mended::Negative => "with a load below zero, which there is none: taken as gaps",
            Mended::Unsorted => "earlier than the one before: sorted by time",
            Mended::Repeated => "with the time of another one: the last of them was kept",
        };
        let lines: Vec<String> = self.lines.iter().map(u64::to_string).collect();
        let more = if self.times > self.lines.len() { ", …" } else { "" };
        let s = if self.times == 1 { "" } else { "s" };
        write!(f, "{} point{s} {what} (line{s} {}{more})", self.times, lines.join(", "))
    }
}

/// A file is not a trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It cannot be read.
    #[error("cannot read the trace")]
    Read(#[from] io::Error),
    /// It is not CSV in UTF-8.
    #[error("the trace is not CSV: write lines of ts,value")]
    Csv(#[from] csv::Error),
    /// A line with another number of fields.
    #[error("line {line} has {fields} fields: write ts,value, Unix seconds and a load")]
    Fields {
        /// The line.
        line: u64,
        /// How many.
        fields: usize,
    },
    /// A time that is none.
    #[error("line {line}: {text:?} is no time: write Unix seconds, for example 1397088000")]
    Time {
        /// The line.
        line: u64,
        /// What stands there.
        text: String,
    },
    /// A value that is none.
    #[error("line {line}: {text:?} is no load: write a number, or nothing where it is not known")]
    Value {
        /// The line.
        line: u64,
        /// What stands there.
        text: String,
    },
    /// Too little of it.
    #[error("the trace has {points} usable points: at least 2 are needed")]
    TooShort {
        /// How many.
        points: usize,
    },
    /// Nothing happens in it.
    #[error("the trace has no load above 0: there is nothing to scale for")]
    NoLoad,
}

/// A line, while the points are gathered.
struct Line {
    number: u64,
    at: f64,
    value: Option<f64>,
}

impl Trace {
    /// Reads a trace.
    ///
    /// # Errors
    /// When a line cannot be understood, with its number, or when there is nothing to simulate.
    pub fn read(from: impl io::Read) -> Result<Self, TraceError> {
        // Strips a byte order mark and takes CRLF as it takes LF.
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .comment(Some(b'#'))
            .from_reader(from);
        let mut repairs = Repairs::default();
        let mut lines = Vec::new();
        let mut record = csv::StringRecord::new();
        let mut first = true;
        while reader.read_record(&mut record)? {
            let number = record.position().map_or(0, csv::Position::line);
            let line = parse(&record, number, &mut repairs);
            match line {
                // A header is a first line whose time is no number.
                Err(TraceError::Time { .. }) if first => {}
                Ok(line) => {
                    if first {
                        repairs.mend(Mended::NoHeader, number);
                    }
                    lines.push(line);
                }
                Err(error) => return Err(error),
            }
            first = false;
        }
        let points = in_order(lines, &mut repairs);
        Self { points, repairs: repairs.0 }.checked()
    }

    /// A trace of points that are in the order of time, loads finite and at least 0.
    ///
    /// # Errors
    /// When there is nothing to simulate.
    pub fn of(points: impl IntoIterator<Item = (f64, f64)>) -> Result<Self, TraceError> {
        let points = points.into_iter().map(|(at, load)| (at, Some(load))).collect();
        Self { points, repairs: Vec::new() }.checked()
    }

    fn checked(self) -> Result<Self, TraceError> {
        let known = || self.points.iter().filter_map(|(_, value)| *value);
        if known().count() < 2 {
            return Err(TraceError::TooShort { points: known().count() });
        }
        if !known().any(|value| value > 0.0) {
            return Err(TraceError::NoLoad);
        }
        Ok(self)
    }
}

fn parse(record: &csv::StringRecord, line: u64, repairs: &mut Repairs) -> Result<Line, TraceError> {
    let (Some(at), Some(value), 2) = (record.get(0), record.get(1), record.len()) else {
        return Err(TraceError::Fields { line, fields: record.len() });
    };
    let time = at.parse().ok().filter(|at: &f64| at.is_finite());
    let time = time.ok_or_else(|| TraceError::Time { line, text: at.to_owned() })?;
    if value.is_empty() {
        repairs.mend(Mended::Unknown, line);
        return Ok(Line { number: line, at: time, value: None });
    }
    let number: f64 = value.parse().map_err(|_| TraceError::Value { line, text: value.to_owned() })?;
    let mended = if number.is_nan() {
        Some(Mended::Unknown)
    } else if number.is_infinite() {
        Some(Mended::NotFinite)
    } else if number < 0.0 {
        Some(Mended::Negative)
    } else {
        None
    };
    if let Some(mended) = mended {
        repairs.mend(mended, line);
    }
    Ok(Line { number: line, at: time, value: mended.is_none().then_some(number) })
}

/// The points in the order of time, each time once.
fn in_order(mut lines: Vec<Line>, repairs: &mut Repairs) -> Vec<(f64, Option<f64>)> {
    let mut before = f64::NEG_INFINITY;
    for line in &lines {
        if line.at < before {
            repairs.mend(Mended::Unsorted, line.number);
        }
        before = line.at;
    }
    // Stable: of points with the same time, the last line stays the last.
    lines.sort_by(|a, b| a.at.total_cmp(&b.at));
    let mut points: Vec<(f64, Option<f64>)> = Vec::with_capacity(lines.len());
    for line in lines {
        match points.last_mut() {
            Some(last) if last.0 >= line.at => {
                repairs.mend(Mended::Repeated, line.number);
                last.1 = line.value;
            }
            _ => points.push((line.at, line.value)),
        }
    }
    points
}

#[derive(Default)]
struct Repairs(Vec<Repair>);

impl Repairs {
    fn mend(&mut self, what: Mended, line: u64) {
        if let Some(repair) = self.0.iter_mut().find(|repair| repair.what == what) {
            repair.times += 1;
            if repair.lines.len() < TOLD {
                repair.lines.push(line);
            }
        } else {
            self.0.push(Repair { what, times: 1, lines: vec![line] });
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(text: &str) -> Result<Trace, TraceError> {
        Trace::read(text.as_bytes())
    }

    #[rstest]
    #[case::as_it_should_be("ts,value\n0,1\n60,2.5\n", &[(0.0, Some(1.0)), (60.0, Some(2.5))], &[])]
    #[case::carriage_returns_and_a_mark("\u{feff}ts,value\r\n0,1\r\n60,2\r\n", &[(0.0, Some(1.0)), (60.0, Some(2.0))], &[])]
    #[case::blank_lines("ts,value\n\n0, 1\n\n60 ,2\n\n", &[(0.0, Some(1.0)), (60.0, Some(2.0))], &[])]
    #[case::no_header("0,1\n60,2\n", &[(0.0, Some(1.0)), (60.0, Some(2.0))],
        &["there is no header line: the first line was taken as data"])]
    #[case::not_known("ts,value\n0,1\n60,NaN\n120,\n180,4\n",
        &[(0.0, Some(1.0)), (60.0, None), (120.0, None), (180.0, Some(4.0))],
        &["2 points without a value: taken as gaps (lines 3, 4)"])]
    #[case::impossible("ts,value\n0,1\n60,-2\n120,inf\n180,4\n",
        &[(0.0, Some(1.0)), (60.0, None), (120.0, None), (180.0, Some(4.0))],
        &["1 point with a load below zero, which there is none: taken as gaps (line 3)",
          "1 point with an infinite value: taken as gaps (line 4)"])]
    #[case::unsorted("ts,value\n60,2\n0,1\n120,3\n", &[(0.0, Some(1.0)), (60.0, Some(2.0)), (120.0, Some(3.0))],
        &["1 point earlier than the one before: sorted by time (line 3)"])]
    #[case::repeated("ts,value\n0,1\n60,2\n60,3\n", &[(0.0, Some(1.0)), (60.0, Some(3.0))],
        &["1 point with the time of another one: the last of them was kept (line 4)"])]
    fn what_can_be_mended_is_mended_and_told(
        #[case] text: &str,
        #[case] points: &[(f64, Option<f64>)],
        #[case] repairs: &[&str],
    ) {
        let trace = read(text).unwrap();
        assert_eq!(trace.points, points);
        assert_eq!(trace.repairs.iter().map(ToString::to_string).collect::<Vec<_>>(), repairs);
    }

    #[rstest]
    #[case::empty("", "0 usable points")]
    #[case::a_header_only("ts,value\n", "0 usable points")]
    #[case::one_line("ts,value\n0,1\n", "1 usable points")]
    #[case::text("ts,value\n0,1\n60,many\n", "line 3: \"many\" is no load")]
    #[case::a_second_header("ts,value\n0,1\nts,value\n", "line 3: \"ts\" is no time")]
    #[case::another_separator("ts;value\n0;1\n60;2\n", "line 1 has 1 fields")]
    #[case::three_fields("ts,value\n0,1,2\n", "line 2 has 3 fields")]
    #[case::no_load("ts,value\n0,0\n60,0\n", "no load above 0")]
    fn what_is_no_trace_is_refused_with_its_line(#[case] text: &str, #[case] says: &str) {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn of_many_repairs_the_first_lines_are_told() {
        let text = (0..9).map(|i| format!("{},\n", i * 60)).collect::<Vec<_>>().concat();
        let trace = read(&format!("ts,value\n{text}600,1\n660,1\n")).unwrap();
        assert_eq!(
            trace.repairs[0].to_string(),
            "9 points without a value: taken as gaps (lines 2, 3, 4, …)"
        );
    }
}
