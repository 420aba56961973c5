//! Resource quotas: what a namespace uses, and the refusal of what would be too much. Quantities as numbers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::kube::object;
use crate::kube::resource::Resource;
use crate::kube::schema::parse_quantity;
use crate::kube::state::State;
use crate::kube::status::{Refusal, Result};

/// The number of a quantity in JSON.
fn quantity(value: &Value) -> i128 {
    match value {
        Value::String(text) => parse_quantity(text).unwrap_or_default(),
        other => i128::from(other.as_i64().unwrap_or_default()) * 1000,
    }
}

fn written(key: &str, thousandths: i128) -> String {
    if key.ends_with("memory") || key.ends_with("storage") {
        for (unit, factor) in [("Gi", 1i128 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
            if thousandths > 0 && thousandths % (factor * 1000) == 0 {
                return format!("{}{unit}", thousandths / (factor * 1000));
            }
        }
    }
    if thousandths % 1000 == 0 {
        (thousandths / 1000).to_string()
    } else {
        format!("{thousandths}m")
    }
}

/// What one object uses of a quota's keys.
fn usage(qualified: &str, value: &Value, key: &str) -> Option<i128> {
    let counts = key == format!("count/{qualified}") || key == qualified;
    if counts {
        return Some(1000);
    }
    match (qualified, key) {
        ("pods", _) => {
            let (what, name) = match key {
                "cpu" | "memory" => ("requests", key),
                _ => key.split_once('.')?,
            };
            if !matches!(what, "requests" | "limits") || !matches!(name, "cpu" | "memory") {
                return None;
            }
            let containers = object::items(value, &["spec", "containers"]);
            Some(
                containers
                    .iter()
                    .map(|one| quantity(&one["resources"][what][name]))
                    .sum(),
            )
        }
        ("services", "services.loadbalancers") => {
            (value["spec"]["type"] == "LoadBalancer").then_some(1000)
        }
        ("services", "services.nodeports") => matches!(
            value["spec"]["type"].as_str(),
            Some("NodePort" | "LoadBalancer")
        )
        .then_some(1000),
        ("persistentvolumeclaims", "requests.storage") => {
            Some(quantity(&value["spec"]["resources"]["requests"]["storage"]))
        }
        _ => None,
    }
}

/// Tables that a key may count in.
fn tables(key: &str) -> String {
    if let Some(name) = key.strip_prefix("count/") {
        return name.to_owned();
    }
    match key {
        "services.loadbalancers" | "services.nodeports" => "services".into(),
        "requests.storage" => "persistentvolumeclaims".into(),
        "cpu" | "memory" => "pods".into(),
        key if key.starts_with("requests.") || key.starts_with("limits.") => "pods".into(),
        key => key.to_owned(),
    }
}

/// What a namespace uses of these keys, as a quota's status has it.
pub(crate) fn used(state: &State, namespace: &str, hard: &Value) -> Value {
    let mut out = BTreeMap::new();
    for key in hard.as_object().into_iter().flat_map(|map| map.keys()) {
        let table = tables(key);
        let sum: i128 = state
            .store
            .list(&table, namespace)
            .filter(|(_, object)| !is_over(&table, &object.value))
            .filter_map(|(_, object)| usage(&table, &object.value, key))
            .sum();
        out.insert(key.clone(), Value::from(written(key, sum)));
    }
    json!(out)
}

fn is_over(table: &str, value: &Value) -> bool {
    table == "pods"
        && matches!(
            object::text(value, &["status", "phase"]),
            "Succeeded" | "Failed"
        )
}

/// Refuses what a quota has no room for.
pub(super) fn admit(
    state: &State,
    resource: &Resource,
    namespace: &str,
    value: &Value,
) -> Result<()> {
    let (qualified, name) = (resource.qualified(), object::name(value));
    if !resource.namespaced {
        return Ok(());
    }
    if qualified == "pods"
        && let Some(fail) = state.failure(value, "quota")
    {
        let detail = format!(
            "exceeded quota: {}, requested: pods=1, used: pods=0, limited: pods=0",
            fail.name
        );
        return Err(Refusal::forbidden(&qualified, name, &detail));
    }
    for ((_, quota), object) in state.store.list("resourcequotas", namespace) {
        let hard = &object.value["spec"]["hard"];
        let Some(map) = hard.as_object() else {
            continue;
        };
        let used = used(state, namespace, hard);
        let (mut asked, mut have, mut limit) = (Vec::new(), Vec::new(), Vec::new());
        let mut missing = Vec::new();
        for (key, most) in map {
            let Some(more) = usage(&qualified, value, key) else {
                continue;
            };
            if more == 0 && qualified == "pods" && key != "pods" && !key.starts_with("count/") {
                missing.push(format!("{key} for: {}", container_names(value)));
                continue;
            }
            if more > 0 && quantity(&used[key]) + more > quantity(most) {
                asked.push(format!("{key}={}", written(key, more)));
                have.push(format!("{key}={}", used[key].as_str().unwrap_or_default()));
                limit.push(format!(
                    "{key}={}",
                    most.as_str()
                        .map_or_else(|| most.to_string(), str::to_owned)
                ));
            }
        }
        if !missing.is_empty() {
            let detail = format!("failed quota: {quota}: must specify {}", missing.join("; "));
            return Err(Refusal::forbidden(&qualified, name, &detail));
        }
        if !asked.is_empty() {
            let detail = format!(
                "exceeded quota: {quota}, requested: {}, used: {}, limited: {}",
                asked.join(","),
                have.join(","),
                limit.join(",")
            );
            return Err(Refusal::forbidden(&qualified, name, &detail));
        }
    }
    Ok(())
}

fn container_names(pod: &Value) -> String {
    let names: Vec<&str> = object::items(pod, &["spec", "containers"])
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    names.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_and_written() {
        for (text, wanted) in [
            ("1", 1000),
            ("500m", 500),
            ("1.5", 1500),
            ("1Ki", 1_024_000),
            ("2k", 2_000_000),
        ] {
            assert_eq!(parse_quantity(text), Some(wanted), "{text}");
        }
        assert_eq!(parse_quantity("x"), None);
        assert_eq!(written("cpu", 1500), "1500m");
        assert_eq!(
            written("requests.memory", 2 * 1024 * 1024 * 1024 * 1000),
            "2Gi"
        );
    }
}
