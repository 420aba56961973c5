//! The fields of a step's result: what its action gave, what was captured, and what is derived from it.
//!
//! `json` and `table` are derived from a printed text when they are first looked at. Judges nothing ([`crate::matcher`]).

use std::sync::OnceLock;

use serde_json::{Map, Value};

use crate::table::Table;

/// The text fields: they lose their trailing line ends, because `echo yes` prints one.
pub const TEXT_FIELDS: &[&str] = &["stdout", "stderr", "output", "log", "body", "diff"];

/// The fields of a result by name, in the order in which they were set.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    values: Map<String, Value>,
    json: OnceLock<Result<Option<Value>, String>>,
    table: OnceLock<Option<Table>>,
}

impl Fields {
    /// A result without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a field. The texts of [`TEXT_FIELDS`] lose their trailing line ends.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        let mut value = value.into();
        if let Value::String(text) = &mut value
            && TEXT_FIELDS.contains(&name)
        {
            text.truncate(text.trim_end_matches(['\n', '\r']).len());
        }
        self.values.insert(name.to_owned(), value);
        self.json = OnceLock::new();
        self.table = OnceLock::new();
    }

    /// A field that was set.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// The names of the fields that were set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// The result parsed: the field `json` (an object, `data`), else what was printed or answered; JSON Lines are a list.
    /// `None` when nothing was printed.
    ///
    /// # Errors
    ///
    /// Why the text is not JSON.
    pub fn json(&self) -> Result<Option<&Value>, &str> {
        if let Some(value) = self.values.get("json") {
            return Ok(Some(value));
        }
        match self
            .json
            .get_or_init(|| self.printed().map_or(Ok(None), parse_json))
        {
            Ok(value) => Ok(value.as_ref()),
            Err(error) => Err(error),
        }
    }

    /// What was printed, as a table; `None` when nothing was.
    pub fn table(&self) -> Option<&Table> {
        self.table
            .get_or_init(|| self.printed().and_then(Table::parse))
            .as_ref()
    }

    fn printed(&self) -> Option<&str> {
        ["stdout", "body"]
            .into_iter()
            .find_map(|name| self.values.get(name))
            .and_then(Value::as_str)
    }
}

fn parse_json(text: &str) -> Result<Option<Value>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let error = match serde_json::from_str::<Value>(text) {
        Ok(value) => return Ok(Some(value)),
        Err(error) => error,
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    if lines.clone().count() > 1
        && let Ok(values) = lines
            .map(serde_json::from_str::<Value>)
            .collect::<Result<Vec<_>, _>>()
    {
        return Ok(Some(Value::Array(values)));
    }
    Err(format!("not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn printed(text: &str) -> Fields {
        let mut fields = Fields::new();
        fields.set("stdout", text);
        fields
    }

    #[test]
    fn texts_lose_their_trailing_line_ends() {
        assert_eq!(printed("yes \r\n\n").get("stdout"), Some(&json!("yes ")));
        let mut fields = Fields::new();
        fields.set("ip", "a\n");
        assert_eq!(fields.get("ip"), Some(&json!("a\n")));
    }

    #[test]
    fn json_is_parsed_from_what_was_printed() {
        assert_eq!(printed("{\"a\": 1}\n").json(), Ok(Some(&json!({"a": 1}))));
        assert_eq!(
            printed("{\"a\": 1}\n{\"a\": 2}\n\n").json(),
            Ok(Some(&json!([{"a": 1}, {"a": 2}])))
        );
        assert_eq!(printed(" \n").json(), Ok(None));
        assert_eq!(Fields::new().json(), Ok(None));
        let fields = printed("hello\nworld");
        let error = fields.json().unwrap_err();
        assert!(
            error.starts_with("not JSON: expected value at line 1 column 1"),
            "{error}"
        );
    }

    #[test]
    fn a_json_field_wins_and_a_new_text_is_parsed_anew() {
        let mut fields = printed("1");
        assert_eq!(fields.json(), Ok(Some(&json!(1))));
        fields.set("stdout", "2");
        assert_eq!(fields.json(), Ok(Some(&json!(2))));
        fields.set("json", json!([3]));
        assert_eq!(fields.json(), Ok(Some(&json!([3]))));
    }
}
