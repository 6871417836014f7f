//! Stories of the learner.

use super::*;

const MINUTE: Duration = Duration::from_mins(1);
const IMAGE: Option<u64> = Some(1);

/// A service of ten replicas whose latency breaks at a work per replica, watched once a minute.
struct Service {
    learner: Learner,
    knee: f64,
    minute: u64,
    template: Option<u64>,
    term: LatencyTerm,
}

impl Service {
    fn new(knee: f64) -> Self {
        let learner = Learner::default();
        let mut service = Self { learner, knee, minute: 0, template: IMAGE, term: LatencyTerm::Fine };
        // A day begins with the first look.
        service.minute(0.0);
        service
    }

    fn now(&self) -> Mono {
        Mono(MINUTE * u32::try_from(self.minute).unwrap() + Duration::from_hours(1))
    }

    /// A minute of this work per replica.
    fn minute(&mut self, work: f64) {
        self.minute += 1;
        let load = work * 10.0;
        let window = Window {
            work: load,
            peak: load,
            ready: 10,
            silent: 0,
            length: MINUTE,
            healthy: Some(work < self.knee),
        };
        let (term, template, now) = (self.term, self.template, self.now());
        self.learner.learn(Some(window), term, template, now);
    }

    /// Days that rise from a tenth of the peak to it and fall again, evenly.
    fn days(&mut self, days: u32, peak: f64) -> &mut Self {
        for minute in 0..days * 1_440 {
            let share = f64::from(minute % 1_440) / 720.0;
            let height = if share < 1.0 { share } else { 2.0 - share };
            self.minute(peak * (0.1 + 0.9 * height));
        }
        self
    }

    fn used(&self) -> Option<f64> {
        self.learner.known().per_replica
    }
}

#[track_caller]
fn near(got: Option<f64>, wanted: f64, share: f64) {
    let got = got.unwrap();
    assert!((got / wanted - 1.0).abs() <= share, "{got} is not {wanted} within {share}");
}

#[test]
fn an_estimate_is_used_once_it_explained_a_day_that_it_was_not_learned_from() {
    // Given a service that reaches its knee, at 100, every day,
    let mut service = Service::new(100.0);
    service.days(1, 120.0);
    assert_eq!((service.used(), service.learner.known().source), (None, Source::Learning));
    // when the second day is as the first, then it is known within 10 %, from both sides in time.
    service.days(2, 120.0);
    near(service.used(), 100.0, 0.1);
    service.days(2, 120.0);
    let known = service.learner.known();
    assert_eq!(known.source, Source::Learned);
    assert!(known.lower.unwrap() <= 101.0 && known.upper.unwrap() >= 99.0, "{known:?}");
    assert!(known.confidence > 0.6, "{known:?}");
}

#[test]
fn a_service_that_never_reaches_its_knee_has_a_lower_bound_only() {
    let mut service = Service::new(100.0);
    service.days(4, 40.0);
    let known = service.learner.known();
    assert_eq!((known.source, known.upper), (Source::Learned, None));
    near(known.per_replica, 40.0, 0.1);
}

#[test]
fn thirty_quiet_nights_lower_nothing() {
    let mut service = Service::new(100.0);
    service.days(3, 120.0);
    let before = service.used();
    // Idle, over-provisioned, and just over half of it.
    for peak in [2.0, 30.0, 60.0] {
        service.days(10, peak);
        assert_eq!(service.used(), before, "{peak}");
    }
}

#[test]
fn a_service_that_bears_more_is_believed_by_a_fifth_a_day() {
    let mut service = Service::new(50.0);
    service.days(3, 60.0);
    let before = service.used().unwrap();
    // The knees of the old days fade in two weeks; what is borne every day makes them unbelievable at once.
    service.knee = 200.0;
    service.days(1, 150.0);
    near(service.used(), before * 1.2, 0.01);
    service.days(1, 150.0);
    near(service.used(), before * 1.44, 0.02);
    service.days(6, 150.0);
    near(service.used(), 145.0, 0.05);
}

#[test]
fn an_overloaded_service_teaches_nothing_but_its_onset() {
    let mut service = Service::new(100.0);
    service.days(3, 120.0);
    let before = service.used();
    // When it is far over its knee for two days, without a break,
    (0..2_880).for_each(|_| service.minute(900.0));
    // then neither is that much believed, nor less.
    assert_eq!(service.used(), before);
}

#[test]
fn a_slow_dependency_is_no_knee() {
    let mut service = Service::new(100.0);
    service.days(3, 120.0);
    let before = service.used();
    // Given a dependency that is slow for two hours a day at 60 % of the capacity,
    for _ in 0..10 {
        (0..1_320).for_each(|_| service.minute(60.0));
        service.knee = 1.0;
        (0..60).for_each(|_| service.minute(60.0));
        // when more replicas are tried and bring nothing
        service.term = LatencyTerm::ScaleOut { factor: 1.25 };
        (0..30).for_each(|_| service.minute(48.0));
        service.term = LatencyTerm::Futile { factor: 1.0 };
        (0..30).for_each(|_| service.minute(48.0));
        (service.term, service.knee) = (LatencyTerm::Fine, 100.0);
    }
    // then it is as it was.
    assert_eq!(service.used(), before);
}

#[test]
fn a_service_that_bears_less_is_learned_from_the_tries_that_cured_it() {
    let mut service = Service::new(100.0);
    service.days(3, 120.0);
    let before = service.used().unwrap();
    // Given that latency breaks at 55 by now, three times a day, and a quarter more replicas cure it,
    service.knee = 55.0;
    let mut used = Vec::new();
    for _ in 0..6 {
        for _ in 0..3 {
            (0..440).for_each(|_| service.minute(53.0));
            (0..10).for_each(|_| service.minute(58.0));
            service.term = LatencyTerm::ScaleOut { factor: 1.25 };
            (0..20).for_each(|_| service.minute(57.0));
            service.term = LatencyTerm::Easing { factor: 1.25 };
            (0..10).for_each(|_| service.minute(46.0));
            service.term = LatencyTerm::Fine;
        }
        used.push(service.used().unwrap());
    }
    // then it falls, by at most a fifth a day, to where it broke.
    assert!(used[0] >= before * 0.8, "{used:?}");
    near(used.last().copied(), 56.5, 0.05);
}

#[test]
fn the_factor_of_the_latency_term_is_never_stored() {
    let mut plain = Service::new(100.0);
    let mut eased = Service::new(100.0);
    eased.term = LatencyTerm::Easing { factor: 1.8 };
    assert_eq!(plain.days(4, 95.0).used(), eased.days(4, 95.0).used());
    eased.term = LatencyTerm::ScaleOut { factor: 3.0 };
    assert_eq!(plain.days(4, 95.0).used(), eased.days(4, 95.0).used());
}

#[test]
fn another_template_is_used_with_caution_until_it_has_been_borne_out() {
    let mut service = Service::new(100.0);
    service.days(3, 120.0);
    let before = service.used().unwrap();
    service.template = Some(2);
    service.minute(60.0);
    assert_eq!(service.learner.known().source, Source::Provisional);
    near(service.used(), before * 0.8, 0.01);
    // A second change takes nothing more off.
    service.template = Some(3);
    service.minute(60.0);
    near(service.used(), before * 0.8, 0.01);
    // When days go by in which it bears what it is asked for at most, then it comes back by a fifth a day.
    service.days(1, before * 0.7);
    near(service.used(), before * 0.8 * 1.2, 0.02);
    service.days(3, before * 0.8);
    near(service.used(), before, 1e-9);
    assert_eq!(service.learner.known().source, Source::Learned);
}

#[test]
fn a_template_that_bears_half_is_not_asked_for_the_old_value() {
    let mut service = Service::new(100.0);
    service.days(3, 120.0);
    (service.template, service.knee) = (Some(2), 50.0);
    service.days(8, 60.0);
    near(service.used(), 50.0, 0.1);
}

#[test]
fn a_template_that_is_rolled_back_holds_as_it_did() {
    let mut service = Service::new(100.0);
    service.days(3, 120.0);
    let before = service.used();
    service.template = Some(2);
    (0..60).for_each(|_| service.minute(60.0));
    service.template = IMAGE;
    service.minute(60.0);
    assert_eq!((service.used(), service.learner.known().source), (before, Source::Learned));
}

#[test]
fn a_template_that_is_not_seen_is_no_other_template() {
    let mut service = Service::new(100.0);
    service.days(3, 120.0);
    let before = service.used();
    service.template = None;
    (0..60).for_each(|_| service.minute(60.0));
    service.template = IMAGE;
    service.minute(60.0);
    assert_eq!(service.used(), before);
}

#[test]
fn another_objective_is_another_capacity() {
    let mut service = Service::new(100.0);
    service.days(3, 120.0);
    let before = service.used().unwrap();
    service.learner.judged_anew();
    near(service.used(), before * 0.8, 0.01);
    service.learner.judged_anew();
    near(service.used(), before * 0.8, 0.01);
}

#[test]
fn a_restart_an_hour_hardly_changes_what_is_learned() {
    let mut steady = Service::new(100.0);
    steady.days(4, 120.0);
    // When the process is another one every hour,
    let mut restarted = Service::new(100.0);
    for minute in 0..4_u32 * 1_440 {
        if minute % 60 == 59 {
            restarted.learner = Learner::restored(restarted.learner.kept());
        }
        let share = f64::from(minute % 1_440) / 720.0;
        let height = if share < 1.0 { share } else { 2.0 - share };
        restarted.minute(120.0 * (0.1 + 0.9 * height));
    }
    // then what is used is the same to some percent.
    near(restarted.used(), steady.used().unwrap(), 0.04);
}

#[test]
fn a_service_with_a_window_now_and_then_is_learned_from_in_time() {
    // Given ten healthy windows a day, and otherwise too few requests to judge latency by,
    let mut service = Service::new(100.0);
    for minute in 0..8 * 1_440 {
        if minute % 144 < 3 {
            service.minute(70.0);
        } else {
            service.minute += 1;
            let now = service.now();
            service.learner.learn(None, LatencyTerm::NotJudged, IMAGE, now);
        }
    }
    near(service.used(), 70.0, 0.03);
}

#[test]
fn what_cannot_be_is_not_restored() {
    let kept = Kept {
        value: Some(f64::NAN),
        standing: Standing::Learned,
        lower: Some(-1.0),
        knees: vec![Knee { work: f64::INFINITY, cured: true, days: 0 }; 50],
        tested: f64::INFINITY,
        explained: 7.0,
        before: Some(Before { value: 0.0, template: None }),
        ..Kept::default()
    };
    let learner = Learner::restored(kept);
    assert_eq!(learner, Learner::restored(Kept::default()));
    assert_eq!(learner.known().source, Source::Learning);
}

#[test]
fn what_is_used_has_three_digits_as_status_keeps_them() {
    let mut service = Service::new(97.31);
    service.days(3, 120.0);
    let used = service.used().unwrap();
    assert_eq!(format!("{used:.2e}").parse::<f64>().unwrap().to_bits(), used.to_bits());
    for (x, down, up) in
        [(123.456, 123.0, 124.0), (0.012_399, 0.012_3, 0.012_4), (94.5, 94.5, 94.5), (0.3, 0.3, 0.3)]
    {
        assert!((down_to_three_digits(x) - down).abs() < 1e-12, "{x}: {}", down_to_three_digits(x));
        assert!((up_to_three_digits(x) - up).abs() < 1e-12, "{x}: {}", up_to_three_digits(x));
    }
}
