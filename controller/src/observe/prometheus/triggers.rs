//! Triggers: the policies' own queries, each inside its namespace and its budget.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use loadline_policies::{
    ids::{ClusterId, PolicyKey},
    reading::{Doubt, Observed, Reading, finite},
};
use tokio::time::Instant;

use super::{
    answer::{self, Answer},
    client::{Client, Connection, Limits},
    promql::{self, PART, TriggerQuery, VALUE},
};
use crate::{
    config::{Reach, Source, TriggerBudget},
    ports::LoadAsk,
};

/// Longest answer of a trigger: it is to be one number.
const MAX_ANSWER: usize = 256 << 10;

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
    /// Queries are parsed once, not at every sync.
    prepared: Mutex<Prepared>,
    /// Who is asked first: another one at each sync, so that a slow source starves nobody for long.
    turn: AtomicUsize,
}

impl Triggers {
    pub(super) fn new(budget: TriggerBudget, sources: &[Source]) -> Self {
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
        Self { budget, source, cluster, prepared: Mutex::default(), turn: AtomicUsize::default() }
    }

    /// Asks all triggers of all asks.
    pub(super) async fn read(&self, clients: &[Client], asks: &[LoadAsk]) -> Answers {
        let (mut answers, queries) = self.prepare(asks);
        if queries.is_empty() {
            return answers;
        }
        let connected = match self.source.and_then(|i| clients.get(i)) {
            Some(client) => client.connect().await.map(|connection| (client, connection)),
            None => Err(Doubt::NotConfigured("there is no source; add one to `sources`".into())),
        };
        match connected {
            Ok((client, connection)) => answers.extend(self.ask(client, &connection, queries).await),
            Err(doubt) => answers.extend(queries.into_iter().map(|(key, _)| (key, Err(doubt.clone())))),
        }
        answers
    }

    async fn ask(
        &self,
        client: &Client,
        connection: &Connection,
        mut queries: Vec<(Key, Query)>,
    ) -> Vec<(Key, Observed<f64>)> {
        // One sync is all the time there is for all of them.
        let deadline = Instant::now() + client.source.timeout;
        let timeout = self.budget.timeout.min(client.source.timeout);
        let stale_after = client.source.scrape_interval * 2;
        let turn = self.turn.fetch_add(self.budget.concurrency, Ordering::Relaxed) % queries.len().max(1);
        queries.rotate_left(turn);
        stream::iter(queries)
            .map(|(key, query)| async move {
                let deadline = deadline.min(Instant::now() + timeout);
                let limits = Limits { timeout, deadline, max_answer: MAX_ANSWER };
                let read = match &*query {
                    Ok(query) => client
                        .query(connection, &query.promql, limits)
                        .await
                        .and_then(|body| number(&body, query.selectors, stale_after)),
                    Err(doubt) => Err(doubt.clone()),
                };
                (key, read)
            })
            .buffer_unordered(self.budget.concurrency)
            .collect()
            .await
    }

    /// Puts namespace and cluster into queries; whatever is refused or over budget is answered here.
    fn prepare(&self, asks: &[LoadAsk]) -> (Answers, Vec<(Key, Query)>) {
        let mut answers = HashMap::new();
        let mut queries = Vec::new();
        let mut by_namespace: BTreeMap<&str, usize> = BTreeMap::new();
        let mut old = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
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
