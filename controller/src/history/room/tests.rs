//! Stories of orders: what is learned, what is told, and what never comes.

use loadline_policies::{ids::ClusterId, reading::Doubt};
use tokio::sync::mpsc::channel;

use super::*;
use crate::{
    history::fake::{Numbers, ask},
    runtime::SystemClock,
};

fn wanted(name: &str) -> Wanted {
    let lesson = Lesson { horizon: 5, quantile: 0.95, phase: 0, weight: 1.0 };
    let since = Mono(Duration::from_secs(7));
    Wanted { ask: ask(name), since, lesson, length: Duration::from_hours(48) }
}

/// The same, back to two weeks.
fn whole(name: &str) -> Wanted {
    Wanted { length: Duration::from_hours(336), ..wanted(name) }
}

/// What the room tells of one order.
async fn told(archive: Numbers, order: Vec<Wanted>) -> (Vec<String>, Arc<Metrics>) {
    let ((orders, taken), (news, mut heard)) = (channel(1), channel(9));
    let metrics = Arc::new(Metrics::default());
    let stop = CancellationToken::new();
    let room = run(archive, Arc::new(SystemClock), Arc::clone(&metrics), taken, news, stop.clone());
    let room = tokio::spawn(room);
    orders.send(order).await.unwrap();
    let mut all = Vec::new();
    loop {
        all.push(match heard.recv().await.unwrap() {
            News::Done => break,
            News::Learned { policy, since, forecaster, newest } => {
                let (since, slots) = (since.0.as_secs(), forecaster.history().fives().len());
                format!("{policy} of {since} s: {slots} slots{}", if newest { ", more to come" } else { "" })
            }
            News::Nothing { policy } => format!("{policy}: nothing"),
            News::Failed { policy } => format!("{policy}: failed"),
        });
    }
    stop.cancel();
    room.await.unwrap();
    (all, metrics)
}

fn count(metrics: &Metrics, name: &str) -> f64 {
    let text = metrics.text().unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_past_of_each_policy_is_learned_and_told() {
    let (told, metrics) = told(Numbers::default(), vec![wanted("cart"), wanted("web")]).await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|t| t.contains("of 7 s: 57")), "48 h are 576 slots, or one more: {told:?}");
    assert!(count(&metrics, "loadline_history_points_total") >= 2.0 * 2_880.0);
    assert!((count(&metrics, "loadline_history_policies_total{outcome=\"loaded\"}") - 2.0).abs() < 1e-9);
    assert!(count(&metrics, "loadline_history_waiting_policies") < 1.0);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_past_begins_without_and_what_cannot_be_read_may_be_tried_again() {
    let young = Numbers { since: i64::MAX, ..Numbers::default() };
    let (all, _) = told(young, vec![wanted("cart")]).await;
    assert_eq!(all, ["shop/cart: nothing"]);

    let away = Numbers { failures: vec![Doubt::Unreachable; 99].into(), ..Numbers::default() };
    let (all, metrics) = told(away, vec![wanted("cart")]).await;
    assert_eq!(all, ["shop/cart: failed"]);
    assert!((count(&metrics, "loadline_history_failures_total") - 10.0).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn of_a_workload_whose_past_is_not_readable_in_every_cluster_nothing_is_learned() {
    let mut half = wanted("half");
    half.ask.expected.insert(ClusterId::new("dark"), 3);
    let (all, _) = told(Numbers::default(), vec![half]).await;
    assert_eq!(all, ["shop/half: nothing"]);
}

#[tokio::test(start_paused = true)]
async fn the_newest_days_of_all_are_told_before_the_rest_of_any() {
    let (all, metrics) = told(Numbers::default(), vec![wanted("brief"), whole("cart"), whole("web")]).await;
    let kinds: Vec<_> = all.iter().map(|t| (t.contains("more to come"), &t[..9])).collect();
    let expected = [
        (false, "shop/brie"),
        (true, "shop/cart"),
        (true, "shop/web "),
        (false, "shop/cart"),
        (false, "shop/web "),
    ];
    assert_eq!(kinds, expected, "{all:?}");
    assert!(all[1].contains(": 86") && all[3].contains(": 403"), "three days, then two weeks: {all:?}");
    assert!((count(&metrics, "loadline_history_policies_total{outcome=\"newest\"}") - 2.0).abs() < 1e-9);
    assert!((count(&metrics, "loadline_history_policies_total{outcome=\"loaded\"}") - 3.0).abs() < 1e-9);
    // No slot is read twice.
    let points = 3.0 * f64::from(2 * 1_440 + 12 * 288);
    assert!((count(&metrics, "loadline_history_points_total") / points - 1.0).abs() < 0.01);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_gives_up_behind_the_newest_days_leaves_what_was_read() {
    // Given a source that answers for the newest three days, and then no more,
    let numbers =
        Numbers { gone_before: SystemClock.now().wall.as_second() - 80 * 3_600, ..Numbers::default() };
    let (all, metrics) = told(numbers, vec![whole("cart")]).await;
    // then they are told, and again as all that there is; nothing waits for more.
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all[0].contains("more to come") && !all[1].contains("more to come"), "{all:?}");
    assert!((count(&metrics, "loadline_history_failures_total") - 10.0).abs() < 1e-9);
}
