//! Every rule of kstatus, and every case of every rule.

mod apps;
mod batch;
mod core;
mod flux;

use super::*;
use serde_json::json;

const NOW: &str = "2026-11-30T12:00:00Z";

pub(super) fn now() -> Timestamp {
    NOW.parse().expect("a time")
}

/// `STATE REASON` of an object by kstatus as it is.
pub(super) fn plain(object: &Value) -> String {
    let status = status(object, &Options::plain(now()));
    format!("{} {}", status.state.as_str(), status.reason)
}

/// The same with everything stricter.
pub(super) fn strict(object: &Value) -> String {
    let status = status(object, &Options::strict(now()));
    format!("{} {}", status.state.as_str(), status.reason)
}

/// An object of a kind with spec and status.
pub(super) fn object(api_version: &str, kind: &str, spec: Value, status: Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a", "namespace": "n", "generation": 1}, "spec": spec, "status": status})
}

/// The object with one value replaced; null removes it.
pub(super) fn with(object: &Value, pointer: &str, value: Value) -> Value {
    let mut object = object.clone();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = object
        .pointer_mut(parent)
        .and_then(Value::as_object_mut)
        .expect("a map");
    if value.is_null() {
        parent.remove(key);
    } else {
        parent.insert(key.to_owned(), value);
    }
    object
}
