//! Why something did not come to its end.

use runbook_proxmox::{Error, ErrorKind};

use crate::action::{Ended, Failure};

/// Why something did not come to its end.
#[derive(Debug)]
pub struct Stop {
    /// How the step ends.
    pub ended: Ended,
    /// A remark that goes with the result.
    pub note: Option<String>,
    /// The guest, snapshot or storage that is not there.
    pub absent: bool,
    /// A guest that was to be made found its number taken: somebody was faster.
    pub race_lost: bool,
    /// A change that did not begin: nothing is different from before.
    pub untouched: bool,
}

/// What came of it, or why it stopped.
pub type Done<T> = Result<T, Stop>;

impl Stop {
    /// A failure with what to do; asking again is of no use.
    pub fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        let mut failure = Failure::new(message).hint(Some(hint.into()));
        failure.refused = true;
        Ended::Failed(failure).into()
    }

    /// What a step is about is not there.
    pub fn absent(message: impl Into<String>) -> Self {
        Self {
            ended: Ended::Failed(Failure::new(message)),
            absent: true,
            ..Self::from(Ended::Done)
        }
    }

    /// The same of a change that did not begin.
    pub fn before_it_began(mut self) -> Self {
        self.untouched = true;
        self
    }

    /// For people.
    pub fn message(&self) -> String {
        match &self.ended {
            Ended::Failed(failure) | Ended::Unavailable(failure) => failure.message.clone(),
            Ended::TimedOut(why) | Ended::Missing(why) | Ended::Kept(why) => why.clone(),
            Ended::Aborted => self.note.clone().unwrap_or_else(|| "stopped".into()),
            Ended::Done => String::new(),
        }
    }
}

impl From<Ended> for Stop {
    fn from(ended: Ended) -> Self {
        Self {
            ended,
            note: None,
            absent: false,
            race_lost: false,
            untouched: false,
        }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Ended::Failed(failure).into()
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        let mut failure = Failure::new(error.to_string()).hint(error.hint());
        failure.refused = error.kind() == ErrorKind::Refused;
        if error.is_race_lost() {
            return Self {
                race_lost: true,
                ..failure.into()
            };
        }
        match (&error, error.kind()) {
            (Error::Deadline { .. }, _) => Ended::TimedOut(failure.message).into(),
            (Error::ProxyTimeout(_) | Error::ProxyFailed { .. }, _)
            | (_, ErrorKind::Unavailable) => Ended::Unavailable(failure).into(),
            _ => Ended::Failed(failure).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_cannot_be_used_for_is_told_apart_from_a_failure() {
        let ended = |error: Error| Stop::from(error).ended;
        assert!(matches!(
            ended(Error::Unauthorized("x".into())),
            Ended::Unavailable(_)
        ));
        assert!(matches!(
            ended(Error::ProxyTimeout("x".into())),
            Ended::Unavailable(_)
        ));
        let forbidden = Error::Forbidden {
            message: "Permission check failed (/vms/130, VM.Audit)".into(),
            needs: Some(("/vms/130".into(), vec!["VM.Audit".into()])),
        };
        let Ended::Failed(failure) = ended(forbidden) else {
            panic!("no failure");
        };
        assert!(failure.refused);
        assert_eq!(failure.hint.as_deref(), Some("grant VM.Audit on /vms/130"));
        assert!(matches!(
            ended(Error::Deadline {
                what: "x".into(),
                seconds: 1
            }),
            Ended::TimedOut(_)
        ));
    }
}
