//! Claims and volumes: a claim of the default class gets a volume, and keeps it while a pod uses it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Again, pod_status};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

const MANAGER: &str = "kube-controller-manager";
const PROTECTED: &str = "kubernetes.io/pvc-protection";

pub(super) fn react(state: &mut State, live: &Arc<Object>) -> Again {
    let value = &live.value;
    let uid = object::uid(value).to_owned();
    if object::is_deleting(value) {
        if object::has_finalizer(value, PROTECTED) && !in_use(state, value) {
            let resource = state.resource_of(value)?;
            let _ = state.finalize(&resource, live, PROTECTED);
        }
        return None;
    }
    if value["status"]["phase"] == "Bound" {
        return None;
    }
    let class = object::text(value, &["spec", "storageClassName"]).to_owned();
    let named = object::text(value, &["spec", "volumeName"]).to_owned();
    let volume = state
        .store
        .list("persistentvolumes", "")
        .map(|(_, volume)| volume)
        .find(|volume| fits(&volume.value, value, &class, &named))
        .cloned();
    if let Some(volume) = volume {
        bind(state, live, &volume);
        return None;
    }
    if !named.is_empty()
        || state
            .get("storageclasses.storage.k8s.io", "", &class)
            .is_none()
    {
        let text = "no persistent volumes available for this claim and no storage class is set";
        state.event(
            value,
            "Normal",
            "FailedBinding",
            text,
            "persistentvolume-controller",
        );
        return None;
    }
    let delay = Duration::from_millis(state.settings.delays.volume_ms);
    if let Some(left) = state.marks.left(&uid, "volume", delay) {
        return Some(left);
    }
    let policy = state
        .get("storageclasses.storage.k8s.io", "", &class)
        .map(|one| one.value["reclaimPolicy"].clone());
    let name = format!("pvc-{uid}");
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {
            "accessModes": value["spec"]["accessModes"], "capacity": {"storage": value["spec"]["resources"]["requests"]["storage"]},
            "persistentVolumeReclaimPolicy": policy, "storageClassName": class, "volumeMode": value["spec"]["volumeMode"],
            "hostPath": {"path": format!("/var/lib/lab/{name}"), "type": "DirectoryOrCreate"},
            "claimRef": reference(value),
        },
    });
    match state.make("", volume, MANAGER) {
        Ok(made) => {
            bind(state, live, &made);
            let text = format!("Successfully provisioned volume {name}");
            state.event(
                value,
                "Normal",
                "ProvisioningSucceeded",
                &text,
                "lab.local/volumes",
            );
        }
        Err(message) => state.event(
            value,
            "Warning",
            "ProvisioningFailed",
            &message,
            "lab.local/volumes",
        ),
    }
    None
}

fn reference(claim: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": object::namespace(claim), "name": object::name(claim),
        "uid": object::uid(claim), "resourceVersion": claim["metadata"]["resourceVersion"],
    })
}

/// Whether a volume is this claim's: meant for it, or free and large enough.
fn fits(volume: &Value, claim: &Value, class: &str, named: &str) -> bool {
    let own = &volume["spec"]["claimRef"];
    if own.is_object() {
        let same =
            own["namespace"] == object::namespace(claim) && own["name"] == object::name(claim);
        return same && own.get("uid").is_none_or(|uid| uid == object::uid(claim));
    }
    if !named.is_empty() {
        return object::name(volume) == named;
    }
    let size = |value: &Value| {
        value
            .as_str()
            .and_then(crate::kube::admit::parse_quantity)
            .unwrap_or_default()
    };
    object::text(volume, &["spec", "storageClassName"]) == class
        && object::items(claim, &["spec", "accessModes"])
            .iter()
            .all(|mode| object::items(volume, &["spec", "accessModes"]).contains(mode))
        && size(&volume["spec"]["capacity"]["storage"])
            >= size(&claim["spec"]["resources"]["requests"]["storage"])
}

fn bind(state: &mut State, claim: &Arc<Object>, volume: &Arc<Object>) {
    let name = object::name(&volume.value).to_owned();
    let reference = reference(&claim.value);
    if let Ok(volume) = state.change(volume, MANAGER, |value| {
        value["spec"]["claimRef"] = reference
    }) {
        state.write_status(
            &volume,
            json!({"phase": "Bound", "lastPhaseTransitionTime": object::now()}),
            MANAGER,
        );
    }
    let done = state.change(claim, MANAGER, |value| {
        value["spec"]["volumeName"] = name.as_str().into();
        let notes = object::meta_mut(value)
            .entry("annotations")
            .or_insert_with(|| json!({}));
        notes["pv.kubernetes.io/bind-completed"] = "yes".into();
        notes["pv.kubernetes.io/bound-by-controller"] = "yes".into();
    });
    if let Ok(claim) = done {
        let status = json!({
            "phase": "Bound", "accessModes": volume.value["spec"]["accessModes"], "capacity": volume.value["spec"]["capacity"],
        });
        state.write_status(&claim, status, MANAGER);
    }
}

fn in_use(state: &State, claim: &Value) -> bool {
    state
        .store
        .list("pods", object::namespace(claim))
        .any(|(_, pod)| {
            !pod_status::is_over(&pod.value)
                && object::items(&pod.value, &["spec", "volumes"])
                    .iter()
                    .any(|volume| {
                        volume["persistentVolumeClaim"]["claimName"] == object::name(claim)
                    })
        })
}

/// A volume is available, bound, or released; what may be deleted with its claim is.
pub(super) fn react_volume(state: &mut State, live: &Arc<Object>) -> Again {
    let value = &live.value;
    let own = &value["spec"]["claimRef"];
    if !own.is_object() {
        if value["status"]["phase"] != "Available" {
            state.write_status(
                live,
                json!({"phase": "Available", "lastPhaseTransitionTime": object::now()}),
                MANAGER,
            );
        }
        return None;
    }
    let uid = own["uid"].as_str().unwrap_or_default();
    if uid.is_empty() || state.store.by_uid(uid).is_some() {
        return None;
    }
    if value["spec"]["persistentVolumeReclaimPolicy"] == "Delete" {
        state.end(value);
    } else if value["status"]["phase"] != "Released" {
        state.write_status(
            live,
            json!({"phase": "Released", "lastPhaseTransitionTime": object::now()}),
            MANAGER,
        );
    }
    None
}
