//! Triggers: the policies' own queries, each inside its namespace and its budget.
//!
//! They are asked in rounds, beside the ticks: a tick begins a round if none is under way, and takes from the
//! board what was read last. The age of a number travels with it.

mod board;

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use loadline_policies::{
    ids::{ClusterId, PolicyKey},
    reading::{Doubt, Observed, Reading, finite},
};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use self::board::Board;
use super::{
    answer::{self, Answer},
    client::{Client, Limits},
    promql::{self, PART, TriggerQuery, VALUE},
};
use crate::{
    config::{Reach, Source, TriggerBudget},
    ports::LoadAsk,
};

/// Longest answer of a trigger: it is to be one number.
const MAX_ANSWER: usize = 256 << 10;

/// How long a tick that has its load waits for a round under way.
///
/// A trigger answers in milliseconds, and without this it would decide one sync late. A round that takes longer
/// is not waited for: a quarter of a second is what slow triggers may cost all others.
const GRACE: Duration = Duration::from_millis(250);

/// A trigger by policy and name.
type Key = (PolicyKey, String);

/// What was read, or why not.
type Answers = HashMap<Key, Observed<f64>>;

/// What is sent for a query, or why it is refused.
type Query = Arc<Result<TriggerQuery, Doubt>>;

/// Namespace and text of a query to what is sent for it.
type Prepared = HashMap<(Arc<str>, String), Query>;

/// Asks the policies' own queries.
#[derive(Debug)]
pub(super) struct Triggers {
    budget: TriggerBudget,
    /// Which of the sources answers.
    source: Option<usize>,
    /// The label of the cluster and its value for the own one, where the source knows several.
    cluster: Option<(String, String)>,
    /// How long a number may hang on the board.
    keep: Duration,
    /// Queries are parsed once, not at every sync.
    prepared: Mutex<Prepared>,
    board: Arc<Mutex<Board>>,
    round: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// What was asked in a tick.
#[derive(Debug)]
pub(super) struct Asked {
    /// Those that are answered without being asked.
    answers: Answers,
    queries: Vec<(Key, Query)>,
}

impl Triggers {
    pub(super) fn new(budget: TriggerBudget, sources: &[Source], sync: Duration) -> Self {
        let named = |s: &Source| budget.source.as_deref() == Some(s.name.as_str());
        let global = |s: &Source| matches!(s.reach, Reach::Label { .. });
        let home = |s: &Source| s.reach == Reach::Cluster(ClusterId::local());
        let source = sources
            .iter()
            .position(named)
            .or_else(|| sources.iter().position(global))
            .or_else(|| sources.iter().position(home))
            .or_else(|| (!sources.is_empty()).then_some(0));
        let cluster = source.and_then(|i| match &sources.get(i)?.reach {
            Reach::Label { label, home } => Some((label.clone(), home.clone())),
            Reach::Cluster(_) => None,
        });
        // The number of the last tick's round must do for the tick that begins the next one.
        let keep = source
            .and_then(|i| sources.get(i))
            .map_or(sync, |s| (s.scrape_interval * 2).max(sync + s.timeout));
        Self {
            budget,
            source,
            cluster,
            keep,
            prepared: Mutex::default(),
            board: Arc::default(),
            round: Mutex::default(),
        }
    }

    /// Begins to ask all triggers of all asks, unless a round is under way; waits for nobody.
    pub(super) fn ask(&self, clients: &[Arc<Client>], asks: &[LoadAsk]) -> Asked {
        let (mut answers, queries) = self.prepare(asks);
        let Some(client) = self.source.and_then(|i| clients.get(i)) else {
            let doubt = || Err(Doubt::NotConfigured("there is no source; add one to `sources`".into()));
            answers.extend(queries.into_iter().map(|(key, _)| (key, doubt())));
            return Asked { answers, queries: Vec::new() };
        };
        let mut round = lock(&self.round);
        if !queries.is_empty() && round.as_ref().is_none_or(AbortOnDropHandle::is_finished) {
            let queries = lock(&self.board).begin(queries.clone());
            let (budget, board) = (self.budget.clone(), Arc::clone(&self.board));
            let asking = ask_all(Arc::clone(client), queries, budget, board);
            *round = Some(AbortOnDropHandle::new(tokio::spawn(asking)));
        }
        Asked { answers, queries }
    }

    /// What is known of what was asked, after a short wait for those still under way.
    pub(super) async fn answers(&self, asked: Asked) -> Answers {
        let under_way = lock(&self.round).take();
        if let Some(mut round) = under_way
            && timeout(GRACE, &mut round).await.is_err()
        {
            *lock(&self.round) = Some(round);
        }
        let Asked { mut answers, queries } = asked;
        let (board, now) = (lock(&self.board), Instant::now());
        answers.extend(queries.into_iter().map(|(key, query)| {
            let read = board.read(&key, &query, now, self.keep);
            (key, read)
        }));
        answers
    }

    /// Puts namespace and cluster into queries; whatever is refused or over budget is answered here.
    fn prepare(&self, asks: &[LoadAsk]) -> (Answers, Vec<(Key, Query)>) {
        let mut answers = HashMap::new();
        let mut queries = Vec::new();
        let mut by_namespace: BTreeMap<&str, usize> = BTreeMap::new();
        let mut old = lock(&self.prepared);
        let mut kept = Prepared::new();
        // By name, so that the same ones are over budget at every sync.
        let mut asks: Vec<&LoadAsk> = asks.iter().filter(|a| !a.triggers.is_empty()).collect();
        asks.sort_by(|a, b| a.policy.cmp(&b.policy));
        for ask in asks {
            let namespace = &ask.policy.namespace;
            for (i, (name, query)) in ask.triggers.iter().enumerate() {
                let key = (ask.policy.clone(), name.clone());
                let used = by_namespace.entry(&**namespace).or_default();
                if let Err(doubt) = self.afford(i, *used, namespace) {
                    answers.insert(key, Err(doubt));
                    continue;
                }
                *used += 1;
                let text = (Arc::clone(namespace), query.clone());
                let prepared = kept
                    .get(&text)
                    .or_else(|| old.get(&text))
                    .cloned()
                    .unwrap_or_else(|| Arc::new(self.enforce(query, namespace)));
                kept.insert(text, Arc::clone(&prepared));
                queries.push((key, prepared));
            }
        }
        *old = kept;
        (answers, queries)
    }

    fn afford(&self, in_policy: usize, in_namespace: usize, namespace: &str) -> Result<(), Doubt> {
        let TriggerBudget { max_per_policy, max_per_namespace, .. } = self.budget;
        if in_policy >= max_per_policy {
            return Err(Doubt::QueryRefused(format!(
                "the policy has more than {max_per_policy} triggers, the budget of one policy"
            )));
        }
        if in_namespace >= max_per_namespace {
            return Err(Doubt::QueryRefused(format!(
                "the namespace {namespace} has more than {max_per_namespace} triggers, its budget"
            )));
        }
        Ok(())
    }

    fn enforce(&self, query: &str, namespace: &str) -> Result<TriggerQuery, Doubt> {
        let mut own = vec![(self.budget.namespace_label.as_str(), namespace)];
        own.extend(self.cluster.iter().map(|(label, home)| (label.as_str(), home.as_str())));
        promql::trigger(query, &own).map_err(|e| Doubt::QueryRefused(answer::cut(&e.to_string())))
    }
}

/// One round: asks in this order, and pins each answer to the board as it comes.
async fn ask_all(
    client: Arc<Client>,
    queries: Vec<(Key, Query)>,
    budget: TriggerBudget,
    board: Arc<Mutex<Board>>,
) {
    let connection = match client.connect().await {
        Ok(connection) => connection,
        Err(doubt) => {
            for (key, query) in queries {
                lock(&board).pin(key, query, Err(doubt.clone()), Instant::now());
            }
            return;
        }
    };
    // All of them have the time of one bulk query; who is not asked within it comes first in the next round.
    let end = Instant::now() + client.source.timeout;
    let timeout = budget.timeout.min(client.source.timeout);
    let stale_after = client.source.scrape_interval * 2;
    let ask = async |(key, query): (Key, Query)| {
        let deadline = end.min(Instant::now() + timeout);
        let Ok(asked) = &*query else { return };
        if Instant::now() >= end {
            return;
        }
        let limits = Limits { timeout, deadline, max_answer: MAX_ANSWER };
        let body = client.query(&connection, &asked.promql, limits).await;
        let read = body.and_then(|body| number(&body, asked.selectors, stale_after));
        lock(&board).pin(key, query, read, Instant::now());
    };
    stream::iter(queries).for_each_concurrent(budget.concurrency, ask).await;
}

/// A panic elsewhere left single entries old at worst.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one number in the answer to a trigger, as old as the oldest of what it is made of.
fn number(body: &[u8], selectors: usize, stale_after: Duration) -> Observed<f64> {
    let columns = [PART.to_owned()];
    let Answer::Vector(vector) = answer::parse(body, &columns)? else {
        return Err(Doubt::WrongShape("a scalar where a vector was asked".into()));
    };
    let is_value = |labels: &[Cow<'_, str>]| labels.first().is_some_and(|l| l == VALUE);
    let (values, times): (Vec<_>, Vec<_>) = vector.rows().partition(|(labels, _)| is_value(labels));
    let sample = match values.as_slice() {
        [] => return Err(Doubt::EmptyVector),
        [(_, one)] => *one,
        several => {
            return Err(Doubt::WrongShape(format!(
                "{} series where one number is needed; put the query into sum(…) or max(…)",
                several.len()
            )));
        }
    };
    // Something that the query reads is gone: what it gives without it may be anything, also a calm 0.
    if times.len() < selectors {
        return Err(Doubt::AbsentSeries);
    }
    // A query that reads nothing, as time(), is of the time of its evaluation.
    let oldest = times.iter().map(|(_, time)| time.value).min_by(f64::total_cmp).unwrap_or(sample.at);
    let age = Duration::try_from_secs_f64(sample.at - oldest).unwrap_or_default();
    if age > stale_after {
        return Err(Doubt::Stale { age });
    }
    let since = Duration::try_from_secs_f64(oldest).map_err(|_| Doubt::NotANumber)?;
    let observed_at = Timestamp::UNIX_EPOCH.checked_add(since).map_err(|_| Doubt::NotANumber)?;
    Ok(Reading::complete(finite(sample.value)?, observed_at))
}

#[cfg(test)]
mod tests;
