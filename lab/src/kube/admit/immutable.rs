//! Fields that may not change, with the API's words.

use serde_json::{Map, Value};

use crate::kube::object;
use crate::kube::resource::Resource;
use crate::kube::status::Cause;

const IMMUTABLE: &str = "field is immutable";
const STATEFUL: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
const POD: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
const CLAIM: &str = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

pub(super) fn check(
    resource: &Resource,
    live: &Value,
    value: &Value,
    subresource: &str,
) -> Vec<Cause> {
    if subresource == "status" {
        return Vec::new();
    }
    let mut causes = Vec::new();
    let mut fixed = |path: &[&str]| {
        let (was, is) = (object::at(live, path), object::at(value, path));
        if was != is {
            causes.push(Cause::invalid(
                path.join("."),
                is.unwrap_or(&Value::Null),
                IMMUTABLE,
            ));
        }
    };
    match resource.qualified().as_str() {
        "deployments.apps" | "replicasets.apps" | "daemonsets.apps" => fixed(&["spec", "selector"]),
        "jobs.batch" => {
            fixed(&["spec", "selector"]);
            fixed(&["spec", "completionMode"]);
            fixed(&["spec", "template"]);
            if value["spec"]["completionMode"] != "Indexed" {
                fixed(&["spec", "completions"]);
            }
            fixed(&["spec", "podFailurePolicy"]);
            fixed(&["spec", "backoffLimitPerIndex"]);
        }
        "storageclasses.storage.k8s.io" => {
            for name in [
                "provisioner",
                "reclaimPolicy",
                "volumeBindingMode",
                "parameters",
            ] {
                if live.get(name) != value.get(name) {
                    causes.push(Cause::forbidden(
                        name,
                        &format!("updates to {name} are forbidden."),
                    ));
                }
            }
        }
        "rolebindings.rbac.authorization.k8s.io"
        | "clusterrolebindings.rbac.authorization.k8s.io"
            if live["roleRef"] != value["roleRef"] =>
        {
            let detail = "cannot change roleRef";
            causes.push(Cause::invalid("roleRef", &value["roleRef"], detail));
        }
        "secrets" => {
            if live["type"] != value["type"] {
                causes.push(Cause::invalid("type", &value["type"], IMMUTABLE));
            }
            frozen(live, value, &mut causes);
        }
        "configmaps" => frozen(live, value, &mut causes),
        "services" => {
            let was = object::text(live, &["spec", "clusterIP"]);
            let is = object::text(value, &["spec", "clusterIP"]);
            if !was.is_empty()
                && !is.is_empty()
                && was != is
                && value["spec"]["type"] != "ExternalName"
            {
                causes.push(Cause::invalid(
                    "spec.clusterIPs[0]",
                    &serde_json::json!([is]),
                    "may not change once set",
                ));
            }
        }
        "statefulsets.apps" => {
            let rest = |value: &Value| {
                without(
                    &value["spec"],
                    &[
                        "replicas",
                        "ordinals",
                        "template",
                        "updateStrategy",
                        "revisionHistoryLimit",
                        "persistentVolumeClaimRetentionPolicy",
                        "minReadySeconds",
                    ],
                )
            };
            if rest(live) != rest(value) {
                causes.push(Cause::forbidden("spec", STATEFUL));
            }
        }
        "persistentvolumeclaims" => {
            let rest = |value: &Value| {
                without(
                    &value["spec"],
                    &["resources", "volumeName", "volumeAttributesClassName"],
                )
            };
            if rest(live) != rest(value) {
                causes.push(Cause::forbidden("spec", CLAIM));
            }
        }
        "pods" if subresource.is_empty() && pod(live) != pod(value) => {
            causes.push(Cause::forbidden("spec", POD));
        }
        "customresourcedefinitions.apiextensions.k8s.io" => {
            fixed(&["spec", "group"]);
            fixed(&["spec", "scope"]);
            fixed(&["spec", "names", "kind"]);
            fixed(&["spec", "names", "plural"]);
        }
        _ => {}
    }
    causes
}

fn frozen(live: &Value, value: &Value, causes: &mut Vec<Cause>) {
    if live["immutable"] != true {
        return;
    }
    if value["immutable"] != true {
        causes.push(Cause::forbidden(
            "immutable",
            "field is immutable when `immutable` is set",
        ));
    }
    for name in ["data", "binaryData"] {
        if live.get(name) != value.get(name) {
            causes.push(Cause::forbidden(
                name,
                "field is immutable when `immutable` is set",
            ));
        }
    }
}

fn without(value: &Value, names: &[&str]) -> Map<String, Value> {
    let mut map = value.as_object().cloned().unwrap_or_default();
    for name in names {
        map.shift_remove(*name);
    }
    map
}

fn pod(value: &Value) -> Map<String, Value> {
    let mut spec = without(
        &value["spec"],
        &[
            "activeDeadlineSeconds",
            "tolerations",
            "terminationGracePeriodSeconds",
            "nodeName",
        ],
    );
    for list in ["containers", "initContainers"] {
        for one in spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            object::remove(one, &["image"]);
        }
    }
    spec
}
