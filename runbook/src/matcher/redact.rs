//! Takes secrets out of what is shown, before anything is cut: half a secret is one too.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::Redact;
use super::field::Found;
use crate::node::{Entry, Kind, Node, Scalar};

/// What was found without secrets; `None` when it has none.
pub(super) fn found(found: &Found<'_>, redact: Redact<'_>) -> Option<Found<'static>> {
    match found {
        Found::Value(own) => value(own, redact).map(|value| Found::Value(Cow::Owned(value))),
        Found::Missing(reason) => redact(reason).map(Found::Missing),
        Found::Broken(reason) => redact(reason).map(Found::Broken),
    }
}

fn value(own: &Value, redact: Redact<'_>) -> Option<Value> {
    match own {
        Value::String(text) => redact(text).map(Value::String),
        Value::Array(items) => changed(items, |item| value(item, redact)).map(Value::Array),
        Value::Object(map) => {
            let entries: Vec<(&String, &Value)> = map.iter().collect();
            let entry = |(key, own): &(&String, &Value)| match (redact(key), value(own, redact)) {
                (None, None) => None,
                (key_shown, shown) => Some((
                    key_shown.unwrap_or_else(|| (*key).clone()),
                    shown.unwrap_or_else(|| (*own).clone()),
                )),
            };
            if !entries.iter().any(|pair| entry(pair).is_some()) {
                return None;
            }
            let keep = |pair: &(&String, &Value)| (pair.0.clone(), pair.1.clone());
            let shown: Map<String, Value> = entries
                .iter()
                .map(|pair| entry(pair).unwrap_or_else(|| keep(pair)))
                .collect();
            Some(Value::Object(shown))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// A node without secrets; `None` when it has none.
pub(super) fn node(own: &Node, redact: Redact<'_>) -> Option<Node> {
    let kind = match &own.kind {
        Kind::Scalar(scalar) => Kind::Scalar(Scalar {
            text: redact(&scalar.text)?,
            plain: false,
        }),
        Kind::Value(own) => Kind::Value(value(own, redact)?),
        Kind::List(items) => Kind::List(changed(items, |item| node(item, redact))?),
        Kind::Map(entries) => Kind::Map(changed(entries, |entry| {
            Some(Entry {
                value: node(&entry.value, redact)?,
                key: entry.key.clone(),
                key_span: entry.key_span,
            })
        })?),
    };
    Some(Node {
        span: own.span,
        kind,
    })
}

/// The items with their changes; `None` when none changed.
fn changed<T: Clone>(items: &[T], change: impl Fn(&T) -> Option<T>) -> Option<Vec<T>> {
    let shown: Vec<Option<T>> = items.iter().map(change).collect();
    if shown.iter().all(Option::is_none) {
        return None;
    }
    Some(
        shown
            .into_iter()
            .zip(items)
            .map(|(shown, item)| shown.unwrap_or_else(|| item.clone()))
            .collect(),
    )
}
