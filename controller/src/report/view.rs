//! The last plan, kept for `/debug/plan`.

use std::sync::{Arc, Mutex, PoisonError};

use loadline_policies::plan::{Applied, Plan};

/// Holds the last applied plan; clones share it.
#[derive(Debug, Clone, Default)]
pub struct View(Arc<Mutex<Option<Arc<Plan<Applied>>>>>);

impl View {
    /// Replaces the plan.
    pub fn publish(&self, plan: Plan<Applied>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(plan));
    }

    /// The last plan; `None` before the first tick.
    #[must_use]
    pub fn last(&self) -> Option<Arc<Plan<Applied>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
