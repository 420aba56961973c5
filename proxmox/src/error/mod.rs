//! Why a call failed, told apart by what can be done about it.
//!
//! The server says it in three places: the body's `message` (8.3 and later), its `errors` per parameter, and the reason
//! phrase of the status line, which is all that older servers send.

mod answer;
mod says;

use std::collections::BTreeMap;

/// Shorter secrets are not looked for in texts.
const SECRET_BYTES_MIN: usize = 4;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// 401: not who one says, or no more.
    #[error("the server does not accept the credentials: {0}")]
    Unauthorized(String),
    /// The account wants a second factor that was not given.
    #[error("`{user}` has a second factor; a token needs none")]
    SecondFactor {
        /// The account.
        user: String,
    },
    /// 403: the rights are missing.
    #[error("not allowed: {message}")]
    Forbidden {
        /// What the server says.
        message: String,
        /// The object's path and the privileges of which one is needed, where the server says them.
        needs: Option<(String, Vec<String>)>,
    },
    /// 400: parameters that are not accepted.
    #[error("{}", parameters(.message, .errors))]
    Parameters {
        /// What the server says of the whole.
        message: String,
        /// What it says of each parameter.
        errors: BTreeMap<String, String>,
    },
    /// 501: no such path or verb. A wrong path is this, never 404.
    #[error("the server does not have this call: {0}")]
    NotImplemented(String),
    /// 500 and whatever else: the server says why.
    #[error("{message}")]
    Refused {
        /// The status.
        status: u16,
        /// What the server says.
        message: String,
        /// What it says of each parameter, if anything.
        errors: BTreeMap<String, String>,
    },
    /// 595: the node cannot be reached from the one that was asked.
    #[error("the node cannot be reached from the server that was asked: {0}")]
    NodeDown(String),
    /// 596: the proxy gave up after 30 s, or lost the connection; the work may have been done all the same.
    #[error(
        "the server gave up waiting for its own node ({0}); what was asked for may have been done"
    )]
    ProxyTimeout(String),
    /// 597, 598, 599: the proxy failed otherwise; 599 is mostly no use to ask again. The work may have been done all the same.
    #[error(
        "the server's proxy failed ({status} {message}); what was asked for may have been done"
    )]
    ProxyFailed {
        /// The status.
        status: u16,
        /// What the server says.
        message: String,
    },
    /// The certificate is trusted by nothing that was given.
    #[error(
        "the certificate of `{url}` is not trusted ({reason}); its SHA-256 fingerprint is {fingerprint}"
    )]
    Untrusted {
        /// Where.
        url: String,
        /// Why.
        reason: String,
        /// What it is: `AA:BB:…`.
        fingerprint: String,
    },
    /// Nobody answers there: refused, no route, unknown name.
    #[error("`{url}` cannot be reached: {why}")]
    Unreachable {
        /// Where.
        url: String,
        /// What the system says.
        why: String,
    },
    /// The connection was lost before the answer was there: what was asked for may have been done.
    #[error(
        "the connection was lost before the answer came: {0}; what was asked for may have been done"
    )]
    Lost(String),
    /// No answer in time: what was asked for may have been done.
    #[error("no answer within {seconds} s; what was asked for may have been done")]
    Timeout {
        /// How long was waited.
        seconds: u64,
    },
    /// An answer that cannot be understood.
    #[error("an answer that cannot be understood: {0}")]
    Answer(String),
    /// What was asked for makes no sense before it is sent: a URL, a certificate, a fingerprint.
    #[error("{0}")]
    Setting(String),
    /// A task ended in an error.
    #[error("the task failed: {0}")]
    Task(String),
    /// The time for waiting was over.
    #[error("{what} did not end within {seconds} s")]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long was waited.
        seconds: u64,
    },
}

/// What an error means for who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The server cannot be used: unreachable, untrusted, credentials, node down.
    Unavailable,
    /// The request was refused: asking again is of no use.
    Refused,
    /// It was carried out or refused by the state of things, which may change.
    Failed,
    /// It is not known whether it was carried out.
    Unknown,
}

impl Error {
    /// What it means for who asked.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unauthorized(_)
            | Self::SecondFactor { .. }
            | Self::NodeDown(_)
            | Self::Untrusted { .. }
            | Self::Unreachable { .. }
            | Self::Setting(_) => ErrorKind::Unavailable,
            Self::Forbidden { .. } | Self::Parameters { .. } | Self::NotImplemented(_) => {
                ErrorKind::Refused
            }
            Self::ProxyTimeout(_)
            | Self::ProxyFailed { .. }
            | Self::Lost(_)
            | Self::Timeout { .. } => ErrorKind::Unknown,
            Self::Refused { .. } | Self::Answer(_) | Self::Task(_) | Self::Deadline { .. } => {
                ErrorKind::Failed
            }
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Untrusted { fingerprint, .. } => format!(
                "compare it with what the node shows under Certificates; then write `fingerprint: \"{fingerprint}\"`, or `ca:` with the cluster's /etc/pve/pve-root-ca.pem"
            ),
            Self::SecondFactor { .. } => {
                "use an API token, or give one TOTP code with the login".to_owned()
            }
            Self::Unauthorized(_) => {
                "check the token's ID and secret, or the login's user and password, and that none of them is expired or disabled".to_owned()
            }
            Self::Forbidden { needs: Some((path, privileges)), .. } => {
                format!("grant {} on {path}", privileges.join(" or "))
            }
            Self::NodeDown(_) => "the node is off, or its name is misspelt".to_owned(),
            Self::ProxyTimeout(_)
            | Self::ProxyFailed { .. }
            | Self::Lost(_)
            | Self::Timeout { .. } => {
                "look at the state before asking again".to_owned()
            }
            error if error.needs_root() => {
                "only `root@pam` itself may do this, which no token is: give the profile a `login: {user: root@pam, password: SECRET}` beside its token".to_owned()
            }
            error if error.is_locked() => {
                "something goes on with it, or ended before its end: look at its tasks; when none runs, `pct unlock` or `qm unlock` on its node".to_owned()
            }
            _ => return None,
        })
    }

    /// The same without what is secret, in the forms in which it may have come back.
    pub(crate) fn without<'a>(mut self, secrets: impl IntoIterator<Item = &'a str>) -> Self {
        for secret in secrets {
            // Shorter ones would tear up innocent words.
            if secret.len() < SECRET_BYTES_MIN {
                continue;
            }
            for form in [secret.to_owned(), crate::request::segment(secret)] {
                self.each_text(|text| {
                    if text.contains(&form) {
                        *text = text.replace(&form, "(secret)");
                    }
                });
            }
        }
        self
    }

    fn each_text(&mut self, mut change: impl FnMut(&mut String)) {
        match self {
            Self::Unauthorized(text)
            | Self::NotImplemented(text)
            | Self::NodeDown(text)
            | Self::ProxyTimeout(text)
            | Self::Lost(text)
            | Self::Answer(text)
            | Self::Task(text) => change(text),
            Self::Forbidden { message, .. } | Self::ProxyFailed { message, .. } => change(message),
            Self::Parameters { message, errors }
            | Self::Refused {
                message, errors, ..
            } => {
                change(message);
                errors.values_mut().for_each(change);
            }
            _ => {}
        }
    }
}

fn parameters(message: &str, errors: &BTreeMap<String, String>) -> String {
    if errors.is_empty() {
        return message.to_owned();
    }
    let each = errors.iter().map(|(name, why)| format!("`{name}`: {why}"));
    each.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Request;

    fn of(status: u16, reason: &str, body: &str) -> Error {
        Error::of_answer(&Request::get("/x"), status, reason, body.as_bytes())
    }

    #[test]
    fn the_body_says_it_before_the_reason_phrase() {
        let body = r#"{"data":null,"message":"CT 130 not running\n"}"#;
        assert_eq!(of(500, "CT 130", body).to_string(), "CT 130 not running");
        assert_eq!(
            of(500, "CT 130 not running", "").to_string(),
            "CT 130 not running"
        );
        assert!(of(500, "CT 130 not running", "").is_not_running());
    }

    #[test]
    fn every_status_is_an_error_of_its_own() {
        let kinds = |status| {
            let error = of(status, "why", "");
            (error.kind(), error.is_undone(), error.is_passing(), error)
        };
        use ErrorKind::{Failed, Refused, Unavailable, Unknown};
        for (status, kind, undone, passing) in [
            (400, Refused, false, false),
            (401, Unavailable, false, false),
            (403, Refused, false, false),
            (500, Failed, false, false),
            (501, Refused, false, false),
            (506, Failed, false, false),
            (595, Unavailable, true, true),
            (596, Unknown, false, true),
            (597, Unknown, false, true),
            (599, Unknown, false, false),
        ] {
            let (is, was_undone, may_pass, error) = kinds(status);
            assert_eq!(
                (is, was_undone, may_pass),
                (kind, undone, passing),
                "{status}: {error:?}"
            );
        }
        let mut variants: Vec<_> = [400, 401, 403, 500, 501, 595, 596, 599]
            .into_iter()
            .map(|status| std::mem::discriminant(&kinds(status).3))
            .collect();
        let count = variants.len();
        variants.dedup();
        assert_eq!(variants.len(), count);
    }

    #[test]
    fn every_parameter_is_named() {
        let body = r#"{"data":null,"message":"Parameter verification failed.\n","errors":{"vmid":"type check","cores":"too many"}}"#;
        let error = of(400, "Parameter verification failed.", body);
        assert_eq!(error.to_string(), "`cores`: too many; `vmid`: type check");
        assert_eq!(error.kind(), ErrorKind::Refused);
    }

    #[test]
    fn a_secret_that_comes_back_is_taken_out_in_both_forms() {
        let error = of(500, "got 'p w!rd' and 'p%20w%21rd', not 'abc'", "");
        let error = error.without(["p w!rd", "abc"]);
        assert_eq!(
            error.to_string(),
            "got '(secret)' and '(secret)', not 'abc'"
        );
    }

    #[test]
    fn what_only_root_may_is_told_apart() {
        let text = "Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)";
        assert!(of(403, text, "").needs_root());
        assert!(
            of(
                500,
                "only root can set 'hostpci0' config for non-mapped devices",
                ""
            )
            .needs_root()
        );
        assert!(!of(403, "Permission check failed (/vms/200, VM.Audit)", "").needs_root());
    }

    #[test]
    fn the_missing_right_is_named() {
        let error = of(
            403,
            "Permission check failed (/vms/200, VM.Audit|VM.Config.Disk)",
            "",
        );
        assert_eq!(
            error.hint().as_deref(),
            Some("grant VM.Audit or VM.Config.Disk on /vms/200")
        );
    }

    #[test]
    fn states_are_told_apart_by_their_texts() {
        assert!(of(500, "CT 130 already exists on node 'pve1'", "").is_taken());
        let task = |text: &str| Error::Task(text.to_owned());
        for lost in [
            "unable to create CT 130 - CT 130 already exists on node 'pve1'",
            "unable to create VM 200 - VM 200 already exists on node 'pve2'",
            "unable to create VM 210: config file already exists",
        ] {
            assert!(task(lost).is_race_lost(), "{lost}");
            assert!(!of(500, lost, "").is_race_lost(), "not begun: it is taken");
        }
        let disk = "lvcreate 'pve/vm-130-disk-0' error: Logical Volume \"vm-130-disk-0\" already exists in volume group \"pve\"";
        assert!(!task(disk).is_race_lost());
        assert!(of(500, "CT is locked (backup)", "").is_locked());
        let lock = of(
            500,
            "can't lock file '/run/lock/lxc/pve-config-130.lock' - got timeout",
            "",
        );
        assert!(lock.is_lock_timeout() && lock.is_passing());
        assert!(of(596, "Connection timed out", "").is_passing());
        assert_eq!(
            of(596, "Connection timed out", "").kind(),
            ErrorKind::Unknown
        );
        assert!(!of(500, "VM quit/powerdown failed - got timeout", "").is_lock_timeout());
        assert!(
            of(
                500,
                "Configuration file 'nodes/pve1/lxc/130.conf' does not exist",
                ""
            )
            .is_not_found()
        );
    }
}
