//! Jobs, by the rule of Flux: what runs is not ready, what is suspended is.

use serde_json::Value;

use super::{Status, condition, count};
use crate::object::text;

pub(super) fn job(object: &Value) -> Status {
    let holds = |kind: &str| condition(object, kind).filter(|condition| condition.status == "True");
    let (succeeded, failed) = (
        count(object, "/status/succeeded"),
        count(object, "/status/failed"),
    );
    if let Some(complete) = holds("Complete") {
        return Status::current(format!("{succeeded} pods succeeded")).because(Some(complete));
    }
    if let Some(failure) = holds("Failed") {
        let why = if failure.message.is_empty() {
            &failure.reason
        } else {
            &failure.message
        };
        let message = format!("{failed} pods failed: {why}");
        return Status::failed("JobFailed", message).because(Some(failure));
    }
    if let Some(suspended) = holds("Suspended") {
        return Status::current("it is suspended").because(Some(suspended));
    }
    if text(object, "/status/startTime").is_empty() {
        return Status::waiting("JobNotStarted", "it has not started");
    }
    let active = count(object, "/status/active");
    let message = format!("{active} pods run, {succeeded} succeeded, {failed} failed");
    // On its way to failure the controller says so before the last pod is gone.
    Status::waiting("JobInProgress", message).because(holds("FailureTarget"))
}
