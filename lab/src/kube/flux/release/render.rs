//! The objects of a release: what stands in for its chart, filled with its values, changed by its post-renderers, its hooks apart.

use serde_json::{Value, json};

use super::hooks::Hook;
use super::{Release, action, values};
use crate::kube::flux::conditions::Status;
use crate::kube::flux::tree::{Tree, sha256};
use crate::kube::flux::{inventory, kustomize};
use crate::kube::object;
use crate::kube::state::State;

/// What a chart gives.
pub(super) struct Rendered {
    pub(super) objects: Vec<Value>,
    pub(super) hooks: Vec<Hook>,
}

/// Renders a release under the number that it will have.
pub(super) fn render(
    state: &State,
    value: &Value,
    release: &Release,
    number: i64,
) -> Result<Rendered, String> {
    let text = std::fs::read_to_string(&release.chart.file).map_err(|error| error.to_string())?;
    let known = json!({
        "Values": release.values,
        "Release": {"Name": release.name, "Namespace": release.namespace, "Service": "Helm", "Revision": number},
        "Chart": {"Name": release.chart.name, "Version": release.chart.version, "AppVersion": release.chart.app_version},
    });
    let text = values::fill(&text, &known)?;
    let objects = kustomize::manifests(&text, &release.chart.file.display().to_string())?;
    let (mut hooks, objects): (Vec<Value>, Vec<Value>) = objects.into_iter().partition(Hook::is);
    let objects = changed(value, objects)?;
    // The usual strategy changes hooks by the metadata alone.
    let meta = &value["spec"]["commonMetadata"];
    hooks
        .iter_mut()
        .for_each(|one| inventory::common(one, meta));
    Ok(Rendered {
        objects: action::prepare(state, value, release, objects),
        hooks: action::prepare(state, value, release, hooks)
            .into_iter()
            .map(Hook::new)
            .collect(),
    })
}

/// What the spec changes in what the chart gives.
fn changed(value: &Value, mut objects: Vec<Value>) -> Result<Vec<Value>, String> {
    for one in object::items(value, &["spec", "postRenderers"]) {
        let mut tree = Tree::default();
        let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
        tree.add("objects.yaml", documents.join("\n---\n").into_bytes())?;
        objects = kustomize::build(&tree, "", &one["kustomize"], None)
            .map_err(|text| format!("error while running post render on files: {text}"))?;
    }
    let meta = &value["spec"]["commonMetadata"];
    objects
        .iter_mut()
        .for_each(|one| inventory::common(one, meta));
    Ok(objects)
}

/// What the spec changes in what the chart gives, by what it is known by in a status.
const DIGESTS: [(&str, &str); 2] = [
    ("postRenderers", "observedPostRenderersDigest"),
    ("commonMetadata", "observedCommonMetadataDigest"),
];

fn digest(value: &Value, key: &str) -> Value {
    match &value["spec"][key] {
        Value::Null => Value::Null,
        own => sha256(object::sorted(own).to_string().as_bytes()).into(),
    }
}

/// Whether the last release was changed as the spec has it.
pub(super) fn is_observed(status: &Status, value: &Value) -> bool {
    DIGESTS
        .iter()
        .all(|(key, observed)| status.value[*observed] == digest(value, key))
}

/// Notes how a release was changed.
pub(super) fn observe(status: &mut Status, value: &Value) {
    for (key, observed) in DIGESTS {
        match digest(value, key) {
            Value::Null => drop(object::remove(&mut status.value, &[observed])),
            own => status.value[observed] = own,
        }
    }
}
