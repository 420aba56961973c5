//! What a Kustomization applied: in which order, whose it is, whether it is healthy, and what of it goes.

use std::sync::Arc;

use serde_json::{Value, json};

use super::health::{self, Health};
use crate::kube::admit::{Validation, Write};
use crate::kube::object::{self, Object};
use crate::kube::resource::Resource;
use crate::kube::state::State;
use crate::kube::status::Refusal;

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

/// Applies objects that are sorted, stage by stage; of each all are tried first, so that nothing of it is applied when one is refused.
pub(super) fn apply(
    state: &mut State,
    kustomization: &Value,
    objects: &[Value],
) -> Result<Vec<Entry>, String> {
    let mut out: Vec<Entry> = Vec::new();
    for number in 0..=2 {
        let of_stage = || {
            objects
                .iter()
                .filter(move |one| stage(one["kind"].as_str().unwrap_or_default()) == number)
        };
        let done = |out: &[Entry]| -> String {
            let changed = out
                .iter()
                .filter(|one| matches!(one.action, "created" | "configured"));
            changed
                .map(|one| format!("{} {}\n", one.shown, one.action))
                .collect()
        };
        for object in of_stage() {
            one(state, kustomization, object, true)
                .map_err(|text| format!("{text}\n{}", done(&out)))?;
        }
        for object in of_stage() {
            let entry = one(state, kustomization, object, false)
                .map_err(|text| format!("{text}\n{}", done(&out)))?;
            out.push(entry);
        }
    }
    Ok(out)
}

/// Whether an object's labels or annotations say this about Flux, whatever the case of the letters.
fn says(value: &Value, key: &str, word: &str) -> bool {
    let key = format!("{GROUP}/{key}");
    [object::label(value, &key), object::annotation(value, &key)]
        .iter()
        .any(|own| own.eq_ignore_ascii_case(word))
}

fn one(
    state: &mut State,
    kustomization: &Value,
    value: &Value,
    dry_run: bool,
) -> Result<Entry, String> {
    let name = object::name(value).to_owned();
    let namespace = object::namespace(value).to_owned();
    let resource = served(state, value)?;
    if resource.namespaced && namespace.is_empty() {
        return Err(format!(
            "{} namespace not specified: the server could not find the requested resource",
            shown(value)
        ));
    }
    let namespace = if resource.namespaced {
        namespace
    } else {
        String::new()
    };
    let table = resource.qualified();
    let live = state.get(&table, &namespace, &name);
    let entry = |action| Entry {
        id: format!(
            "{namespace}_{}_{}_{}",
            name.replace(':', "__"),
            resource.group,
            resource.kind
        ),
        version: resource.version.clone(),
        action,
        shown: shown(value),
    };
    let skipped = |own: &Value| says(own, "reconcile", "disabled") || says(own, "ssa", "ignore");
    if skipped(value)
        || live.as_ref().is_some_and(|live| skipped(&live.value))
        || live.is_some() && says(value, "ssa", "ifnotpresent")
    {
        return Ok(entry("skipped"));
    }
    let mut write = Write::by(MANAGER);
    write.validation = Validation::Strict;
    write.dry_run = dry_run;
    let tried = state.apply(
        &resource,
        &namespace,
        &name,
        normal(value),
        true,
        &mut write,
    );
    let forced = kustomization["spec"]["force"] == true || says(value, "force", "enabled");
    let tried = match (tried, &live) {
        (Err(refusal), Some(live))
            if forced && matches!(refusal.reason, "Invalid" | "Conflict") =>
        {
            if dry_run {
                return Ok(entry("created"));
            }
            state.end(&live.value);
            state.apply(
                &resource,
                &namespace,
                &name,
                normal(value),
                true,
                &mut write,
            )
        }
        (tried, _) => tried,
    };
    let (now, _) = tried.map_err(|refusal| refused(value, &refusal))?;
    let version = |object: &Arc<Object>| object.value["metadata"]["resourceVersion"].clone();
    Ok(entry(match live {
        None => "created",
        Some(live) if version(&live) == version(&now) => "unchanged",
        Some(_) => "configured",
    }))
}

pub(super) fn served(state: &mut State, value: &Value) -> Result<Arc<Resource>, String> {
    let (api_version, kind) = (
        value["apiVersion"].as_str().unwrap_or_default(),
        value["kind"].as_str().unwrap_or_default(),
    );
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
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
    state.registry.of_kind(api_version, kind).ok_or_else(|| {
        format!(
            "{} dry-run failed: no matches for kind \"{kind}\" in version \"{api_version}\"",
            shown(value)
        )
    })
}

fn refused(value: &Value, refusal: &Refusal) -> String {
    let (shown, message) = (shown(value), &refusal.message);
    match refusal.reason {
        "NotFound" => format!("{shown} not found: {message}"),
        "" => format!("{shown} dry-run failed: {message}"),
        reason => format!("{shown} dry-run failed ({reason}): {message}"),
    }
}

/// A Secret as it is sent: what it has as text is data, and data has no line ends; what a Secret does not have is left out.
fn normal(value: &Value) -> Value {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let mut value = value.clone();
    if value["kind"] != "Secret" || value["apiVersion"] != "v1" {
        return value;
    }
    for text in value["data"]
        .as_object_mut()
        .into_iter()
        .flat_map(|map| map.values_mut())
    {
        if let Some(own) = text.as_str().filter(|own| own.contains('\n')) {
            *text = own.replace('\n', "").into();
        }
    }
    if let Some(Value::Object(texts)) = object::remove(&mut value, &["stringData"]) {
        let data = object::map_mut(&mut value, "data");
        for (key, text) in texts {
            let text = text
                .as_str()
                .map_or_else(|| text.to_string(), str::to_owned);
            data.insert(key, STANDARD.encode(text).into());
        }
    }
    object::remove(&mut value, &["sops"]);
    value
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
pub(super) fn prune(
    state: &mut State,
    kustomization: &Value,
    old: &[Value],
    new: &[Entry],
) -> Vec<String> {
    let mut out = Vec::new();
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
        if mine && !kept {
            out.push(format!("{} deleted", shown(value)));
            state.end(value);
        }
    }
    out
}

/// How a set of objects stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Healthy,
    /// What is not there yet, each with its status.
    Waits(Vec<String>),
    /// What will not get there.
    Failed(Vec<String>),
}

/// How what is to be healthy stands: all that was applied, or what is named. None where nothing is to be looked at.
pub(super) fn health(state: &State, value: &Value, applied: &[Value]) -> Option<Standing> {
    let spec = &value["spec"];
    let mut all: Vec<(String, Option<Arc<Object>>)> = Vec::new();
    if spec["wait"] == true {
        for entry in applied {
            let (namespace, name, _, kind) = parts(entry)?;
            let shown = if namespace.is_empty() {
                format!("{kind}/{name}")
            } else {
                format!("{kind}/{namespace}/{name}")
            };
            let found = live(state, entry);
            let skipped = found
                .as_ref()
                .is_some_and(|own| says(&own.value, "reconcile", "disabled"));
            if !skipped {
                all.push((shown, found));
            }
        }
    } else {
        for one in object::items(value, &["spec", "healthChecks"]) {
            let text = |key: &str| one[key].as_str().unwrap_or_default();
            let namespace = text("namespace");
            let found = state
                .registry
                .of_kind(text("apiVersion"), text("kind"))
                .and_then(|resource| state.get(&resource.qualified(), namespace, text("name")));
            all.push((
                format!("{}/{namespace}/{}", text("kind"), text("name")),
                found,
            ));
        }
    }
    // It does not wait for itself.
    all.retain(|(_, found)| {
        found
            .as_ref()
            .is_none_or(|own| object::uid(&own.value) != object::uid(value))
    });
    if all.is_empty() {
        return None;
    }
    let (mut waits, mut failed) = (Vec::new(), Vec::new());
    for (shown, found) in all {
        match found.map(|own| health::of(&own.value)) {
            Some(Health::Current) => {}
            Some(Health::Failed(_)) => failed.push(format!("{shown} status: 'Failed'")),
            Some(Health::InProgress) => waits.push(format!("{shown} status: 'InProgress'")),
            None => waits.push(format!("{shown} status: 'NotFound'")),
        }
    }
    Some(if !failed.is_empty() {
        Standing::Failed(failed)
    } else if waits.is_empty() {
        Standing::Healthy
    } else {
        Standing::Waits(waits)
    })
}
