//! The columns of kinds around workloads: networks, policies, storage, rights, limits. Those that have none are shown by their birth.

use serde_json::Value;

use super::cells::{containers, modes, or_none, pairs, status};
use super::columns::{AGE, Column, column};
use crate::kube::object;

/// Names of a list that are shown.
const SHOWN_MAX: usize = 3;

pub(super) fn columns(qualified: &str) -> Vec<Column> {
    match qualified {
        "horizontalpodautoscalers.autoscaling" => vec![
            column("Reference", "string", false, |v| {
                let target = &v["spec"]["scaleTargetRef"];
                let text = |key: &str| target[key].as_str().unwrap_or_default();
                format!("{}/{}", text("kind"), text("name")).into()
            }),
            column("Targets", "string", false, targets),
            column("MinPods", "string", false, |v| {
                match object::number(v, &["spec", "minReplicas"]) {
                    Some(number) => number.to_string().into(),
                    None => "<unset>".into(),
                }
            }),
            column("MaxPods", "string", false, |v| {
                v["spec"]["maxReplicas"].clone()
            }),
            column("Replicas", "string", false, |v| {
                status(v, "currentReplicas").into()
            }),
            AGE,
        ],
        "endpoints" => vec![column("Endpoints", "string", false, endpoints), AGE],
        "endpointslices.discovery.k8s.io" => vec![
            column("AddressType", "string", false, |v| v["addressType"].clone()),
            column("Ports", "string", false, |v| {
                let ports = object::items(v, &["ports"]).iter();
                let all = ports.map(|port| match &port["port"] {
                    Value::Null => "*".to_owned(),
                    number => number.to_string(),
                });
                some_of(all.collect(), "<unset>")
            }),
            column("Endpoints", "string", false, |v| {
                let all = object::items(v, &["endpoints"]).iter();
                let addresses = all.flat_map(|one| object::items(one, &["addresses"]));
                let texts = addresses.filter_map(|one| one.as_str().map(str::to_owned));
                some_of(texts.collect(), "<unset>")
            }),
            AGE,
        ],
        "networkpolicies.networking.k8s.io" => vec![
            column("Pod-Selector", "string", false, |v| {
                pairs(object::at(v, &["spec", "podSelector", "matchLabels"]))
            }),
            AGE,
        ],
        "ingressclasses.networking.k8s.io" => vec![
            column("Controller", "string", false, |v| {
                v["spec"]["controller"].clone()
            }),
            column("Parameters", "string", false, |v| {
                let own = &v["spec"]["parameters"];
                match (
                    own["apiGroup"].as_str(),
                    own["kind"].as_str(),
                    own["name"].as_str(),
                ) {
                    (Some(group), Some(kind), Some(name)) => {
                        format!("{kind}.{group}/{name}").into()
                    }
                    (None, Some(kind), Some(name)) => format!("{kind}/{name}").into(),
                    _ => "<none>".into(),
                }
            }),
            AGE,
        ],
        "poddisruptionbudgets.policy" => vec![
            column("Min Available", "string", false, |v| {
                share(&v["spec"]["minAvailable"])
            }),
            column("Max Unavailable", "string", false, |v| {
                share(&v["spec"]["maxUnavailable"])
            }),
            column("Allowed Disruptions", "integer", false, |v| {
                status(v, "disruptionsAllowed").into()
            }),
            AGE,
        ],
        "priorityclasses.scheduling.k8s.io" => vec![
            column("Value", "integer", false, |v| {
                v["value"].as_i64().unwrap_or_default().into()
            }),
            column("Global-Default", "boolean", false, |v| {
                (v["globalDefault"] == true).into()
            }),
            AGE,
            column("PreemptionPolicy", "string", false, |v| {
                v["preemptionPolicy"].clone()
            }),
        ],
        "storageclasses.storage.k8s.io" => vec![
            column("Provisioner", "string", false, |v| v["provisioner"].clone()),
            column("ReclaimPolicy", "string", false, |v| {
                v["reclaimPolicy"].clone()
            }),
            column("VolumeBindingMode", "string", false, |v| {
                v["volumeBindingMode"].clone()
            }),
            column("AllowVolumeExpansion", "string", false, |v| {
                (v["allowVolumeExpansion"] == true).into()
            }),
            AGE,
        ],
        "persistentvolumes" => volume(),
        "leases.coordination.k8s.io" => vec![
            column("Holder", "string", false, |v| {
                object::text(v, &["spec", "holderIdentity"]).into()
            }),
            AGE,
        ],
        "resourcequotas" => vec![
            column("Request", "string", false, |v| quota(v, false)),
            column("Limit", "string", false, |v| quota(v, true)),
            AGE,
        ],
        "rolebindings.rbac.authorization.k8s.io"
        | "clusterrolebindings.rbac.authorization.k8s.io" => vec![
            column("Role", "string", false, |v| {
                let text = |key: &str| v["roleRef"][key].as_str().unwrap_or_default();
                format!("{}/{}", text("kind"), text("name")).into()
            }),
            AGE,
            column("Users", "string", true, |v| subjects(v, "User")),
            column("Groups", "string", true, |v| subjects(v, "Group")),
            column("ServiceAccounts", "string", true, |v| {
                subjects(v, "ServiceAccount")
            }),
        ],
        "controllerrevisions.apps" => vec![
            column("Controller", "string", false, |v| {
                let Some(owner) = object::controller(v) else {
                    return "<none>".into();
                };
                let text = |key: &str| owner[key].as_str().unwrap_or_default();
                let kind = text("kind").to_lowercase();
                match text("apiVersion").split_once('/') {
                    Some((group, _)) => format!("{kind}.{group}/{}", text("name")).into(),
                    None => format!("{kind}/{}", text("name")).into(),
                }
            }),
            column("Revision", "string", false, |v| v["revision"].clone()),
            AGE,
        ],
        "runtimeclasses.node.k8s.io" => vec![
            column("Handler", "string", false, |v| v["handler"].clone()),
            AGE,
        ],
        "mutatingwebhookconfigurations.admissionregistration.k8s.io"
        | "validatingwebhookconfigurations.admissionregistration.k8s.io" => vec![
            column("Webhooks", "integer", false, |v| {
                object::items(v, &["webhooks"]).len().into()
            }),
            AGE,
        ],
        "podtemplates" => vec![
            column("Containers", "string", false, |v| containers(v, "name")),
            AGE,
        ],
        _ => vec![column("Created At", "date", false, |v| {
            v["metadata"]["creationTimestamp"].clone()
        })],
    }
}

fn volume() -> Vec<Column> {
    vec![
        column("Capacity", "string", false, |v| {
            object::text(v, &["spec", "capacity", "storage"]).into()
        }),
        column("Access Modes", "string", false, |v| modes(v, "spec").into()),
        column("Reclaim Policy", "string", false, |v| {
            object::text(v, &["spec", "persistentVolumeReclaimPolicy"]).into()
        }),
        column("Status", "string", false, |v| {
            object::text(v, &["status", "phase"]).into()
        }),
        column("Claim", "string", false, |v| {
            let text = |key: &str| object::text(v, &["spec", "claimRef", key]);
            match text("name") {
                "" => "".into(),
                name => format!("{}/{name}", text("namespace")).into(),
            }
        }),
        column("StorageClass", "string", false, |v| {
            object::text(v, &["spec", "storageClassName"]).into()
        }),
        column("VolumeAttributesClass", "string", false, |_| {
            "<unset>".into()
        }),
        column("Reason", "string", false, |v| {
            object::text(v, &["status", "reason"]).into()
        }),
        AGE,
        column("VolumeMode", "string", true, |v| {
            object::text(v, &["spec", "volumeMode"]).into()
        }),
    ]
}

/// The first of a list, and how many there are more.
fn some_of(mut all: Vec<String>, none: &str) -> Value {
    let more = all.len().saturating_sub(SHOWN_MAX);
    all.truncate(SHOWN_MAX);
    match (all.is_empty(), more) {
        (true, _) => none.into(),
        (_, 0) => all.join(",").into(),
        _ => format!("{} + {more} more...", all.join(",")).into(),
    }
}

fn share(value: &Value) -> Value {
    match value {
        Value::Null => "N/A".into(),
        Value::String(text) => text.as_str().into(),
        other => other.to_string().into(),
    }
}

fn endpoints(value: &Value) -> Value {
    let mut all = Vec::new();
    for subset in object::items(value, &["subsets"]) {
        let ports = object::items(subset, &["ports"]);
        for address in object::items(subset, &["addresses"]) {
            let ip = address["ip"].as_str().unwrap_or_default();
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
            all.extend(ports.iter().map(|port| format!("{ip}:{}", port["port"])));
        }
    }
    some_of(all, "<none>")
}

/// What is measured against what is aimed at; nothing measures here.
fn targets(value: &Value) -> Value {
    let all: Vec<String> = object::items(value, &["spec", "metrics"])
        .iter()
        .filter(|one| one["type"] == "Resource" || one["type"] == "ContainerResource")
        .map(|one| {
            let own = match one["type"].as_str() {
                Some("ContainerResource") => &one["containerResource"],
                _ => &one["resource"],
            };
            let name = own["name"].as_str().unwrap_or_default();
            let target = &own["target"];
            match (
                target["averageUtilization"].as_i64(),
                target["averageValue"].as_str(),
            ) {
                (Some(share), _) => format!("{name}: <unknown>/{share}%"),
                (None, Some(amount)) => format!("{name}: <unknown>/{amount}"),
                (None, None) => format!("{name}: <unknown>/<auto>"),
            }
        })
        .collect();
    or_none(&all.join(", "))
}

/// What of a quota is used, by what is asked for or by what is the most.
fn quota(value: &Value, limits: bool) -> Value {
    let used = &value["status"]["used"];
    let mut all: Vec<String> = value["status"]["hard"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.starts_with("limits.") == limits)
        .map(|(name, hard)| {
            let text = |value: &Value| value.as_str().unwrap_or("0").to_owned();
            format!("{name}: {}/{}", text(&used[name]), text(hard))
        })
        .collect();
    all.sort();
    all.join(", ").into()
}

fn subjects(value: &Value, kind: &str) -> Value {
    let all: Vec<String> = object::items(value, &["subjects"])
        .iter()
        .filter(|one| one["kind"] == kind)
        .map(|one| {
            let text = |key: &str| one[key].as_str().unwrap_or_default();
            match kind {
                "ServiceAccount" => format!("{}/{}", text("namespace"), text("name")),
                _ => text("name").to_owned(),
            }
        })
        .collect();
    all.join(", ").into()
}
