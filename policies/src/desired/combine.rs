//! The combination: the most of all that want more; fewer only when every source agrees and nothing forbids it.

use crate::{
    desired::say::{Opinion, Say},
    reason::Reason,
};

/// What follows from all that the sources say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Combined {
    /// Replicas.
    pub replicas: u32,
    /// Why; the decisive one first.
    pub reasons: Vec<Reason>,
}

/// Combines what the sources say about `current` replicas.
///
/// - Any source with positive evidence for more: the most of them. One broken signal does not stop another.
/// - Every source would do with fewer, and there is no veto: the most of those.
/// - Otherwise: hold. One source in doubt, or content with what there is, is enough.
#[must_use]
pub fn combine(mut says: Vec<Say>, current: u32, vetoes: &[Reason]) -> Combined {
    let rank = |say: &Say| match say.opinion {
        Opinion::Up(n) if n > current => (3, n),
        Opinion::Doubt => (2, 0),
        Opinion::Hold | Opinion::Up(_) => (1, 0),
        Opinion::Down(n) => (0, n),
    };
    // Stable: among equals the first source is the decisive one.
    says.sort_by_key(|say| std::cmp::Reverse(rank(say)));
    let decided = says.first().map_or((1, 0), rank);
    let tied = says.iter().take_while(|say| rank(say).0 == decided.0).count();
    let reasons = says.into_iter().take(tied).map(|say| say.reason);
    match decided {
        (3, replicas) => Combined { replicas, reasons: reasons.collect() },
        (0, replicas) if vetoes.is_empty() => {
            Combined { replicas: replicas.min(current), reasons: reasons.collect() }
        }
        (0, _) => Combined { replicas: current, reasons: vetoes.iter().cloned().chain(reasons).collect() },
        _ => Combined { replicas: current, reasons: reasons.collect() },
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::reason::ReasonCode;

    fn say(source: &'static str, opinion: Opinion) -> Say {
        Say { source: source.into(), opinion, reason: Reason::new(ReasonCode::Trigger, source) }
    }

    #[rstest]
    #[case::the_most_of_those_that_want_more(&[Opinion::Up(12), Opinion::Up(15), Opinion::Hold], 15)]
    #[case::one_broken_and_another_says_up(&[Opinion::Doubt, Opinion::Up(12)], 12)]
    #[case::one_broken_and_another_says_down(&[Opinion::Doubt, Opinion::Down(5)], 10)]
    #[case::one_content_and_another_says_down(&[Opinion::Hold, Opinion::Down(5)], 10)]
    #[case::all_say_down(&[Opinion::Down(4), Opinion::Down(7)], 7)]
    #[case::nobody_says_anything(&[], 10)]
    fn it_raises_for_one_and_lowers_for_all(#[case] opinions: &[Opinion], #[case] expected: u32) {
        let says = opinions.iter().map(|o| say("a", *o)).collect();
        assert_eq!(combine(says, 10, &[]).replicas, expected);
    }

    #[test]
    fn a_veto_holds_a_scale_in_and_is_the_decisive_reason() {
        let veto = Reason::new(ReasonCode::RollingOut, "a roll-out");
        let combined = combine(vec![say("load", Opinion::Down(5))], 10, std::slice::from_ref(&veto));
        assert_eq!(combined.replicas, 10);
        assert_eq!(combined.reasons[0], veto);
        assert_eq!(combine(vec![say("load", Opinion::Up(12))], 10, &[veto]).replicas, 12);
    }
}
