//! Reads the server's `Status` of a failure (API conventions, "Response Status Kind") into an [`Error`].

use std::time::Duration;

use serde_json::Value;

use crate::error::{Cause, Denied, Error, FieldConflict};
use crate::object::text;
use crate::request::Request;

/// The most of an error's text that is kept, in characters.
const TEXT_CHARS_MAX: usize = 4000;

/// Parts of messages that say that a field cannot be changed (validation of the built-in kinds, CEL rules of CRDs).
const IMMUTABLE: [&str; 7] = [
    "field is immutable",
    "is immutable",
    "updates to statefulset spec for fields other than",
    "pod updates may not change fields other than",
    "may not change once set",
    "cannot change roleRef",
    "spec is immutable after creation",
];

/// How the message of server-side apply begins that does not fit its schema.
const NOT_TYPED: &str = "failed to create typed patch object";

/// The error of an answer that is no success.
pub(crate) fn error_of(
    request: &Request,
    http: u16,
    retry_after: Option<&str>,
    body: &[u8],
) -> Error {
    let body = serde_json::from_slice::<Value>(body).unwrap_or_else(|_| {
        // A proxy, or a server that has no words: the text itself.
        let text = String::from_utf8_lossy(body);
        serde_json::json!({ "message": text.trim() })
    });
    let after = retry_after
        .and_then(|text| text.trim().parse().ok())
        .or_else(|| {
            body.pointer("/details/retryAfterSeconds")
                .and_then(Value::as_u64)
        })
        .map(Duration::from_secs);
    of_status(request, http, after, &body)
}

/// The error of a `Status`, also of one inside a watch.
pub(crate) fn of_status(
    request: &Request,
    http: u16,
    after: Option<Duration>,
    status: &Value,
) -> Error {
    let mut message: String = text(status, "/message")
        .chars()
        .take(TEXT_CHARS_MAX)
        .collect();
    if message.is_empty() {
        message = format!("HTTP status {http}");
    }
    let what = request.what();
    let reason = text(status, "/reason");
    match http {
        401 => Error::Unauthorized(message),
        403 => forbidden(request, status, message),
        404 => not_found(request, status, message),
        409 => conflict(what, status, reason, message),
        410 => Error::Expired(message),
        422 => invalid(what, status, message),
        // What does not fit its schema is a failure of the server's own to it (seen with 1.36).
        500 if message.starts_with(NOT_TYPED) => Error::Invalid {
            causes: Vec::new(),
            what,
            message,
        },
        400 | 413 | 415 => Error::Invalid {
            causes: causes(status),
            what,
            message,
        },
        429 => Error::Throttled { after, message },
        status => Error::Server { status, message },
    }
}

fn list(status: &Value) -> impl Iterator<Item = &Value> {
    let causes = status.pointer("/details/causes").and_then(Value::as_array);
    causes.map(Vec::as_slice).unwrap_or_default().iter()
}

fn causes(status: &Value) -> Vec<Cause> {
    let cause = |cause: &Value| Cause {
        field: text(cause, "/field").to_owned(),
        message: text(cause, "/message").to_owned(),
    };
    list(status).map(cause).collect()
}

fn forbidden(request: &Request, status: &Value, message: String) -> Error {
    let namespace = request.namespace().map(str::to_owned);
    if message.contains("exceeded quota") {
        return Error::Quota {
            what: request.what(),
            message,
        };
    }
    if list(status).any(|cause| text(cause, "/reason") == "NamespaceTerminating") {
        return Error::Terminating {
            namespace: namespace.unwrap_or_default(),
            message,
        };
    }
    // `deployments.apps "web" is forbidden: User "x" cannot patch resource "deployments" in API group "apps" in the namespace "n"`
    let quoted = |before: &str| {
        let (_, rest) = message.split_once(before)?;
        rest.split_once('"').map(|(name, _)| name.to_owned())
    };
    let user = quoted("User \"");
    let verb = message
        .split_once(" cannot ")
        .and_then(|(_, rest)| rest.split_once(" resource"))
        .map(|(verb, _)| verb.to_owned());
    let resource = quoted("resource \"").map(|resource| match quoted("API group \"") {
        Some(group) if !group.is_empty() => format!("{resource}.{group}"),
        _ => resource,
    });
    let by_rbac = user.is_some();
    Error::Forbidden(Box::new(Denied {
        verb: verb.unwrap_or_else(|| {
            if by_rbac {
                request.verb().to_owned()
            } else {
                String::new()
            }
        }),
        resource: resource.unwrap_or_else(|| request.resource()),
        namespace: quoted("in the namespace \"").or(if by_rbac { None } else { namespace }),
        user,
        message,
    }))
}

fn not_found(request: &Request, status: &Value, message: String) -> Error {
    let (kind, name) = (text(status, "/details/kind"), text(status, "/details/name"));
    // A path that the server does not serve has no name in its details: the kind is unknown.
    if name.is_empty() {
        return Error::NoSuchKind {
            kind: request.kind(),
            message,
        };
    }
    Error::NotFound {
        what: format!("{kind}/{name}"),
        message,
    }
}

fn conflict(what: String, status: &Value, reason: &str, message: String) -> Error {
    if reason == "AlreadyExists" {
        return Error::Exists { what, message };
    }
    let mut conflicts: Vec<FieldConflict> = list(status)
        .filter(|cause| text(cause, "/reason") == "FieldManagerConflict")
        .map(|cause| {
            // `conflict with "kubectl" using apps/v1`, `conflict with "kubectl" with subresource "scale" using …`
            let owner = text(cause, "/message").split('"').nth(1);
            FieldConflict {
                owner: owner.unwrap_or_default().to_owned(),
                field: text(cause, "/field").to_owned(),
            }
        })
        .collect();
    if conflicts.is_empty() {
        return Error::Stale { what, message };
    }
    // The server repeats some of them (kubernetes/kubernetes#119141).
    conflicts.sort();
    conflicts.dedup();
    Error::Conflict {
        what,
        conflicts,
        message,
    }
}

fn invalid(what: String, status: &Value, message: String) -> Error {
    let causes = causes(status);
    let immutable = |text: &str| IMMUTABLE.iter().any(|part| text.contains(part));
    let fixed = causes.iter().filter(|cause| immutable(&cause.message));
    let mut fields: Vec<String> = fixed
        .map(|cause| cause.field.clone())
        .filter(|field| !field.is_empty())
        .collect();
    fields.sort();
    fields.dedup();
    // Only what is nothing but immutable is so: another mistake is to be mended first.
    if !causes.is_empty() && causes.iter().all(|cause| immutable(&cause.message))
        || causes.is_empty() && immutable(&message)
    {
        return Error::Immutable {
            what,
            fields,
            message,
        };
    }
    Error::Invalid {
        what,
        causes,
        message,
    }
}

#[cfg(test)]
#[path = "status/tests.rs"]
mod tests;
