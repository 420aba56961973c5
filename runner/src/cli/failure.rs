//! Why a command did not do what it was asked for: one type, told in one place, with its exit code.

use std::io;

use runbook::diagnostic::Diagnostic;

use super::shell::Shell;
use crate::causes::chain;
use crate::exit;

/// Why a command ended without its result.
#[derive(Debug)]
pub(super) enum Failure {
    /// A message with its exit code and what to do.
    Told {
        /// One of [`exit`].
        code: u8,
        /// A lowercase fragment.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The book is invalid: its findings.
    Invalid(Vec<Diagnostic>),
    /// Standard output cannot be written.
    Output(io::Error),
}

impl Failure {
    /// Wrong usage, or an ID that does not exist.
    pub(super) fn usage(message: impl Into<String>, hint: Option<String>) -> Self {
        Self::Told {
            code: exit::USAGE,
            message: message.into(),
            hint,
        }
    }

    /// The environment cannot be used.
    pub(super) fn unavailable(message: impl Into<String>, hint: Option<String>) -> Self {
        Self::Told {
            code: exit::UNAVAILABLE,
            message: message.into(),
            hint,
        }
    }

    /// The book, or a record of it, is invalid.
    pub(super) fn invalid(message: impl Into<String>, hint: Option<String>) -> Self {
        Self::Told {
            code: exit::BOOK_INVALID,
            message: message.into(),
            hint,
        }
    }

    /// Tells it; gives the exit code.
    pub(super) fn tell(&self, shell: &Shell) -> u8 {
        match self {
            Self::Told {
                code,
                message,
                hint,
            } => {
                shell.error(message, hint.as_deref());
                *code
            }
            Self::Invalid(diagnostics) => {
                shell.diagnostics(diagnostics);
                exit::BOOK_INVALID
            }
            // A reader that went away has what it wanted.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => exit::OK,
            Self::Output(error) => {
                shell.error(&format!("cannot write standard output: {error}"), None);
                exit::UNAVAILABLE
            }
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<crate::history::HistoryError> for Failure {
    fn from(error: crate::history::HistoryError) -> Self {
        let message = chain(&error);
        if error.is_invalid() {
            let hint = "the records were written by a newer program, or edited: update `runbook`, or move the file away";
            Self::invalid(message, Some(hint.into()))
        } else {
            Self::unavailable(message, None)
        }
    }
}
