//! Activation: from many to zero when nothing asks for the workload, and back at the first sign that something
//! does.
//!
//! ```text
//!          signal > above                     signal <= above for idle_for, nothing else wants a replica
//! asleep ─────────────────> awake (>= max(1, min)) ─────────────────────────────────────────────> asleep
//! ```
//!
//! At zero the workload gives no telemetry of its own, so only the activation signal wakes it (and floors that
//! are known anyway: schedules, a person). Doubt neither wakes it nor sends it to sleep.

use crate::{
    desired::{
        say::{Opinion, Say},
        words,
    },
    fleet::Workload,
    load::Assessment,
    memory::PolicyMemory,
    now::{Mono, Now},
    policy::{Activation, ActivationSignal},
    reason::{Reason, ReasonCode},
};

/// What activation makes of the workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The policy does not scale to zero.
    Off,
    /// At zero, and nothing wakes it.
    Asleep(Reason),
    /// At zero, and its signal is up.
    Waking(Reason),
    /// It runs. `idle` is set when its signal was down for long enough.
    Awake {
        /// Why it may go to zero.
        idle: Option<Reason>,
    },
}

/// Judges activation, and remembers since when the signal is down.
///
/// Returns also when the idle time will be over, while it runs.
pub fn judge(
    workload: &Workload,
    assessment: &Assessment,
    current: u32,
    memory: &mut PolicyMemory,
    now: Now,
) -> (State, Option<Mono>) {
    // Zero is only where the bounds allow it: bounds.min of 1 or more is never gone below.
    let activation = workload.policy.activation.as_ref().filter(|_| workload.policy.bounds.min == 0);
    let Some(activation) = activation else {
        memory.idle_since = None;
        return (State::Off, None);
    };
    let signal = signal(activation, workload, assessment);
    let down = signal.is_some_and(|value| value <= activation.above);
    if !down {
        memory.idle_since = None;
    }
    if current == 0 {
        return (at_zero(activation, signal), None);
    }
    if !down {
        return (State::Awake { idle: None }, None);
    }
    let since = *memory.idle_since.get_or_insert(now.mono);
    let end = since.plus(activation.idle_for);
    if now.mono < end {
        return (State::Awake { idle: None }, Some(end));
    }
    let text = format!(
        "The {} has been at or under {} for {}: the workload goes to zero.",
        name(activation),
        words::number(activation.above),
        words::duration(now.mono.since(since))
    );
    (State::Awake { idle: Some(Reason::new(ReasonCode::Idle, text)) }, None)
}

/// Whether a source wants no replica at all, so that it does not keep the workload from zero. The activation
/// signal itself speaks through its threshold instead.
#[must_use]
pub fn lets_sleep(activation: &Activation, say: &Say) -> bool {
    let own = match &activation.signal {
        ActivationSignal::Load => say.source == "load",
        ActivationSignal::Trigger(name) => say.source.strip_prefix("trigger ") == Some(name.as_str()),
    };
    own && !matches!(say.opinion, Opinion::Doubt) || say.opinion == Opinion::Down(0)
}

fn at_zero(activation: &Activation, signal: Option<f64>) -> State {
    let (name, above) = (name(activation), words::number(activation.above));
    match signal {
        Some(value) if value > activation.above => State::Waking(Reason::new(
            ReasonCode::Activated,
            format!("The {name} is at {}, above {above}: the workload wakes.", words::number(value)),
        )),
        Some(value) => State::Asleep(Reason::new(
            ReasonCode::Idle,
            format!(
                "The {name} is at {}, not above {above}: the workload stays at zero.",
                words::number(value)
            ),
        )),
        None => State::Asleep(Reason::new(
            ReasonCode::Doubt,
            format!("The {name} could not be read: the workload stays at zero until it is."),
        )),
    }
}

fn name(activation: &Activation) -> String {
    match &activation.signal {
        ActivationSignal::Load => "load".to_owned(),
        ActivationSignal::Trigger(name) => format!("trigger {name}"),
    }
}

/// The signal's value, if it is certain enough: a load above the threshold counts even while partial.
fn signal(activation: &Activation, workload: &Workload, assessment: &Assessment) -> Option<f64> {
    match &activation.signal {
        ActivationSignal::Load => {
            // Weighted load holds a queue's backlog; requests hold what light weights hide.
            let seen = [assessment.up, assessment.burst].into_iter().flatten();
            let value = seen.map(|d| d.requests.max(d.raw)).reduce(f64::max)?;
            // Partial load can prove that something asks, never that nothing does.
            (value > activation.above || assessment.doubts.is_empty()).then_some(value)
        }
        ActivationSignal::Trigger(name) => {
            workload.triggers.get(name)?.as_ref().ok().map(|r| r.value).filter(|v| v.is_finite())
        }
    }
}
