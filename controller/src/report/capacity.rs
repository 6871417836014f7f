//! What is known of the capacity of one replica: to status, and back from it after a restart.
//!
//! What is learned moves once a day, so status does too; only the day that is under way is kept by the hour.

use std::time::Duration;

use loadline_crds::elastic_policy::{
    CapacityBefore, CapacityDay, CapacityKnee, CapacitySource, CapacityStatus, CapacityWindows, CpuCapacity,
    LearnedCapacity, LearnedStanding, quantised,
};
use loadline_policies::{
    capacity::cpu::TARGET_UTILISATION,
    capacity::{
        Before, CpuKept, CpuKnown, CpuLearner, Kept, KeptDay, Knee, Known, Learner, Outline, Source, Standing,
    },
    memory::PolicyMemory,
    now::Now,
};

use super::status::{Urgency, whole_seconds};

/// The day that is under way is written when so much more of it has passed: what a crash costs of it at most.
const MINUTES: i32 = 60;

/// The status of what is known.
pub(super) fn of(
    known: Option<&Known>,
    memory: Option<&PolicyMemory>,
    previous: Option<&CapacityStatus>,
    now: Now,
) -> Option<CapacityStatus> {
    let known = known?;
    let source = source(known.source);
    let since = previous.filter(|old| old.source == source).map(|old| old.since.clone());
    Some(CapacityStatus {
        per_replica: known.per_replica.and_then(quantised),
        source,
        since: since.unwrap_or_else(|| whole_seconds(now.wall)),
        confidence: quantised(known.confidence).unwrap_or_default(),
        learned: memory.and_then(|m| m.capacity.as_ref()).map(|learner| {
            let told = previous.and_then(|old| old.learned.as_ref());
            told.filter(|told| stands(told, learner)).cloned().unwrap_or_else(|| learned(learner, known))
        }),
        cpu: memory.and_then(|m| m.cpu.as_ref()).map(|learner| cpu(learner)),
    })
}

/// What the CPU says. It moves when a fit is taken or given up; why there is none is not worth a write of its own.
fn cpu(learner: &CpuLearner) -> CpuCapacity {
    let known = learner.known();
    CpuCapacity {
        estimate: known.estimate.and_then(quantised),
        per_thousand: known.per_thousand,
        idle: known.idle,
        target_utilisation: TARGET_UTILISATION,
        images: learner.kept().and_then(|kept| kept.images).map(template),
        missing: missing(&known).map(ToOwned::to_owned),
    }
}

fn missing(known: &CpuKnown) -> Option<&'static str> {
    match (known.estimate, known.request) {
        (Some(_), _) => None,
        (None, None) => Some("NoRequest"),
        (None, Some(_)) => {
            known.doubt.or(Some(if known.per_thousand.is_some() { "Idle" } else { "Learning" }))
        }
    }
}

/// What was learned of the CPU that requests take, which a status remembers.
pub(super) fn remembered_cpu(status: &CapacityStatus) -> Option<Box<CpuLearner>> {
    let kept = status.cpu.as_ref()?;
    let images = kept.images.as_deref().and_then(template_of);
    let kept = CpuKept { per_thousand: kept.per_thousand?, idle: kept.idle?, images };
    Some(Box::new(CpuLearner::restored(kept)))
}

/// How urgent it is to write what is known.
pub(super) fn urgency(old: Option<&CapacityStatus>, new: Option<&CapacityStatus>) -> Urgency {
    let essence = |c: &CapacityStatus| (c.source, c.per_replica);
    if old.map(essence) != new.map(essence) {
        return Urgency::Now;
    }
    // What was told stays as it is within the hour.
    let same = old.and_then(|c| c.learned.as_ref()) == new.and_then(|c| c.learned.as_ref())
        && old.and_then(fit) == new.and_then(fit);
    if same { Urgency::None } else { Urgency::Soon }
}

/// What of the CPU must not be lost.
fn fit(status: &CapacityStatus) -> Option<(Option<f64>, Option<f64>)> {
    status.cpu.as_ref().map(|cpu| (cpu.per_thousand, cpu.idle))
}

/// The learner that a status remembers.
pub(super) fn remembered(status: &CapacityStatus) -> Option<Box<Learner>> {
    let kept = status.learned.as_ref()?;
    let standing = match kept.standing {
        LearnedStanding::Learning => Standing::Learning,
        LearnedStanding::Provisional => Standing::Provisional,
        LearnedStanding::Learned => Standing::Learned,
    };
    let before = kept.before.as_ref();
    let minutes = u64::try_from(kept.day.minutes).unwrap_or_default();
    let windows = |w: &CapacityWindows| Some((w.work, u32::try_from(w.windows).ok()?));
    Some(Box::new(Learner::restored(Kept {
        value: kept.estimate,
        standing,
        lower: kept.lower_bound,
        knees: kept.knees.iter().map(knee_of).collect(),
        tested: kept.tested_days,
        explained: kept.explained_days,
        template: kept.template.as_deref().and_then(template_of),
        before: before
            .map(|b| Before { value: b.per_replica, template: b.template.as_deref().and_then(template_of) }),
        day: KeptDay {
            seen: Duration::from_mins(minutes),
            healthy: kept.day.healthy.iter().filter_map(windows).collect(),
            knees: kept.day.knees.iter().map(knee_of).collect(),
        },
    })))
}

/// Whether what was told is still so, but for the hour that is under way. This is asked of every policy in every tick.
fn stands(told: &LearnedCapacity, learner: &Learner) -> bool {
    let Outline { value, standing: now, template, seen } = learner.outline();
    told.standing == standing(now)
        && told.day.minutes.div_euclid(MINUTES) == minutes(seen).div_euclid(MINUTES)
        && told.template.as_deref().and_then(template_of) == template
        && told.estimate == value.and_then(quantised)
}

const fn standing(standing: Standing) -> LearnedStanding {
    match standing {
        Standing::Learning => LearnedStanding::Learning,
        Standing::Provisional => LearnedStanding::Provisional,
        Standing::Learned => LearnedStanding::Learned,
    }
}

fn minutes(seen: Duration) -> i32 {
    i32::try_from(seen.as_secs() / 60).unwrap_or(i32::MAX)
}

fn learned(learner: &Learner, known: &Known) -> LearnedCapacity {
    let kept = learner.kept();
    let count = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let healthy = kept.day.healthy.iter();
    LearnedCapacity {
        estimate: kept.value.and_then(quantised),
        standing: standing(kept.standing),
        lower_bound: kept.lower.and_then(quantised),
        upper_bound: known.upper.and_then(quantised),
        tested_days: quantised(kept.tested).unwrap_or_default(),
        explained_days: quantised(kept.explained).unwrap_or_default(),
        template: kept.template.map(template),
        before: kept.before.and_then(|b| {
            Some(CapacityBefore { per_replica: quantised(b.value)?, template: b.template.map(template) })
        }),
        knees: kept.knees.iter().filter_map(knee).collect(),
        day: CapacityDay {
            minutes: minutes(kept.day.seen),
            healthy: healthy
                .filter_map(|(work, n)| Some(CapacityWindows { work: quantised(*work)?, windows: count(*n) }))
                .collect(),
            knees: kept.day.knees.iter().filter_map(knee).collect(),
        },
    }
}

const fn source(source: Source) -> CapacitySource {
    match source {
        Source::Declared => CapacitySource::Declared,
        Source::Learned => CapacitySource::Learned,
        Source::Provisional => CapacitySource::Provisional,
        Source::Estimated => CapacitySource::Estimated,
        Source::Learning => CapacitySource::Learning,
    }
}

fn knee(knee: &Knee) -> Option<CapacityKnee> {
    let days = i32::try_from(knee.days).unwrap_or(i32::MAX);
    Some(CapacityKnee { work: quantised(knee.work)?, cured: knee.cured, days })
}

fn knee_of(knee: &CapacityKnee) -> Knee {
    Knee { work: knee.work, cured: knee.cured, days: u32::try_from(knee.days).unwrap_or_default() }
}

/// JSON holds no number of 64 bits: sixteen digits of the base 16 do.
fn template(identity: u64) -> String {
    format!("{identity:016x}")
}

fn template_of(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use loadline_policies::{
        capacity::{self, Window},
        fleet::Footprint,
        latency::LatencyTerm,
        now::Mono,
        policy::PerReplica,
    };

    use super::*;

    fn now(minutes: u64) -> Now {
        let wall =
            jiff::Timestamp::from_second(1_772_409_600 + i64::try_from(minutes * 60).unwrap()).unwrap();
        Now::new(wall, Duration::from_mins(minutes))
    }

    /// Minutes of ten replicas whose latency breaks at 100 each, under a load that swings up to 115 within the hour.
    fn learn(memory: &mut PolicyMemory, minutes: std::ops::Range<u64>) {
        for minute in minutes {
            let swing = f64::from(u32::try_from(minute % 60).unwrap()) / 60.0;
            let work = 1_000.0 * (0.55 + 0.6 * swing);
            let healthy = Some(work < 1_000.0);
            let window =
                Window { work, peak: work, ready: 10, silent: 0, length: Duration::from_mins(1), healthy };
            let learner = memory.capacity.get_or_insert_default();
            learner.learn(Some(window), LatencyTerm::Fine, Some(u64::MAX), Mono(Duration::from_mins(minute)));
        }
    }

    fn status(
        memory: &PolicyMemory,
        declared: PerReplica,
        old: Option<&CapacityStatus>,
        minute: u64,
    ) -> CapacityStatus {
        let known = capacity::known(declared, memory.capacity.as_deref(), memory.cpu.as_deref());
        of(Some(&known), Some(memory), old, now(minute)).unwrap()
    }

    #[test]
    fn what_was_learned_survives_a_restart_and_is_learned_on() {
        // Given a capacity that is known, in the middle of a day,
        let mut memory = PolicyMemory::default();
        learn(&mut memory, 0..3 * 1_440 + 700);
        let told = status(&memory, PerReplica::Learned, None, 5_020);
        assert_eq!(
            (told.source, told.learned.as_ref().unwrap().standing),
            (CapacitySource::Learned, LearnedStanding::Learned)
        );
        assert!(told.learned.as_ref().unwrap().upper_bound.is_some());
        // when a new process reads the status,
        let text = serde_json::to_string(&told).unwrap();
        assert!(text.len() < 4_096, "{} bytes", text.len());
        let restored = remembered(&serde_json::from_str(&text).unwrap());
        let mut again = PolicyMemory { capacity: restored, ..PolicyMemory::default() };
        // then it uses exactly the same number, and says the same of the days that follow.
        let used = |memory: &PolicyMemory| memory.capacity.as_ref().unwrap().known().per_replica;
        assert_eq!(used(&again), used(&memory));
        assert_eq!(status(&again, PerReplica::Learned, Some(&told), 5_020), told);
        learn(&mut again, 5_020..9_000);
        learn(&mut memory, 5_020..9_000);
        let (one, other) =
            (status(&memory, PerReplica::Learned, None, 0), status(&again, PerReplica::Learned, None, 0));
        let (one, other) = (one.per_replica.unwrap(), other.per_replica.unwrap());
        assert!((one / other - 1.0).abs() < 0.02, "{one} and {other}");
    }

    #[test]
    fn what_the_cpu_said_survives_a_restart() {
        let footprint = Some(Footprint { images: 7, cpu_request: Some(500) });
        let kept = CpuKept { per_thousand: 12.3, idle: 0.041, images: Some(7) };
        let cpu = |kept| {
            let mut learner = Box::new(CpuLearner::restored(kept));
            learner.see(footprint);
            PolicyMemory { cpu: Some(learner), ..PolicyMemory::default() }
        };
        let memory = cpu(kept);
        let told = status(&memory, PerReplica::Learned, None, 0);
        // (0.7 × 0.5 − 0.041) / 0.0123
        assert_eq!((told.source, told.per_replica), (CapacitySource::Estimated, Some(25.1)));
        let mut again =
            remembered_cpu(&serde_json::from_str(&serde_json::to_string(&told).unwrap()).unwrap());
        again.as_mut().unwrap().see(footprint);
        assert_eq!(again, memory.cpu);
        // Why there is none is told, and no reason to write.
        let nothing = PolicyMemory { cpu: Some(Box::default()), ..PolicyMemory::default() };
        let nothing = status(&nothing, PerReplica::Learned, None, 0);
        assert_eq!(nothing.cpu.as_ref().unwrap().missing.as_deref(), Some("NoRequest"));
        let mut other = nothing.clone();
        other.cpu.as_mut().unwrap().missing = Some("AbsentSeries".to_owned());
        assert_eq!(urgency(Some(&nothing), Some(&other)), Urgency::None);
    }

    #[test]
    fn a_declared_number_is_used_and_what_was_learned_is_kept() {
        let mut memory = PolicyMemory::default();
        learn(&mut memory, 0..3 * 1_440);
        let learned = status(&memory, PerReplica::Learned, None, 0);
        let declared = status(&memory, PerReplica::Declared(42.0), Some(&learned), 60);
        assert_eq!((declared.source, declared.per_replica), (CapacitySource::Declared, Some(42.0)));
        assert_ne!(declared.since, learned.since);
        assert_eq!(declared.learned, learned.learned);
        assert_eq!(urgency(Some(&learned), Some(&declared)), Urgency::Now);
    }

    #[test]
    fn a_day_is_written_by_the_hour_and_nothing_else_of_it_is_a_reason_to_write() {
        let mut memory = PolicyMemory::default();
        learn(&mut memory, 0..2 * 1_440 + 121);
        let old = status(&memory, PerReplica::Learned, None, 0);
        learn(&mut memory, 3_001..3_040);
        let within = status(&memory, PerReplica::Learned, Some(&old), 39);
        assert_eq!(within, old);
        assert_eq!(urgency(Some(&old), Some(&within)), Urgency::None);
        learn(&mut memory, 3_040..3_070);
        let after = status(&memory, PerReplica::Learned, Some(&old), 69);
        assert_eq!(urgency(Some(&old), Some(&after)), Urgency::Soon);
    }
}
