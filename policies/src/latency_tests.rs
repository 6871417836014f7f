//! Stories of the latency term.

use proptest::prelude::*;

use super::*;

const OBJECTIVE: LatencyObjective = LatencyObjective { quantile: 0.99, target: Duration::from_millis(250) };
const WINDOW: Duration = Duration::from_mins(2);
const PER_REPLICA: f64 = 100.0;
const MIN: f64 = 1.1;

/// A workload under the term: its load, its replicas and a clock that moves by ticks of five seconds.
#[derive(Clone, Copy)]
struct Story {
    load: f64,
    ready: u32,
    now: Mono,
    memory: Option<LatencyTry>,
}

impl Story {
    fn new(load: f64, ready: u32) -> Self {
        Self { load, ready, now: Mono::default(), memory: None }
    }

    fn evidence(&self, latency: f64) -> Evidence {
        Evidence {
            quantile: Quantile { seconds: latency, at_least: false },
            slow: if latency > 0.25 { 0.02 } else { 0.005 },
            requests: 100_000.0,
            window: WINDOW,
            utilisation: self.load / (PER_REPLICA * f64::from(self.ready)),
            ready: self.ready,
            young: 0,
            min_redundancy: MIN,
        }
    }

    fn tick(&mut self, latency: f64) -> LatencyTerm {
        let evidence = self.evidence(latency);
        self.judge(Some(evidence))
    }

    /// Judges, and goes on with the same evidence while it is only watched.
    fn judge(&mut self, evidence: Option<Evidence>) -> LatencyTerm {
        loop {
            let term = self.look(evidence);
            if self.memory.is_none_or(|t| t.phase != TryPhase::Watching) {
                return term;
            }
        }
    }

    fn look(&mut self, evidence: Option<Evidence>) -> LatencyTerm {
        self.now = self.now.plus(Duration::from_secs(5));
        judge(&OBJECTIVE, evidence, &mut self.memory, self.now)
    }

    fn wait(&mut self, time: Duration, latency: f64) -> LatencyTerm {
        let ticks = time.as_secs() / 5;
        (0..ticks).map(|_| self.tick(latency)).last().unwrap()
    }

    /// What the term asks for, as `desired` sizes it.
    fn wanted(&self, term: LatencyTerm) -> u32 {
        let size = self.load * MIN * term.factor() / PER_REPLICA;
        (0..100_000).find(|&replicas| f64::from(replicas) >= size).unwrap()
    }
}

#[test]
fn latency_within_its_objective_is_fine() {
    let mut story = Story::new(500.0, 10);
    assert_eq!(story.tick(0.2), LatencyTerm::Fine);
    assert_eq!(story.memory, None);
}

#[test]
fn a_capacity_declared_too_high_scales_out_by_a_quarter_until_latency_is_healthy() {
    // given half of the declared capacity in use, and latency over its target all the same
    let mut story = Story::new(500.0, 10);
    let term = story.tick(0.4);
    assert!(matches!(term, LatencyTerm::ScaleOut { .. }));
    assert_eq!(story.wanted(term), 13);
    // when they are ready, and half of the excess is gone
    story.ready = 13;
    let term = story.wait(WINDOW + Duration::from_secs(10), 0.3);
    // then another quarter is tried
    assert_eq!(story.wanted(term), 17);
    // and when latency is healthy the replicas stay for now
    story.ready = 17;
    let term = story.tick(0.2);
    assert!(matches!(term, LatencyTerm::Easing { .. }));
    assert_eq!(story.wanted(term), 17);
}

#[test]
fn replicas_that_bring_nothing_are_futile_until_latency_is_healthy_again() {
    // given a slow dependency
    let mut story = Story::new(500.0, 8);
    assert!(story.tick(0.4).factor() > 1.0);
    // when a quarter more replicas are ready
    story.ready = 10;
    assert!(matches!(story.wait(WINDOW, 0.39), LatencyTerm::ScaleOut { .. }), "a window is waited for");
    // then it stops adding
    assert_eq!(story.wait(Duration::from_secs(10), 0.39), LatencyTerm::Futile { factor: 1.0 });
    assert_eq!(story.wait(Duration::from_hours(3), 2.0), LatencyTerm::Futile { factor: 1.0 });
    // and recovers by itself
    assert_eq!(story.tick(0.1), LatencyTerm::Fine);
    assert!(matches!(story.tick(0.4), LatencyTerm::ScaleOut { .. }));
}

#[test]
fn what_was_worst_before_the_replicas_came_is_what_they_are_judged_by() {
    // given a window that holds only the beginning of the trouble
    let mut story = Story::new(500.0, 8);
    story.tick(0.26);
    story.wait(Duration::from_mins(3), 1.0);
    // when a quarter more replicas cut the worst to a third
    story.ready = 10;
    let term = story.wait(WINDOW + Duration::from_secs(15), 0.35);
    // then that is better, although it is worse than the beginning
    assert_eq!(story.wanted(term), 13);
}

#[test]
fn more_load_during_the_try_is_no_evidence_against_it() {
    // given a try whose replicas came together with a quarter more load
    let mut story = Story::new(500.0, 8);
    story.tick(0.4);
    story.ready = 10;
    story.load = 625.0;
    // then nothing is concluded: for this load nothing was added
    assert!(matches!(story.wait(WINDOW * 3, 0.4), LatencyTerm::ScaleOut { .. }));
}

#[test]
fn all_steps_together_are_bounded() {
    // given a latency that gets a little better with every step and never healthy
    let mut story = Story::new(500.0, 10);
    let mut latency = 10.0;
    let mut term = story.tick(latency);
    for _ in 0..20 {
        story.ready = story.wanted(term);
        latency *= 0.8;
        term = story.wait(WINDOW + Duration::from_secs(15), latency.max(0.3));
    }
    assert!(story.wanted(term) <= 30, "{}", story.wanted(term));
}

#[test]
fn a_blip_at_night_does_not_multiply_the_morning() {
    // given ten replicas by lower bound, where the load needs one, and a blip of latency
    let mut story = Story::new(50.0, 10);
    let term = story.tick(0.4);
    assert_eq!(story.wanted(term), 13);
    // when the load of the morning comes at once
    story.load = 900.0;
    story.ready = 13;
    let term = story.tick(0.1);
    // then at most twice what it needs is held
    assert_eq!(story.wanted(term), 20);
}

#[test]
fn what_was_found_out_about_the_capacity_holds_at_more_load_for_a_while() {
    // given a capacity found to be over-estimated, and replicas that helped
    let mut story = Story::new(500.0, 10);
    let term = story.tick(0.4);
    story.ready = story.wanted(term);
    story.wait(Duration::from_mins(5), 0.2);
    // when the load grows by half, then it is sized by what is left of the factor of 2
    story.load = 750.0;
    let term = story.tick(0.2);
    assert!((1.7..2.0).contains(&term.factor()), "{term:?}");
    assert!((15..17).contains(&story.wanted(term)), "{}", story.wanted(term));
}

#[test]
fn what_helped_is_let_go_over_hours_and_put_back_when_latency_says_so() {
    let mut story = Story::new(500.0, 10);
    let term = story.tick(0.4);
    story.ready = story.wanted(term);
    let held = story.wait(Duration::from_mins(5), 0.2);
    assert!(story.wanted(held) >= 12, "{held:?}");
    // when latency breaks again on the way down
    story.ready = 10;
    let term = story.wait(Duration::from_mins(10), 0.2);
    assert!(matches!(term, LatencyTerm::Easing { .. }));
    let term = story.tick(0.3);
    assert!(matches!(term, LatencyTerm::ScaleOut { .. }));
    assert!(story.wanted(term) >= 13);
    // and when it stays healthy, nothing is left of it
    story.ready = 13;
    assert_eq!(story.wait(Duration::from_hours(4), 0.2), LatencyTerm::Fine);
    assert_eq!(story.memory, None);
}

#[test]
fn a_load_that_itself_asks_for_more_is_not_judged() {
    let mut story = Story::new(950.0, 10);
    assert_eq!(story.tick(0.4), LatencyTerm::NotJudged);
    assert_eq!(story.memory, None);
}

#[test]
fn too_few_requests_are_not_judged() {
    let mut story = Story::new(500.0, 10);
    let few = Evidence { requests: 900.0, ..story.evidence(0.4) };
    assert_eq!(story.judge(Some(few)), LatencyTerm::NotJudged);
    let enough = Evidence { requests: 1_000.1, ..few };
    assert!(matches!(story.judge(Some(enough)), LatencyTerm::ScaleOut { .. }));
}

#[test]
fn a_histogram_that_ends_before_the_target_is_not_judged() {
    let mut story = Story::new(500.0, 10);
    let short = Evidence { quantile: Quantile { seconds: 0.1, at_least: true }, ..story.evidence(0.1) };
    assert_eq!(story.judge(Some(short)), LatencyTerm::NotJudged);
}

#[test]
fn where_every_latency_is_off_the_scale_the_share_of_slow_requests_tells() {
    // given a quantile in the +Inf bucket before and after
    let mut story = Story::new(500.0, 8);
    let off_scale = Quantile { seconds: 10.0, at_least: true };
    let before = Evidence { quantile: off_scale, slow: 0.6, ..story.evidence(10.0) };
    story.judge(Some(before));
    story.ready = 10;
    let after = Evidence { quantile: off_scale, slow: 0.4, ..story.evidence(10.0) };
    let terms: Vec<LatencyTerm> = (0..30).map(|_| story.judge(Some(after))).collect();
    // then a third fewer slow requests are an improvement
    assert_eq!(story.wanted(*terms.last().unwrap()), 13);
}

#[test]
fn doubt_leaves_a_try_as_it_stands() {
    let mut story = Story::new(500.0, 10);
    assert_eq!(story.judge(None), LatencyTerm::NotJudged);
    let term = story.tick(0.4);
    let before = story.memory;
    assert!(matches!(story.judge(None), LatencyTerm::ScaleOut { factor } if factor <= term.factor()));
    assert_eq!(story.memory, before);
}

proptest! {
    #[test]
    fn the_term_never_takes_away_and_never_asks_for_more_than_three_times(
        ticks in proptest::collection::vec((1.0..2_000.0_f64, 0.01..5.0_f64, any::<bool>()), 1..200),
    ) {
        let mut story = Story::new(500.0, 10);
        let mut most = 10;
        for (load, latency, follows) in ticks {
            story.load = load;
            let term = story.tick(latency);
            prop_assert!(term.factor() >= 1.0 && term.factor().is_finite());
            if let Some(t) = story.memory {
                prop_assert!(t.replicas <= t.limit);
                prop_assert!(t.limit <= f64::from(most) * 3.0);
                prop_assert!(t.factor <= 2.0);
            }
            if follows {
                story.ready = story.wanted(term).clamp(1, 1_000);
                most = most.max(story.ready);
            }
        }
    }
}

#[test]
fn a_scale_out_for_the_load_is_measured_before_a_try_begins() {
    // Given a scale-out from 8 to 16 for the load, after which the window still holds the slow requests,
    let mut story = Story::new(800.0, 16);
    let past = Evidence { young: 8, ..story.evidence(0.6) };
    // then no try begins on their account,
    assert_eq!(story.judge(Some(past)), LatencyTerm::NotJudged);
    assert_eq!(story.memory, None);
    // but one replica that came back is no reason to wait,
    let one = Evidence { young: 1, ..story.evidence(0.6) };
    assert!(matches!(story.judge(Some(one)), LatencyTerm::ScaleOut { .. }));
    // nor are the new replicas of the try itself.
    story.ready = 20;
    let own = Evidence { young: 4, ..story.evidence(0.6) };
    assert!(matches!(story.judge(Some(own)), LatencyTerm::ScaleOut { .. }));
}

#[test]
fn more_work_per_replica_than_in_a_futile_try_is_a_new_case() {
    // Given a try that was futile at half of the capacity,
    let mut story = Story::new(400.0, 8);
    story.tick(0.4);
    story.ready = 10;
    assert_eq!(story.wait(WINDOW + Duration::from_secs(15), 0.39), LatencyTerm::Futile { factor: 1.0 });
    // when the load ripples by some percent, then the verdict stands, or replicas would go up and down for ever.
    story.load = 540.0;
    assert_eq!(story.wait(WINDOW, 0.5), LatencyTerm::Futile { factor: 1.0 });
    // When a replica clearly bears more than in the try, and latency is still over its target, it is tried again.
    story.load = 560.0;
    assert!(matches!(story.tick(0.5), LatencyTerm::ScaleOut { .. }));
}

#[test]
fn an_overload_whose_load_is_not_in_the_window_yet_is_not_taken_for_a_wrong_capacity() {
    // Given the first slow requests of an overload, while the window still holds the quiet before it,
    let mut story = Story::new(700.0, 10);
    assert_eq!(story.look(Some(story.evidence(1.0))), LatencyTerm::NotJudged);
    // when the load shows within half a window, then it decides, and no try was begun.
    story.load = 1_400.0;
    assert_eq!(story.look(Some(story.evidence(2.0))), LatencyTerm::NotJudged);
    // One that stays low for half a window was not the cause.
    story.load = 700.0;
    let looks: Vec<_> = (0..20).map(|_| story.look(Some(story.evidence(1.0)))).collect();
    let first = looks.iter().position(|term| matches!(term, LatencyTerm::ScaleOut { .. }));
    assert_eq!(first, Some(11), "60 s after the load was high, at a look every 5 s");
}

#[test]
fn a_futile_step_keeps_what_the_steps_before_it_found_out() {
    // Given a capacity that was declared too high, and replicas that helped,
    let mut story = Story::new(500.0, 10);
    story.tick(0.4);
    story.ready = 13;
    assert!(matches!(story.tick(0.2), LatencyTerm::Easing { .. }));
    // when a dependency slows down, and a quarter more brings nothing,
    story.tick(0.4);
    story.ready = 17;
    let term = story.wait(WINDOW + Duration::from_secs(15), 0.4);
    // then the quarter goes, and not what helped.
    assert!(matches!(term, LatencyTerm::Futile { .. }), "{term:?}");
    assert_eq!(story.wanted(term), 13);
    let mut healthy = story;
    assert!(matches!(healthy.tick(0.1), LatencyTerm::Easing { .. }));
    // And when more work than the verdict was on makes it a new case, new replicas or not, it holds meanwhile.
    story.load = 750.0;
    for young in [0, 8] {
        let evidence = Evidence { young, ..story.evidence(0.4) };
        let term = story.look(Some(evidence));
        assert_eq!(story.memory.unwrap().phase, TryPhase::Watching);
        assert!(matches!(term, LatencyTerm::ScaleOut { factor } if factor > 1.0), "{term:?}");
    }
}
