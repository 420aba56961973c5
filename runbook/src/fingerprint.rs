//! The fingerprint of a result: a hash over everything that, when it changes, makes the result stale.
//!
//! It covers what is executed (the action, its arguments, the keys that decide how it is judged), the values that it used, the
//! files that it includes or builds from and the profile. What only reads differently (`title`, `hidden`, `hints`, the gate's text, `tags`,
//! `owner`) and what only orders steps (`needs`) is left out, so are the order of keys and the way a value is quoted.
//!
//! The target's identity is recorded beside it and compared by [`crate::status`]: it is not known before a run. Of values that
//! only a run has (`steps`, `secret`, items of `each`) the names are covered.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::model::{Form, Guide, Include, Step};
use crate::node::{Kind, Node, core_scalar};
use crate::template::{Path, Scope, expressions, has_template, names};

/// Stands before each fingerprint; another version's are never equal.
const VERSION: &str = "1:";

/// Keys that are not part of what is executed and how it is judged. `gate` counts as being there, `on` and `timeout` with the
/// guide's defaults.
const LEFT_OUT: &[&str] = &[
    "id", "title", "hidden", "hints", "needs", "tags", "owner", "gate", "on", "timeout", "effect",
];

/// The fingerprint of a step in its guide. `scope` holds `vars`, `inventory` and `profile` ([`crate::values`]).
pub fn of(step: &Step, guide: &Guide, scope: &Scope) -> String {
    let mut text = String::from(VERSION);
    for byte in Sha256::digest(content(step, guide, scope).as_bytes()) {
        // Writing to a text never fails.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What is hashed: JSON with its keys in order.
fn content(step: &Step, guide: &Guide, scope: &Scope) -> String {
    let mut keys: BTreeMap<&str, String> = BTreeMap::new();
    let mut used = Used::default();
    for entry in step.node.as_map().unwrap_or_default() {
        if LEFT_OUT.contains(&entry.key.as_str()) {
            continue;
        }
        let ordered = entry.key == "each";
        keys.insert(
            &entry.key,
            if ordered {
                in_order(&entry.value)
            } else {
                canonical(&entry.value)
            },
        );
        if entry.key == step.action.name && !step.keys.template {
            continue;
        }
        used.node(&entry.value);
        if ordered {
            used.groups(&entry.value);
        }
    }
    let timeout = step.keys.timeout.as_ref().or(guide.front.timeout.as_ref());
    for (key, node) in [("on", Some(&step.target)), ("timeout", timeout)] {
        if let Some(node) = node {
            keys.insert(key, canonical(node));
            used.node(node);
        }
    }
    used.target(&step.target, scope);
    let mut included: Vec<&Include> = step.includes.iter().collect();
    included.sort_by(|a, b| a.path.cmp(&b.path));
    let mut text = String::from("{\"action\":");
    push_text(&mut text, step.action.name);
    text.push_str(",\"effect\":");
    push_text(&mut text, step.effect.as_str());
    text.push_str(match step.form {
        Form::Typed => ",\"form\":\"typed\"",
        Form::Native(_) => ",\"form\":\"native\"",
    });
    text.push_str(if step.keys.gate.is_some() {
        ",\"gate\":true"
    } else {
        ",\"gate\":false"
    });
    text.push_str(",\"files\":");
    push_map(
        &mut text,
        included
            .iter()
            .map(|file| (file.path.as_str(), format!("\"{}\"", file.sha256))),
    );
    text.push_str(",\"keys\":");
    push_map(&mut text, keys);
    text.push_str(",\"profile\":");
    push_value(&mut text, &used.profile(scope));
    text.push_str(",\"values\":");
    push_map(
        &mut text,
        used.values(scope)
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone())),
    );
    text.push('}');
    text
}

/// The names that a step uses.
#[derive(Default)]
struct Used {
    paths: BTreeMap<String, Path>,
}

impl Used {
    fn node(&mut self, node: &Node) {
        match &node.kind {
            Kind::Scalar(scalar) if has_template(&scalar.text) => self.text(&scalar.text),
            Kind::List(items) => items.iter().for_each(|item| self.node(item)),
            Kind::Map(entries) => entries.iter().for_each(|entry| self.node(&entry.value)),
            Kind::Scalar(_) | Kind::Value(_) => {}
        }
    }

    fn text(&mut self, text: &str) {
        for path in expressions(text)
            .iter()
            .flat_map(|expression| names(expression.source))
        {
            self.paths.insert(path.text(), path);
        }
    }

    /// `each: {on: nodes.*}` uses a whole group of the inventory.
    fn groups(&mut self, each: &Node) {
        for entry in each.as_map().unwrap_or_default() {
            if let Some(group) = entry
                .value
                .as_text()
                .and_then(|text| text.strip_suffix(".*"))
            {
                self.text(&format!("{{{{ inventory.{group} }}}}"));
            }
        }
    }

    /// What the inventory says of the target.
    fn target(&mut self, on: &Node, scope: &Scope) {
        let Some(text) = on.as_text() else { return };
        // A target that only a run knows has no entry yet.
        let Ok(Value::String(target)) = scope.render_text(text) else {
            return;
        };
        let group = match target.split_once('/') {
            Some(("node", name)) => ("nodes", name),
            Some(("lxc" | "vm", name)) => ("guests", name),
            Some(("host", name)) => ("hosts", name),
            Some(("cluster", name)) => ("clusters", name),
            _ => return,
        };
        self.text(&format!("{{{{ inventory.{}[{:?}] }}}}", group.0, group.1));
    }

    fn values(&self, scope: &Scope) -> Vec<(String, String)> {
        let value = |path: &Path| match path.root() {
            "vars" | "inventory" | "profile" => match scope.value(path) {
                Some(value) => {
                    let mut text = String::new();
                    push_value(&mut text, &value);
                    text
                }
                None => "undefined".into(),
            },
            _ => "later".into(),
        };
        self.paths
            .iter()
            .map(|(name, path)| (name.clone(), value(path)))
            .collect()
    }

    fn profile(&self, scope: &Scope) -> Value {
        names("profile.name")
            .first()
            .and_then(|path| scope.value(path))
            .unwrap_or(Value::Null)
    }
}

/// A node without its way of writing: keys in order, a text the same in every style. A plain scalar that YAML takes for
/// something else than a text is told apart from the text.
fn canonical(node: &Node) -> String {
    let mut text = String::new();
    push_node(&mut text, node);
    text
}

/// A map whose order means something: in `each` the first name is outermost.
fn in_order(node: &Node) -> String {
    let Some(entries) = node.as_map() else {
        return canonical(node);
    };
    let mut text = String::from("[");
    for (index, entry) in entries.iter().enumerate() {
        text.push_str(if index > 0 { "," } else { "" });
        push_text(&mut text, &entry.key);
        text.push(',');
        push_node(&mut text, &entry.value);
    }
    text.push(']');
    text
}

fn push_node(text: &mut String, node: &Node) {
    match &node.kind {
        Kind::Scalar(scalar) => {
            if scalar.plain && !core_scalar(&scalar.text).is_string() {
                text.push('!');
            }
            push_text(text, &scalar.text);
        }
        Kind::Value(value) => push_value(text, value),
        Kind::List(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                push_node(text, item);
            }
            text.push(']');
        }
        Kind::Map(entries) => {
            let entries: BTreeMap<&str, String> = entries
                .iter()
                .map(|entry| (entry.key.as_str(), canonical(&entry.value)))
                .collect();
            push_map(text, entries);
        }
    }
}

fn push_value(text: &mut String, value: &Value) {
    match value {
        Value::String(own) => push_text(text, own),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                push_value(text, item);
            }
            text.push(']');
        }
        Value::Object(map) => {
            let sorted: BTreeMap<&str, &Value> = map
                .iter()
                .map(|(key, value)| (key.as_str(), value))
                .collect();
            text.push('{');
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                push_text(text, key);
                text.push(':');
                push_value(text, value);
            }
            text.push('}');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

fn push_text(text: &mut String, own: &str) {
    text.push_str(&Value::String(own.to_owned()).to_string());
}

/// A map whose keys come in order and whose values are JSON already.
fn push_map<'a>(text: &mut String, entries: impl IntoIterator<Item = (&'a str, String)>) {
    text.push('{');
    for (index, (key, value)) in entries.into_iter().enumerate() {
        text.push_str(if index > 0 { "," } else { "" });
        push_text(text, key);
        text.push(':');
        text.push_str(&value);
    }
    text.push('}');
}

#[cfg(test)]
mod tests;
