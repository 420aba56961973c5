//! Answers are loosely typed: booleans are 0 and 1, numbers may be texts, what is missing may be null.
//!
//! Readers for single values; everything that reads an answer goes through them.

use serde_json::Value;

/// A number, be it written as a text.
pub fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        _ => None,
    }
}

/// A whole number, be it written as a text.
pub fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let number = number.as_f64()?;
            (number.fract() == 0.0 && number.abs() < 9.0e15).then_some(number as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(flag) => Some(i64::from(*flag)),
        _ => None,
    }
}

/// A boolean: `1`, `"1"`, `true`, and what property strings accept.
pub fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => number.as_f64().map(|number| number != 0.0),
        Value::String(text) => match text.as_str() {
            "1" | "on" | "yes" | "true" => Some(true),
            "0" | "off" | "no" | "false" | "" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A text; a number is printed as one.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(u8::from(*flag).to_string()),
        _ => None,
    }
}

/// A text of a map.
pub(crate) fn text_of(map: &Value, key: &str) -> Option<String> {
    map.get(key).and_then(text)
}

/// A whole number of a map.
pub(crate) fn integer_of(map: &Value, key: &str) -> Option<i64> {
    map.get(key).and_then(integer)
}

/// A boolean of a map.
pub(crate) fn flag_of(map: &Value, key: &str) -> Option<bool> {
    map.get(key).and_then(flag)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_booleans_are_read_however_they_are_written() {
        assert_eq!(integer(&json!("512")), Some(512));
        assert_eq!(integer(&json!(512.0)), Some(512));
        assert_eq!(integer(&json!(5.5)), None);
        assert_eq!(number(&json!("0.25")), Some(0.25));
        assert_eq!(flag(&json!("1")), Some(true));
        assert_eq!(flag(&json!(0)), Some(false));
        assert_eq!(flag(&json!(null)), None);
        assert_eq!(text(&json!(100)), Some("100".into()));
    }
}
