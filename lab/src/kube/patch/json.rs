//! JSON patch, RFC 6902.

use serde_json::Value;

/// How many operations a patch may have.
pub(crate) const OPERATIONS_MAX: usize = 10_000;

/// Applies the operations in order.
///
/// # Errors
///
/// The text of the first that cannot be applied, and whether the patch itself is malformed.
pub(crate) fn apply(target: &mut Value, patch: &Value) -> Result<(), String> {
    let operations = patch
        .as_array()
        .ok_or("json: cannot unmarshal object into Go value of type jsonpatch.Patch")?;
    if operations.len() > OPERATIONS_MAX {
        return Err(format!(
            "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}",
            operations.len()
        ));
    }
    for one in operations {
        operation(target, one)?;
    }
    Ok(())
}

fn operation(target: &mut Value, one: &Value) -> Result<(), String> {
    let op = one["op"].as_str().unwrap_or_default();
    let path = one["path"].as_str().unwrap_or_default();
    let missing = |verb: &str| {
        format!("{verb} operation does not apply: doc is missing path: \"{path}\": missing value")
    };
    match op {
        "add" => add(target, path, one["value"].clone()).map_err(|()| missing("add")),
        "remove" => take(target, path).map(drop).ok_or_else(|| {
            format!(
                "remove operation does not apply: doc is missing path: \"{path}\": missing value"
            )
        }),
        "replace" => match find(target, path) {
            Some(slot) => {
                *slot = one["value"].clone();
                Ok(())
            }
            None => Err(format!(
                "replace operation does not apply: doc is missing key: {path}: missing value"
            )),
        },
        "move" | "copy" => {
            let from = one["from"].as_str().unwrap_or_default();
            let value = if op == "move" {
                take(target, from)
            } else {
                find(target, from).map(|value| value.clone())
            };
            let value = value.ok_or_else(|| missing(op))?;
            add(target, path, value).map_err(|()| missing(op))
        }
        "test" => {
            let same = find(target, path).is_some_and(|is| *is == one["value"])
                || (find(target, path).is_none() && one.get("value").is_none_or(Value::is_null));
            if same {
                Ok(())
            } else {
                Err(format!("testing value {path} failed: test failed"))
            }
        }
        other => Err(format!("Unexpected kind: {other}")),
    }
}

fn parts(path: &str) -> Option<(Vec<String>, String)> {
    let mut parts: Vec<String> = path
        .strip_prefix('/')?
        .split('/')
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
        .collect();
    let last = parts.pop()?;
    Some((parts, last))
}

fn step<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    match value {
        Value::Object(map) => map.get_mut(name),
        Value::Array(list) => list.get_mut(name.parse::<usize>().ok()?),
        _ => None,
    }
}

fn find<'a>(target: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    if path.is_empty() {
        return Some(target);
    }
    let (before, last) = parts(path)?;
    let parent = before
        .iter()
        .try_fold(target, |value, name| step(value, name))?;
    step(parent, &last)
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), ()> {
    if path.is_empty() {
        *target = value;
        return Ok(());
    }
    let (before, last) = parts(path).ok_or(())?;
    let parent = before
        .iter()
        .try_fold(target, |value, name| step(value, name))
        .ok_or(())?;
    match parent {
        Value::Object(map) => {
            map.insert(last, value);
            Ok(())
        }
        Value::Array(list) if last == "-" => {
            list.push(value);
            Ok(())
        }
        Value::Array(list) => {
            let index: usize = last.parse().map_err(|_| ())?;
            if index > list.len() {
                return Err(());
            }
            list.insert(index, value);
            Ok(())
        }
        _ => Err(()),
    }
}

fn take(target: &mut Value, path: &str) -> Option<Value> {
    let (before, last) = parts(path)?;
    let parent = before
        .iter()
        .try_fold(target, |value, name| step(value, name))?;
    match parent {
        Value::Object(map) => map.shift_remove(&last),
        Value::Array(list) => {
            let index: usize = last.parse().ok()?;
            (index < list.len()).then(|| list.remove(index))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn operations_apply_in_order() {
        let mut target = json!({"a": {"b": [1, 2]}, "x/y": 1});
        let patch = json!([
            {"op": "test", "path": "/a/b/0", "value": 1},
            {"op": "add", "path": "/a/b/-", "value": 3},
            {"op": "remove", "path": "/a/b/0"},
            {"op": "replace", "path": "/x~1y", "value": 2},
            {"op": "copy", "from": "/a/b", "path": "/c"},
            {"op": "move", "from": "/x~1y", "path": "/d"},
        ]);
        apply(&mut target, &patch).expect("all apply");
        assert_eq!(target, json!({"a": {"b": [2, 3]}, "c": [2, 3], "d": 2}));
    }

    #[test]
    fn what_does_not_apply_says_where() {
        let mut target = json!({"a": 1});
        let error = apply(&mut target, &json!([{"op": "remove", "path": "/b"}])).unwrap_err();
        assert!(error.contains("/b"), "{error}");
        assert!(
            apply(
                &mut target,
                &json!([{"op": "test", "path": "/a", "value": 2}])
            )
            .is_err()
        );
    }
}
