//! Services: their load balancer's address and their endpoints.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Again, pod_status};
use crate::kube::object::{self, Object};
use crate::kube::select::Selector;
use crate::kube::state::State;

const MANAGER: &str = "kube-controller-manager";
/// Who made endpoints.
const MANAGED: &str = "endpoints.kubernetes.io/managed-by";
const ENDPOINTS_CONTROLLER: &str = "endpoint-controller";
/// Endpoints of one slice.
const SLICE_MAX: usize = 100;

pub(super) fn react(state: &mut State, live: &Arc<Object>) -> Again {
    if object::is_deleting(&live.value) {
        return None;
    }
    balance(state, live);
    let selector = live.value["spec"]["selector"]
        .as_object()
        .filter(|map| !map.is_empty())?;
    if live.value["spec"]["type"] == "ExternalName" {
        return None;
    }
    let wanted = Selector::of_spec(&json!({"matchLabels": selector}));
    let namespace = object::namespace(&live.value).to_owned();
    let all = live.value["spec"]["publishNotReadyAddresses"] == true;
    let mut pods: Vec<Arc<Object>> = state
        .store
        .list("pods", &namespace)
        .map(|(_, pod)| pod)
        .filter(|pod| wanted.matches(&pod.value) && !pod_status::is_over(&pod.value))
        .filter(|pod| !object::text(&pod.value, &["status", "podIP"]).is_empty())
        .cloned()
        .collect();
    pods.truncate(SLICE_MAX);
    let endpoints: Vec<Value> = pods.iter().map(|pod| endpoint(&pod.value, all)).collect();
    let ports = ports(&live.value, pods.first().map(|pod| &pod.value));
    slice(state, &live.value, &endpoints, &ports);
    mirrored(state, &live.value, &endpoints, &ports);
    None
}

/// The older form of the same: addresses that are ready, and those that are not.
fn mirrored(state: &mut State, service: &Value, endpoints: &[Value], ports: &[Value]) {
    const TABLE: &str = "endpoints";
    let (namespace, name) = (object::namespace(service), object::name(service));
    let addresses = |ready: bool| -> Vec<Value> {
        endpoints
            .iter()
            .filter(|one| (one["conditions"]["ready"] == true) == ready)
            .map(|one| {
                let (node, target) = (&one["nodeName"], &one["targetRef"]);
                json!({"ip": one["addresses"][0], "nodeName": node, "targetRef": target})
            })
            .collect()
    };
    let mut subset = json!({});
    for (key, list) in [
        ("addresses", addresses(true)),
        ("notReadyAddresses", addresses(false)),
    ] {
        if !list.is_empty() {
            subset[key] = list.into();
        }
    }
    let subsets = if endpoints.is_empty() {
        Value::Null
    } else {
        let mut ports = ports.to_vec();
        for port in ports.iter_mut().filter(|port| port["name"] == "") {
            object::remove(port, &["name"]);
        }
        if !ports.is_empty() {
            subset["ports"] = ports.into();
        }
        json!([subset])
    };
    if let Some(live) = state.get(TABLE, namespace, name) {
        if live.value["subsets"] != subsets {
            let _ = state.change(&live, MANAGER, |value| match subsets {
                Value::Null => drop(object::remove(value, &["subsets"])),
                subsets => value["subsets"] = subsets,
            });
        }
        return;
    }
    let mut labels = service["metadata"]
        .get("labels")
        .cloned()
        .unwrap_or(json!({}));
    labels[MANAGED] = ENDPOINTS_CONTROLLER.into();
    let mut object = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {
            "name": name, "labels": labels,
            "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": object::now()},
        },
    });
    if !subsets.is_null() {
        object["subsets"] = subsets;
    }
    let namespace = namespace.to_owned();
    let _ = state.make(&namespace, object, MANAGER);
}

/// With a service go the endpoints that were made for it.
pub(super) fn forget(state: &mut State, service: &Value) {
    let found = state.get(
        "endpoints",
        object::namespace(service),
        object::name(service),
    );
    if let Some(own) =
        found.filter(|own| object::label(&own.value, MANAGED) == ENDPOINTS_CONTROLLER)
    {
        state.end(&own.value);
    }
}

fn balance(state: &mut State, live: &Arc<Object>) {
    let value = &live.value;
    let has = object::items(value, &["status", "loadBalancer", "ingress"]);
    if value["spec"]["type"] != "LoadBalancer" {
        if !has.is_empty() {
            state.pool.release_balancer(value);
            state.write_status(live, json!({"loadBalancer": {}}), MANAGER);
        }
        return;
    }
    if let Some(first) = has.first() {
        state
            .pool
            .keep_balancer(first["ip"].as_str().unwrap_or_default());
        return;
    }
    if !object::text(value, &["spec", "loadBalancerClass"]).is_empty() {
        return;
    }
    let wished = match object::annotation(value, "metallb.io/loadBalancerIPs") {
        "" => object::text(value, &["spec", "loadBalancerIP"]),
        own => own,
    }
    .to_owned();
    if let Some(address) = state.pool.balancer(&wished) {
        let address = address.to_string();
        let status = json!({"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}});
        state.write_status(live, status, MANAGER);
        state.event(
            value,
            "Normal",
            "IPAllocated",
            &format!("Assigned IP [\"{address}\"]"),
            "metallb-controller",
        );
    } else if !state
        .settings
        .load_balancers
        .as_deref()
        .unwrap_or_default()
        .is_empty()
    {
        let name = object::name(value).to_owned();
        let text = format!(
            "Failed to allocate IP for \"{}/{name}\": no available IPs",
            object::namespace(value)
        );
        state.event(
            value,
            "Warning",
            "AllocationFailed",
            &text,
            "metallb-controller",
        );
    }
}

fn endpoint(pod: &Value, all: bool) -> Value {
    let ready = pod_status::is_ready(pod) && !object::is_deleting(pod);
    json!({
        "addresses": [object::text(pod, &["status", "podIP"])],
        "conditions": {"ready": ready || all, "serving": pod_status::is_ready(pod), "terminating": object::is_deleting(pod)},
        "nodeName": pod["spec"]["nodeName"],
        "targetRef": {"kind": "Pod", "namespace": object::namespace(pod), "name": object::name(pod), "uid": object::uid(pod)},
    })
}

/// The ports of a service, as numbers of the pod.
fn ports(service: &Value, pod: Option<&Value>) -> Vec<Value> {
    let named = |name: &str| {
        object::items(pod?, &["spec", "containers"])
            .iter()
            .flat_map(|one| object::items(one, &["ports"]))
            .find(|port| port["name"] == name)
            .map(|port| port["containerPort"].clone())
    };
    object::items(service, &["spec", "ports"])
        .iter()
        .filter_map(|port| {
            let number = match &port["targetPort"] {
                Value::String(name) => named(name)?,
                other => other.clone(),
            };
            Some(json!({"name": port["name"].as_str().unwrap_or_default(), "port": number, "protocol": port["protocol"]}))
        })
        .collect()
}

fn slice(state: &mut State, service: &Value, endpoints: &[Value], ports: &[Value]) {
    const TABLE: &str = "endpointslices.discovery.k8s.io";
    let namespace = object::namespace(service).to_owned();
    let owned = state.store.owned_in(object::uid(service), TABLE);
    if let Some(own) = owned.first() {
        if object::items(&own.value, &["endpoints"]) != endpoints
            || object::items(&own.value, &["ports"]) != ports
        {
            let _ = state.change(own, MANAGER, |value| {
                value["endpoints"] = endpoints.into();
                value["ports"] = ports.into();
            });
        }
        return;
    }
    let mut labels = service["metadata"]
        .get("labels")
        .cloned()
        .unwrap_or(json!({}));
    labels["kubernetes.io/service-name"] = object::name(service).into();
    labels["endpointslice.kubernetes.io/managed-by"] = "endpointslice-controller.k8s.io".into();
    let object = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "generateName": format!("{}-", object::name(service)), "labels": labels,
            "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": object::now()},
            "ownerReferences": [super::owner(("v1", "Service"), service)],
        },
        "endpoints": endpoints, "ports": ports,
    });
    let _ = state.make(&namespace, object, MANAGER);
}
