//! StatefulSets: pods with names, one after the other, with their claims, and revisions of their template.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::replicas::{available, pod_of};
use super::revision::{self, HASH};
use super::{Again, pod_status};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

const MANAGER: &str = "kube-controller-manager";
const SOURCE: &str = "statefulset-controller";
const KIND: (&str, &str) = ("apps/v1", "StatefulSet");
const RETRY: Duration = Duration::from_secs(2);

pub(super) fn react(state: &mut State, live: &Arc<Object>) -> Again {
    let value = &live.value;
    if object::is_deleting(value) {
        return None;
    }
    let update = revision(state, live);
    let current = match object::text(value, &["status", "currentRevision"]) {
        "" => update.clone(),
        own => own.to_owned(),
    };
    let again = pods(state, live, &update, &current);
    let live = state.get(
        "statefulsets.apps",
        object::namespace(value),
        object::name(value),
    )?;
    let later = status(state, &live, &update, &current);
    again.or(later)
}

/// The name of the revision of this template, made when it is new.
fn revision(state: &mut State, live: &Arc<Object>) -> String {
    let value = &live.value;
    revision::keep(state, value, KIND, &revision::hash(value), |template| {
        template["$patch"] = "replace".into();
    })
}

fn own(state: &State, value: &Value, ordinal: i64) -> Option<Arc<Object>> {
    state.get(
        "pods",
        object::namespace(value),
        &format!("{}-{ordinal}", object::name(value)),
    )
}

fn pods(state: &mut State, live: &Arc<Object>, update: &str, current: &str) -> Again {
    let value = live.value.clone();
    let wished = object::number(&value, &["spec", "replicas"]).unwrap_or(1);
    let first = object::number(&value, &["spec", "ordinals", "start"]).unwrap_or_default();
    let ordered = value["spec"]["podManagementPolicy"] != "Parallel";
    let min_ready = object::number(&value, &["spec", "minReadySeconds"]).unwrap_or_default();
    let partition = object::number(
        &value,
        &["spec", "updateStrategy", "rollingUpdate", "partition"],
    )
    .unwrap_or_default();
    for ordinal in first..first + wished {
        match own(state, &value, ordinal) {
            None => {
                let revision = if ordinal < partition { current } else { update };
                if let Err(message) = make(state, &value, ordinal, revision) {
                    let text = format!(
                        "Create Pod {}-{ordinal} in StatefulSet {} failed error: {message}",
                        object::name(&value),
                        object::name(&value)
                    );
                    state.event(&value, "Warning", "FailedCreate", &text, SOURCE);
                    return Some(RETRY);
                }
                let text = format!(
                    "Create Pod {0}-{ordinal} in StatefulSet {0} successful",
                    object::name(&value)
                );
                state.event(&value, "Normal", "SuccessfulCreate", &text, SOURCE);
                if ordered {
                    return None;
                }
            }
            Some(pod) => {
                if pod_status::is_over(&pod.value) && !object::is_deleting(&pod.value) {
                    state.end(&pod.value);
                    return None;
                }
                match available(&pod.value, min_ready) {
                    Ok(true) => {}
                    Ok(false) if ordered => return None,
                    Err(left) if ordered => return Some(left),
                    _ => {}
                }
            }
        }
    }
    // Too many: from the highest on, one after the other.
    let prefix = format!("{}-", object::name(&value));
    let mut surplus: Vec<(i64, Arc<Object>)> = state
        .store
        .owned_in(object::uid(&value), "pods")
        .into_iter()
        .filter_map(|pod| {
            Some((
                object::name(&pod.value)
                    .strip_prefix(&prefix)?
                    .parse()
                    .ok()?,
                pod,
            ))
        })
        .filter(|(ordinal, _)| *ordinal >= first + wished || *ordinal < first)
        .collect();
    surplus.sort_by_key(|(ordinal, _)| std::cmp::Reverse(*ordinal));
    for (_, pod) in surplus {
        if object::is_deleting(&pod.value) {
            return None;
        }
        let text = format!(
            "delete Pod {} in StatefulSet {} successful",
            object::name(&pod.value),
            object::name(&value)
        );
        state.end(&pod.value);
        state.event(&value, "Normal", "SuccessfulDelete", &text, SOURCE);
        if ordered {
            return None;
        }
    }
    if value["spec"]["updateStrategy"]["type"] == "OnDelete" {
        return None;
    }
    for ordinal in (first + partition..first + wished).rev() {
        let pod = own(state, &value, ordinal)?;
        if object::is_deleting(&pod.value) {
            return None;
        }
        if object::label(&pod.value, HASH) != update {
            state.end(&pod.value);
            return None;
        }
        if !pod_status::is_ready(&pod.value) {
            return None;
        }
    }
    None
}

fn make(state: &mut State, value: &Value, ordinal: i64, revision: &str) -> Result<(), String> {
    let (namespace, name) = (
        object::namespace(value).to_owned(),
        format!("{}-{ordinal}", object::name(value)),
    );
    let mut volumes = Vec::new();
    for claim in object::items(value, &["spec", "volumeClaimTemplates"]) {
        let claim_name = format!("{}-{name}", object::name(claim));
        volumes.push(json!({"name": object::name(claim), "persistentVolumeClaim": {"claimName": claim_name}}));
        if state
            .get("persistentvolumeclaims", &namespace, &claim_name)
            .is_none()
        {
            let mut own = json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": claim_name, "labels": value["spec"]["selector"]["matchLabels"]}, "spec": claim["spec"],
            });
            if let Some(labels) = claim["metadata"].get("labels").and_then(Value::as_object) {
                for (key, label) in labels {
                    own["metadata"]["labels"][key] = label.clone();
                }
            }
            state.make(&namespace, own, MANAGER)?;
            let text = format!(
                "Create Claim {claim_name} Pod {name} in StatefulSet {} success",
                object::name(value)
            );
            state.event(value, "Normal", "SuccessfulCreate", &text, SOURCE);
        }
    }
    let mut pod = pod_of(value, KIND, Some(name.clone()), "");
    // An older revision still has its own template.
    let old = state.get("controllerrevisions.apps", &namespace, revision);
    if let Some(template) = old
        .as_ref()
        .and_then(|one| object::at(&one.value, &["data", "spec", "template"]))
    {
        pod["spec"] = template["spec"].clone();
    }
    let prefix = format!("{}-", object::name(value));
    object::meta_mut(&mut pod).insert("generateName".into(), prefix.into());
    let labels = object::meta_mut(&mut pod)
        .entry("labels")
        .or_insert_with(|| json!({}));
    labels["statefulset.kubernetes.io/pod-name"] = name.as_str().into();
    labels["apps.kubernetes.io/pod-index"] = ordinal.to_string().into();
    labels[HASH] = revision.into();
    pod["spec"]["hostname"] = name.into();
    if let Some(service) = value["spec"].get("serviceName") {
        pod["spec"]["subdomain"] = service.clone();
    }
    if !volumes.is_empty() {
        let mut all = volumes;
        let names: Vec<Value> = all.iter().map(|one| one["name"].clone()).collect();
        all.extend(
            object::items(&pod, &["spec", "volumes"])
                .iter()
                .filter(|one| !names.contains(&one["name"]))
                .cloned(),
        );
        pod["spec"]["volumes"] = all.into();
    }
    state.make(&namespace, pod, MANAGER).map(drop)
}

fn status(state: &mut State, live: &Arc<Object>, update: &str, current: &str) -> Again {
    let value = &live.value;
    let min_ready = object::number(value, &["spec", "minReadySeconds"]).unwrap_or_default();
    let wished = object::number(value, &["spec", "replicas"]).unwrap_or(1);
    let pods: Vec<Arc<Object>> = state
        .store
        .owned_in(object::uid(value), "pods")
        .into_iter()
        .filter(|pod| !pod_status::is_over(&pod.value))
        .collect();
    let count = |test: &dyn Fn(&Value) -> bool| {
        i64::try_from(pods.iter().filter(|pod| test(&pod.value)).count()).unwrap_or_default()
    };
    let revised =
        |pod: &Value, name: &str| object::label(pod, HASH) == name && !object::is_deleting(pod);
    let (total, ready) = (count(&|_| true), count(&|pod| pod_status::is_ready(pod)));
    let updated = count(&|pod| revised(pod, update));
    let mut again = None;
    let mut up = 0;
    for pod in &pods {
        match available(&pod.value, min_ready) {
            Ok(good) => up += i64::from(good),
            Err(left) => again = Some(left),
        }
    }
    // All are of the new template and ready: it is the current one now.
    let done = update != current && updated == wished && ready == wished && total == wished;
    let current = if done { update } else { current };
    let mut out = json!({
        "observedGeneration": value["metadata"]["generation"], "replicas": total, "availableReplicas": up,
        "currentRevision": current, "updateRevision": update, "collisionCount": 0,
    });
    for (key, number) in [
        ("readyReplicas", ready),
        ("currentReplicas", count(&|pod| revised(pod, current))),
        ("updatedReplicas", updated),
    ] {
        if number > 0 {
            out[key] = number.into();
        }
    }
    state.write_status(live, out, MANAGER);
    again
}
