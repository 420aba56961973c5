//! Labels and annotations, at the places where Kustomize puts them.

use serde_json::Value;

use super::item::Item;
use super::map_at;

/// How far labels go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    Metadata,
    Templates,
    /// Templates, and whatever selects by labels.
    Selectors,
}

const WORKLOADS: [&str; 5] = [
    "Deployment",
    "ReplicaSet",
    "DaemonSet",
    "StatefulSet",
    "ReplicationController",
];

pub(super) fn set(items: &mut [Item], pairs: &Value, how: Where) {
    if pairs.as_object().is_none_or(serde_json::Map::is_empty) {
        return;
    }
    for item in items {
        let kind = item.kind().to_owned();
        let value = &mut item.value;
        put(value, &["metadata", "labels"], pairs);
        if how == Where::Metadata {
            continue;
        }
        if WORKLOADS.contains(&kind.as_str()) || kind == "Job" {
            put(value, &["spec", "template", "metadata", "labels"], pairs);
        }
        match kind.as_str() {
            "StatefulSet" => {
                let claims = value.pointer_mut("/spec/volumeClaimTemplates");
                for claim in claims.and_then(Value::as_array_mut).into_iter().flatten() {
                    put(claim, &["metadata", "labels"], pairs);
                }
            }
            "CronJob" => {
                put(value, &["spec", "jobTemplate", "metadata", "labels"], pairs);
                let path = [
                    "spec",
                    "jobTemplate",
                    "spec",
                    "template",
                    "metadata",
                    "labels",
                ];
                put(value, &path, pairs);
            }
            _ => {}
        }
        if how == Where::Selectors {
            select(value, &kind, pairs);
        }
    }
}

fn select(value: &mut Value, kind: &str, pairs: &Value) {
    match kind {
        "Service" | "ReplicationController" => put(value, &["spec", "selector"], pairs),
        "Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet" => {
            put(value, &["spec", "selector", "matchLabels"], pairs);
        }
        "Job" | "PodDisruptionBudget" => {
            extend(value, &["spec", "selector", "matchLabels"], pairs);
        }
        "CronJob" => {
            extend(
                value,
                &["spec", "jobTemplate", "spec", "selector", "matchLabels"],
                pairs,
            );
        }
        "NetworkPolicy" => {
            for path in [
                &["spec", "podSelector", "matchLabels"][..],
                &["spec", "ingress", "from", "podSelector", "matchLabels"],
                &["spec", "egress", "to", "podSelector", "matchLabels"],
            ] {
                extend(value, path, pairs);
            }
        }
        _ => {}
    }
    if !matches!(kind, "Deployment" | "StatefulSet") {
        return;
    }
    let pod = ["spec", "template", "spec"];
    for affinity in ["podAffinity", "podAntiAffinity"] {
        for rest in [
            &[
                "preferredDuringSchedulingIgnoredDuringExecution",
                "podAffinityTerm",
            ][..],
            &["requiredDuringSchedulingIgnoredDuringExecution"],
        ] {
            let path = [
                &pod,
                &["affinity", affinity][..],
                rest,
                &["labelSelector", "matchLabels"],
            ]
            .concat();
            extend(value, &path, pairs);
        }
    }
    let path = [
        &pod,
        &["topologySpreadConstraints", "labelSelector", "matchLabels"][..],
    ]
    .concat();
    extend(value, &path, pairs);
}

pub(super) fn annotate(items: &mut [Item], pairs: &Value) {
    if pairs.as_object().is_none_or(serde_json::Map::is_empty) {
        return;
    }
    for item in items {
        let kind = item.kind().to_owned();
        let value = &mut item.value;
        put(value, &["metadata", "annotations"], pairs);
        if WORKLOADS.contains(&kind.as_str()) || kind == "Job" {
            put(
                value,
                &["spec", "template", "metadata", "annotations"],
                pairs,
            );
        } else if kind == "CronJob" {
            put(
                value,
                &["spec", "jobTemplate", "metadata", "annotations"],
                pairs,
            );
            let path = [
                "spec",
                "jobTemplate",
                "spec",
                "template",
                "metadata",
                "annotations",
            ];
            put(value, &path, pairs);
        }
    }
}

/// Puts pairs into a map that is made where it is not there.
pub(super) fn put(value: &mut Value, path: &[&str], pairs: &Value) {
    if let (Some(map), Some(pairs)) = (map_at(value, path), pairs.as_object()) {
        map.extend(pairs.clone());
    }
}

/// Puts pairs into a map where it is there; lists on the way are gone through.
fn extend(value: &mut Value, path: &[&str], pairs: &Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|value| extend(value, path, pairs)),
        Value::Object(map) => match path {
            [] => map.extend(pairs.as_object().cloned().unwrap_or_default()),
            [key, rest @ ..] => {
                if let Some(next) = map.get_mut(*key) {
                    extend(next, rest, pairs);
                }
            }
        },
        _ => {}
    }
}
