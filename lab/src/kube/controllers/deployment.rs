//! Deployments: a ReplicaSet for each template, and a status that says how the way from one to the next goes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::common::set_condition;
use super::deployment_notes::{copy_notes, note_revision, notes};
use super::rollout::{MANAGER, REVISION, revision};
use super::{Again, owner, rollout};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

const HASH: &str = "pod-template-hash";
/// Letters of a template's hash.
const HASH_LETTERS: usize = 10;

pub(super) fn react(state: &mut State, live: &Arc<Object>) -> Again {
    if object::is_deleting(&live.value) {
        return None;
    }
    let uid = object::uid(&live.value).to_owned();
    let sets = state.store.owned_in(&uid, "replicasets.apps");
    let paused = live.value["spec"]["paused"] == true;
    let new = sets
        .iter()
        .find(|set| same_template(&live.value, &set.value))
        .cloned();
    let new = match new {
        Some(own) => Some(own),
        None if paused => None,
        None => match create_set(state, live, &sets) {
            Ok(made) => {
                state.marks.restart(&uid, "progress");
                // What was written is seen with the next look.
                rollout::scale(state, live, &made, &sets);
                Some(made)
            }
            Err(_) => None,
        },
    };
    let live = state.get(
        "deployments.apps",
        object::namespace(&live.value),
        object::name(&live.value),
    )?;
    let sets = state.store.owned_in(&uid, "replicasets.apps");
    if let Some(new) = new.as_ref().and_then(|new| {
        sets.iter()
            .find(|set| object::uid(&set.value) == object::uid(&new.value))
    }) {
        if !paused {
            if copy_notes(state, &live.value, new) {
                return Some(Duration::ZERO);
            }
            note_revision(state, &live, new);
            rollout::scale(state, &live, new, &sets);
            rollout::clean(state, &live, new, &sets);
        } else {
            rollout::scale_paused(state, &live, &sets);
        }
    }
    let live = state.get(
        "deployments.apps",
        object::namespace(&live.value),
        object::name(&live.value),
    )?;
    let sets = state.store.owned_in(&uid, "replicasets.apps");
    let new = sets
        .iter()
        .find(|set| same_template(&live.value, &set.value))
        .cloned();
    status(state, &live, new.as_ref(), &sets, &uid)
}

/// The template without the hash that the set adds.
fn same_template(deployment: &Value, set: &Value) -> bool {
    let mut template = set["spec"]["template"].clone();
    object::remove(&mut template, &["metadata", "labels", HASH]);
    let own = &deployment["spec"]["template"];
    template["spec"] == own["spec"]
        && template["metadata"].get("annotations") == own["metadata"].get("annotations")
        && template["metadata"].get("labels") == own["metadata"].get("labels")
}

fn create_set(
    state: &mut State,
    live: &Arc<Object>,
    sets: &[Arc<Object>],
) -> Result<Arc<Object>, String> {
    let value = &live.value;
    let template = &value["spec"]["template"];
    let hash = object::safe(object::stable_hash(template), HASH_LETTERS);
    let name = format!("{}-{hash}", object::name(value));
    let mut spec_template = template.clone();
    object::map_mut(&mut spec_template, "metadata")
        .entry("labels")
        .or_insert_with(|| json!({}))[HASH] = hash.as_str().into();
    let mut selector = value["spec"]["selector"].clone();
    object::map_mut(&mut selector, "matchLabels").insert(HASH.into(), hash.as_str().into());
    let next = sets
        .iter()
        .map(|set| revision(&set.value))
        .max()
        .unwrap_or_default()
        + 1;
    let mut annotations = notes(value);
    annotations[REVISION] = next.to_string().into();
    let (wished, surge) = (
        object::number(value, &["spec", "replicas"]).unwrap_or(1),
        rollout::limits(value).0,
    );
    annotations["deployment.kubernetes.io/desired-replicas"] = wished.to_string().into();
    annotations["deployment.kubernetes.io/max-replicas"] = (wished + surge).to_string().into();
    let others: i64 = sets
        .iter()
        .filter_map(|set| object::number(&set.value, &["spec", "replicas"]))
        .sum();
    let first = match value["spec"]["strategy"]["type"].as_str() {
        // With nothing to take away it may begin at once.
        Some("Recreate") if others == 0 => wished,
        Some("Recreate") => 0,
        _ => wished.min(wished + surge - others).max(0),
    };
    let mut spec = json!({"replicas": first, "selector": selector, "template": spec_template});
    if let Some(seconds) = value["spec"].get("minReadySeconds") {
        spec["minReadySeconds"] = seconds.clone();
    }
    let set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": name, "labels": spec_template["metadata"]["labels"], "annotations": annotations,
            "ownerReferences": [owner(("apps/v1", "Deployment"), value)],
        },
        "spec": spec,
    });
    let made = state.make(object::namespace(value), set, MANAGER)?;
    if first > 0 {
        let text = format!("Scaled up replica set {name} from 0 to {first}");
        state.event(
            value,
            "Normal",
            "ScalingReplicaSet",
            &text,
            "deployment-controller",
        );
    }
    let mut conditions = object::items(value, &["status", "conditions"]).to_vec();
    set_condition(
        &mut conditions,
        progress(
            "True",
            "NewReplicaSetCreated",
            &format!("Created new replica set \"{name}\""),
        ),
    );
    let mut status = value["status"].clone();
    status["conditions"] = conditions.into();
    state.write_status(live, status, MANAGER);
    Ok(made)
}

fn progress(status: &str, reason: &str, message: &str) -> Value {
    let now = object::now();
    json!({"type": "Progressing", "status": status, "reason": reason, "message": message, "lastUpdateTime": now})
}

fn sum(sets: &[Arc<Object>], key: &str) -> i64 {
    sets.iter()
        .filter_map(|set| object::number(&set.value, &["status", key]))
        .sum()
}

fn status(
    state: &mut State,
    live: &Arc<Object>,
    new: Option<&Arc<Object>>,
    sets: &[Arc<Object>],
    uid: &str,
) -> Again {
    let value = &live.value;
    let wished = object::number(value, &["spec", "replicas"]).unwrap_or(1);
    let total = sum(sets, "replicas");
    let available = sum(sets, "availableReplicas");
    let ready = sum(sets, "readyReplicas");
    let updated = new
        .and_then(|new| object::number(&new.value, &["status", "replicas"]))
        .unwrap_or_default();
    let mut out = json!({"observedGeneration": value["metadata"]["generation"]});
    for (key, number) in [
        ("replicas", total),
        ("updatedReplicas", updated),
        ("readyReplicas", ready),
        ("availableReplicas", available),
        (
            "unavailableReplicas",
            (total.max(wished) - available).max(0),
        ),
    ] {
        if number > 0 {
            out[key] = number.into();
        }
    }
    out["terminatingReplicas"] = sum(sets, "terminatingReplicas").into();
    if let Some(count) = value["status"].get("collisionCount") {
        out["collisionCount"] = count.clone();
    }
    let mut conditions = object::items(value, &["status", "conditions"]).to_vec();
    let now = object::now();
    let enough = available >= wished - rollout::limits(value).1;
    let (word, reason, message) = if enough {
        (
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    put(
        &mut conditions,
        json!({"type": "Available", "status": word, "reason": reason, "message": message, "lastUpdateTime": now}),
    );
    let failure = sets
        .iter()
        .find_map(|set| super::condition(&set.value, "ReplicaFailure").cloned());
    match failure {
        Some(mut failure) => {
            failure["lastUpdateTime"] = now.into();
            put(&mut conditions, failure);
        }
        None => conditions.retain(|one| one["type"] != "ReplicaFailure"),
    }
    let complete = updated == wished && total == wished && available == wished;
    let again = progressing(
        state,
        live,
        new,
        &mut conditions,
        complete,
        (updated, ready, available),
        uid,
    );
    out["conditions"] = conditions.into();
    state.write_status(live, out, MANAGER);
    again
}

/// A condition that says the same keeps its times.
fn put(conditions: &mut Vec<Value>, fresh: Value) {
    let same = conditions.iter().any(|one| {
        one["type"] == fresh["type"]
            && one["status"] == fresh["status"]
            && one["reason"] == fresh["reason"]
            && one["message"] == fresh["message"]
    });
    if !same {
        set_condition(conditions, fresh.clone());
        // What changed comes last.
        if let Some(index) = conditions
            .iter()
            .position(|one| one["type"] == fresh["type"])
        {
            let own = conditions.remove(index);
            conditions.push(own);
        }
    }
}

fn progressing(
    state: &mut State,
    live: &Arc<Object>,
    new: Option<&Arc<Object>>,
    conditions: &mut Vec<Value>,
    complete: bool,
    counts: (i64, i64, i64),
    uid: &str,
) -> Again {
    let value = &live.value;
    if value["spec"]["paused"] == true {
        put(
            conditions,
            progress("Unknown", "DeploymentPaused", "Deployment is paused"),
        );
        return None;
    }
    let name = new
        .map_or(object::name(value), |new| object::name(&new.value))
        .to_owned();
    let before = super::condition(value, "Progressing")
        .cloned()
        .unwrap_or(Value::Null);
    if before["reason"] == "DeploymentPaused" {
        put(
            conditions,
            progress("Unknown", "DeploymentResumed", "Deployment is resumed"),
        );
        state.marks.restart(uid, "progress");
    }
    if complete {
        state.marks.restart(uid, "progress");
        put(
            conditions,
            progress(
                "True",
                "NewReplicaSetAvailable",
                &format!("ReplicaSet \"{name}\" has successfully progressed."),
            ),
        );
        return None;
    }
    let old = &value["status"];
    let number = |key: &str| object::number(old, &[key]).unwrap_or_default();
    let moved = counts.0 > number("updatedReplicas")
        || counts.1 > number("readyReplicas")
        || counts.2 > number("availableReplicas");
    if moved {
        state.marks.restart(uid, "progress");
    }
    // A deployment that was complete and lost a pod has no deadline.
    if before["reason"] == "NewReplicaSetAvailable"
        && counts.0 >= object::number(value, &["spec", "replicas"]).unwrap_or(1)
        && !moved
    {
        return None;
    }
    let deadline = object::number(value, &["spec", "progressDeadlineSeconds"]).unwrap_or(600);
    let deadline = Duration::from_secs(u64::try_from(deadline).unwrap_or_default());
    if deadline.as_secs() >= u64::from(i32::MAX.unsigned_abs()) {
        return None;
    }
    match state.marks.left(uid, "progress", deadline) {
        None => {
            put(
                conditions,
                progress(
                    "False",
                    "ProgressDeadlineExceeded",
                    &format!("ReplicaSet \"{name}\" has timed out progressing."),
                ),
            );
            None
        }
        Some(left) => {
            if new.is_some()
                && (moved || before["reason"] != "NewReplicaSetCreated" || counts.0 > 0)
            {
                put(
                    conditions,
                    progress(
                        "True",
                        "ReplicaSetUpdated",
                        &format!("ReplicaSet \"{name}\" is progressing."),
                    ),
                );
            }
            Some(left)
        }
    }
}
