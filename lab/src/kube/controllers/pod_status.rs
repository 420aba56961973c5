//! The statuses of pods, as a kubelet writes them.

use serde_json::{Value, json};

use super::set_condition;
use crate::kube::object;

pub(crate) fn is_over(pod: &Value) -> bool {
    matches!(
        object::text(pod, &["status", "phase"]),
        "Succeeded" | "Failed"
    )
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    super::condition(pod, "Ready").is_some_and(|one| one["status"] == "True")
}

pub(crate) fn restarts(pod: &Value) -> i64 {
    object::items(pod, &["status", "containerStatuses"])
        .iter()
        .filter_map(|one| one["restartCount"].as_i64())
        .max()
        .unwrap_or_default()
}

/// Sets a condition in a status.
pub(super) fn set(status: &mut Value, name: &str, good: bool, reason: &str, message: &str) {
    let mut conditions = object::items(status, &["conditions"]).to_vec();
    let mut fresh =
        json!({"type": name, "status": if good { "True" } else { "False" }, "lastProbeTime": null});
    if !reason.is_empty() {
        fresh["reason"] = reason.into();
    }
    if !message.is_empty() {
        fresh["message"] = message.into();
    }
    set_condition(&mut conditions, fresh);
    status["conditions"] = conditions.into();
}

fn names(pod: &Value, list: &str) -> Vec<String> {
    object::items(pod, &["spec", list])
        .iter()
        .filter_map(|one| one["name"].as_str().map(str::to_owned))
        .collect()
}

/// The two conditions of a pod whose containers are not ready.
fn not_ready(status: &mut Value, pod: &Value) {
    let message = format!(
        "containers with unready status: [{}]",
        names(pod, "containers").join(" ")
    );
    for condition in ["Ready", "ContainersReady"] {
        set(status, condition, false, "ContainersNotReady", &message);
    }
}

fn base(pod: &Value) -> Value {
    let mut status = pod["status"].clone();
    if let Some(generation) = pod["metadata"]["generation"].as_i64() {
        status["observedGeneration"] = generation.into();
    }
    status
}

fn containers(pod: &Value, mut state: impl FnMut(&Value) -> Value) -> Value {
    let before = object::items(pod, &["status", "containerStatuses"]);
    object::items(pod, &["spec", "containers"])
        .iter()
        .map(|one| {
            let own = before.iter().find(|had| had["name"] == one["name"]);
            let count = own.and_then(|own| own["restartCount"].as_i64()).unwrap_or_default();
            let mut out = json!({
                "name": one["name"], "image": one["image"], "imageID": "", "ready": false, "started": false,
                "restartCount": count, "lastState": own.map_or(json!({}), |own| own["lastState"].clone()),
            });
            out["state"] = state(one);
            out
        })
        .collect()
}

/// On its node, nothing runs yet.
pub(super) fn creating(pod: &Value) -> Value {
    let mut status = base(pod);
    status["phase"] = "Pending".into();
    status["startTime"] = object::now().into();
    status["hostIP"] = "10.0.0.10".into();
    status["hostIPs"] = json!([{"ip": "10.0.0.10"}]);
    set(&mut status, "PodReadyToStartContainers", false, "", "");
    set(&mut status, "Initialized", true, "", "");
    not_ready(&mut status, pod);
    status["containerStatuses"] =
        containers(pod, |_| json!({"waiting": {"reason": "ContainerCreating"}}));
    status
}

/// Its containers wait for that reason.
pub(super) fn waiting(pod: &Value, reason: &str, message: &str) -> Value {
    let mut status = base(pod);
    set(&mut status, "PodReadyToStartContainers", true, "", "");
    status["containerStatuses"] = containers(
        pod,
        |_| json!({"waiting": {"reason": reason, "message": message}}),
    );
    status
}

fn container_id(one: &Value) -> String {
    format!(
        "lab://{:016x}{:016x}",
        object::stable_hash(one),
        object::random()
    )
}

pub(super) fn running(pod: &Value, address: &str) -> Value {
    let mut status = base(pod);
    let now = object::now();
    status["phase"] = "Running".into();
    status["podIP"] = address.into();
    status["podIPs"] = json!([{"ip": address}]);
    set(&mut status, "PodReadyToStartContainers", true, "", "");
    set(&mut status, "Ready", true, "", "");
    set(&mut status, "ContainersReady", true, "", "");
    let mut list = containers(pod, |_| json!({"running": {"startedAt": now}}));
    for one in list.as_array_mut().into_iter().flatten() {
        one["ready"] = true.into();
        one["started"] = true.into();
        one["containerID"] = container_id(one).into();
        one["imageID"] = one["image"].clone();
    }
    status["containerStatuses"] = list;
    let first: Vec<Value> = object::items(pod, &["spec", "initContainers"])
        .iter()
        .map(|one| {
            json!({
                "name": one["name"], "image": one["image"], "imageID": one["image"], "ready": true, "started": false,
                "restartCount": 0, "lastState": {}, "containerID": container_id(one),
                "state": {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}},
            })
        })
        .collect();
    if !first.is_empty() {
        status["initContainerStatuses"] = first.into();
    }
    status
}

/// Its containers ended with a code and wait for their next start.
pub(super) fn crashed(pod: &Value, code: i64, count: i64) -> Value {
    let now = object::now();
    let mut status = base(pod);
    status["phase"] = "Running".into();
    if status.get("podIP").is_none() {
        status["podIP"] = "10.244.0.1".into();
        status["podIPs"] = json!([{"ip": "10.244.0.1"}]);
    }
    set(&mut status, "PodReadyToStartContainers", true, "", "");
    not_ready(&mut status, pod);
    let (namespace, name, uid) = (object::namespace(pod), object::name(pod), object::uid(pod));
    let mut list = containers(pod, |one| {
        let container = one["name"].as_str().unwrap_or_default();
        json!({"waiting": {
            "reason": "CrashLoopBackOff",
            "message": format!("back-off 10s restarting failed container={container} pod={name}_{namespace}({uid})"),
        }})
    });
    for one in list.as_array_mut().into_iter().flatten() {
        one["restartCount"] = count.into();
        one["imageID"] = one["image"].clone();
        let word = if code == 0 { "Completed" } else { "Error" };
        one["lastState"] = json!({"terminated": {"exitCode": code, "reason": word, "startedAt": now, "finishedAt": now}});
    }
    status["containerStatuses"] = list;
    status
}

/// One container ended for good; with the last one the pod is over.
pub(super) fn ended(pod: &Value, container: &str, code: i64) -> Value {
    let now = object::now();
    let mut status = base(pod);
    let mut all = object::items(&status, &["containerStatuses"]).to_vec();
    for one in all.iter_mut().filter(|one| one["name"] == container) {
        let started = one["state"]["running"]["startedAt"].clone();
        one["ready"] = false.into();
        one["started"] = false.into();
        one["state"] = json!({"terminated": {
            "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" },
            "startedAt": if started.is_null() { now.as_str().into() } else { started }, "finishedAt": now,
        }});
    }
    let codes: Vec<Option<i64>> = all
        .iter()
        .map(|one| one["state"]["terminated"]["exitCode"].as_i64())
        .collect();
    status["containerStatuses"] = all.into();
    if codes.iter().all(Option::is_some) {
        let good = codes.iter().all(|code| *code == Some(0));
        status["phase"] = if good { "Succeeded" } else { "Failed" }.into();
        let reason = if good { "PodCompleted" } else { "PodFailed" };
        set(&mut status, "PodReadyToStartContainers", false, "", "");
        set(&mut status, "Ready", false, reason, "");
        set(&mut status, "ContainersReady", false, reason, "");
    } else {
        not_ready(&mut status, pod);
    }
    status
}
