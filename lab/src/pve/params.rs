//! Parameters of a call: an ordered list of names and values, as form, query or JSON gave them.
//!
//! Values stay as they came (a form's `1` is a text); the accessors read them as what they are declared to be.

use serde_json::{Map, Value};

/// The parameters of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params(Map<String, Value>);

impl Params {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// From names and texts; a name that comes again makes a list.
    pub fn from_pairs<K: AsRef<str>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let mut params = Self::new();
        for (key, value) in pairs {
            params.push(key.as_ref(), value.into());
        }
        params
    }

    /// From a JSON object.
    pub fn from_map(map: Map<String, Value>) -> Self {
        Self(map)
    }

    /// Adds a text; a second one under a name makes a list.
    pub fn push(&mut self, key: &str, value: String) {
        match self.0.get_mut(key) {
            None => {
                self.0.insert(key.to_owned(), Value::String(value));
            }
            Some(Value::Array(list)) => list.push(Value::String(value)),
            Some(one) => *one = Value::Array(vec![one.take(), Value::String(value)]),
        }
    }

    /// Sets a value, in place of what was there.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.0.shift_remove(key)
    }

    /// The value as it came.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Whether it was given, and is not null.
    pub fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|value| !value.is_null())
    }

    /// As text.
    pub fn text(&self, key: &str) -> Option<String> {
        plain(self.0.get(key)?)
    }

    /// As number.
    pub fn int(&self, key: &str) -> Option<i64> {
        self.text(key)?.trim_start_matches('+').parse().ok()
    }

    /// As boolean; absent is `false`.
    pub fn flag(&self, key: &str) -> bool {
        self.flag_or(key, false)
    }

    /// As boolean, with what it is when absent.
    pub fn flag_or(&self, key: &str, absent: bool) -> bool {
        self.text(key)
            .map_or(absent, |text| matches!(text.as_str(), "1" | "true"))
    }

    /// As list: an array's items, or a text split at commas, semicolons, spaces and NUL.
    pub fn list(&self, key: &str) -> Vec<String> {
        match self.0.get(key) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items.iter().filter_map(plain).collect(),
            Some(one) => split_list(&plain(one).unwrap_or_default()),
        }
    }

    /// Names and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn map_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.0
    }
}

/// Splits as the API's `-list` formats do; empty entries are dropped.
pub(crate) fn split_list(text: &str) -> Vec<String> {
    text.split([',', ';', ' ', '\t', '\n', '\r', '\0'])
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A scalar as text; booleans as 1 and 0.
pub(crate) fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(u8::from(*flag).to_string()),
        _ => None,
    }
}
