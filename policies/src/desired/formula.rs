//! Formulas of triggers: one CEL expression that gives the replicas wanted.
//!
//! Variables, all doubles: `value` (the trigger's own), `values.<trigger>` (any trigger of the policy), `ready`
//! and `replicas`. Functions: CEL's standard ones and its math library (`math.ceil`, `math.greatest`, …).
//! There are no loops (`map`, `filter`, `all`, …): a formula costs time in proportion to its length, so that
//! one policy cannot delay another.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, LazyLock},
};

use cel::{
    Context, Env, ExecutionError, Value,
    common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue},
};
use thiserror::Error;

use crate::{policy::Formula, reading::Doubt};

/// Longest formula, in characters. A formula that needs more belongs into a recording rule.
pub const MAX_LENGTH: usize = 1024;

/// Most replicas that a formula may ask for; more is a mistake, not a wish.
pub const MAX_REPLICAS: f64 = 1_000_000.0;

const VARIABLES: [&str; 4] = ["value", "values", "ready", "replicas"];

/// Values that a new formula is tried with, for every variable: one may divide by zero, not all.
const SAMPLES: [f64; 4] = [0.0, 1.0, 7.0, 1_000.0];

/// Standard functions without the macros that loop, and the math library.
static LIBRARY: LazyLock<Result<Arc<Env>, String>> = LazyLock::new(|| {
    let mut env = Env::default().with_stdlib();
    env.add_extension(cel::extensions::math).map_err(|e| e.to_string())?;
    Ok(Arc::new(env))
});

/// Why a formula is refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum FormulaError {
    /// Nothing in it.
    #[error("the formula is empty: write an expression such as `value / 200.0`")]
    Empty,
    /// Longer than [`MAX_LENGTH`].
    #[error("the formula has {length} characters and may have {MAX_LENGTH}: move the work into the query")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// Not CEL.
    #[error("the formula is not a CEL expression: {0}")]
    Syntax(String),
    /// A variable that does not exist.
    #[error(
        "the formula reads `{name}`, which does not exist: use `value`, `values.<trigger>` (`values['a-b']` for a name with a dash), `ready` or `replicas`"
    )]
    UnknownVariable {
        /// As written.
        name: String,
    },
    /// A function that does not exist.
    #[error(
        "the formula calls `{name}`, which does not exist: use CEL's standard functions or `math.ceil`, \
         `math.floor`, `math.greatest`, `math.least` and the like; loops are not offered"
    )]
    UnknownFunction {
        /// As written.
        name: String,
    },
    /// Types that do not fit, most often a double and an int.
    #[error(
        "the types in the formula do not fit: {0}; all variables are doubles, so write `100.0`, not `100`"
    )]
    WrongTypes(String),
    /// The result is not a number.
    #[error("the formula gives a {found}; it must give the number of replicas wanted")]
    WrongResult {
        /// The type of the result.
        found: &'static str,
    },
    /// It gave no usable number for any sample.
    #[error("the formula gives no usable number for any of the values that it was tried with: {0}")]
    NeverUsable(EvaluationError),
    /// The function library could not be built: a defect of this program.
    #[error("the function library of formulas is broken: {0}; please report this")]
    Library(String),
}

/// Why a formula gives no replicas this time; becomes a [`Doubt`] of its trigger.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum EvaluationError {
    /// A trigger that it reads has no value now.
    #[error("`values.{0}` has no value")]
    Missing(String),
    /// Division or remainder by zero.
    #[error("it divides by zero")]
    DivisionByZero,
    /// The result is NaN.
    #[error("the result is not a number")]
    NotANumber,
    /// The result is infinite.
    #[error("the result is infinite; does it divide by zero?")]
    Infinite,
    /// The result is below zero.
    #[error("the result is negative ({0})")]
    Negative(f64),
    /// The result is over [`MAX_REPLICAS`].
    #[error("the result {0} is over {MAX_REPLICAS} replicas")]
    TooMany(f64),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl From<EvaluationError> for Doubt {
    fn from(error: EvaluationError) -> Self {
        match error {
            EvaluationError::NotANumber => Self::NotANumber,
            EvaluationError::DivisionByZero | EvaluationError::Infinite => Self::Infinite,
            EvaluationError::Negative(_) => Self::Negative,
            other => Self::WrongShape(format!("formula: {other}")),
        }
    }
}

/// What a formula reads.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The trigger's own value.
    pub value: f64,
    /// The values of all triggers that have one.
    pub values: &'a [(&'a str, f64)],
    /// Ready replicas.
    pub ready: u32,
    /// Replicas wanted now.
    pub replicas: u32,
}

/// Compiles a formula and tries it with sample values, so that a wrong one is refused when it is written.
///
/// # Errors
/// Says what is wrong and how to write it; see [`FormulaError`].
pub fn compile(source: &str) -> Result<Formula, FormulaError> {
    if source.trim().is_empty() {
        return Err(FormulaError::Empty);
    }
    let length = source.chars().count();
    if length > MAX_LENGTH {
        return Err(FormulaError::TooLong { length });
    }
    let env = library().map_err(FormulaError::Library)?;
    let program = env.compile(source).map_err(|e| FormulaError::Syntax(first_line(&e.to_string())))?;
    let references = program.references();
    if let Some(name) =
        references.variables().into_iter().find(|v| !VARIABLES.contains(v) && *v != "math").map(str::to_owned)
    {
        return Err(FormulaError::UnknownVariable { name });
    }
    let mut reads = BTreeSet::new();
    collect_reads(program.expression(), &mut reads);
    let formula = Formula { source: source.to_owned(), program, reads };
    try_samples(&formula)?;
    Ok(formula)
}

/// The replicas that a formula wants, not rounded: finite and in `0..=MAX_REPLICAS`.
///
/// # Errors
/// NaN, infinite, negative and huge results, division by zero, and triggers without a value.
pub fn evaluate(formula: &Formula, inputs: &Inputs<'_>) -> Result<f64, EvaluationError> {
    let result = match run(formula, inputs).map_err(|e| evaluation_error(&e))? {
        Value::Float(x) => x,
        #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 it is refused as too many anyway")]
        Value::Int(i) => i as f64,
        #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 it is refused as too many anyway")]
        Value::UInt(u) => u as f64,
        other => return Err(EvaluationError::Failed(format!("the result is a {}", type_name(&other)))),
    };
    if result.is_nan() {
        Err(EvaluationError::NotANumber)
    } else if result.is_infinite() {
        Err(EvaluationError::Infinite)
    } else if result < 0.0 {
        Err(EvaluationError::Negative(result))
    } else if result > MAX_REPLICAS {
        Err(EvaluationError::TooMany(result))
    } else {
        Ok(result)
    }
}

fn library() -> Result<Arc<Env>, String> {
    LIBRARY.as_ref().map(Arc::clone).map_err(Clone::clone)
}

fn run(formula: &Formula, inputs: &Inputs<'_>) -> Result<Value, ExecutionError> {
    let env = library().map_err(|e| ExecutionError::function_error("library", e))?;
    let mut context = Context::with_env(env);
    context.add_variable_from_value("value", inputs.value);
    context.add_variable_from_value("ready", f64::from(inputs.ready));
    context.add_variable_from_value("replicas", f64::from(inputs.replicas));
    if !formula.reads.is_empty() {
        let values: HashMap<String, f64> =
            inputs.values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        context.add_variable_from_value("values", values);
    }
    formula.program.execute(&context)
}

/// Refuses what is wrong for every value: a type, a name, or a number that is never usable.
fn try_samples(formula: &Formula) -> Result<(), FormulaError> {
    let mut unusable = None;
    let mut usable = false;
    for sample in SAMPLES {
        let values: Vec<(&str, f64)> = formula.reads.iter().map(|name| (name.as_str(), sample)).collect();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "samples are small counts"
        )]
        let replicas = sample as u32;
        let inputs = Inputs { value: sample, values: &values, ready: replicas, replicas };
        match run(formula, &inputs) {
            Err(ExecutionError::UndeclaredReference(name)) => {
                return Err(FormulaError::UnknownFunction { name: name.to_string() });
            }
            Err(ref e) if let Some(what) = wrong_types(e) => return Err(FormulaError::WrongTypes(what)),
            Err(_) | Ok(Value::Float(_) | Value::Int(_) | Value::UInt(_)) => match evaluate(formula, &inputs)
            {
                Ok(_) => usable = true,
                Err(e) => unusable = Some(e),
            },
            Ok(other) => return Err(FormulaError::WrongResult { found: type_name(&other) }),
        }
    }
    match unusable {
        Some(error) if !usable => Err(FormulaError::NeverUsable(error)),
        _ => Ok(()),
    }
}

fn evaluation_error(error: &ExecutionError) -> EvaluationError {
    match error {
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            EvaluationError::DivisionByZero
        }
        ExecutionError::NoSuchKey(name) => EvaluationError::Missing(name.to_string()),
        other => EvaluationError::Failed(other.to_string()),
    }
}

/// Says which types do not fit, if that is what is wrong.
fn wrong_types(error: &ExecutionError) -> Option<String> {
    match error {
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            Some(format!("no `{operator}` of {} and {}", left.type_of(), right.type_of()))
        }
        ExecutionError::ValuesNotComparable(left, right) => {
            Some(format!("{} and {} cannot be compared", left.type_of(), right.type_of()))
        }
        ExecutionError::NoSuchOverload(_) | ExecutionError::UnexpectedType { .. } => Some(error.to_string()),
        _ => None,
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_start_matches("ERROR: <input>:").to_owned()
}

const fn type_name(value: &Value) -> &'static str {
    match value {
        Value::List(_) => "list",
        Value::Map(_) => "map",
        Value::Function(..) => "function",
        Value::Int(_) | Value::UInt(_) | Value::Float(_) => "number",
        Value::String(_) => "string",
        Value::Bytes(_) => "bytes",
        Value::Bool(_) => "bool",
        Value::Null => "null",
        _ => "value of another type",
    }
}

/// Finds `values.name` and `values["name"]`.
fn collect_reads(expression: &IdedExpr, reads: &mut BTreeSet<String>) {
    match &expression.expr {
        Expr::Select(select) => {
            if is_values(&select.operand) {
                reads.insert(select.field.clone());
            }
            collect_reads(&select.operand, reads);
        }
        Expr::Call(call) => {
            if let [map, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }] =
                call.args.as_slice()
                && is_values(map)
            {
                reads.insert(name.inner().to_owned());
            }
            call.target.iter().for_each(|target| collect_reads(target, reads));
            call.args.iter().for_each(|arg| collect_reads(arg, reads));
        }
        Expr::List(list) => list.elements.iter().for_each(|e| collect_reads(e, reads)),
        Expr::Map(map) => {
            for entry in &map.entries {
                if let EntryExpr::MapEntry(entry) = &entry.expr {
                    collect_reads(&entry.key, reads);
                    collect_reads(&entry.value, reads);
                }
            }
        }
        // No macro that makes a comprehension is offered, and there are no structs to make.
        Expr::Comprehension(_) | Expr::Struct(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn is_values(expression: &IdedExpr) -> bool {
    matches!(&expression.expr, Expr::Ident(name) if name == "values")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn wanted(source: &str, value: f64) -> Result<f64, EvaluationError> {
        let inputs = Inputs { value, values: &[("backlog", 300.0), ("rate", 20.0)], ready: 4, replicas: 5 };
        evaluate(&compile(source).unwrap(), &inputs)
    }

    #[rstest]
    #[case("value / 200.0", 1_000.0, 5.0)]
    #[case("math.ceil(value / 300.0)", 1_000.0, 4.0)]
    #[case("math.greatest(ready, value / 100.0)", 100.0, 4.0)]
    #[case("values.backlog / 100.0 + values['rate'] / 10.0", 0.0, 5.0)]
    #[case("value > 10.0 ? replicas * 2.0 : replicas", 11.0, 10.0)]
    #[case("value > 10.0 ? 7 : 3", 11.0, 7.0)]
    fn a_formula_gives_the_replicas_wanted(#[case] source: &str, #[case] value: f64, #[case] expected: f64) {
        assert_eq!(wanted(source, value), Ok(expected));
    }

    #[rstest]
    #[case("", "the formula is empty")]
    #[case("value /", "not a CEL expression")]
    #[case("valeu / 2.0", "reads `valeu`, which does not exist")]
    #[case("value / 2", "write `100.0`, not `100`")]
    #[case("ceiling(value)", "calls `ceiling`, which does not exist")]
    #[case("[value].map(x, x)", "which does not exist")]
    #[case("value > 2.0", "gives a bool")]
    #[case("'five'", "gives a string")]
    #[case("value / 0.0", "no usable number for any")]
    #[case("100 / 0", "it divides by zero")]
    #[case("-5.0", "negative")]
    #[case("1e300", "over 1000000 replicas")]
    fn a_wrong_formula_is_refused_with_the_way_to_fix_it(#[case] source: &str, #[case] message: &str) {
        let error = compile(source).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }

    #[test]
    fn a_formula_that_is_too_long_is_refused() {
        let source = format!("value{}", " + 1.0".repeat(200));
        assert_eq!(compile(&source).unwrap_err(), FormulaError::TooLong { length: source.chars().count() });
    }

    #[rstest]
    #[case("value / (ready - 4.0)", 1.0, EvaluationError::Infinite)]
    #[case("(value - 1.0) / (ready - 4.0)", 1.0, EvaluationError::NotANumber)]
    #[case("ready - value", 10.0, EvaluationError::Negative(-6.0))]
    #[case("int(value) / (int(ready) - 4)", 1.0, EvaluationError::DivisionByZero)]
    #[case("values.gone", 1.0, EvaluationError::Missing("gone".to_owned()))]
    #[case("value * 1000000.0", 2.0, EvaluationError::TooMany(2_000_000.0))]
    fn an_unusable_result_is_an_error_of_its_own_kind(
        #[case] source: &str,
        #[case] value: f64,
        #[case] expected: EvaluationError,
    ) {
        assert_eq!(wanted(source, value), Err(expected));
    }

    #[test]
    fn the_triggers_that_a_formula_reads_are_known() {
        let formula = compile("values.a + values['b'] + math.least(values.c, value)").unwrap();
        assert_eq!(formula.reads.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn an_unusable_result_becomes_a_doubt() {
        assert_eq!(Doubt::from(EvaluationError::DivisionByZero), Doubt::Infinite);
        assert_eq!(Doubt::from(EvaluationError::NotANumber), Doubt::NotANumber);
        assert_eq!(Doubt::from(EvaluationError::Negative(-1.0)), Doubt::Negative);
    }
}
