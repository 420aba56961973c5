//! How guides are told in words, and in which order: what does not hold comes first.

use runbook::outcome::{Freshness, State};
use runbook::status::GuideView;

use super::html::told;

/// What a guide is counted as on the status page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// It does not hold: its worst state.
    Not(State),
    /// Something it depends on changed since.
    Stale,
    /// Its results are older than `old-after`.
    Old,
    /// It passed, but not every due step did on its own.
    Part,
    /// Nothing of it ever ran.
    NeverRun,
    /// Every step was skipped.
    Skipped,
    /// It holds.
    Holds,
}

impl Class {
    /// The class of a guide.
    pub(super) fn of(view: &GuideView) -> Self {
        match (view.state, view.freshness) {
            (None, _) => Self::NeverRun,
            (Some(State::Skipped), _) => Self::Skipped,
            (Some(State::Passed), Freshness::Stale) => Self::Stale,
            (Some(State::Passed), Freshness::Old) => Self::Old,
            (Some(State::Passed), _) if view.holds() => Self::Holds,
            (Some(State::Passed), _) => Self::Part,
            (Some(state), _) => Self::Not(state),
        }
    }

    /// The word in ids and classes.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Not(state) => state.as_str(),
            Self::Stale => "stale",
            Self::Old => "old",
            Self::Part => "in-part",
            Self::NeverRun => "never-run",
            Self::Skipped => "skipped",
            Self::Holds => "holds",
        }
    }

    /// What so many guides are: `38 hold`, `1 failed`, `2 old`.
    pub(super) fn told(self, number: usize) -> String {
        let word = match self {
            Self::Not(state) => told(Some(state)),
            Self::Stale => "stale",
            Self::Old => "old",
            Self::Part => "verified in part",
            Self::NeverRun => "never run",
            Self::Skipped => "skipped",
            Self::Holds if number == 1 => "holds",
            Self::Holds => "hold",
        };
        format!("{number} {word}")
    }
}
