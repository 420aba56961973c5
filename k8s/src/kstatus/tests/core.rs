use serde_json::{Value, json};

use super::{object, plain, strict, with};

#[test]
fn secrets_and_config_maps_are_current() {
    for kind in ["Secret", "ConfigMap"] {
        assert_eq!(
            plain(&json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}})),
            "Current Current"
        );
    }
}

#[test]
fn a_disruption_budget_is_current_when_its_generation_is_observed() {
    let budget = object(
        "policy/v1",
        "PodDisruptionBudget",
        json!({}),
        json!({"observedGeneration": 1, "currentHealthy": 0, "desiredHealthy": 1}),
    );
    assert_eq!(plain(&budget), "Current Current");
    assert_eq!(
        plain(&with(&budget, "/metadata/generation", json!(2))),
        "InProgress LatestGenerationNotObserved"
    );
}

#[test]
fn a_claim_is_current_when_it_is_bound() {
    let claim = |phase: Value| {
        object(
            "v1",
            "PersistentVolumeClaim",
            json!({}),
            json!({"phase": phase}),
        )
    };
    assert_eq!(plain(&claim(json!("Bound"))), "Current Current");
    assert_eq!(plain(&claim(json!("Pending"))), "InProgress NotBound");
    assert_eq!(plain(&claim(json!("Lost"))), "InProgress NotBound");
    assert_eq!(plain(&claim(Value::Null)), "InProgress NotBound");
}

#[test]
fn a_load_balancer_needs_its_cluster_address_and_to_the_strict_its_own() {
    let service = object(
        "v1",
        "Service",
        json!({"type": "LoadBalancer", "clusterIP": "10.96.0.7"}),
        json!({"loadBalancer": {}}),
    );
    assert_eq!(plain(&service), "Current Current");
    assert_eq!(strict(&service), "InProgress NoLoadBalancerAddress");
    let served = with(
        &service,
        "/status/loadBalancer",
        json!({"ingress": [{"ip": "192.168.4.80"}]}),
    );
    assert_eq!(strict(&served), "Current Current");
    let empty = with(&service, "/spec/clusterIP", Value::Null);
    assert_eq!(
        (plain(&empty), strict(&empty)),
        (
            "InProgress NoIPAssigned".into(),
            "InProgress NoIPAssigned".into()
        )
    );
}

#[test]
fn other_services_are_current() {
    for kind in ["ClusterIP", "NodePort", "ExternalName"] {
        let service = object(
            "v1",
            "Service",
            json!({"type": kind}),
            json!({"loadBalancer": {}}),
        );
        assert_eq!(strict(&service), "Current Current", "{kind}");
    }
    assert_eq!(
        strict(&object("v1", "Service", json!({}), json!({}))),
        "Current Current"
    );
}

fn pod(status: Value) -> Value {
    let mut pod = object("v1", "Pod", json!({}), status);
    pod["metadata"]["creationTimestamp"] = json!("2026-11-30T11:59:30Z");
    pod
}

fn container(name: &str, reason: &str) -> Value {
    json!({"name": name, "state": {"waiting": {"reason": reason, "message": "why"}}})
}

#[test]
fn a_pod_that_is_over_is_current_but_to_the_strict_only_after_success() {
    assert_eq!(
        strict(&pod(json!({"phase": "Succeeded"}))),
        "Current Current"
    );
    let failed = pod(json!({"phase": "Failed", "containerStatuses": [
        {"name": "main", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}]}));
    assert_eq!(plain(&failed), "Current Current");
    assert_eq!(strict(&failed), "Failed PodFailed");
    let status = crate::kstatus::status(&failed, &crate::kstatus::Options::strict(super::now()));
    assert_eq!(
        status.message,
        "it has failed: container main ended with 3 (Error)"
    );
}

#[test]
fn a_running_pod_is_current_when_it_is_ready() {
    let ready = |status: &str| json!([{"type": "Ready", "status": status}]);
    assert_eq!(
        plain(&pod(
            json!({"phase": "Running", "conditions": ready("True")})
        )),
        "Current Current"
    );
    assert_eq!(
        plain(&pod(
            json!({"phase": "Running", "conditions": ready("False")})
        )),
        "InProgress PodRunningNotReady"
    );
    assert_eq!(
        plain(&pod(json!({"phase": "Running"}))),
        "InProgress PodRunningNotReady"
    );
}

#[test]
fn a_crash_loop_is_a_failure_of_whatever_container() {
    let looping = |list: &str| {
        pod(
            json!({"phase": "Running", list: [{"name": "ok", "state": {"running": {}}}, container("web", "CrashLoopBackOff")]}),
        )
    };
    assert_eq!(
        plain(&looping("containerStatuses")),
        "Failed CrashLoopBackOff"
    );
    assert_eq!(
        plain(&looping("initContainerStatuses")),
        "Failed CrashLoopBackOff"
    );
    // A pod that is ready all the same is ready.
    let ready = with(
        &looping("containerStatuses"),
        "/status/conditions",
        json!([{"type": "Ready", "status": "True"}]),
    );
    assert_eq!(plain(&ready), "Current Current");
    let pulling = pod(
        json!({"phase": "Running", "containerStatuses": [container("web", "ImagePullBackOff")]}),
    );
    assert_eq!(plain(&pulling), "InProgress PodRunningNotReady");
}

#[test]
fn a_pod_without_a_node_has_fifteen_seconds() {
    let unscheduled = pod(json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes are available"}]}));
    assert_eq!(plain(&unscheduled), "Failed PodUnschedulable");
    let young = with(
        &unscheduled,
        "/metadata/creationTimestamp",
        json!("2026-11-30T11:59:50Z"),
    );
    assert_eq!(plain(&young), "InProgress PodNotScheduled");
    let gated = pod(
        json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}),
    );
    assert_eq!(plain(&gated), "InProgress PodPending");
}

#[test]
fn a_pending_pod_is_in_progress_and_says_what_blocks_it() {
    let pulling = pod(
        json!({"phase": "Pending", "containerStatuses": [container("web", "ImagePullBackOff")]}),
    );
    let status = crate::kstatus::status(&pulling, &crate::kstatus::Options::plain(super::now()));
    assert_eq!(
        (status.reason, status.message.as_str()),
        (
            "PodPending",
            "it is pending: container web: ImagePullBackOff: why"
        )
    );
    let creating = pod(
        json!({"phase": "Pending", "containerStatuses": [container("web", "ContainerCreating")]}),
    );
    let status = crate::kstatus::status(&creating, &crate::kstatus::Options::plain(super::now()));
    assert_eq!(status.message, "it is pending");
}

#[test]
fn a_pod_without_a_phase_is_in_progress_and_one_with_an_odd_phase_unknown() {
    assert_eq!(plain(&pod(json!({}))), "InProgress PodNotObserved");
    assert_eq!(plain(&pod(json!({"phase": "Odd"}))), "Unknown Unknown");
}

fn crd(conditions: Value) -> Value {
    object(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        json!({}),
        json!({ "conditions": conditions }),
    )
}

#[test]
fn a_crd_is_current_when_it_is_established() {
    assert_eq!(plain(&crd(json!([]))), "InProgress Installing");
    assert_eq!(
        plain(&crd(json!([{"type": "NamesAccepted", "status": "True"}]))),
        "InProgress Installing"
    );
    let accepted = json!({"type": "NamesAccepted", "status": "True"});
    assert_eq!(
        plain(&crd(
            json!([accepted, {"type": "Established", "status": "True"}])
        )),
        "Current Current"
    );
    assert_eq!(
        plain(&crd(
            json!([accepted, {"type": "Established", "status": "False", "reason": "Installing"}])
        )),
        "InProgress Installing"
    );
    assert_eq!(
        plain(&crd(
            json!([accepted, {"type": "Established", "status": "False", "reason": "NotAccepted"}])
        )),
        "Failed NotEstablished"
    );
    assert_eq!(
        plain(&crd(
            json!([{"type": "NamesAccepted", "status": "False", "reason": "ListKindConflict"}])
        )),
        "Failed NamesNotAccepted"
    );
}
