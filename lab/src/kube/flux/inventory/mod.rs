//! What a Kustomization applied: in which order, whose it is, whether it is healthy, and what of it goes.

mod apply;
mod standing;

use std::sync::Arc;

use serde_json::{Value, json};

use super::account;
use crate::kube::object::{self, Object};
use crate::kube::state::State;

pub(super) use apply::{apply_all, served};
pub(super) use standing::{Standing, health};

pub(super) const MANAGER: &str = "kustomize-controller";
const GROUP: &str = "kustomize.toolkit.fluxcd.io";
/// The order in which kinds are applied; those that are not here come after, in the order of their groups and names.
const ORDER: [&str; 23] = [
    "CustomResourceDefinition",
    "Namespace",
    "ClusterRole",
    "ClusterClass",
    "RuntimeClass",
    "PriorityClass",
    "StorageClass",
    "VolumeSnapshotClass",
    "IngressClass",
    "GatewayClass",
    "ClusterRoleBinding",
    "ResourceQuota",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ConfigMap",
    "Secret",
    "Service",
    "LimitRange",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];
const LAST: [&str; 2] = [
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

/// An entry of an inventory.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) version: String,
    /// `created`, `configured`, `unchanged` or `skipped`, of what is called so.
    pub(super) action: &'static str,
    pub(super) shown: String,
}

/// Labels that say whose it is.
pub(super) fn own(kustomization: &Value, value: &mut Value) {
    let labels = object::meta_mut(value)
        .entry("labels")
        .or_insert_with(|| json!({}));
    labels[format!("{GROUP}/name")] = object::name(kustomization).into();
    labels[format!("{GROUP}/namespace")] = object::namespace(kustomization).into();
}

/// Labels and annotations that all objects get.
pub(super) fn common(object: &mut Value, meta: &Value) {
    for part in ["labels", "annotations"] {
        for (key, text) in meta[part].as_object().into_iter().flatten() {
            let all = object::meta_mut(object)
                .entry(part)
                .or_insert_with(|| json!({}));
            all[key] = text.clone();
        }
    }
}

/// Sorts objects in the order in which they are applied.
pub(super) fn sort(objects: &mut [Value]) {
    objects.sort_by_key(|object| {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let group = object["apiVersion"]
            .as_str()
            .and_then(|own| own.split_once('/'))
            .map_or(String::new(), |(group, _)| group.to_owned());
        let place = ORDER
            .iter()
            .position(|own| *own == kind)
            .unwrap_or_else(|| {
                let last = LAST.iter().position(|own| *own == kind);
                ORDER.len() + last.map_or(0, |at| at + 1)
            });
        let (namespace, name) = (object::namespace(object), object::name(object));
        (place, group, kind, namespace.to_owned(), name.to_owned())
    });
}

/// What must be there before others: definitions, namespaces and cluster roles, then classes, then the rest.
fn stage(kind: &str) -> usize {
    match kind {
        "CustomResourceDefinition" | "Namespace" | "ClusterRole" => 0,
        kind if kind.ends_with("Class") => 1,
        _ => 2,
    }
}

/// `Kind/namespace/name`, as the controllers write it.
pub(super) fn shown(value: &Value) -> String {
    let kind = value["kind"].as_str().unwrap_or_default();
    match object::namespace(value) {
        "" => format!("{kind}/{}", object::name(value)),
        namespace => format!("{kind}/{namespace}/{}", object::name(value)),
    }
}

/// Whether an object's labels or annotations say this about Flux, whatever the case of the letters.
fn says(value: &Value, key: &str, word: &str) -> bool {
    let key = format!("{GROUP}/{key}");
    [object::label(value, &key), object::annotation(value, &key)]
        .iter()
        .any(|own| own.eq_ignore_ascii_case(word))
}

/// The object of an entry of an inventory.
fn live(state: &State, entry: &Value) -> Option<Arc<Object>> {
    let (namespace, name, group, kind) = parts(entry)?;
    let version = entry["v"].as_str()?;
    let api_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    let resource = state.registry.of_kind(&api_version, kind)?;
    state.get(&resource.qualified(), namespace, &name)
}

/// Namespace, name, group and kind of an entry's id.
fn parts(entry: &Value) -> Option<(&str, String, &str, &str)> {
    let id = entry["id"].as_str()?;
    let (namespace, rest) = id.split_once('_')?;
    let (rest, kind) = rest.rsplit_once('_')?;
    let (name, group) = rest.rsplit_once('_')?;
    Some((namespace, name.replace("__", ":"), group, kind))
}

/// Takes away what an inventory names and another does not; what was ended, as the controller tells it.
///
/// # Errors
///
/// What may not be deleted; all the rest is.
pub(super) fn prune(
    state: &mut State,
    kustomization: &Value,
    old: &[Value],
    new: &[Entry],
) -> Result<Vec<String>, String> {
    let (mut out, mut refusals) = (Vec::new(), Vec::new());
    for entry in old {
        if new.iter().any(|own| entry["id"] == own.id.as_str()) {
            continue;
        }
        let Some(gone) = live(state, entry) else {
            continue;
        };
        let value = &gone.value;
        let mine = object::label(value, &format!("{GROUP}/name")) == object::name(kustomization)
            && object::label(value, &format!("{GROUP}/namespace"))
                == object::namespace(kustomization);
        let kept = says(value, "prune", "disabled")
            || says(value, "reconcile", "disabled")
            || says(value, "ssa", "ignore");
        if !mine || kept {
            continue;
        }
        if let Some(resource) = state.resource_of(value) {
            let place = (object::namespace(value), object::name(value));
            if let Err(refusal) = account::check(state, kustomization, "delete", &resource, place) {
                refusals.push(format!(
                    "{} delete failed: {}",
                    shown(value),
                    refusal.message
                ));
                continue;
            }
        }
        out.push(format!("{} deleted", shown(value)));
        state.end(value);
    }
    if refusals.is_empty() {
        Ok(out)
    } else {
        Err(refusals.join("\n"))
    }
}
