//! Whether a value is the one that was written: text exact, lists in order, 1 = 1.0.
//!
//! A plain value is read as the type of its field: as YAML reads it in `json`, as its source text where texts are looked at.

use serde_json::{Number, Value};

use super::judge::Env;
use super::parse::typed;
use crate::node::{Kind, Node, core_scalar};

/// Whether a value is the one that was written.
pub(super) fn equal(expected: &Node, value: &Value, env: &Env) -> bool {
    match (&expected.kind, value) {
        (Kind::List(items), Value::Array(values)) => {
            items.len() == values.len()
                && items
                    .iter()
                    .zip(values)
                    .all(|(item, value)| equal(item, value, env))
        }
        (Kind::Map(entries), Value::Object(map)) => {
            entries.len() == map.len()
                && entries.iter().all(|entry| {
                    map.get(&entry.key)
                        .is_some_and(|value| equal(&entry.value, value, env))
                })
        }
        (Kind::List(_) | Kind::Map(_), _) => false,
        (Kind::Value(Value::Array(items)), Value::Array(values)) => {
            items.len() == values.len()
                && items
                    .iter()
                    .zip(values)
                    .all(|(item, value)| equal(&typed(expected.span, item), value, env))
        }
        (Kind::Value(Value::Object(entries)), Value::Object(map)) => {
            entries.len() == map.len()
                && entries.iter().all(|(key, item)| {
                    map.get(key)
                        .is_some_and(|value| equal(&typed(expected.span, item), value, env))
                })
        }
        (Kind::Scalar(scalar), value) if env.typed => {
            let expected = if scalar.plain {
                core_scalar(&scalar.text)
            } else {
                Value::String(scalar.text.clone())
            };
            same(&expected, value, env.loose)
        }
        (Kind::Scalar(scalar), value) => reads_as(&scalar.text, scalar.plain, value, env),
        (Kind::Value(expected), value) if same(expected, value, env.loose) => true,
        // What a template gave is read as the field's type, as if it had been written there.
        (Kind::Value(expected), value) if !env.typed => match expected {
            Value::String(text) => reads_as(text, false, value, env),
            Value::Number(_) | Value::Bool(_) => {
                value.is_string() && reads_as(&expected.to_string(), true, value, env)
            }
            _ => false,
        },
        _ => false,
    }
}

/// Whether a text, read as the value's type, is the value.
fn reads_as(text: &str, plain: bool, value: &Value, env: &Env) -> bool {
    let holds = match value {
        Value::String(actual) if env.text => actual == text.trim_end_matches(['\n', '\r']),
        Value::String(actual) => actual == text,
        Value::Number(actual) => {
            matches!(core_scalar(text), Value::Number(expected) if same_number(&expected, actual))
        }
        Value::Bool(actual) => text == if *actual { "true" } else { "false" },
        Value::Null => plain && core_scalar(text).is_null(),
        Value::Array(_) | Value::Object(_) => false,
    };
    holds || (env.loose && same(&Value::String(text.to_owned()), value, true))
}

/// Whether two scalars are the same: 1 = 1.0, and `1`, `"1"` and `true` where the API does not tell them apart.
fn same(expected: &Value, actual: &Value, loose: bool) -> bool {
    match (expected, actual) {
        (Value::Number(expected), Value::Number(actual)) => same_number(expected, actual),
        _ if expected == actual => true,
        _ if loose => {
            matches!((flat(expected), flat(actual)), (Some(expected), Some(actual)) if expected == actual)
        }
        _ => false,
    }
}

fn flat(value: &Value) -> Option<String> {
    match value {
        Value::Bool(bool) => Some(u8::from(*bool).to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) if text == "true" => Some("1".into()),
        Value::String(text) if text == "false" => Some("0".into()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn same_number(expected: &Number, actual: &Number) -> bool {
    expected == actual
        || match (expected.as_i128(), actual.as_i128()) {
            (Some(expected), Some(actual)) => expected == actual,
            _ => expected.as_f64().is_some() && expected.as_f64() == actual.as_f64(),
        }
}
