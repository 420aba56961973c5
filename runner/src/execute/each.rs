//! `each`: the items of a step, every combination of its lists.

use runbook::model::{Book, Step};
use runbook::node::{Kind, Node};
use runbook::template::{Scope, expressions, names};
use serde_json::{Map, Value};

use super::context::Item;

/// The most items of one step.
const ITEMS_MAX: usize = 10_000;

/// The items of a step with `each`, the first name outermost.
///
/// # Errors
///
/// A list that is none, no items, two items of the same name: a fragment.
pub(super) fn items(book: &Book, step: &Step, scope: &Scope) -> Result<Vec<Item>, String> {
    let none = Item {
        name: String::new(),
        values: Vec::new(),
        on: None,
        captured: false,
    };
    let mut items = vec![none];
    for (name, written) in &step.keys.each {
        let list = list(book, scope, name, written)?;
        if items.len() * list.len() > ITEMS_MAX {
            return Err(format!("`each` has more than {ITEMS_MAX} items"));
        }
        let captured = written
            .as_text()
            .is_some_and(|text| uses_capture(text, scope));
        let mut combined = Vec::with_capacity(items.len() * list.len());
        for item in &items {
            for (position, (value, group)) in list.iter().enumerate() {
                let part = part(value, position);
                let mut item = item.clone();
                item.name = if item.name.is_empty() {
                    part
                } else {
                    format!("{},{part}", item.name)
                };
                if name == "on" {
                    item.on = Some(target(value, group.as_deref())?);
                }
                item.values.push((name.clone(), value.clone()));
                item.captured |= captured;
                combined.push(item);
            }
        }
        items = combined;
    }
    let mut seen = std::collections::HashSet::new();
    match items.iter().find(|item| !seen.insert(item.name.as_str())) {
        Some(twice) => Err(format!("`each` has two items called `{}`", twice.name)),
        None => Ok(items),
    }
}

/// The values of one list, with the group of the inventory they come from.
fn list(
    book: &Book,
    scope: &Scope,
    name: &str,
    written: &Node,
) -> Result<Vec<(Value, Option<String>)>, String> {
    let plain = |values: Vec<Value>| values.into_iter().map(|value| (value, None)).collect();
    if let Some(items) = written.as_list() {
        let rendered: Result<Vec<Value>, String> = items
            .iter()
            .map(|item| {
                Ok(scope
                    .render(item)
                    .map_err(|(_, error)| error.to_string())?
                    .to_json())
            })
            .collect();
        return Ok(plain(rendered?));
    }
    let text = written.as_text().unwrap_or_default();
    if let Some(path) = text.strip_suffix(".*") {
        return inventory(book, path)
            .ok_or_else(|| format!("`each`: the inventory has no map `{path}`"));
    }
    let rendered = scope
        .render(written)
        .map_err(|(_, error)| error.to_string())?;
    match (&written.kind, rendered.to_json()) {
        (_, Value::Array(values)) => Ok(plain(values)),
        // One value stands for a list of one, but not where a template was to give a list.
        (Kind::Scalar(_), value) if expressions(text).is_empty() => Ok(plain(vec![value])),
        (_, value) => Err(format!("`each`: `{name}` is not a list: {value}")),
    }
}

/// The items of a map of the inventory: maps with their name.
fn inventory(book: &Book, path: &str) -> Option<Vec<(Value, Option<String>)>> {
    let mut node = book.inventory.node.as_ref()?;
    for key in path.split('.') {
        node = node.get(key)?;
    }
    let entries = node.as_map()?.iter().map(|entry| {
        let mut item = Map::new();
        item.insert("name".into(), Value::String(entry.key.clone()));
        match entry.value.to_json() {
            Value::Object(map) => item.extend(map),
            value => {
                item.insert("value".into(), value);
            }
        }
        (Value::Object(item), Some(path.to_owned()))
    });
    Some(entries.collect())
}

/// What an item is called: its text, `.name`, or its position.
fn part(value: &Value, position: usize) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(bool) => bool.to_string(),
        Value::Object(map) => match map.get("name") {
            Some(Value::String(name)) => name.clone(),
            Some(Value::Number(name)) => name.to_string(),
            _ => (position + 1).to_string(),
        },
        Value::Null | Value::Array(_) => (position + 1).to_string(),
    };
    // The characters of an ID, and `.`.
    let clean = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let name: String = text.chars().map(clean).collect();
    if name.is_empty() {
        (position + 1).to_string()
    } else {
        name
    }
}

/// The target that an item of `each: {on: …}` is.
fn target(value: &Value, group: Option<&str>) -> Result<String, String> {
    if let Value::String(text) = value {
        return Ok(text.clone());
    }
    let name = value.get("name").and_then(Value::as_str);
    let kind = match group {
        Some("nodes") => Some("node"),
        Some("hosts") => Some("host"),
        Some("clusters") => Some("cluster"),
        Some("guests") => match value.get("kind").and_then(Value::as_str) {
            Some("vm") => Some("vm"),
            _ => Some("lxc"),
        },
        _ => None,
    };
    match (kind, name) {
        (Some(kind), Some(name)) => Ok(format!("{kind}/{name}")),
        _ => Err(format!("`each`: {value} is not a target")),
    }
}

fn uses_capture(text: &str, scope: &Scope) -> bool {
    expressions(text).iter().any(|expression| {
        names(expression.source)
            .iter()
            .any(|path| scope.is_capture(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn items_are_called_by_their_text_name_or_position() {
        for (value, name) in [
            (json!("pve1"), "pve1"),
            (json!("Rack A/1"), "rack-a-1"),
            (json!("web_1 é"), "web-1--"),
            (json!("10.0.0.1"), "10.0.0.1"),
            (json!(7), "7"),
            (json!({"name": "gpu"}), "gpu"),
            (json!({"id": 1}), "3"),
            (json!(""), "3"),
        ] {
            assert_eq!(part(&value, 2), name);
        }
    }

    #[test]
    fn items_of_the_inventory_are_targets() {
        assert_eq!(
            target(&json!({"name": "pve1"}), Some("nodes")).unwrap(),
            "node/pve1"
        );
        assert_eq!(
            target(&json!({"name": "web", "kind": "vm"}), Some("guests")).unwrap(),
            "vm/web"
        );
        assert_eq!(target(&json!("local"), None).unwrap(), "local");
        assert!(target(&json!({"name": "x"}), Some("vars.x")).is_err());
    }
}
