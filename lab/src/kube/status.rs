//! Errors as the API writes them: a `Status` with reason, message and causes. Texts are those of Kubernetes 1.36.

use serde_json::{Map, Value, json};

/// What a JSON patch that does not apply is told.
pub(crate) const REJECTED: &str = "the server rejected our request due to an error in our request";
/// What a patch of no known type is told.
pub(crate) const UNSUPPORTED: &str = "415: Unsupported Media Type";

/// A refused request.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    details: Map<String, Value>,
}

pub(crate) type Result<T> = std::result::Result<T, Refusal>;

/// One reason why an object is invalid.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cause {
    pub(crate) reason: &'static str,
    pub(crate) field: String,
    pub(crate) message: String,
}

impl Cause {
    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = match detail {
            "" => "Required value".to_owned(),
            detail => format!("Required value: {detail}"),
        };
        Self::new("FieldValueRequired", field, message)
    }

    pub(crate) fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let message = format!("Invalid value: {}: {detail}", shown(value));
        Self::new("FieldValueInvalid", field, message)
    }

    pub(crate) fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        let message = format!("Duplicate value: {}", shown(value));
        Self::new("FieldValueDuplicate", field, message)
    }

    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new("FieldValueForbidden", field, format!("Forbidden: {detail}"))
    }

    pub(crate) fn not_found(field: impl Into<String>, value: &Value) -> Self {
        let message = format!("Not found: {}", shown(value));
        Self::new("FieldValueNotFound", field, message)
    }

    pub(crate) fn unsupported(field: impl Into<String>, value: &Value, known: &[String]) -> Self {
        let known: Vec<String> = known.iter().map(|one| format!("\"{one}\"")).collect();
        let message = format!(
            "Unsupported value: {}: supported values: {}",
            shown(value),
            known.join(", ")
        );
        Self::new("FieldValueNotSupported", field, message)
    }

    pub(crate) fn wrong_type(field: impl Into<String>, value: &Value, detail: String) -> Self {
        let message = format!("Invalid value: {}: {detail}", shown(value));
        Self::new("FieldValueTypeInvalid", field, message)
    }

    pub(crate) fn new(reason: &'static str, field: impl Into<String>, message: String) -> Self {
        Self {
            reason,
            field: field.into(),
            message,
        }
    }
}

fn shown(value: &Value) -> String {
    value.to_string()
}

impl Refusal {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Map::new(),
        }
    }

    fn of(mut self, name: &str, group: &str, kind: &str) -> Self {
        for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
            if !value.is_empty() {
                self.details.insert(key.into(), value.into());
            }
        }
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn not_found(qualified: &str, name: &str) -> Self {
        let (plural, group) = split(qualified);
        Self::new(404, "NotFound", format!("{qualified} \"{name}\" not found"))
            .of(name, group, plural)
    }

    /// What the server does not serve at all.
    pub(crate) fn no_resource() -> Self {
        Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        )
    }

    pub(crate) fn exists(qualified: &str, name: &str) -> Self {
        let (plural, group) = split(qualified);
        let message = format!("{qualified} \"{name}\" already exists");
        Self::new(409, "AlreadyExists", message).of(name, group, plural)
    }

    pub(crate) fn conflict(qualified: &str, name: &str, detail: &str) -> Self {
        let (plural, group) = split(qualified);
        let message = format!("Operation cannot be fulfilled on {qualified} \"{name}\": {detail}");
        Self::new(409, "Conflict", message).of(name, group, plural)
    }

    pub(crate) fn forbidden(qualified: &str, name: &str, detail: &str) -> Self {
        let (plural, group) = split(qualified);
        let message = if name.is_empty() {
            format!("{qualified} is forbidden: {detail}")
        } else {
            format!("{qualified} \"{name}\" is forbidden: {detail}")
        };
        Self::new(403, "Forbidden", message).of(name, group, plural)
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// `kind` with its group, such as `Deployment.apps`.
    pub(crate) fn invalid(kind: &str, name: &str, causes: &[Cause]) -> Self {
        let parts: Vec<String> = causes
            .iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect();
        let text = match parts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let (plain, group) = split(kind);
        let mut refusal = Self::new(
            422,
            "Invalid",
            format!("{kind} \"{name}\" is invalid: {text}"),
        )
        .of(name, group, plain);
        let causes: Vec<Value> = causes
            .iter()
            .map(|one| json!({"reason": one.reason, "message": one.message, "field": one.field}))
            .collect();
        refusal.details.insert("causes".into(), causes.into());
        refusal
    }

    pub(crate) fn with_causes(mut self, causes: Vec<Value>) -> Self {
        self.details.insert("causes".into(), causes.into());
        self
    }

    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.details
            .insert("retryAfterSeconds".into(), seconds.into());
        self
    }

    /// The seconds after which a client is to come back.
    pub(crate) fn retry_after_seconds(&self) -> Option<u64> {
        self.details.get("retryAfterSeconds")?.as_u64()
    }

    pub(crate) fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if self.reason.is_empty()
            && let Some(map) = body.as_object_mut()
        {
            map.shift_remove("reason");
        }
        // What the server says without knowing of which resource carries empty details.
        let generic = matches!(self.code, 404 | 405)
            || self.message == REJECTED
            || self.message == UNSUPPORTED;
        if !self.details.is_empty() || generic {
            body["details"] = Value::Object(self.details.clone());
        }
        body
    }
}

/// `deployments.apps` in plural and group.
fn split(qualified: &str) -> (&str, &str) {
    qualified.split_once('.').unwrap_or((qualified, ""))
}

/// What a deletion answers when the object is gone at once.
pub(crate) fn success(qualified: &str, name: &str, uid: &str) -> Value {
    let (plural, group) = split(qualified);
    let mut details = json!({"name": name, "kind": plural, "uid": uid});
    if !group.is_empty() {
        details["group"] = group.into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
