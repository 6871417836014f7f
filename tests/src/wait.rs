//! Waiting for the real world: by polling with a deadline, never by a fixed sleep.

use std::{fmt, time::Duration};

use tokio::time::{Instant, sleep};

/// How often the world is looked at.
const POLL: Duration = Duration::from_millis(50);

/// What was waited for did not come.
#[derive(Debug, Clone, thiserror::Error)]
#[error("waited {within:?} for {what}; last seen: {seen}")]
pub struct NotInTime {
    /// What was waited for.
    pub what: String,
    /// What was seen instead, the last time.
    pub seen: String,
    /// How long it was waited for.
    pub within: Duration,
}

/// Asks again and again until the answer is `Ok`; an `Err` says what is seen instead.
///
/// # Errors
/// When `within` has passed: the last thing that was seen. One look that takes longer than that is cut.
pub async fn until<T, S, Fut>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> Fut,
) -> Result<T, NotInTime>
where
    S: fmt::Display,
    Fut: Future<Output = Result<T, S>>,
{
    let deadline = Instant::now() + within;
    let mut seen = "nothing yet".to_owned();
    loop {
        match tokio::time::timeout_at(deadline, look()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(other)) => seen = other.to_string(),
            Err(_) => seen = format!("no answer (before that: {seen})"),
        }
        if Instant::now() + POLL >= deadline {
            return Err(NotInTime { what: what.to_owned(), seen, within });
        }
        sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn says_what_was_seen_when_it_does_not_come() {
        let mut looks = 0;
        let missed = until("three pods", Duration::from_millis(200), || {
            looks += 1;
            async { Err::<(), _>("2 pods") }
        })
        .await
        .unwrap_err();
        assert_eq!(missed.to_string(), "waited 200ms for three pods; last seen: 2 pods");
        assert!(looks > 1);
    }

    #[tokio::test]
    async fn a_look_that_hangs_does_not_outlast_the_deadline() {
        let missed =
            until("an answer", Duration::from_millis(100), std::future::pending::<Result<(), String>>)
                .await
                .unwrap_err();
        assert!(missed.seen.starts_with("no answer"), "{missed}");
    }
}
