//! The desk: where the loop orders the past of those who await it, and takes what was learned.

use std::{collections::BTreeMap, time::Duration};

use loadline_policies::{
    ids::PolicyKey,
    load::adopt,
    memory::{Memory, PolicyMemory},
    now::{Mono, Now},
};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{
    learn::Lesson,
    room::{News, Wanted},
};
use crate::{
    ports::{LoadAsk, Objects},
    runtime::Mind,
};

/// Forecasters that wait to be taken, of 36 kB each; what learns them waits when there are more.
const WAITING: usize = 1_000;
/// Most that are taken before one tick. Each learns the minutes since its past ended, which takes about 0.05 ms: a tick is
/// late by 50 ms at most. With a sync of 15 s ten thousand are taken in two and a half minutes, as fast as they are
/// learned.
const AT_ONCE: usize = 1_000;
/// After a failure it is ordered again in so long, twice as long after each further one, at most in an hour.
const AGAIN: Duration = Duration::from_mins(1);
/// The longest time until it is ordered again.
const LONGEST: Duration = Duration::from_hours(1);

/// What the loop holds of the history room.
#[derive(Debug)]
pub struct Desk {
    orders: Sender<Vec<Wanted>>,
    news: Receiver<News>,
    /// What was ordered before, by policy.
    slips: BTreeMap<PolicyKey, Slip>,
    busy: bool,
}

/// An order that was given.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Slip {
    /// Since when the past is awaited: a new wait is a new order.
    since: Mono,
    failures: u32,
    /// When it may be ordered again; never, where there is nothing.
    again: Option<Mono>,
}

impl Desk {
    /// A desk, and the other ends: where the room takes orders and tells its news.
    #[must_use]
    pub fn new() -> (Self, Receiver<Vec<Wanted>>, Sender<News>) {
        let ((orders, taken), (told, news)) = (channel(1), channel(WAITING));
        (Self { orders, news, slips: BTreeMap::new(), busy: false }, taken, told)
    }

    /// Before a tick: puts what was learned in its place.
    pub fn deliver(&mut self, memory: &mut Memory, now: Now) {
        for _ in 0..AT_ONCE {
            let Ok(news) = self.news.try_recv() else { return };
            match news {
                News::Done => self.busy = false,
                News::Nothing { .. } => {}
                News::Failed { policy } => {
                    if let Some(slip) = self.slips.get_mut(&policy) {
                        slip.failed(now.mono);
                    }
                }
                News::Learned { policy, since, forecaster, newest } => {
                    let known = memory.policies.get_mut(&policy);
                    let taken = known.is_some_and(|memory| adopt(memory, since, forecaster, newest));
                    tracing::debug!(%policy, taken, newest, "a forecaster has learned its past");
                }
            }
        }
    }

    /// After a tick: orders the past of those who await it, unless the room still works on the last order.
    pub fn order(&mut self, mind: &Mind, objects: &Objects, now: Now) {
        let policies = &mind.memory.policies;
        self.slips.retain(|key, slip| {
            policies.get(key).and_then(|m| m.awaited).is_some_and(|awaited| awaited.since == slip.since)
        });
        if self.busy || !policies.iter().any(|(key, memory)| self.is_due(key, memory, now.mono)) {
            return;
        }
        let order: Vec<Wanted> = mind
            .translator
            .asks(objects)
            .into_iter()
            .filter_map(|ask| {
                let memory = policies.get(&ask.policy)?;
                self.is_due(&ask.policy, memory, now.mono).then(|| wanted(ask, memory, mind)).flatten()
            })
            .collect();
        for wanted in &order {
            let slip = Slip { since: wanted.since, failures: 0, again: None };
            self.slips.entry(wanted.ask.policy.clone()).and_modify(|s| s.again = None).or_insert(slip);
        }
        self.busy = !order.is_empty() && self.orders.try_send(order).is_ok();
    }

    fn is_due(&self, key: &PolicyKey, memory: &PolicyMemory, now: Mono) -> bool {
        let known = memory.awaited.is_some_and(|awaited| awaited.weight().is_some());
        known && self.slips.get(key).is_none_or(|slip| slip.again.is_some_and(|again| again <= now))
    }
}

impl Slip {
    fn failed(&mut self, now: Mono) {
        let pause = AGAIN.saturating_mul(2u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.again = Some(now.plus(pause));
    }
}

/// The order of one policy; `None` where nobody knows yet what to order.
fn wanted(ask: LoadAsk, memory: &PolicyMemory, mind: &Mind) -> Option<Wanted> {
    let awaited = memory.awaited?;
    let (horizon, quantile, phase) = memory.forecaster.as_ref()?.terms();
    let lesson = Lesson { horizon, quantile, phase, weight: awaited.weight()? };
    let length = mind.translator.policy(&ask.policy)?.forecast.history;
    Some(Wanted { ask, since: awaited.since, lesson, length })
}

#[cfg(test)]
mod tests;
