//! Strategic merge patch: a merge that knows by which key the items of a list are told apart.

use serde_json::{Map, Value};

use crate::kube::schema::Schema;

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

/// Merges a patch into a document of this schema.
pub(crate) fn apply(
    schema: Option<&Schema>,
    target: &mut Value,
    patch: &Value,
) -> Result<(), String> {
    match (target.as_object_mut(), patch.as_object()) {
        (Some(map), Some(patch)) => merge_map(schema, map, patch),
        _ => {
            *target = cleaned(patch);
            Ok(())
        }
    }
}

fn merge_map(
    schema: Option<&Schema>,
    map: &mut Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<(), String> {
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        Some("replace") => {
            *map = match cleaned(&Value::Object(patch.clone())) {
                Value::Object(map) => map,
                _ => Map::new(),
            };
            return Ok(());
        }
        Some("delete") => {
            map.clear();
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => return Err(format!("Unknown patch type found: {other}")),
    }
    if let Some(kept) = patch.get(RETAIN).and_then(Value::as_array) {
        map.retain(|name, _| kept.iter().any(|one| one == name));
    }
    for (name, value) in patch {
        if let Some(name) = name.strip_prefix(DELETE_FROM) {
            if let (Some(list), Some(gone)) = (
                map.get_mut(name).and_then(Value::as_array_mut),
                value.as_array(),
            ) {
                list.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if name.starts_with('$') {
            continue;
        }
        let field = schema.and_then(|schema| schema.field(name));
        if value.is_null() {
            map.shift_remove(name);
            continue;
        }
        match (map.get_mut(name), value) {
            (Some(Value::Object(own)), Value::Object(patch)) => merge_map(field, own, patch)?,
            (Some(Value::Array(own)), Value::Array(patch)) => merge_list(field, own, patch)?,
            _ => {
                let mut fresh = cleaned(value);
                if is_deletion(value) {
                    continue;
                }
                if let Value::Array(list) = &mut fresh {
                    list.retain(|item| !is_deletion(item));
                }
                map.insert(name.clone(), fresh);
            }
        }
    }
    for (name, order) in patch {
        let Some(name) = name.strip_prefix(ORDER) else {
            continue;
        };
        let field = schema.and_then(|schema| schema.field(name));
        let key = field.and_then(|field| field.patch_merge_key.as_deref());
        if let (Some(list), Some(order)) = (
            map.get_mut(name).and_then(Value::as_array_mut),
            order.as_array(),
        ) {
            reorder(list, order, key);
        }
    }
    Ok(())
}

fn merge_list(
    schema: Option<&Schema>,
    list: &mut Vec<Value>,
    patch: &[Value],
) -> Result<(), String> {
    let merges = schema
        .and_then(|schema| schema.patch_strategy.as_deref())
        .is_some_and(|strategy| strategy.split(',').any(|one| one == "merge"));
    let replaces = patch.iter().any(|item| item[DIRECTIVE] == "replace");
    if !merges || replaces {
        *list = patch
            .iter()
            .filter(|item| item.get(DIRECTIVE).is_none())
            .map(cleaned)
            .collect();
        return Ok(());
    }
    let items = schema.and_then(|schema| schema.resolve().items.as_deref());
    let Some(key) = schema.and_then(|schema| schema.patch_merge_key.as_deref()) else {
        for item in patch {
            if !list.contains(item) {
                list.push(item.clone());
            }
        }
        return Ok(());
    };
    let before = list.clone();
    for item in patch {
        let Some(wanted) = item.get(key) else {
            return Err(format!(
                "map: {item} does not contain declared merge key: {key}"
            ));
        };
        let place = list.iter().position(|own| own.get(key) == Some(wanted));
        if is_deletion(item) {
            list.retain(|own| own.get(key) != Some(wanted));
            continue;
        }
        match place {
            Some(index) => apply(items, &mut list[index], item)?,
            None => list.push(cleaned(item)),
        }
    }
    *list = interleaved(std::mem::take(list), &before, patch, key);
    Ok(())
}

/// Items that a patch names come in its order; of those that it does not name, one comes first only where it stood before the next that
/// the patch names. So what is new comes before what was there, unless it follows something that stood behind.
fn interleaved(list: Vec<Value>, before: &[Value], patch: &[Value], key: &str) -> Vec<Value> {
    let place =
        |all: &[Value], item: &Value| all.iter().position(|own| own.get(key) == item.get(key));
    let (mut named, others): (Vec<Value>, Vec<Value>) = list
        .into_iter()
        .partition(|item| place(patch, item).is_some());
    named.sort_by_key(|item| place(patch, item));
    let mut out = Vec::with_capacity(named.len() + others.len());
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    while let (Some(own), Some(other)) = (named.peek(), others.peek()) {
        let comes_first = match (place(before, other), place(before, own)) {
            (Some(other), Some(own)) => other < own,
            _ => false,
        };
        out.extend(if comes_first {
            others.next()
        } else {
            named.next()
        });
    }
    out.extend(named);
    out.extend(others);
    out
}

fn is_deletion(item: &Value) -> bool {
    item.get(DIRECTIVE)
        .is_some_and(|directive| directive == "delete")
}

/// Items that the order names come in it; the others keep their place relative to what is before them.
fn reorder(list: &mut Vec<Value>, order: &[Value], key: Option<&str>) {
    let id = |value: &Value| key.map_or_else(|| value.clone(), |key| value[key].clone());
    let place = |value: &Value| order.iter().position(|one| id(one) == id(value));
    let mut sorted: Vec<Value> = list
        .iter()
        .filter(|item| place(item).is_some())
        .cloned()
        .collect();
    sorted.sort_by_key(|item| place(item));
    for (index, item) in list.iter().enumerate() {
        if place(item).is_none() {
            // Behind as many as stood before it.
            sorted.insert(index.min(sorted.len()), item.clone());
        }
    }
    *list = sorted;
}

/// Without directives and nulls, as something new is put in.
fn cleaned(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(name, value)| !name.starts_with('$') && !value.is_null())
            .map(|(name, value)| (name.clone(), cleaned(value)))
            .collect(),
        Value::Array(list) => list
            .iter()
            .filter(|item| !is_deletion(item))
            .map(cleaned)
            .collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::schema;
    use serde_json::json;

    fn pod_spec() -> &'static Schema {
        &schema::table().types["io.k8s.api.core.v1.PodSpec"]
    }

    #[test]
    fn containers_merge_by_name_and_lists_without_a_key_are_replaced() {
        let mut spec = json!({"containers": [{"name": "a", "image": "x", "args": ["1"]}, {"name": "b", "image": "y"}]});
        let patch =
            json!({"containers": [{"name": "a", "args": ["2"]}, {"name": "c", "image": "z"}]});
        apply(Some(pod_spec()), &mut spec, &patch).unwrap();
        assert_eq!(
            spec,
            json!({"containers": [{"name": "a", "image": "x", "args": ["2"]}, {"name": "c", "image": "z"}, {"name": "b", "image": "y"}]})
        );
    }

    #[test]
    fn directives_delete_and_order() {
        let mut spec = json!({"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]});
        let patch = json!({
            "containers": [{"name": "b", "$patch": "delete"}],
            "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
        });
        apply(Some(pod_spec()), &mut spec, &patch).unwrap();
        assert_eq!(spec, json!({"containers": [{"name": "c"}, {"name": "a"}]}));
    }

    #[test]
    fn an_item_without_its_key_is_refused() {
        let mut spec = json!({"containers": [{"name": "a"}]});
        let error = apply(
            Some(pod_spec()),
            &mut spec,
            &json!({"containers": [{"image": "x"}]}),
        )
        .unwrap_err();
        assert!(
            error.contains("does not contain declared merge key: name"),
            "{error}"
        );
    }
}
