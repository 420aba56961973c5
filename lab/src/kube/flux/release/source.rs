//! What a release waits for and what it is made of: its dependencies, its HelmChart, the chart that stands in.

use serde_json::{Value, json};

use super::{MANAGER, TABLE};
use crate::kube::flux::chart::{self, Found};
use crate::kube::flux::depends::{self, Unmet};
use crate::kube::flux::is_ready;
use crate::kube::object;
use crate::kube::state::State;

/// Of a digest, what a chart's version has.
const DIGEST_CHARS: usize = 12;

/// What changes when there is another chart or another source.
pub(super) fn mark(state: &State, value: &Value) -> String {
    let key = object::text(value, &["status", "helmChart"]);
    let chart = key
        .split_once('/')
        .and_then(|(namespace, name)| state.get(chart::TABLE, namespace, name));
    let shown = chart.map(|own| {
        let ready = crate::kube::controllers::condition(&own.value, "Ready");
        format!(
            "{}-{}",
            own.value["status"]["artifact"]["revision"],
            ready.map_or(&Value::Null, |one| &one["status"])
        )
    });
    format!("chart-{}", shown.unwrap_or_default())
}

/// The dependency that is not met.
pub(super) fn dependency(state: &State, value: &Value) -> Option<Unmet> {
    let missing = |key: &str, name: &str| {
        format!(
            "unable to get '{key}' dependency: helmreleases.helm.toolkit.fluxcd.io \"{name}\" not found"
        )
    };
    depends::first_unmet(state, TABLE, value, missing, |_| None)
}

/// The HelmChart of a release's template, made or brought up to date; its key.
pub(super) fn template(state: &mut State, value: &Value) -> Option<String> {
    let spec = &value["spec"]["chart"]["spec"];
    if !spec.is_object() {
        return None;
    }
    let own = object::namespace(value);
    let namespace = spec["sourceRef"]["namespace"]
        .as_str()
        .unwrap_or(own)
        .to_owned();
    let name = format!("{own}-{}", object::name(value));
    let mut wanted = json!({
        "chart": spec["chart"], "version": spec["version"].as_str().unwrap_or("*"),
        "interval": spec["interval"].as_str().map_or_else(|| value["spec"]["interval"].clone(), Value::from),
        "reconcileStrategy": spec["reconcileStrategy"].as_str().unwrap_or("ChartVersion"),
        "sourceRef": {"kind": spec["sourceRef"]["kind"], "name": spec["sourceRef"]["name"]},
    });
    if spec["valuesFiles"].is_array() {
        wanted["valuesFiles"] = spec["valuesFiles"].clone();
    }
    match state.get(chart::TABLE, &namespace, &name) {
        None => {
            let chart = json!({
                "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmChart",
                "metadata": {"name": name, "namespace": namespace, "labels": {
                    "helm.toolkit.fluxcd.io/name": object::name(value), "helm.toolkit.fluxcd.io/namespace": own,
                }},
                "spec": wanted,
            });
            let _ = state.make(&namespace, chart, MANAGER);
        }
        Some(live) => {
            let same = wanted
                .as_object()
                .into_iter()
                .flatten()
                .all(|(key, own)| live.value["spec"][key] == *own);
            if !same {
                let _ = state.change(&live, MANAGER, |value| value["spec"] = wanted.clone());
            }
        }
    }
    Some(format!("{namespace}/{name}"))
}

/// The chart that stands in.
pub(super) fn found(state: &State, value: &Value) -> Result<Found, String> {
    let reference = &value["spec"]["chartRef"];
    let (table, kind, namespace, name) = if reference.is_object() {
        let kind = reference["kind"].as_str().unwrap_or_default();
        let table = match kind {
            "OCIRepository" => "ocirepositories.source.toolkit.fluxcd.io",
            "HelmChart" => chart::TABLE,
            other => {
                return Err(format!(
                    "the lab serves no charts of a source of kind `{other}`"
                ));
            }
        };
        let namespace = reference["namespace"]
            .as_str()
            .unwrap_or(object::namespace(value));
        (
            table,
            kind,
            namespace,
            reference["name"].as_str().unwrap_or_default(),
        )
    } else {
        let key = object::text(value, &["status", "helmChart"]);
        let (namespace, name) = key.split_once('/').unwrap_or_default();
        (chart::TABLE, "HelmChart", namespace, name)
    };
    let Some(source) = state.get(table, namespace, name) else {
        return Err(format!(
            "could not get Source object: {kind}.source.toolkit.fluxcd.io \"{name}\" not found"
        ));
    };
    let not_ready = |text: &str| format!("{kind} '{namespace}/{name}' is not ready: {text}");
    if !is_ready(&source.value) {
        let ready = crate::kube::controllers::condition(&source.value, "Ready");
        let text = ready
            .and_then(|one| one["message"].as_str())
            .unwrap_or("does not have an artifact");
        return Err(not_ready(text));
    }
    if kind == "HelmChart" {
        let found = state.flux.charts.get(object::uid(&source.value)).cloned();
        return found.ok_or_else(|| not_ready("does not have an artifact"));
    }
    let uid = object::uid(&source.value);
    let Some(artifact) = state.flux.artifacts.get(uid) else {
        return Err(not_ready("does not have an artifact"));
    };
    let mut found = match &artifact.chart {
        Some(found) => found.clone(),
        None => {
            let flux = state.settings.flux.as_ref();
            let charts = flux.map(|flux| flux.charts.clone()).unwrap_or_default();
            chart::packed(&charts, &artifact.tree).map_err(|text| not_ready(&text))?
        }
    };
    // So that another content under the same tag is another version.
    let digest = artifact.file.trim_start_matches("sha256:");
    let short: String = digest.chars().take(DIGEST_CHARS).collect();
    let bare = found.version.split('+').next().unwrap_or_default();
    found.version = format!("{bare}+{short}");
    found.oci_digest.clone_from(&artifact.file);
    Ok(found)
}
