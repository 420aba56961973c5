use serde_json::{Value, json};

use super::{object, plain, with};

fn deployment() -> Value {
    object(
        "apps/v1",
        "Deployment",
        json!({"replicas": 3, "progressDeadlineSeconds": 600}),
        json!({"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3, "conditions": [
            {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]}),
    )
}

#[test]
fn a_deployment_is_current_when_all_replicas_are_updated_ready_and_available() {
    assert_eq!(plain(&deployment()), "Current Current");
}

#[test]
fn a_deployment_past_its_deadline_has_failed_whatever_its_counts() {
    let late = with(
        &deployment(),
        "/status/conditions",
        json!([
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "ReplicaSet \"a\" has timed out progressing."}]),
    );
    assert_eq!(plain(&late), "Failed ProgressDeadlineExceeded");
    assert_eq!(
        plain(&with(&late, "/status/replicas", json!(0))),
        "Failed ProgressDeadlineExceeded"
    );
}

#[test]
fn a_deployments_counts_are_compared_in_order() {
    let check = |pointer: &str, value: Value, expected: &str| {
        assert_eq!(
            plain(&with(&deployment(), pointer, value)),
            format!("InProgress {expected}"),
            "{pointer}"
        );
    };
    check("/status/replicas", json!(2), "LessReplicas");
    check("/status/updatedReplicas", json!(2), "LessUpdated");
    check("/status/replicas", json!(4), "ExtraPods");
    check("/status/availableReplicas", json!(2), "LessAvailable");
    check("/status/readyReplicas", json!(2), "LessReady");
    // The first of several.
    let both = with(
        &with(&deployment(), "/status/replicas", json!(4)),
        "/status/updatedReplicas",
        json!(1),
    );
    assert_eq!(plain(&both), "InProgress LessUpdated");
    let both = with(
        &with(&deployment(), "/status/replicas", json!(4)),
        "/status/availableReplicas",
        json!(1),
    );
    assert_eq!(plain(&both), "InProgress ExtraPods");
}

#[test]
fn a_deployment_without_a_status_is_in_progress() {
    assert_eq!(
        plain(&with(&deployment(), "/status", json!({}))),
        "InProgress LessReplicas"
    );
}

#[test]
fn a_deployment_wishes_one_replica_where_nothing_is_said() {
    let silent = with(&deployment(), "/spec/replicas", Value::Null);
    assert_eq!(plain(&silent), "InProgress ExtraPods");
    let zero = with(&silent, "/spec/replicas", json!(0));
    let zero = with(
        &zero,
        "/status",
        json!({"observedGeneration": 1, "conditions": [
        {"type": "Available", "status": "True"}, {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]}),
    );
    assert_eq!(plain(&zero), "Current Current");
}

#[test]
fn a_deployment_must_have_finished_its_rollout_and_be_available() {
    let rolling = with(
        &deployment(),
        "/status/conditions",
        json!([
        {"type": "Available", "status": "True"}, {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}]),
    );
    assert_eq!(plain(&rolling), "InProgress ReplicaSetNotAvailable");
    let unavailable = with(
        &deployment(),
        "/status/conditions",
        json!([
        {"type": "Available", "status": "False"}, {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]),
    );
    assert_eq!(plain(&unavailable), "InProgress NotAvailable");
}

#[test]
fn a_deployment_without_a_deadline_needs_no_progressing() {
    let available = json!([{"type": "Available", "status": "True"}]);
    let without = with(
        &with(&deployment(), "/spec/progressDeadlineSeconds", Value::Null),
        "/status/conditions",
        available.clone(),
    );
    assert_eq!(plain(&without), "Current Current");
    let max = with(
        &with(
            &deployment(),
            "/spec/progressDeadlineSeconds",
            json!(2147483647),
        ),
        "/status/conditions",
        available,
    );
    assert_eq!(plain(&max), "Current Current");
}

#[test]
fn the_old_rollouts_conditions_do_not_count_before_the_controller_has_seen_the_new_generation() {
    assert_eq!(
        plain(&with(&deployment(), "/metadata/generation", json!(2))),
        "InProgress LatestGenerationNotObserved"
    );
}

#[test]
fn a_deployment_that_may_not_make_pods_tells_that_condition() {
    let blocked = with(
        &with(&deployment(), "/status/replicas", json!(0)),
        "/status/conditions",
        json!([
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}]),
    );
    let status = crate::kstatus::status(&blocked, &crate::kstatus::Options::plain(super::now()));
    let shown = status.condition.map(|condition| condition.shown());
    assert_eq!(
        shown.as_deref(),
        Some("ReplicaFailure=True (FailedCreate): exceeded quota")
    );
}

fn replica_set() -> Value {
    object(
        "apps/v1",
        "ReplicaSet",
        json!({"replicas": 2}),
        json!({"observedGeneration": 1, "replicas": 2, "fullyLabeledReplicas": 2, "availableReplicas": 2, "readyReplicas": 2}),
    )
}

#[test]
fn a_replica_set_is_current_when_all_are_labelled_available_and_ready() {
    assert_eq!(plain(&replica_set()), "Current Current");
    let check = |pointer: &str, value: Value, expected: &str| {
        assert_eq!(
            plain(&with(&replica_set(), pointer, value)),
            format!("InProgress {expected}"),
            "{pointer}"
        );
    };
    check("/status/fullyLabeledReplicas", json!(1), "LessLabelled");
    check("/status/availableReplicas", json!(1), "LessAvailable");
    check("/status/readyReplicas", json!(1), "LessReady");
    check("/status/replicas", json!(3), "ExtraPods");
    check("/status/fullyLabeledReplicas", Value::Null, "LessLabelled");
}

#[test]
fn a_replica_set_that_cannot_make_pods_is_in_progress_not_failed() {
    let failing = with(
        &replica_set(),
        "/status/conditions",
        json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}]),
    );
    assert_eq!(plain(&failing), "InProgress ReplicaFailure");
    let over = with(
        &replica_set(),
        "/status/conditions",
        json!([{"type": "ReplicaFailure", "status": "False"}]),
    );
    assert_eq!(plain(&over), "Current Current");
}

fn stateful_set() -> Value {
    object(
        "apps/v1",
        "StatefulSet",
        json!({"replicas": 2, "updateStrategy": {"type": "RollingUpdate"}}),
        json!({"observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "currentReplicas": 2, "updatedReplicas": 2,
            "currentRevision": "a-1", "updateRevision": "a-1"}),
    )
}

#[test]
fn a_stateful_set_is_current_when_its_replicas_are_of_the_new_revision() {
    assert_eq!(plain(&stateful_set()), "Current Current");
    let check = |pointer: &str, value: Value, expected: &str| {
        assert_eq!(
            plain(&with(&stateful_set(), pointer, value)),
            format!("InProgress {expected}"),
            "{pointer}"
        );
    };
    check("/status/replicas", json!(1), "LessReplicas");
    check("/status/readyReplicas", json!(1), "LessReady");
    check("/status/replicas", json!(3), "ExtraPods");
    check("/status/currentReplicas", json!(1), "LessCurrent");
    check("/status/updateRevision", json!("a-2"), "RevisionMismatch");
    check("/status", json!({}), "LessReplicas");
}

#[test]
fn a_stateful_set_that_is_updated_by_hand_is_current() {
    let on_delete = with(
        &with(
            &stateful_set(),
            "/spec/updateStrategy",
            json!({"type": "OnDelete"}),
        ),
        "/status",
        json!({}),
    );
    assert_eq!(plain(&on_delete), "Current Current");
}

#[test]
fn a_partition_wants_only_what_is_above_it() {
    let parted = with(
        &stateful_set(),
        "/spec/updateStrategy/rollingUpdate",
        json!({"partition": 1}),
    );
    let parted = with(&parted, "/status/updateRevision", json!("a-2"));
    assert_eq!(
        plain(&with(&parted, "/status/updatedReplicas", json!(1))),
        "Current Current"
    );
    assert_eq!(
        plain(&with(&parted, "/status/updatedReplicas", json!(0))),
        "InProgress PartitionRollout"
    );
    // The server writes partition 0 by default: all must be updated.
    let zero = with(
        &parted,
        "/spec/updateStrategy/rollingUpdate",
        json!({"partition": 0}),
    );
    assert_eq!(
        plain(&with(&zero, "/status/updatedReplicas", json!(1))),
        "InProgress PartitionRollout"
    );
    assert_eq!(plain(&zero), "Current Current");
    // Readiness comes before the partition.
    assert_eq!(
        plain(&with(&zero, "/status/readyReplicas", json!(1))),
        "InProgress LessReady"
    );
}

#[test]
fn a_stateful_set_wishes_one_replica_where_nothing_is_said() {
    assert_eq!(
        plain(&with(&stateful_set(), "/spec/replicas", Value::Null)),
        "InProgress ExtraPods"
    );
}

fn daemon_set() -> Value {
    object(
        "apps/v1",
        "DaemonSet",
        json!({}),
        json!({"observedGeneration": 1, "desiredNumberScheduled": 3, "currentNumberScheduled": 3, "updatedNumberScheduled": 3,
            "numberAvailable": 3, "numberReady": 3}),
    )
}

#[test]
fn a_daemon_set_is_current_when_every_node_has_it() {
    assert_eq!(plain(&daemon_set()), "Current Current");
    let check = |pointer: &str, value: Value, expected: &str| {
        assert_eq!(
            plain(&with(&daemon_set(), pointer, value)),
            format!("InProgress {expected}"),
            "{pointer}"
        );
    };
    check("/metadata/generation", Value::Null, "NoGeneration");
    check(
        "/status/observedGeneration",
        Value::Null,
        "NoObservedGeneration",
    );
    check(
        "/status/desiredNumberScheduled",
        Value::Null,
        "NoDesiredNumber",
    );
    check("/status/currentNumberScheduled", json!(2), "LessCurrent");
    check("/status/updatedNumberScheduled", json!(2), "LessUpdated");
    check("/status/numberAvailable", json!(2), "LessAvailable");
    check("/status/numberReady", json!(2), "LessReady");
    let none = with(
        &daemon_set(),
        "/status",
        json!({"observedGeneration": 1, "desiredNumberScheduled": 0}),
    );
    assert_eq!(plain(&none), "Current Current");
}
