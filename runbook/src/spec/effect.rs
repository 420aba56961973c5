//! What an action does to the world and how it works, from its arguments (LANGUAGE section 4, last column).
//!
//! A template in a deciding field counts as the worst word it may become: the engine asks again when it is rendered.

use super::ActionKind;
use crate::node::{Kind, Node};
use crate::outcome::Effect;
use crate::template::has_template;

/// What a deciding field says.
enum Said<'a> {
    Nothing,
    Word(&'a str),
    /// A template, or something that is no text.
    Unknown,
}

fn said<'a>(args: &'a Node, field: &str) -> Said<'a> {
    match args.get(field).map(|node| &node.kind) {
        None => Said::Nothing,
        Some(Kind::Scalar(scalar)) if has_template(&scalar.text) => Said::Unknown,
        Some(Kind::Scalar(scalar)) => Said::Word(&scalar.text),
        Some(Kind::Value(serde_json::Value::String(text))) => Said::Word(text),
        Some(Kind::Value(serde_json::Value::Bool(true))) => Said::Word("true"),
        Some(Kind::Value(serde_json::Value::Bool(false))) => Said::Word("false"),
        Some(_) => Said::Unknown,
    }
}

fn has(args: &Node, field: &str) -> bool {
    args.get(field).is_some()
}

pub(super) fn read(_: &Node) -> Effect {
    Effect::Read
}

pub(super) fn change(_: &Node) -> Effect {
    Effect::Change
}

pub(super) fn disrupt(_: &Node) -> Effect {
    Effect::Disrupt
}

pub(super) fn destroy(_: &Node) -> Effect {
    Effect::Destroy
}

/// Whether a guest's fields wish for anything beyond naming it.
fn wishes(args: &Node) -> bool {
    args.as_map().is_some_and(|entries| {
        entries
            .iter()
            .any(|entry| !matches!(entry.key.as_str(), "vmid" | "node" | "hostname"))
    })
}

pub(super) fn guest(args: &Node) -> Effect {
    if !wishes(args) {
        return Effect::Read;
    }
    match (said(args, "state"), said(args, "restart")) {
        (Said::Word("absent") | Said::Unknown, _) => Effect::Destroy,
        (_, Said::Word("when-pending") | Said::Unknown) => Effect::Disrupt,
        _ => Effect::Change,
    }
}

pub(super) fn guest_kind(args: &Node) -> ActionKind {
    if wishes(args) {
        ActionKind::Desired
    } else {
        ActionKind::Read
    }
}

pub(super) fn snapshot(args: &Node) -> Effect {
    match said(args, "state") {
        Said::Word("absent") | Said::Unknown => Effect::Destroy,
        _ => Effect::Change,
    }
}

pub(super) fn request(args: &Node) -> Effect {
    match said(args, "method") {
        Said::Nothing => Effect::Read,
        Said::Word(method)
            if method.eq_ignore_ascii_case("get") || method.eq_ignore_ascii_case("head") =>
        {
            Effect::Read
        }
        Said::Word(method) if method.eq_ignore_ascii_case("delete") => Effect::Destroy,
        Said::Word(_) => Effect::Change,
        Said::Unknown => Effect::Destroy,
    }
}

pub(super) fn request_kind(args: &Node) -> ActionKind {
    if request(args) == Effect::Read {
        ActionKind::Read
    } else {
        ActionKind::Imperative
    }
}

pub(super) fn flux(args: &Node) -> Effect {
    if has(args, "ready") {
        Effect::Read
    } else {
        Effect::Change
    }
}

pub(super) fn flux_kind(args: &Node) -> ActionKind {
    if has(args, "ready") {
        ActionKind::Read
    } else if has(args, "reconcile") {
        ActionKind::Imperative
    } else {
        ActionKind::Desired
    }
}

pub(super) fn git(args: &Node) -> Effect {
    let pushes = !matches!(said(args, "push"), Said::Nothing | Said::Word("false"));
    if has(args, "from") || has(args, "content") || pushes {
        Effect::Change
    } else {
        Effect::Read
    }
}

pub(super) fn git_kind(args: &Node) -> ActionKind {
    if git(args) == Effect::Read {
        ActionKind::Read
    } else {
        ActionKind::Desired
    }
}

pub(super) fn desired(_: &Node) -> ActionKind {
    ActionKind::Desired
}

pub(super) fn imperative(_: &Node) -> ActionKind {
    ActionKind::Imperative
}

pub(super) fn reads(_: &Node) -> ActionKind {
    ActionKind::Read
}

pub(super) fn person(_: &Node) -> ActionKind {
    ActionKind::Person
}
