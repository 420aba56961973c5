//! ReplicaSets: as many pods of a template as are wished.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::common::set_condition;
use super::{Again, owner, pod_status};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

const MANAGER: &str = "kube-controller-manager";
/// Until a pod that was refused is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// Pods that one look makes or ends.
const BURST: usize = 500;

/// A pod of a template.
pub(super) fn pod_of(
    owner_value: &Value,
    kind: (&str, &str),
    name: Option<String>,
    prefix: &str,
) -> Value {
    let template = &owner_value["spec"]["template"];
    let mut meta = json!({"ownerReferences": [owner(kind, owner_value)]});
    for key in ["labels", "annotations"] {
        if let Some(own) = template["metadata"].get(key) {
            meta[key] = own.clone();
        }
    }
    if let Some(finalizers) = template["metadata"].get("finalizers") {
        meta["finalizers"] = finalizers.clone();
    }
    match name {
        Some(name) => meta["name"] = name.into(),
        None => meta["generateName"] = format!("{prefix}-").into(),
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]})
}

/// The pods of an owner that count: those that did not end.
pub(super) fn active(pods: &[Arc<Object>]) -> Vec<Arc<Object>> {
    let counts =
        |pod: &&Arc<Object>| !pod_status::is_over(&pod.value) && !object::is_deleting(&pod.value);
    pods.iter().filter(counts).cloned().collect()
}

/// Whether a pod was ready for that many seconds; else how long it still takes.
pub(super) fn available(pod: &Value, min_ready: i64) -> std::result::Result<bool, Duration> {
    let Some(ready) = super::condition(pod, "Ready").filter(|one| one["status"] == "True") else {
        return Ok(false);
    };
    if min_ready <= 0 {
        return Ok(true);
    }
    let since = object::text(ready, &["lastTransitionTime"])
        .parse::<jiff::Timestamp>()
        .unwrap_or_default();
    let left = since.as_second() + min_ready - jiff::Timestamp::now().as_second();
    match u64::try_from(left) {
        Ok(left) if left > 0 => Err(Duration::from_secs(left)),
        _ => Ok(true),
    }
}

pub(super) fn react(state: &mut State, live: &Arc<Object>) -> Again {
    let value = &live.value;
    let uid = object::uid(value).to_owned();
    let pods = state.store.owned_in(&uid, "pods");
    let current = active(&pods);
    let wished = usize::try_from(object::number(value, &["spec", "replicas"]).unwrap_or(1))
        .unwrap_or_default();
    let mut failed = None;
    let mut changed = 0;
    if !object::is_deleting(value) {
        if current.len() < wished {
            let namespace = object::namespace(value).to_owned();
            for _ in 0..(wished - current.len()).min(BURST) {
                let pod = pod_of(value, ("apps/v1", "ReplicaSet"), None, object::name(value));
                match state.make(&namespace, pod, MANAGER) {
                    Ok(made) => {
                        changed += 1;
                        let text = format!("Created pod: {}", object::name(&made.value));
                        state.event(
                            value,
                            "Normal",
                            "SuccessfulCreate",
                            &text,
                            "replicaset-controller",
                        );
                    }
                    Err(message) => {
                        state.event(
                            value,
                            "Warning",
                            "FailedCreate",
                            &format!("Error creating: {message}"),
                            "replicaset-controller",
                        );
                        failed = Some(message);
                        break;
                    }
                }
            }
        } else {
            for pod in surplus(&current, current.len() - wished) {
                changed += 1;
                let text = format!("Deleted pod: {}", object::name(&pod.value));
                state.end(&pod.value);
                state.event(
                    value,
                    "Normal",
                    "SuccessfulDelete",
                    &text,
                    "replicaset-controller",
                );
            }
        }
    }
    let again = status(state, live, &current, failed.as_deref());
    match failed {
        Some(_) => Some(RETRY),
        None if changed > 0 => None,
        None => again,
    }
}

/// Those that go first: not placed, not ready, the youngest.
fn surplus(pods: &[Arc<Object>], count: usize) -> Vec<Arc<Object>> {
    let mut sorted = pods.to_vec();
    sorted.sort_by_key(|pod| {
        (
            !object::text(&pod.value, &["spec", "nodeName"]).is_empty(),
            pod_status::is_ready(&pod.value),
            std::cmp::Reverse(
                object::text(&pod.value, &["metadata", "creationTimestamp"]).to_owned(),
            ),
        )
    });
    sorted.truncate(count);
    sorted
}

fn status(
    state: &mut State,
    live: &Arc<Object>,
    pods: &[Arc<Object>],
    failed: Option<&str>,
) -> Again {
    let value = &live.value;
    let min_ready = object::number(value, &["spec", "minReadySeconds"]).unwrap_or_default();
    let labels = object::at(value, &["spec", "template", "metadata", "labels"])
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let (mut ready, mut up, mut labeled, mut again) = (0, 0, 0, None);
    for pod in pods {
        labeled += i64::from(
            labels
                .iter()
                .all(|(name, wanted)| pod.value["metadata"]["labels"].get(name) == Some(wanted)),
        );
        ready += i64::from(pod_status::is_ready(&pod.value));
        match available(&pod.value, min_ready) {
            Ok(good) => up += i64::from(good),
            Err(left) => again = Some(again.map_or(left, |own: Duration| own.min(left))),
        }
    }
    let mut out =
        json!({"replicas": pods.len(), "observedGeneration": value["metadata"]["generation"]});
    for (key, number) in [
        ("fullyLabeledReplicas", labeled),
        ("readyReplicas", ready),
        ("availableReplicas", up),
    ] {
        if number > 0 {
            out[key] = number.into();
        }
    }
    let terminating = state
        .store
        .owned_in(object::uid(value), "pods")
        .iter()
        .filter(|pod| object::is_deleting(&pod.value) && !pod_status::is_over(&pod.value))
        .count();
    out["terminatingReplicas"] = terminating.into();
    let mut conditions = object::items(value, &["status", "conditions"]).to_vec();
    match failed {
        Some(message) => set_condition(
            &mut conditions,
            json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}),
        ),
        None => conditions.retain(|one| one["type"] != "ReplicaFailure"),
    }
    if !conditions.is_empty() {
        out["conditions"] = conditions.into();
    }
    state.write_status(live, out, MANAGER);
    again
}
