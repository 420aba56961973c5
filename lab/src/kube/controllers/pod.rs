//! Pods: started, run, ended. A container is a record unless a hook runs its command.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::program::order_programs;
use super::schedule::schedule;
use super::{Again, job, pod_status};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

/// Between the restarts of a container that fails, at first; doubled each time.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// Until a failed pull backs off.
const PULL_TRY: Duration = Duration::from_millis(200);

pub(super) fn react(state: &mut State, live: &Arc<Object>) -> Again {
    let value = &live.value;
    let uid = object::uid(value).to_owned();
    if object::is_deleting(value) {
        // Its job is gone, or it ended before it was counted: nobody else lets it go.
        if object::has_finalizer(value, job::TRACKING)
            && !job_lives(state, value)
            && let Some(resource) = state.resource_of(value)
        {
            let _ = state.finalize(&resource, live, job::TRACKING);
            return None;
        }
        let grace =
            object::number(value, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or_default();
        let delay = Duration::from_millis(state.settings.delays.pod_stop_ms).min(
            Duration::from_secs(u64::try_from(grace).unwrap_or_default()),
        );
        if object::text(value, &["spec", "nodeName"]).is_empty() || grace == 0 {
            state.end_pod(live);
            return None;
        }
        if let Some(left) = state.marks.left(&uid, "stop", delay) {
            return Some(left);
        }
        state.end_pod(live);
        return None;
    }
    if pod_status::is_over(value) {
        return None;
    }
    if object::text(value, &["spec", "nodeName"]).is_empty() {
        return schedule(state, live);
    }
    run(state, live, &uid)
}

/// Whether a pod still runs for a job that counts it.
fn job_lives(state: &State, pod: &Value) -> bool {
    let ended = object::number(pod, &["metadata", "deletionGracePeriodSeconds"]) == Some(0);
    let owner =
        object::controller(pod).and_then(|owner| state.store.by_uid(owner["uid"].as_str()?));
    !ended && owner.is_some_and(|owner| !object::is_deleting(&owner.value))
}

/// From a place on a node to running, and on.
fn run(state: &mut State, live: &Arc<Object>, uid: &str) -> Again {
    let value = &live.value;
    if object::text(value, &["status", "startTime"]).is_empty() {
        let status = pod_status::creating(value);
        state.write_status(live, status, "kubelet");
        state.marks.restart(uid, "start");
        return Some(Duration::from_millis(state.settings.delays.pod_start_ms));
    }
    if object::text(value, &["status", "phase"]) == "Running" {
        return running(state, live, uid);
    }
    let delay = Duration::from_millis(state.settings.delays.pod_start_ms);
    if let Some(left) = state.marks.left(uid, "start", delay) {
        return Some(left);
    }
    if state.failure(value, "image-pull").is_some() {
        return pull_fails(state, live, uid);
    }
    if let Some((volume, message)) = missing_volume(state, value) {
        let message = format!("MountVolume.SetUp failed for volume \"{volume}\" : {message}");
        state.event(value, "Warning", "FailedMount", &message, "kubelet");
        return None;
    }
    if let Some(message) = missing_env(state, value) {
        let status = pod_status::waiting(value, "CreateContainerConfigError", &message);
        state.write_status(live, status, "kubelet");
        return None;
    }
    if state.failure(value, "crash-loop").is_some() {
        return crash(state, live, uid, 1);
    }
    let ordered = order_programs(state, value, uid);
    if ordered && object::text(value, &["spec", "restartPolicy"]) != "Always" {
        // It runs when its program does; who starts it says so.
        return None;
    }
    let address = state.pool.pod_ip();
    let status = pod_status::running(value, &address);
    state.write_status(live, status, "kubelet");
    for one in object::items(value, &["spec", "containers"]) {
        let name = one["name"].as_str().unwrap_or_default();
        state.event(
            value,
            "Normal",
            "Started",
            &format!("Container started: {name}"),
            "kubelet",
        );
    }
    None
}

fn pull_fails(state: &mut State, live: &Arc<Object>, uid: &str) -> Again {
    let image = object::text(
        &object::items(&live.value, &["spec", "containers"])[0],
        &["image"],
    )
    .to_owned();
    let error = format!("failed to pull and unpack image \"{image}\": not found");
    if state.marks.left(uid, "pull", PULL_TRY).is_some() {
        let status = pod_status::waiting(&live.value, "ErrImagePull", &error);
        state.write_status(live, status, "kubelet");
        state.event(
            &live.value,
            "Warning",
            "Failed",
            &format!("Failed to pull image \"{image}\": {error}"),
            "kubelet",
        );
        return Some(PULL_TRY);
    }
    let message = format!("Back-off pulling image \"{image}\": ErrImagePull: {error}");
    let status = pod_status::waiting(&live.value, "ImagePullBackOff", &message);
    state.write_status(live, status, "kubelet");
    state.event(
        &live.value,
        "Normal",
        "BackOff",
        &format!("Back-off pulling image \"{image}\""),
        "kubelet",
    );
    let failed = "Error: ImagePullBackOff";
    state.event(&live.value, "Warning", "Failed", failed, "kubelet");
    None
}

fn missing_volume(state: &State, pod: &Value) -> Option<(String, String)> {
    let namespace = object::namespace(pod);
    object::items(pod, &["spec", "volumes"])
        .iter()
        .find_map(|volume| {
            let name = volume["name"].as_str().unwrap_or_default().to_owned();
            for (part, key, table, word) in [
                ("configMap", "name", "configmaps", "configmap"),
                ("secret", "secretName", "secrets", "secret"),
            ] {
                if let Some(wanted) = volume[part][key].as_str()
                    && volume[part]["optional"] != true
                    && state.store.get(table, namespace, wanted).is_none()
                {
                    return Some((name, format!("{word} \"{wanted}\" not found")));
                }
            }
            None
        })
}

fn missing_env(state: &State, pod: &Value) -> Option<String> {
    let namespace = object::namespace(pod);
    let check = |reference: &Value, table: &str, word: &str| {
        let wanted = reference["name"].as_str()?;
        if reference["optional"] == true {
            return None;
        }
        match state.store.get(table, namespace, wanted) {
            None => Some(format!("{word} \"{wanted}\" not found")),
            Some(own) => {
                let key = reference["key"].as_str()?;
                own.value["data"].get(key).is_none().then(|| match word {
                    "secret" => format!("couldn't find key {key} in Secret {namespace}/{wanted}"),
                    _ => format!("couldn't find key {key} in ConfigMap {namespace}/{wanted}"),
                })
            }
        }
    };
    object::items(pod, &["spec", "containers"])
        .iter()
        .find_map(|container| {
            let from = object::items(container, &["envFrom"])
                .iter()
                .find_map(|one| {
                    check(&one["configMapRef"], "configmaps", "configmap")
                        .or_else(|| check(&one["secretRef"], "secrets", "secret"))
                });
            from.or_else(|| {
                object::items(container, &["env"]).iter().find_map(|one| {
                    let source = &one["valueFrom"];
                    check(&source["configMapKeyRef"], "configmaps", "configmap")
                        .or_else(|| check(&source["secretKeyRef"], "secrets", "secret"))
                })
            })
        })
}

/// A container that ended and is to be started again, or one that is scripted to fail.
fn crash(state: &mut State, live: &Arc<Object>, uid: &str, code: i64) -> Again {
    let count = pod_status::restarts(&live.value);
    let status = pod_status::crashed(&live.value, code, count + 1);
    state.write_status(live, status, "kubelet");
    let name = object::text(
        &object::items(&live.value, &["spec", "containers"])[0],
        &["name"],
    )
    .to_owned();
    let pod = object::name(&live.value).to_owned();
    let message = format!(
        "Back-off restarting failed container {name} in pod {pod}_{}({uid})",
        object::namespace(&live.value)
    );
    state.event(&live.value, "Warning", "BackOff", &message, "kubelet");
    state.marks.restart(uid, "backoff");
    let shift = u32::try_from(count.clamp(0, 16)).unwrap_or_default();
    Some(BACKOFF_FIRST.saturating_mul(1 << shift).min(BACKOFF_MAX))
}

fn running(state: &mut State, live: &Arc<Object>, uid: &str) -> Again {
    if state.failure(&live.value, "crash-loop").is_none() || !state.marks.has(uid, "backoff") {
        return None;
    }
    let count = pod_status::restarts(&live.value);
    let shift = u32::try_from((count - 1).clamp(0, 16)).unwrap_or_default();
    let wait = BACKOFF_FIRST.saturating_mul(1 << shift).min(BACKOFF_MAX);
    match state.marks.left(uid, "backoff", wait) {
        Some(left) => Some(left),
        None => crash(state, live, uid, 1),
    }
}
