//! What an expectation or a capture looks at: a field, a path of `json`, a cell of `table`, a key of a map.
//!
//! Three ends: a value, *missing* (with the reason, when there is one to tell), or broken (what was printed is no JSON),
//! which nothing matches, not even `exists: false`.

use std::borrow::Cow;

use serde_json::{Map, Value};
use serde_json_path::JsonPath;

use super::wording;
use crate::model::Expectation;
use crate::node::{Kind, Node};
use crate::result::Fields;
use crate::spec::FieldKind;
use crate::table::{Table, row_name};

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found<'a> {
    /// A value, even null.
    Value(Cow<'a, Value>),
    /// Nothing; why, when that helps.
    Missing(String),
    /// The field cannot be looked at.
    Broken(String),
}

impl Found<'_> {
    pub(crate) fn is_value(&self) -> bool {
        matches!(self, Self::Value(_))
    }
}

/// What an expectation looks at.
pub(super) enum Look<'a> {
    /// One value.
    Value(Found<'a>),
    /// The cells of a column by row, of which each must match.
    EveryRow(Found<'a>),
    /// The rows of a name that should have none.
    Absent {
        /// The rows as text.
        rows: Vec<String>,
    },
}

pub(super) fn look<'a>(expectation: &Expectation, fields: &'a Fields, kind: FieldKind) -> Look<'a> {
    let field = expectation.field.as_str();
    let Some(key) = &expectation.key else {
        return Look::Value(whole(field, fields, kind));
    };
    let Some(key) = scalar(key) else {
        return Look::Value(Found::Broken(format!(
            "`{}` is not a key",
            wording::flow(key)
        )));
    };
    match kind {
        FieldKind::Json => Look::Value(by_path(fields, &key)),
        FieldKind::Table => look_in_table(expectation, fields, &key),
        FieldKind::Map | FieldKind::Text | FieldKind::Value => {
            Look::Value(by_key(field, fields, &key))
        }
    }
}

fn look_in_table<'a>(expectation: &Expectation, fields: &'a Fields, row: &str) -> Look<'a> {
    let Some(column) = &expectation.column else {
        if expectation.matcher.as_text() == Some("absent") {
            return Look::Absent {
                rows: rows_of(fields.table(), row),
            };
        }
        return Look::Value(Found::Broken(
            "a row is looked at by its columns, or is `absent`".into(),
        ));
    };
    let column = scalar(column).unwrap_or_default();
    let Some(table) = fields.table() else {
        return Look::Value(Found::Missing("no table: nothing was printed".into()));
    };
    if row != "*" && table.rows_named(row).next().is_none() {
        return Look::Value(Found::Missing(format!(
            "no row `{row}` among {}",
            wording::names(&table.row_names())
        )));
    }
    let Some(index) = table.column(&column) else {
        let header: Vec<&str> = table.header.iter().map(String::as_str).collect();
        return Look::Value(Found::Missing(format!(
            "no column `{column}` among {}",
            wording::names(&header)
        )));
    };
    if row == "*" {
        return Look::EveryRow(by_row(table.rows.iter().map(Vec::as_slice), index));
    }
    let mut cells = table.rows_named(row).map(|row| row[index].clone());
    match (cells.next(), cells.next()) {
        (Some(cell), None) => Look::Value(Found::Value(Cow::Owned(Value::String(cell)))),
        // A name that several rows have means them all.
        _ => Look::EveryRow(by_row(table.rows_named(row), index)),
    }
}

/// The cells of a column by their rows' names, which may come more than once.
fn by_row<'a>(rows: impl Iterator<Item = &'a [String]>, index: usize) -> Found<'static> {
    let mut cells = Map::new();
    for row in rows {
        let name = row_name(row);
        let mut key = name.to_owned();
        let mut count = 1;
        while cells.contains_key(&key) {
            count += 1;
            key = format!("{name} ({count})");
        }
        cells.insert(key, Value::String(row[index].clone()));
    }
    Found::Value(Cow::Owned(Value::Object(cells)))
}

fn rows_of(table: Option<&Table>, row: &str) -> Vec<String> {
    let Some(table) = table else {
        return Vec::new();
    };
    let text = |row: &[String]| row.join("  ");
    if row == "*" {
        return table.rows.iter().map(|row| text(row)).collect();
    }
    table.rows_named(row).map(text).collect()
}

/// A field as it is.
pub(crate) fn whole<'a>(field: &str, fields: &'a Fields, kind: FieldKind) -> Found<'a> {
    match kind {
        FieldKind::Json => match fields.json() {
            Ok(Some(value)) => Found::Value(Cow::Borrowed(value)),
            Ok(None) => Found::Missing(String::new()),
            Err(error) => Found::Broken(error.to_owned()),
        },
        FieldKind::Table => match fields.table() {
            Some(table) => Found::Value(Cow::Owned(Value::Array(
                table.rows.iter().map(|row| object(table, row)).collect(),
            ))),
            None => Found::Missing(String::new()),
        },
        FieldKind::Text | FieldKind::Map | FieldKind::Value => match fields.get(field) {
            Some(value) => Found::Value(Cow::Borrowed(value)),
            None => Found::Missing(String::new()),
        },
    }
}

fn object(table: &Table, row: &[String]) -> Value {
    Value::Object(
        table
            .header
            .iter()
            .cloned()
            .zip(row.iter().cloned().map(Value::String))
            .collect(),
    )
}

/// What a path finds: one value or *missing* for a path of names and indexes only, else the list of what there is.
pub(crate) fn by_path<'a>(fields: &'a Fields, path: &str) -> Found<'a> {
    let parsed = match parse_path(path) {
        Ok(parsed) => parsed,
        Err(error) => return Found::Broken(error),
    };
    let document = match fields.json() {
        Ok(Some(document)) => document,
        Ok(None) => return Found::Missing(String::new()),
        Err(error) => return Found::Broken(error.to_owned()),
    };
    let nodes = parsed.query(document);
    if is_singular(path) {
        return match nodes.first() {
            Some(value) => Found::Value(Cow::Borrowed(value)),
            None => Found::Missing(String::new()),
        };
    }
    Found::Value(Cow::Owned(Value::Array(
        nodes.into_iter().cloned().collect(),
    )))
}

/// Reads a path of RFC 9535.
pub(crate) fn parse_path(path: &str) -> Result<JsonPath, String> {
    JsonPath::parse(path).map_err(|error| {
        let hint = match path {
            path if !path.starts_with('$') => "; a path begins with `$`",
            path if path.contains('-') => "; write names with `-` as `['a-b']`",
            _ => "",
        };
        format!("`{path}` is not a JSON path: {}{hint}", error.message())
    })
}

/// Whether a valid path holds names and indexes only.
fn is_singular(path: &str) -> bool {
    let mut rest = path
        .trim()
        .strip_prefix('$')
        .unwrap_or_default()
        .trim_start();
    while !rest.is_empty() {
        if let Some(name) = rest.strip_prefix('.') {
            let name = name.trim_start();
            let end = name
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || !c.is_ascii()))
                .unwrap_or(name.len());
            if end == 0 {
                return false;
            }
            rest = name[end..].trim_start();
        } else if let Some(inside) = rest.strip_prefix('[') {
            let Some(after) = after_selector(inside.trim_start()) else {
                return false;
            };
            let Some(after) = after.trim_start().strip_prefix(']') else {
                return false;
            };
            rest = after.trim_start();
        } else {
            return false;
        }
    }
    true
}

/// What follows one name or index in brackets.
fn after_selector(text: &str) -> Option<&str> {
    let first = text.chars().next()?;
    if first == '\'' || first == '"' {
        let mut escaped = false;
        for (index, c) in text.char_indices().skip(1) {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == first => return text.get(index + 1..),
                _ => {}
            }
        }
        return None;
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    (end > 0).then(|| &digits[end..])
}

/// A key of a map; names of headers are looked up without regard to case.
pub(crate) fn by_key<'a>(field: &str, fields: &'a Fields, key: &str) -> Found<'a> {
    let map = match fields.get(field) {
        Some(Value::Object(map)) => map,
        Some(other) => return Found::Broken(format!("not a map: {}", wording::describe(other))),
        None => return Found::Missing(String::new()),
    };
    let found = map.get(key).or_else(|| {
        map.iter()
            .find(|(name, _)| field == "header" && name.eq_ignore_ascii_case(key))
            .map(|(_, value)| value)
    });
    match found {
        Some(value) => Found::Value(Cow::Borrowed(value)),
        None if map.is_empty() => Found::Missing(String::new()),
        None => Found::Missing(format!(
            "no `{key}` among {}",
            wording::names(&map.keys().map(String::as_str).collect::<Vec<_>>())
        )),
    }
}

/// A cell of the table, for `capture`.
pub(crate) fn cell(fields: &Fields, row: &str, column: &str) -> Result<Value, String> {
    let table = fields.table().ok_or("no table: nothing was printed")?;
    let header: Vec<&str> = table.header.iter().map(String::as_str).collect();
    let index = table
        .column(column)
        .ok_or_else(|| format!("no column `{column}` among {}", wording::names(&header)))?;
    let row = table.rows_named(row).next().ok_or_else(|| {
        format!(
            "no row `{row}` among {}",
            wording::names(&table.row_names())
        )
    })?;
    Ok(Value::String(row[index].clone()))
}

/// The text of a key or a selector.
pub(crate) fn scalar(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Scalar(scalar) => Some(scalar.text.clone()),
        Kind::Value(Value::String(text)) => Some(text.clone()),
        Kind::Value(value @ (Value::Number(_) | Value::Bool(_))) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_names_and_indexes_are_singular() {
        for path in [
            "$",
            "$.a",
            "$.a.b_1",
            "$['a b'].c",
            "$[0]",
            "$[-1]['x']",
            "$ .a [ 0 ]",
            "$.ä",
            r#"$["a\"]"]"#,
        ] {
            assert!(parse_path(path).is_ok(), "{path}");
            assert!(is_singular(path), "{path}");
        }
        for path in [
            "$.*",
            "$[*]",
            "$..a",
            "$[0,1]",
            "$[1:2]",
            "$[?@.a == 1]",
            "$.a[?@.b].c",
            "$['a','b']",
        ] {
            assert!(parse_path(path).is_ok(), "{path}");
            assert!(!is_singular(path), "{path}");
        }
    }

    #[test]
    fn wrong_paths_say_what_to_write() {
        assert!(parse_path(".a").unwrap_err().contains("begins with `$`"));
        assert!(parse_path("$.a-b").unwrap_err().contains("`['a-b']`"));
    }
}
