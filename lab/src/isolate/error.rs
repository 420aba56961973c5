//! Why something of the isolated place cannot be done.

use std::fmt;
use std::io;

/// The machine does not allow isolation: why, and what allows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("isolation is not possible here: {reason}")]
pub struct Forbidden {
    /// What the kernel refuses, and which setting of the machine is the cause.
    pub reason: String,
    /// What to do.
    pub hint: String,
}

/// What cannot be done in the isolated place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The machine does not allow isolation.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The process that keeps the isolated place cannot be started.
    #[error("the isolated place cannot be started")]
    Start(#[source] io::Error),
    /// It has ended, or the host in it is down.
    #[error("{what} has ended")]
    Ended {
        /// What: the isolated place, or a host of it.
        what: String,
    },
    /// There was no answer in time.
    #[error("{what}: no answer within {seconds} s")]
    Timeout {
        /// What was asked for.
        what: &'static str,
        /// How long it was waited for.
        seconds: u64,
    },
    /// It was refused inside.
    #[error("{what}")]
    Inside {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// The wish itself cannot be served: too long, a zero byte.
    #[error("{what}")]
    Wish {
        /// What is wrong with it.
        what: String,
    },
}

impl Error {
    /// What the system said, where it said something.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Inside { source, .. } | Self::Start(source) => Some(source.kind()),
            _ => None,
        }
    }
}

/// A failure on the way from inside: what was tried and the system's number for what went wrong.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Failure {
    pub(super) what: String,
    pub(super) errno: i32,
}

impl Failure {
    pub(super) fn new(what: impl fmt::Display, error: &io::Error) -> Self {
        Self {
            what: what.to_string(),
            errno: error
                .raw_os_error()
                .unwrap_or(rustix::io::Errno::IO.raw_os_error()),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Inside {
            what: failure.what,
            source: io::Error::from_raw_os_error(failure.errno),
        }
    }
}
