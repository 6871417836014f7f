//! Fallback: what to do when nothing could be read for long.

use crate::{
    desired::words,
    memory::PolicyMemory,
    now::{Mono, Now},
    policy::{Fallback, FallbackPolicy},
    reason::{Reason, ReasonCode},
};

/// What the fallback asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: there is data, or it has not been away for long enough.
    NotYet,
    /// Keep what there is.
    Hold(Reason),
    /// At least so many.
    AtLeast(u32, Reason),
    /// Exactly so many, up or down.
    Exactly(u32, Reason),
}

/// Judges the fallback, and remembers since when there is no data.
///
/// Returns also when it will count, while it does not yet.
pub fn judge(
    fallback: Fallback,
    no_data: bool,
    memory: &mut PolicyMemory,
    now: Now,
) -> (Verdict, Option<Mono>) {
    if !no_data {
        memory.no_data_since = None;
        return (Verdict::NotYet, None);
    }
    let since = *memory.no_data_since.get_or_insert(now.mono);
    let away = now.mono.since(since);
    if away < fallback.after {
        return (Verdict::NotYet, Some(since.plus(fallback.after)));
    }
    let away = words::duration(away);
    let reason = |what: &str| {
        Reason::new(ReasonCode::Fallback, format!("There has been no data for {away}: fallback {what}."))
    };
    let verdict = match fallback.policy {
        FallbackPolicy::Hold => Verdict::Hold(reason("holds what there is")),
        FallbackPolicy::AtLeast(n) => Verdict::AtLeast(n, reason(&format!("keeps at least {n}"))),
        FallbackPolicy::Static(n) => Verdict::Exactly(n, reason(&format!("asks for exactly {n}"))),
    };
    (verdict, None)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn now(seconds: u64) -> Now {
        Now::new("2026-03-01T12:00:00Z".parse().unwrap(), Duration::from_secs(seconds))
    }

    #[test]
    fn it_counts_only_after_no_data_for_long_enough_and_ends_with_the_first_reading() {
        let fallback = Fallback { after: Duration::from_mins(3), policy: FallbackPolicy::AtLeast(5) };
        let mut memory = PolicyMemory::default();
        assert_eq!(judge(fallback, true, &mut memory, now(100)).0, Verdict::NotYet);
        assert_eq!(judge(fallback, true, &mut memory, now(279)).1, Some(now(280).mono));
        assert!(matches!(judge(fallback, true, &mut memory, now(280)).0, Verdict::AtLeast(5, _)));
        assert_eq!(judge(fallback, false, &mut memory, now(285)).0, Verdict::NotYet);
        assert_eq!(judge(fallback, true, &mut memory, now(290)).0, Verdict::NotYet);
    }
}
