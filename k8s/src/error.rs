//! Why a call failed, told apart by what can be done about it. Each error carries the server's own message.
//!
//! The server answers a failure with a `Status`: `code`, `reason`, `message` and `details` (API conventions, "Response Status
//! Kind"). Reading one is in [`crate::status`]; here is only what it means.

use std::fmt;
use std::time::Duration;

use crate::standing::Evidence;

/// Why a call failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What was given makes no sense before anything is sent: a kubeconfig, a context, a certificate, a name.
    #[error("{0}")]
    Setting(String),
    /// The credentials could not be got: an exec plugin or an identity provider failed.
    #[error("credentials could not be got: {0}")]
    Credentials(String),
    /// Nobody answers there: refused, no route, unknown name.
    #[error("`{url}` cannot be reached: {why}")]
    Unreachable {
        /// Where.
        url: String,
        /// What the system says.
        why: String,
    },
    /// The certificate is trusted by nothing that was given.
    #[error("the certificate of `{url}` is not trusted: {why}")]
    Untrusted {
        /// Where.
        url: String,
        /// Why.
        why: String,
    },
    /// 401: the credentials are expired, revoked or wrong.
    #[error("the server does not accept the credentials: {0}")]
    Unauthorized(String),
    /// 403: RBAC or an admission plugin says no.
    #[error("not allowed: {}", .0.message)]
    Forbidden(Box<Denied>),
    /// 404: no such object, or the namespace of what was asked for is not there.
    #[error("{message}")]
    NotFound {
        /// The resource and name that is missing, `configmaps/web`.
        what: String,
        /// What the server says.
        message: String,
    },
    /// The server has no such kind: its CRD or its API is not installed.
    #[error("the server has no kind `{kind}`: {message}")]
    NoSuchKind {
        /// `example.com/v1 Widget`, or the word that was asked for.
        kind: String,
        /// What the server says.
        message: String,
    },
    /// 409: it is there already.
    #[error("{message}")]
    Exists {
        /// Which.
        what: String,
        /// What the server says.
        message: String,
    },
    /// 409: other field managers own fields with other values.
    #[error("{what}: {}", conflicts_text(.conflicts, .message))]
    Conflict {
        /// Which object.
        what: String,
        /// Who owns which field.
        conflicts: Vec<FieldConflict>,
        /// What the server says.
        message: String,
    },
    /// 409: the object has changed meanwhile, or is not the one that was meant.
    #[error("{message}")]
    Stale {
        /// Which.
        what: String,
        /// What the server says.
        message: String,
    },
    /// 422: a field that cannot be changed after creation.
    #[error("{what}: {message}")]
    Immutable {
        /// Which object.
        what: String,
        /// The fields, `spec.selector`.
        fields: Vec<String>,
        /// What the server says.
        message: String,
    },
    /// 403: a resource quota is used up.
    #[error("{message}")]
    Quota {
        /// Which object was to be created.
        what: String,
        /// What the server says.
        message: String,
    },
    /// 400, 413, 422: the object is not valid; unknown fields too.
    #[error("{what}: {message}")]
    Invalid {
        /// Which object.
        what: String,
        /// What the server says of each field.
        causes: Vec<Cause>,
        /// What it says of the whole.
        message: String,
    },
    /// 403: the namespace is being deleted, nothing can be created in it.
    #[error("{message}")]
    Terminating {
        /// The namespace.
        namespace: String,
        /// What the server says.
        message: String,
    },
    /// 429: too many requests, after all repetitions.
    #[error("the server throttles: {message}")]
    Throttled {
        /// When it wants to be asked again.
        after: Option<Duration>,
        /// What it says.
        message: String,
    },
    /// 410: a resource version or continuation that the server has forgotten.
    #[error("the server no longer knows this version: {0}")]
    Expired(String),
    /// 500 and whatever else: the server says why.
    #[error("the server failed ({status}): {message}")]
    Server {
        /// The HTTP status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The connection was lost before the answer was there: what was asked for may have been done.
    #[error(
        "the connection was lost before the answer came: {0}; what was asked for may have been done"
    )]
    Lost(String),
    /// No answer to one request in time: what was asked for may have been done.
    #[error("no answer to {what} within {seconds} s")]
    Timeout {
        /// Verb and path.
        what: String,
        /// How long was waited.
        seconds: u64,
    },
    /// An answer that cannot be understood.
    #[error("an answer that cannot be understood: {0}")]
    Answer(String),
    /// A manifest that cannot be read.
    #[error("document {document}, line {line}: {message}")]
    Manifest {
        /// The document, from 1.
        document: usize,
        /// The line in the text, from 1.
        line: usize,
        /// A lowercase fragment.
        message: String,
    },
    /// The time for waiting was over: what was awaited, and how it stands.
    #[error("not ready within {seconds} s: {}", evidence_text(.pending))]
    Deadline {
        /// How long was waited.
        seconds: u64,
        /// Every object that was still awaited.
        pending: Vec<Evidence>,
    },
    /// What was awaited cannot become true any more.
    #[error("{}", evidence_text(.0))]
    Failed(Vec<Evidence>),
    /// An object was deleted while it was awaited.
    #[error("{what} was deleted while it was awaited")]
    Deleted {
        /// Which.
        what: String,
    },
    /// An object that was deleted is still there: something holds it.
    #[error("{what} is still there after {seconds} s{}", finalizers_text(.finalizers, .message))]
    Stuck {
        /// Which.
        what: String,
        /// How long was waited.
        seconds: u64,
        /// The finalizers that hold it.
        finalizers: Vec<String>,
        /// What the server says of it: a namespace names what is left in it.
        message: String,
    },
}

/// What a 403 denies, as far as its message tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Denied {
    /// `create`, `list` …
    pub verb: String,
    /// The plural of the kind, with its group: `deployments.apps`.
    pub resource: String,
    /// Where; none for the whole cluster.
    pub namespace: Option<String>,
    /// Who asked, as the server knows them.
    pub user: Option<String>,
    /// What the server says.
    pub message: String,
}

/// A field that another manager owns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldConflict {
    /// The manager's name.
    pub owner: String,
    /// `.spec.replicas`; empty where the server names none.
    pub field: String,
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// `spec.replicas`; empty where the server names none.
    pub field: String,
    /// What the server says of it.
    pub message: String,
}

/// What an error means for who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The server cannot be used: unreachable, untrusted, credentials.
    Unavailable,
    /// The request was refused: asking again is of no use.
    Refused,
    /// There is no such object or kind.
    Absent,
    /// It was carried out or refused by the state of things, which may change.
    Failed,
    /// The time was over.
    TimedOut,
    /// It is not known whether it was carried out.
    Unknown,
}

impl Error {
    /// What it means for who asked.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Setting(_)
            | Self::Credentials(_)
            | Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Unauthorized(_) => ErrorKind::Unavailable,
            Self::Forbidden(_)
            | Self::Conflict { .. }
            | Self::Immutable { .. }
            | Self::Invalid { .. }
            | Self::Exists { .. }
            | Self::Manifest { .. } => ErrorKind::Refused,
            Self::NotFound { .. } | Self::NoSuchKind { .. } => ErrorKind::Absent,
            Self::Stale { .. }
            | Self::Quota { .. }
            | Self::Terminating { .. }
            | Self::Throttled { .. }
            | Self::Expired(_)
            | Self::Server { .. }
            | Self::Failed(_)
            | Self::Deleted { .. } => ErrorKind::Failed,
            Self::Deadline { .. } | Self::Stuck { .. } => ErrorKind::TimedOut,
            Self::Lost(_) | Self::Timeout { .. } | Self::Answer(_) => ErrorKind::Unknown,
        }
    }

    /// Whether the object, or its kind, is not there.
    pub fn is_absent(&self) -> bool {
        self.kind() == ErrorKind::Absent
    }

    /// Whether the same question may be answered a moment later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Lost(_)
            | Self::Timeout { .. }
            | Self::Throttled { .. } => true,
            Self::Server { status, .. } => matches!(status, 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// What to do, where that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unauthorized(_) => "get new credentials: the token or certificate is expired, revoked or of another cluster".to_owned(),
            Self::Untrusted { .. } => "check `certificate-authority` of this cluster in the kubeconfig".to_owned(),
            Self::Forbidden(denied) if !denied.verb.is_empty() => {
                let place = denied.namespace.as_ref().map_or_else(String::new, |name| format!(" in `{name}`"));
                let who = denied.user.as_deref().unwrap_or("this user");
                format!("give `{who}` the verb `{}` on `{}`{place}", denied.verb, denied.resource)
            }
            Self::NoSuchKind { .. } => "install what brings this kind, or check `apiVersion` and `kind`".to_owned(),
            Self::Conflict { .. } => "take the fields out, or take them over with `force`".to_owned(),
            Self::Immutable { fields, .. } if fields.is_empty() => "delete the object and create it anew".to_owned(),
            Self::Immutable { fields, .. } => {
                format!("{} cannot be changed: delete the object and create it anew", fields.join(", "))
            }
            Self::Quota { .. } => "raise the quota, or ask for less".to_owned(),
            Self::Terminating { namespace, .. } => format!("wait until namespace `{namespace}` is gone"),
            Self::Stuck { finalizers, .. } if !finalizers.is_empty() => {
                "see whether the controller of the finalizer runs".to_owned()
            }
            _ => return None,
        })
    }
}

/// A duration as the seconds that an error tells, a part counting as a whole one: what is left of 2 s is not "1 s".
pub(crate) fn seconds(limit: Duration) -> u64 {
    u64::try_from(limit.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
}

fn conflicts_text(conflicts: &[FieldConflict], message: &str) -> String {
    if conflicts.is_empty() {
        return message.to_owned();
    }
    let each = conflicts.iter().map(ToString::to_string);
    each.collect::<Vec<_>>().join("; ")
}

fn evidence_text(evidence: &[Evidence]) -> String {
    let each = evidence.iter().map(ToString::to_string);
    each.collect::<Vec<_>>().join("; ")
}

fn finalizers_text(finalizers: &[String], message: &str) -> String {
    let mut text = String::new();
    if !finalizers.is_empty() {
        text = format!(": held by {}", finalizers.join(", "));
    }
    if !message.is_empty() {
        text = format!("{text}: {message}");
    }
    text
}

/// Which field belongs to whom.
impl fmt::Display for FieldConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => write!(f, "a field belongs to `{}`", self.owner),
            field => write!(f, "`{field}` belongs to `{}`", self.owner),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "`{}`: {}", self.field, self.message)
    }
}
