//! Exit codes: the contract with shells, CI jobs and agents (DESIGN section 6).
//!
//! Constants and the order in which they win, nothing else. The manual's table is made from [`CODES`].

use std::collections::BTreeMap;

use runbook::outcome::State;

/// Everything that was due holds (or was skipped for a reason that is said).
pub const OK: u8 = 0;
/// A step failed, drifted, timed out or was aborted, or an undo failed.
pub const STEP_FAILED: u8 = 1;
/// The command line is wrong, or an ID does not exist.
pub const USAGE: u8 = 2;
/// The book is invalid.
pub const BOOK_INVALID: u8 = 3;
/// The place where a step runs, or the environment (disk), cannot be used.
pub const UNAVAILABLE: u8 = 4;
/// Approval or a person is needed.
pub const PENDING: u8 = 5;
/// A bug of ours.
pub const BUG: u8 = 70;
/// Ended by INT or TERM.
pub const INTERRUPTED: u8 = 130;

/// Every code with its meaning, the first that applies first.
pub const CODES: &[(u8, &str)] = &[
    (BUG, "a bug of `runbook` itself"),
    (INTERRUPTED, "ended by INT or TERM"),
    (USAGE, "wrong usage, or an ID that does not exist"),
    (BOOK_INVALID, "the book is invalid"),
    (
        STEP_FAILED,
        "a step failed, drifted, timed out or was aborted, or taking something back failed",
    ),
    (UNAVAILABLE, "a target or the environment cannot be used"),
    (PENDING, "approval or a person is needed"),
    (OK, "everything else"),
];

/// Of several codes the one that wins.
pub fn first(codes: impl IntoIterator<Item = u8>) -> u8 {
    let rank = |code: u8| {
        CODES
            .iter()
            .position(|(known, _)| *known == code)
            .unwrap_or(0)
    };
    codes
        .into_iter()
        .min_by_key(|code| rank(*code))
        .unwrap_or(OK)
}

/// What the exit code of a run depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many steps ended in which state.
    pub counts: BTreeMap<State, u32>,
    /// How many of the failed ones failed only because their target cannot be used.
    pub unavailable: u32,
    /// How many undos failed.
    pub undo_failed: u32,
    /// Whether a sink could not go on (a full disk).
    pub sink_failed: bool,
    /// Whether INT or TERM ended the run.
    pub interrupted: bool,
    /// Whether pending steps count: in `run` always, in `verify` with `--strict`.
    pub pending_counts: bool,
    /// Whether skipped steps count as failures: `--strict`.
    pub skipped_fails: bool,
}

impl Tally {
    /// The exit code of a run that ended so.
    pub fn exit_code(&self) -> u8 {
        let count = |state: State| self.counts.get(&state).copied().unwrap_or(0);
        let failures: u32 = State::ALL
            .iter()
            .filter(|state| state.is_failure())
            .map(|state| count(*state))
            .sum();
        let skipped_fails = self.skipped_fails && count(State::Skipped) > 0;
        let applies = [
            (INTERRUPTED, self.interrupted),
            (
                STEP_FAILED,
                failures > self.unavailable || self.undo_failed > 0 || skipped_fails,
            ),
            (UNAVAILABLE, self.unavailable > 0 || self.sink_failed),
            (PENDING, self.pending_counts && count(State::Pending) > 0),
        ];
        first(
            applies
                .into_iter()
                .filter(|(_, applies)| *applies)
                .map(|(code, _)| code),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(counts: &[(State, u32)]) -> Tally {
        Tally {
            counts: counts.iter().copied().collect(),
            ..Tally::default()
        }
    }

    #[test]
    fn the_first_code_of_the_table_wins() {
        assert_eq!(
            CODES.iter().map(|(code, _)| *code).collect::<Vec<_>>(),
            [70, 130, 2, 3, 1, 4, 5, 0]
        );
        assert_eq!(first([OK, PENDING, UNAVAILABLE, STEP_FAILED]), STEP_FAILED);
        assert_eq!(first([STEP_FAILED, BOOK_INVALID, USAGE]), USAGE);
        assert_eq!(first([USAGE, INTERRUPTED, BUG]), BUG);
        assert_eq!(first([]), OK);
    }

    #[test]
    fn each_failure_state_is_a_failed_run_and_no_other_is() {
        for state in State::ALL {
            let expected = match state {
                State::Failed | State::TimedOut | State::Aborted | State::Drifted => STEP_FAILED,
                State::Blocked | State::Pending | State::Passed | State::Skipped => OK,
            };
            assert_eq!(tally(&[(*state, 1)]).exit_code(), expected, "{state}");
        }
    }

    #[test]
    fn an_unreachable_target_is_4_only_where_nothing_else_failed() {
        let unreachable = Tally {
            unavailable: 1,
            ..tally(&[(State::Failed, 1), (State::Blocked, 3)])
        };
        assert_eq!(unreachable.exit_code(), UNAVAILABLE);
        let both = Tally {
            unavailable: 1,
            ..tally(&[(State::Failed, 2)])
        };
        assert_eq!(both.exit_code(), STEP_FAILED);
    }

    #[test]
    fn pending_counts_where_a_person_is_expected() {
        let pending = tally(&[(State::Pending, 1), (State::Passed, 1)]);
        assert_eq!(pending.exit_code(), OK);
        assert_eq!(
            Tally {
                pending_counts: true,
                ..pending
            }
            .exit_code(),
            PENDING
        );
    }

    #[test]
    fn strict_makes_skipped_a_failure() {
        let skipped = tally(&[(State::Skipped, 1), (State::Passed, 1)]);
        assert_eq!(skipped.exit_code(), OK);
        assert_eq!(
            Tally {
                skipped_fails: true,
                ..skipped
            }
            .exit_code(),
            STEP_FAILED
        );
    }

    #[test]
    fn a_failed_undo_and_an_interruption_are_never_green() {
        let passed = tally(&[(State::Passed, 2)]);
        assert_eq!(
            Tally {
                undo_failed: 1,
                ..passed.clone()
            }
            .exit_code(),
            STEP_FAILED
        );
        assert_eq!(
            Tally {
                interrupted: true,
                undo_failed: 1,
                ..passed.clone()
            }
            .exit_code(),
            INTERRUPTED
        );
        assert_eq!(
            Tally {
                sink_failed: true,
                ..passed
            }
            .exit_code(),
            UNAVAILABLE
        );
    }
}
