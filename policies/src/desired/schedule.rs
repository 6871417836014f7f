//! Schedules: floors that are known beforehand, by cron in the user's own time zone.
//!
//! ```text
//! floor          ┌──────────────┐ min
//!            ／  │              │
//!        ／      │              │
//! ──────┴────────┴──────────────┴──────> wall clock of the zone
//!       start−ramp  start     start + duration
//! ```

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{
    desired::{count, words},
    memory::{PolicyMemory, ScheduleEdges},
    now::{Mono, Now},
    policy::{Policy, Schedule},
    reason::{Reason, ReasonCode},
};

/// How long edges stay valid when there is no next start.
const WITHOUT_NEXT: SignedDuration = SignedDuration::from_hours(24);

/// The floor of a schedule now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Floor {
    /// Replicas.
    pub replicas: u32,
    /// Which schedule, and until when.
    pub reason: Reason,
}

/// The highest floor of all schedules now, and when any of them changes next.
pub fn floor(policy: &Policy, memory: &mut PolicyMemory, now: Now) -> (Option<Floor>, Option<Mono>) {
    refresh(policy, memory, now.wall);
    let mut highest: Option<Floor> = None;
    let mut wake: Option<Timestamp> = None;
    for (schedule, edges) in policy.schedules.iter().zip(&memory.schedules) {
        let (replicas, change) = at(schedule, edges, now.wall);
        wake = [wake, change].into_iter().flatten().min();
        if replicas > highest.as_ref().map_or(0, |f| f.replicas) {
            highest = Some(Floor { replicas, reason: reason(schedule, edges, replicas, now.wall) });
        }
    }
    (highest, wake.map(|at| now.mono.plus(until(now.wall, at))))
}

/// The floor of one schedule at a moment, and when it changes next.
fn at(schedule: &Schedule, edges: &ScheduleEdges, now: Timestamp) -> (u32, Option<Timestamp>) {
    let end = edges.previous.and_then(|start| after(start, schedule.duration));
    if let Some(end) = end.filter(|end| now < *end) {
        return (schedule.min, Some(edges.next.map_or(end, |next| end.min(next))));
    }
    let Some(next) = edges.next else { return (0, None) };
    let remaining = until(now, next);
    if remaining > schedule.ramp || schedule.ramp.is_zero() {
        let begin = SignedDuration::try_from(schedule.ramp).ok().and_then(|ramp| next.checked_sub(ramp).ok());
        return (0, Some(begin.filter(|b| *b > now).unwrap_or(next)));
    }
    let share = 1.0 - remaining.as_secs_f64() / schedule.ramp.as_secs_f64();
    // One replica of the ramp lasts ramp / min; looking more often changes nothing.
    let step = (schedule.ramp / schedule.min.max(1)).max(Duration::from_secs(1));
    let change = after(now, step).map_or(next, |t| t.min(next));
    (count::ceil(f64::from(schedule.min) * share), Some(change))
}

fn reason(schedule: &Schedule, edges: &ScheduleEdges, replicas: u32, now: Timestamp) -> Reason {
    let end = edges.previous.and_then(|start| after(start, schedule.duration)).filter(|end| now < *end);
    let (when, moment) = match (end, edges.next) {
        (Some(end), _) => ("until", end),
        (None, Some(next)) => ("ramping up to its start at", next),
        (None, None) => ("at", now),
    };
    let local = moment.to_zoned(schedule.time_zone.clone()).strftime("%H:%M %Z");
    Reason::new(
        ReasonCode::Schedule,
        format!(
            "Schedule {} asks for at least {}, {when} {local}.",
            schedule.name,
            words::replicas(replicas)
        ),
    )
}

/// Searches the edges of each schedule again where those in memory are not valid (any more).
fn refresh(policy: &Policy, memory: &mut PolicyMemory, now: Timestamp) {
    let count = policy.schedules.len();
    if memory.schedules.len() != count || memory.schedules.iter().any(|e| e.generation != policy.generation) {
        memory.schedules = policy.schedules.iter().map(|s| edges(s, policy.generation, now)).collect();
        return;
    }
    for (schedule, known) in policy.schedules.iter().zip(&mut memory.schedules) {
        if now < known.from || now >= known.until {
            *known = edges(schedule, policy.generation, now);
        }
    }
}

/// The starts around a moment, by the wall clock of the schedule's zone.
fn edges(schedule: &Schedule, generation: i64, now: Timestamp) -> ScheduleEdges {
    let local = now.to_zoned(schedule.time_zone.clone());
    // An error means that there is no such moment within croner's years.
    let previous = schedule.cron.find_previous_occurrence(&local, true).ok().map(|z| z.timestamp());
    let next = schedule.cron.find_next_occurrence(&local, false).ok().map(|z| z.timestamp());
    let next = next.filter(|t| *t > now);
    let until = next.or_else(|| now.checked_add(WITHOUT_NEXT).ok()).unwrap_or(Timestamp::MAX);
    ScheduleEdges { generation, from: now, until, previous: previous.filter(|t| *t <= now), next }
}

fn after(moment: Timestamp, d: Duration) -> Option<Timestamp> {
    moment.checked_add(SignedDuration::try_from(d).ok()?).ok()
}

fn until(now: Timestamp, moment: Timestamp) -> Duration {
    Duration::try_from(moment.duration_since(now)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use jiff::tz::TimeZone;
    use rstest::rstest;

    use super::*;

    fn schedule(cron: &str, zone: &str, hours: u64, ramp_minutes: u64) -> Schedule {
        Schedule {
            name: "lunch".to_owned(),
            cron: croner::Cron::from_str(cron).unwrap(),
            duration: Duration::from_secs(hours * 3600),
            time_zone: TimeZone::get(zone).unwrap(),
            min: 40,
            ramp: Duration::from_secs(ramp_minutes * 60),
        }
    }

    fn floor_at(schedule: &Schedule, now: &str) -> u32 {
        let now: Timestamp = now.parse().unwrap();
        at(schedule, &edges(schedule, 1, now), now).0
    }

    #[rstest]
    #[case("2026-03-02T03:29:59Z", 0)] // Monday, 11:29:59 in Shanghai
    #[case("2026-03-02T03:30:00Z", 40)]
    #[case("2026-03-02T03:30:00.5Z", 40)]
    #[case("2026-03-02T05:29:59Z", 40)]
    #[case("2026-03-02T05:30:00Z", 0)]
    #[case("2026-03-07T04:00:00Z", 0)] // Saturday
    fn it_holds_from_its_start_for_its_duration_in_its_zone(#[case] now: &str, #[case] floor: u32) {
        assert_eq!(floor_at(&schedule("30 11 * * 1-5", "Asia/Shanghai", 2, 0), now), floor);
    }

    #[rstest]
    #[case("2026-03-02T11:00:00Z", 0)]
    #[case("2026-03-02T11:15:00Z", 10)]
    #[case("2026-03-02T11:30:00Z", 20)]
    #[case("2026-03-02T11:59:00Z", 40)]
    fn a_ramp_rises_linearly_before_the_start(#[case] now: &str, #[case] floor: u32) {
        assert_eq!(floor_at(&schedule("0 12 * * *", "UTC", 1, 60), now), floor);
    }

    #[rstest]
    // Berlin, winter: 08:00 is 07:00 UTC; summer: 06:00 UTC. The clock changes on 2026-03-29 and 2026-10-25.
    #[case("2026-03-28T07:00:00Z", 40)]
    #[case("2026-03-28T06:59:00Z", 0)]
    #[case("2026-03-29T06:00:00Z", 40)]
    #[case("2026-03-29T05:59:00Z", 0)]
    #[case("2026-10-25T06:30:00Z", 0)]
    #[case("2026-10-25T07:00:00Z", 40)]
    fn it_follows_the_wall_clock_through_a_change_of_time(#[case] now: &str, #[case] floor: u32) {
        assert_eq!(floor_at(&schedule("0 8 * * *", "Europe/Berlin", 1, 0), now), floor);
    }

    #[test]
    fn a_start_that_the_clock_skips_still_happens_that_day() {
        // 02:30 does not exist in Berlin on 2026-03-29: 01:59 CET is followed by 03:00 CEST (01:00 UTC).
        let s = schedule("30 2 * * *", "Europe/Berlin", 1, 0);
        let active = (0..180).any(|minute| {
            let now: Timestamp = "2026-03-29T00:00:00Z".parse().unwrap();
            let now = now + SignedDuration::from_mins(minute);
            at(&s, &edges(&s, 1, now), now).0 == 40
        });
        assert!(active, "the peak is not skipped with the hour");
    }

    #[test]
    fn the_edges_are_searched_once_and_again_when_they_pass_or_the_policy_or_clock_changes() {
        let s = schedule("0 12 * * *", "UTC", 1, 0);
        let now: Timestamp = "2026-03-02T11:00:00Z".parse().unwrap();
        let known = edges(&s, 1, now);
        assert_eq!(known.next, Some("2026-03-02T12:00:00Z".parse().unwrap()));
        assert_eq!(known.until, "2026-03-02T12:00:00Z".parse().unwrap());
        assert_eq!(known.previous, Some("2026-03-01T12:00:00Z".parse().unwrap()));
    }

    #[test]
    fn it_says_when_the_floor_changes_next() {
        let s = schedule("0 12 * * *", "UTC", 1, 30);
        let change = |now: &str| {
            let now: Timestamp = now.parse().unwrap();
            at(&s, &edges(&s, 1, now), now).1.unwrap().to_string()
        };
        assert_eq!(change("2026-03-02T10:00:00Z"), "2026-03-02T11:30:00Z");
        assert_eq!(change("2026-03-02T11:30:00Z"), "2026-03-02T11:30:45Z");
        assert_eq!(change("2026-03-02T12:10:00Z"), "2026-03-02T13:00:00Z");
    }
}
