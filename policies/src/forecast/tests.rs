//! The forecaster as a whole: what it learns, what it never does.

use proptest::prelude::*;

use super::*;

const DAY: i64 = 1_440;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(minute * MINUTE).unwrap()
}

/// Numbers that look random, between -1 and 1.
fn noise(i: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a number of some digits")]
    let i = i as f64;
    ((i * 12.9898).sin() * 43_758.547).fract()
}

/// A day between 400 and 1,600 requests per second with a steep morning, and noise of three percent.
fn daily(minute: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "minutes of a day")]
    let hour = minute.rem_euclid(DAY) as f64 / 60.0;
    let day = 1.0 / (1.0 + (-(hour - 8.0) * 4.0).exp()) - 1.0 / (1.0 + (-(hour - 20.0) * 2.0).exp());
    (400.0 + 1_200.0 * day) * (1.0 + 0.03 * noise(minute))
}

fn follow(forecaster: &mut Forecaster, minutes: std::ops::Range<i64>, load: impl Fn(i64) -> f64) {
    for minute in minutes {
        forecaster.remember(at(minute), load(minute));
    }
}

#[test]
fn a_daily_load_is_seen_coming_and_earns_full_trust() {
    // Given five days of the same shape,
    let mut forecaster = Forecaster::new(5, 0.95, 0);
    follow(&mut forecaster, 0..5 * DAY, daily);
    let forecast = forecaster.forecast(at(5 * DAY)).unwrap();
    assert_eq!(forecast.trust, Trust::Full, "{forecast:?}");
    let evidence = forecast.evidence.unwrap();
    assert!((0.93..=0.98).contains(&evidence.calibration), "{evidence:?}");
    // when the morning of the sixth begins,
    let (mut covered, mut asked) = (0.0, 0.0);
    for minute in 5 * DAY..6 * DAY {
        forecaster.remember(at(minute), daily(minute));
        let Some(forecast) = forecaster.forecast(at(minute + 1)) else { continue };
        let highest = (minute..minute + 5).map(daily).fold(0.0, f64::max);
        asked += 1.0;
        covered += f64::from(u8::from(highest <= forecast.soon));
    }
    // then the quantile covers what it says, and the half hour's expectation is ahead of the ramp.
    let share = covered / asked;
    assert!((0.92..=0.99).contains(&share), "{share}");
    let mut before = Forecaster::new(5, 0.95, 0);
    follow(&mut before, 0..5 * DAY + 7 * 60 + 31, daily);
    let ahead = before.forecast(at(5 * DAY + 7 * 60 + 31)).unwrap();
    assert!(ahead.expected > 1.5 * daily(5 * DAY + 7 * 60 + 30), "{ahead:?}");
}

#[test]
fn a_load_without_a_season_does_not_trust_a_season() {
    // Given a load that walks at random,
    let walk: Vec<f64> = (0..6 * DAY)
        .scan(6.0_f64, |level, i| {
            *level += 0.01 * noise(i);
            Some(level.exp())
        })
        .collect();
    let mut forecaster = Forecaster::new(5, 0.95, 0);
    follow(&mut forecaster, 0..6 * DAY, |minute| walk[usize::try_from(minute).unwrap()]);
    let forecast = forecaster.forecast(at(6 * DAY)).unwrap();
    // then its quantile is a calibrated distance from what is there, whoever says it.
    let now = walk[walk.len() - 2];
    assert!(forecast.soon > now && forecast.soon < 1.2 * now, "{forecast:?} at {now}");
    assert!(forecast.evidence.unwrap().calibration > 0.92, "{forecast:?}");
}

#[test]
fn a_short_gap_is_bridged_and_after_a_long_one_nothing_old_is_said() {
    let mut forecaster = Forecaster::new(5, 0.95, 0);
    follow(&mut forecaster, 0..2 * DAY, daily);
    assert!(forecaster.forecast(at(2 * DAY + 5)).is_some());
    assert!(forecaster.forecast(at(2 * DAY + 60)).is_none(), "an hour of silence");
    follow(&mut forecaster, 2 * DAY + 6..2 * DAY + 8, daily);
    assert!(forecaster.forecast(at(2 * DAY + 8)).is_some(), "bridged");
    follow(&mut forecaster, 2 * DAY + 200..2 * DAY + 300, daily);
    assert!(forecaster.forecast(at(2 * DAY + 300)).is_some());
}

#[test]
fn too_little_history_only_recommends() {
    let mut forecaster = Forecaster::new(5, 0.95, 0);
    follow(&mut forecaster, 0..2 * DAY - 10, daily);
    assert!(forecaster.forecast(at(2 * DAY - 10)).unwrap().trust <= Trust::Recommend);
}

fn series() -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![
        4 => 0.0..1e4_f64,
        1 => Just(0.0),
        1 => any::<f64>(),
        1 => Just(f64::NAN),
        1 => Just(1e300),
        1 => Just(f64::MIN_POSITIVE),
    ];
    prop::collection::vec(value, 1..700)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_series_gives_a_finite_forecast_that_is_not_below_zero_or_none(
        series in series(), steps in prop::collection::vec(1_i64..40, 1..700), q in 0.01..0.999_f64
    ) {
        let mut forecaster = Forecaster::new(5, q, 0);
        let mut minute = 0;
        for (load, step) in series.iter().zip(steps.iter().cycle()) {
            minute += if *step < 36 { 1 } else { *step };
            forecaster.remember(at(minute), *load);
            if let Some(forecast) = forecaster.forecast(at(minute)) {
                for value in [forecast.soon, forecast.hold, forecast.expected] {
                    prop_assert!(value.is_finite() && value >= 0.0, "{forecast:?}");
                }
                prop_assert!(forecast.hold >= forecast.soon);
            }
        }
    }
}
