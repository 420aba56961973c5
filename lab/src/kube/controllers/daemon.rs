//! DaemonSets: one pod on each node that takes it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::replicas::{available, pod_of};
use super::revision::{self, HASH};
use super::rollout::portion;
use super::{Again, pod_status};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

const MANAGER: &str = "kube-controller-manager";
const SOURCE: &str = "daemonset-controller";
const KIND: (&str, &str) = ("apps/v1", "DaemonSet");
const RETRY: Duration = Duration::from_secs(2);

pub(super) fn react(state: &mut State, live: &Arc<Object>) -> Again {
    let value = &live.value;
    if object::is_deleting(value) {
        return None;
    }
    let hash = revision::hash(value);
    revision::keep(state, value, KIND, &hash, |_| {});
    let nodes: Vec<Arc<Object>> = state
        .store
        .list("nodes", "")
        .map(|(_, node)| node.clone())
        .collect();
    let takes = |node: &Value| {
        value["spec"]["template"]["spec"]["nodeSelector"]
            .as_object()
            .into_iter()
            .flatten()
            .all(|(name, wanted)| node["metadata"]["labels"].get(name) == Some(wanted))
    };
    let wished: Vec<String> = nodes
        .iter()
        .filter(|node| takes(&node.value))
        .map(|node| object::name(&node.value).to_owned())
        .collect();
    let pods = state.store.owned_in(object::uid(value), "pods");
    let mut failed = false;
    for node in &wished {
        let there = pods
            .iter()
            .any(|pod| placed(&pod.value) == *node && !pod_status::is_over(&pod.value));
        if !there {
            let mut pod = pod_of(value, KIND, None, object::name(value));
            object::meta_mut(&mut pod)
                .entry("labels")
                .or_insert_with(|| json!({}))[HASH] = hash.as_str().into();
            pod["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
            ]}}});
            pod["spec"]["tolerations"] = tolerations(&pod);
            match state.make(object::namespace(value), pod, MANAGER) {
                Ok(made) => {
                    let text = format!("Created pod: {}", object::name(&made.value));
                    state.event(value, "Normal", "SuccessfulCreate", &text, SOURCE);
                }
                Err(message) => {
                    failed = true;
                    state.event(
                        value,
                        "Warning",
                        "FailedCreate",
                        &format!("Error creating: {message}"),
                        SOURCE,
                    );
                }
            }
        }
    }
    for pod in &pods {
        if !wished.iter().any(|node| *node == placed(&pod.value))
            && !object::is_deleting(&pod.value)
        {
            state.end(&pod.value);
        }
    }
    roll(state, value, &hash);
    let again = status(state, live, &wished, &hash);
    if failed { Some(RETRY) } else { again }
}

/// The node a pod is on, or is made for.
fn placed(pod: &Value) -> String {
    let own = object::text(pod, &["spec", "nodeName"]);
    if !own.is_empty() {
        return own.to_owned();
    }
    let terms = object::items(
        pod,
        &[
            "spec",
            "affinity",
            "nodeAffinity",
            "requiredDuringSchedulingIgnoredDuringExecution",
            "nodeSelectorTerms",
        ],
    );
    terms
        .first()
        .map(|term| object::text(&term["matchFields"][0]["values"][0], &[]).to_owned())
        .unwrap_or_default()
}

fn tolerations(pod: &Value) -> Value {
    let mut list = object::items(pod, &["spec", "tolerations"]).to_vec();
    for (key, effect) in [
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    ] {
        list.push(json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": effect}));
    }
    list.into()
}

/// Ends old pods, as many as may be away.
fn roll(state: &mut State, value: &Value, hash: &str) {
    if value["spec"]["updateStrategy"]["type"] != "RollingUpdate" {
        return;
    }
    let pods = state.store.owned_in(object::uid(value), "pods");
    let whole = i64::try_from(pods.len()).unwrap_or_default();
    let most = portion(
        &value["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"],
        whole,
        true,
    )
    .max(1);
    let away = pods
        .iter()
        .filter(|pod| !pod_status::is_ready(&pod.value) || object::is_deleting(&pod.value))
        .count();
    let mut room = most - i64::try_from(away).unwrap_or_default();
    for pod in pods
        .iter()
        .filter(|pod| object::label(&pod.value, HASH) != hash && !object::is_deleting(&pod.value))
    {
        let sick = !pod_status::is_ready(&pod.value);
        if room > 0 || sick {
            state.end(&pod.value);
            room -= i64::from(!sick);
        }
    }
}

fn status(state: &mut State, live: &Arc<Object>, wished: &[String], hash: &str) -> Again {
    let value = &live.value;
    let min_ready = object::number(value, &["spec", "minReadySeconds"]).unwrap_or_default();
    let pods = state.store.owned_in(object::uid(value), "pods");
    let alive: Vec<&Value> = pods
        .iter()
        .map(|pod| &pod.value)
        .filter(|pod| !object::is_deleting(pod) && !pod_status::is_over(pod))
        .collect();
    let on = |pod: &&&Value| wished.contains(&placed(pod));
    let current: Vec<&&Value> = alive.iter().filter(on).collect();
    let mut again = None;
    let mut up = 0;
    for pod in &current {
        match available(pod, min_ready) {
            Ok(good) => up += i64::from(good),
            Err(left) => again = Some(left),
        }
    }
    let ready = current
        .iter()
        .filter(|pod| pod_status::is_ready(pod))
        .count();
    let updated = current
        .iter()
        .filter(|pod| object::label(pod, HASH) == hash)
        .count();
    let mut out = json!({
        "currentNumberScheduled": current.len(), "numberMisscheduled": alive.len() - current.len(),
        "desiredNumberScheduled": wished.len(), "numberReady": ready, "observedGeneration": value["metadata"]["generation"],
    });
    let away = i64::try_from(wished.len()).unwrap_or_default() - up;
    if updated > 0 {
        out["updatedNumberScheduled"] = updated.into();
    }
    for (key, number) in [("numberAvailable", up), ("numberUnavailable", away)] {
        if number > 0 {
            out[key] = number.into();
        }
    }
    state.write_status(live, out, MANAGER);
    again
}
