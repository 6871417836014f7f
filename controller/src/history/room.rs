//! The room: takes orders, reads, learns, and tells.
//!
//! ```text
//! the newest three days of all batches ──> learned, told: forecasts have their trust back
//! the rest, back to two weeks          ──> learned anew, from all of it, told: they know every weekday twice
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use loadline_policies::{
    forecast::{Forecaster, past::Past},
    ids::PolicyKey,
    now::Mono,
};
use tokio::{
    sync::mpsc::{Receiver, Sender},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    course::{Course, NEWEST},
    learn::{self, Lesson},
    read::{BESIDE_THE_LOOP, End, Pasts, Step, course, make_room, read},
};
use crate::{
    ports::{Archive, Batch, Clock, LoadAsk},
    report::metrics::Metrics,
};

/// The newest minutes are left to the live readings: samples may still be on their way.
const SETTLED: Duration = Duration::from_mins(1);
/// Progress is logged this often.
const TELL: Duration = Duration::from_secs(10);

/// A policy whose past is awaited.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Whose, and how its series are found.
    pub ask: LoadAsk,
    /// Since when it is awaited; tells this wait from later ones.
    pub since: Mono,
    /// What is to be learned.
    pub lesson: Lesson,
    /// How much of the past.
    pub length: Duration,
}

/// What became of a policy's past.
#[derive(Debug)]
pub enum News {
    /// It was learned.
    Learned {
        /// Whose.
        policy: PolicyKey,
        /// As it was [`Wanted`].
        since: Mono,
        /// What has learned it.
        forecaster: Box<Forecaster>,
        /// Only the newest days were learned so far: there is more to come.
        newest: bool,
    },
    /// There is none, and there will be none: no need to ask again.
    Nothing {
        /// Whose.
        policy: PolicyKey,
    },
    /// It could not be read; asking again may help.
    Failed {
        /// Whose.
        policy: PolicyKey,
    },
    /// The order is done.
    Done,
}

/// Takes orders until it is stopped or nobody is left to give one.
pub async fn run(
    archive: impl Archive,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    mut orders: Receiver<Vec<Wanted>>,
    news: Sender<News>,
    stop: CancellationToken,
) {
    let work = async {
        while let Some(order) = orders.recv().await {
            let now = clock.now().wall;
            Job::new(&archive, &metrics, &news, order, now).run().await;
            metrics.history().waiting(0);
            if news.send(News::Done).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// One order.
struct Job<'a, A> {
    archive: &'a A,
    metrics: &'a Metrics,
    news: &'a Sender<News>,
    wanted: BTreeMap<PolicyKey, Wanted>,
    /// Batches of each policy that were not read yet, in this part of the past.
    open: BTreeMap<PolicyKey, usize>,
    /// Policies of batches of which there is more to read.
    unfinished: BTreeSet<PolicyKey>,
    failed: BTreeSet<PolicyKey>,
    pasts: Pasts,
    until: Timestamp,
}

impl<'a, A: Archive> Job<'a, A> {
    fn new(
        archive: &'a A,
        metrics: &'a Metrics,
        news: &'a Sender<News>,
        order: Vec<Wanted>,
        now: Timestamp,
    ) -> Self {
        let settled = i64::try_from(SETTLED.as_secs()).unwrap_or(0);
        let minute = now.as_second().saturating_sub(settled).div_euclid(60).saturating_mul(60);
        Self {
            archive,
            metrics,
            news,
            wanted: order.into_iter().map(|wanted| (wanted.ask.policy.clone(), wanted)).collect(),
            open: BTreeMap::new(),
            unfinished: BTreeSet::new(),
            failed: BTreeSet::new(),
            pasts: Pasts::new(),
            until: Timestamp::from_second(minute).unwrap_or(now),
        }
    }

    async fn run(mut self) {
        self.tell_waiting();
        let mut reads = self.sort().await;
        self.part(&mut reads, "the newest days").await;
        self.unfinished.clear();
        reads.retain(|(batch, _)| batch.asks.iter().any(|ask| self.wanted.contains_key(&ask.policy)));
        reads.retain(|(_, course)| !course.is_done());
        for (_, course) in &mut reads {
            course.go_on();
        }
        self.part(&mut reads, "the rest").await;
        // Where no cluster is seen, there is nobody to ask.
        for policy in std::mem::take(&mut self.wanted).into_keys() {
            self.tell(News::Failed { policy }, "failed").await;
        }
    }

    /// Reads all batches to the end of their courses, or to their stops, and learns what is complete so far.
    async fn part(&mut self, reads: &mut [(Batch, Course)], part: &str) {
        for (batch, _) in reads.iter() {
            for ask in &batch.asks {
                *self.open.entry(ask.policy.clone()).or_default() += 1;
            }
        }
        for (batch, course) in reads {
            self.read(batch, course, part).await;
            if !course.is_done() {
                self.unfinished.extend(batch.asks.iter().map(|ask| ask.policy.clone()));
            }
            for ask in &batch.asks {
                self.close(&ask.policy).await;
            }
        }
    }

    /// Sorts the asks, and makes room for what they will bring. Of a workload whose past is not readable in some
    /// cluster nothing is read: the rest of it would look like a smaller load.
    async fn sort(&mut self) -> Vec<(Batch, Course)> {
        let asks: Vec<LoadAsk> = self.wanted.values().map(|wanted| wanted.ask.clone()).collect();
        let (mut batches, unreadable) = self.archive.batches(&asks);
        let unreadable: BTreeMap<_, _> = unreadable.into_iter().map(|u| (u.policy, u.why)).collect();
        for (policy, why) in unreadable {
            tracing::info!(%policy, why, "the forecast begins without its past");
            for batch in &mut batches {
                batch.asks.retain(|ask| ask.policy != policy);
            }
            self.wanted.remove(&policy);
            self.tell(News::Nothing { policy }, "empty").await;
        }
        batches.retain(|batch| !batch.asks.is_empty());
        for ask in batches.iter().flat_map(|batch| &batch.asks) {
            let Some(wanted) = self.wanted.get(&ask.policy) else { continue };
            make_room(&mut self.pasts, ask, self.until, wanted.length);
        }
        let begin = |batch: Batch| {
            let lengths = batch.asks.iter().filter_map(|ask| Some(self.wanted.get(&ask.policy)?.length));
            let longest = Past::new(self.until, lengths.max().unwrap_or_default());
            let course = course(&batch, &longest).newest_first(self.until);
            (batch, course)
        };
        batches.into_iter().map(begin).collect()
    }

    async fn read(&mut self, batch: &Batch, course: &mut Course, part: &str) {
        let Batch { source, profile, asks } = batch;
        tracing::info!(source, profile, part, policies = asks.len(), "reading the past of the load");
        let began = Instant::now();
        let (mut queries, mut points, mut told) = (0, 0, began);
        let metrics = self.metrics.history();
        let tell = |step: Step| {
            metrics.step(&step);
            match &step.result {
                Ok((more, read)) => {
                    queries += more;
                    points += read;
                }
                Err(doubt) => {
                    tracing::warn!(source, profile, %doubt, "the past could not be read; trying again");
                }
            }
            if told.elapsed() >= TELL {
                told = Instant::now();
                let percent = (100.0 * step.share).round();
                tracing::info!(source, profile, percent, points, queries, "reading the past of the load");
            }
        };
        let end = read(self.archive, batch, course, BESIDE_THE_LOOP, &mut self.pasts, tell).await;
        let seconds = began.elapsed().as_secs();
        match &end {
            End::Whole => {
                tracing::info!(
                    source,
                    profile,
                    part,
                    points,
                    queries,
                    seconds,
                    "the past of the load was read"
                );
            }
            End::Newest(doubt) => {
                course.give_up();
                tracing::warn!(source, profile, %doubt, points, seconds, "only the newest past could be read");
            }
            End::Failed(doubt) => {
                tracing::warn!(source, profile, %doubt, seconds, "the past could not be read; it is tried again later");
                course.give_up();
                self.failed.extend(asks.iter().map(|ask| ask.policy.clone()));
            }
        }
    }

    /// One batch of a policy was read; learns its past when that was the last.
    async fn close(&mut self, policy: &PolicyKey) {
        let open = self.open.entry(policy.clone()).or_default();
        *open = open.saturating_sub(1);
        let Some(wanted) = self.wanted.get(policy).filter(|_| *open == 0) else { return };
        let (lesson, since) = (wanted.lesson, wanted.since);
        let newest =
            self.unfinished.contains(policy) && wanted.length > NEWEST && !self.failed.contains(policy);
        let clusters = if newest { self.pasts.get(policy).cloned() } else { self.pasts.remove(policy) };
        if !newest {
            self.wanted.remove(policy);
        }
        let policy = policy.clone();
        if self.failed.contains(&policy) {
            return self.tell(News::Failed { policy }, "failed").await;
        }
        let clusters = clusters.unwrap_or_default().into_values().collect();
        let (learned, took) = learn::apart(lesson, clusters).await;
        self.metrics.history().learned(took);
        match learned {
            Some(forecaster) => {
                let outcome = if newest { "newest" } else { "loaded" };
                self.tell(News::Learned { policy, since, forecaster, newest }, outcome).await;
            }
            None if newest => {}
            None => self.tell(News::Nothing { policy }, "empty").await,
        }
        sleep(took).await;
    }

    async fn tell(&self, news: News, outcome: &'static str) {
        self.metrics.history().policy(outcome);
        self.tell_waiting();
        // Nobody listens any more: the process ends.
        drop(self.news.send(news).await);
    }

    fn tell_waiting(&self) {
        self.metrics.history().waiting(self.wanted.len());
    }
}

#[cfg(test)]
mod tests;
