//! Targets as they are written.

use serde_json::Value;

use super::{ReadError, cut, or, scalar_text};
use crate::model::Target;
use crate::node::{Kind, Node};
use crate::spec::TargetKind;
use crate::suggest;

/// A target (LANGUAGE section 1).
///
/// # Errors
///
/// A text that has no target's form.
pub fn target(node: &Node) -> Result<Target, ReadError> {
    if matches!(node.kind, Kind::List(_) | Kind::Value(Value::Array(_))) {
        return Err(ReadError::new(
            node.span,
            "a step has one target, not a list",
            "write `each: {on: […]}` to run it on several",
        ));
    }
    let text = scalar_text(node, "target")?;
    parse_target(&text).map_err(|hint| ReadError {
        rule: "invalid-target",
        span: node.span,
        message: format!("`{}` is not a target", cut(&text)),
        hint: Some(hint),
    })
}

/// Reads a target's text; the error is a hint.
fn parse_target(text: &str) -> Result<Target, String> {
    let forms = || {
        let forms: Vec<String> = TargetKind::ALL
            .iter()
            .map(|kind| format!("`{}`", kind.form()))
            .collect();
        format!("write {}", or(&forms))
    };
    if text == "local" {
        return Ok(Target::Local);
    }
    let Some((kind, name)) = text.split_once('/') else {
        return Err(
            suggest::did_you_mean(text, TargetKind::ALL.iter().map(|kind| kind.form()))
                .unwrap_or_else(forms),
        );
    };
    if kind != "pod" && (name.is_empty() || name.contains(|c: char| c == '/' || c.is_whitespace()))
    {
        return Err(forms());
    }
    let name = name.to_owned();
    match kind {
        "node" => Ok(Target::Node(name)),
        "lxc" => Ok(Target::Lxc(name)),
        "vm" => Ok(Target::Vm(name)),
        "host" => Ok(Target::Host(name)),
        "cluster" => Ok(Target::Cluster(name)),
        "pod" => match name.split_once('/') {
            Some((namespace, pod)) if !namespace.is_empty() && !pod.is_empty() => Ok(Target::Pod {
                namespace: namespace.to_owned(),
                pod: pod.to_owned(),
            }),
            _ => {
                Err("write `pod/NAMESPACE/NAME`, or `pod/NAMESPACE/app=NAME` for a selector".into())
            }
        },
        _ => Err(
            match suggest::nearest(kind, TargetKind::ALL.iter().map(|kind| kind.word())) {
                Some(nearest) => format!("did you mean `{nearest}/{name}`?"),
                None => forms(),
            },
        ),
    }
}
