//! Typed readers: from a [`Node`] to a value of the type that the language's tables name.
//!
//! The same readers serve the check (where a scalar with a template is taken on trust, see [`check`]) and the engine (where
//! every template is rendered, see [`Args`]). Every error carries the user's value, its place and what to write instead.

mod args;
mod check;
mod target;

pub use args::Args;
pub use check::{check, check_fields, deferred, is_numbered};
pub(crate) use check::{reference, unknown_key};
pub use target::target;

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value;

use crate::node::{Entry, Kind, Node, core_scalar};
use crate::source::Span;
use crate::spec::Type;
use crate::suggest;

/// Why a node is not what its key wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ReadError {
    /// The rule's name, as in [`crate::spec::RULES`].
    pub rule: &'static str,
    /// Where it stands.
    pub span: Span,
    /// A lowercase fragment, the user's value in backticks.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl ReadError {
    /// An error of the rule `wrong-type`.
    pub fn new(span: Span, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            rule: "wrong-type",
            span,
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    /// From a fragment that says what is wrong and, after a colon, what to write.
    fn of_value(span: Span, text: String) -> Self {
        match text.split_once(": ") {
            Some((message, hint)) => Self::new(span, message, hint),
            None => Self {
                rule: "wrong-type",
                span,
                message: text,
                hint: None,
            },
        }
    }
}

/// What a node is, for messages: ``text `abc` ``, `a list`, `a map`.
fn found(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar(scalar) => format!("`{}`", cut(&scalar.text)),
        Kind::List(_) | Kind::Value(Value::Array(_)) => "a list".into(),
        Kind::Map(_) | Kind::Value(Value::Object(_)) => "a map".into(),
        Kind::Value(Value::Null) => "`null`".into(),
        Kind::Value(Value::String(text)) => format!("`{}`", cut(text)),
        Kind::Value(value) => format!("`{value}`"),
    }
}

/// How many characters of a value a message shows.
const SHOWN_CHARACTERS_MAX: usize = 60;

/// The first line of a text, cut for a message.
pub(crate) fn cut(text: &str) -> Cow<'_, str> {
    let line = text.lines().next().unwrap_or("");
    let short: Cow<'_, str> = match line.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}…", &line[..end])),
        None => Cow::Borrowed(line),
    };
    if text.trim_end().len() > line.len() && !short.ends_with('…') {
        Cow::Owned(format!("{short}…"))
    } else {
        short
    }
}

/// The text of a scalar: source text of what was written, the value's text of what a template gave.
///
/// # Errors
///
/// A list, a map, or null from a template.
pub fn text(node: &Node) -> Result<String, ReadError> {
    scalar_text(node, "text").map(Cow::into_owned)
}

fn scalar_text<'a>(node: &'a Node, wanted: &str) -> Result<Cow<'a, str>, ReadError> {
    match &node.kind {
        Kind::Scalar(scalar) => Ok(Cow::Borrowed(&scalar.text)),
        Kind::Value(Value::String(text)) => Ok(Cow::Borrowed(text)),
        Kind::Value(value @ (Value::Number(_) | Value::Bool(_))) => {
            Ok(Cow::Owned(value.to_string()))
        }
        _ => Err(ReadError::new(
            node.span,
            format!("{} is not {}", found(node), article(wanted)),
            format!("write {}", article(wanted)),
        )),
    }
}

fn article(noun: &str) -> String {
    let mass = noun == "text";
    if mass {
        noun.to_owned()
    } else {
        format!("a {noun}")
    }
}

/// A whole number.
///
/// # Errors
///
/// Anything else.
pub fn int(node: &Node) -> Result<i64, ReadError> {
    let text = scalar_text(node, "whole number")?;
    match core_scalar(&text) {
        Value::Number(number) if number.as_i64().is_some() => {
            Ok(number.as_i64().unwrap_or_default())
        }
        Value::Number(number)
            if number
                .as_f64()
                .is_some_and(|n| n.fract() == 0.0 && n.abs() < 9e15) =>
        {
            Ok(number.as_f64().unwrap_or_default() as i64)
        }
        _ => Err(ReadError::new(
            node.span,
            format!("`{}` is not a whole number", cut(&text)),
            "write digits, such as `22`",
        )),
    }
}

/// A number.
///
/// # Errors
///
/// Anything else.
pub fn number(node: &Node) -> Result<f64, ReadError> {
    let text = scalar_text(node, "number")?;
    core_scalar(&text).as_f64().ok_or_else(|| {
        ReadError::new(
            node.span,
            format!("`{}` is not a number", cut(&text)),
            "write a number, such as `1.5`",
        )
    })
}

/// `true` or `false`.
///
/// # Errors
///
/// Anything else, `yes`, `no`, `on`, `off`, `True` and quoted words too.
pub fn bool(node: &Node) -> Result<bool, ReadError> {
    match &node.kind {
        Kind::Value(Value::Bool(bool)) => return Ok(*bool),
        Kind::Scalar(scalar) if scalar.plain && scalar.text == "true" => return Ok(true),
        Kind::Scalar(scalar) if scalar.plain && scalar.text == "false" => return Ok(false),
        _ => {}
    }
    let hint = match scalar_text(node, "bool")
        .as_deref()
        .map(str::to_lowercase)
        .as_deref()
    {
        Ok("true" | "yes" | "on" | "y" | "1") => "write `true`",
        Ok("false" | "no" | "off" | "n" | "0") => "write `false`",
        _ => "write `true` or `false`",
    };
    let quoted = matches!(&node.kind, Kind::Scalar(scalar) if !scalar.plain && matches!(scalar.text.as_str(), "true" | "false"));
    let (message, hint) = if quoted {
        (
            format!("{} is quoted, so it is text", found(node)),
            format!("{hint} without quotes"),
        )
    } else {
        (format!("{} is not a bool", found(node)), hint.to_owned())
    };
    Err(ReadError::new(node.span, message, hint))
}

/// A duration: `250ms`, `30s`, `1h30m`, `2d`.
///
/// # Errors
///
/// Anything else, a bare number too.
pub fn duration(node: &Node) -> Result<Duration, ReadError> {
    let text = scalar_text(node, "duration")?;
    crate::value::duration(&text).map_err(|error| ReadError::of_value(node.span, error))
}

/// A size in bytes: `8GiB`, `500MB`, `4096`.
///
/// # Errors
///
/// Anything else.
pub fn size(node: &Node) -> Result<u64, ReadError> {
    let text = scalar_text(node, "size")?;
    crate::value::size(&text).map_err(|error| ReadError::of_value(node.span, error))
}

/// A regular expression, multi-line (`^` and `$` at line ends).
///
/// # Errors
///
/// One that does not compile.
pub fn regex(node: &Node) -> Result<regex::Regex, ReadError> {
    let text = scalar_text(node, "regular expression")?;
    regex::RegexBuilder::new(&text)
        .multi_line(true)
        .build()
        .map_err(|error| {
            let reason = error.to_string();
            let reason = reason
                .lines()
                .last()
                .unwrap_or("")
                .trim()
                .trim_start_matches("error: ")
                .to_owned();
            ReadError::new(
                node.span,
                format!("`{}` is not a regular expression: {reason}", cut(&text)),
                "escape what is meant as it stands: `\\.`, `\\[`",
            )
        })
}

/// A word of a list.
///
/// # Errors
///
/// Any other word; the hint names the nearest.
pub fn word(node: &Node, words: &[&'static str]) -> Result<&'static str, ReadError> {
    let text = scalar_text(node, "word")?;
    words
        .iter()
        .copied()
        .find(|word| *word == text)
        .ok_or_else(|| {
            let listed: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            let hint = suggest::did_you_mean(&text, words.iter().copied())
                .unwrap_or_else(|| format!("write {}", or(&listed)));
            ReadError::new(
                node.span,
                format!("`{}` is not {}", cut(&text), one_of(&listed)),
                hint,
            )
        })
}

fn or(listed: &[String]) -> String {
    match listed {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn one_of(listed: &[String]) -> String {
    match listed {
        [one] => one.clone(),
        _ => format!("one of {}", listed.join(", ")),
    }
}

/// Two whole numbers, `9000-9099`.
///
/// # Errors
///
/// Anything else.
pub fn range(node: &Node) -> Result<(u64, u64), ReadError> {
    let text = scalar_text(node, "range")?;
    text.split_once('-')
        .and_then(|(low, high)| Some((low.trim().parse().ok()?, high.trim().parse().ok()?)))
        .filter(|(low, high): &(u64, u64)| low <= high)
        .ok_or_else(|| {
            ReadError::new(
                node.span,
                format!("`{}` is not a range", cut(&text)),
                "write the first and the last number, `9000-9099`",
            )
        })
}

/// The items of a list; one value stands for a list of one.
pub fn items(node: &Node) -> Cow<'_, [Node]> {
    match &node.kind {
        Kind::List(items) => Cow::Borrowed(items),
        Kind::Value(Value::Array(values)) => Cow::Owned(
            values
                .iter()
                .map(|value| Node {
                    span: node.span,
                    kind: Kind::Value(value.clone()),
                })
                .collect(),
        ),
        _ => Cow::Borrowed(std::slice::from_ref(node)),
    }
}

/// The entries of a map.
///
/// # Errors
///
/// Anything that is no map.
pub fn entries(node: &Node) -> Result<Cow<'_, [Entry]>, ReadError> {
    match &node.kind {
        Kind::Map(entries) => Ok(Cow::Borrowed(entries)),
        Kind::Value(Value::Object(map)) => Ok(Cow::Owned(
            map.iter()
                .map(|(key, value)| Entry {
                    key: key.clone(),
                    key_span: node.span,
                    value: Node {
                        span: node.span,
                        kind: Kind::Value(value.clone()),
                    },
                })
                .collect(),
        )),
        _ => Err(ReadError::new(
            node.span,
            format!("{} is not a map", found(node)),
            "write `{key: value}`",
        )),
    }
}

/// A list of texts; one text stands for a list of one.
///
/// # Errors
///
/// An item that is no text.
pub fn list_of_text(node: &Node) -> Result<Vec<String>, ReadError> {
    items(node).iter().map(text).collect()
}

/// A map of texts, in order.
///
/// # Errors
///
/// Anything that is no map, a value that is no text.
pub fn map_of_text(node: &Node) -> Result<Vec<(String, String)>, ReadError> {
    entries(node)?
        .iter()
        .map(|entry| Ok((entry.key.clone(), text(&entry.value)?)))
        .collect()
}

/// The JSON value of a node by its type: durations in seconds, sizes in bytes.
///
/// # Errors
///
/// A node that is not of the type.
pub fn json(node: &Node, ty: &Type) -> Result<Value, ReadError> {
    Ok(match ty {
        Type::Int => int(node)?.into(),
        Type::Number => {
            serde_json::Number::from_f64(number(node)?).map_or(Value::Null, Value::Number)
        }
        Type::Bool => bool(node)?.into(),
        Type::Duration => serde_json::Number::from_f64(duration(node)?.as_secs_f64())
            .map_or(Value::Null, Value::Number),
        Type::Size => size(node)?.into(),
        Type::Any | Type::Do | Type::Condition | Type::Matcher => node.to_json(),
        Type::List(ty) => Value::Array(
            items(node)
                .iter()
                .map(|item| json(item, ty))
                .collect::<Result<_, _>>()?,
        ),
        Type::Map(ty) | Type::Numbered(_, ty) => Value::Object(
            entries(node)?
                .iter()
                .map(|entry| Ok((entry.key.clone(), json(&entry.value, ty)?)))
                .collect::<Result<_, ReadError>>()?,
        ),
        Type::Record(fields, _) | Type::Open(fields) => {
            let mut map = serde_json::Map::new();
            for entry in entries(node)?.iter() {
                let ty = fields
                    .iter()
                    .find(|field| field.name == entry.key)
                    .map_or(Type::Any, |field| field.ty);
                map.insert(entry.key.clone(), json(&entry.value, &ty)?);
            }
            Value::Object(map)
        }
        Type::Nullable(ty) => {
            if is_null(node) {
                Value::Null
            } else {
                json(node, ty)?
            }
        }
        Type::Either(types) => {
            let mut errors = Vec::new();
            for ty in *types {
                if check::fits(ty, node, "value", &mut errors) {
                    return json(node, ty);
                }
            }
            return Err(errors
                .pop()
                .unwrap_or_else(|| ReadError::new(node.span, "no type fits", "see the manual")));
        }
        Type::Regex
        | Type::Text
        | Type::Word(_)
        | Type::Range
        | Type::Checksum
        | Type::Commit
        | Type::Disk
        | Type::Ref
        | Type::Target
        | Type::File
        | Type::SecretName => {
            let mut errors = Vec::new();
            if !check::fits(ty, node, "value", &mut errors) {
                return Err(errors.remove(0));
            }
            Value::String(text(node)?)
        }
    })
}

/// Whether a node is null: written as an unquoted `null` or `~`, or given by a template.
pub fn is_null(node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar(scalar) => scalar.plain && core_scalar(&scalar.text).is_null(),
        Kind::Value(value) => value.is_null(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
