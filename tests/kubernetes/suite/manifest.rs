//! The objects that cases make. A container has a command, so that its end is the same where commands run and where KWOK reads them
//! (`tests/control-plane/kwok/pods.yaml`).

use serde_json::{Value, json};

/// An image that needs no registry: nothing is pulled.
const IMAGE: &str = "registry.example/conformance:1";

pub(crate) fn configmap(name: &str, key: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: value}})
}

/// As `configmap`, with a label.
pub(crate) fn labelled(name: &str, label: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {label: value}}, "data": {"a": "1"}})
}

fn containers(command: &[&str]) -> Value {
    let mut container = json!({"name": "c", "image": IMAGE});
    if !command.is_empty() {
        container["command"] = json!(command);
    }
    json!([container])
}

/// A pod that runs on.
pub(crate) fn pod(name: &str) -> Value {
    pod_of(name, "Always", &["sleep", "3600"])
}

pub(crate) fn pod_of(name: &str, restart: &str, command: &[&str]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"restartPolicy": restart, "terminationGracePeriodSeconds": 1, "containers": containers(command)},
    })
}

fn template(app: &str, command: &[&str]) -> Value {
    json!({
        "metadata": {"labels": {"app": app}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": containers(command)},
    })
}

pub(crate) fn deployment(name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": template(name, &["sleep", "3600"]),
        },
    })
}

/// A Deployment whose image is not there.
pub(crate) fn deployment_without_image(name: &str, deadline_seconds: u32) -> Value {
    let mut deployment = deployment(name, 1);
    deployment["spec"]["progressDeadlineSeconds"] = json!(deadline_seconds);
    deployment["spec"]["template"]["metadata"]["annotations"] = json!({"lab/image-pull": "fail"});
    deployment
}

pub(crate) fn replicaset(name: &str, replicas: u32) -> Value {
    let mut set = deployment(name, replicas);
    set["kind"] = json!("ReplicaSet");
    set
}

pub(crate) fn statefulset(name: &str, replicas: u32) -> Value {
    let mut set = deployment(name, replicas);
    set["kind"] = json!("StatefulSet");
    set["spec"]["serviceName"] = json!(name);
    set
}

pub(crate) fn daemonset(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template(name, &["sleep", "3600"])},
    })
}

pub(crate) fn job(name: &str, command: &[&str]) -> Value {
    let mut template = template(name, command);
    template["spec"]["restartPolicy"] = json!("Never");
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": template},
    })
}

pub(crate) fn cronjob(name: &str, schedule: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {"schedule": schedule, "jobTemplate": {"spec": job(name, &["true"])["spec"]}},
    })
}

pub(crate) fn service(name: &str, app: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": app}, "ports": [{"port": 80, "targetPort": 8080}]},
    })
}

pub(crate) fn claim(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    })
}

/// A definition with a schema of its own, served as `v1` of `GROUP`. `kind` is in camel case, `plural` its lower case with an s.
pub(crate) fn definition(group: &str, kind: &str, scope: &str, spec_schema: &Value) -> Value {
    let singular = kind.to_lowercase();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{singular}s.{group}")},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": format!("{singular}s"), "singular": singular},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": spec_schema,
                        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    },
                }},
            }],
        },
    })
}
