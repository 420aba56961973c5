//! Defaults of pod specs, and what admission adds to a pod.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::kube::object::{self, default};
use crate::kube::resource::Resource;
use crate::kube::state::State;
use crate::kube::status::{Refusal, Result};

const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Seconds that a projected token is asked for.
const TOKEN_SECONDS: u32 = 3607;

pub(super) fn pod_spec(spec: &mut Map<String, Value>) {
    default(spec, "restartPolicy", "Always");
    default(spec, "terminationGracePeriodSeconds", 30);
    default(spec, "dnsPolicy", "ClusterFirst");
    default(spec, "securityContext", json!({}));
    default(spec, "schedulerName", "default-scheduler");
    if let Some(account) = spec
        .get("serviceAccountName")
        .or(spec.get("serviceAccount"))
        .cloned()
    {
        default(spec, "serviceAccountName", account.clone());
        default(spec, "serviceAccount", account);
    }
    for list in ["initContainers", "containers"] {
        maps(spec, list).for_each(container);
    }
    maps(spec, "volumes").for_each(volume);
}

/// The maps of a list.
fn maps<'a>(
    own: &'a mut Map<String, Value>,
    list: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    own.get_mut(list)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
}

fn container(own: &mut Map<String, Value>) {
    default(own, "resources", json!({}));
    default(own, "terminationMessagePath", "/dev/termination-log");
    default(own, "terminationMessagePolicy", "File");
    let image = own.get("image").and_then(Value::as_str).unwrap_or_default();
    let tag = image.rsplit('/').next().unwrap_or_default();
    let floats = !tag.contains('@') && (!tag.contains(':') || tag.ends_with(":latest"));
    default(
        own,
        "imagePullPolicy",
        if floats { "Always" } else { "IfNotPresent" },
    );
    for port in maps(own, "ports") {
        default(port, "protocol", "TCP");
    }
    for env in own
        .get_mut("env")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(field) = env
            .pointer_mut("/valueFrom/fieldRef")
            .and_then(Value::as_object_mut)
        {
            default(field, "apiVersion", "v1");
        }
    }
    if let Some(resources) = own.get_mut("resources").and_then(Value::as_object_mut)
        && let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned()
    {
        // A limit without a request asks for as much.
        let requests = resources.entry("requests").or_insert_with(|| json!({}));
        if let Some(requests) = requests.as_object_mut() {
            for (name, limit) in limits {
                default(requests, &name, limit);
            }
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = own.get_mut(name).and_then(Value::as_object_mut) else {
            continue;
        };
        for (key, value) in [
            ("timeoutSeconds", 1),
            ("periodSeconds", 10),
            ("successThreshold", 1),
            ("failureThreshold", 3),
        ] {
            default(probe, key, value);
        }
        if let Some(get) = probe.get_mut("httpGet").and_then(Value::as_object_mut) {
            default(get, "path", "/");
            default(get, "scheme", "HTTP");
        }
    }
}

fn volume(own: &mut Map<String, Value>) {
    for name in ["configMap", "secret", "projected", "downwardAPI"] {
        if let Some(source) = own.get_mut(name).and_then(Value::as_object_mut) {
            default(source, "defaultMode", 420);
        }
    }
    if let Some(path) = own.get_mut("hostPath").and_then(Value::as_object_mut) {
        default(path, "type", "");
    }
    if own.len() == 1 && own.contains_key("name") {
        own.insert("emptyDir".into(), json!({}));
    }
}

impl State {
    /// What admission plugins do to a new pod: service account, tolerations, priority.
    pub(super) fn admit_pod(&self, resource: &Arc<Resource>, value: &mut Value) -> Result<()> {
        if resource.qualified() != "pods" {
            return Ok(());
        }
        let (namespace, name) = (
            object::namespace(value).to_owned(),
            object::name(value).to_owned(),
        );
        let spec = object::map_mut(value, "spec");
        self.limit(&namespace, spec);
        default(spec, "serviceAccountName", "default");
        let account = spec["serviceAccountName"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        spec.insert("serviceAccount".into(), account.clone().into());
        let Some(own) = self.get("serviceaccounts", &namespace, &account) else {
            let detail = format!(
                "error looking up service account {namespace}/{account}: serviceaccount \"{account}\" not found"
            );
            return Err(Refusal::forbidden("pods", &name, &detail));
        };
        let mounts = spec
            .get("automountServiceAccountToken")
            .or(own.value.get("automountServiceAccountToken"))
            .is_none_or(|mounts| mounts != false);
        if mounts {
            mount_token(spec);
        }
        default(spec, "enableServiceLinks", true);
        self.set_priority(spec, &name)?;
        default(spec, "preemptionPolicy", "PreemptLowerPriority");
        let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
        for key in [
            "node.kubernetes.io/not-ready",
            "node.kubernetes.io/unreachable",
        ] {
            let list = tolerations
                .as_array_mut()
                .map(std::mem::take)
                .unwrap_or_default();
            let has = list.iter().any(|one| {
                let covers =
                    one["key"] == key || (one.get("key").is_none() && one["operator"] == "Exists");
                covers && one.get("effect").is_none_or(|effect| effect == "NoExecute")
            });
            *tolerations = list.into();
            if !has && let Some(list) = tolerations.as_array_mut() {
                list.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
            }
        }
        value["status"] = json!({"phase": "Pending", "qosClass": qos(value)});
        Ok(())
    }

    /// What limit ranges fill in. Their least and most are not enforced.
    fn limit(&self, namespace: &str, spec: &mut Map<String, Value>) {
        let ranges: Vec<&Value> = self
            .store
            .list("limitranges", namespace)
            .map(|(_, range)| &range.value)
            .collect();
        for limit in ranges
            .iter()
            .flat_map(|range| object::items(range, &["spec", "limits"]))
        {
            if limit["type"] != "Container" {
                continue;
            }
            for list in ["initContainers", "containers"] {
                for one in spec
                    .get_mut(list)
                    .and_then(Value::as_array_mut)
                    .into_iter()
                    .flatten()
                {
                    let asked = limit.get("defaultRequest").or(limit.get("default"));
                    for (part, values) in [("limits", limit.get("default")), ("requests", asked)] {
                        for (name, value) in values.and_then(Value::as_object).into_iter().flatten()
                        {
                            let resources = object::map_mut(one, "resources");
                            let own = resources.entry(part).or_insert_with(|| json!({}));
                            if let Some(own) = own.as_object_mut() {
                                default(own, name, value.clone());
                            }
                        }
                    }
                }
            }
        }
    }

    fn set_priority(&self, spec: &mut Map<String, Value>, pod: &str) -> Result<()> {
        let Some(class) = spec.get("priorityClassName").and_then(Value::as_str) else {
            default(spec, "priority", 0);
            return Ok(());
        };
        if let Some(number) = match class {
            "system-cluster-critical" => Some(2_000_000_000),
            "system-node-critical" => Some(2_000_001_000),
            _ => None,
        } {
            default(spec, "priority", number);
            return Ok(());
        }
        let Some(own) = self.get("priorityclasses.scheduling.k8s.io", "", class) else {
            let detail = format!("no PriorityClass with name {class} was found");
            return Err(Refusal::forbidden("pods", pod, &detail));
        };
        let number = own.value["value"].clone();
        default(spec, "priority", number);
        Ok(())
    }
}

fn mount_token(spec: &mut Map<String, Value>) {
    let has = |one: &Value| {
        object::items(one, &["volumeMounts"])
            .iter()
            .any(|mount| mount["mountPath"] == TOKEN_PATH)
    };
    let volume = format!("kube-api-access-{}", object::suffix());
    let mut used = false;
    for list in ["initContainers", "containers"] {
        for one in spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if has(one) {
                continue;
            }
            used = true;
            let mount = json!({"name": volume, "readOnly": true, "mountPath": TOKEN_PATH});
            match one.get_mut("volumeMounts").and_then(Value::as_array_mut) {
                Some(mounts) => mounts.push(mount),
                None => one["volumeMounts"] = json!([mount]),
            }
        }
    }
    if !used {
        return;
    }
    let source = json!({"name": volume, "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}});
    if let Some(volumes) = spec
        .entry("volumes")
        .or_insert_with(|| json!([]))
        .as_array_mut()
    {
        volumes.push(source);
    }
}

fn qos(pod: &Value) -> &'static str {
    let containers = object::items(pod, &["spec", "containers"]);
    let has = |one: &Value, what: &str| {
        one["resources"][what]
            .as_object()
            .is_some_and(|map| map.contains_key("cpu") || map.contains_key("memory"))
    };
    let guaranteed = |one: &Value| {
        let (limits, requests) = (&one["resources"]["limits"], &one["resources"]["requests"]);
        ["cpu", "memory"]
            .iter()
            .all(|name| limits.get(name).is_some() && limits[name] == requests[name])
    };
    if !containers.is_empty() && containers.iter().all(guaranteed) {
        "Guaranteed"
    } else if containers
        .iter()
        .any(|one| has(one, "limits") || has(one, "requests"))
    {
        "Burstable"
    } else {
        "BestEffort"
    }
}
