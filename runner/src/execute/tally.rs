//! Counts how the steps of a run ended, for its last event and its exit code.

use std::collections::BTreeMap;

use runbook::outcome::State;

use crate::exit;

/// What was counted so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) counts: BTreeMap<State, u32>,
    /// Steps for which a stand-in of the lab answered.
    pub(super) stand_in: u32,
    unavailable: u32,
    pub(super) undo_failed: u32,
    pub(super) left_behind: Vec<String>,
}

impl Tally {
    /// A step ended; `unavailable` when only because the place where it runs cannot be used.
    pub(super) fn step(&mut self, state: State, unavailable: bool, stand_in: bool) {
        *self.counts.entry(state).or_default() += 1;
        self.stand_in += u32::from(stand_in);
        self.unavailable += u32::from(unavailable && state.is_failure());
    }

    /// Taking something back failed.
    pub(super) fn left(&mut self, line: String) {
        self.undo_failed += 1;
        self.left_behind.push(line);
    }

    /// What the exit code depends on.
    pub(super) fn exit(
        &self,
        sink_failed: bool,
        interrupted: bool,
        pending_counts: bool,
        strict: bool,
    ) -> exit::Tally {
        exit::Tally {
            counts: self.counts.clone(),
            unavailable: self.unavailable,
            undo_failed: self.undo_failed,
            sink_failed,
            interrupted,
            pending_counts,
            skipped_fails: strict,
        }
    }
}
