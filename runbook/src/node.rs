//! A YAML value with its place in the chapter: what options, front matter, inventory and manifests are read into.
//!
//! Scalars keep their source text (`1.10`, `no`, `0644` are texts where a text is wanted); which type a scalar has is decided
//! by the key that reads it ([`crate::read`]). After templates were rendered a node may hold a typed value ([`Kind::Value`]).

use serde_json::Value;

use crate::source::Span;

/// A YAML value and its span in the chapter's source.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A scalar with its source text.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order in which it was written.
    Map(Vec<Entry>),
    /// A typed value: what a scalar that was exactly one template gave when it was rendered.
    Value(Value),
}

/// A scalar: its text after YAML's own escapes, and whether it was plain (unquoted, so that `any` may give it a type).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text.
    pub text: String,
    /// Unquoted: YAML 1.2 core types apply where the key's type is `any`.
    pub plain: bool,
}

/// One entry of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl Node {
    /// A text scalar that is not plain.
    pub fn text(span: Span, text: impl Into<String>) -> Self {
        Self {
            span,
            kind: Kind::Scalar(Scalar {
                text: text.into(),
                plain: false,
            }),
        }
    }

    /// The scalar's text, when it is a scalar.
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(&scalar.text),
            Kind::Value(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The entries, when it is a map that was written.
    pub fn as_map(&self) -> Option<&[Entry]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items, when it is a list that was written.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            _ => None,
        }
    }

    /// The value under a key, when it is a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    /// The JSON value, scalars by YAML 1.2 core types where they are plain (`any`).
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Scalar(scalar) if scalar.plain => core_scalar(&scalar.text),
            Kind::Scalar(scalar) => Value::String(scalar.text.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Kind::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.to_json()))
                    .collect(),
            ),
            Kind::Value(value) => value.clone(),
        }
    }
}

/// A plain scalar's value by the YAML 1.2 core schema.
pub fn core_scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    if let Some(hex) = text.strip_prefix("0x") {
        if let Ok(number) = i64::from_str_radix(hex, 16) {
            return number.into();
        }
    } else if let Some(octal) = text.strip_prefix("0o")
        && let Ok(number) = i64::from_str_radix(octal, 8)
    {
        return number.into();
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        let signed = text.strip_prefix('+').unwrap_or(text);
        if let Ok(number) = signed.parse::<i64>() {
            return number.into();
        }
        if let Ok(number) = signed.parse::<u64>() {
            return number.into();
        }
    }
    if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.bytes().any(|b| b.is_ascii_digit())
        && digits
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))
        && let Ok(number) = text.parse::<f64>()
        && let Some(number) = serde_json::Number::from_f64(number)
    {
        return Value::Number(number);
    }
    Value::String(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_scalars_have_yaml_1_2_core_types() {
        for (text, value) in [
            ("1", json!(1)),
            ("-1", json!(-1)),
            ("+1", json!(1)),
            ("1.10", json!(1.10)),
            ("1e3", json!(1000.0)),
            ("0x1f", json!(31)),
            ("0o17", json!(15)),
            ("0644", json!(644)),
            ("no", json!("no")),
            ("true", json!(true)),
            ("~", json!(null)),
            ("1.2.3", json!("1.2.3")),
            ("-", json!("-")),
            (".", json!(".")),
        ] {
            assert_eq!(core_scalar(text), value, "{text}");
        }
    }
}
