//! What one source says about the number of replicas.

use std::borrow::Cow;

use crate::{plan::Proposal, reason::Reason};

/// The opinion of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Say {
    /// Which source: `load`, `burst`, `latency`, `trigger backlog`.
    pub source: Cow<'static, str>,
    /// What it wants.
    pub opinion: Opinion,
    /// Why, for a person.
    pub reason: Reason,
}

/// What a source wants. Only a source that can speak for scale-in takes part in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opinion {
    /// Positive evidence that more are needed than there are: at least so many.
    Up(u32),
    /// So many would do, fewer than there are.
    Down(u32),
    /// Keep what there is.
    Hold,
    /// It cannot tell: nothing may be removed.
    Doubt,
}

impl Say {
    /// As it stands in the decision, where `current` replicas are wanted now.
    #[must_use]
    pub fn proposal(&self, current: u32) -> Option<Proposal> {
        let replicas = match self.opinion {
            Opinion::Up(n) | Opinion::Down(n) => n,
            Opinion::Hold => current,
            Opinion::Doubt => return None,
        };
        Some(Proposal { source: self.source.clone().into_owned(), replicas })
    }
}
