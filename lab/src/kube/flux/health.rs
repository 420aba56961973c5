//! Whether an applied object is where it should be: the rules of kstatus, as Flux uses them.

use serde_json::Value;

use crate::kube::controllers::condition;
use crate::kube::object;

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Current,
    InProgress,
    Failed(String),
    /// Nothing can be said: an expression of its check cannot be evaluated.
    Unknown,
}

fn is(value: &Value, name: &str, status: &str) -> bool {
    condition(value, name).is_some_and(|one| one["status"] == status)
}

pub(super) fn of(value: &Value) -> Health {
    if object::is_deleting(value) {
        return Health::InProgress;
    }
    let status = &value["status"];
    let observed = &status["observedGeneration"];
    if !observed.is_null()
        && !value["metadata"]["generation"].is_null()
        && *observed != value["metadata"]["generation"]
    {
        return Health::InProgress;
    }
    for one in object::items(value, &["status", "conditions"]) {
        if one["type"] == "Reconciling" && one["status"] == "True" {
            return Health::InProgress;
        }
        if one["type"] == "Stalled" && one["status"] == "True" {
            return Health::Failed(one["message"].as_str().unwrap_or_default().to_owned());
        }
    }
    let number = |part: &str, key: &str| object::number(value, &[part, key]).unwrap_or_default();
    let wished = object::number(value, &["spec", "replicas"]).unwrap_or(1);
    let done = |good: bool| {
        if good {
            Health::Current
        } else {
            Health::InProgress
        }
    };
    match value["kind"].as_str().unwrap_or_default() {
        "Deployment" => {
            if condition(value, "Progressing")
                .is_some_and(|one| one["reason"] == "ProgressDeadlineExceeded")
            {
                return Health::Failed("Progress deadline exceeded".into());
            }
            done(
                number("status", "replicas") == wished
                    && number("status", "updatedReplicas") >= wished
                    && number("status", "availableReplicas") >= number("status", "updatedReplicas")
                    && number("status", "readyReplicas") >= wished
                    && is(value, "Available", "True")
                    && condition(value, "Progressing")
                        .is_some_and(|one| one["reason"] == "NewReplicaSetAvailable"),
            )
        }
        "StatefulSet" => done(
            number("status", "readyReplicas") == wished
                && number("status", "replicas") == wished
                && number("status", "currentReplicas") >= wished
                && status["currentRevision"] == status["updateRevision"],
        ),
        "DaemonSet" => done(
            !observed.is_null()
                && number("status", "updatedNumberScheduled")
                    >= number("status", "desiredNumberScheduled")
                && number("status", "numberAvailable")
                    >= number("status", "desiredNumberScheduled"),
        ),
        "ReplicaSet" => done(number("status", "availableReplicas") >= wished),
        "Job" => {
            if is(value, "Failed", "True") {
                return Health::Failed(format!(
                    "Job Failed. failed: {}",
                    number("status", "failed")
                ));
            }
            done(is(value, "Complete", "True") || value["spec"]["suspend"] == true)
        }
        "Pod" => match object::text(value, &["status", "phase"]) {
            "Succeeded" => Health::Current,
            "Failed" => Health::Failed("Pod failed".into()),
            "Running" => done(is(value, "Ready", "True")),
            _ => Health::InProgress,
        },
        "PersistentVolumeClaim" => done(status["phase"] == "Bound"),
        "CustomResourceDefinition" => done(is(value, "Established", "True")),
        "Secret" | "ConfigMap" | "CronJob" | "Service" | "PodDisruptionBudget" => Health::Current,
        _ => match condition(value, "Ready") {
            Some(one) => done(one["status"] == "True"),
            None => Health::Current,
        },
    }
}
