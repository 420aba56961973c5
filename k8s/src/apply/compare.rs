//! Whether a live object already is as wished, as far as that can be told without asking; and which objects are so alike that one
//! tells whether all are valid.
//!
//! "Same" is only said when it is certain: every wished value is there, and we own nothing that is wished no more. Lists must be of
//! the same length. Whatever is doubtful is asked of the server by a dry run, which knows defaults, list keys and quantities.

use serde_json::{Map, Value};

use crate::object::{Key, text};

/// Whether nothing needs to be applied.
pub(super) fn is_same(live: &Value, wished: &Value, manager: &str) -> bool {
    contains(live, wished) && owned(live, manager).is_none_or(|fields| keeps(fields, wished))
}

/// The fields that we own by server-side apply.
fn owned<'a>(live: &'a Value, manager: &str) -> Option<&'a Value> {
    let entries = live.pointer("/metadata/managedFields")?.as_array()?;
    let ours = entries.iter().find(|entry| {
        text(entry, "/manager") == manager
            && text(entry, "/operation") == "Apply"
            && text(entry, "/subresource").is_empty()
    });
    ours.map(|entry| &entry["fieldsV1"])
}

/// Whether every wished value is in the live one.
fn contains(live: &Value, wished: &Value) -> bool {
    match (live, wished) {
        (Value::Object(live), Value::Object(wished)) => {
            wished.iter().all(|(key, value)| match live.get(key) {
                Some(live) => contains(live, value),
                // Null is "not there".
                None => value.is_null(),
            })
        }
        (Value::Array(live), Value::Array(wished)) => {
            live.len() == wished.len()
                && live
                    .iter()
                    .zip(wished)
                    .all(|(live, wished)| contains(live, wished))
        }
        (Value::Number(live), Value::Number(wished)) => {
            live == wished || live.as_f64() == wished.as_f64()
        }
        (live, wished) => live == wished,
    }
}

/// Whether everything we own (`fieldsV1`: `f:NAME`, `k:{KEYS}`, `v:VALUE`) is still wished.
fn keeps(fields: &Value, wished: &Value) -> bool {
    let Some(fields) = fields.as_object() else {
        return true;
    };
    fields.iter().all(|(key, inner)| {
        if key == "." {
            return true;
        }
        if let Some(name) = key.strip_prefix("f:") {
            return wished
                .get(name)
                .is_some_and(|wished| !wished.is_null() && keeps(inner, wished));
        }
        if let Some(keys) = key.strip_prefix("k:") {
            let Ok(Value::Object(keys)) = serde_json::from_str(keys) else {
                return false;
            };
            let item = wished
                .as_array()
                .and_then(|items| items.iter().find(|item| has_keys(item, &keys)));
            return item.is_some_and(|item| keeps_item(inner, item, &keys));
        }
        if let Some(value) = key.strip_prefix("v:") {
            let Ok(value) = serde_json::from_str::<Value>(value) else {
                return false;
            };
            return wished
                .as_array()
                .is_some_and(|items| items.contains(&value));
        }
        // Positions, and what later servers may have.
        false
    })
}

/// Keys that are not written out have their default: `protocol: TCP`.
fn has_keys(item: &Value, keys: &Map<String, Value>) -> bool {
    keys.iter()
        .all(|(key, value)| item.get(key).is_none_or(|other| other == value))
}

fn keeps_item(fields: &Value, item: &Value, keys: &Map<String, Value>) -> bool {
    let Some(fields) = fields.as_object() else {
        return true;
    };
    fields.iter().all(|(key, inner)| {
        let is_key = key
            .strip_prefix("f:")
            .is_some_and(|name| keys.contains_key(name));
        let one = Value::Object(Map::from_iter([(key.clone(), inner.clone())]));
        is_key || keeps(&one, item)
    })
}

/// What the validity of an object depends on: two objects of the same class are both valid or both invalid, but for their names.
/// Their own name is taken out wherever it stands, and so are the contents of a ConfigMap, which are free.
pub(super) fn class(object: &Value) -> String {
    let mut object = object.clone();
    if matches!(text(&object, "/kind"), "ConfigMap")
        && let Some(data) = object.get_mut("data").and_then(Value::as_object_mut)
    {
        for value in data.values_mut().filter(|value| value.is_string()) {
            *value = Value::from("");
        }
    }
    let name = Key::of(&object).name;
    blank(&mut object, &name);
    object.to_string()
}

fn blank(value: &mut Value, name: &str) {
    match value {
        Value::String(text) if text.contains(name) => *text = text.replace(name, "\u{0}"),
        Value::Array(items) => items.iter_mut().for_each(|item| blank(item, name)),
        Value::Object(map) => map.values_mut().for_each(|value| blank(value, name)),
        _ => {}
    }
}

/// Whether a name is one that every kind takes (RFC 1123 label): a class says nothing about odd ones.
pub(super) fn is_plain_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=52).contains(&name.len())
        && name.bytes().all(inner)
        && name.as_bytes()[0].is_ascii_lowercase()
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn live(spec: Value, fields: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a", "uid": "u", "managedFields": [
            {"manager": "other", "operation": "Update", "fieldsV1": {"f:spec": {"f:foreign": {}}}},
            {"manager": "runbook", "operation": "Apply", "fieldsV1": fields}]}, "spec": spec})
    }

    fn wished(spec: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "spec": spec})
    }

    fn check(live: &Value, spec: Value, expected: bool) {
        assert_eq!(
            is_same(live, &wished(spec.clone()), "runbook"),
            expected,
            "{spec}"
        );
    }

    #[test]
    fn defaults_of_the_server_are_no_difference() {
        let live = live(
            json!({"a": 1, "default": true}),
            json!({"f:spec": {"f:a": {}}}),
        );
        check(&live, json!({"a": 1}), true);
        check(&live, json!({"a": 1.0}), true);
        check(&live, json!({"a": 1, "none": null}), true);
        check(&live, json!({"a": 2}), false);
        check(&live, json!({"a": 1, "new": 1}), false);
    }

    #[test]
    fn what_we_own_and_no_longer_wish_is_a_difference() {
        let live = live(
            json!({"a": 1, "b": 2}),
            json!({"f:spec": {"f:a": {}, "f:b": {}}}),
        );
        check(&live, json!({"a": 1}), false);
        check(&live, json!({"a": 1, "b": null}), false);
        check(&live, json!({"a": 1, "b": 2}), true);
    }

    #[test]
    fn items_of_lists_are_found_by_their_keys() {
        let fields = json!({"f:spec": {"f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}});
        let live = live(
            json!({"ports": [{"containerPort": 80, "protocol": "TCP"}]}),
            fields,
        );
        check(&live, json!({"ports": [{"containerPort": 80}]}), true);
        check(&live, json!({"ports": [{"containerPort": 81}]}), false);
        check(&live, json!({"ports": []}), false);
    }

    #[test]
    fn values_of_sets_are_found_and_atomic_lists_compared_whole() {
        let set = live(
            json!({"finalizers": ["x"]}),
            json!({"f:spec": {"f:finalizers": {"v:\"x\"": {}}}}),
        );
        check(&set, json!({"finalizers": ["x"]}), true);
        let set = live(
            json!({"finalizers": ["y"]}),
            json!({"f:spec": {"f:finalizers": {"v:\"x\"": {}}}}),
        );
        check(&set, json!({"finalizers": ["y"]}), false);
        let atomic = live(
            json!({"args": ["a", "b"]}),
            json!({"f:spec": {"f:args": {}}}),
        );
        check(&atomic, json!({"args": ["a"]}), false);
        check(&atomic, json!({"args": ["a", "b"]}), true);
        check(&atomic, json!({"args": ["b", "a"]}), false);
    }

    #[test]
    fn an_object_that_somebody_else_made_just_so_is_the_same() {
        let foreign =
            json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "spec": {"a": 1}});
        assert!(is_same(&foreign, &wished(json!({"a": 1})), "runbook"));
    }

    #[test]
    fn classes_leave_out_names_and_contents_but_nothing_else() {
        let map = |name: &str, key: &str, value: &str| {
            class(
                &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": name}}, "data": {key: value}}),
            )
        };
        assert_eq!(map("web-1", "a", "1"), map("web-2", "a", "2"));
        assert_ne!(map("web-1", "a", "1"), map("web-1", "b!", "1"));
        let deployment = |name: &str, replicas: i64| {
            class(
                &json!({"kind": "Deployment", "metadata": {"name": name}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}}}),
            )
        };
        assert_eq!(deployment("d-1", 1), deployment("d-2", 1));
        assert_ne!(deployment("d-1", 1), deployment("d-1", -1));
        // A number in a ConfigMap is invalid, a text is not.
        let number = class(
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web-1", "labels": {"app": "web-1"}}, "data": {"a": 1}}),
        );
        assert_ne!(number, map("web-1", "a", "1"));
    }

    #[test]
    fn only_plain_names_have_classes() {
        for name in ["web", "web-1", "a"] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in [
            "",
            "Web",
            "web.1",
            "-web",
            "web-",
            "1web",
            &"a".repeat(53),
            "system:x",
        ] {
            assert!(!is_plain_name(name), "{name}");
        }
    }
}
