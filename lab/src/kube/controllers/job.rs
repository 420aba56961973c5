//! Jobs: pods until enough succeeded, or too many failed. A pod succeeds only when its command ran and said so.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::common::set_condition;
use super::job_verdict::{Tally, index_of, tally, verdict};
use super::replicas::pod_of;
use super::{Again, job_verdict};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

const MANAGER: &str = "kube-controller-manager";
const SOURCE: &str = "job-controller";
pub(super) const TRACKING: &str = "batch.kubernetes.io/job-tracking";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const KIND: (&str, &str) = ("batch/v1", "Job");
const RETRY: Duration = Duration::from_secs(2);
fn is_true(value: &Value, name: &str) -> bool {
    super::condition(value, name).is_some_and(|one| one["status"] == "True")
}

pub(super) fn react(state: &mut State, live: &Arc<Object>) -> Again {
    let value = &live.value;
    if object::is_deleting(value) {
        return None;
    }
    if is_true(value, "Complete") || is_true(value, "Failed") {
        return expire(state, live);
    }
    let tally = tally(state, value);
    if value["spec"]["suspend"] == true {
        return suspend(state, live, &tally);
    }
    let indexed = value["spec"]["completionMode"] == "Indexed";
    let completions = object::number(value, &["spec", "completions"]);
    let parallelism = object::number(value, &["spec", "parallelism"]).unwrap_or(1);
    let verdict = verdict(state, value, &tally, indexed, completions);
    if let Some((name, reason, message)) = verdict {
        return finish(state, live, &tally, name, &reason, &message);
    }
    let mut again = None;
    if let Some(seconds) = object::number(value, &["spec", "activeDeadlineSeconds"]) {
        let deadline = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        again = state.marks.left(object::uid(value), "deadline", deadline);
    }
    let wanted = match completions {
        Some(all) => parallelism.min(all - tally.succeeded),
        None if tally.succeeded > 0 => i64::try_from(tally.active.len()).unwrap_or_default(),
        None => parallelism,
    };
    let current = i64::try_from(tally.active.len()).unwrap_or_default();
    if current < wanted {
        let taken: Vec<i64> = tally
            .active
            .iter()
            .filter_map(|pod| index_of(&pod.value))
            .collect();
        let mut free = (0..completions.unwrap_or_default()).filter(|index| {
            !taken.contains(index) && !tally.done.contains(index) && !tally.lost.contains(index)
        });
        for _ in current..wanted {
            let index = if indexed { free.next() } else { None };
            if indexed && index.is_none() {
                break;
            }
            if let Err(message) = make(state, value, index) {
                state.event(
                    value,
                    "Warning",
                    "FailedCreate",
                    &format!("Error creating: {message}"),
                    SOURCE,
                );
                again = Some(RETRY);
                break;
            }
        }
    } else if current > wanted {
        for pod in tally
            .active
            .iter()
            .take(usize::try_from(current - wanted).unwrap_or_default())
        {
            state.end(&pod.value);
        }
    }
    let tally = job_verdict::tally(state, value);
    let conditions = without(value, &["Suspended"]);
    write(state, live, &tally, conditions, None);
    again
}

fn without(value: &Value, names: &[&str]) -> Vec<Value> {
    let mut all = object::items(value, &["status", "conditions"]).to_vec();
    for name in names {
        if all
            .iter()
            .any(|one| one["type"] == *name && one["status"] == "True")
        {
            let fresh = json!({"type": name, "status": "False", "reason": "JobResumed", "message": "Job resumed", "lastProbeTime": object::now()});
            set_condition(&mut all, fresh);
        }
    }
    all
}

fn make(state: &mut State, job: &Value, index: Option<i64>) -> Result<(), String> {
    let name = object::name(job);
    let mut pod = pod_of(job, KIND, None, name);
    let meta = object::meta_mut(&mut pod);
    let mut finalizers = meta
        .get("finalizers")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    finalizers.push(TRACKING.into());
    meta.insert("finalizers".into(), finalizers.into());
    if let Some(index) = index {
        meta.insert("generateName".into(), format!("{name}-{index}-").into());
        for key in ["annotations", "labels"] {
            meta.entry(key).or_insert_with(|| json!({}))[INDEX] = index.to_string().into();
        }
        pod["spec"]["hostname"] = format!("{name}-{index}").into();
        for list in ["initContainers", "containers"] {
            for one in pod["spec"]
                .get_mut(list)
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                let variable = json!({"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {
                    "apiVersion": "v1", "fieldPath": format!("metadata.labels['{INDEX}']"),
                }}});
                match one.get_mut("env").and_then(Value::as_array_mut) {
                    Some(env) => env.push(variable),
                    None => one["env"] = json!([variable]),
                }
            }
        }
    }
    let made = state.make(object::namespace(job), pod, MANAGER)?;
    let text = format!("Created pod: {}", object::name(&made.value));
    state.event(job, "Normal", "SuccessfulCreate", &text, SOURCE);
    Ok(())
}

/// Numbers as intervals, from three on: `1,3-5,8,9`.
fn intervals(numbers: &[i64]) -> String {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => runs.push((*number, *number)),
        }
    }
    let parts: Vec<String> = runs
        .iter()
        .map(|(from, to)| match to - from {
            0 => from.to_string(),
            1 => format!("{from},{to}"),
            _ => format!("{from}-{to}"),
        })
        .collect();
    parts.join(",")
}

fn write(
    state: &mut State,
    live: &Arc<Object>,
    tally: &Tally,
    conditions: Vec<Value>,
    completed: Option<String>,
) {
    let value = &live.value;
    let start = match value["status"].get("startTime") {
        Some(start) => start.clone(),
        None => object::now().into(),
    };
    let mut out = json!({"startTime": start, "terminating": tally.terminating, "ready": tally.ready, "uncountedTerminatedPods": {}});
    let active = i64::try_from(tally.active.len()).unwrap_or_default();
    for (key, number) in [
        ("active", active),
        ("succeeded", tally.succeeded),
        ("failed", tally.failed),
    ] {
        if number > 0 {
            out[key] = number.into();
        }
    }
    if value["spec"]["completionMode"] == "Indexed" {
        if !tally.done.is_empty() {
            out["completedIndexes"] = intervals(&tally.done).into();
        }
        if value["spec"].get("backoffLimitPerIndex").is_some() {
            out["failedIndexes"] = intervals(&tally.lost).into();
        }
    }
    if !conditions.is_empty() {
        out["conditions"] = conditions.into();
    }
    if let Some(time) = completed {
        out["completionTime"] = time.into();
    }
    state.write_status(live, out, MANAGER);
}

/// First what it comes to, then the end itself, when nothing of it runs any more.
fn finish(
    state: &mut State,
    live: &Arc<Object>,
    tally: &Tally,
    name: &str,
    reason: &str,
    message: &str,
) -> Again {
    end_active(state, tally);
    let value = &live.value;
    let fresh = |kind: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastProbeTime": object::now()});
    let mut conditions = object::items(value, &["status", "conditions"]).to_vec();
    if !is_true(value, name) {
        set_condition(&mut conditions, fresh(name));
        write(
            state,
            live,
            &job_verdict::tally(state, value),
            conditions,
            None,
        );
        return Some(Duration::ZERO);
    }
    let tally = job_verdict::tally(state, value);
    if tally.terminating > 0 || !tally.active.is_empty() {
        write(state, live, &tally, conditions, None);
        return None;
    }
    for pod in state.store.owned_in(object::uid(value), "pods") {
        release(state, &pod);
    }
    let complete = name == "SuccessCriteriaMet";
    set_condition(
        &mut conditions,
        fresh(if complete { "Complete" } else { "Failed" }),
    );
    write(state, live, &tally, conditions, complete.then(object::now));
    let (kind, word, text) = if complete {
        ("Normal", "Completed", "Job completed".to_owned())
    } else {
        ("Warning", reason, message.to_owned())
    };
    state.event(value, kind, word, &text, SOURCE);
    Some(Duration::ZERO)
}

/// A pod that was counted may go.
fn release(state: &mut State, pod: &Arc<Object>) {
    if object::has_finalizer(&pod.value, TRACKING)
        && let Some(resource) = state.resource_of(&pod.value)
    {
        let _ = state.finalize(&resource, pod, TRACKING);
    }
}

/// Its pods are let go and ended.
fn end_active(state: &mut State, tally: &Tally) {
    for pod in &tally.active {
        release(state, pod);
        if let Some(pod) = state.get(
            "pods",
            object::namespace(&pod.value),
            object::name(&pod.value),
        ) {
            state.end(&pod.value);
        }
    }
}

fn suspend(state: &mut State, live: &Arc<Object>, tally: &Tally) -> Again {
    end_active(state, tally);
    let value = &live.value;
    let mut conditions = object::items(value, &["status", "conditions"]).to_vec();
    set_condition(
        &mut conditions,
        json!({"type": "Suspended", "status": "True", "reason": "JobSuspended", "message": "Job suspended", "lastProbeTime": object::now()}),
    );
    let tally = job_verdict::tally(state, value);
    let mut out = json!({"terminating": tally.terminating, "ready": 0, "uncountedTerminatedPods": {}, "conditions": conditions});
    if tally.succeeded > 0 {
        out["succeeded"] = tally.succeeded.into();
    }
    if let Some(active) = Some(tally.active.len()).filter(|count| *count > 0) {
        out["active"] = active.into();
    }
    if let Some(was) = super::condition(value, "Suspended").filter(|one| one["status"] == "True") {
        let _ = was;
        if value["status"].get("terminating") == out.get("terminating") {
            return None;
        }
    }
    state.write_status(live, out, MANAGER);
    None
}

/// A job that is over goes when its time to live says so.
fn expire(state: &mut State, live: &Arc<Object>) -> Again {
    for pod in state.store.owned_in(object::uid(&live.value), "pods") {
        release(state, &pod);
    }
    let seconds = object::number(&live.value, &["spec", "ttlSecondsAfterFinished"])?;
    let wait = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    match state.marks.left(object::uid(&live.value), "over", wait) {
        Some(left) => Some(left),
        None => {
            state.end(&live.value);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_written_as_intervals() {
        assert_eq!(intervals(&[1, 3, 4, 5, 8, 9]), "1,3-5,8,9");
        assert_eq!(intervals(&[]), "");
    }
}
