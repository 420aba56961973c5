//! What a kustomization applied: in which order, whose it is, whether it is healthy, and what of it goes.

use std::sync::Arc;

use serde_json::{Value, json};

use super::health::{self, Health};
use crate::kube::admit::{Validation, Write};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

pub(super) const MANAGER: &str = "kustomize-controller";

/// The reason of a `Ready` condition, and what is to be said.
pub(super) type Failure = (&'static str, String);

/// Labels that say whose it is, and the namespace that was asked for.
pub(super) fn own(kustomization: &Value, value: &mut Value) {
    let labels = object::meta_mut(value)
        .entry("labels")
        .or_insert_with(|| json!({}));
    labels["kustomize.toolkit.fluxcd.io/name"] = object::name(kustomization).into();
    labels["kustomize.toolkit.fluxcd.io/namespace"] = object::namespace(kustomization).into();
}
/// What must be there before others.
pub(super) fn stage(kind: &str) -> usize {
    const ORDER: [&str; 12] = [
        "CustomResourceDefinition",
        "Namespace",
        "ClusterRole",
        "PriorityClass",
        "StorageClass",
        "ClusterRoleBinding",
        "ResourceQuota",
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "ConfigMap",
        "Secret",
    ];
    ORDER
        .iter()
        .position(|own| *own == kind)
        .unwrap_or(ORDER.len())
}
/// Applies one object; its id in the inventory.
pub(super) fn one(
    state: &mut State,
    kustomization: &Value,
    value: &Value,
) -> Result<(String, String), String> {
    let (api_version, kind) = (
        value["apiVersion"].as_str().unwrap_or_default(),
        value["kind"].as_str().unwrap_or_default(),
    );
    let name = object::name(value).to_owned();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if state.registry.of_kind(api_version, kind).is_none() {
        // Its definition may have been applied a moment ago.
        let found = state
            .store
            .list(crate::kube::crd::TABLE, "")
            .find(|(_, crd)| {
                crd.value["spec"]["group"] == group && crd.value["spec"]["names"]["kind"] == kind
            });
        if let Some(crd) = found.map(|(_, crd)| object::name(&crd.value).to_owned()) {
            state.establish(&crd);
        }
    }
    let resource = state.registry.of_kind(api_version, kind).ok_or_else(|| {
        format!("{kind}/{name} dry-run failed: no matches for kind \"{kind}\" in version \"{api_version}\"")
    })?;
    let target = object::text(kustomization, &["spec", "targetNamespace"]);
    let mut value = value.clone();
    let mut namespace = object::namespace(&value).to_owned();
    if resource.namespaced {
        if !target.is_empty() {
            namespace = target.to_owned();
        } else if namespace.is_empty() {
            namespace = object::namespace(kustomization).to_owned();
        }
        object::meta_mut(&mut value).insert("namespace".into(), namespace.as_str().into());
    } else {
        namespace.clear();
    }
    let mut write = Write::by(MANAGER);
    write.validation = Validation::Strict;
    state
        .apply(&resource, &namespace, &name, value, true, &mut write)
        .map_err(|refusal| {
            let place = if namespace.is_empty() {
                format!("{kind}/{name}")
            } else {
                format!("{kind}/{namespace}/{name}")
            };
            format!("{place} dry-run failed: {}", refusal.message)
        })?;
    Ok((
        format!("{namespace}_{name}_{group}_{kind}"),
        version.to_owned(),
    ))
}
/// The object of an entry of an inventory.
fn entry(state: &State, entry: &Value) -> Option<Arc<Object>> {
    let id = entry["id"].as_str()?;
    let mut parts = id.split('_');
    let (namespace, name, group, kind) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let version = entry["v"].as_str()?;
    let api_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    let resource = state.registry.of_kind(&api_version, kind)?;
    state.get(&resource.qualified(), namespace, name)
}
/// Takes away what was applied before and is not any more.
pub(super) fn prune(state: &mut State, kustomization: &Value, inventory: &[(String, String)]) {
    if kustomization["spec"]["prune"] != true {
        return;
    }
    for old in object::items(kustomization, &["status", "inventory", "entries"]) {
        if inventory.iter().any(|(id, _)| old["id"] == id.as_str()) {
            continue;
        }
        if let Some(gone) = entry(state, old)
            && object::annotation(&gone.value, "kustomize.toolkit.fluxcd.io/prune") != "disabled"
        {
            state.end(&gone.value);
        }
    }
}
/// What is not healthy yet, or what failed.
pub(super) fn unhealthy(state: &State, value: &Value) -> Result<Option<Vec<String>>, Failure> {
    let mut waiting = Vec::new();
    let mut check = |object: Option<Arc<Object>>, shown: String| {
        match object.map(|object| health::of(&object.value)) {
            Some(Health::Current) => {}
            Some(Health::Failed(text)) => {
                return Err((
                    "HealthCheckFailed",
                    format!(
                        "health check failed: failed early due to stalled resources: [{shown} status: 'Failed': {text}]"
                    ),
                ));
            }
            Some(Health::InProgress) => waiting.push(format!("{shown} status: 'InProgress'")),
            None => waiting.push(format!("{shown} status: 'NotFound'")),
        }
        Ok(())
    };
    if value["spec"]["wait"] == true {
        for one in object::items(value, &["status", "inventory", "entries"]) {
            let mut parts = one["id"].as_str().unwrap_or_default().split('_');
            let (namespace, name, kind) = (
                parts.next().unwrap_or_default(),
                parts.next().unwrap_or_default(),
                parts.nth(1).unwrap_or_default(),
            );
            check(entry(state, one), format!("{kind}/{namespace}/{name}"))?;
        }
    } else {
        for one in object::items(value, &["spec", "healthChecks"]) {
            let text = |key: &str| one[key].as_str().unwrap_or_default();
            let namespace = one["namespace"]
                .as_str()
                .unwrap_or(object::namespace(value));
            let found = state
                .registry
                .of_kind(text("apiVersion"), text("kind"))
                .and_then(|resource| state.get(&resource.qualified(), namespace, text("name")));
            check(
                found,
                format!("{}/{namespace}/{}", text("kind"), text("name")),
            )?;
        }
    }
    Ok((!waiting.is_empty()).then_some(waiting))
}
