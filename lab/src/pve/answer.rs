//! What a call ends with: data and what goes beside it, or an error with its status, text and parameter errors.
//!
//! Texts are kept as the API writes them, newline included; the server makes reason phrase and body of them.

use serde_json::{Map, Value};

/// A call's answer before it becomes HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The error's text with its newline; none on success.
    pub message: Option<String>,
    /// What `data` holds.
    pub data: Value,
    /// `total`, `changes`.
    pub beside: Map<String, Value>,
    /// Errors by parameter.
    pub errors: Map<String, Value>,
}

/// A successful call's result.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    /// What `data` holds.
    pub data: Value,
    /// `total`, `changes`.
    pub beside: Map<String, Value>,
}

/// A refused call.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}", self.message.trim_end())]
pub struct Fail {
    /// HTTP status.
    pub status: u16,
    /// The text, usually with a newline at its end.
    pub message: String,
    /// Errors by parameter.
    pub errors: Map<String, Value>,
}

/// What an endpoint returns.
pub(crate) type Outcome = Result<Reply, Fail>;

impl Answer {
    /// The text without its newline, for a person.
    pub fn text(&self) -> &str {
        self.message.as_deref().unwrap_or_default().trim_end()
    }

    /// Whether the call succeeded.
    pub fn is_ok(&self) -> bool {
        self.status < 400
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Ok(reply) => Self {
                status: 200,
                message: None,
                data: reply.data,
                beside: reply.beside,
                errors: Map::new(),
            },
            Err(fail) => Self {
                status: fail.status,
                message: Some(fail.message),
                data: Value::Null,
                beside: Map::new(),
                errors: fail.errors,
            },
        }
    }
}

impl<T: Into<Value>> From<T> for Reply {
    fn from(data: T) -> Self {
        Self {
            data: data.into(),
            beside: Map::new(),
        }
    }
}

impl Reply {
    /// `{"data":null}`.
    pub(crate) fn null() -> Self {
        Self::default()
    }

    /// A page of a list, with how long the whole is.
    pub(crate) fn page(data: Vec<Value>, total: usize) -> Self {
        let mut beside = Map::new();
        beside.insert("total".into(), total.into());
        Self {
            data: Value::Array(data),
            beside,
        }
    }
}

impl Fail {
    /// 500 with a sentence; the newline is added.
    pub fn die(text: impl AsRef<str>) -> Self {
        Self::status(500, format!("{}\n", text.as_ref()))
    }

    /// Any status with its text as it is.
    pub fn status(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            errors: Map::new(),
        }
    }

    /// 400 about one parameter.
    pub fn param(name: &str, why: impl Into<String>) -> Self {
        Self::params(Map::from_iter([(
            name.to_owned(),
            Value::String(why.into()),
        )]))
    }

    /// 400 about several parameters.
    pub fn params(errors: Map<String, Value>) -> Self {
        Self {
            status: 400,
            message: "Parameter verification failed.\n".into(),
            errors,
        }
    }

    /// 403 with what is missing: `/vms/100, VM.Audit`; nothing with an empty text.
    pub fn forbidden(what: &str) -> Self {
        let what = if what.is_empty() {
            String::new()
        } else {
            format!(" ({what})")
        };
        Self::status(403, format!("Permission check failed{what}\n"))
    }

    /// 501, also for what the real API has and the lab does not serve.
    pub fn not_implemented(verb: &str, path: &str) -> Self {
        Self::status(501, format!("Method '{verb} {path}' not implemented"))
    }

    /// The first line, as a reason phrase or a task's exit status shows it.
    pub fn line(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}
