//! The manifests that stand in a step: they are YAML as written, before their templates are rendered, and hold no secret.

use crate::findings::Findings;
use crate::mapped::Mapped;
use crate::node::{Kind, Node};
use crate::read;
use crate::spec::ActionSpec;
use crate::yaml;

/// Keys of a Secret that hold what everybody may know.
const NO_SECRETS: [&str; 17] = [
    "ca.crt",
    "database",
    "email",
    "endpoint",
    "host",
    "hostname",
    "name",
    "namespace",
    "port",
    "project",
    "region",
    "server",
    "tls.crt",
    "type",
    "url",
    "user",
    "username",
];

/// Checks the manifests of a step; `body` is where they stand when they are the body of a `yaml` fence.
pub(super) fn check(
    action: &ActionSpec,
    args: &Node,
    body: Option<&Mapped>,
    findings: &mut Findings,
) {
    let Some(node) = args.get("manifest") else {
        return;
    };
    let Some(text) = node.as_text() else { return };
    let own;
    let mapped = match body {
        Some(body) => body,
        None if read::deferred(node) && !text.contains('\n') => return,
        None => {
            own = inside(node, text);
            &own
        }
    };
    let documents = match yaml::documents(mapped) {
        Ok(documents) => documents,
        Err(error) => {
            return findings.maybe_hinted("invalid-yaml", error.span, error.message, error.hint);
        }
    };
    let patches = args.get("patch").and_then(Node::as_text) == Some("json");
    if documents.is_empty() {
        findings.hinted(
            "invalid-yaml",
            node.span,
            "the manifest holds no object",
            "write `apiVersion`, `kind` and `metadata`",
        );
    }
    for document in &documents {
        let lacks = ["kind", "apiVersion"];
        let lacks = lacks.iter().find(|key| document.get(key).is_none());
        if let Some(key) = lacks {
            findings.hinted(
                "invalid-yaml",
                document.span,
                format!("a manifest has no `{key}`"),
                "write `apiVersion`, `kind` and `metadata`",
            );
        } else if action.name == "apply" && patches && document.get("patch").is_none() {
            findings.hinted(
                "missing-key",
                document.span,
                "a JSON patch has no `patch`, its list of operations",
                "write `apiVersion`, `kind` and `metadata` of the object, and beside them `patch: [{op, path, value}]`",
            );
        }
        secrets(document, findings);
    }
}

/// A text inside a YAML value: where exactly a line of it stands is not known, that it stands there is.
fn inside(node: &Node, text: &str) -> Mapped {
    let mut mapped = Mapped::default();
    for line in text.split_inclusive('\n') {
        mapped.push_line(line, node.span.start);
    }
    mapped
}

/// What a Secret holds is not written out, unless SOPS has encrypted it.
fn secrets(document: &Node, findings: &mut Findings) {
    let is_secret = document.get("kind").and_then(Node::as_text) == Some("Secret");
    if !is_secret || document.get("sops").is_some() {
        return;
    }
    let maps = ["data", "stringData"]
        .iter()
        .filter_map(|map| document.get(map)?.as_map());
    for entry in maps.flatten() {
        let Kind::Scalar(scalar) = &entry.value.kind else {
            continue;
        };
        let is_known = NO_SECRETS.contains(&entry.key.as_str());
        if !is_known && !scalar.text.trim().is_empty() && !read::deferred(&entry.value) {
            findings.hinted(
                "literal-secret",
                entry.value.span,
                format!("`{}` of a Secret is written out", entry.key),
                "name it under `secrets` of the inventory, list it in the step and write `'{{ secret.NAME }}'`",
            );
        }
    }
}
