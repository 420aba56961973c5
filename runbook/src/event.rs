//! What a run tells: one stream of events, from which the journal, the terminal, JSON, JUnit and the live page are made.
//!
//! `events.jsonl` and `run --json` are these events, one JSON object a line (DESIGN section 6). The shapes are versioned:
//! fields are added, never changed, within one [`EVENTS_VERSION`]. Texts in here are redacted before they get here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::Id;
use crate::outcome::{Check, Effect, Mode, REASON_ASKED, REASON_WHEN, Standing, State};

/// The version of the events' shape.
pub const EVENTS_VERSION: u32 = 1;

/// One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
    /// When, RFC 3339 in UTC.
    pub at: String,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// The first event of a run.
    RunStarted(RunStarted),
    /// A step begins.
    StepStarted(StepStarted),
    /// How to take a step back: written before its change starts, so that a killed run can be undone.
    UndoRegistered(UndoRegistered),
    /// A step, or one item of it, ended.
    StepFinished(Box<StepFinished>),
    /// An undo ran, at the end of the run.
    UndoFinished(UndoFinished),
    /// The last event of a run.
    RunFinished(RunFinished),
}

/// The head of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunStarted {
    /// [`EVENTS_VERSION`].
    pub version: u32,
    /// The run's ID, the name of its directory.
    pub run: String,
    /// The profile's name.
    pub profile: String,
    /// How the steps are treated.
    pub mode: Mode,
    /// The commit of the book, when it lies in a repository; `+` at its end when the work tree differs from it.
    #[serde(default)]
    pub revision: Option<String>,
    /// What was asked for: IDs, or empty for everything.
    #[serde(default)]
    pub asked: Vec<String>,
    /// Who asked: the user's name on this machine, or the CI job.
    #[serde(default)]
    pub by: Option<String>,
    /// The program's version.
    #[serde(default)]
    pub program: String,
    /// How many steps are due.
    #[serde(default)]
    pub steps: u32,
    /// `--var` values of the run (no secrets).
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
}

/// A step begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepStarted {
    /// Its full ID.
    pub id: Id,
    /// Its title.
    pub title: String,
    /// Its action's name.
    pub action: String,
    /// The target's text: `local`, `lxc/ollama`.
    pub target: String,
    /// What it does to the world.
    pub effect: Effect,
}

/// How to take a step back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UndoRegistered {
    /// The step.
    pub id: Id,
    /// One line for people: ``remove `/etc/x` ``, `script`.
    pub summary: String,
    /// Everything needed to run it again in another process, secrets by name only.
    pub data: Value,
}

/// A step, or an item of it, ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepFinished {
    /// Its full ID; of an item of `each` it ends in `@item`.
    pub id: Id,
    /// How it ended.
    pub state: State,
    /// Whether something was changed.
    pub changed: bool,
    /// Whether it holds only after `repair`.
    #[serde(default)]
    pub repaired: bool,
    /// How long it took, all attempts together.
    pub duration_ms: u64,
    /// Why it was skipped, blocked, pending, or what kind of failure: a short fragment.
    #[serde(default)]
    pub reason: Option<String>,
    /// The failure for people: which expectation, which difference, one or more lines.
    #[serde(default)]
    pub message: Option<String>,
    /// The hint of `hints` that fits, or ours.
    #[serde(default)]
    pub hint: Option<String>,
    /// The profile's name.
    pub profile: String,
    /// The target's text.
    pub target: String,
    /// The chapter, relative to the book's root.
    pub file: String,
    /// The line of the step's fence.
    pub line: u32,
    /// The rows of evidence, of the last attempt.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// Whether a stand-in of the lab answered.
    #[serde(default)]
    pub stand_in: bool,
    /// Its title.
    #[serde(default)]
    pub title: String,
    /// Its action's name.
    #[serde(default)]
    pub action: String,
    /// What it does to the world.
    pub effect: Effect,
    /// How it was treated.
    pub mode: Mode,
    /// A remark that goes with the result: `ran as converge: rehearsal is not available yet`.
    #[serde(default)]
    pub note: Option<String>,
    /// When it began, RFC 3339 in UTC.
    #[serde(default)]
    pub started_at: Option<String>,
    /// How often it was tried.
    #[serde(default)]
    pub attempts: u32,
    /// What was captured; a secret is `(secret)`.
    #[serde(default)]
    pub captures: BTreeMap<String, Value>,
    /// What it printed: head and tail of each stream.
    #[serde(default)]
    pub output: Option<Output>,
    /// What was or would be changed, as a text for people.
    #[serde(default)]
    pub diff: Option<String>,
    /// What was run where, for people: the script or request with its values filled in, redacted.
    #[serde(default)]
    pub command: Option<String>,
    /// The fingerprint of what was executed ([`crate::fingerprint`]); absent of steps that were not executed.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// The identity of what it ran against: `{"os": "Linux 6.1", "host": "…"}`.
    #[serde(default)]
    pub identity: BTreeMap<String, String>,
    /// Files in the run's directory: whole output, diagnoses. Paths relative to it.
    #[serde(default)]
    pub artifacts: Vec<String>,
}

impl StepFinished {
    /// How far its state stands for itself.
    pub fn standing(&self) -> Standing {
        let not_due = |reason: &str| reason == REASON_ASKED || reason.starts_with(REASON_WHEN);
        match self.state {
            State::Skipped if self.reason.as_deref().is_some_and(not_due) => Standing::NotDue,
            _ if self.stand_in || self.checks.iter().any(|check| check.stand_in) => {
                Standing::StandIn
            }
            _ if self.repaired => Standing::Repaired,
            _ => Standing::Own,
        }
    }
}

/// What a step printed: at most 16 KiB of head and of tail for each stream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Standard output.
    #[serde(default)]
    pub stdout: Excerpt,
    /// Standard error.
    #[serde(default)]
    pub stderr: Excerpt,
    /// Both in one, as they came; what the site shows.
    #[serde(default)]
    pub both: Excerpt,
}

/// Head and tail of a text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Excerpt {
    /// The beginning; the whole text when `tail` is empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub head: String,
    /// The end, when something between was left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
    /// The whole length in bytes.
    #[serde(default)]
    pub bytes: u64,
    /// How many lines the whole has.
    #[serde(default)]
    pub lines: u64,
}

/// An undo ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UndoFinished {
    /// The step that was taken back.
    pub id: Id,
    /// `passed` or `failed` (or `timed-out`, `aborted`); never hidden.
    pub state: State,
    /// One line for people.
    pub summary: String,
    /// Why it failed.
    #[serde(default)]
    pub message: Option<String>,
    /// How long it took.
    pub duration_ms: u64,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunFinished {
    /// How many steps ended in which state (steps, not items).
    pub counts: BTreeMap<State, u32>,
    /// How many of them used a stand-in of the lab.
    #[serde(default)]
    pub stand_in: u32,
    /// The exit code of the program.
    pub exit_code: u8,
    /// How long the run took.
    #[serde(default)]
    pub duration_ms: u64,
    /// What is left behind and could not be taken back, one line each.
    #[serde(default)]
    pub left_behind: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_its_event_and_reads_back() {
        let event = Event {
            kind: EventKind::RunFinished(RunFinished {
                counts: BTreeMap::from([(State::TimedOut, 2)]),
                stand_in: 0,
                exit_code: 1,
                duration_ms: 7,
                left_behind: Vec::new(),
            }),
            at: "2026-11-24T00:00:00Z".into(),
        };
        let line = serde_json::to_string(&event).unwrap();
        assert!(
            line.starts_with(
                r#"{"event":"run-finished","counts":{"timed-out":2},"stand_in":0,"exit_code":1"#
            ),
            "{line}"
        );
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}
