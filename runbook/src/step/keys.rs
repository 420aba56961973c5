//! The keys of a step beside its ID, title, target, effect and action.

use super::{does, expect, together};
use crate::findings::Findings;
use crate::model::{Condition, Keys, SecretSource, SecretUse};
use crate::node::{Entry, Kind, Node};
use crate::read::{self, ReadError};
use crate::source::Span;
use crate::spec::{ActionSpec, RETRY_KEYS, Type};

/// Names that mean something else in a template.
const ROOTS: &[&str] = &["vars", "inventory", "steps", "secret", "profile"];

/// Reads a key that the book's structure depends on: a template is an error.
pub(crate) fn fixed<T>(
    node: &Node,
    key: &str,
    findings: &mut Findings,
    reader: impl Fn(&Node) -> Result<T, ReadError>,
) -> Option<T> {
    if read::deferred(node) {
        findings.hinted(
            "fixed-key",
            node.span,
            format!("`{key}` cannot hold a template"),
            "write the value: it is read before anything is rendered",
        );
        return None;
    }
    findings.take(reader(node))
}

/// Whether a text can be a name in templates.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// What to write for a name that is none.
pub(crate) fn name_hint(text: &str) -> String {
    let mut name: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') {
                c
            } else {
                '_'
            }
        })
        .collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        name.insert(0, '_');
    }
    format!("write letters, digits, `_` and `-`, beginning with a letter: `{name}`")
}

/// Reads all keys; of an unknown action those that do not depend on it.
pub(super) fn read(
    node: &Node,
    action: Option<&'static ActionSpec>,
    findings: &mut Findings,
) -> Keys {
    let mut keys = Keys {
        strict: true,
        template: true,
        ..Keys::default()
    };
    let entries = node.as_map().unwrap_or_default();
    // Captures first: `expect` may name them.
    if let (Some(entry), Some(action)) = (find(entries, "capture"), action) {
        keys.capture = expect::captures(&entry.value, action, findings);
    }
    for entry in entries {
        one(entry, action, &mut keys, findings);
    }
    together::check(entries, action, &keys, findings);
    keys
}

pub(super) fn find<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Entry> {
    entries.iter().find(|entry| entry.key == key)
}

fn one(
    entry: &Entry,
    action: Option<&'static ActionSpec>,
    keys: &mut Keys,
    findings: &mut Findings,
) {
    let value = &entry.value;
    match entry.key.as_str() {
        "when" => when(value, keys, findings),
        "unless" => keys.unless = does::condition(value, "unless", findings),
        "expect" => {
            if let Some(action) = action {
                keys.expect = expect::expectations(value, action, &keys.capture, findings);
            }
        }
        "retry" => retry(value, keys, findings),
        "hold" => keys.hold = checked(value, &Type::Duration, findings),
        "timeout" => keys.timeout = checked(value, &Type::Duration, findings),
        "needs" => keys.needs = Some(needs(value, findings)),
        "undo" => keys.undo = does::something(value, "undo", true, findings),
        "repair" => keys.repair = does::repair(value, findings),
        "diagnose" => keys.diagnose = does::something(value, "diagnose", false, findings),
        "detach" => detach(entry, keys, findings),
        "background" => background(value, keys, findings),
        "cleanup" => {
            keys.cleanup = fixed(value, "cleanup", findings, |node| {
                read::word(node, &["always"])
            })
            .is_some()
        }
        "gate" => keys.gate = findings.take(read::text(value)).map(|_| value.clone()),
        "each" => keys.each = each(value, findings),
        "secrets" => keys.secrets = secrets(value, findings),
        "env" => keys.env = env(value, findings),
        "hints" => keys.hints = findings.take(read::map_of_text(value)).unwrap_or_default(),
        "hidden" => keys.hidden = fixed(value, "hidden", findings, read::bool).unwrap_or(false),
        "strict" => keys.strict = fixed(value, "strict", findings, read::bool).unwrap_or(true),
        "template" => {
            keys.template = fixed(value, "template", findings, |node| {
                read::word(node, &["on", "off"])
            }) != Some("off")
        }
        _ => {}
    }
}

/// A value that may be a template, kept as written.
fn checked(node: &Node, ty: &Type, findings: &mut Findings) -> Option<Node> {
    let mut errors = Vec::new();
    read::check(ty, node, &mut errors);
    let clean = errors.is_empty();
    errors.into_iter().for_each(|error| findings.read(error));
    clean.then(|| node.clone())
}

fn when(node: &Node, keys: &mut Keys, findings: &mut Findings) {
    let is_asked =
        |node: &Node| matches!(&node.kind, Kind::Scalar(scalar) if scalar.text == "asked");
    match &node.kind {
        _ if is_asked(node) => keys.asked = true,
        Kind::List(items) => {
            keys.asked = items.iter().any(is_asked);
            let rest: Vec<Condition> = items
                .iter()
                .filter(|item| !is_asked(item))
                .filter_map(|item| does::condition(item, "when", findings))
                .collect();
            keys.when = (!rest.is_empty()).then_some(Condition::All(rest));
        }
        _ => keys.when = does::condition(node, "when", findings),
    }
}

fn retry(node: &Node, keys: &mut Keys, findings: &mut Findings) {
    if node.as_map().is_none() {
        keys.retry_for = checked(node, &Type::Duration, findings);
        return;
    }
    let mut errors = Vec::new();
    read::check_fields(
        RETRY_KEYS,
        &[],
        node.as_map().unwrap_or_default(),
        node.span,
        "`retry`",
        &mut errors,
    );
    errors.into_iter().for_each(|error| findings.read(error));
    keys.retry_for = node.get("for").cloned();
    keys.retry_every = node.get("every").cloned();
}

/// Reads a list of references.
pub(crate) fn needs(node: &Node, findings: &mut Findings) -> Vec<(crate::id::Ref, Span)> {
    read::items(node)
        .iter()
        .filter_map(|item| Some((fixed(item, "needs", findings, read::reference)?, item.span)))
        .collect()
}

fn detach(entry: &Entry, keys: &mut Keys, findings: &mut Findings) {
    keys.detach = fixed(&entry.value, "detach", findings, read::bool).unwrap_or(false);
}

fn background(node: &Node, keys: &mut Keys, findings: &mut Findings) {
    keys.background = does::condition(node, "background", findings);
    if keys.background == Some(Condition::Bool(false)) {
        findings.hinted(
            "wrong-type",
            node.span,
            "`background` is a condition, or `true`",
            "take it out",
        );
    }
}

fn each(node: &Node, findings: &mut Findings) -> Vec<(String, Node)> {
    let Some(entries) = findings.take(read::entries(node)) else {
        return Vec::new();
    };
    if entries.is_empty() {
        findings.hinted(
            "wrong-type",
            node.span,
            "`each` names nothing",
            "write `each: {NAME: [a, b]}`",
        );
    }
    let mut all: Vec<(String, Node)> = Vec::new();
    for entry in entries.iter() {
        if !is_name(&entry.key) {
            findings.hinted(
                "invalid-name",
                entry.key_span,
                format!("`{}` is not a name", read::cut(&entry.key)),
                name_hint(&entry.key),
            );
        } else if ROOTS.contains(&entry.key.as_str()) {
            findings.hinted(
                "name-collision",
                entry.key_span,
                format!("`{}` means something else in a template", entry.key),
                "choose another name",
            );
        }
        let underscored = entry.key.replace('-', "_");
        if let Some((other, _)) = all
            .iter()
            .find(|(other, _)| other.replace('-', "_") == underscored)
        {
            findings.hinted(
                "name-collision",
                entry.key_span,
                format!("`{other}` and `{}` are one name in a template", entry.key),
                "choose another name",
            );
        }
        let fits = match &entry.value.kind {
            Kind::List(items) => !items.is_empty(),
            Kind::Scalar(scalar) => {
                scalar.text.ends_with(".*") || does::is_one_template(&scalar.text)
            }
            _ => false,
        };
        if fits {
            all.push((entry.key.clone(), entry.value.clone()));
        } else {
            findings.hinted(
                "wrong-type",
                entry.value.span,
                format!("`each` has no items for `{}`", entry.key),
                "write a list, `nodes.*` or a template that gives a list",
            );
        }
    }
    all
}

/// Reads `secrets`.
pub(super) fn secrets(node: &Node, findings: &mut Findings) -> Vec<SecretUse> {
    let mut all: Vec<SecretUse> = Vec::new();
    let mut add = |one: SecretUse, findings: &mut Findings| {
        if all.iter().any(|other| other.env == one.env) {
            findings.hinted(
                "name-collision",
                one.span,
                format!("two secrets become `${}`", one.env),
                "write a map from other names: `{NAME: secret}`",
            );
        }
        all.push(one);
    };
    if let Kind::Map(entries) = &node.kind {
        for entry in entries {
            variable(&entry.key, entry.key_span, findings);
            let Some(text) = fixed(&entry.value, "secrets", findings, read::text) else {
                continue;
            };
            let source = match text
                .strip_prefix("steps.")
                .or_else(|| text.starts_with("steps[").then_some(""))
            {
                Some(_) => SecretSource::Captured(text),
                None => SecretSource::Named(text),
            };
            add(
                SecretUse {
                    env: entry.key.clone(),
                    source,
                    span: entry.value.span,
                },
                findings,
            );
        }
        return all;
    }
    for item in read::items(node).iter() {
        let Some(name) = fixed(item, "secrets", findings, read::text) else {
            continue;
        };
        if name.starts_with("steps.") {
            findings.hinted(
                "wrong-type",
                item.span,
                format!("`{name}` has no name of its own"),
                format!("write `secrets: {{NAME: {name}}}`"),
            );
            continue;
        }
        let env: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_uppercase()
                } else {
                    '_'
                }
            })
            .collect();
        add(
            SecretUse {
                env,
                source: SecretSource::Named(name),
                span: item.span,
            },
            findings,
        );
    }
    all
}

/// Reads `env`.
pub(super) fn env(node: &Node, findings: &mut Findings) -> Vec<(String, Node)> {
    let Some(entries) = findings.take(read::entries(node)) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for entry in entries.iter() {
        variable(&entry.key, entry.key_span, findings);
        if findings.take(read::text(&entry.value)).is_some() {
            all.push((entry.key.clone(), entry.value.clone()));
        }
    }
    all
}

/// A name of the environment.
fn variable(name: &str, span: Span, findings: &mut Findings) {
    if !is_name(name) || name.contains('-') {
        findings.hinted(
            "invalid-name",
            span,
            format!(
                "`{}` is not the name of an environment variable",
                read::cut(name)
            ),
            format!(
                "write `{}`",
                name.to_uppercase()
                    .replace(|c: char| !c.is_ascii_alphanumeric(), "_")
            ),
        );
    }
}
