//! Stories of reading: what is asked, what is kept, and what becomes of trouble.

use std::sync::{Mutex, atomic::Ordering};

use loadline_policies::forecast::past::together;

use super::*;
use crate::history::fake::{Numbers, ask, load};

const DAY: i64 = 86_400;

struct Told {
    pasts: Pasts,
    steps: Vec<Step>,
    end: End,
}

async fn run(archive: &Numbers) -> Told {
    let (batches, _) = archive.batches(&[ask("cart"), ask("web")]);
    let (mut pasts, mut steps) = (Pasts::new(), Vec::new());
    let (until, length) = (Timestamp::from_second(20 * DAY).unwrap(), Duration::from_hours(336));
    batches[0].asks.iter().for_each(|ask| make_room(&mut pasts, ask, until, length));
    let mut course = course(&batches[0], &Past::new(until, length));
    let end =
        read(archive, &batches[0], &mut course, BESIDE_THE_LOOP, &mut pasts, |step| steps.push(step)).await;
    Told { pasts, steps, end }
}

#[tokio::test(start_paused = true)]
async fn all_that_there_is_is_kept_as_it_was() {
    let told = run(&Numbers { since: 10 * DAY, ..Numbers::default() }).await;
    assert_eq!(told.end, End::Whole);
    assert!((told.steps.last().unwrap().share - 1.0).abs() < 1e-9);
    for clusters in told.pasts.values() {
        let pasts: Vec<Past> = clusters.values().cloned().collect();
        let points: Vec<_> = together(&pasts).collect();
        assert_eq!(points.len(), 2 * 1_440 + 8 * 288);
        // The points are of the beginnings of slots, and are told as of their middles.
        let start = |at: i64| if at < 18 * DAY { at - 150 } else { at - 30 };
        assert!(points.iter().all(|(at, kept)| (kept / load(start(at.as_second())) - 1.0).abs() < 1e-3));
    }
    assert_eq!(told.pasts.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_for_the_source_is_asked_for_in_halves() {
    let archive = Numbers { most: 500, ..Numbers::default() };
    let told = run(&archive).await;
    assert_eq!(told.end, End::Whole);
    let refused = told.steps.iter().filter(|step| step.result.is_err()).count();
    assert_eq!(refused, 3, "2880, 1440, 720, then 360");
    let pasts: Vec<Past> = told.pasts.values().next().unwrap().values().cloned().collect();
    assert_eq!(together(&pasts).count(), 2 * 1_440 + 12 * 288);
}

#[tokio::test(start_paused = true)]
async fn trouble_is_waited_out_with_longer_and_longer_pauses() {
    let failures = Mutex::new(vec![Doubt::HttpStatus(503), Doubt::Unreachable, Doubt::Unreachable]);
    let archive = Numbers { failures, ..Numbers::default() };
    let began = tokio::time::Instant::now();
    let told = run(&archive).await;
    assert_eq!(told.end, End::Whole);
    assert!((7..9).contains(&began.elapsed().as_secs()), "1 + 2 + 4 seconds: {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_stays_away_is_left_alone_and_nothing_is_invented() {
    let archive = Numbers { failures: Mutex::new(vec![Doubt::Unreachable; 99]), ..Numbers::default() };
    let told = run(&archive).await;
    assert_eq!(told.end, End::Failed(Doubt::Unreachable));
    assert!(told.pasts.values().flat_map(|clusters| clusters.values()).all(Past::is_empty));
    assert_eq!(archive.asked.load(Ordering::Relaxed), 10);
}

#[tokio::test(start_paused = true)]
async fn a_missing_source_is_not_waited_for() {
    let failures = Mutex::new(vec![Doubt::NotConfigured("no such source".into())]);
    let archive = Numbers { failures, ..Numbers::default() };
    assert!(matches!(run(&archive).await.end, End::Failed(Doubt::NotConfigured(_))));
}
