//! Reading a batch: one query after the other, each followed by a rest as long as it took.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use loadline_policies::{
    forecast::past::Past,
    ids::{ClusterId, PolicyKey},
    reading::Doubt,
};
use tokio::time::sleep;

use super::course::Course;
use crate::ports::{Archive, Batch, LoadAsk};

/// The first pause after a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How much is asked of a source, and how long it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// Each query is followed by a rest as long as it took: at most half of the time of one connection.
    pub rests: bool,
    /// So many failures one after the other, and the source is left alone.
    pub patience: u32,
}

/// Beside a loop that reads the same source: gently, and for about four minutes of failures.
pub const BESIDE_THE_LOOP: Manner = Manner { rests: true, patience: 9 };
/// For a person who waits.
pub const FOR_A_PERSON: Manner = Manner { rests: false, patience: 2 };

/// The pasts of a batch, by policy and cluster.
pub type Pasts = BTreeMap<PolicyKey, BTreeMap<ClusterId, Past>>;

/// What became of one query, or of the try of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// How long it took.
    pub took: Duration,
    /// Queries and points, or why not.
    pub result: Result<(u64, usize), Doubt>,
    /// The share of the batch that was read so far, 0 to 1.
    pub share: f64,
}

/// How a batch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// All of the course was read.
    Whole,
    /// The source gave up after the newest part was read.
    Newest(Doubt),
    /// The source gave up before.
    Failed(Doubt),
}

/// The course over the past of a batch, the `longest` of it.
#[must_use]
pub fn course(batch: &Batch, longest: &Past) -> Course {
    Course::new(longest, batch.asks.iter().map(|ask| ask.expected.len()).sum())
}

/// Makes room for the past of an ask in each of its clusters.
pub fn make_room(pasts: &mut Pasts, ask: &LoadAsk, until: Timestamp, length: Duration) {
    let room = |cluster: &ClusterId| (cluster.clone(), Past::new(until, length));
    pasts.entry(ask.policy.clone()).or_default().extend(ask.expected.keys().map(room));
}

/// Reads a batch into the room that was made, to the end of its course, telling each step.
pub async fn read(
    archive: &impl Archive,
    batch: &Batch,
    course: &mut Course,
    manner: Manner,
    pasts: &mut Pasts,
    mut told: impl FnMut(Step),
) -> End {
    let mut failures = 0;
    while let Some(span) = course.next() {
        let began = Instant::now();
        let page = archive.read(batch, span).await;
        let took = began.elapsed();
        let rest = if manner.rests { took } else { Duration::ZERO };
        match page {
            Ok(page) => {
                failures = 0;
                let known: usize = page.loads.iter().map(|load| load.points.len()).sum();
                for load in page.loads {
                    let room = pasts.get_mut(&load.policy).and_then(|c| c.get_mut(&load.cluster));
                    if let Some(past) = room {
                        load.points.iter().for_each(|(at, value)| past.keep(*at, *value));
                    }
                }
                course.done(span, known);
                told(Step { took, result: Ok((page.queries, page.points)), share: course.share() });
                sleep(rest).await;
            }
            Err(doubt) => {
                told(Step { took, result: Err(doubt.clone()), share: course.share() });
                failures += 1;
                let smaller = too_much(&doubt) && course.halve(span);
                if failures > manner.patience || is_final(&doubt) {
                    return if course.has_the_newest() { End::Newest(doubt) } else { End::Failed(doubt) };
                }
                // A smaller query may be tried as soon as the source had its rest.
                let pause = if smaller { Duration::ZERO } else { pause(failures) };
                sleep(rest.max(pause)).await;
            }
        }
    }
    End::Whole
}

/// Whether a smaller query may do: the answer was too long, too slow, or of too many samples.
const fn too_much(doubt: &Doubt) -> bool {
    matches!(doubt, Doubt::WrongShape(_) | Doubt::TimedOut | Doubt::QueryRefused(_))
}

/// Whether waiting cannot help: a person must mend the configuration.
const fn is_final(doubt: &Doubt) -> bool {
    matches!(doubt, Doubt::NotConfigured(_))
}

fn pause(failures: u32) -> Duration {
    let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests;
