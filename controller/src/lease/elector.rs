//! The elector: a state machine that only says what to do, and never does anything.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use loadline_policies::now::Mono;

/// How long things last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timing {
    /// Unchanged for this long, a lease is free to take.
    pub lease: Duration,
    /// The holder renews this often.
    pub renew: Duration,
    /// Others look this often; also the pause after a failure.
    pub poll: Duration,
    /// The longest that one request may take; no write begins later than this before the permit's end.
    pub write_timeout: Duration,
    /// The permit is shorter than the lease by this, for clocks that run unequally.
    pub margin: Duration,
}

impl Default for Timing {
    /// The durations of production.
    ///
    /// `lease` 15 s and `renew` 5 s as client-go. Take-over after a crash takes at most `lease` + `poll` and
    /// the requests themselves, under 20 s. A write may begin in the first 15 - 0.75 - 5 = 9.25 s after a
    /// renewal was sent, so that one renewal may be lost or late by 4 s before writes pause. `margin` allows
    /// clocks to differ by 5 %; quartz is off by less than 0.1 %, a virtual machine that slews by 0.05 %.
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew: Duration::from_secs(5),
            poll: Duration::from_secs(2),
            write_timeout: Duration::from_secs(5),
            margin: Duration::from_millis(750),
        }
    }
}

impl Timing {
    /// How long a permit lasts from the moment before its renewal was sent.
    #[must_use]
    pub const fn permit(&self) -> Duration {
        self.lease.saturating_sub(self.margin)
    }

    /// Silence of the API server that is longer than this starts the observation of the lease anew.
    ///
    /// One failed look is forgiven (two polls and the request); a longer one is an outage, after which the
    /// holder gets a full lease to renew.
    #[must_use]
    pub fn gap(&self) -> Duration {
        self.poll * 2 + self.write_timeout
    }
}

/// The lease as the API server shows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// Who holds it; `None` when it was released.
    pub holder: Option<Arc<str>>,
    /// Changes with every renewal (`spec.renewTime`); compared, never read as a time.
    pub beat: Arc<str>,
    /// How often it changed hands.
    pub transitions: i32,
    /// The object's resourceVersion: what the next write must carry.
    pub version: Arc<str>,
}

/// What happened to a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// The lease was read; `None` when there is no such object.
    Read(Option<Record>),
    /// The write was accepted; the record is the API server's answer.
    Written {
        /// What was asked for.
        claim: Claim,
        /// The lease as it is now.
        record: Record,
        /// The time just before the write was sent.
        sent: Mono,
    },
    /// The write was refused because the lease had changed.
    Conflict,
    /// No answer, or one that says nothing: whether a write was done is not known.
    Failed,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing until then.
    Wait(Mono),
    /// Read the lease.
    Read,
    /// Write the lease.
    Write(Write),
    /// Another process holds what this one has held, or has held it since (`None`, when it let go of it again): what
    /// this process remembers is older than what the other one did, so it ends and is started anew.
    Lost(Option<Arc<str>>),
    /// The lease was released, or was not ours: done.
    Released,
}

/// What a write of the lease is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Claim {
    /// Become the holder.
    Take,
    /// Stay the holder.
    Renew,
    /// Let go.
    Release,
}

/// A write of the lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Write {
    /// What for.
    pub claim: Claim,
    /// The resourceVersion that it must carry; `None` creates the object.
    pub version: Option<Arc<str>>,
    /// What `leaseTransitions` becomes.
    pub transitions: i32,
}

/// Elects one holder among processes that share a lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Elector {
    identity: Arc<str>,
    timing: Timing,
    seen: Option<Sighting>,
    /// The lease must be read before the next write.
    blind: bool,
    permit: Option<Mono>,
    /// How often the lease had changed hands when this process last wrote it; `None` when it never held it.
    led: Option<i32>,
    /// Somebody else was seen to hold it.
    rivals: bool,
    lost: Option<Loss>,
    course: Course,
    due: Mono,
}

/// That another process has held what this one has held, and its name while it does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Loss(Option<Arc<str>>);

/// Where this process is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Course {
    /// It wants to hold the lease.
    Running,
    /// It wants to let go of it.
    Stopping,
    /// It has let go, or tried.
    Released,
}

/// The lease as it was last seen, and for how long it was watched unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Sighting {
    record: Option<Record>,
    since: Mono,
    last: Mono,
}

impl Elector {
    /// An elector that has seen nothing yet. The identity must be of this process alone.
    #[must_use]
    pub fn new(identity: Arc<str>, timing: Timing) -> Self {
        Self {
            identity,
            timing,
            seen: None,
            blind: true,
            permit: None,
            led: None,
            rivals: false,
            lost: None,
            course: Course::Running,
            due: Mono::default(),
        }
    }

    /// The name under which this process holds the lease.
    #[must_use]
    pub const fn identity(&self) -> &Arc<str> {
        &self.identity
    }

    /// The durations that it keeps.
    #[must_use]
    pub const fn timing(&self) -> Timing {
        self.timing
    }

    /// When the permit ends, if there is one: no write of ours may be under way after it.
    #[must_use]
    pub const fn permit(&self) -> Option<Mono> {
        self.permit
    }

    /// Whether this process has held the lease at any time.
    #[must_use]
    pub const fn has_led(&self) -> bool {
        self.led.is_some()
    }

    /// Who was last seen to hold the lease.
    #[must_use]
    pub fn holder(&self) -> Option<&Arc<str>> {
        self.seen.as_ref()?.record.as_ref()?.holder.as_ref()
    }

    /// Gives up the permit at once and asks for the release of the lease.
    pub fn stop(&mut self, now: Mono) {
        if self.course == Course::Running {
            self.course = Course::Stopping;
        }
        self.permit = None;
        self.due = now;
    }

    /// What to do now.
    #[must_use]
    pub fn next(&self, now: Mono) -> Step {
        if let Some(Loss(holder)) = &self.lost {
            return Step::Lost(holder.clone());
        }
        if self.course != Course::Running {
            return self.release();
        }
        if now < self.due {
            return Step::Wait(self.due);
        }
        match &self.seen {
            Some(sighting) if !self.blind && self.may_write(sighting, now) => {
                Step::Write(self.claim(sighting))
            }
            _ => Step::Read,
        }
    }

    fn release(&self) -> Step {
        let ours = self.seen.as_ref().and_then(|s| s.record.as_ref()).filter(|r| self.is_ours(r));
        match ours {
            Some(record) if self.course == Course::Stopping => Step::Write(Write {
                claim: Claim::Release,
                version: Some(Arc::clone(&record.version)),
                transitions: record.transitions,
            }),
            _ => Step::Released,
        }
    }

    fn is_ours(&self, record: &Record) -> bool {
        record.holder.as_deref() == Some(&*self.identity)
    }

    fn may_write(&self, sighting: &Sighting, now: Mono) -> bool {
        let expired =
            now.since(sighting.since) >= self.timing.lease && now.since(sighting.last) <= self.timing.gap();
        match &sighting.record {
            // Somebody deleted the lease: a rival's permit may still be good.
            None => !self.rivals || expired,
            Some(record) => record.holder.is_none() || self.is_ours(record) || expired,
        }
    }

    fn claim(&self, sighting: &Sighting) -> Write {
        let Some(record) = &sighting.record else {
            return Write { claim: Claim::Take, version: None, transitions: 0 };
        };
        let version = Some(Arc::clone(&record.version));
        if self.is_ours(record) {
            Write { claim: Claim::Renew, version, transitions: record.transitions }
        } else {
            Write { claim: Claim::Take, version, transitions: record.transitions.saturating_add(1) }
        }
    }

    /// Takes in what happened; `now` is the time at which it was known.
    pub fn on(&mut self, event: Event, now: Mono) {
        match event {
            Event::Read(record) => self.on_read(record, now),
            Event::Written { claim, record, sent } => self.on_written(claim, record, sent, now),
            Event::Conflict => {
                self.blind = true;
                self.due = now;
                self.give_up_release();
            }
            Event::Failed => {
                self.blind = true;
                self.due = now.plus(self.timing.poll);
                self.give_up_release();
            }
        }
    }

    /// One try: the lease runs out by itself.
    fn give_up_release(&mut self) {
        if self.course == Course::Stopping {
            self.course = Course::Released;
        }
    }

    fn on_read(&mut self, record: Option<Record>, now: Mono) {
        self.blind = false;
        let unchanged = self.seen.as_ref().is_some_and(|s| {
            same_beat(s.record.as_ref(), record.as_ref()) && now.since(s.last) <= self.timing.gap()
        });
        let since = match &self.seen {
            Some(sighting) if unchanged => sighting.since,
            _ => now,
        };
        if let Some(record) = &record {
            self.rivals |= record.holder.is_some() && !self.is_ours(record);
            if self.is_lost(record) {
                self.permit = None;
                self.lost = Some(Loss(record.holder.clone().filter(|_| !self.is_ours(record))));
            }
        }
        let sighting = Sighting { record, since, last: now };
        self.due = if self.may_write(&sighting, now) {
            now
        } else {
            now.plus(self.pause()).min(since.plus(self.timing.lease))
        };
        self.seen = Some(sighting);
    }

    /// Whether another process has held the lease since this one did: it holds it now, or has let go of it, which
    /// this process does only when it ends.
    fn is_lost(&self, record: &Record) -> bool {
        self.led.is_some_and(|transitions| !self.is_ours(record) || record.transitions != transitions)
    }

    fn on_written(&mut self, claim: Claim, record: Record, sent: Mono, now: Mono) {
        self.blind = false;
        let transitions = record.transitions;
        self.seen = Some(Sighting { record: Some(record), since: now, last: now });
        if claim == Claim::Release {
            self.permit = None;
            self.course = Course::Released;
            return;
        }
        self.led = Some(transitions);
        if self.course == Course::Running {
            self.permit = Some(sent.plus(self.timing.permit()));
            self.due = sent.plus(self.timing.renew);
        }
    }

    /// The pause between two looks, longer by up to a quarter that differs between processes, so that they
    /// do not all ask at the same moment.
    fn pause(&self) -> Duration {
        let mut hasher = DefaultHasher::new();
        self.identity.hash(&mut hasher);
        let quarters = u32::try_from(hasher.finish() % 64).unwrap_or(0);
        self.timing.poll + self.timing.poll / 256 * quarters
    }
}

#[cfg(test)]
impl Elector {
    /// The same elector `by` later, as a state of a model: what lies so far back that it no longer decides
    /// anything becomes equal, so that there are finitely many states.
    pub(super) fn aged(mut self, by: Duration, now: Mono) -> Self {
        let shift = |t: Mono, oldest: Duration| t.minus(by).max(now.minus(oldest));
        let t = self.timing;
        self.due = shift(self.due, Duration::ZERO);
        self.permit = self.permit.map(|p| p.minus(by)).filter(|p| *p > now);
        if let Some(s) = &mut self.seen {
            s.since = shift(s.since, t.lease);
            s.last = shift(s.last, t.gap() + t.poll);
        }
        self
    }

    /// Every record that it remembers.
    pub(super) fn records(&mut self) -> Option<&mut Record> {
        self.seen.as_mut()?.record.as_mut()
    }

    /// How often the lease had changed hands: in the record that it remembers, and when it last held it.
    pub(super) fn counts(&mut self) -> (Option<&mut i32>, Option<&mut i32>) {
        let record = self.seen.as_mut().and_then(|s| s.record.as_mut());
        (record.map(|r| &mut r.transitions), self.led.as_mut())
    }
}

/// Whether a lease is the same renewal of the same holder (labels or annotations may differ).
fn same_beat(a: Option<&Record>, b: Option<&Record>) -> bool {
    let key = |r: &Record| (r.holder.clone(), Arc::clone(&r.beat), r.transitions);
    a.map(key) == b.map(key)
}

#[cfg(test)]
mod tests;
