//! Kustomizations: built, applied in stages, found healthy, pruned by their inventory.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::inventory::{Failure, MANAGER, one, own, prune, stage, unhealthy};
use super::tree::Tree;
use super::{DEPENDENCY, FINALIZER, INTERVAL, LOOK, Outcome};
use super::{build, substitute};
use super::{
    conclude, duration, is_ready, is_settled, keep, let_go, nudge_dependents, scripted, status_of,
};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

const TABLE: &str = "kustomizations.kustomize.toolkit.fluxcd.io";

pub(super) fn react(state: &mut State, live: &Arc<Object>) -> Option<Duration> {
    let value = &live.value;
    if object::is_deleting(value) {
        end(state, live);
        return None;
    }
    if value["spec"]["suspend"] == true {
        return None;
    }
    if keep(state, live, MANAGER) {
        return Some(Duration::ZERO);
    }
    let uid = object::uid(value).to_owned();
    let interval = duration(&value["spec"]["interval"], INTERVAL);
    let retry = duration(&value["spec"]["retryInterval"], interval);
    let revision = source(state, value);
    let settled = is_settled(state, value);
    let attempted = value["status"]["lastAttemptedRevision"]
        .as_str()
        .unwrap_or_default();
    let same = revision.as_deref() == Ok(attempted);
    if settled && same && !state.marks.has(&uid, "waiting") {
        let wait = if is_ready(value) { interval } else { retry };
        if let Some(left) = state.marks.left(&uid, "interval", wait) {
            return Some(left);
        }
    }
    state.marks.restart(&uid, "interval");
    let step = match (scripted(state, value), revision) {
        (Some(reason), revision) => Err((
            reason,
            "set to fail by the lab".to_owned(),
            revision.unwrap_or_default(),
        )),
        (None, Err(message)) => Err(("ArtifactFailed".to_owned(), message, String::new())),
        (None, Ok(revision)) => match dependency(state, value) {
            Some(message) => {
                fail(state, live, "DependencyNotReady", &message, &revision);
                return Some(DEPENDENCY);
            }
            None => apply(state, live, &revision)
                .map_err(|(reason, message)| (reason.to_owned(), message, revision)),
        },
    };
    match step {
        Ok(true) => Some(interval),
        Ok(false) => Some(LOOK),
        Err((reason, message, revision)) => {
            state.marks.clear(&uid, "waiting");
            fail(state, live, &reason, &message, &revision);
            Some(if reason == "ArtifactFailed" {
                DEPENDENCY
            } else {
                retry
            })
        }
    }
}

fn fail(state: &mut State, live: &Arc<Object>, reason: &str, message: &str, revision: &str) {
    let Some(live) = state.get(
        TABLE,
        object::namespace(&live.value),
        object::name(&live.value),
    ) else {
        return;
    };
    let mut status = status_of(&live.value);
    if !revision.is_empty() {
        status["lastAttemptedRevision"] = revision.into();
    }
    let outcome = Outcome {
        ready: "False",
        reason,
        message,
        observed: false,
        reconciling: true,
        stalled: false,
    };
    conclude(&live.value, &mut status, &outcome, "");
    state.write_status(&live, status, MANAGER);
    if reason != "DependencyNotReady" {
        state.event(&live.value, "Warning", reason, message, MANAGER);
    }
}

/// The revision of the source's artifact, or why there is none.
fn source(state: &State, value: &Value) -> Result<String, String> {
    let reference = &value["spec"]["sourceRef"];
    let namespace = reference["namespace"]
        .as_str()
        .unwrap_or(object::namespace(value));
    let (kind, name) = (
        reference["kind"].as_str().unwrap_or_default(),
        reference["name"].as_str().unwrap_or_default(),
    );
    let table = match kind {
        "OCIRepository" => "ocirepositories.source.toolkit.fluxcd.io",
        "GitRepository" => "gitrepositories.source.toolkit.fluxcd.io",
        other => return Err(format!("the lab serves no source of kind `{other}`")),
    };
    let Some(source) = state.get(table, namespace, name) else {
        return Err(format!("Source '{kind}/{namespace}/{name}' not found"));
    };
    match source.value["status"]["artifact"]["revision"].as_str() {
        Some(revision) => Ok(revision.to_owned()),
        None => Err("Source artifact not found, retrying in 30s".to_owned()),
    }
}

/// The files of the source.
fn artifact(state: &State, value: &Value) -> Result<Arc<Tree>, Failure> {
    let reference = &value["spec"]["sourceRef"];
    let namespace = reference["namespace"]
        .as_str()
        .unwrap_or(object::namespace(value));
    let table = match reference["kind"].as_str() {
        Some("OCIRepository") => "ocirepositories.source.toolkit.fluxcd.io",
        _ => "gitrepositories.source.toolkit.fluxcd.io",
    };
    let source = state.get(
        table,
        namespace,
        reference["name"].as_str().unwrap_or_default(),
    );
    source
        .and_then(|source| state.flux.artifacts.get(object::uid(&source.value)))
        .map(|artifact| artifact.tree.clone())
        .ok_or((
            "ArtifactFailed",
            "Source is not ready, artifact not found, retrying in 30s".to_owned(),
        ))
}

fn dependency(state: &State, value: &Value) -> Option<String> {
    object::items(value, &["spec", "dependsOn"])
        .iter()
        .find_map(|one| {
            let namespace = one["namespace"]
                .as_str()
                .unwrap_or(object::namespace(value));
            let name = one["name"].as_str().unwrap_or_default();
            match state.get(TABLE, namespace, name) {
                None => Some(format!("dependency '{namespace}/{name}' not found")),
                Some(own) if !is_ready(&own.value) => {
                    Some(format!("dependency '{namespace}/{name}' is not ready"))
                }
                Some(_) => None,
            }
        })
}

/// Builds and applies; whether it came to its end.
fn apply(state: &mut State, live: &Arc<Object>, revision: &str) -> Result<bool, Failure> {
    let value = &live.value;
    let uid = object::uid(value).to_owned();
    if !state.marks.has(&uid, "waiting") {
        let path = object::text(value, &["spec", "path"]).to_owned();
        let tree = artifact(state, value)?;
        let folder = build::inside("", &path).map_err(|text| ("ArtifactFailed", text))?;
        if !tree.is_folder(&folder) {
            let text = format!(
                "kustomization path not found: stat /tmp/kustomization-{}/{folder}: no such file or directory",
                &uid[..8.min(uid.len())]
            );
            return Err(("ArtifactFailed", text));
        }
        let mut objects =
            build::build(&tree, &path, &value["spec"]).map_err(|text| ("BuildFailed", text))?;
        substitute::substitute(state, value, &mut objects).map_err(|text| ("BuildFailed", text))?;
        let message = "Reconciliation in progress";
        progress(state, live, message, revision);
        for object in &mut objects {
            own(value, object);
        }
        objects.sort_by_key(|object| stage(object["kind"].as_str().unwrap_or_default()));
        let mut inventory = Vec::new();
        for object in &objects {
            let id = one(state, value, object).map_err(|text| ("ReconciliationFailed", text))?;
            inventory.push(id);
        }
        prune(state, value, &inventory);
        let live = state.get(TABLE, object::namespace(value), object::name(value));
        if let Some(live) = live {
            let mut status = status_of(&live.value);
            let entries: Vec<Value> = inventory
                .iter()
                .map(|(id, version)| json!({"id": id, "v": version}))
                .collect();
            status["inventory"] = json!({"entries": entries});
            status["lastAttemptedRevision"] = revision.into();
            state.write_status(&live, status, MANAGER);
        }
        state.marks.restart(&uid, "waiting");
    }
    let live = state
        .get(TABLE, object::namespace(value), object::name(value))
        .ok_or(("ReconciliationFailed", "gone".to_owned()))?;
    let timeout = duration(
        &value["spec"]["timeout"],
        duration(&value["spec"]["interval"], INTERVAL),
    );
    if let Some(waiting) = unhealthy(state, &live.value)? {
        if state.marks.since(&uid, "waiting") < timeout {
            return Ok(false);
        }
        let text = format!(
            "health check failed after {}s: timeout waiting for: [{}]",
            timeout.as_secs(),
            waiting.join(", ")
        );
        return Err(("HealthCheckFailed", text));
    }
    state.marks.clear(&uid, "waiting");
    let mut status = status_of(&live.value);
    status["lastAppliedRevision"] = revision.into();
    status["lastAttemptedRevision"] = revision.into();
    let message = format!("Applied revision: {revision}");
    let checks = value["spec"]["wait"] == true
        || !object::items(value, &["spec", "healthChecks"]).is_empty();
    let outcome = Outcome {
        ready: "True",
        reason: "ReconciliationSucceeded",
        message: &message,
        observed: true,
        reconciling: false,
        stalled: false,
    };
    conclude(&live.value, &mut status, &outcome, "");
    if checks {
        let mut conditions = object::items(&status, &["conditions"]).to_vec();
        super::set_condition(
            &mut conditions,
            json!({
                "type": "Healthy", "status": "True", "reason": "Succeeded", "message": "Health check passed",
                "observedGeneration": live.value["metadata"]["generation"],
            }),
        );
        status["conditions"] = conditions.into();
    }
    state.write_status(&live, status, MANAGER);
    state.event(
        &live.value,
        "Normal",
        "ReconciliationSucceeded",
        &message,
        MANAGER,
    );
    nudge_dependents(state, TABLE, value);
    Ok(true)
}

fn progress(state: &mut State, live: &Arc<Object>, message: &str, revision: &str) {
    let mut status = status_of(&live.value);
    status["lastAttemptedRevision"] = revision.into();
    let outcome = Outcome {
        ready: "Unknown",
        reason: "Progressing",
        message,
        observed: false,
        reconciling: true,
        stalled: false,
    };
    conclude(&live.value, &mut status, &outcome, "");
    state.write_status(live, status, MANAGER);
}

/// With a kustomization that prunes goes what it applied.
fn end(state: &mut State, live: &Arc<Object>) {
    if !object::has_finalizer(&live.value, FINALIZER) {
        return;
    }
    if live.value["spec"]["suspend"] != true {
        prune(state, &live.value, &[]);
    }
    let_go(state, live);
}
