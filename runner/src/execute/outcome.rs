//! How a step or an item of it ended, with its evidence: what becomes of one attempt, of all, and at last of an event.

use runbook::outcome::{Check, State};
use serde_json::{Map, Value};

use crate::action::{Failure, Report};
use crate::process;

/// How a step ended, and why.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) state: State,
    pub(super) changed: bool,
    pub(super) repaired: bool,
    /// A short fragment: why it was skipped, blocked, pending; what kind of failure.
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
    pub(super) hint: Option<String>,
    pub(super) note: Option<String>,
    pub(super) checks: Vec<Check>,
    pub(super) captures: Map<String, Value>,
    /// Which captures are secrets.
    pub(super) secrets: Vec<String>,
    pub(super) output: Option<process::Output>,
    /// Whether the output must be redacted yet.
    pub(super) raw: bool,
    pub(super) diff: Option<String>,
    pub(super) command: Option<String>,
    pub(super) artifacts: Vec<String>,
    pub(super) attempts: u32,
    /// The exit code or the HTTP status, for `hints`.
    pub(super) codes: Codes,
    /// The place where it runs cannot be used.
    pub(super) unavailable: bool,
    /// Trying again is of no use.
    pub(super) final_: bool,
    /// The lab does not have what it takes.
    pub(super) missing: bool,
    /// It needs a step that the lab skipped: so is what needs it.
    pub(super) passes_on: bool,
    /// What the step is about is not there.
    pub(super) absent: bool,
    /// A change that did not begin: nothing is different from before.
    pub(super) untouched: bool,
    /// `when` did not hold.
    pub(super) unwanted: bool,
    /// A stand-in of the lab answered.
    pub(super) stand_in: bool,
    /// What a run would do, for a plan.
    pub(super) would: Option<Would>,
}

/// Numbers by which `hints` know a failure.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Codes {
    pub(super) exit: Option<i64>,
    pub(super) status: Option<i64>,
}

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Would {
    Read,
    Change,
    Nothing,
    Run,
    /// Wait for approval or a person: why.
    Wait(String),
}

impl Outcome {
    pub(super) fn new(state: State) -> Self {
        Self {
            state,
            changed: false,
            repaired: false,
            reason: None,
            message: None,
            hint: None,
            note: None,
            checks: Vec::new(),
            captures: Map::new(),
            secrets: Vec::new(),
            output: None,
            raw: false,
            diff: None,
            command: None,
            artifacts: Vec::new(),
            attempts: 0,
            codes: Codes::default(),
            unavailable: false,
            final_: false,
            missing: false,
            passes_on: false,
            absent: false,
            untouched: false,
            unwanted: false,
            stand_in: false,
            would: None,
        }
    }

    pub(super) fn passed() -> Self {
        Self::new(State::Passed)
    }

    pub(super) fn skipped(reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..Self::new(State::Skipped)
        }
    }

    pub(super) fn pending(reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..Self::new(State::Pending)
        }
    }

    pub(super) fn blocked(reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..Self::new(State::Blocked)
        }
    }

    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self {
            message: Some(message.into()),
            ..Self::new(State::Failed)
        }
    }

    pub(super) fn aborted() -> Self {
        Self {
            reason: Some("the run was stopped".into()),
            final_: true,
            ..Self::new(State::Aborted)
        }
    }

    /// A failure that trying again does not mend.
    pub(super) fn wrong(failure: Failure) -> Self {
        Self {
            final_: true,
            ..Self::failure(failure)
        }
    }

    pub(super) fn failure(failure: Failure) -> Self {
        Self {
            hint: failure.hint,
            final_: failure.refused,
            ..Self::failed(failure.message)
        }
    }

    pub(super) fn would(mut self, would: Would) -> Self {
        self.would = Some(would);
        self
    }

    pub(super) fn is_passed(&self) -> bool {
        self.state == State::Passed
    }

    /// Takes over what a report shows beside its fields.
    pub(super) fn take(&mut self, report: &mut Report) {
        self.output = report.output.take();
        self.raw = report.raw;
        self.command = report.command.take();
        self.note = report.note.take();
        self.stand_in |= report.stand_in;
        if report.diff.is_some() {
            self.diff = report.diff.take();
        }
        let number = |name: &str| report.fields.get(name).and_then(Value::as_i64);
        self.codes = Codes {
            exit: number("exit"),
            status: number("status"),
        };
    }

    /// Makes a failure of it with this message, whatever else was wrong.
    pub(super) fn fail(&mut self, message: impl Into<String>) {
        self.state = State::Failed;
        self.message.get_or_insert_with(|| message.into());
    }
}
