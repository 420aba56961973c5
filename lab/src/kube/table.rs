//! Tables: the columns that `kubectl get` shows for each kind.

mod cells;
mod columns;
mod more_columns;

use serde_json::{Value, json};

use cells::{age, since};
use columns::columns;

use super::object;
use super::resource::Resource;

/// What the whole table is made of, without rows.
pub(crate) fn head(resource: &Resource) -> Vec<Value> {
    let mut out = vec![
        json!({"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}),
    ];
    match &resource.custom {
        Some(custom) if !custom.columns.is_empty() => {
            for one in &custom.columns {
                out.push(json!({
                    "name": one["name"], "type": one["type"], "format": one["format"].as_str().unwrap_or_default(),
                    "description": one["description"].as_str().unwrap_or_default(), "priority": one["priority"].as_i64().unwrap_or_default(),
                }));
            }
        }
        Some(_) => out.push(
            json!({"name": "Age", "type": "date", "format": "", "description": "", "priority": 0}),
        ),
        None => {
            for one in columns(&resource.qualified()) {
                out.push(json!({"name": one.name, "type": one.kind, "format": "", "description": "", "priority": u8::from(one.wide)}));
            }
        }
    }
    out
}

/// An object's name as a table has it: the storage class that claims get is told from others.
fn shown_name(resource: &Resource, value: &Value) -> String {
    const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
    let name = object::name(value);
    let is_class = resource.qualified() == "storageclasses.storage.k8s.io";
    if is_class && object::annotation(value, DEFAULT) == "true" {
        return format!("{name} (default)");
    }
    name.to_owned()
}

/// One row.
pub(crate) fn row(resource: &Resource, value: &Value, object: Value) -> Value {
    let mut cells = vec![Value::from(shown_name(resource, value))];
    match &resource.custom {
        Some(custom) if !custom.columns.is_empty() => {
            for one in &custom.columns {
                let found = json_path(value, one["jsonPath"].as_str().unwrap_or_default());
                cells.push(match (one["type"].as_str(), found) {
                    (Some("date"), Some(Value::String(time))) => since(&time).into(),
                    (_, Some(found @ (Value::String(_) | Value::Number(_) | Value::Bool(_)))) => {
                        found
                    }
                    (_, Some(other)) => other.to_string().into(),
                    (Some("date"), None) => "<unknown>".into(),
                    (_, None) => Value::Null,
                });
            }
        }
        Some(_) => cells.push(age(value)),
        None => cells.extend(
            columns(&resource.qualified())
                .iter()
                .map(|one| (one.cell)(value)),
        ),
    }
    json!({"cells": cells, "object": object})
}

/// What tables and partial lists carry of an object.
pub(crate) fn partial(value: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"]})
}

/// The simple paths of printer columns: `.spec.a`, `.status.conditions[?(@.type=="Ready")].status`, `.a[0]`.
pub(crate) fn json_path(value: &Value, path: &str) -> Option<Value> {
    let mut at = value;
    let mut rest = path.trim().trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix("[?(@.") {
            let (filter, after) = inner.split_once(")]")?;
            let (key, wanted) = filter.split_once("==")?;
            let wanted = wanted.trim().trim_matches(['"', '\'']);
            at = at
                .as_array()?
                .iter()
                .find(|one| one[key.trim()] == wanted)?;
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('[') {
            let (index, after) = inner.split_once(']')?;
            at = match index.trim_matches(['"', '\'']).parse::<usize>() {
                Ok(index) => at.get(index)?,
                Err(_) => at.get(index.trim_matches(['"', '\'']))?,
            };
            rest = after;
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            // A dot within a name is escaped.
            let mut end = name.len();
            let bytes = name.as_bytes();
            for index in 0..bytes.len() {
                if bytes[index] == b'['
                    || (bytes[index] == b'.' && (index == 0 || bytes[index - 1] != b'\\'))
                {
                    end = index;
                    break;
                }
            }
            at = at.get(name[..end].replace("\\.", "."))?;
            rest = &name[end..];
        }
    }
    Some(at.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printer_columns_find_conditions() {
        let value =
            json!({"status": {"conditions": [{"type": "Ready", "status": "True"}], "list": ["a"]}});
        let path = r#".status.conditions[?(@.type=="Ready")].status"#;
        assert_eq!(json_path(&value, path), Some("True".into()));
        assert_eq!(json_path(&value, ".status.list[0]"), Some("a".into()));
        assert_eq!(json_path(&value, ".status.nothing"), None);
    }
}
