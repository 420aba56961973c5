//! Deployment, ReplicaSet, StatefulSet, DaemonSet: counts against what is wished, in the order of kstatus.

use serde_json::Value;

use super::{Status, condition, conditions, count, integer};
use crate::object::text;

/// `progressDeadlineSeconds` that stands for "none".
const NO_DEADLINE: i64 = i32::MAX as i64;

/// None for a kind that is none of these.
pub(super) fn status(object: &Value, kind: &str) -> Option<Status> {
    match kind {
        "Deployment" => Some(deployment(object)),
        "ReplicaSet" => Some(replica_set(object)),
        "StatefulSet" => Some(stateful_set(object)),
        "DaemonSet" => Some(daemon_set(object)),
        _ => None,
    }
}

/// How many are wished: the controllers take one where nothing is said.
fn wished(object: &Value) -> i64 {
    integer(object, "/spec/replicas").unwrap_or(1)
}

fn less(reason: &'static str, have: i64, of: i64, what: &str) -> Status {
    Status::waiting(reason, format!("{have} of {of} replicas are {what}"))
}

fn extra(have: i64, of: i64) -> Status {
    let message = format!(
        "{} more than {of} replicas are there, pending termination",
        have - of
    );
    Status::waiting("ExtraPods", message)
}

fn deployment(object: &Value) -> Status {
    // Without a deadline the controller writes no condition `Progressing`.
    let mut progressing =
        integer(object, "/spec/progressDeadlineSeconds").unwrap_or(NO_DEADLINE) == NO_DEADLINE;
    let mut available = false;
    for condition in conditions(object) {
        match condition.kind.as_str() {
            "Progressing" if condition.reason == "ProgressDeadlineExceeded" => {
                let message = "the rollout made no progress within its deadline";
                return Status::failed("ProgressDeadlineExceeded", message)
                    .because(Some(condition));
            }
            "Progressing" => {
                progressing |=
                    condition.status == "True" && condition.reason == "NewReplicaSetAvailable"
            }
            "Available" => available |= condition.status == "True",
            _ => {}
        }
    }
    let wished = wished(object);
    let there = count(object, "/status/replicas");
    let updated = count(object, "/status/updatedReplicas");
    let is_available = count(object, "/status/availableReplicas");
    let ready = count(object, "/status/readyReplicas");
    let waiting = if wished > there {
        Some(less("LessReplicas", there, wished, "there"))
    } else if wished > updated {
        Some(less("LessUpdated", updated, wished, "updated"))
    } else if there > wished {
        Some(extra(there, wished))
    } else if updated > is_available {
        Some(less("LessAvailable", is_available, updated, "available"))
    } else if wished > ready {
        Some(less("LessReady", ready, wished, "ready"))
    } else {
        None
    };
    let failure =
        || condition(object, "ReplicaFailure").filter(|condition| condition.status == "True");
    let unavailable =
        || condition(object, "Available").filter(|condition| condition.status != "True");
    if let Some(status) = waiting {
        return status.because(
            failure()
                .or_else(unavailable)
                .or_else(|| condition(object, "Progressing")),
        );
    }
    if !progressing {
        let message = "the new ReplicaSet is not available";
        return Status::waiting("ReplicaSetNotAvailable", message)
            .because(condition(object, "Progressing"));
    }
    if !available {
        return Status::waiting("NotAvailable", "it is not available")
            .because(condition(object, "Available"));
    }
    Status::current(format!("{there} of {wished} replicas are available"))
        .because(condition(object, "Available"))
}

fn replica_set(object: &Value) -> Status {
    let failure =
        condition(object, "ReplicaFailure").filter(|condition| condition.status == "True");
    if let Some(failure) = failure {
        let message = if failure.message.is_empty() {
            "a replica cannot be made".to_owned()
        } else {
            failure.message.clone()
        };
        return Status::waiting("ReplicaFailure", message).because(Some(failure));
    }
    let wished = wished(object);
    let labelled = count(object, "/status/fullyLabeledReplicas");
    let available = count(object, "/status/availableReplicas");
    let ready = count(object, "/status/readyReplicas");
    let there = count(object, "/status/replicas");
    if wished > labelled {
        less("LessLabelled", labelled, wished, "labelled")
    } else if wished > available {
        less("LessAvailable", available, wished, "available")
    } else if wished > ready {
        less("LessReady", ready, wished, "ready")
    } else if there > wished {
        extra(there, wished)
    } else {
        Status::current(format!("{available} of {wished} replicas are available"))
    }
}

fn stateful_set(object: &Value) -> Status {
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Status::current("its pods are updated when they are deleted (OnDelete)");
    }
    let wished = wished(object);
    let there = count(object, "/status/replicas");
    let ready = count(object, "/status/readyReplicas");
    let current = count(object, "/status/currentReplicas");
    let updated = count(object, "/status/updatedReplicas");
    if wished > there {
        return less("LessReplicas", there, wished, "there");
    }
    if wished > ready {
        return less("LessReady", ready, wished, "ready");
    }
    if there > wished {
        return extra(there, wished);
    }
    if let Some(partition) = integer(object, "/spec/updateStrategy/rollingUpdate/partition") {
        let due = wished - partition;
        if updated < due {
            return less("PartitionRollout", updated, due, "updated");
        }
        return Status::current(format!("{updated} of {due} replicas are updated"));
    }
    if wished > current {
        return less("LessCurrent", current, wished, "of the current revision");
    }
    let (from, to) = (
        text(object, "/status/currentRevision"),
        text(object, "/status/updateRevision"),
    );
    if from != to {
        return Status::waiting(
            "RevisionMismatch",
            format!("revision `{from}` is not yet `{to}`"),
        );
    }
    Status::current(format!("{ready} of {wished} replicas are ready"))
}

fn daemon_set(object: &Value) -> Status {
    // Where the controller has acted, both are there.
    if integer(object, "/metadata/generation").is_none() {
        return Status::waiting("NoGeneration", "it has no generation");
    }
    if integer(object, "/status/observedGeneration").is_none() {
        return Status::waiting("NoObservedGeneration", "its controller has not seen it");
    }
    let Some(desired) = integer(object, "/status/desiredNumberScheduled") else {
        return Status::waiting(
            "NoDesiredNumber",
            "it is not known on how many nodes it should run",
        );
    };
    let counts = [
        ("LessCurrent", "/status/currentNumberScheduled", "scheduled"),
        ("LessUpdated", "/status/updatedNumberScheduled", "updated"),
        ("LessAvailable", "/status/numberAvailable", "available"),
        ("LessReady", "/status/numberReady", "ready"),
    ];
    for (reason, pointer, what) in counts {
        let have = count(object, pointer);
        if desired > have {
            return Status::waiting(reason, format!("on {have} of {desired} nodes it is {what}"));
        }
    }
    Status::current(format!("on {desired} of {desired} nodes it is available"))
}
