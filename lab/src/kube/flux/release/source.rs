//! What a release waits for and what it is made of: its dependencies, its HelmChart, the chart that stands in.

use serde_json::{Value, json};

use super::{MANAGER, TABLE};
use crate::kube::flux::chart::{self, Found, newest};
use crate::kube::flux::is_ready;
use crate::kube::object;
use crate::kube::state::State;

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

/// The dependency that is not ready.
pub(super) fn dependency(state: &State, value: &Value) -> Option<String> {
    object::items(value, &["spec", "dependsOn"]).iter().find_map(|one| {
        let namespace = one["namespace"].as_str().unwrap_or(object::namespace(value));
        let name = one["name"].as_str().unwrap_or_default();
        match state.get(TABLE, namespace, name) {
            None => Some(format!(
                "unable to get '{namespace}/{name}' dependency: helmreleases.helm.toolkit.fluxcd.io \"{name}\" not found"
            )),
            Some(own) if !is_ready(&own.value) => Some(format!("dependency '{namespace}/{name}' is not ready")),
            Some(_) => None,
        }
    })
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
    let charts = state
        .settings
        .flux
        .as_ref()
        .map(|flux| flux.charts.clone())
        .unwrap_or_default();
    let text = |key: &str| object::text(&source.value, &["spec", "ref", key]).to_owned();
    let wanted = [text("tag"), text("semver"), "*".into()]
        .into_iter()
        .find(|own| !own.is_empty());
    let url = object::text(&source.value, &["spec", "url"]);
    newest(&charts, url, &wanted.unwrap_or_default()).map_err(|text| not_ready(&text))
}
