//! Stories of the desk: who is ordered when, and what becomes of it.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use loadline_crds::ElasticPolicy;
use loadline_policies::{
    fleet::{LoadSample, ObjectVersion},
    forecast::Forecaster,
    ids::{ClusterId, Target},
    reading::Reading,
};

use super::*;
use crate::{
    config::Config,
    ports::{LoadReading, Readings, TargetView},
    tick::tick,
    translate::KnownProfiles,
};

/// A policy in a loop that has no past yet.
struct Stage {
    objects: Objects,
    mind: Mind,
    desk: Desk,
    orders: Receiver<Vec<Wanted>>,
    news: Sender<News>,
}

fn now(second: i64) -> Now {
    let since = Duration::from_secs(u64::try_from(second).unwrap());
    Now::new(Timestamp::from_second(1_700_000_000 + second).unwrap(), Duration::from_secs(1_000) + since)
}

fn key() -> PolicyKey {
    PolicyKey::new("shop", "web")
}

impl Stage {
    fn new() -> Self {
        let text = "{apiVersion: loadline.dev/v1alpha1, kind: ElasticPolicy, metadata: {name: web, namespace: shop, uid: u, \
                    generation: 1}, spec: {target: {apiVersion: apps/v1, kind: Deployment, name: web}, bounds: {min: 1, \
                    max: 9}, load: {profile: otel-http, weights: {endpoints: {GET /: 0.5}}}, capacity: {perReplica: \
                    100}, forecast: {history: 72h}}}";
        let policy: ElasticPolicy = serde_yaml::from_str(text).unwrap();
        let version = ObjectVersion { uid: "t".into(), resource_version: "1".into() };
        let view = TargetView {
            wanted: 3,
            current: 3,
            ready: 3,
            rolling_out: false,
            template: None,
            footprint: None,
            version,
        };
        let target = Target::new("apps/v1", "Deployment", "shop", "web");
        let objects = Objects {
            policies: vec![Arc::new(policy)],
            targets: HashMap::from([((ClusterId::local(), target), Ok(view))]),
            ..Objects::default()
        };
        let profiles = KnownProfiles::of(&Config::default().profiles);
        let (desk, orders, news) = Desk::new();
        Self { objects, mind: Mind { profiles, ..Mind::default() }, desk, orders, news }
    }

    /// One look, with 200 requests/s that weigh a half each.
    fn look(&mut self, second: i64) {
        let at = now(second);
        self.desk.deliver(&mut self.mind.memory, at);
        self.mind.translator.refresh(&self.objects);
        let sample = LoadSample {
            window: Duration::from_mins(1),
            histogram: None,
            endpoints: [("GET /".to_owned(), 200.0)].into(),
            requests: 200.0,
            backlog: None,
        };
        let steady = Ok(Reading::complete(sample, at.wall));
        let loads =
            HashMap::from([((key(), ClusterId::local()), LoadReading { steady, burst: None, cpu: None })]);
        let readings = Readings { loads, ..Readings::default() };
        let fleet = self.mind.translator.fleet(&self.objects, &readings, &self.mind.profiles, at);
        drop(tick(&fleet, &mut self.mind.memory));
        self.desk.order(&self.mind, &self.objects, at);
    }

    /// The order that was given at the look.
    fn ordered(&mut self) -> Option<Wanted> {
        self.orders.try_recv().ok().and_then(|mut order| order.pop())
    }

    fn tell(&self, news: News) {
        self.news.try_send(news).unwrap();
    }

    fn history(&self) -> usize {
        self.mind.memory.policies[&key()].forecaster.as_ref().unwrap().history().fives().len()
    }
}

#[test]
fn the_past_is_ordered_once_it_is_known_what_a_request_weighs_and_put_into_place_when_it_comes() {
    let mut stage = Stage::new();
    stage.look(0);
    stage.look(5);
    assert_eq!(stage.ordered(), None, "two readings are not enough");
    stage.look(10);
    let wanted = stage.ordered().unwrap();
    assert_eq!((wanted.ask.policy, wanted.length), (key(), Duration::from_hours(72)));
    assert_eq!((wanted.lesson.horizon, wanted.lesson.weight), (5, 0.5));
    stage.look(15);
    assert_eq!(stage.ordered(), None, "it is under way");

    let mut learned = Box::new(Forecaster::new(5, wanted.lesson.quantile, 0));
    let day = (1..=1_440).rev().map(|minutes| now(0).wall.as_second() - minutes * 60);
    day.for_each(|at| learned.remember(Timestamp::from_second(at).unwrap(), 100.0));
    stage.tell(News::Learned { policy: key(), since: wanted.since, forecaster: learned, newest: false });
    stage.tell(News::Done);
    stage.look(20);
    assert!(stage.history() >= 288, "{}", stage.history());
    assert_eq!(stage.mind.memory.policies[&key()].awaited, None);
    assert_eq!(stage.ordered(), None);
}

#[test]
fn what_could_not_be_read_is_ordered_again_later_and_later_and_what_is_not_there_never() {
    let mut stage = Stage::new();
    (0..3).for_each(|i| stage.look(5 * i));
    let mut gone = 10;
    for pause in [60, 120, 240] {
        assert!(stage.ordered().is_some());
        stage.tell(News::Failed { policy: key() });
        stage.tell(News::Done);
        stage.look(gone + 1);
        stage.look(gone + pause);
        assert_eq!(stage.ordered(), None, "before {pause} s");
        gone += pause + 1;
        stage.look(gone);
    }
    assert!(stage.ordered().is_some());
    stage.tell(News::Nothing { policy: key() });
    stage.tell(News::Done);
    stage.look(gone + 1);
    stage.look(gone + 7_200);
    assert_eq!(stage.ordered(), None);
}

#[test]
fn another_load_is_another_order_and_what_was_learned_of_the_old_one_is_not_taken() {
    let mut stage = Stage::new();
    (0..3).for_each(|i| stage.look(5 * i));
    let before = stage.ordered().unwrap();
    let mut edited = (*stage.objects.policies[0]).clone();
    edited.metadata.generation = Some(2);
    edited.spec.load.profile = "istio".to_owned();
    stage.objects.policies = vec![Arc::new(edited)];
    (3..6).for_each(|i| stage.look(5 * i));
    let forecaster = Box::new(Forecaster::new(5, before.lesson.quantile, 0));
    stage.tell(News::Learned { policy: key(), since: before.since, forecaster, newest: false });
    stage.tell(News::Done);
    stage.look(30);
    let after = stage.ordered().unwrap();
    assert_eq!(after.ask.profile, "istio");
    assert!(after.since > before.since);
}
