//! Things to do and conditions: `undo`, `repair`, `diagnose`; `when`, `unless`, `background`.

use super::{action, expect, keys};
use crate::findings::Findings;
use crate::id::Ref;
use crate::model::{ActionRef, Condition, Do, Inline};
use crate::node::{Entry, Kind, Node};
use crate::outcome::Effect;
use crate::spec::{self, INLINE_KEYS};
use crate::{read, suggest, template};

/// Reads something to do. `words`: whether `own` and `none` mean something (`undo`).
pub(super) fn something(
    node: &Node,
    key: &str,
    words: bool,
    findings: &mut Findings,
) -> Option<Do> {
    match &node.kind {
        Kind::Scalar(scalar) if words && scalar.text == "none" => Some(Do::None(node.span)),
        Kind::Scalar(scalar) if words && scalar.text == "own" => Some(Do::Own(node.span)),
        Kind::Scalar(scalar)
            if scalar.text.starts_with('#') && !scalar.text.contains(char::is_whitespace) =>
        {
            match Ref::parse(&scalar.text) {
                Some(reference) => Some(Do::Steps(reference, node.span)),
                None => {
                    findings.hinted(
                        "wrong-type",
                        node.span,
                        format!("`{}` is not a reference", scalar.text),
                        "write `'#section'` or `'#section/step'`",
                    );
                    None
                }
            }
        }
        Kind::Scalar(scalar) if scalar.text.trim().is_empty() => {
            findings.hinted(
                "wrong-type",
                node.span,
                format!("`{key}` is empty"),
                "write a script, `'#section/step'` or an action",
            );
            None
        }
        Kind::Scalar(_) => Some(Do::Script(node.clone())),
        Kind::List(items) => {
            let all: Vec<Do> = items
                .iter()
                .filter_map(|item| something(item, key, words, findings))
                .collect();
            for item in &all {
                if let Do::None(span) = item {
                    findings.hinted(
                        "wrong-type",
                        *span,
                        format!("`none` in a list of `{key}`"),
                        format!("write `{key}: none`, or leave it out of the list"),
                    );
                }
            }
            Some(Do::List(all))
        }
        Kind::Map(entries) => {
            inline(node, entries, key, findings).map(|inline| Do::Action(Box::new(inline)))
        }
        Kind::Value(_) => None,
    }
}

/// Reads `repair`: something to do, or a map from what the failure says to something to do.
pub(super) fn repair(node: &Node, findings: &mut Findings) -> Vec<(String, Do)> {
    if let Kind::Map(entries) = &node.kind
        && !entries
            .iter()
            .any(|entry| spec::action(&entry.key).is_some())
    {
        return entries
            .iter()
            .filter_map(|entry| {
                Some((
                    entry.key.clone(),
                    something(&entry.value, "repair", false, findings)?,
                ))
            })
            .collect();
    }
    something(node, "repair", false, findings)
        .map(|does| vec![(String::new(), does)])
        .unwrap_or_default()
}

/// Reads an action that stands inside a key, with its own `on`, `env`, `secrets`, `expect`.
fn inline(node: &Node, entries: &[Entry], key: &str, findings: &mut Findings) -> Option<Inline> {
    let mut found: Option<(&Entry, &'static spec::ActionSpec)> = None;
    for entry in entries {
        match (spec::action(&entry.key), found) {
            (Some(action), None) => found = Some((entry, action)),
            (Some(_), Some((first, _))) => {
                findings.hinted(
                    "two-actions",
                    entry.key_span,
                    format!(
                        "`{key}` has two actions: `{}` and `{}`",
                        first.key, entry.key
                    ),
                    "make a list of it",
                );
            }
            (None, _) if INLINE_KEYS.contains(&entry.key.as_str()) => {}
            (None, _) => {
                let known = INLINE_KEYS
                    .iter()
                    .copied()
                    .chain(spec::ACTIONS.iter().map(|action| action.name));
                let hint = suggest::did_you_mean(&entry.key, known).unwrap_or_else(|| {
                    "beside its action stand `on`, `env`, `secrets` and `expect`".into()
                });
                findings.hinted(
                    "unknown-key",
                    entry.key_span,
                    format!(
                        "an action in `{key}` has no key `{}`",
                        read::cut(&entry.key)
                    ),
                    hint,
                );
            }
        }
    }
    let Some((entry, action)) = found else {
        if entries
            .iter()
            .all(|entry| INLINE_KEYS.contains(&entry.key.as_str()))
        {
            findings.hinted(
                "no-action",
                node.span,
                format!("`{key}` has no action"),
                "add one, such as `bash: …`",
            );
        }
        return None;
    };
    action::check_args(action, &entry.value, findings);
    let get = |name: &str| {
        entries
            .iter()
            .find(|entry| entry.key == name)
            .map(|entry| &entry.value)
    };
    if let Some(on) = get("on")
        && !read::deferred(on)
        && let Err(error) = read::target(on)
    {
        findings.read(error);
    }
    Some(Inline {
        span: node.span,
        action: ActionRef(action),
        args: entry.value.clone(),
        on: get("on").cloned(),
        env: get("env")
            .map(|node| keys::env(node, findings))
            .unwrap_or_default(),
        secrets: get("secrets")
            .map(|node| keys::secrets(node, findings))
            .unwrap_or_default(),
        expect: get("expect")
            .map(|node| expect::expectations(node, action, &[], findings))
            .unwrap_or_default(),
    })
}

/// Reads a condition.
pub(super) fn condition(node: &Node, key: &str, findings: &mut Findings) -> Option<Condition> {
    match &node.kind {
        Kind::Scalar(scalar)
            if scalar.plain && matches!(scalar.text.as_str(), "true" | "false") =>
        {
            Some(Condition::Bool(scalar.text == "true"))
        }
        Kind::Scalar(scalar) if is_one_template(&scalar.text) => {
            Some(Condition::Template(node.clone()))
        }
        Kind::Scalar(scalar) if scalar.text.trim().is_empty() => {
            findings.hinted(
                "wrong-type",
                node.span,
                format!("`{key}` is empty"),
                "write a script, a template, a bool or an action that only reads",
            );
            None
        }
        Kind::Scalar(_) => Some(Condition::Script(node.clone())),
        Kind::List(items) => Some(Condition::All(
            items
                .iter()
                .filter_map(|item| condition(item, key, findings))
                .collect(),
        )),
        Kind::Map(entries) => {
            let inline = inline(node, entries, key, findings)?;
            let action = inline.action.0;
            if !action.is_script() && (action.effect)(&inline.args) != Effect::Read {
                findings.hinted(
                    "condition-changes",
                    inline.span,
                    format!(
                        "`{key}` would change something: `{}` has the effect `{}`",
                        action.name,
                        (action.effect)(&inline.args)
                    ),
                    "a condition only reads: look at the state instead",
                );
                return None;
            }
            Some(Condition::Action(Box::new(inline)))
        }
        Kind::Value(_) => None,
    }
}

/// Whether a text is exactly one template.
pub(super) fn is_one_template(text: &str) -> bool {
    let text = text.trim();
    matches!(template::expressions(text).as_slice(), [only] if only.closed && only.range == (0..text.len()))
}
