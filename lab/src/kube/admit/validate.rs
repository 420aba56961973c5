//! What an object must be, kind by kind, with the API's words for what is wrong.

use serde_json::{Value, json};

use super::names::{LABEL, NAME_MAX, SUBDOMAIN, is_label, is_subdomain, labels, required};
use super::validate_data::{config_map, secret};
use super::validate_pods::{job, pod_spec, schedule, workload};
use crate::kube::object;
use crate::kube::resource::Resource;
use crate::kube::schema;
use crate::kube::state::State;
use crate::kube::status::Cause;

/// All annotations together.
const ANNOTATIONS_MAX: usize = 256 * 1024;

pub(super) fn check(state: &State, resource: &Resource, value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    metadata(resource, value, &mut causes);
    if resource.is_custom() {
        schema::check_values(resource.schema(), value, "", &mut causes);
        return causes;
    }
    match resource.qualified().as_str() {
        "pods" => pod_spec(&value["spec"], "spec", &[], &mut causes),
        "deployments.apps" | "replicasets.apps" | "daemonsets.apps" | "statefulsets.apps" => {
            workload(value, &mut causes)
        }
        "jobs.batch" => job(&value["spec"], "spec", &mut causes),
        "cronjobs.batch" => {
            required(value, &["spec", "schedule"], &mut causes);
            schedule(&value["spec"]["schedule"], &mut causes);
            job(
                &value["spec"]["jobTemplate"]["spec"],
                "spec.jobTemplate.spec",
                &mut causes,
            );
        }
        "services" => service(value, &mut causes),
        "configmaps" => config_map(value, &mut causes),
        "secrets" => secret(value, &mut causes),
        "persistentvolumeclaims" => {
            required(value, &["spec", "accessModes"], &mut causes);
            required(
                value,
                &["spec", "resources", "requests", "storage"],
                &mut causes,
            );
        }
        "customresourcedefinitions.apiextensions.k8s.io" => definition(state, value, &mut causes),
        _ => {}
    }
    causes
}

fn metadata(resource: &Resource, value: &Value, causes: &mut Vec<Cause>) {
    let name = object::name(value);
    let shown = json!(name);
    let rbac = resource.group == "rbac.authorization.k8s.io";
    if name.len() > NAME_MAX && !rbac {
        causes.push(Cause::invalid(
            "metadata.name",
            &shown,
            "must be no more than 253 bytes",
        ));
    } else {
        match resource.qualified().as_str() {
            "namespaces" if !is_label(name) => {
                causes.push(Cause::invalid("metadata.name", &shown, LABEL))
            }
            "services" if !is_label(name) => {
                causes.push(Cause::invalid("metadata.name", &shown, LABEL));
            }
            "namespaces" | "services" => {}
            _ if rbac => {}
            _ if !is_subdomain(name) => {
                causes.push(Cause::invalid("metadata.name", &shown, SUBDOMAIN))
            }
            _ => {}
        }
    }
    labels(
        object::at(value, &["metadata", "labels"]),
        "metadata.labels",
        causes,
    );
    let annotations = object::at(value, &["metadata", "annotations"]).and_then(Value::as_object);
    let size: usize = annotations
        .into_iter()
        .flatten()
        .map(|(name, value)| name.len() + value.as_str().map_or(0, str::len))
        .sum();
    if size > ANNOTATIONS_MAX {
        let message = format!("Too long: may not be more than {ANNOTATIONS_MAX} bytes");
        causes.push(Cause::new(
            "FieldValueTooLong",
            "metadata.annotations",
            message,
        ));
    }
}

fn service(value: &Value, causes: &mut Vec<Cause>) {
    let spec = &value["spec"];
    let kind = spec["type"].as_str().unwrap_or_default();
    let ports = object::items(spec, &["ports"]);
    if ports.is_empty() && kind != "ExternalName" && spec["clusterIP"] != "None" {
        causes.push(Cause::required("spec.ports", ""));
    }
    let mut names: Vec<&str> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let place = format!("spec.ports[{index}]");
        let name = port["name"].as_str().unwrap_or_default();
        if ports.len() > 1 && name.is_empty() {
            causes.push(Cause::required(format!("{place}.name"), ""));
        }
        if !name.is_empty() && names.contains(&name) {
            causes.push(Cause::duplicate(format!("{place}.name"), &port["name"]));
        }
        names.push(name);
        match port["port"].as_i64() {
            Some(number) if (1..=65535).contains(&number) => {}
            _ => causes.push(Cause::invalid(
                format!("{place}.port"),
                &port["port"].as_i64().unwrap_or_default().into(),
                "must be between 1 and 65535, inclusive",
            )),
        }
        if port["targetPort"]
            .as_i64()
            .is_some_and(|number| !(1..=65535).contains(&number))
        {
            let detail = "must be between 1 and 65535, inclusive";
            causes.push(Cause::invalid(
                format!("{place}.targetPort"),
                &port["targetPort"],
                detail,
            ));
        }
    }
    let known = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    if !known.contains(&kind) {
        causes.push(Cause::unsupported(
            "spec.type",
            &spec["type"],
            &known.map(str::to_owned),
        ));
    }
}

fn definition(state: &State, value: &Value, causes: &mut Vec<Cause>) {
    let spec = &value["spec"];
    let (group, plural) = (
        object::text(spec, &["group"]),
        object::text(spec, &["names", "plural"]),
    );
    for path in [["spec", "group"], ["spec", "scope"]] {
        required(value, &path, causes);
    }
    required(value, &["spec", "names", "plural"], causes);
    required(value, &["spec", "names", "kind"], causes);
    let wanted = format!("{plural}.{group}");
    if object::name(value) != wanted {
        causes.push(Cause::invalid(
            "metadata.name",
            &json!(object::name(value)),
            "must be spec.names.plural+\".\"+spec.group",
        ));
    }
    let versions = object::items(spec, &["versions"]);
    if versions
        .iter()
        .filter(|version| version["storage"] == true)
        .count()
        != 1
    {
        causes.push(Cause::invalid(
            "spec.versions",
            &spec["versions"],
            "must have exactly one version marked as storage version",
        ));
    }
    for (index, version) in versions.iter().enumerate() {
        if version["schema"]["openAPIV3Schema"].is_null() {
            causes.push(Cause::required(
                format!("spec.versions[{index}].schema.openAPIV3Schema"),
                "schemas are required",
            ));
        }
    }
    let builtin = state
        .registry
        .all()
        .any(|one| one.group == group && !one.is_custom());
    if builtin {
        causes.push(Cause::forbidden(
            "spec.group",
            "the group is served by the API server itself",
        ));
    }
}
