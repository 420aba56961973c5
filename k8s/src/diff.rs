//! How two states of an object differ, value by value. What a Secret holds is never shown.

use std::fmt;

use serde_json::Value;

/// How long a shown value may be, in characters.
const SHOWN_CHARS_MAX: usize = 400;
/// How many differences of one object are kept.
const DIFFERENCES_MAX: usize = 1000;

/// A value that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// `spec.template.spec.containers[0].image`.
    pub path: String,
    /// What it is; none where it is not there.
    pub before: Option<Value>,
    /// What it should be; none where it is to go.
    pub after: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Value| {
            let text = value.to_string();
            match text.char_indices().nth(SHOWN_CHARS_MAX) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text,
            }
        };
        match (&self.before, &self.after) {
            (None, Some(after)) => write!(f, "+ {}: {}", self.path, shown(after)),
            (Some(before), None) => write!(f, "- {}: {}", self.path, shown(before)),
            (Some(before), Some(after)) => {
                write!(f, "~ {}: {} -> {}", self.path, shown(before), shown(after))
            }
            (None, None) => write!(f, "  {}", self.path),
        }
    }
}

/// How two states of an object differ, without what the server keeps for itself.
pub fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    let (mut before, mut after) = (before.clone(), after.clone());
    crate::object::strip(&mut before);
    crate::object::strip(&mut after);
    let mut found = Vec::new();
    walk(String::new(), Some(&before), Some(&after), &mut found);
    if before["kind"] == "Secret" || after["kind"] == "Secret" {
        found.iter_mut().for_each(hide);
    }
    found
}

/// All of an object as differences to nothing.
pub fn created(object: &Value) -> Vec<Difference> {
    let mut object = object.clone();
    crate::object::strip(&mut object);
    let mut found = Vec::new();
    for (key, value) in object.as_object().into_iter().flatten() {
        if !matches!(key.as_str(), "apiVersion" | "kind") {
            walk(key.clone(), None, Some(value), &mut found);
        }
    }
    if object["kind"] == "Secret" {
        found.iter_mut().for_each(hide);
    }
    found
}

fn walk(path: String, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Difference>) {
    if before == after || found.len() >= DIFFERENCES_MAX {
        return;
    }
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            for (key, value) in before {
                walk(join(&path, key), Some(value), after.get(key), found);
            }
            for (key, value) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
                walk(join(&path, key), None, Some(value), found);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) if before.len() == after.len() => {
            for (position, (before, after)) in before.iter().zip(after).enumerate() {
                walk(
                    format!("{path}[{position}]"),
                    Some(before),
                    Some(after),
                    found,
                );
            }
        }
        // What comes as a whole is told leaf by leaf, as long as it has names.
        (None, Some(Value::Object(map))) if !map.is_empty() => {
            for (key, value) in map {
                walk(join(&path, key), None, Some(value), found);
            }
        }
        (before, after) => found.push(Difference {
            path,
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}

fn join(path: &str, key: &str) -> String {
    let is_plain = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    match (path, is_plain) {
        ("", true) => key.to_owned(),
        (path, true) => format!("{path}.{key}"),
        (path, false) => format!("{path}[{key:?}]"),
    }
}

/// The name of a Secret's key may be read, its value may not.
fn hide(difference: &mut Difference) {
    let is_data = |name: &str| {
        let rest = difference.path.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    // The whole of it is also kept by others: kubectl writes it into an annotation.
    if is_data("data")
        || is_data("stringData")
        || difference.path.contains("last-applied-configuration")
    {
        for side in [&mut difference.before, &mut difference.after] {
            if side.is_some() {
                *side = Some(Value::from("(secret)"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(before: Value, after: Value, expected: &[&str]) {
        let found: Vec<_> = differences(&before, &after)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn values_are_told_with_their_paths() {
        check(
            json!({"spec": {"replicas": 1, "template": {"containers": [{"name": "a", "image": "x:1"}]}, "old": true}}),
            json!({"spec": {"replicas": 2, "template": {"containers": [{"name": "a", "image": "x:2"}]}, "new": {"a.b/c": 1}}}),
            &[
                "~ spec.replicas: 1 -> 2",
                "~ spec.template.containers[0].image: \"x:1\" -> \"x:2\"",
                "- spec.old: true",
                "+ spec.new[\"a.b/c\"]: 1",
            ],
        );
    }

    #[test]
    fn lists_of_other_lengths_are_told_as_a_whole() {
        check(
            json!({"args": ["a"]}),
            json!({"args": ["a", "b"]}),
            &["~ args: [\"a\"] -> [\"a\",\"b\"]"],
        );
    }

    #[test]
    fn what_the_server_keeps_is_no_difference() {
        check(
            json!({"metadata": {"name": "a", "resourceVersion": "1", "managedFields": [1]}, "status": {"x": 1}}),
            json!({"metadata": {"name": "a", "resourceVersion": "2"}}),
            &[],
        );
    }

    #[test]
    fn a_secrets_values_are_never_shown() {
        check(
            json!({"kind": "Secret", "data": {"a": "MQ==", "gone": "Mg=="}, "type": "Opaque"}),
            json!({"kind": "Secret", "data": {"a": "Mw==", "new.key": "NA=="}, "stringData": {"s": "geheim"}, "type": "x"}),
            &[
                "~ data.a: \"(secret)\" -> \"(secret)\"",
                "- data.gone: \"(secret)\"",
                "+ data[\"new.key\"]: \"(secret)\"",
                "~ type: \"Opaque\" -> \"x\"",
                "+ stringData.s: \"(secret)\"",
            ],
        );
        let shown: Vec<_> = created(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"k": "geheim"}})).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["+ metadata.name: \"a\"", "+ data.k: \"(secret)\""]);
    }
}
