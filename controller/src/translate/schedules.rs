//! Schedules: cron expressions in a time zone.

use std::sync::LazyLock;

use croner::parser::{CronParser, Seconds, Year};
use jiff::{
    civil::Date,
    tz::{TimeZone, TimeZoneDatabase},
};
use loadline_crds::elastic_policy as api;
use loadline_policies::policy::Schedule;

use super::{
    complaint::Complaints,
    numbers::{all, period, replicas},
};

/// The zones that came with the binary: the same on every machine, also in an image without a file system.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// All schedules of a policy.
pub(super) fn schedules(
    schedules: &[api::Schedule],
    most: Option<u32>,
    c: &mut Complaints,
) -> Option<Vec<Schedule>> {
    super::policy::unique(schedules.iter().map(|s| s.name.as_str()), "spec.schedules", c);
    all(schedules.iter().enumerate().map(|(i, s)| schedule(s, most, &format!("spec.schedules[{i}]"), c)))
}

fn schedule(s: &api::Schedule, most: Option<u32>, path: &str, c: &mut Complaints) -> Option<Schedule> {
    let cron = cron(&s.start, &format!("{path}.start"), c);
    let duration = period(s.duration, None, &format!("{path}.duration"), c);
    let time_zone = zone(&s.time_zone, &format!("{path}.timeZone"), c);
    let min = replicas(s.min, 1, &format!("{path}.min"), c);
    if let (Some(min), Some(most)) = (min, most)
        && min > most
    {
        return c.add(
            format!("{path}.min"),
            format!("{min} is more than spec.bounds.max, which is {most}, so it can never be reached"),
            "lower it, or raise spec.bounds.max",
        );
    }
    Some(Schedule {
        name: s.name.clone(),
        cron: cron?,
        duration: duration?,
        time_zone: time_zone?,
        min: min?,
        ramp: s.ramp.map_or(std::time::Duration::ZERO, |r| r.0),
    })
}

fn cron(text: &str, path: &str, c: &mut Complaints) -> Option<croner::Cron> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    match parser.parse(text) {
        Ok(cron) if comes(text, parser) => Some(cron),
        Ok(_) => c.add(
            path,
            format!("the date of {text:?} never comes"),
            "see its day and its month: February has at most 29 days",
        ),
        Err(e) => c.add(
            path,
            format!("{text:?} is not a cron expression ({})", e.to_string().trim_end_matches('.')),
            "write minute hour day month weekday, for example \"30 11 * * 1-5\"",
        ),
    }
}

/// Whether the date of a cron expression ever comes.
///
/// The search for the next start of one that does not takes seconds, in which every other policy would wait,
/// so it must not get past here. The calendar of weekdays and leap days repeats every 28 years.
fn comes(text: &str, parser: CronParser) -> bool {
    const FIRST_DAY: Date = Date::constant(2024, 1, 1);
    const DAYS: usize = 28 * 366;
    let mut fields = text.split_whitespace().skip(2);
    let (Some(day), Some(month), Some(weekday)) = (fields.next(), fields.next(), fields.next()) else {
        // A nickname as @daily.
        return true;
    };
    let Ok(midnight) = parser.parse(&format!("0 0 {day} {month} {weekday}")) else { return true };
    FIRST_DAY
        .series(jiff::Span::new().days(1))
        .take(DAYS)
        .filter_map(|date| date.to_zoned(TimeZone::UTC).ok())
        .any(|time| midnight.is_time_matching(&time).unwrap_or(false))
}

fn zone(name: &str, path: &str, c: &mut Complaints) -> Option<TimeZone> {
    match ZONES.get(name) {
        Ok(zone) => Some(zone),
        Err(_) => c.add(
            path,
            format!("{name:?} is not a time zone"),
            "write a name of the IANA database, for example UTC, Asia/Shanghai or Europe/Berlin",
        ),
    }
}

#[cfg(test)]
mod tests {
    use loadline_crds::ApiDuration;
    use rstest::rstest;

    use super::*;

    fn lunch() -> api::Schedule {
        api::Schedule {
            name: "lunch".into(),
            start: "30 11 * * 1-5".into(),
            duration: ApiDuration::secs(7_200),
            time_zone: "Asia/Shanghai".into(),
            min: 40,
            ramp: None,
        }
    }

    fn parse(s: api::Schedule) -> Result<Vec<Schedule>, Vec<String>> {
        let mut c = Complaints::default();
        schedules(&[s], Some(50), &mut c)
            .ok_or_else(|| c.into_vec().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_schedule_starts_at_the_wall_time_of_its_zone() {
        let parsed = parse(lunch()).unwrap();
        let monday: jiff::Zoned = "2026-03-02T00:00:00+08:00[Asia/Shanghai]".parse().unwrap();
        let next = parsed[0].cron.find_next_occurrence(&monday, false).unwrap();
        assert_eq!(next.timestamp().to_string(), "2026-03-02T03:30:00Z");
    }

    #[rstest]
    #[case::five_fields_only("0 30 11 * * 1-5")]
    #[case::minute_out_of_range("61 11 * * *")]
    #[case::words("every morning")]
    #[case::empty("")]
    fn what_is_no_cron_expression_is_refused(#[case] start: &str) {
        let complaints = parse(api::Schedule { start: start.into(), ..lunch() }).unwrap_err();
        assert!(complaints[0].starts_with("spec.schedules[0].start: "), "{complaints:?}");
        assert!(complaints[0].contains("minute hour day month weekday"), "{complaints:?}");
    }

    #[rstest]
    #[case::leap_day("0 0 29 2 *", true)]
    #[case::leap_day_on_a_monday("0 0 29 2 +1", true)]
    #[case::thirtieth_of_february("0 0 30 2 *", false)]
    #[case::thirty_first_of_short_months("30 9 31 2,4,6,9,11 *", false)]
    #[case::nickname("@daily", true)]
    fn a_date_that_never_comes_is_refused(#[case] start: &str, #[case] comes: bool) {
        let parsed = parse(api::Schedule { start: start.into(), ..lunch() });
        assert_eq!(parsed.is_ok(), comes, "{parsed:?}");
    }

    #[test]
    fn a_zone_that_nobody_knows_is_refused() {
        let complaints = parse(api::Schedule { time_zone: "Mars/Olympus".into(), ..lunch() }).unwrap_err();
        assert!(complaints[0].contains("IANA"), "{complaints:?}");
    }

    #[test]
    fn a_floor_over_the_upper_bound_is_refused() {
        let complaints = parse(api::Schedule { min: 51, ..lunch() }).unwrap_err();
        assert!(complaints[0].contains("raise spec.bounds.max"), "{complaints:?}");
    }
}
