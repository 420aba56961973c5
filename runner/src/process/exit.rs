//! What happened to a child: a plain value.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use super::output::Output;

/// Why a child is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, or by a signal that was not ours.
    Itself,
    /// Its time was over and it was ended.
    TimedOut,
    /// Somebody asked to stop and it was ended.
    Cancelled,
}

/// How the leader of the tree ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl From<ExitStatus> for Status {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Code(status.into_raw()),
        }
    }
}

/// What happened to a child.
#[derive(Debug)]
pub struct Exit {
    /// Why it is no more.
    pub end: End,
    /// How its leader ended; `None` only when even KILL did not end it in time.
    pub status: Option<Status>,
    /// From its start until its leader was gone.
    pub duration: Duration,
    /// What it printed.
    pub output: Output,
    /// How many processes it had left behind when its leader ended by itself; they were ended.
    pub leftovers: usize,
    /// Processes of its tree that could not be ended (another user's, or stuck in the kernel).
    pub survivors: Vec<i32>,
}

impl Exit {
    /// The exit code as a shell reports it: 128 and the signal's number for a signal.
    pub fn code(&self) -> Option<i32> {
        self.status.map(|status| match status {
            Status::Code(code) => code,
            Status::Signal(signal) => 128 + signal,
        })
    }

    /// Whether it ended by itself with exit code 0.
    pub fn is_success(&self) -> bool {
        self.end == End::Itself && self.status == Some(Status::Code(0))
    }
}
