//! Series of things that come and go: of policies, of their problems.

use std::{
    collections::BTreeMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use prometheus_client::metrics::{
    family::Family,
    gauge::{Atomic, Gauge},
};

/// A family of gauges whose labels are those of the last plan.
///
/// Only what is gone is taken away, and only what is new is added: a scrape in the middle sees old values beside
/// new ones, but never a gap. A gap would end a graph's line, and start the waiting time of an alert anew.
#[derive(Debug)]
pub(super) struct Changing<L, N, A> {
    pub(super) family: Family<L, Gauge<N, A>>,
    shown: Mutex<BTreeMap<L, N>>,
}

impl<L: Clone + Eq + Hash, N, A: Default> Default for Changing<L, N, A> {
    fn default() -> Self {
        Self { family: Family::default(), shown: Mutex::default() }
    }
}

impl<L, N, A> Changing<L, N, A>
where
    L: Clone + Eq + Hash + Ord,
    N: Copy + PartialEq,
    A: Default + Atomic<N>,
{
    /// Shows exactly these values.
    pub(super) fn show(&self, values: BTreeMap<L, N>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        // First what is new: a problem whose reason turns is shown twice for a moment rather than not at all.
        for (label, value) in &values {
            if shown.get(label) != Some(value) {
                self.family.get_or_create(label).set(*value);
            }
        }
        for gone in shown.keys().filter(|label| !values.contains_key(*label)) {
            self.family.remove(gone);
        }
        *shown = values;
    }
}
