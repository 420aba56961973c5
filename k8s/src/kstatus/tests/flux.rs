//! What holds for every kind, and kinds without a rule: custom resources, Flux.

use serde_json::{Value, json};

use super::{object, plain, strict, with};
use crate::kstatus::{Options, condition, status};

fn custom(status: Value) -> Value {
    object("example.com/v1", "Widget", json!({}), status)
}

fn conditions(list: Value) -> Value {
    custom(json!({ "conditions": list }))
}

#[test]
fn what_is_being_deleted_is_terminating_whatever_else() {
    let mut going = object(
        "apps/v1",
        "Deployment",
        json!({}),
        json!({"observedGeneration": 0}),
    );
    going["metadata"]["deletionTimestamp"] = json!("2026-11-30T11:00:00Z");
    going["metadata"]["finalizers"] = json!(["example.com/hold"]);
    assert_eq!(plain(&going), "Terminating Terminating");
    let status = status(&going, &Options::plain(super::now()));
    assert_eq!(
        status.message,
        "it is being deleted, held by example.com/hold"
    );
}

#[test]
fn generations_are_compared_only_where_both_are_there() {
    let ready = json!([{"type": "Ready", "status": "True"}]);
    assert_eq!(
        plain(&custom(
            json!({"observedGeneration": 2, "conditions": ready})
        )),
        "InProgress LatestGenerationNotObserved"
    );
    assert_eq!(
        plain(&custom(
            json!({"observedGeneration": 1, "conditions": ready})
        )),
        "Current Current"
    );
    assert_eq!(
        plain(&custom(json!({"conditions": ready}))),
        "Current Current"
    );
    let without = with(
        &custom(json!({"observedGeneration": 5, "conditions": ready})),
        "/metadata/generation",
        Value::Null,
    );
    assert_eq!(plain(&without), "Current Current");
}

#[test]
fn reconciling_and_stalled_are_looked_at_in_the_order_of_the_conditions() {
    let reconciling = json!({"type": "Reconciling", "status": "True", "reason": "Progressing"});
    let stalled = json!({"type": "Stalled", "status": "True", "reason": "RetriesExceeded"});
    let ready = json!({"type": "Ready", "status": "True"});
    assert_eq!(
        plain(&conditions(json!([ready, reconciling]))),
        "InProgress Reconciling"
    );
    assert_eq!(
        plain(&conditions(json!([ready, stalled]))),
        "Failed Stalled"
    );
    assert_eq!(
        plain(&conditions(json!([stalled, reconciling]))),
        "Failed Stalled"
    );
    assert_eq!(
        plain(&conditions(json!([reconciling, stalled]))),
        "InProgress Reconciling"
    );
    let over = json!({"type": "Reconciling", "status": "False"});
    assert_eq!(
        plain(&conditions(
            json!([over, {"type": "Stalled", "status": "False"}, ready])
        )),
        "Current Current"
    );
}

#[test]
fn they_hold_for_built_in_kinds_too() {
    let stalled = object(
        "v1",
        "ConfigMap",
        json!({}),
        json!({"conditions": [{"type": "Stalled", "status": "True"}]}),
    );
    assert_eq!(plain(&stalled), "Failed Stalled");
}

#[test]
fn kinds_without_a_rule_are_as_their_ready_says() {
    assert_eq!(
        plain(&conditions(json!([{"type": "Ready", "status": "True"}]))),
        "Current Current"
    );
    assert_eq!(
        plain(&conditions(json!([{"type": "Ready", "status": "False"}]))),
        "InProgress NotReady"
    );
    assert_eq!(
        plain(&conditions(json!([{"type": "Ready", "status": "Unknown"}]))),
        "InProgress ReadyUnknown"
    );
    assert_eq!(
        plain(&conditions(json!([{"type": "Ready", "status": "Maybe"}]))),
        "Unknown Unknown"
    );
    let node = object(
        "v1",
        "Node",
        json!({}),
        json!({"conditions": [{"type": "Ready", "status": "False"}]}),
    );
    assert_eq!(plain(&node), "InProgress NotReady");
}

#[test]
fn without_any_signal_a_custom_resource_is_current_but_that_is_only_assumed() {
    let assumed = |object: &Value| {
        let status = status(object, &Options::plain(super::now()));
        (status.state.as_str(), status.assumed)
    };
    assert_eq!(assumed(&custom(json!({}))), ("Current", true));
    assert_eq!(
        assumed(&with(&custom(json!({})), "/status", Value::Null)),
        ("Current", true)
    );
    // Its controller has said something.
    assert_eq!(
        assumed(&custom(json!({"observedGeneration": 1}))),
        ("Current", false)
    );
    assert_eq!(
        assumed(&conditions(json!([{"type": "Ready", "status": "True"}]))),
        ("Current", false)
    );
    // Nobody says anything of these, ever.
    for (api, kind) in [
        ("v1", "ServiceAccount"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("v1", "Namespace"),
        ("networking.k8s.io/v1", "Ingress"),
    ] {
        assert_eq!(
            assumed(&object(api, kind, json!({}), json!({}))),
            ("Current", false),
            "{kind}"
        );
    }
}

fn kustomization(suspend: bool, conditions: Value, observed: i64) -> Value {
    object(
        "kustomize.toolkit.fluxcd.io/v1",
        "Kustomization",
        json!({"suspend": suspend}),
        json!({"observedGeneration": observed, "conditions": conditions}),
    )
}

#[test]
fn a_suspended_flux_object_is_never_ready() {
    let ready =
        json!([{"type": "Ready", "status": "True", "message": "Applied revision: main@sha1:0"}]);
    let suspended = kustomization(true, ready.clone(), 1);
    assert_eq!(strict(&suspended), "Suspended Suspended");
    assert_eq!(plain(&suspended), "Current Current");
    assert_eq!(strict(&kustomization(false, ready, 1)), "Current Current");
    // Only Flux means this by `suspend`.
    assert_eq!(
        strict(&object(
            "batch/v1",
            "CronJob",
            json!({"suspend": true}),
            json!({})
        )),
        "Current Current"
    );
}

#[test]
fn a_new_spec_that_fails_is_not_failed_but_tells_why() {
    // `observedGeneration` moves only on success or stall.
    let failing = kustomization(
        false,
        json!([{"type": "Ready", "status": "False", "reason": "BuildFailed", "message": "kustomize build failed"}]),
        0,
    );
    let status = status(&failing, &Options::strict(super::now()));
    assert_eq!(
        (status.state.as_str(), status.reason),
        ("InProgress", "LatestGenerationNotObserved")
    );
    let shown = status.condition.map(|condition| condition.shown());
    assert_eq!(
        shown.as_deref(),
        Some("Ready=False (BuildFailed): kustomize build failed")
    );
}

#[test]
fn conditions_are_read_with_time_and_generation() {
    let object = conditions(
        json!([{"type": "Ready", "status": "True", "reason": "Ok", "lastTransitionTime": "2026-11-30T11:00:00Z", "observedGeneration": 4}]),
    );
    let ready = condition(&object, "Ready").expect("there");
    assert_eq!(
        (ready.since.as_str(), ready.observed),
        ("2026-11-30T11:00:00Z", Some(4))
    );
    assert_eq!(condition(&object, "Other"), None);
}
