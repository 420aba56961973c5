//! The columns of each built-in kind, as the API server prints them.

use serde_json::Value;

use super::cells::{
    address, age, containers, count, duration, external, job_status, load_balancer, modes,
    node_info, node_status, or_none, pairs, pod_ready, pod_restarts, pod_status, ports, roles,
    selector, since, since_or, spec, status,
};
use super::more_columns;
use crate::kube::object;

/// A column and how its cell is made.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) wide: bool,
    pub(super) cell: fn(&Value) -> Value,
}

pub(super) const fn column(
    name: &'static str,
    kind: &'static str,
    wide: bool,
    cell: fn(&Value) -> Value,
) -> Column {
    Column {
        name,
        kind,
        wide,
        cell,
    }
}

pub(super) const AGE: Column = column("Age", "string", false, age);

pub(super) fn columns(qualified: &str) -> Vec<Column> {
    match qualified {
        "pods" => vec![
            column("Ready", "string", false, pod_ready),
            column("Status", "string", false, |v| pod_status(v).into()),
            column("Restarts", "string", false, |v| {
                pod_restarts(v).to_string().into()
            }),
            AGE,
            column("IP", "string", true, |v| {
                or_none(object::text(v, &["status", "podIP"]))
            }),
            column("Node", "string", true, |v| {
                or_none(object::text(v, &["spec", "nodeName"]))
            }),
            column("Nominated Node", "string", true, |v| {
                or_none(object::text(v, &["status", "nominatedNodeName"]))
            }),
            column("Readiness Gates", "string", true, |_| "<none>".into()),
        ],
        "deployments.apps" => vec![
            column("Ready", "string", false, |v| {
                format!("{}/{}", status(v, "readyReplicas"), spec(v, "replicas")).into()
            }),
            column("Up-to-date", "integer", false, |v| {
                status(v, "updatedReplicas").into()
            }),
            column("Available", "integer", false, |v| {
                status(v, "availableReplicas").into()
            }),
            AGE,
            column("Containers", "string", true, |v| containers(v, "name")),
            column("Images", "string", true, |v| containers(v, "image")),
            column("Selector", "string", true, selector),
        ],
        "replicasets.apps" => vec![
            column("Desired", "integer", false, |v| spec(v, "replicas").into()),
            column("Current", "integer", false, |v| {
                status(v, "replicas").into()
            }),
            column("Ready", "integer", false, |v| {
                status(v, "readyReplicas").into()
            }),
            AGE,
            column("Containers", "string", true, |v| containers(v, "name")),
            column("Images", "string", true, |v| containers(v, "image")),
            column("Selector", "string", true, selector),
        ],
        "statefulsets.apps" => vec![
            column("Ready", "string", false, |v| {
                format!("{}/{}", status(v, "readyReplicas"), spec(v, "replicas")).into()
            }),
            AGE,
            column("Containers", "string", true, |v| containers(v, "name")),
            column("Images", "string", true, |v| containers(v, "image")),
        ],
        "daemonsets.apps" => vec![
            column("Desired", "integer", false, |v| {
                status(v, "desiredNumberScheduled").into()
            }),
            column("Current", "integer", false, |v| {
                status(v, "currentNumberScheduled").into()
            }),
            column("Ready", "integer", false, |v| {
                status(v, "numberReady").into()
            }),
            column("Up-to-date", "integer", false, |v| {
                status(v, "updatedNumberScheduled").into()
            }),
            column("Available", "integer", false, |v| {
                status(v, "numberAvailable").into()
            }),
            column("Node Selector", "string", false, |v| {
                pairs(object::at(v, &["spec", "template", "spec", "nodeSelector"]))
            }),
            AGE,
            column("Containers", "string", true, |v| containers(v, "name")),
            column("Images", "string", true, |v| containers(v, "image")),
            column("Selector", "string", true, selector),
        ],
        "jobs.batch" => vec![
            column("Status", "string", false, |v| job_status(v).into()),
            column("Completions", "string", false, |v| {
                format!(
                    "{}/{}",
                    status(v, "succeeded"),
                    object::number(v, &["spec", "completions"]).unwrap_or(1)
                )
                .into()
            }),
            column("Duration", "string", false, duration),
            AGE,
            column("Containers", "string", true, |v| containers(v, "name")),
            column("Images", "string", true, |v| containers(v, "image")),
            column("Selector", "string", true, selector),
        ],
        "cronjobs.batch" => vec![
            column("Schedule", "string", false, |v| {
                v["spec"]["schedule"].clone()
            }),
            column("Timezone", "string", false, |v| {
                or_none(object::text(v, &["spec", "timeZone"]))
            }),
            column("Suspend", "boolean", false, |v| {
                if v["spec"]["suspend"] == true {
                    "True"
                } else {
                    "False"
                }
                .into()
            }),
            column("Active", "integer", false, |v| {
                object::items(v, &["status", "active"]).len().into()
            }),
            column("Last Schedule", "string", false, |v| {
                match object::text(v, &["status", "lastScheduleTime"]) {
                    "" => "<none>".into(),
                    time => since(time).into(),
                }
            }),
            AGE,
            column("Containers", "string", true, |v| {
                containers(&v["spec"]["jobTemplate"], "name")
            }),
            column("Images", "string", true, |v| {
                containers(&v["spec"]["jobTemplate"], "image")
            }),
            column("Selector", "string", true, |_| "<none>".into()),
        ],
        "services" => vec![
            column("Type", "string", false, |v| v["spec"]["type"].clone()),
            column("Cluster-IP", "string", false, |v| {
                or_none(object::text(v, &["spec", "clusterIP"]))
            }),
            column("External-IP", "string", false, external),
            column("Port(s)", "string", false, ports),
            AGE,
            column("Selector", "string", true, |v| {
                pairs(object::at(v, &["spec", "selector"]))
            }),
        ],
        "nodes" => vec![
            column("Status", "string", false, |v| node_status(v).into()),
            column("Roles", "string", false, roles),
            AGE,
            column("Version", "string", false, |v| {
                v["status"]["nodeInfo"]["kubeletVersion"].clone()
            }),
            column("Internal-IP", "string", true, |v| address(v, "InternalIP")),
            column("External-IP", "string", true, |v| address(v, "ExternalIP")),
            column("OS-Image", "string", true, |v| node_info(v, "osImage")),
            column("Kernel-Version", "string", true, |v| {
                node_info(v, "kernelVersion")
            }),
            column("Container-Runtime", "string", true, |v| {
                node_info(v, "containerRuntimeVersion")
            }),
        ],
        "namespaces" => vec![
            column("Status", "string", false, |v| v["status"]["phase"].clone()),
            AGE,
        ],
        "configmaps" => vec![
            column("Data", "integer", false, |v| {
                (count(v, "data") + count(v, "binaryData")).into()
            }),
            AGE,
        ],
        "secrets" => vec![
            column("Type", "string", false, |v| v["type"].clone()),
            column("Data", "integer", false, |v| count(v, "data").into()),
            AGE,
        ],
        "serviceaccounts" => {
            vec![
                column("Secrets", "integer", false, |v| {
                    object::items(v, &["secrets"]).len().into()
                }),
                AGE,
            ]
        }
        "persistentvolumeclaims" => vec![
            column("Status", "string", false, |v| v["status"]["phase"].clone()),
            column("Volume", "string", false, |v| {
                object::text(v, &["spec", "volumeName"]).into()
            }),
            column("Capacity", "string", false, |v| {
                object::text(v, &["status", "capacity", "storage"]).into()
            }),
            column("Access Modes", "string", false, |v| {
                modes(v, "status").into()
            }),
            column("StorageClass", "string", false, |v| {
                object::text(v, &["spec", "storageClassName"]).into()
            }),
            column("VolumeAttributesClass", "string", false, |_| {
                "<unset>".into()
            }),
            AGE,
            column("VolumeMode", "string", true, |v| {
                object::text(v, &["spec", "volumeMode"]).into()
            }),
        ],
        "events" => vec![
            column("Last Seen", "string", false, |v| {
                since_or(v, &["lastTimestamp"]).into()
            }),
            column("Type", "string", false, |v| v["type"].clone()),
            column("Reason", "string", false, |v| v["reason"].clone()),
            column("Object", "string", false, |v| {
                let kind = object::text(v, &["involvedObject", "kind"]).to_lowercase();
                format!("{kind}/{}", object::text(v, &["involvedObject", "name"])).into()
            }),
            column("Message", "string", false, |v| v["message"].clone()),
        ],
        "customresourcedefinitions.apiextensions.k8s.io" => {
            vec![column("Created At", "date", false, |v| {
                v["metadata"]["creationTimestamp"].clone()
            })]
        }
        "ingresses.networking.k8s.io" => vec![
            column("Class", "string", false, |v| {
                or_none(object::text(v, &["spec", "ingressClassName"]))
            }),
            column("Hosts", "string", false, |v| {
                let hosts: Vec<&str> = object::items(v, &["spec", "rules"])
                    .iter()
                    .filter_map(|one| one["host"].as_str())
                    .collect();
                if hosts.is_empty() {
                    "*".into()
                } else {
                    hosts.join(",").into()
                }
            }),
            column("Address", "string", false, |v| {
                load_balancer(v).join(",").into()
            }),
            column("Ports", "string", false, |v| {
                if object::items(v, &["spec", "tls"]).is_empty() {
                    "80"
                } else {
                    "80, 443"
                }
                .into()
            }),
            AGE,
        ],
        other => more_columns::columns(other),
    }
}
