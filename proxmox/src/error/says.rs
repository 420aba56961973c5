//! States that only a text tells apart: there is no code for them.

use super::Error;

impl Error {
    fn says(&self, fragments: &[&str]) -> bool {
        let message = match self {
            Self::Refused { message, .. } | Self::Task(message) => message.as_str(),
            Self::Parameters { errors, .. } => {
                return errors
                    .values()
                    .any(|error| fragments.iter().any(|fragment| error.contains(fragment)));
            }
            _ => return false,
        };
        fragments.iter().any(|fragment| message.contains(fragment))
    }

    /// There is no such guest, storage or snapshot.
    pub fn is_not_found(&self) -> bool {
        self.says(&[
            "does not exist",
            "unable to find configuration file",
            "no such ",
        ])
    }

    /// The number of a guest is taken.
    pub fn is_taken(&self) -> bool {
        self.says(&["already exists"])
    }

    /// A task that was to create a guest found its number taken: somebody was faster. A disk that exists already is none of it.
    pub fn is_race_lost(&self) -> bool {
        matches!(self, Self::Task(_))
            && self.says(&[" already exists on node '", "config file already exists"])
    }

    /// The guest is locked by something that goes on, or was left behind by something that did not end.
    pub fn is_locked(&self) -> bool {
        self.says(&[" is locked ("])
    }

    /// A lock was not to be had in time: nothing was done.
    pub fn is_lock_timeout(&self) -> bool {
        self.says(&["got timeout", "got lock request timeout"]) && self.says(&["lock"])
    }

    /// The configuration was changed by somebody else since it was read.
    pub fn is_digest_conflict(&self) -> bool {
        self.says(&[
            "detected modified configuration",
            "checksum mismatch (file change",
        ])
    }

    /// The guest runs already.
    pub fn is_running(&self) -> bool {
        self.says(&["already running", "is running"])
    }

    /// The guest does not run.
    pub fn is_not_running(&self) -> bool {
        self.says(&["not running"]) && !self.is_no_agent()
    }

    /// The guest agent does not answer (yet), or is not configured.
    pub fn is_no_agent(&self) -> bool {
        self.says(&[
            "QEMU guest agent is not running",
            "No QEMU guest agent configured",
        ])
    }

    /// Only `root@pam` itself may do it: a login is needed instead of a token (a token of `root@pam` is not `root@pam`).
    pub fn needs_root(&self) -> bool {
        let told = |text: &str| {
            let text = text.to_ascii_lowercase();
            text.contains("allowed for root@pam")
                || text.contains("only root can")
                || text.contains("only root may")
                || text.contains("not available with api token")
        };
        match self {
            Self::Refused { message, .. } | Self::Forbidden { message, .. } => told(message),
            Self::Parameters { errors, .. } => errors.values().any(|why| told(why)),
            _ => false,
        }
    }

    /// The agent does not answer now, but may later.
    pub fn is_agent_silent(&self) -> bool {
        self.says(&["QEMU guest agent is not running"])
            || self.says(&["got timeout"]) && self.says(&["guest-"])
    }

    /// Whether the request certainly was not carried out.
    pub(crate) fn is_undone(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NodeDown(_)) || self.is_lock_timeout()
    }

    /// Whether an idempotent request is worth another try.
    pub(crate) fn is_passing(&self) -> bool {
        // 599 is what asking again does not mend, such as a broken URL.
        self.is_undone()
            || matches!(
                self,
                Self::ProxyTimeout(_)
                    | Self::Lost(_)
                    | Self::ProxyFailed {
                        status: 597 | 598,
                        ..
                    }
            )
    }
}
