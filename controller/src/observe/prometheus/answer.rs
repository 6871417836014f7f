//! Answers of the query API, parsed straight into compact rows.
//!
//! A grouped answer holds up to 90,000 series. A general JSON tree of it costs many allocations per series;
//! here each wanted label is borrowed from the body and everything else is skipped.

pub(super) mod matrix;

use std::{borrow::Cow, fmt};

use loadline_policies::reading::Doubt;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// How the remarks of the query engine itself begin ("PromQL info: metric might not be a counter"): they are about
/// the query, not about what is missing in its answer.
const REMARK: &str = "PromQL ";

/// Longest part of a foreign error message that is shown.
const MESSAGE: usize = 300;

/// The answer to an instant query.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer<'a> {
    /// Series, each with one sample.
    Vector(Vector<'a>),
    /// One number.
    Scalar(Sample),
}

/// One sample: a time in seconds since the epoch, and a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The time of the evaluation.
    pub at: f64,
    /// The value.
    pub value: f64,
}

/// The series of an instant vector, as rows of the wanted labels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Vector<'a> {
    columns: usize,
    /// `columns` for each sample; empty text for a label that the series does not have.
    labels: Vec<Cow<'a, str>>,
    samples: Vec<Sample>,
}

impl<'a> Vector<'a> {
    /// Number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is no series at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The series, each with its wanted labels in the order of the columns.
    pub fn rows(&self) -> impl Iterator<Item = (&[Cow<'a, str>], Sample)> {
        // `chunks_exact` of nothing would end at once: without columns every row has no label.
        let labels = (0..self.samples.len())
            .map(|i| self.labels.get(i * self.columns..(i + 1) * self.columns).unwrap_or_default());
        labels.zip(self.samples.iter().copied())
    }
}

/// Parses the answer to an instant query, keeping only the labels named in `columns`.
///
/// # Errors
/// The doubt that the answer raises: an error said in the body, or a shape that is not an instant vector or
/// scalar. Also a warning: Prometheus answers with success and a warning where a remote storage failed, Thanos
/// where no store was asked, and what is missing then looks like less load.
pub fn parse<'a>(body: &'a [u8], columns: &[String]) -> Result<Answer<'a>, Doubt> {
    open(body, Data { columns })
}

/// Parses the answer to an instant query that is to be a vector: see [`parse`].
///
/// # Errors
/// As [`parse`]; also a scalar.
pub fn vector<'a>(body: &'a [u8], columns: &[String]) -> Result<Vector<'a>, Doubt> {
    match parse(body, columns)? {
        Answer::Vector(vector) => Ok(vector),
        Answer::Scalar(_) => Err(Doubt::WrongShape("a scalar where a vector was asked".into())),
    }
}

/// Opens the envelope of an answer and reads what is in it; any doubt that the envelope raises comes first.
fn open<'a, S: DeserializeSeed<'a>>(body: &'a [u8], data: S) -> Result<S::Value, Doubt> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let envelope = Envelope { data }
        .deserialize(&mut json)
        .and_then(|e| json.end().map(|()| e))
        .map_err(|e| Doubt::WrongShape(cut(&e.to_string())))?;
    match envelope {
        Parsed { failed: Some((kind, message)), .. } => Err(failure(&kind, &message)),
        Parsed { partial: true, .. } => {
            Err(Doubt::WrongShape("the source says that its answer is partial".into()))
        }
        Parsed { warning: Some(warning), .. } => {
            let warning = cut(&warning);
            Err(Doubt::WrongShape(format!("the source warns that it may not be whole: {warning}")))
        }
        Parsed { answer: Some(answer), .. } => Ok(answer),
        Parsed { answer: None, .. } => Err(Doubt::WrongShape("no data in the answer".into())),
    }
}

/// The doubt of an error that the query API says in its body.
#[must_use]
pub fn failure(kind: &str, message: &str) -> Doubt {
    match kind {
        "timeout" | "canceled" => Doubt::TimedOut,
        _ => Doubt::QueryRefused(cut(&format!("{kind}: {message}"))),
    }
}

/// Reads an error of the query API from the body of an answer that is not 200.
#[must_use]
pub fn error_of(body: &[u8]) -> Option<(String, String)> {
    let mut json = serde_json::Deserializer::from_slice(body);
    Envelope { data: Data { columns: &[] } }.deserialize(&mut json).ok()?.failed
}

/// Cuts a foreign message to a length that fits into a condition.
#[must_use]
pub fn cut(message: &str) -> String {
    match message.char_indices().nth(MESSAGE) {
        Some((end, _)) => format!("{}…", message.get(..end).unwrap_or_default()),
        None => message.to_owned(),
    }
}

struct Parsed<T> {
    answer: Option<T>,
    failed: Option<(String, String)>,
    partial: bool,
    /// The first that is no remark of the query engine.
    warning: Option<String>,
}

/// `{"status": …, "data": {…}}` or `{"status": "error", "errorType": …, "error": …}`.
struct Envelope<S> {
    data: S,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Envelope<S> {
    type Value = Parsed<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Envelope<S> {
    type Value = Parsed<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer of the Prometheus query API")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut parsed = Parsed { answer: None, failed: None, partial: false, warning: None };
        let mut data = Some(self.data);
        let (mut status, mut kind, mut message) = (String::new(), String::new(), String::new());
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "status" => status = map.next_value()?,
                "errorType" => kind = map.next_value()?,
                "error" => message = map.next_value()?,
                // VictoriaMetrics says so when some of its storage nodes did not answer.
                "isPartial" => parsed.partial = map.next_value()?,
                "warnings" => {
                    let warnings: Option<Vec<String>> = map.next_value()?;
                    parsed.warning = warnings.into_iter().flatten().find(|w| !is_remark(w));
                }
                "data" if status != "error" => match data.take() {
                    Some(data) => parsed.answer = Some(map.next_value_seed(data)?),
                    None => return Err(de::Error::duplicate_field("data")),
                },
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        match status.as_str() {
            "success" => {}
            "error" => parsed.failed = Some((kind, message)),
            other => return Err(de::Error::custom(format_args!("the status {other:?}"))),
        }
        Ok(parsed)
    }
}

/// Whether a warning is about the query only.
fn is_remark(warning: &str) -> bool {
    tracing::debug!(warning, "a source warns");
    warning.starts_with(REMARK)
}

/// `{"resultType": "vector", "result": […]}`.
struct Data<'c> {
    columns: &'c [String],
}

impl<'de> DeserializeSeed<'de> for Data<'_> {
    type Value = Answer<'de>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Data<'_> {
    type Value = Answer<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a result with its type")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let (mut kind, mut answer) = (None, None);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "resultType" => kind = Some(map.next_value::<Cow<'de, str>>()?),
                "result" => {
                    // Servers write the type first. What stands between may sort the keys: then rows are
                    // what is most likely there, and the type is checked below.
                    answer = Some(match kind.as_deref() {
                        Some("scalar") => Answer::Scalar(map.next_value::<Pair>()?.0),
                        Some("vector") | None => {
                            Answer::Vector(map.next_value_seed(Rows { columns: self.columns })?)
                        }
                        Some(other) => return Err(not_asked_for(other)),
                    });
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        match kind.as_deref() {
            Some("vector" | "scalar") => answer.ok_or_else(|| de::Error::missing_field("result")),
            Some(other) => Err(not_asked_for(other)),
            None => Err(de::Error::missing_field("resultType")),
        }
    }
}

fn not_asked_for<E: de::Error>(kind: &str) -> E {
    E::custom(format_args!("a {kind} where a vector was asked"))
}

struct Rows<'c> {
    columns: &'c [String],
}

impl<'de> DeserializeSeed<'de> for Rows<'_> {
    type Value = Vector<'de>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = Vector<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of series")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
        let mut vector = Vector { columns: self.columns.len(), ..Vector::default() };
        while seq.next_element_seed(Row { columns: self.columns, vector: &mut vector })?.is_some() {}
        Ok(vector)
    }
}

/// `{"metric": {…}, "value": [time, "value"]}`, written to the end of the vector.
struct Row<'c, 'v, 'de> {
    columns: &'c [String],
    vector: &'v mut Vector<'de>,
}

impl<'de> DeserializeSeed<'de> for Row<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a series")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let start = self.vector.labels.len();
        self.vector.labels.resize(start + self.columns.len(), Cow::Borrowed(""));
        let mut sample = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "metric" => {
                    let cells = self.vector.labels.get_mut(start..).unwrap_or_default();
                    map.next_value_seed(Labels { columns: self.columns, cells })?;
                }
                "value" => sample = Some(map.next_value::<Pair>()?.0),
                "values" => return Err(de::Error::custom("a range of samples where one was asked")),
                "histogram" => return Err(de::Error::custom("a native histogram where a number was asked")),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        self.vector.samples.push(sample.ok_or_else(|| de::Error::missing_field("value"))?);
        Ok(())
    }
}

struct Labels<'c, 'v, 'de> {
    columns: &'c [String],
    cells: &'v mut [Cow<'de, str>],
}

impl<'de> DeserializeSeed<'de> for Labels<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Labels<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the labels of a series")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let cell = self.columns.iter().position(|c| *c == *key).and_then(|i| self.cells.get_mut(i));
            match cell {
                Some(cell) => *cell = map.next_value_seed(Text)?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// A text, borrowed where it holds no escape. (`Cow` by itself always owns.)
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// `[1435781451.781, "1"]`.
struct Pair(Sample);

impl<'de> de::Deserialize<'de> for Pair {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct PairVisitor;
        impl<'de> Visitor<'de> for PairVisitor {
            type Value = Pair;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time and a value")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Pair, S::Error> {
                let missing = || de::Error::custom("a sample without its time or value");
                let at = seq.next_element()?.ok_or_else(missing)?;
                let value = seq.next_element_seed(Text)?.ok_or_else(missing)?;
                // Rust reads all that Go writes: NaN, +Inf, -Inf, 1e-05.
                let value = value
                    .parse()
                    .map_err(|_| de::Error::custom(format_args!("the value {value:?} is not a number")))?;
                if seq.next_element::<IgnoredAny>()?.is_some() {
                    return Err(de::Error::custom("a sample of more than a time and a value"));
                }
                Ok(Pair(Sample { at, value }))
            }
        }
        d.deserialize_seq(PairVisitor)
    }
}

#[cfg(test)]
mod tests;
