//! What the pods of a job came to, and whether that is its end.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::pod_status;
use crate::kube::object::{self, Object};
use crate::kube::state::State;

const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// What the pods of a job came to.
pub(super) struct Tally {
    pub(super) active: Vec<Arc<Object>>,
    pub(super) ready: i64,
    pub(super) succeeded: i64,
    pub(super) failed: i64,
    pub(super) done: Vec<i64>,
    pub(super) lost: Vec<i64>,
    pub(super) terminating: i64,
}

pub(super) fn index_of(pod: &Value) -> Option<i64> {
    object::annotation(pod, INDEX).parse().ok()
}

pub(super) fn tally(state: &State, job: &Value) -> Tally {
    let mut out = Tally {
        active: Vec::new(),
        ready: 0,
        succeeded: 0,
        failed: 0,
        done: Vec::new(),
        lost: Vec::new(),
        terminating: 0,
    };
    let per_index = object::number(job, &["spec", "backoffLimitPerIndex"]);
    let mut failures: std::collections::BTreeMap<i64, i64> = Default::default();
    for pod in state.store.owned_in(object::uid(job), "pods") {
        let index = index_of(&pod.value);
        match object::text(&pod.value, &["status", "phase"]) {
            "Succeeded" => match index {
                Some(index) if out.done.contains(&index) => {}
                _ => {
                    out.succeeded += 1;
                    out.done.extend(index);
                }
            },
            "Failed" => {
                out.failed += 1;
                if let Some(index) = index {
                    *failures.entry(index).or_default() += 1;
                }
            }
            _ if object::is_deleting(&pod.value) => out.terminating += 1,
            _ => {
                out.ready += i64::from(pod_status::is_ready(&pod.value));
                out.active.push(pod);
            }
        }
    }
    if let Some(most) = per_index {
        out.lost = failures
            .into_iter()
            .filter(|(_, count)| *count > most)
            .map(|(index, _)| index)
            .collect();
    }
    out.done.sort_unstable();
    out
}

/// The end of a job, when it has come: condition, reason, message.
pub(super) fn verdict(
    state: &mut State,
    job: &Value,
    tally: &Tally,
    indexed: bool,
    completions: Option<i64>,
) -> Option<(&'static str, String, String)> {
    let spec = &job["spec"];
    let failed = |reason: &str, message: &str| {
        Some(("FailureTarget", reason.to_owned(), message.to_owned()))
    };
    if let Some(verdict) = by_policy(state, job) {
        return Some(verdict);
    }
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64() {
        let deadline = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        if state
            .marks
            .left(object::uid(job), "deadline", deadline)
            .is_none()
        {
            return failed(
                "DeadlineExceeded",
                "Job was active longer than specified deadline",
            );
        }
    }
    let retries: i64 = tally
        .active
        .iter()
        .map(|pod| pod_status::restarts(&pod.value))
        .sum();
    let limit = spec["backoffLimit"].as_i64().unwrap_or(6);
    if tally.failed > limit
        || (spec["template"]["spec"]["restartPolicy"] == "OnFailure"
            && retries > 0
            && retries >= limit.max(1))
    {
        return failed(
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        );
    }
    if let Some(most) = spec["maxFailedIndexes"].as_i64()
        && i64::try_from(tally.lost.len()).unwrap_or_default() > most
    {
        return failed(
            "MaxFailedIndexesExceeded",
            "Job has exceeded the specified maximal number of failed indexes",
        );
    }
    let met = |reason: &str, message: &str| {
        Some(("SuccessCriteriaMet", reason.to_owned(), message.to_owned()))
    };
    match completions {
        Some(all) if indexed => {
            let over =
                i64::try_from(tally.done.len() + tally.lost.len()).unwrap_or_default() >= all;
            if over && !tally.lost.is_empty() {
                failed("FailedIndexes", "Job has failed indexes")
            } else if over {
                met(
                    "CompletionsReached",
                    "Reached expected number of succeeded pods",
                )
            } else {
                None
            }
        }
        Some(all) if tally.succeeded >= all => met(
            "CompletionsReached",
            "Reached expected number of succeeded pods",
        ),
        None if tally.succeeded > 0 && tally.active.is_empty() => met(
            "CompletionsReached",
            "Reached expected number of succeeded pods",
        ),
        _ => None,
    }
}

/// A rule of the pod failure policy that fails the whole job.
fn by_policy(state: &State, job: &Value) -> Option<(&'static str, String, String)> {
    let rules = object::items(job, &["spec", "podFailurePolicy", "rules"]);
    for pod in state
        .store
        .owned_in(object::uid(job), "pods")
        .iter()
        .filter(|pod| pod.value["status"]["phase"] == "Failed")
    {
        for (number, rule) in rules.iter().enumerate() {
            let codes = &rule["onExitCodes"];
            let hit = object::items(&pod.value, &["status", "containerStatuses"])
                .iter()
                .find_map(|one| {
                    let code = one["state"]["terminated"]["exitCode"]
                        .as_i64()
                        .filter(|code| *code != 0)?;
                    let named = codes
                        .get("containerName")
                        .is_none_or(|name| *name == one["name"]);
                    let inside = object::items(codes, &["values"])
                        .iter()
                        .any(|value| value.as_i64() == Some(code));
                    (named && inside == (codes["operator"] == "In"))
                        .then(|| (one["name"].clone(), code))
                });
            let Some((container, code)) = hit.filter(|_| codes.is_object()) else {
                continue;
            };
            if rule["action"] != "FailJob" {
                break;
            }
            let message = format!(
                "Container {} for pod {}/{} failed with exit code {code} matching FailJob rule at index {number}",
                container.as_str().unwrap_or_default(),
                object::namespace(&pod.value),
                object::name(&pod.value)
            );
            return Some(("FailureTarget", "PodFailurePolicy".into(), message));
        }
    }
    None
}
