//! How an object of Flux stands: pure, over its JSON.
//!
//! `observedGeneration` moves only when a reconciliation succeeds or stalls: with an older one Ready=True is about the spec before,
//! and Ready=False is a failure that goes on now. A suspended object keeps its last status for ever.

use serde_json::Value;

use crate::kstatus::{Condition, condition, conditions, is_suspended};
use crate::object::text;

/// Asks for a reconciliation.
pub(crate) const REQUESTED: &str = "reconcile.fluxcd.io/requestedAt";
/// Asks a HelmRelease for an upgrade once, whatever its state.
pub(crate) const FORCED: &str = "reconcile.fluxcd.io/forceAt";
/// Asks a HelmRelease to forget its failures.
pub(crate) const RESET: &str = "reconcile.fluxcd.io/resetAt";

/// How an object of Flux stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flux {
    /// Ready=True, about this generation, and nothing under way.
    pub ready: bool,
    /// It will not be tried again before something changes.
    pub stalled: bool,
    /// Flux does not look after it.
    pub suspended: bool,
    /// What was applied last (Kustomization), the version of the chart (HelmRelease), of the artifact (sources).
    pub revision: Option<String>,
    /// What its controller says.
    pub message: String,
    /// Ready, as the controller has it.
    pub condition: Option<Condition>,
}

/// Reads how an object of Flux stands.
pub fn read(object: &Value) -> Flux {
    let holds =
        |kind: &str| conditions(object).find(|one| one.kind == kind && one.status == "True");
    let generation = object
        .pointer("/metadata/generation")
        .and_then(Value::as_i64);
    let observed = object
        .pointer("/status/observedGeneration")
        .and_then(Value::as_i64);
    let ready = condition(object, "Ready");
    let stalled = holds("Stalled");
    let is_observed = observed == generation;
    let is_about_this = ready
        .as_ref()
        .is_some_and(|ready| ready.observed.is_none() || ready.observed == generation);
    let is_true = ready.as_ref().is_some_and(|ready| ready.status == "True");
    let suspended = is_suspended(object);
    let said = stalled
        .as_ref()
        .or(ready.as_ref())
        .map(|condition| condition.message.clone());
    Flux {
        ready: is_true
            && is_about_this
            && is_observed
            && holds("Reconciling").is_none()
            && stalled.is_none()
            && !suspended,
        // A stall of the spec before says nothing about this one.
        stalled: stalled.is_some_and(|stalled| {
            is_observed || stalled.observed == generation && generation.is_some()
        }),
        suspended,
        revision: revision(object),
        message: said.unwrap_or_else(|| "its controller has said nothing yet".to_owned()),
        condition: ready,
    }
}

fn revision(object: &Value) -> Option<String> {
    let candidates = [
        "/status/lastAppliedRevision",
        "/status/history/0/chartVersion",
        "/status/lastAttemptedRevision",
        "/status/artifact/revision",
    ];
    let found = candidates
        .iter()
        .map(|pointer| text(object, pointer))
        .find(|revision| !revision.is_empty());
    found.map(str::to_owned)
}

/// The token of the last request that was handled.
pub(crate) fn handled(object: &Value) -> &str {
    text(object, "/status/lastHandledReconcileAt")
}

/// A reference to where an object gets its content from: kind, namespace, name.
pub(crate) fn source(object: &Value) -> Option<(String, String, String)> {
    let references = [
        "/spec/sourceRef",
        "/spec/chartRef",
        "/spec/chart/spec/sourceRef",
    ];
    let reference = references
        .iter()
        .find_map(|pointer| object.pointer(pointer))?;
    let own = text(object, "/metadata/namespace");
    let namespace = text(reference, "/namespace");
    let namespace = if namespace.is_empty() { own } else { namespace };
    let (kind, name) = (text(reference, "/kind"), text(reference, "/name"));
    (!kind.is_empty() && !name.is_empty())
        .then(|| (kind.to_owned(), namespace.to_owned(), name.to_owned()))
}

/// The HelmChart that Flux makes of a HelmRelease's template: namespace and name.
pub(crate) fn chart(object: &Value) -> Option<(String, String)> {
    let (namespace, name) = text(object, "/status/helmChart").split_once('/')?;
    Some((namespace.to_owned(), name.to_owned()))
}

/// Whether a Kustomization has applied what its source has now. None where that cannot be told.
pub(crate) fn is_of_source(object: &Value, source: &Value) -> Option<bool> {
    let artifact = text(source, "/status/artifact/revision");
    if text(object, "/kind") != "Kustomization" || artifact.is_empty() {
        return None;
    }
    Some(text(object, "/status/lastAppliedRevision") == artifact)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kustomization(generation: i64, observed: i64, conditions: Value) -> Value {
        json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "apps", "namespace": "flux-system", "generation": generation},
            "spec": {"sourceRef": {"kind": "GitRepository", "name": "home"}},
            "status": {"observedGeneration": observed, "conditions": conditions, "lastAppliedRevision": "main@sha1:1"}})
    }

    fn ready(status: &str, observed: i64) -> Value {
        json!({"type": "Ready", "status": status, "reason": "R", "message": "said", "observedGeneration": observed})
    }

    #[test]
    fn ready_is_about_this_generation_and_nothing_under_way() {
        assert!(read(&kustomization(2, 2, json!([ready("True", 2)]))).ready);
        assert!(!read(&kustomization(2, 1, json!([ready("True", 1)]))).ready);
        assert!(!read(&kustomization(2, 2, json!([ready("True", 1)]))).ready);
        assert!(!read(&kustomization(2, 2, json!([ready("False", 2)]))).ready);
        assert!(
            !read(&kustomization(
                2,
                2,
                json!([ready("True", 2), {"type": "Reconciling", "status": "True"}])
            ))
            .ready
        );
        assert!(!read(&kustomization(2, 2, json!([]))).ready);
    }

    #[test]
    fn a_failure_of_a_new_spec_is_told_with_its_words() {
        let state = read(&kustomization(2, 1, json!([ready("False", 2)])));
        assert!(!state.ready && !state.stalled);
        assert_eq!(state.message, "said");
    }

    #[test]
    fn a_stall_of_the_spec_before_is_over() {
        let stalled =
            json!([{"type": "Stalled", "status": "True", "message": "no"}, ready("False", 1)]);
        assert!(read(&kustomization(1, 1, stalled.clone())).stalled);
        assert!(!read(&kustomization(2, 1, stalled)).stalled);
    }

    #[test]
    fn a_suspended_object_is_never_ready() {
        let mut object = kustomization(2, 2, json!([ready("True", 2)]));
        object["spec"]["suspend"] = json!(true);
        let state = read(&object);
        assert!(state.suspended && !state.ready);
    }

    #[test]
    fn the_source_is_in_the_same_namespace_where_none_is_said() {
        let object = kustomization(1, 1, json!([]));
        assert_eq!(
            source(&object),
            Some(("GitRepository".into(), "flux-system".into(), "home".into()))
        );
        let release = json!({"metadata": {"namespace": "shop"}, "spec": {"chart": {"spec": {"sourceRef": {"kind": "HelmRepository", "name": "r", "namespace": "flux-system"}}}},
            "status": {"helmChart": "flux-system/shop-web"}});
        assert_eq!(
            source(&release),
            Some(("HelmRepository".into(), "flux-system".into(), "r".into()))
        );
        assert_eq!(
            chart(&release),
            Some(("flux-system".into(), "shop-web".into()))
        );
        assert_eq!(source(&json!({"spec": {}})), None);
    }

    #[test]
    fn ready_about_the_commit_before_is_seen() {
        let object = kustomization(1, 1, json!([]));
        assert_eq!(
            is_of_source(
                &object,
                &json!({"status": {"artifact": {"revision": "main@sha1:1"}}})
            ),
            Some(true)
        );
        assert_eq!(
            is_of_source(
                &object,
                &json!({"status": {"artifact": {"revision": "main@sha1:2"}}})
            ),
            Some(false)
        );
        assert_eq!(is_of_source(&object, &json!({"status": {}})), None);
    }

    #[test]
    fn revisions_are_found_where_each_kind_has_them() {
        let revision = |status: Value| read(&json!({ "status": status })).revision;
        assert_eq!(
            revision(json!({"lastAppliedRevision": "a", "lastAttemptedRevision": "b"})).as_deref(),
            Some("a")
        );
        assert_eq!(
            revision(
                json!({"history": [{"chartVersion": "1.2.3"}], "lastAttemptedRevision": "2.0.0"})
            )
            .as_deref(),
            Some("1.2.3")
        );
        assert_eq!(
            revision(json!({"artifact": {"revision": "main@sha1:1"}})).as_deref(),
            Some("main@sha1:1")
        );
        assert_eq!(revision(json!({})), None);
    }
}
