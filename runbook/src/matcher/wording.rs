//! How matchers and values read for people: the columns Expected and Actual.
//!
//! Everything is bounded, and control characters are shown as what they are. Judges nothing.

use serde_json::Value;

use super::field::{Found, scalar};
use super::parse::Matcher;
use crate::node::{Kind, Node};

/// How many characters of a text are shown.
pub(super) const TEXT_CHARACTERS_MAX: usize = 200;
/// How many characters of one line of several are shown.
pub(super) const LINE_CHARACTERS_MAX: usize = 80;
/// How many items of a list of findings are named.
const ITEMS_MAX: usize = 5;

/// What is expected, as text.
pub(super) fn expected(matcher: &Matcher) -> String {
    match matcher {
        Matcher::All(members) => join(members, " and "),
        Matcher::Equals(node) => match scalar(node) {
            Some(text) if text.contains('\n') => lines(text.trim_end_matches('\n')),
            _ => flow(node),
        },
        Matcher::Contains(items) => format!("contains {}", item_list(items)),
        Matcher::Matches(patterns) => {
            format!(
                "matches {}",
                patterns
                    .iter()
                    .map(|pattern| format!("/{}/", pattern.text))
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
        Matcher::OneOf(members) => format!("one of {}", join(members, ", ")),
        Matcher::AtLeast(bound) => format!("at least {bound}"),
        Matcher::AtMost(bound) => format!("at most {bound}"),
        Matcher::Between(low, high) => format!("between {low} and {high}"),
        Matcher::Version(_, text) => format!("version {text}"),
        Matcher::InRange(ranges) => {
            format!(
                "in {}",
                ranges
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
        Matcher::Age(inner) => format!("age {}", expected(inner)),
        Matcher::Count(inner) => format!("count {}", expected(inner)),
        Matcher::Empty(true) => "empty".into(),
        Matcher::Empty(false) => "not empty".into(),
        Matcher::Exists(true) => "exists".into(),
        Matcher::Exists(false) => "does not exist".into(),
        Matcher::Every(inner) => format!("every {}", expected(inner)),
        Matcher::Any(inner) => format!("any {}", expected(inner)),
        Matcher::Not(members) => members
            .iter()
            .map(|member| format!("not {}", expected(member)))
            .collect::<Vec<_>>()
            .join(", "),
        Matcher::Later => "(known when the step runs)".into(),
    }
}

/// What is expected, beside what was found: a text that would look like the number it is not has quotes.
pub(super) fn expected_beside(matcher: &Matcher, found: &Found<'_>) -> String {
    let text = expected(matcher);
    if let (Matcher::Equals(node), Found::Value(value)) = (matcher, found)
        && !value.is_string()
        && is_text(node)
        && text == describe(value)
    {
        return quoted(&text);
    }
    text
}

fn is_text(node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar(scalar) => !scalar.plain,
        Kind::Value(value) => value.is_string(),
        _ => false,
    }
}

fn join(members: &[Matcher], between: &str) -> String {
    members
        .iter()
        .map(expected)
        .collect::<Vec<_>>()
        .join(between)
}

/// A value as it was written, on one line.
pub(super) fn flow(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar(scalar) => plain_text(&scalar.text),
        Kind::Value(value) => describe(value),
        Kind::List(items) => format!(
            "[{}]",
            items.iter().map(flow).collect::<Vec<_>>().join(", ")
        ),
        Kind::Map(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|entry| format!("{}: {}", entry.key, flow(&entry.value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// Items of `contains`: texts in quotes.
pub(super) fn item_list<'a>(items: impl IntoIterator<Item = &'a Node>) -> String {
    let item = |node: &Node| match &node.kind {
        Kind::Scalar(scalar) => quoted(&scalar.text),
        Kind::Value(Value::String(text)) => quoted(text),
        _ => flow(node),
    };
    items.into_iter().map(item).collect::<Vec<_>>().join(", ")
}

/// A value on one line, bounded.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::String(text) if text.contains('\n') => lines(text),
        Value::String(text) => plain_text(text),
        Value::Array(_) | Value::Object(_) => {
            let mut text = String::new();
            write_flow(&mut text, value);
            cut(&text, TEXT_CHARACTERS_MAX)
        }
        other => other.to_string(),
    }
}

/// Appends a value on one line, and stops when there is more than will be shown: values may be large.
fn write_flow(text: &mut String, value: &Value) {
    const BYTES_MAX: usize = TEXT_CHARACTERS_MAX * 4;
    match value {
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if text.len() > BYTES_MAX {
                    return;
                }
                text.push_str(if index > 0 { ", " } else { "" });
                write_flow(text, item);
            }
            text.push(']');
        }
        Value::Object(map) => {
            text.push('{');
            for (index, (key, value)) in map.iter().enumerate() {
                if text.len() > BYTES_MAX {
                    return;
                }
                text.push_str(&format!(
                    "{}{}: ",
                    if index > 0 { ", " } else { "" },
                    cut(key, LINE_CHARACTERS_MAX)
                ));
                write_flow(text, value);
            }
            text.push('}');
        }
        scalar => text.push_str(&describe(scalar)),
    }
}

/// What was found, on one line.
pub(super) fn shown(found: &Found<'_>) -> String {
    match found {
        Found::Value(value) => describe(value),
        Found::Missing(reason) if reason.is_empty() => "missing".into(),
        Found::Missing(reason) => format!("missing: {reason}"),
        Found::Broken(reason) => reason.clone(),
    }
}

/// How much of it there is: `3 lines: first …`, `2: a, b`.
pub(super) fn amount(value: &Value) -> String {
    match value {
        Value::Array(items) if items.is_empty() => "no items".into(),
        Value::Array(items) => {
            format!(
                "{}: {}",
                items.len(),
                first_names(items.iter().map(item_name))
            )
        }
        Value::Object(map) if map.is_empty() => "no entries".into(),
        Value::Object(map) => {
            format!("{}: {}", map.len(), first_names(map.keys().cloned()))
        }
        Value::String(text) if text.trim().is_empty() => "empty".into(),
        other => describe(other),
    }
}

/// The first names of many, bounded.
fn first_names(names: impl Iterator<Item = String>) -> String {
    let shown: Vec<String> = names.take(TEXT_CHARACTERS_MAX).collect();
    cut(&shown.join(", "), TEXT_CHARACTERS_MAX)
}

/// Where something is lacking: `14 lines`, `"one line"`, `3 items: a, b, c`.
pub(super) fn container(value: &Value) -> String {
    match value {
        Value::String(text) if text.contains('\n') => format!("{} lines", text.lines().count()),
        Value::String(text) if text.is_empty() => "an empty text".into(),
        Value::String(text) => quoted(text),
        Value::Array(items) if items.is_empty() => "an empty list".into(),
        Value::Object(map) if map.is_empty() => "an empty map".into(),
        other => amount(other),
    }
}

/// A text of several lines: how many, and the first.
fn lines(text: &str) -> String {
    let first = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    format!(
        "{} lines: {} …",
        text.lines().count(),
        cut(&visible(first.trim()), LINE_CHARACTERS_MAX)
    )
}

/// What an item of a list is called: its text, its name, its start.
pub(super) fn item_name(value: &Value) -> String {
    let name = value.get("name").or_else(|| {
        value
            .get("metadata")
            .and_then(|metadata| metadata.get("name"))
    });
    match name.and_then(Value::as_str) {
        Some(name) => plain_text(name),
        None => cut(&describe(value), LINE_CHARACTERS_MAX),
    }
}

/// Findings in a row, the first few of them.
pub(super) fn several(findings: &[String]) -> String {
    let shown: Vec<String> = findings
        .iter()
        .take(ITEMS_MAX)
        .map(|finding| cut(finding, LINE_CHARACTERS_MAX))
        .collect();
    let more = findings.len().saturating_sub(ITEMS_MAX);
    if more > 0 {
        format!("{} and {more} more", shown.join(", "))
    } else {
        shown.join(", ")
    }
}

/// Names that there are instead.
pub(super) fn names(names: &[&str]) -> String {
    const NAMES_MAX: usize = 10;
    if names.is_empty() {
        return "none".into();
    }
    let shown: Vec<String> = names
        .iter()
        .take(NAMES_MAX)
        .map(|name| plain_text(name))
        .collect();
    let more = names.len().saturating_sub(NAMES_MAX);
    if more > 0 {
        format!("{} and {more} more", shown.join(", "))
    } else {
        shown.join(", ")
    }
}

/// What holds and should not: where a text has it, else the value.
pub(super) fn has(holding: &Matcher, value: &Value, several: bool) -> String {
    let Some(text) = value.as_str().filter(|text| text.contains('\n')) else {
        return describe(value);
    };
    let (found, what) = match holding {
        Matcher::Contains(items) if items.len() == 1 => (
            scalar(&items[0]).and_then(|item| text.find(&item)),
            item_list(items),
        ),
        Matcher::Matches(patterns) if patterns.len() == 1 => (
            patterns[0].regex.find(text).map(|found| found.start()),
            format!("/{}/", patterns[0].text),
        ),
        _ => (None, String::new()),
    };
    match found {
        Some(offset) => {
            let line = text[..offset].matches('\n').count() + 1;
            format!(
                "line {line} has {}",
                if several { what.as_str() } else { "it" }
            )
        }
        None => describe(value),
    }
}

/// A text as it is; in quotes where it would not be seen.
fn plain_text(text: &str) -> String {
    if text.is_empty() || text != text.trim() || text.contains('\n') {
        return quoted(text);
    }
    cut(&visible(text), TEXT_CHARACTERS_MAX)
}

/// A text in quotes, bounded.
pub(super) fn quoted(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{}\"", cut(&visible(&escaped), TEXT_CHARACTERS_MAX))
}

pub(super) fn quoted_if_text(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => describe(other),
    }
}

/// A text with its line ends, bounded; in quotes where it would not be seen.
pub(super) fn cut_text(text: &str, characters: usize) -> String {
    if text.trim().is_empty() {
        return quoted(text);
    }
    let lines: Vec<String> = text.split('\n').map(visible).collect();
    cut(&lines.join("\n"), characters)
}

/// Control characters as what they are: `\r`, `\u{1b}`.
pub(super) fn visible(text: &str) -> String {
    if !text.chars().any(|c| c.is_control() && c != '\t') {
        return text.to_owned();
    }
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}

/// The beginning of a text: at most so many characters, the last one `…` when something was left out.
pub fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some(_) => {
            let end = text
                .char_indices()
                .nth(characters.saturating_sub(1))
                .map_or(0, |(index, _)| index);
            format!("{}…", &text[..end])
        }
    }
}
