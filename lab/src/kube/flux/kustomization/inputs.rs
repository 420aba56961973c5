//! What a Kustomization is made of and waits for: its source, and the Kustomizations that it depends on.

use std::sync::Arc;

use serde_json::Value;

use super::TABLE;
use crate::kube::flux::depends::{self, Unmet};
use crate::kube::flux::tree::Tree;
use crate::kube::object;
use crate::kube::state::State;

/// The revision and the files of the source, or why there are none.
pub(super) fn source(state: &State, value: &Value) -> Result<(String, Arc<Tree>), String> {
    let reference = &value["spec"]["sourceRef"];
    let namespace = reference["namespace"]
        .as_str()
        .unwrap_or(object::namespace(value));
    let (kind, name) = (
        reference["kind"].as_str().unwrap_or_default(),
        reference["name"].as_str().unwrap_or_default(),
    );
    let table = match kind {
        "OCIRepository" => "ocirepositories.source.toolkit.fluxcd.io",
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
    let reference = &value["spec"]["sourceRef"];
    let namespace = reference["namespace"]
        .as_str()
        .unwrap_or(object::namespace(value));
    let table = match reference["kind"].as_str()? {
        "OCIRepository" => "ocirepositories.source.toolkit.fluxcd.io",
        _ => return None,
    };
    let source = state.get(table, namespace, reference["name"].as_str()?)?;
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
    let reference = |value: &Value| {
        let own = &value["spec"]["sourceRef"];
        let namespace = own["namespace"]
            .as_str()
            .unwrap_or(object::namespace(value));
        (
            own["kind"].clone(),
            own["name"].clone(),
            namespace.to_owned(),
        )
    };
    let fits = |other: &Value| {
        let stale = reference(other) == reference(value)
            && other["status"]["lastAppliedRevision"] != revision;
        stale.then_some("revision is not up to date")
    };
    depends::first_unmet(state, TABLE, value, missing, fits)
}
