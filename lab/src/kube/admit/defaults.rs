//! Defaults of the built-in kinds, as the API fills them in, and what raises a generation.

use serde_json::{Map, Value, json};

use super::pod_defaults;
use super::workload_defaults::{daemon_set, deployment, job, spec, stateful_set, template};
use crate::kube::apply::zero;
use crate::kube::object::{self, default};
use crate::kube::resource::Resource;
use crate::kube::schema;
use crate::kube::state::State;

/// Kinds with a spec that have no generation.
const NO_GENERATION: [&str; 22] = [
    "namespaces",
    "nodes",
    "services",
    "persistentvolumes",
    "persistentvolumeclaims",
    "configmaps",
    "secrets",
    "serviceaccounts",
    "events",
    "endpoints",
    "resourcequotas",
    "limitranges",
    "leases.coordination.k8s.io",
    "controllerrevisions.apps",
    "roles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "horizontalpodautoscalers.autoscaling",
    "storageclasses.storage.k8s.io",
    "csidrivers.storage.k8s.io",
    "runtimeclasses.node.k8s.io",
];

pub(super) fn has_generation(resource: &Resource) -> bool {
    !NO_GENERATION.contains(&resource.qualified().as_str())
}

/// Whether a change is one of what is wished, not of metadata or status.
pub(super) fn spec_differs(resource: &Resource, live: &Value, value: &Value) -> bool {
    let qualified = resource.qualified();
    let annotations = |value: &Value| object::at(value, &["metadata", "annotations"]).cloned();
    if qualified == "deployments.apps" && annotations(live) != annotations(value) {
        return true;
    }
    if !resource.is_custom() && live.get("spec").is_some() {
        return live.get("spec") != value.get("spec");
    }
    let wished = |value: &Value| -> Map<String, Value> {
        let mut map = value.as_object().cloned().unwrap_or_default();
        map.shift_remove("metadata");
        if resource.sub("status").is_some() {
            map.shift_remove("status");
        }
        map
    };
    wished(live) != wished(value)
}

/// Fills in what the API fills in for this kind.
pub(super) fn fill(state: &State, resource: &Resource, value: &mut Value) {
    if resource.is_custom() {
        schema::fill_defaults(resource.schema(), value);
        return;
    }
    schema::normalize(resource.schema(), value);
    drop_nulls(resource.schema(), value);
    match resource.qualified().as_str() {
        "pods" => pod_defaults::pod_spec(spec(value)),
        "deployments.apps" => deployment(value),
        "replicasets.apps" => {
            default(spec(value), "replicas", 1);
            template(value, "spec");
        }
        "statefulsets.apps" => {
            stateful_set(value);
            if value.get("status").is_none() {
                value["status"] = json!({"replicas": 0, "availableReplicas": 0});
            }
        }
        "daemonsets.apps" => daemon_set(value),
        "jobs.batch" => job(value),
        "cronjobs.batch" => {
            let spec = spec(value);
            default(spec, "concurrencyPolicy", "Allow");
            default(spec, "suspend", false);
            default(spec, "successfulJobsHistoryLimit", 3);
            default(spec, "failedJobsHistoryLimit", 1);
            if let Some(inner) = spec.get_mut("jobTemplate") {
                template(inner, "spec");
            }
        }
        "services" => service(value),
        "persistentvolumeclaims" => {
            let class = default_class(state);
            let spec = spec(value);
            default(spec, "volumeMode", "Filesystem");
            if let Some(class) = class {
                default(spec, "storageClassName", class);
            }
            if value.get("status").is_none() {
                value["status"] = json!({"phase": "Pending"});
            }
        }
        "persistentvolumes" => {
            default(spec(value), "volumeMode", "Filesystem");
            default(spec(value), "persistentVolumeReclaimPolicy", "Retain");
            if value.get("status").is_none() {
                value["status"] = json!({"phase": "Pending"});
            }
        }
        "horizontalpodautoscalers.autoscaling" => default(spec(value), "minReplicas", 1),
        "priorityclasses.scheduling.k8s.io" => {
            if let Some(map) = value.as_object_mut() {
                default(map, "preemptionPolicy", "PreemptLowerPriority");
            }
        }
        "secrets" => secret(value),
        "namespaces" => namespace(value),
        "storageclasses.storage.k8s.io" => {
            if let Some(map) = value.as_object_mut() {
                default(map, "reclaimPolicy", "Delete");
                default(map, "volumeBindingMode", "Immediate");
            }
        }
        "ingresses.networking.k8s.io" | "networkpolicies.networking.k8s.io" => {
            network(resource, value)
        }
        "customresourcedefinitions.apiextensions.k8s.io" => definition(value),
        "rolebindings.rbac.authorization.k8s.io"
        | "clusterrolebindings.rbac.authorization.k8s.io" => binding(value),
        _ => {}
    }
    if value.get("status").is_none()
        && let Some(status) = resource
            .schema()
            .properties
            .get("status")
            .filter(|status| status.default.is_some())
    {
        value["status"] = empty_status(status);
    }
}

/// What Go writes of a status in which nothing is set.
fn empty_status(schema: &schema::Schema) -> Value {
    let mut out = zero(schema);
    let own = schema.resolve();
    for name in &own.required {
        if own
            .properties
            .get(name)
            .is_some_and(|field| field.kind.as_deref() == Some("integer"))
        {
            out[name] = 0.into();
        }
    }
    out
}

/// A null in a built-in object is a field that is not set; in a map of texts it is an empty one.
fn drop_nulls(schema: &schema::Schema, value: &mut Value) {
    let own = schema.resolve();
    match value {
        Value::Object(map) => {
            let texts = matches!(&own.additional_properties, Some(schema::Additional::Of(items)) if items.kind.as_deref() == Some("string"));
            if texts {
                map.values_mut()
                    .filter(|value| value.is_null())
                    .for_each(|value| *value = "".into());
            }
            map.retain(|_, value| !value.is_null());
            for (name, value) in map.iter_mut() {
                if let Some(field) = schema.field(name) {
                    drop_nulls(field, value);
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = own.items.as_deref() {
                list.iter_mut().for_each(|value| drop_nulls(items, value));
            }
        }
        _ => {}
    }
}

fn service(value: &mut Value) {
    let own = spec(value);
    default(own, "type", "ClusterIP");
    default(own, "sessionAffinity", "None");
    let kind = own["type"].as_str().unwrap_or_default().to_owned();
    if kind != "ExternalName" {
        default(own, "internalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        default(own, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        default(own, "allocateLoadBalancerNodePorts", true);
    }
    for port in own
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let number = port["port"].clone();
        if let Some(port) = port.as_object_mut() {
            default(port, "protocol", "TCP");
            default(port, "targetPort", number);
        }
    }
    if value.get("status").is_none() {
        value["status"] = json!({"loadBalancer": {}});
    }
    let path = "/status/loadBalancer/ingress";
    for one in value
        .pointer_mut(path)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if one["ip"].is_string()
            && let Some(one) = one.as_object_mut()
        {
            default(one, "ipMode", "VIP");
        }
    }
}

fn secret(value: &mut Value) {
    use base64::Engine;
    let given = value
        .as_object_mut()
        .and_then(|map| map.shift_remove("stringData"));
    for (name, text) in given
        .as_ref()
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let text = text.as_str().unwrap_or_default();
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        object::map_mut(value, "data").insert(name.clone(), encoded.into());
    }
    if let Some(map) = value.as_object_mut() {
        default(map, "type", "Opaque");
    }
}

fn namespace(value: &mut Value) {
    let name = object::name(value).to_owned();
    let meta = object::meta_mut(value);
    let labels = meta.entry("labels").or_insert_with(|| json!({}));
    if let Some(labels) = labels.as_object_mut() {
        default(labels, "kubernetes.io/metadata.name", name);
    }
    if !object::is_deleting(value) {
        default(spec(value), "finalizers", json!(["kubernetes"]));
    }
    if value.get("status").is_none() {
        value["status"] = json!({"phase": "Active"});
    }
}

fn network(resource: &Resource, value: &mut Value) {
    if resource.plural == "networkpolicies" {
        let has = value["spec"].get("egress").is_some();
        let kinds = if has {
            json!(["Ingress", "Egress"])
        } else {
            json!(["Ingress"])
        };
        default(spec(value), "policyTypes", kinds);
    } else if value.get("status").is_none() {
        value["status"] = json!({"loadBalancer": {}});
    }
}

fn definition(value: &mut Value) {
    let own = spec(value);
    default(own, "conversion", json!({"strategy": "None"}));
    if let Some(names) = own.get_mut("names").and_then(Value::as_object_mut) {
        let kind = names
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        default(names, "singular", kind.to_lowercase());
        default(names, "listKind", format!("{kind}List"));
    }
    if value.get("status").is_none() {
        value["status"] = json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": stored(value)});
    }
}

fn stored(value: &Value) -> Value {
    object::items(value, &["spec", "versions"])
        .iter()
        .filter(|version| version["storage"] == true)
        .map(|version| version["name"].clone())
        .collect()
}

fn binding(value: &mut Value) {
    if let Some(reference) = value.get_mut("roleRef").and_then(Value::as_object_mut) {
        default(reference, "apiGroup", "rbac.authorization.k8s.io");
    }
    for subject in value
        .get_mut("subjects")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(subject) = subject.as_object_mut()
            && subject
                .get("kind")
                .is_some_and(|kind| kind != "ServiceAccount")
        {
            default(subject, "apiGroup", "rbac.authorization.k8s.io");
        }
    }
}

fn default_class(state: &State) -> Option<String> {
    state
        .store
        .list("storageclasses.storage.k8s.io", "")
        .find(|(_, object)| {
            object::annotation(&object.value, "storageclass.kubernetes.io/is-default-class")
                == "true"
        })
        .map(|((_, name), _)| name.clone())
}
