//! What differs between what was written and what was found: the value, or the lines.

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::field::scalar;
use super::wording::{
    LINE_CHARACTERS_MAX, TEXT_CHARACTERS_MAX, cut, describe, flow, quoted, visible,
};
use crate::node::Node;

/// How many lines a difference may have.
const DIFF_LINES_MAX: usize = 20;

/// How many lines from the first difference on are compared.
const DIFF_INPUT_LINES_MAX: usize = 400;

/// What differs from what was written: the value, or a difference when either has several lines.
pub(super) fn difference(expected: &Node, value: &Value) -> String {
    let wanted = match scalar(expected) {
        // One value and many have no lines to compare.
        Some(_) if value.is_array() || value.is_object() => return describe(value),
        Some(text) => text,
        None => pretty(&expected.to_json()),
    };
    let actual = match value {
        Value::String(text) => text.clone(),
        other => pretty(other),
    };
    let wanted = wanted.trim_end_matches('\n');
    if !wanted.contains('\n') && !actual.contains('\n') {
        let shown = describe(value);
        // `1` and `"1"` look the same.
        return if value.is_string() && shown == flow(expected) {
            quoted(&shown)
        } else {
            shown
        };
    }
    diff(wanted, &actual)
}

/// JSON for a comparison by lines; on one line when it is short.
fn pretty(value: &Value) -> String {
    let short = value.to_string();
    if short.chars().count() <= LINE_CHARACTERS_MAX {
        return describe(value);
    }
    serde_json::to_string_pretty(value).unwrap_or(short)
}

/// The lines that differ, with one line around them.
fn diff(expected: &str, actual: &str) -> String {
    let (expected, actual): (Vec<&str>, Vec<&str>) =
        (expected.split('\n').collect(), actual.split('\n').collect());
    let same = expected
        .iter()
        .zip(&actual)
        .take_while(|(expected, actual)| expected == actual)
        .count();
    // One line before the first difference, and no more than can be compared quickly.
    let from = same.saturating_sub(1);
    let window = |lines: &[&str]| -> String {
        let mut text = String::new();
        for line in lines.iter().skip(from).take(DIFF_INPUT_LINES_MAX) {
            text.push_str(line);
            text.push('\n');
        }
        text
    };
    let (expected, actual) = (window(&expected), window(&actual));
    let diff = TextDiff::from_lines(&expected, &actual);
    let mut shown = Vec::new();
    let mut total = 0;
    for (index, group) in diff.grouped_ops(1).iter().enumerate() {
        if index > 0 {
            shown.push("…".to_owned());
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            total += 1;
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            let line = change.value().trim_end_matches('\n');
            shown.push(format!(
                "{sign}{}",
                cut(&visible(line), TEXT_CHARACTERS_MAX)
            ));
        }
    }
    let rest = shown.len().saturating_sub(DIFF_LINES_MAX);
    if rest > 0 {
        shown.truncate(DIFF_LINES_MAX);
        shown.push(format!("… {rest} more lines"));
    }
    if total == 0 {
        return "differs beyond what is compared".into();
    }
    shown.join("\n")
}
