//! Whether an object of Flux is what is awaited of it: pure.

use serde_json::Value;

use super::state::{handled, is_of_source, read};
use crate::kstatus::Condition;
use crate::object::{Key, text};
use crate::standing::Standing;
use crate::wait::Verdict;

/// How one object stands to what is awaited of it: that a request is handled, if there is one, and that it is ready.
pub(super) fn verdict(
    key: &Key,
    object: Option<&Value>,
    source: Option<&Value>,
    token: Option<&str>,
) -> Verdict {
    let Some(object) = object else {
        return Verdict::Waits(Standing::of(key.clone(), "NotFound", "it is not there"));
    };
    let flux = read(object);
    let standing = |state: &str, message: String| {
        let condition = flux.condition.as_ref();
        Standing {
            condition: condition.map(Condition::shown),
            since: condition
                .map(|condition| condition.since.clone())
                .filter(|since| !since.is_empty()),
            ..Standing::of(key.clone(), state, message)
        }
    };
    if flux.suspended {
        return Verdict::Fails(standing(
            "Suspended",
            "it is suspended: its status may be of long ago".to_owned(),
        ));
    }
    if let Some(token) = token
        && handled(object) != token
    {
        let message = format!("the request is not handled yet; {}", flux.message);
        return Verdict::Waits(standing("InProgress", message));
    }
    if flux.stalled {
        return Verdict::Fails(standing("Stalled", flux.message.clone()));
    }
    if !flux.ready {
        return Verdict::Waits(standing("InProgress", flux.message.clone()));
    }
    if let Some(source) = source
        && is_of_source(object, source) == Some(false)
    {
        let (has, of) = (
            flux.revision.as_deref().unwrap_or("nothing"),
            text(source, "/status/artifact/revision"),
        );
        return Verdict::Waits(standing(
            "InProgress",
            format!("it has applied `{has}`, its source has `{of}`"),
        ));
    }
    Verdict::Holds
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kustomization(handled: &str, conditions: Value) -> Value {
        json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": "apps", "namespace": "f", "generation": 1},
            "spec": {}, "status": {"observedGeneration": 1, "lastAppliedRevision": "main@sha1:1", "lastHandledReconcileAt": handled, "conditions": conditions}})
    }

    fn check(object: &Value, source: Option<&Value>, token: Option<&str>) -> String {
        match verdict(&Key::of(object), Some(object), source, token) {
            Verdict::Holds => "holds".to_owned(),
            Verdict::Waits(standing) => format!("waits: {}", standing.message),
            Verdict::Fails(standing) => format!("fails: {} {}", standing.state, standing.message),
        }
    }

    #[test]
    fn ready_counts_only_after_the_request_is_handled() {
        let ready = json!([{"type": "Ready", "status": "True", "message": "Applied"}]);
        let object = kustomization("t1", ready);
        assert_eq!(check(&object, None, None), "holds");
        assert_eq!(check(&object, None, Some("t1")), "holds");
        assert_eq!(
            check(&object, None, Some("t2")),
            "waits: the request is not handled yet; Applied"
        );
    }

    #[test]
    fn a_stall_ends_the_wait_but_only_one_that_is_about_the_request() {
        let stalled = json!([{"type": "Stalled", "status": "True", "message": "no such path"}]);
        let object = kustomization("t1", stalled);
        assert_eq!(
            check(&object, None, Some("t1")),
            "fails: Stalled no such path"
        );
        assert!(check(&object, None, Some("t2")).starts_with("waits"));
    }

    #[test]
    fn another_failure_may_pass() {
        let failing = json!([{"type": "Ready", "status": "False", "reason": "DependencyNotReady", "message": "dependency 'f/base' is not ready"}]);
        assert_eq!(
            check(&kustomization("", failing), None, None),
            "waits: dependency 'f/base' is not ready"
        );
    }

    #[test]
    fn what_was_applied_must_be_what_the_source_has() {
        let object = kustomization("", json!([{"type": "Ready", "status": "True"}]));
        let source = json!({"status": {"artifact": {"revision": "main@sha1:2"}}});
        assert_eq!(
            check(&object, Some(&source), None),
            "waits: it has applied `main@sha1:1`, its source has `main@sha1:2`"
        );
    }

    #[test]
    fn what_is_suspended_fails_at_once() {
        let mut object = kustomization("", json!([{"type": "Ready", "status": "True"}]));
        object["spec"]["suspend"] = json!(true);
        assert_eq!(
            check(&object, None, None),
            "fails: Suspended it is suspended: its status may be of long ago"
        );
    }
}
