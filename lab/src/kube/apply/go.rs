//! Values as Go prints them, in what a server-side apply says of a value that is not of its type.

use serde_json::Value;

/// What was found instead of what is wanted.
pub(super) fn got(wanted: &str, value: &Value) -> String {
    match wanted {
        "string" => format!("&value.valueUnstructured{{Value:{}}}", syntax(value)),
        "map" | "list" | "boolean" => format!("&{{{}}}", plain(value)),
        _ => kind(value).to_owned(),
    }
}

/// As `%T` has it.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
        Value::Null => "<nil>",
    }
}

/// As `%v` has it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(plain).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            let mut items: Vec<String> = map
                .iter()
                .map(|(name, value)| format!("{name}:{}", plain(value)))
                .collect();
            items.sort();
            format!("map[{}]", items.join(" "))
        }
        Value::Null => "<nil>".into(),
        other => other.to_string(),
    }
}

/// As `%#v` has it.
fn syntax(value: &Value) -> String {
    match value {
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(syntax).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Object(map) => {
            let mut items: Vec<String> = map
                .iter()
                .map(|(name, value)| format!("{name:?}:{}", syntax(value)))
                .collect();
            items.sort();
            format!("map[string]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Null => "interface {}(nil)".into(),
        other => other.to_string(),
    }
}
