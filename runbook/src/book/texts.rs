//! Every text of a step that may hold templates, with where it stands.

use crate::model::{Condition, Do, Expectation, Inline, SecretUse, Step};
use crate::node::{Kind, Node};

/// Where a text stands, as far as it matters for what its templates may name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// In a script.
    pub(super) script: bool,
    /// Looked at after the step has run: it may name its own result.
    pub(super) own: bool,
    /// Looked at per item of `each`.
    pub(super) each: bool,
    /// The secrets of the action inside a key, when it has its own.
    pub(super) secrets: Option<&'a [SecretUse]>,
}

/// Calls `visit` for every scalar of a step that is rendered.
pub(super) fn texts<'a>(step: &'a Step, visit: &mut dyn FnMut(&'a Node, Place<'a>)) {
    let keys = &step.keys;
    let plain = Place {
        script: false,
        own: false,
        each: true,
        secrets: None,
    };
    let after = Place { own: true, ..plain };
    if keys.template {
        scalars(
            &step.args,
            Place {
                script: step.action.is_script(),
                ..plain
            },
            visit,
        );
    }
    for (_, node) in &keys.each {
        scalars(
            node,
            Place {
                each: false,
                ..plain
            },
            visit,
        );
    }
    let options = [
        &step.on,
        &keys.retry_for,
        &keys.retry_every,
        &keys.hold,
        &keys.timeout,
        &keys.gate,
    ];
    for node in options.into_iter().flatten() {
        scalars(node, plain, visit);
    }
    if step.on.is_none() {
        scalars(&step.target, plain, visit);
    }
    for (_, node) in &keys.env {
        scalars(node, plain, visit);
    }
    expectations(&keys.expect, plain, visit);
    for selector in keys
        .capture
        .iter()
        .filter_map(|capture| capture.selector.as_ref())
    {
        scalars(selector, plain, visit);
    }
    for one in [&keys.when, &keys.unless, &keys.background]
        .into_iter()
        .flatten()
    {
        condition(one, plain, visit);
    }
    for one in keys
        .undo
        .iter()
        .chain(&keys.diagnose)
        .chain(keys.repair.iter().map(|(_, does)| does))
    {
        something(one, after, visit);
    }
    if let Some(hints) = step.node.get("hints") {
        scalars(hints, after, visit);
    }
}

fn scalars<'a>(node: &'a Node, place: Place<'a>, visit: &mut dyn FnMut(&'a Node, Place<'a>)) {
    match &node.kind {
        Kind::Scalar(_) => visit(node, place),
        Kind::List(items) => items.iter().for_each(|item| scalars(item, place, visit)),
        Kind::Map(entries) => entries
            .iter()
            .for_each(|entry| scalars(&entry.value, place, visit)),
        Kind::Value(_) => {}
    }
}

fn expectations<'a>(
    all: &'a [Expectation],
    place: Place<'a>,
    visit: &mut dyn FnMut(&'a Node, Place<'a>),
) {
    // A row's key stands at each of its columns: it is looked at once.
    let mut last = None;
    for expectation in all {
        if let Some(key) = &expectation.key
            && last != Some(key.span)
        {
            last = Some(key.span);
            scalars(key, place, visit);
        }
        if let Some(column) = &expectation.column {
            scalars(column, place, visit);
        }
        scalars(&expectation.matcher, place, visit);
    }
}

fn condition<'a>(one: &'a Condition, place: Place<'a>, visit: &mut dyn FnMut(&'a Node, Place<'a>)) {
    match one {
        Condition::Template(node) => scalars(node, place, visit),
        Condition::Script(node) => scalars(
            node,
            Place {
                script: true,
                ..place
            },
            visit,
        ),
        Condition::Action(action) => inline(action, place, visit),
        Condition::All(all) => all.iter().for_each(|one| condition(one, place, visit)),
        Condition::Bool(_) => {}
    }
}

fn something<'a>(one: &'a Do, place: Place<'a>, visit: &mut dyn FnMut(&'a Node, Place<'a>)) {
    match one {
        Do::Script(node) => scalars(
            node,
            Place {
                script: true,
                ..place
            },
            visit,
        ),
        Do::Action(action) => inline(action, place, visit),
        Do::List(all) => all.iter().for_each(|one| something(one, place, visit)),
        Do::Steps(..) | Do::Own(_) | Do::None(_) => {}
    }
}

fn inline<'a>(inline: &'a Inline, place: Place<'a>, visit: &mut dyn FnMut(&'a Node, Place<'a>)) {
    let place = if inline.secrets.is_empty() {
        place
    } else {
        Place {
            secrets: Some(&inline.secrets),
            ..place
        }
    };
    scalars(
        &inline.args,
        Place {
            script: inline.action.0.is_script(),
            ..place
        },
        visit,
    );
    if let Some(on) = &inline.on {
        scalars(on, place, visit);
    }
    for (_, node) in &inline.env {
        scalars(node, place, visit);
    }
    expectations(&inline.expect, place, visit);
}
