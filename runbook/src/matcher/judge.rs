//! Whether a matcher holds for what was found, and what to show under Actual.
//!
//! *Missing* fails every matcher but `exists: false` and `empty: true`; a broken field fails them all. The texts are those of
//! LANGUAGE section 3: the difference, not a dump.

use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::Value;

use super::difference::difference;
use super::equal::equal;
use super::field::Found;
use super::measure::{age, between, compare};
use super::parse::{Matcher, Pattern};
use super::range::{self, AddressRange};
use super::{version, wording};
use crate::node::{Kind, Node};

/// How values are compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Env {
    /// The time, for `age`.
    pub(super) now: Timestamp,
    /// `1`, `"1"` and `true` are the same.
    pub(super) loose: bool,
    /// A plain value has YAML's own type, as in `json`; else it is read as what it is compared with.
    pub(super) typed: bool,
    /// A text without its trailing line ends is looked at.
    pub(super) text: bool,
}

/// The verdict and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) holds: bool,
    pub(super) actual: String,
}

pub(super) fn judged(holds: bool, actual: impl Into<String>) -> Judged {
    Judged {
        holds,
        actual: actual.into(),
    }
}

pub(super) fn judge(matcher: &Matcher, found: &Found<'_>, env: &Env) -> Judged {
    match found {
        Found::Value(value) => return judge_value(matcher, value, env),
        Found::Broken(_) => return judged(false, wording::shown(found)),
        Found::Missing(_) => {}
    }
    let holds = match matcher {
        Matcher::Exists(exists) => !exists,
        Matcher::Empty(empty) => *empty,
        Matcher::OneOf(members) => members.iter().any(|member| judge(member, found, env).holds),
        Matcher::All(members) => members.iter().all(|member| judge(member, found, env).holds),
        _ => false,
    };
    judged(holds, wording::shown(found))
}

pub(super) fn judge_value(matcher: &Matcher, value: &Value, env: &Env) -> Judged {
    match matcher {
        Matcher::Equals(expected) => equals(expected, value, env),
        Matcher::Contains(items) => contains(items, value, env),
        Matcher::Matches(patterns) => matches(patterns, value),
        Matcher::OneOf(members) => {
            let holds = members
                .iter()
                .any(|member| judge_value(member, value, env).holds);
            judged(holds, wording::describe(value))
        }
        Matcher::All(members) => all(members, value, env),
        Matcher::AtLeast(bound) => compare(value, *bound, |actual| actual >= bound.value),
        Matcher::AtMost(bound) => compare(value, *bound, |actual| actual <= bound.value),
        Matcher::Between(low, high) => between(value, *low, *high),
        Matcher::Version(range, _) => match value.as_str().map(|text| (text, version::first(text)))
        {
            Some((_, Some((version, shown)))) => judged(range.matches(&version), shown),
            Some((text, None)) => judged(false, format!("no version in {}", wording::quoted(text))),
            None => judged(false, format!("not a text: {}", wording::describe(value))),
        },
        Matcher::InRange(ranges) => in_range(ranges, value),
        Matcher::Age(inner) => age(inner, value, env),
        Matcher::Count(inner) => count(inner, value, env),
        Matcher::Empty(empty) => judged(is_empty(value) == *empty, wording::amount(value)),
        Matcher::Exists(exists) => judged(*exists, wording::describe(value)),
        Matcher::Every(inner) => every(inner, value, env),
        Matcher::Any(inner) => any(inner, value, env),
        Matcher::Not(members) => not(members, value, env),
        // Only at check time; nothing that is not known holds.
        Matcher::Later => judged(false, "a template was not rendered"),
    }
}

/// All in one row, inside another matcher: the first that does not hold tells what was found.
fn all(members: &[Matcher], value: &Value, env: &Env) -> Judged {
    let mut last = judged(false, wording::describe(value));
    for member in members {
        last = judge_value(member, value, env);
        if !last.holds {
            return last;
        }
    }
    last
}

fn equals(expected: &Node, value: &Value, env: &Env) -> Judged {
    if equal(expected, value, env) {
        return judged(true, wording::describe(value));
    }
    judged(false, difference(expected, value))
}

fn contains(items: &[Node], value: &Value, env: &Env) -> Judged {
    let has = |item: &Node| match value {
        Value::String(text) => {
            super::field::scalar(item).is_some_and(|item| has_text(text, &item, env))
        }
        Value::Array(values) => values.iter().any(|value| equal(item, value, env)),
        Value::Object(map) => match &item.kind {
            Kind::Map(entries) => entries.iter().all(|entry| {
                map.get(&entry.key)
                    .is_some_and(|value| equal(&entry.value, value, env))
            }),
            Kind::Value(Value::Object(entries)) => entries.iter().all(|(key, item)| {
                map.get(key).is_some_and(|value| {
                    equal(&super::parse::typed(Default::default(), item), value, env)
                })
            }),
            _ => false,
        },
        _ => false,
    };
    if !matches!(value, Value::String(_) | Value::Array(_) | Value::Object(_)) {
        return judged(
            false,
            format!("not a text, list or map: {}", wording::describe(value)),
        );
    }
    let lacking: Vec<&Node> = items.iter().filter(|item| !has(item)).collect();
    if lacking.is_empty() {
        return judged(!items.is_empty(), wording::amount(value));
    }
    judged(
        false,
        format!(
            "lacks {} in {}",
            wording::item_list(lacking),
            wording::container(value)
        ),
    )
}

/// Whether a text has another. Where it lost its last line end, it has it here: `contains: |` writes one.
fn has_text(text: &str, item: &str, env: &Env) -> bool {
    let last = item.strip_suffix('\n').filter(|_| env.text);
    text.contains(item) || last.is_some_and(|last| text.ends_with(last))
}

fn matches(patterns: &[Pattern], value: &Value) -> Judged {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return judged(false, format!("not a text: {}", wording::describe(value))),
    };
    let shown = wording::cut_text(&text, wording::TEXT_CHARACTERS_MAX);
    match patterns
        .iter()
        .find(|pattern| !pattern.regex.is_match(&text))
    {
        None => judged(!patterns.is_empty(), shown),
        Some(pattern) if patterns.len() > 1 => {
            judged(false, format!("no /{}/ in {shown}", pattern.text))
        }
        Some(_) => judged(false, shown),
    }
}

fn in_range(ranges: &[AddressRange], value: &Value) -> Judged {
    let values: &[Value] = match value {
        Value::Array(values) if values.is_empty() => return judged(false, "no addresses"),
        Value::Array(values) => values,
        single => std::slice::from_ref(single),
    };
    let inside = |address: IpAddr| ranges.iter().any(|range| range.contains(address));
    let mut outside = Vec::new();
    for value in values {
        match value.as_str().map(range::address) {
            Some(Some(address)) if inside(address) => {}
            Some(Some(address)) => outside.push(address.to_string()),
            _ => {
                return judged(
                    false,
                    format!("not an address: {}", wording::quoted_if_text(value)),
                );
            }
        }
    }
    match outside.len() {
        0 => judged(true, wording::describe(value)),
        _ if values.len() == 1 => judged(false, outside.remove(0)),
        count => judged(
            false,
            format!(
                "{count} of {} not: {}",
                values.len(),
                wording::cut(&outside.join(", "), wording::TEXT_CHARACTERS_MAX)
            ),
        ),
    }
}

fn count(inner: &Matcher, value: &Value, env: &Env) -> Judged {
    let length = match value {
        Value::Array(values) => values.len(),
        Value::Object(map) => map.len(),
        _ => {
            return judged(
                false,
                format!("not a list: {}", wording::quoted_if_text(value)),
            );
        }
    };
    let holds = judge_value(
        inner,
        &Value::from(length),
        &Env {
            typed: false,
            loose: false,
            ..*env
        },
    )
    .holds;
    judged(
        holds,
        if length == 0 {
            "0".into()
        } else {
            wording::amount(value)
        },
    )
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The items of a list by position, the values of a map by key; `None` for anything else.
fn members(value: &Value) -> Option<Vec<(String, &Value)>> {
    match value {
        Value::Array(values) => Some(
            values
                .iter()
                .enumerate()
                .map(|(index, value)| (format!("[{index}]"), value))
                .collect(),
        ),
        Value::Object(map) => Some(
            map.iter()
                .map(|(key, value)| (key.clone(), value))
                .collect(),
        ),
        _ => None,
    }
}

fn every(inner: &Matcher, value: &Value, env: &Env) -> Judged {
    let Some(members) = members(value) else {
        return judged(
            false,
            format!("not a list or map: {}", wording::quoted_if_text(value)),
        );
    };
    if members.is_empty() {
        return judged(false, "nothing to look at");
    }
    let failing: Vec<String> = members
        .iter()
        .map(|(name, value)| (name, judge_value(inner, value, env)))
        .filter(|(_, judged)| !judged.holds)
        .map(|(name, judged)| format!("{name} = {}", judged.actual))
        .collect();
    if failing.is_empty() {
        return judged(true, format!("all {}", members.len()));
    }
    judged(
        false,
        format!(
            "{} of {} not: {}",
            failing.len(),
            members.len(),
            wording::several(&failing)
        ),
    )
}

fn any(inner: &Matcher, value: &Value, env: &Env) -> Judged {
    let Some(members) = members(value) else {
        return judged(
            false,
            format!("not a list or map: {}", wording::quoted_if_text(value)),
        );
    };
    if members.is_empty() {
        return judged(false, "nothing to look at");
    }
    let looked: Vec<(String, Judged)> = members
        .iter()
        .map(|(name, value)| (name.clone(), judge_value(inner, value, env)))
        .collect();
    if let Some((name, found)) = looked.iter().find(|(_, judged)| judged.holds) {
        return judged(true, format!("{name} = {}", found.actual));
    }
    let shown: Vec<String> = looked
        .iter()
        .map(|(name, judged)| format!("{name} = {}", judged.actual))
        .collect();
    judged(
        false,
        format!("none of {}: {}", looked.len(), wording::several(&shown)),
    )
}

fn not(members: &[Matcher], value: &Value, env: &Env) -> Judged {
    let Some(holding) = members
        .iter()
        .find(|member| judge_value(member, value, env).holds)
    else {
        return judged(!members.is_empty(), wording::describe(value));
    };
    judged(false, wording::has(holding, value, members.len() > 1))
}
