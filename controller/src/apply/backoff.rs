//! Back-off by object: exponential, with jitter, forgotten after a success.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use loadline_policies::now::Mono;

/// How long the pauses grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Somebody else was quicker: what is seen next is fresh. A second, so that two who write the same all the time
    /// do not chase each other.
    Brief,
    /// It may pass by itself any time (no connection, busy): at most 5 s, so that two syncs after the end of
    /// an outage everything is written.
    Short,
    /// Only a person can mend it (RBAC, admission): at most a minute.
    Long,
}

impl Patience {
    const fn longest(self) -> Duration {
        match self {
            Self::Brief => FIRST,
            Self::Short => Duration::from_secs(5),
            Self::Long => Duration::from_mins(1),
        }
    }
}

/// The first pause; doubled with each failure.
const FIRST: Duration = Duration::from_secs(1);

/// Pauses by object.
#[derive(Debug)]
pub struct Backoff<K> {
    pauses: HashMap<K, Pause>,
}

impl<K> Default for Backoff<K> {
    fn default() -> Self {
        Self { pauses: HashMap::new() }
    }
}

#[derive(Debug)]
struct Pause {
    failures: u32,
    until: Mono,
    why: String,
}

impl<K: Eq + Hash + Clone> Backoff<K> {
    /// How long the pause of an object still is, and after which failure; `None` when it may be tried.
    #[must_use]
    pub fn pausing(&self, key: &K, now: Mono) -> Option<(Duration, &str)> {
        let pause = self.pauses.get(key)?;
        (now < pause.until).then(|| (pause.until.since(now), pause.why.as_str()))
    }

    /// Notes a failure.
    pub fn failed(&mut self, key: &K, patience: Patience, why: &str, now: Mono) {
        let failures = self.pauses.get(key).map_or(0, |p| p.failures).saturating_add(1);
        let doubled = FIRST.saturating_mul(1 << (failures - 1).min(10)).min(patience.longest());
        let until = now.plus(doubled.mul_f64(jitter(key, failures)));
        self.pauses.insert(key.clone(), Pause { failures, until, why: why.to_owned() });
    }

    /// Notes a success.
    pub fn succeeded(&mut self, key: &K) {
        self.pauses.remove(key);
    }

    /// Forgets objects that nobody asks about any more.
    pub fn retain(&mut self, wanted: impl Fn(&K) -> bool) {
        self.pauses.retain(|key, _| wanted(key));
    }
}

/// A factor of 0.8 to 1.0 that differs between objects and tries, so that they do not come back all at once.
fn jitter<K: Hash>(key: &K, failures: u32) -> f64 {
    let mut hasher = DefaultHasher::new();
    (key, failures).hash(&mut hasher);
    let share = u8::try_from(hasher.finish() % 256).unwrap_or(0);
    0.8 + 0.2 * f64::from(share) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(failures: u32, patience: Patience) -> f64 {
        let (mut backoff, now) = (Backoff::default(), Mono(Duration::from_secs(100)));
        for _ in 0..failures {
            backoff.failed(&"cart", patience, "no", now);
        }
        backoff.pausing(&"cart", now).unwrap().0.as_secs_f64()
    }

    #[test]
    fn pauses_double_up_to_the_patience() {
        for (failures, patience, longest) in [
            (1, Patience::Long, 1.0),
            (2, Patience::Long, 2.0),
            (4, Patience::Long, 8.0),
            (40, Patience::Long, 60.0),
            (40, Patience::Short, 5.0),
            (40, Patience::Brief, 1.0),
        ] {
            let pause = pause(failures, patience);
            assert!((0.8 * longest..=longest).contains(&pause), "{failures} failures: {pause} s");
        }
    }

    #[test]
    fn one_object_does_not_hold_another_and_a_success_forgets() {
        let (mut backoff, now) = (Backoff::default(), Mono(Duration::from_secs(100)));
        backoff.failed(&"cart", Patience::Long, "forbidden", now);
        assert_eq!(backoff.pausing(&"cart", now).unwrap().1, "forbidden");
        assert!(backoff.pausing(&"order", now).is_none());
        assert!(backoff.pausing(&"cart", now.plus(Duration::from_secs(1))).is_none(), "over");
        backoff.succeeded(&"cart");
        assert!(backoff.pausing(&"cart", now).is_none());
    }
}
