//! The numbers by which what was started on other machines is known there: each has its own in its environment.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The variable that has the number.
pub const MARK: &str = "RUNBOOK_STEP";

/// The numbers of all programs that somebody ran to their end.
#[derive(Debug, Clone, Default)]
pub struct Marks(Arc<Mutex<BTreeSet<String>>>);

impl Marks {
    /// Whether a number is among them.
    pub fn contains(&self, mark: &str) -> bool {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.contains(mark)
    }

    pub(super) fn add(&self, mark: &str) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.insert(mark.to_owned());
    }
}
