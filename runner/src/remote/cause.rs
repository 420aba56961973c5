//! Why another machine could not be used: what OpenSSH, `sudo` and `pct` say, told apart.

use std::sync::LazyLock;

use regex::Regex;

use super::program::ScriptError;
use crate::process::ProcessError;

/// Why nothing could be executed on another machine, or why its end is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// It could not be begun.
    #[error("{name} cannot be used: {cause}")]
    Unavailable {
        /// Where: `lxc/web`.
        name: String,
        /// Why.
        cause: Cause,
    },
    /// It began, and the connection was lost before its end was known.
    #[error("the connection to {name} was lost while it ran{}", because(.said))]
    Lost {
        /// Where.
        name: String,
        /// What OpenSSH says.
        said: String,
    },
    /// What is to be executed cannot be told to a shell.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// OpenSSH's client cannot be started here.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The time was over or somebody asked to stop before it began.
    #[error("{name} did not answer in time")]
    TimedOut {
        /// Where.
        name: String,
    },
    /// Somebody asked to stop before it began.
    #[error("stopped")]
    Stopped,
}

impl RemoteError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unavailable { cause, .. } => cause.hint(),
            Self::Lost { .. } => {
                Some("how far it came is not known; what it had started was ended".into())
            }
            Self::Process(ProcessError::NotFound { .. }) => Some("install OpenSSH's client".into()),
            Self::Process(_) | Self::Script(_) | Self::TimedOut { .. } | Self::Stopped => None,
        }
    }

    /// Whether it was the machine that is not there, and not the guest on it or what was asked.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Lost { .. }
                | Self::TimedOut { .. }
                | Self::Unavailable {
                    cause: Cause::Unreachable { .. } | Cause::Closed { .. },
                    ..
                }
        )
    }
}

fn because(said: &str) -> String {
    if said.is_empty() {
        String::new()
    } else {
        format!(": {said}")
    }
}

/// Why a machine cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// Its host key is another one than before.
    #[error("its host key is not the one that is known{}", place(.known))]
    HostKeyChanged {
        /// The line of the known key: `FILE:LINE`.
        known: Option<String>,
    },
    /// Its host key is not known.
    #[error("its host key is not known")]
    HostKeyUnknown,
    /// It does not accept any of our keys.
    #[error("it does not accept our key ({said})")]
    AuthRefused {
        /// What OpenSSH says.
        said: String,
    },
    /// Its name has no address.
    #[error("its name is not known ({said})")]
    NameUnknown {
        /// What OpenSSH says.
        said: String,
    },
    /// Nothing answers.
    #[error("it is not reachable ({said})")]
    Unreachable {
        /// What OpenSSH says.
        said: String,
    },
    /// It closed the connection.
    #[error("it closed the connection ({said})")]
    Closed {
        /// What OpenSSH says.
        said: String,
    },
    /// `sudo -n` is not there or wants a password.
    #[error("`sudo -n` does not run there ({said})")]
    Sudo {
        /// What it says.
        said: String,
    },
    /// The container does not run, or is not there.
    #[error("{said}")]
    Guest {
        /// What `pct` or the agent says.
        said: String,
    },
    /// The image of a container has no shell.
    #[error("its image has no `sh` ({said})")]
    NoShell {
        /// What the server says.
        said: String,
    },
    /// Who starts programs in a container cannot be asked, or refuses.
    #[error("{said}")]
    Api {
        /// What the client says.
        said: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Something else.
    #[error("{said}")]
    Other {
        /// What was printed.
        said: String,
    },
}

fn place(known: &Option<String>) -> String {
    known
        .as_ref()
        .map(|known| format!(" ({known})"))
        .unwrap_or_default()
}

impl Cause {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::HostKeyChanged { known: Some(known) } => {
                let (file, line) = known.rsplit_once(':').unwrap_or((known, "N"));
                return Some(format!(
                    "was it reinstalled? then remove line {line} of {file} and connect once by hand; else somebody answers in its place"
                ));
            }
            Self::HostKeyChanged { known: None } => {
                "was it reinstalled? then remove its line from known_hosts and connect once by hand"
            }
            Self::HostKeyUnknown => {
                "connect once by hand with `ssh` and compare the fingerprint, or add the key to known_hosts"
            }
            Self::AuthRefused { .. } => {
                "load the key into the agent, or name it in the SSH configuration (`IdentityFile`); passwords are never asked for"
            }
            Self::NameUnknown { .. } => "give it an `address` in the inventory",
            Self::Unreachable { .. } => "is it up, and is the `address` of the inventory its own?",
            Self::Sudo { .. } => {
                "allow its user to run programs without a password (`NOPASSWD` in sudoers)"
            }
            Self::Guest { said } if said.contains("not running") => "start it first",
            Self::NoShell { .. } => {
                "scripts, edits and probes need a shell: take an image that has one, or run a `job`"
            }
            Self::Api { hint, .. } => return hint.clone(),
            Self::Closed { .. } | Self::Guest { .. } | Self::Other { .. } => return None,
        };
        Some(text.to_owned())
    }

    /// What OpenSSH's messages, and what was printed before the program, mean.
    pub(super) fn of(log: &str, preamble: &str) -> Self {
        let both = format!("{log}\n{preamble}");
        let line = |pattern: &LazyLock<Option<Regex>>| {
            let found = pattern.as_ref()?.find(&both)?;
            Some(found.as_str().trim().to_owned())
        };
        if both.contains("REMOTE HOST IDENTIFICATION HAS CHANGED")
            || both.contains("host key for") && both.contains("has changed")
        {
            let known = OFFENDING
                .as_ref()
                .and_then(|offending| offending.captures(&both))
                .map(|found| found[1].to_owned());
            return Self::HostKeyChanged { known };
        }
        if let Some(said) = line(&NAME) {
            return Self::NameUnknown { said };
        }
        if let Some(said) = line(&CONNECT) {
            return Self::Unreachable { said };
        }
        if both.contains("Host key verification failed") || both.contains("host key is known for") {
            return Self::HostKeyUnknown;
        }
        if let Some(said) = line(&AUTH) {
            return Self::AuthRefused { said };
        }
        if let Some(said) = line(&CLOSED) {
            return Self::Closed { said };
        }
        if let Some(said) = line(&SUDO) {
            return Self::Sudo { said };
        }
        if let Some(said) = line(&GUEST) {
            return Self::Guest { said };
        }
        let said = both
            .lines()
            .map(str::trim)
            .rfind(|line| !line.is_empty())
            .unwrap_or("it ended without a word");
        Self::Other {
            said: said.to_owned(),
        }
    }
}

macro_rules! pattern {
    ($name:ident, $regex:literal) => {
        static $name: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new($regex).ok());
    };
}

pattern!(OFFENDING, r"(?m)Offending .*key in (.+:\d+)\s*$");
pattern!(NAME, r"(?m)Could not resolve hostname.*$");
pattern!(
    CONNECT,
    r"(?m)(connect to host .*: (Connection refused|Connection timed out|Operation timed out|No route to host|Network is unreachable|Host is down|Permission denied)|Connection timed out during banner exchange|Timeout, server .* not responding.*|Connection to .* timed out)\s*$"
);
pattern!(
    AUTH,
    r"(?m)(\S+: )?(Permission denied \(.*\)\.?|Too many authentication failures.*|Permission denied, please try again.*)\s*$"
);
pattern!(
    CLOSED,
    r"(?m)(kex_exchange_identification: .*|Connection (closed|reset) by .*|client_loop: send disconnect: .*|ssh_dispatch_run_fatal: .*|banner exchange: .*|Received disconnect from .*|Disconnected from .*)$"
);
pattern!(SUDO, r"(?m)(\S+: )?(\d+: )?(exec: )?sudo: .*$");
pattern!(
    GUEST,
    r"(?m)(container '?\d+'? not running!?|Configuration file .* does not exist|.*exec: pct: not found|.*pct: (command )?not found|CT \d+ .*)$"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_openssh_says_is_told_apart() {
        let changed = "@@@\r\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\nOffending ED25519 key in /root/.ssh/known_hosts:7\r\nHost key verification failed.\r\n";
        assert_eq!(
            Cause::of(changed, ""),
            Cause::HostKeyChanged {
                known: Some("/root/.ssh/known_hosts:7".into())
            }
        );
        for (log, preamble, start) in [
            (
                "No ED25519 host key is known for pve9 and you have requested strict checking.\r\nHost key verification failed.\r\n",
                "",
                "its host key is not known",
            ),
            (
                "ssh: connect to host 192.0.2.1 port 22: Connection timed out\r\n",
                "",
                "it is not reachable (connect to host 192.0.2.1",
            ),
            (
                "ssh: connect to host 127.0.0.1 port 1: Connection refused\r\n",
                "",
                "it is not reachable",
            ),
            (
                "ssh: Could not resolve hostname nowhere.invalid: Name or service not known\r\n",
                "",
                "its name is not known",
            ),
            (
                "root@h: Permission denied (publickey).\r\n",
                "",
                "it does not accept our key (root@h: Permission denied (publickey).)",
            ),
            (
                "kex_exchange_identification: Connection closed by remote host\r\n",
                "",
                "it closed the connection",
            ),
            (
                "",
                "sudo: a password is required\n",
                "`sudo -n` does not run there (sudo: a password is required)",
            ),
            (
                "",
                "sh: 1: exec: sudo: not found\n",
                "`sudo -n` does not run there",
            ),
            (
                "",
                "bash: line 1: exec: sudo: not found\n",
                "`sudo -n` does not run there",
            ),
            (
                "",
                "container '104' not running!\n",
                "container '104' not running!",
            ),
            (
                "",
                "sh: 1: exec: pct: not found\n",
                "sh: 1: exec: pct: not found",
            ),
            ("", "", "it ended without a word"),
        ] {
            let said = Cause::of(log, preamble).to_string();
            assert!(said.starts_with(start), "{said}");
        }
    }

    #[test]
    fn a_changed_host_key_says_which_line() {
        let cause = Cause::HostKeyChanged {
            known: Some("/root/.ssh/known_hosts:7".into()),
        };
        assert_eq!(
            cause.to_string(),
            "its host key is not the one that is known (/root/.ssh/known_hosts:7)"
        );
        assert!(
            cause
                .hint()
                .is_some_and(|hint| hint.contains("remove line 7 of /root/.ssh/known_hosts"))
        );
    }
}
