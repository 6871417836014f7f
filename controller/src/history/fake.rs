//! An archive of numbers, for tests.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use loadline_policies::{
    ids::{ClusterId, PolicyKey, Target},
    reading::Doubt,
};

use crate::ports::{Archive, Batch, Detail, LoadAsk, Page, PastLoad, SeriesSelector, Span, Unreadable};

/// 100 requests/s and a season, for each of its asks, since a moment.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// There is nothing before, Unix seconds.
    pub(super) since: i64,
    /// It does not answer for what begins before, Unix seconds.
    pub(super) gone_before: i64,
    /// It refuses more slots than this at once, if it is not 0.
    pub(super) most: usize,
    /// What it answers first, one after the other.
    pub(super) failures: Mutex<Vec<Doubt>>,
    /// How often it was asked.
    pub(super) asked: AtomicUsize,
}

pub(super) fn load(second: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "seconds of a day")]
    let time = std::f64::consts::TAU * second.rem_euclid(86_400) as f64 / 86_400.0;
    100.0 - 50.0 * time.cos()
}

pub(super) fn ask(name: &str) -> LoadAsk {
    LoadAsk {
        policy: PolicyKey::new("shop", name),
        target: Target::new("apps/v1", "Deployment", "shop", name),
        profile: "otel-http".into(),
        selector: SeriesSelector::Profile,
        detail: Detail::default(),
        expected: [(ClusterId::local(), 3)].into(),
        triggers: BTreeMap::new(),
    }
}

impl Archive for Numbers {
    fn batches(&self, asks: &[LoadAsk]) -> (Vec<Batch>, Vec<Unreadable>) {
        let dark = |ask: &&LoadAsk| ask.expected.contains_key(&ClusterId::new("dark"));
        let why = || "no source knows the cluster dark".to_owned();
        let unreadable =
            asks.iter().filter(dark).map(|a| Unreadable { policy: a.policy.clone(), why: why() });
        let batch = Batch { source: "a".into(), profile: "otel-http".into(), asks: asks.to_vec() };
        (vec![batch], unreadable.collect())
    }

    async fn read(&self, batch: &Batch, span: Span) -> Result<Page, Doubt> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if let Some(doubt) = self.failures.lock().unwrap().pop() {
            return Err(doubt);
        }
        if span.start.as_second() < self.gone_before {
            return Err(Doubt::Unreachable);
        }
        if self.most > 0 && span.slots > self.most {
            return Err(Doubt::QueryRefused("execution: too many samples".into()));
        }
        let step = i64::try_from(span.slot.as_secs()).unwrap();
        let times = (0..i64::try_from(span.slots).unwrap()).map(|i| span.start.as_second() + i * step);
        let points: Vec<_> = times
            .filter(|at| *at >= self.since)
            .map(|at| (Timestamp::from_second(at).unwrap(), load(at)))
            .collect();
        let of = |ask: &LoadAsk| PastLoad {
            policy: ask.policy.clone(),
            cluster: ClusterId::local(),
            points: points.clone(),
        };
        let loads: Vec<_> = batch.asks.iter().map(of).collect();
        Ok(Page { queries: 1, points: loads.len() * points.len(), loads })
    }
}
