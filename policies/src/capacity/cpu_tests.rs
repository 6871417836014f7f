//! Stories of the estimate by CPU, and what holds for any readings.

use proptest::{collection::vec, prelude::*};

use super::*;

const MINUTE: Duration = Duration::from_mins(1);
const STEADY: Option<ReadyCount> = Some(ReadyCount { at: Mono(Duration::ZERO), replicas: 10 });

#[expect(clippy::unnecessary_wraps, reason = "it is what is seen")]
fn footprint(images: u64, cpu_request: Option<u32>) -> Option<Footprint> {
    Some(Footprint { images, cpu_request })
}

fn window(work: f64) -> Window {
    Window { work: work * 10.0, peak: work * 10.0, ready: 10, silent: 0, length: MINUTE, healthy: Some(true) }
}

/// Ten replicas that ask for a core and use `idle` cores and so many CPU seconds a request, looked at once a minute.
struct Service {
    learner: CpuLearner,
    idle: f64,
    per_work: f64,
    minute: u64,
}

impl Service {
    fn new(idle: f64, per_work: f64) -> Self {
        let mut learner = CpuLearner::default();
        learner.see(footprint(1, Some(1_000)));
        Self { learner, idle, per_work, minute: 10 }
    }

    fn now(&self) -> Mono {
        Mono(MINUTE * u32::try_from(self.minute).unwrap())
    }

    /// A minute of this work per replica, of which the CPU is measured so much too high.
    fn minute(&mut self, work: f64, off: f64) {
        self.minute += 1;
        let cores = (self.idle + self.per_work * work) * 10.0 * (1.0 + off);
        let usage = Usage { cores, reporting: 10, length: MINUTE };
        let now = self.now();
        self.learner.learn(Some(window(work)), Ok(usage), STEADY, now);
    }

    /// Hours in which the work rises from `low` to `high` and falls again, measured with an error of a twentieth.
    fn hours(&mut self, hours: u32, low: f64, high: f64) -> &mut Self {
        for minute in 0..hours * 60 {
            let share = f64::from(minute % 120) / 60.0;
            let height = if share < 1.0 { share } else { 2.0 - share };
            let off = f64::from(minute * 7_919 % 101) / 1_000.0 - 0.05;
            self.minute(low + (high - low) * height, off);
        }
        self
    }
}

#[track_caller]
fn near(got: Option<f64>, wanted: f64, share: f64) {
    let got = got.unwrap();
    assert!((got / wanted - 1.0).abs() <= share, "{got} is not {wanted} within {share}");
}

#[test]
fn the_estimate_is_what_uses_seven_tenths_of_the_request() {
    // Given a service that uses 0.1 cores for being there and 10 ms a request,
    let mut service = Service::new(0.1, 0.010);
    // when it is seen for an hour, then nothing is said yet,
    assert_eq!(service.hours(1, 10.0, 40.0).learner.estimate(), None);
    // and after some hours, of which the later ones were explained, (0.7 − 0.1) / 0.010.
    near(service.hours(3, 10.0, 40.0).learner.estimate(), 60.0, 0.05);
    near(service.learner.known().per_thousand, 10.0, 0.05);
    near(service.learner.known().idle, 0.1, 0.1);
}

#[test]
fn another_request_moves_it_at_once_and_other_images_begin_anew() {
    let mut service = Service::new(0.1, 0.010);
    service.hours(4, 10.0, 40.0);
    let learner = &mut service.learner;
    learner.see(footprint(1, Some(2_000)));
    near(learner.estimate(), 130.0, 0.05);
    learner.see(footprint(1, None));
    assert_eq!(learner.estimate(), None, "no request, no estimate");
    learner.see(None);
    assert_eq!(learner.estimate(), None, "a target that is not seen asks for nothing");
    learner.see(footprint(1, Some(1_000)));
    near(learner.estimate(), 60.0, 0.05);
    learner.see(footprint(2, Some(1_000)));
    assert_eq!((learner.estimate(), learner.known().windows), (None, 0.0));
}

#[test]
fn one_load_tells_nothing_of_what_a_request_takes() {
    let mut service = Service::new(0.1, 0.010);
    assert_eq!(service.hours(48, 30.0, 33.0).learner.estimate(), None);
}

#[test]
fn cpu_that_is_not_used_by_work_gives_no_estimate() {
    // Given a service that computes something else in the background, as much as it likes,
    let mut service = Service::new(0.1, 0.0001);
    for minute in 0..2_880_u32 {
        let noise = f64::from(minute / 45 * 7_919 % 101) / 50.0;
        service.minute(10.0 + f64::from(minute % 120), noise);
    }
    assert_eq!(service.learner.estimate(), None);
}

#[test]
fn an_estimate_that_explains_no_more_is_given_up() {
    let mut service = Service::new(0.1, 0.010);
    service.hours(6, 10.0, 40.0);
    assert!(service.learner.estimate().is_some());
    // When the same requests take three times and again a tenth of the CPU, hour by hour, for two days,
    for hour in 0..48 {
        service.per_work = if hour % 2 == 0 { 0.030 } else { 0.001 };
        service.hours(1, 10.0, 40.0);
    }
    assert_eq!(service.learner.estimate(), None);
}

#[test]
fn only_settled_healthy_windows_and_readings_without_doubt_teach() {
    let usage = || Ok(Usage { cores: 5.0, reporting: 10, length: MINUTE });
    let learn = |window: Option<Window>, usage, steady| {
        let mut learner = CpuLearner::default();
        learner.learn(window, usage, steady, Mono(Duration::from_mins(10)));
        learner.known()
    };
    let good = Some(window(30.0));
    assert!((learn(good, usage(), STEADY).windows - 1.0).abs() < 1e-12);
    let slow = good.map(|w| Window { healthy: Some(false), ..w });
    let unknown = good.map(|w| Window { healthy: None, ..w });
    let just_now = Some(ReadyCount { at: Mono(Duration::from_mins(9)), replicas: 10 });
    for (window, steady) in
        [(None, STEADY), (slow, STEADY), (unknown, STEADY), (good, None), (good, just_now)]
    {
        assert!(learn(window, usage(), steady).windows.abs() < 1e-12, "{window:?}, {steady:?}");
    }
    // An absence is a doubt by its name and no idle service.
    let known = learn(good, Err(Doubt::AbsentSeries), STEADY);
    assert_eq!((known.windows, known.doubt), (0.0, Some("AbsentSeries")));
}

#[test]
fn a_restart_keeps_exactly_what_is_used() {
    let mut service = Service::new(0.07, 0.013);
    service.hours(6, 3.0, 17.0);
    let mut again = CpuLearner::restored(service.learner.kept().unwrap());
    again.see(footprint(1, Some(1_000)));
    assert_eq!(again.estimate(), service.learner.estimate());
    assert!(again.estimate().is_some());
    // Other images meanwhile: it is learned anew.
    let mut other = CpuLearner::restored(service.learner.kept().unwrap());
    other.see(footprint(2, Some(1_000)));
    assert_eq!(other.estimate(), None);
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![6 => 0.0..1e4_f64, 1 => any::<f64>(), 1 => Just(0.0), 1 => 1e-12..1e12_f64]
}

proptest! {
    #[test]
    fn what_is_estimated_is_finite_and_positive_whatever_was_read(
        spells in vec((number(), number(), 0u32..20, 1u32..20, 0.0..1.0_f64, 1u32..90), 1..20),
        request in proptest::option::of(any::<u32>()),
    ) {
        let (mut learner, mut minute) = (CpuLearner::default(), 10);
        learner.see(footprint(1, request));
        for (work, cores, ready, reporting, ramp, minutes) in spells {
            for i in 0..minutes {
                minute += 1;
                let more = 1.0 + ramp * f64::from(i);
                let window = Window { work: work * more, ready, ..window(1.0) };
                let usage = Usage { cores: cores * more, reporting, length: MINUTE };
                learner.learn(Some(window), Ok(usage), STEADY, Mono(MINUTE * minute));
                let estimate = learner.estimate();
                prop_assert!(estimate.is_none_or(|e| e.is_finite() && e > 0.0), "{estimate:?}");
                prop_assert!(learner.known().windows.is_finite());
            }
        }
    }
}
