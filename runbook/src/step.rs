//! From a fence to a [`Step`]: reads all its keys by the language's tables and collects everything that is wrong with it.
//!
//! Looks at one step only; what needs the rest of the book (references, targets, names) is checked in [`crate::book`].

mod action;
mod does;
mod expect;
mod fence;
mod keys;
mod manifest;
mod together;

pub(crate) use expect::STEP_FIELDS;
pub(crate) use keys::{fixed, is_name, name_hint, needs};

use crate::findings::Findings;
use crate::id::{Id, STEP_ID_CHARACTERS_MAX, is_step_id};
use crate::include::Includer;
use crate::markdown::Fence;
use crate::model::{Form, Guide, Keys, Language, Section, Step, Uses};
use crate::node::{Entry, Kind, Node};
use crate::outcome::Effect;
use crate::read;
use crate::spec::{self, ActionSpec, STEP_KEYS};

/// What came of a fence.
pub(crate) struct Read {
    /// Its ID, when it has a valid one, also where the rest of it is broken.
    pub(crate) id: Option<Id>,
    /// The step, when enough of it could be read to check the rest of the book against it.
    pub(crate) step: Option<Step>,
}

/// Reads a step; what is wrong with it goes to `findings`.
pub(crate) fn read(
    fence: &Fence,
    guide: &str,
    sections: &[Section],
    includer: &mut Includer<'_>,
    findings: &mut Findings,
) -> Read {
    let nothing = Read {
        id: None,
        step: None,
    };
    let section = fence
        .heading
        .and_then(|index| Some((index, sections.get(index)?)));
    if section.is_none() {
        findings.hinted(
            "above-heading",
            fence.info_span,
            "a step stands above every heading",
            "put a heading above it: a step's ID holds its section",
        );
    }
    let Some(written) = fence::read(fence, findings) else {
        return nothing;
    };
    let mut node = written.node;
    let Some(entries) = node.as_map() else {
        return nothing;
    };
    let id = step_id(entries, fence, findings);
    let action = one_action(entries, &written.form, fence, findings);
    for entry in entries {
        if !STEP_KEYS.iter().any(|key| key.name == entry.key) && spec::action(&entry.key).is_none()
        {
            let known: Vec<&str> = STEP_KEYS
                .iter()
                .map(|key| key.name)
                .chain(spec::ACTIONS.iter().map(|action| action.name))
                .collect();
            let keys = STEP_KEYS.iter().map(|key| key.name);
            let hint = crate::suggest::did_you_mean(&entry.key, known.iter().copied())
                .or_else(|| crate::suggest::did_you_mean_or_list(&entry.key, keys, "its keys are"));
            findings.maybe_hinted(
                "unknown-key",
                entry.key_span,
                format!("a step has no key `{}`", read::cut(&entry.key)),
                hint,
            );
        }
    }
    let template_off = node.get("template").and_then(Node::as_text) == Some("off");
    includer.expand_step(
        &mut node,
        action.map(|action| action.name),
        template_off,
        findings,
    );
    let includes = includer.take();
    let id = id
        .zip(section)
        .map(|(id, (_, section))| Id::step(guide, &section.id, id));
    let (Some((section, _)), Some(step_id), Some(action)) = (section, &id, action) else {
        // The other keys are read all the same: their errors are told in the same pass.
        let _: Keys = keys::read(&node, action, findings);
        return Read { id, step: None };
    };
    let args = node
        .get(action.name)
        .cloned()
        .unwrap_or_else(|| Node::text(fence.span, ""));
    let mut includes = includes;
    action::check(action, &args, includer, findings);
    includes.extend(includer.take());
    if includes.is_empty() {
        let is_body = matches!(written.form, Form::Native(Language::Yaml));
        manifest::check(action, &args, is_body.then_some(&written.body), findings);
    }
    let keys = keys::read(&node, Some(action), findings);
    let effect = effect(&node, written.effect, action, &args, findings);
    let title = title(&node, step_id, findings);
    let on = node.get("on").cloned();
    if let Some(on) = &on
        && !read::deferred(on)
        && let Err(error) = read::target(on)
    {
        findings.read(error);
    }
    let step = Step {
        id: step_id.clone(),
        title,
        section,
        form: written.form,
        span: fence.span,
        line: fence.line,
        body: written.body,
        node,
        includes,
        action,
        args,
        target: on
            .clone()
            .unwrap_or_else(|| Node::text(fence.span, "local")),
        on,
        effect,
        keys,
        uses: Uses::default(),
    };
    Read {
        id,
        step: Some(step),
    }
}

fn step_id(entries: &[Entry], fence: &Fence, findings: &mut Findings) -> Option<String> {
    let Some(entry) = entries.iter().find(|entry| entry.key == "id") else {
        findings.hinted(
            "missing-id",
            fence.info_span,
            "a step has no `id`",
            "add `id: NAME`, unique in its section",
        );
        return None;
    };
    let text = findings.take(read::text(&entry.value))?;
    if is_step_id(&text) {
        return Some(text);
    }
    let kebab = kebab(&text);
    let hint = if is_step_id(&kebab) && text.len() <= STEP_ID_CHARACTERS_MAX {
        format!("write `{kebab}`")
    } else {
        format!("write small letters, digits and single `-`, at most {STEP_ID_CHARACTERS_MAX}")
    };
    findings.hinted(
        "invalid-id",
        entry.value.span,
        format!("`{}` is not an `id`", read::cut(&text)),
        hint,
    );
    None
}

fn kebab(text: &str) -> String {
    let lower: String = text
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    lower
        .split('-')
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}

/// The one action among the keys.
fn one_action(
    entries: &[Entry],
    form: &Form,
    fence: &Fence,
    findings: &mut Findings,
) -> Option<&'static ActionSpec> {
    let mut actions = entries
        .iter()
        .filter_map(|entry| Some((entry, spec::action(&entry.key)?)));
    let Some((first, action)) = actions.next() else {
        let known: Vec<&str> = spec::ACTIONS.iter().map(|action| action.name).collect();
        // A mistyped action is an unknown key already.
        if !entries
            .iter()
            .any(|entry| is_mistyped_action(&entry.key, &known))
        {
            findings.hinted(
                "no-action",
                fence.info_span,
                "a step has no action",
                "add one, such as `bash: …`, `file: {…}` or `http: {…}`",
            );
        }
        return None;
    };
    for (entry, _) in actions {
        let native = matches!(form, Form::Native(_));
        let hint = if native {
            "the language of the fence is the action: take this key out"
        } else {
            "make two steps of it"
        };
        findings.hinted(
            "two-actions",
            entry.key_span,
            format!(
                "a step has two actions: `{}` and `{}`",
                first.key, entry.key
            ),
            hint,
        );
    }
    Some(action)
}

fn is_mistyped_action(key: &str, known: &[&str]) -> bool {
    !STEP_KEYS.iter().any(|spec| spec.name == key)
        && crate::suggest::nearest(key, known.iter().copied()).is_some()
}

fn effect(
    node: &Node,
    in_info: Option<(Effect, crate::source::Span)>,
    action: &ActionSpec,
    args: &Node,
    findings: &mut Findings,
) -> Effect {
    let own = (action.effect)(args);
    let mut declared = in_info;
    if let Some(value) = node.get("effect") {
        if let Some((_, span)) = in_info {
            findings.hinted(
                "effect-twice",
                span,
                "the effect is given in the info string and in the options",
                "keep one of them",
            );
        }
        declared = keys::fixed(value, "effect", findings, |node| {
            read::word(node, &["read", "change", "disrupt", "destroy"])
        })
        .and_then(Effect::parse)
        .map(|effect| (effect, value.span));
    }
    let Some((effect, span)) = declared else {
        return own;
    };
    if effect < own && !action.is_script() && action.name != "http" {
        findings.hinted(
            "effect-lowered",
            span,
            format!(
                "`{}` has the effect `{own}`, it cannot be lowered to `{effect}`",
                action.name
            ),
            "leave `effect` out, or raise it",
        );
        return own;
    }
    effect
}

fn title(node: &Node, id: &Id, findings: &mut Findings) -> String {
    let of_id = || id.step.as_deref().unwrap_or_default().replace('-', " ");
    match node.get("title") {
        Some(value) => keys::fixed(value, "title", findings, read::text).unwrap_or_else(of_id),
        None => of_id(),
    }
}

impl Guide {
    /// The target a step runs on, as far as it is known before it is rendered: its `on`, else the guide's where the action
    /// can run there, else the guest, node or cluster the action means, else `local`.
    pub fn on<'a>(&self, step: &'a Step) -> &'a str {
        match &step.target.kind {
            Kind::Scalar(scalar) => &scalar.text,
            _ => "local",
        }
    }
}
