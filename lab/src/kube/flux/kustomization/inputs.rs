//! What a Kustomization is made of and waits for: its source, and the Kustomizations that it depends on.

use std::sync::Arc;

use serde_json::Value;

use super::TABLE;
use crate::kube::flux::depends::{self, Unmet};
use crate::kube::flux::tree::Tree;
use crate::kube::object;
use crate::kube::state::State;

const OCI_TABLE: &str = "ocirepositories.source.toolkit.fluxcd.io";

/// Kind, namespace and name of the source.
fn reference(value: &Value) -> (&str, &str, &str) {
    let own = &value["spec"]["sourceRef"];
    let text = |key: &str| own[key].as_str();
    let namespace = text("namespace").unwrap_or(object::namespace(value));
    (
        text("kind").unwrap_or_default(),
        namespace,
        text("name").unwrap_or_default(),
    )
}

/// The revision and the files of the source, or why there are none.
pub(super) fn source(state: &State, value: &Value) -> Result<(String, Arc<Tree>), String> {
    let (kind, namespace, name) = reference(value);
    let table = match kind {
        "OCIRepository" => OCI_TABLE,
        "GitRepository" => "gitrepositories.source.toolkit.fluxcd.io",
        other => return Err(format!("the lab serves no source of kind `{other}`")),
    };
    let Some(source) = state.get(table, namespace, name) else {
        return Err(format!(
            "{kind}.source.toolkit.fluxcd.io \"{name}\" not found"
        ));
    };
    let Some(revision) = source.value["status"]["artifact"]["revision"].as_str() else {
        return Err("Source artifact not found, retrying in 30s".to_owned());
    };
    match state.flux.artifacts.get(object::uid(&source.value)) {
        Some(artifact) if artifact.chart.is_some() => Err(format!(
            "a file stands in for the chart of {kind} '{namespace}/{name}', which holds no manifests"
        )),
        Some(artifact) => Ok((revision.to_owned(), artifact.tree.clone())),
        None => Err("Source is not ready, artifact not found, retrying in 30s".to_owned()),
    }
}

/// The revision of what an artifact was made of, as its maker noted it.
pub(super) fn origin_revision(state: &State, value: &Value) -> Option<String> {
    let (kind, namespace, name) = reference(value);
    if kind != "OCIRepository" {
        return None;
    }
    let source = state.get(OCI_TABLE, namespace, name)?;
    let noted =
        &source.value["status"]["artifact"]["metadata"]["org.opencontainers.image.revision"];
    noted.as_str().map(str::to_owned)
}

pub(super) fn dependency(state: &State, value: &Value, revision: &str) -> Option<Unmet> {
    let missing = |key: &str, name: &str| {
        format!(
            "dependency '{key}' not found: kustomizations.kustomize.toolkit.fluxcd.io \"{name}\" not found"
        )
    };
    let fits = |other: &Value| {
        let stale = reference(other) == reference(value)
            && other["status"]["lastAppliedRevision"] != revision;
        stale.then_some("revision is not up to date")
    };
    depends::first_unmet(state, TABLE, value, missing, fits)
}
