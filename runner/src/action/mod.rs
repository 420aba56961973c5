//! What actions do, one file each; here is what they have in common.
//!
//! An action gets values that are rendered and typed, acts once, and reports; whether that is a failure, what is tried again
//! and what is told, is decided in [`crate::execute`].

pub mod accounts;
pub mod difference;
pub mod elsewhere;
pub mod file;
pub mod git;
pub mod kube;
pub mod line;
pub mod package;
pub mod pve;
pub mod reboot;
pub mod script;
pub mod service;
pub mod shell;

use runbook::result::Fields;

use crate::process;

/// What one execution of an action gave.
#[derive(Debug)]
pub struct Report {
    /// The fields of its result.
    pub fields: Fields,
    /// How it ended.
    pub end: Ended,
    /// What a program printed.
    pub output: Option<process::Output>,
    /// Whether that is as it was printed and must be redacted yet.
    pub raw: bool,
    /// What was run or asked for, for people.
    pub command: Option<String>,
    /// What was changed, for people.
    pub diff: Option<String>,
    /// A remark that goes with the result.
    pub note: Option<String>,
    /// Whether a stand-in of the lab answered, or would have.
    pub stand_in: bool,
    /// Whether what is not there may come: a program that does not listen yet.
    pub may_come: bool,
    /// Fields that have only a part of what there was: nothing follows from what they lack.
    pub cut: &'static [&'static str],
    /// Texts that nothing may show, though an expectation may be about them: what a Secret holds.
    pub hidden: Vec<String>,
}

/// How an execution ended, before expectations are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// There is a result.
    Done,
    /// There is none.
    Failed(Failure),
    /// Its time was over.
    TimedOut(String),
    /// The run was stopped.
    Aborted,
    /// The place where it runs cannot be used.
    Unavailable(Failure),
    /// The lab does not have what it needs: a program, a service.
    Missing(String),
    /// The lab does not let it happen.
    Kept(String),
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For people.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Whether asking again is of no use: a request that was refused.
    pub refused: bool,
}

impl Failure {
    /// A failure with its message.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            refused: false,
        }
    }

    /// The same with what to do.
    #[must_use]
    pub fn hint(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hint = hint.map(Into::into);
        self
    }
}

impl Report {
    /// A report with this end and nothing else.
    pub fn of(end: Ended) -> Self {
        Self {
            fields: Fields::new(),
            end,
            output: None,
            raw: false,
            command: None,
            diff: None,
            note: None,
            stand_in: false,
            may_come: false,
            cut: &[],
            hidden: Vec::new(),
        }
    }

    /// A report of a failure.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::of(Ended::Failed(Failure::new(message)))
    }

    /// The same report with the command that people see.
    #[must_use]
    pub fn command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }
}
