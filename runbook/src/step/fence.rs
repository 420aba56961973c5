//! The two forms of a fence: its options, its body, and the one map of keys they amount to.
//!
//! The info string and which lines are options is known to [`crate::markdown`].

use crate::findings::Findings;
use crate::mapped::Mapped;
use crate::markdown::{Fence, FenceKind};
use crate::model::{Form, Language};
use crate::node::{Entry, Kind, Node};
use crate::outcome::Effect;
use crate::source::Span;
use crate::{spec, yaml};

/// What a fence says, before its keys are read.
pub(super) struct Written {
    pub(super) form: Form,
    /// The effect of the info string.
    pub(super) effect: Option<(Effect, Span)>,
    /// All keys, the action among them.
    pub(super) node: Node,
    /// The body without its options.
    pub(super) body: Mapped,
}

/// The actions that take the manifests of a `yaml` fence.
const MANIFEST_ACTIONS: &[&str] = &["apply", "job", "absent", "ready"];

pub(super) fn read(fence: &Fence, findings: &mut Findings) -> Option<Written> {
    let (form, effect, source) = match (fence.kind, &fence.options) {
        // GitHub colours a `yaml` fence: without options it is a typed step.
        (
            FenceKind::Native {
                language: Language::Yaml,
                effect,
            },
            None,
        ) => (Form::Typed, effect, Some(&fence.body)),
        (FenceKind::Native { language, effect }, options) => {
            (Form::Native(language), effect, options.as_ref())
        }
        (FenceKind::Typed { effect }, _) => (Form::Typed, effect, Some(&fence.body)),
    };
    if is_told(fence) {
        return None;
    }
    let empty = Mapped::default();
    let source = source.unwrap_or(&empty);
    let node = if source.text().trim().is_empty() {
        Node {
            span: fence.info_span,
            kind: Kind::Map(Vec::new()),
        }
    } else {
        match yaml::parse(source) {
            Ok(node) => node,
            Err(error) => {
                findings.maybe_hinted("invalid-yaml", error.span, error.message, error.hint);
                return None;
            }
        }
    };
    if node.as_map().is_none() {
        findings.hinted(
            "invalid-yaml",
            node.span,
            "a step is a map of keys",
            "write `id: NAME` and one action",
        );
        return None;
    }
    let mut written = Written {
        form,
        effect,
        node,
        body: fence.body.clone(),
    };
    if let Form::Native(language) = form {
        add_body(&mut written, language, fence, findings);
    }
    Some(written)
}

/// Whether the scan found options where none are read: what they say would be told as missing.
fn is_told(fence: &Fence) -> bool {
    let other_marker = fence.body.text().starts_with("//|") || fence.body.text().starts_with("--|");
    other_marker || (matches!(fence.kind, FenceKind::Typed { .. }) && fence.options.is_some())
}

/// Adds the body of a native fence to its options, as the script or the manifests of the action.
fn add_body(written: &mut Written, language: Language, fence: &Fence, findings: &mut Findings) {
    let blank = written.body.text().trim().is_empty();
    let body = Node::text(
        if blank {
            fence.info_span
        } else {
            written.body.whole()
        },
        written.body.text(),
    );
    let language_span = Span::new(
        fence.info_span.start,
        fence.info_span.start
            + fence
                .info
                .trim_start()
                .find(char::is_whitespace)
                .unwrap_or(0),
    );
    let Kind::Map(entries) = &mut written.node.kind else {
        return;
    };
    let name = match language {
        Language::Bash => "bash",
        Language::Sh => "sh",
        Language::Python => "python",
        Language::Yaml => {
            return add_manifest(entries, (!blank).then_some(body), language_span, findings);
        }
    };
    entries.insert(
        0,
        Entry {
            key: name.into(),
            key_span: language_span,
            value: body,
        },
    );
}

fn add_manifest(entries: &mut Vec<Entry>, body: Option<Node>, span: Span, findings: &mut Findings) {
    for entry in entries.iter() {
        if spec::action(&entry.key).is_some() && !MANIFEST_ACTIONS.contains(&entry.key.as_str()) {
            findings.hinted(
                "two-actions",
                entry.key_span,
                format!(
                    "`{}` does not take the manifests of a `yaml` fence",
                    entry.key
                ),
                "write `apply`, `job`, `absent` or `ready`, or a `runbook` fence",
            );
            return;
        }
    }
    let index = match entries
        .iter()
        .position(|entry| MANIFEST_ACTIONS.contains(&entry.key.as_str()))
    {
        Some(index) => index,
        None => {
            let value = Node {
                span,
                kind: Kind::Map(Vec::new()),
            };
            entries.push(Entry {
                key: "apply".into(),
                key_span: span,
                value,
            });
            entries.len() - 1
        }
    };
    let (Kind::Map(fields), Some(body)) = (&mut entries[index].value.kind, body) else {
        return;
    };
    if let Some(given) = fields.iter().find(|field| field.key == "manifest") {
        findings.hinted(
            "keys-together",
            given.key_span,
            "the body and `manifest` both give the manifests",
            "keep one of them",
        );
        return;
    }
    fields.push(Entry {
        key: "manifest".into(),
        key_span: body.span,
        value: body,
    });
}
