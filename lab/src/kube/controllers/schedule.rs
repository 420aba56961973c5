//! The scheduler: which node a pod goes to, or why none takes it. Affinity between pods and topology spread are not read.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Again, pod_status};
use crate::kube::admit::parse_quantity;
use crate::kube::object::{self, Object};
use crate::kube::select::Selector;
use crate::kube::state::State;
use crate::kube::status::{Refusal, Result};

/// A node that is ready.
pub(crate) fn node(index: usize, name: &str) -> Value {
    let now = object::now();
    let fine = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "False", "reason": reason, "message": message, "lastHeartbeatTime": now, "lastTransitionTime": now});
    let capacity =
        json!({"cpu": "8", "memory": "32Gi", "ephemeral-storage": "100Gi", "pods": "110"});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
            "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64",
        }},
        "spec": {"podCIDR": format!("10.244.{index}.0/24"), "podCIDRs": [format!("10.244.{index}.0/24")]},
        "status": {
            "capacity": capacity, "allocatable": capacity,
            "addresses": [{"type": "InternalIP", "address": format!("10.0.0.{}", index + 10)}, {"type": "Hostname", "address": name}],
            "nodeInfo": {
                "architecture": "amd64", "operatingSystem": "linux", "kubeletVersion": crate::kube::settings::SERVER_VERSION,
                "kubeProxyVersion": "", "containerRuntimeVersion": "lab://1", "osImage": "lab", "kernelVersion": "lab",
                "machineID": "", "systemUUID": "", "bootID": "",
            },
            "conditions": [
                fine("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
                fine("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
                fine("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
                {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status",
                 "lastHeartbeatTime": now, "lastTransitionTime": now},
            ],
        },
    })
}
pub(super) fn schedule(state: &mut State, live: &Arc<Object>) -> Again {
    let spec = &live.value["spec"];
    if spec["schedulerName"] != "default-scheduler"
        || !object::items(spec, &["schedulingGates"]).is_empty()
    {
        return None;
    }
    match fitting(state, &live.value) {
        Ok(node) => {
            let _ = state.bind(live, &node);
            let (namespace, name) = (object::namespace(&live.value), object::name(&live.value));
            let message = format!("Successfully assigned {namespace}/{name} to {node}");
            state.event(
                &live.value,
                "Normal",
                "Scheduled",
                &message,
                "default-scheduler",
            );
        }
        Err(message) => {
            let known = super::condition(&live.value, "PodScheduled")
                .is_some_and(|one| one["message"] == message.as_str());
            if known {
                return None;
            }
            let mut status = live.value["status"].clone();
            pod_status::set(
                &mut status,
                "PodScheduled",
                false,
                "Unschedulable",
                &message,
            );
            state.write_status(live, status, "kube-scheduler");
            state.event(
                &live.value,
                "Warning",
                "FailedScheduling",
                &message,
                "default-scheduler",
            );
        }
    }
    None
}

/// The node that has room, or why none has.
fn fitting(state: &mut State, pod: &Value) -> std::result::Result<String, String> {
    const TAIL: &str =
        "preemption: 0/N nodes are available: N Preemption is not helpful for scheduling.";
    let namespace = object::namespace(pod);
    let nodes: Vec<Arc<Object>> = state
        .store
        .list("nodes", "")
        .map(|(_, node)| node.clone())
        .collect();
    let total = nodes.len();
    let none = |reasons: &str| {
        format!(
            "0/{total} nodes are available: {reasons}. {}",
            TAIL.replace('N', &total.to_string())
        )
    };
    if state.failure(pod, "unschedulable").is_some() {
        return Err(none(&format!("{total} Insufficient cpu")));
    }
    for volume in object::items(pod, &["spec", "volumes"]) {
        let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() else {
            continue;
        };
        match state.store.get("persistentvolumeclaims", namespace, claim) {
            None => {
                return Err(none(&format!(
                    "persistentvolumeclaim \"{claim}\" not found"
                )));
            }
            Some(own) if own.value["status"]["phase"] != "Bound" => {
                return Err(none("pod has unbound immediate PersistentVolumeClaims"));
            }
            Some(_) => {}
        }
    }
    let (mut good, mut reasons): (Vec<&str>, Vec<(&str, usize)>) = (Vec::new(), Vec::new());
    for node in &nodes {
        let reason =
            if !super::condition(&node.value, "Ready").is_some_and(|one| one["status"] == "True") {
                "node(s) were not ready"
            } else if node.value["spec"]["unschedulable"] == true {
                "node(s) were unschedulable"
            } else if !selected(pod, &node.value) {
                "node(s) didn't match Pod's node affinity/selector"
            } else if !tolerated(pod, &node.value) {
                "node(s) had untolerated taint(s)"
            } else if let Some(short) = short_of(state, pod, &node.value) {
                short
            } else {
                good.push(object::name(&node.value));
                continue;
            };
        match reasons.iter_mut().find(|(own, _)| *own == reason) {
            Some((_, count)) => *count += 1,
            None => reasons.push((reason, 1)),
        }
    }
    if good.is_empty() {
        let list: Vec<String> = reasons
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        return Err(if total == 0 {
            "no nodes available to schedule pods".into()
        } else {
            none(&list.join(", "))
        });
    }
    state.turn = state.turn.wrapping_add(1);
    Ok(good[state.turn % good.len()].to_owned())
}

fn selected(pod: &Value, node: &Value) -> bool {
    let labels = object::at(node, &["metadata", "labels"]).and_then(Value::as_object);
    let simple = pod["spec"]["nodeSelector"]
        .as_object()
        .into_iter()
        .flatten()
        .all(|(name, value)| labels.and_then(|labels| labels.get(name)) == Some(value));
    let terms = object::items(
        pod,
        &[
            "spec",
            "affinity",
            "nodeAffinity",
            "requiredDuringSchedulingIgnoredDuringExecution",
            "nodeSelectorTerms",
        ],
    );
    simple
        && (terms.is_empty()
            || terms.iter().any(|term| {
                let fields = object::items(term, &["matchFields"]).iter().all(|one| {
                    one["key"] == "metadata.name"
                        && object::items(one, &["values"])
                            .iter()
                            .any(|name| name == object::name(node))
                });
                fields && Selector::of_spec(term).matches_labels(labels)
            }))
}

fn tolerated(pod: &Value, node: &Value) -> bool {
    object::items(node, &["spec", "taints"])
        .iter()
        .filter(|taint| taint["effect"] != "PreferNoSchedule")
        .all(|taint| {
            object::items(pod, &["spec", "tolerations"])
                .iter()
                .any(|one| {
                    let effect = one
                        .get("effect")
                        .is_none_or(|effect| *effect == taint["effect"]);
                    let key = match one.get("key") {
                        None => one["operator"] == "Exists",
                        Some(key) => {
                            *key == taint["key"]
                                && (one["operator"] == "Exists" || one["value"] == taint["value"])
                        }
                    };
                    effect && key
                })
        })
}

fn asked(pod: &Value, name: &str) -> i128 {
    object::items(pod, &["spec", "containers"])
        .iter()
        .filter_map(|one| {
            one["resources"]["requests"][name]
                .as_str()
                .and_then(parse_quantity)
        })
        .sum()
}

/// What a node has too little of for this pod.
fn short_of(state: &State, pod: &Value, node: &Value) -> Option<&'static str> {
    for (name, reason) in [
        ("cpu", "Insufficient cpu"),
        ("memory", "Insufficient memory"),
    ] {
        let wanted = asked(pod, name);
        if wanted == 0 {
            continue;
        }
        let has = object::text(node, &["status", "allocatable", name]);
        let used: i128 = state
            .store
            .list("pods", "")
            .filter(|(_, one)| {
                one.value["spec"]["nodeName"] == node["metadata"]["name"]
                    && !pod_status::is_over(&one.value)
            })
            .map(|(_, one)| asked(&one.value, name))
            .sum();
        if parse_quantity(has).is_some_and(|has| used + wanted > has) {
            return Some(reason);
        }
    }
    None
}

impl State {
    /// Puts a pod on a node.
    pub(crate) fn bind(&mut self, live: &Arc<Object>, node: &str) -> Result<()> {
        if self.get("nodes", "", node).is_none() {
            return Err(Refusal::not_found("nodes", node));
        }
        let mut value = live.value.clone();
        value["spec"]["nodeName"] = node.into();
        pod_status::set(&mut value["status"], "PodScheduled", true, "", "");
        self.store.put("pods", value);
        Ok(())
    }
}
