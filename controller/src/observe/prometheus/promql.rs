//! A policy's own PromQL: checked, and kept inside the policy's namespace and cluster.
//!
//! The query is parsed, the namespace (and the cluster, at a source of several) is put into every selector of the tree, and the tree is printed and
//! parsed again: what is sent is what was checked, not the user's text.

use std::iter;

use promql_parser::{
    label::{MatchOp, Matcher},
    parser::{self, Expr, VectorSelector, value::ValueType},
};

/// Longest query, in bytes: as long as the longest alerting rules that people write.
pub const MAX_LENGTH: usize = 4096;

/// Most parentheses and operators of a query.
///
/// Each may make the tree one level deeper, and trees are parsed, walked and dropped on the stack: a chain of
/// two thousand `+` ends a thread of 2 MiB.
const MAX_PARTS: usize = 128;

/// The label that tells the parts of a trigger's answer apart.
pub(super) const PART: &str = "loadline_part";
/// The value of [`PART`] for the query's own result. The times of what it reads are numbered.
pub(super) const VALUE: &str = "value";

/// What is sent for a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerQuery {
    /// The PromQL: the value and, for each of its selectors, the time of the newest sample.
    pub promql: String,
    /// How many different selectors the query has, and so how many times are expected in the answer.
    pub selectors: usize,
}

/// Why a query is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}; {}", self.problem(), self.fix())]
pub enum PromqlError {
    /// Longer than [`MAX_LENGTH`].
    TooLong(usize),
    /// More parentheses and operators than [`MAX_PARTS`].
    TooComplex(usize),
    /// Not PromQL.
    Syntax(String),
    /// A range or a text where a number is needed.
    NotANumber(&'static str),
    /// A metric by anything but its name.
    MetricByPattern(String),
    /// `{a="b" or c="d"}`, which only `VictoriaMetrics` knows.
    OrMatchers,
    /// A matcher that excludes what the policy may read.
    Foreign {
        /// The matcher.
        matcher: String,
        /// The label and its one allowed value.
        own: String,
    },
    /// A function that reads series that no selector names.
    HiddenSelector(String),
    /// A query whose printed form is not the same query: a name that has to be quoted.
    NotPrintable,
}

impl PromqlError {
    /// What is wrong.
    #[must_use]
    pub fn problem(&self) -> String {
        match self {
            Self::TooLong(bytes) => format!("the query has {bytes} bytes, more than {MAX_LENGTH}"),
            Self::TooComplex(parts) => {
                format!("the query has {parts} parentheses and operators, more than {MAX_PARTS}")
            }
            Self::Syntax(why) => format!("this is not PromQL ({})", why.trim()),
            Self::NotANumber(what) => format!("the query gives {what}, not one number"),
            Self::MetricByPattern(matcher) => format!("the matcher {matcher} chooses metrics by pattern"),
            Self::OrMatchers => "`or` inside of a selector is not PromQL".to_owned(),
            Self::Foreign { matcher, own } => {
                format!("the matcher {matcher} excludes {own}, which is all that the policy may read")
            }
            Self::HiddenSelector(function) => {
                format!("the function {function} reads series that the query does not name, in any namespace")
            }
            Self::NotPrintable => "the query cannot be printed without changing it".to_owned(),
        }
    }

    /// How to mend it.
    #[must_use]
    pub const fn fix(&self) -> &'static str {
        match self {
            Self::TooLong(_) | Self::TooComplex(_) => "make recording rules of its parts",
            Self::Syntax(_) => "try it in Prometheus first; it must give one number",
            Self::NotANumber(_) => "put it into a function, for example sum(rate(…[1m]))",
            Self::MetricByPattern(_) => "name the metric",
            Self::OrMatchers => "write two selectors joined by `or`",
            Self::Foreign { .. } => "leave the matcher out: the right one is put in by itself",
            Self::HiddenSelector(_) => "join the info metric by `* on (…) group_left (…)`",
            Self::NotPrintable => "use metric and label names of letters, digits and _",
        }
    }
}

/// Checks a query without knowing its namespace, as `loadline lint` does.
///
/// # Errors
/// The reason that it would be refused for, with what to do.
pub fn check(query: &str) -> Result<(), PromqlError> {
    let mut expr = parse(query)?;
    selectors(&mut expr, &mut |s| {
        sort(s);
        check_selector(s)
    })?;
    number(&expr)?;
    printed(&expr).map(drop)
}

/// The query with these labels, each at this value, in every selector.
///
/// # Errors
/// As [`check`], and [`PromqlError::Foreign`].
pub fn enforce(query: &str, own: &[(&str, &str)]) -> Result<String, PromqlError> {
    printed(&enforced(query, own)?)
}

/// The query of a trigger: its enforced PromQL, and the times of the samples that it reads.
///
/// One query gives all of it, told apart by the label [`PART`]. Each selector has its own time, so that one
/// whose series are gone shows: a number is as old as its oldest part, and no number where a part is missing
/// (`sum(x) or vector(0)` is 0 then, and `rate(x[15m])` goes on for 15 minutes). `offset` and `@` are left out
/// of the times: who asks for last week's value does not want its age held against it.
///
/// # Errors
/// As [`enforce`].
pub fn trigger(query: &str, own: &[(&str, &str)]) -> Result<TriggerQuery, PromqlError> {
    let mut expr = enforced(query, own)?;
    let kind = number(&expr)?;
    let text = printed(&expr)?;
    let value = if kind == ValueType::Scalar { format!("vector({text})") } else { text };
    let mut times: Vec<String> = Vec::new();
    selectors(&mut expr, &mut |s| {
        let bare = VectorSelector { offset: None, at: None, ..s.clone() };
        let time = format!("max(timestamp({bare}))");
        if !times.contains(&time) {
            times.push(time);
        }
        Ok(())
    })?;
    let numbered = times.iter().enumerate().map(|(i, time)| tagged(time, &i.to_string()));
    let parts: Vec<String> = iter::once(tagged(&value, VALUE)).chain(numbered).collect();
    Ok(TriggerQuery { promql: parts.join(" or "), selectors: times.len() })
}

fn tagged(expr: &str, tag: &str) -> String {
    format!(r#"label_replace({expr}, "{PART}", "{tag}", "", "")"#)
}

fn enforced(query: &str, own: &[(&str, &str)]) -> Result<Expr, PromqlError> {
    let mut expr = parse(query)?;
    selectors(&mut expr, &mut |selector| {
        check_selector(selector)?;
        for (label, value) in own {
            restrict(&mut selector.matchers.matchers, label, value)?;
        }
        sort(selector);
        Ok(())
    })?;
    number(&expr)?;
    Ok(expr)
}

fn restrict(matchers: &mut Vec<Matcher>, label: &str, value: &str) -> Result<(), PromqlError> {
    let own = Matcher::new(MatchOp::Equal, label, value);
    if let Some(foreign) = matchers.iter().find(|m| m.name == label && !m.is_match(value)) {
        return Err(PromqlError::Foreign { matcher: foreign.to_string(), own: own.to_string() });
    }
    // What is left matches the value: the enforced matcher says the same and more.
    matchers.retain(|m| m.name != label);
    matchers.push(own);
    Ok(())
}

fn parse(query: &str) -> Result<Expr, PromqlError> {
    if query.len() > MAX_LENGTH {
        return Err(PromqlError::TooLong(query.len()));
    }
    let parts = parts(query);
    if parts > MAX_PARTS {
        return Err(PromqlError::TooComplex(parts));
    }
    parser::parse(query).map_err(PromqlError::Syntax)
}

/// Counts what can make the tree deeper. Those in texts and matchers are counted too: the limit is far away.
fn parts(query: &str) -> usize {
    let signs = query.chars().filter(|c| "(+-*/%^<>=!".contains(*c)).count();
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    signs
        + words
            .filter(|w| ["and", "or", "unless", "atan2"].iter().any(|op| w.eq_ignore_ascii_case(op)))
            .count()
}

fn check_selector(selector: &VectorSelector) -> Result<(), PromqlError> {
    if !selector.matchers.or_matchers.is_empty() {
        return Err(PromqlError::OrMatchers);
    }
    let by_pattern = |m: &&Matcher| m.name == "__name__" && !matches!(m.op, MatchOp::Equal);
    match selector.matchers.matchers.iter().find(by_pattern) {
        Some(matcher) => Err(PromqlError::MetricByPattern(matcher.to_string())),
        None => Ok(()),
    }
}

fn number(expr: &Expr) -> Result<ValueType, PromqlError> {
    match expr.value_type() {
        kind @ (ValueType::Vector | ValueType::Scalar) => Ok(kind),
        ValueType::Matrix => Err(PromqlError::NotANumber("a range")),
        ValueType::String => Err(PromqlError::NotANumber("a text")),
    }
}

/// Sorts matchers as printing does, so that what is printed and parsed again is equal.
fn sort(selector: &mut VectorSelector) {
    selector.matchers.matchers.sort_by_cached_key(ToString::to_string);
}

/// Prints the tree; refuses it if the text would be read as another tree.
fn printed(expr: &Expr) -> Result<String, PromqlError> {
    let text = expr.to_string();
    match parser::parse(&text) {
        Ok(again) if again == *expr => Ok(text),
        _ => Err(PromqlError::NotPrintable),
    }
}

/// Calls `visit` on every selector of the tree, wherever it stands.
fn selectors(
    expr: &mut Expr,
    visit: &mut impl FnMut(&mut VectorSelector) -> Result<(), PromqlError>,
) -> Result<(), PromqlError> {
    match expr {
        Expr::Aggregate(e) => {
            if let Some(param) = &mut e.param {
                selectors(param, visit)?;
            }
            selectors(&mut e.expr, visit)
        }
        Expr::Unary(e) => selectors(&mut e.expr, visit),
        Expr::Binary(e) => {
            selectors(&mut e.lhs, visit)?;
            selectors(&mut e.rhs, visit)
        }
        Expr::Paren(e) => selectors(&mut e.expr, visit),
        Expr::Subquery(e) => selectors(&mut e.expr, visit),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(()),
        Expr::VectorSelector(s) => visit(s),
        Expr::MatrixSelector(m) => visit(&mut m.vs),
        // `info()` joins `target_info` of every namespace without a selector for it.
        Expr::Call(call) if call.func.name == "info" => {
            Err(PromqlError::HiddenSelector(call.func.name.to_owned()))
        }
        Expr::Call(call) => call.args.args.iter_mut().try_for_each(|arg| selectors(arg, visit)),
        // The parser never makes one; what it would read is not known.
        Expr::Extension(e) => Err(PromqlError::HiddenSelector(e.expr.name().to_owned())),
    }
}

#[cfg(test)]
mod tests;
