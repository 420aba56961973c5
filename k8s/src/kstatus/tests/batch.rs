use serde_json::{Value, json};

use super::{object, plain, with};

fn job(status: Value) -> Value {
    let mut job = object("batch/v1", "Job", json!({"completions": 1}), status);
    // A Job has no observed generation.
    job["metadata"]["generation"] = json!(1);
    job
}

fn condition(kind: &str, status: &str) -> Value {
    json!({"startTime": "2026-11-30T11:59:00Z", "failed": 1, "conditions": [{"type": kind, "status": status, "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}]})
}

#[test]
fn a_job_is_current_only_when_it_is_complete() {
    assert_eq!(plain(&job(json!({}))), "InProgress JobNotStarted");
    assert_eq!(
        plain(&job(
            json!({"startTime": "2026-11-30T11:59:00Z", "active": 1})
        )),
        "InProgress JobInProgress"
    );
    assert_eq!(
        plain(&job(condition("Complete", "True"))),
        "Current Current"
    );
    assert_eq!(
        plain(&job(condition("Complete", "False"))),
        "InProgress JobInProgress"
    );
    assert_eq!(
        plain(&job(condition("SuccessCriteriaMet", "True"))),
        "InProgress JobInProgress"
    );
}

#[test]
fn a_failed_job_has_failed() {
    assert_eq!(plain(&job(condition("Failed", "True"))), "Failed JobFailed");
    assert_eq!(
        plain(&job(condition("Failed", "False"))),
        "InProgress JobInProgress"
    );
    // On its way there: its pods are still being ended.
    assert_eq!(
        plain(&job(condition("FailureTarget", "True"))),
        "InProgress JobInProgress"
    );
}

#[test]
fn a_suspended_job_is_current() {
    assert_eq!(
        plain(&job(condition("Suspended", "True"))),
        "Current Current"
    );
    let resumed = with(
        &job(condition("Suspended", "False")),
        "/status/startTime",
        Value::Null,
    );
    assert_eq!(plain(&resumed), "InProgress JobNotStarted");
}

#[test]
fn a_cron_job_is_always_current() {
    assert_eq!(
        plain(&object("batch/v1", "CronJob", json!({}), json!({}))),
        "Current Current"
    );
}
