//! Defaults of workloads: deployments, sets, jobs and their templates.

use serde_json::{Map, Value, json};

use super::pod_defaults;
use crate::kube::object::{self, default};

/// How often a daemon set's template changed, from one.
pub(super) const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
pub(super) fn template(value: &mut Value, at: &str) {
    if let Some(spec) = value
        .get_mut(at)
        .and_then(|spec| spec.get_mut("template"))
        .map(|template| object::map_mut(template, "spec"))
    {
        pod_defaults::pod_spec(spec);
    }
}
pub(super) fn deployment(value: &mut Value) {
    let own = spec(value);
    default(own, "replicas", 1);
    default(own, "revisionHistoryLimit", 10);
    default(own, "progressDeadlineSeconds", 600);
    default(own, "strategy", json!({}));
    if let Some(strategy) = own.get_mut("strategy").and_then(Value::as_object_mut) {
        default(strategy, "type", "RollingUpdate");
        if strategy["type"] == "RollingUpdate" {
            default(strategy, "rollingUpdate", json!({}));
            if let Some(rolling) = strategy
                .get_mut("rollingUpdate")
                .and_then(Value::as_object_mut)
            {
                default(rolling, "maxUnavailable", "25%");
                default(rolling, "maxSurge", "25%");
            }
        }
    }
    template(value, "spec");
}
pub(super) fn stateful_set(value: &mut Value) {
    let own = spec(value);
    default(own, "replicas", 1);
    default(own, "revisionHistoryLimit", 10);
    default(own, "podManagementPolicy", "OrderedReady");
    default(own, "updateStrategy", json!({}));
    if let Some(strategy) = own.get_mut("updateStrategy").and_then(Value::as_object_mut) {
        default(strategy, "type", "RollingUpdate");
        if strategy["type"] == "RollingUpdate" {
            default(strategy, "rollingUpdate", json!({"partition": 0}));
        }
    }
    default(
        own,
        "persistentVolumeClaimRetentionPolicy",
        json!({"whenDeleted": "Retain", "whenScaled": "Retain"}),
    );
    for claim in own
        .get_mut("volumeClaimTemplates")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        claim["apiVersion"] = "v1".into();
        claim["kind"] = "PersistentVolumeClaim".into();
        default(object::map_mut(claim, "spec"), "volumeMode", "Filesystem");
        claim["status"] = json!({"phase": "Pending"});
    }
    template(value, "spec");
}
pub(super) fn daemon_set(value: &mut Value) {
    let own = spec(value);
    default(own, "revisionHistoryLimit", 10);
    default(own, "updateStrategy", json!({}));
    if let Some(strategy) = own.get_mut("updateStrategy").and_then(Value::as_object_mut) {
        default(strategy, "type", "RollingUpdate");
        if strategy["type"] == "RollingUpdate" {
            default(
                strategy,
                "rollingUpdate",
                json!({"maxSurge": 0, "maxUnavailable": 1}),
            );
        }
    }
    let notes = object::meta_mut(value)
        .entry("annotations")
        .or_insert_with(|| json!({}));
    if let Some(notes) = notes.as_object_mut() {
        default(notes, TEMPLATE_GENERATION, "1");
    }
    template(value, "spec");
}
pub(super) fn job(value: &mut Value) {
    let uid = object::uid(value).to_owned();
    let name = object::name(value).to_owned();
    let own = spec(value);
    if !own.contains_key("completions") && !own.contains_key("parallelism") {
        default(own, "completions", 1);
    }
    default(own, "parallelism", 1);
    let limit = if own.contains_key("backoffLimitPerIndex") {
        i64::from(i32::MAX)
    } else {
        6
    };
    default(own, "backoffLimit", limit);
    default(own, "manualSelector", false);
    default(own, "completionMode", "NonIndexed");
    default(own, "suspend", false);
    let replacement = if own.contains_key("podFailurePolicy") {
        "Failed"
    } else {
        "TerminatingOrFailed"
    };
    default(own, "podReplacementPolicy", replacement);
    if !own.contains_key("selector") && !uid.is_empty() {
        own.insert(
            "selector".into(),
            json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}),
        );
        if let Some(template) = own.get_mut("template") {
            let meta = object::map_mut(template, "metadata");
            let labels = meta.entry("labels").or_insert_with(|| json!({}));
            for (key, value) in [
                ("batch.kubernetes.io/controller-uid", &uid),
                ("batch.kubernetes.io/job-name", &name),
                ("controller-uid", &uid),
                ("job-name", &name),
            ] {
                labels[key] = value.as_str().into();
            }
        }
    }
    let labels = object::at(value, &["spec", "template", "metadata", "labels"]).cloned();
    if let Some(labels) =
        labels.filter(|labels| labels.as_object().is_some_and(|map| !map.is_empty()))
    {
        default(object::meta_mut(value), "labels", labels);
    }
    // It must be said whether a job's pods are started again.
    let said = object::at(value, &["spec", "template", "spec", "restartPolicy"]).is_some();
    template(value, "spec");
    if !said {
        object::remove(value, &["spec", "template", "spec", "restartPolicy"]);
    }
}

/// A map below a value; the defaults of a kind mostly go into its spec.
pub(super) fn spec(value: &mut Value) -> &mut Map<String, Value> {
    object::map_mut(value, "spec")
}
