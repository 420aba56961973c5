//! What is kept of objects that did not become what they should: their description, events and logs, as a text for a file.
//!
//! Looking for it is bounded; what cannot be found is left out. What a Secret holds is not in it.

use std::fmt::Write as _;
use std::time::Duration;

use runbook_k8s::log::{self, Wanted};
use runbook_k8s::{Client, Key, Query, Resource, events};
use serde_json::Value;

use super::look::readable;

/// How long is looked.
const GATHER_DURATION_MAX: Duration = Duration::from_secs(15);
/// Of how many objects.
const OBJECTS_MAX: usize = 5;
/// How many of its pods.
const PODS_MAX: usize = 3;
/// How many lines of each container's log.
const LOG_LINES: u32 = 200;
/// The longest text, in bytes.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// Describes objects; nothing where nothing is found.
pub async fn gather(client: &Client, keys: &[Key]) -> String {
    let mut text = String::new();
    let work = async {
        for key in keys.iter().take(OBJECTS_MAX) {
            describe(client, key, &mut text).await;
        }
    };
    // What was found by then is told.
    let _ = tokio::time::timeout(GATHER_DURATION_MAX, work).await;
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push_str("\n[cut here]\n");
    }
    text
}

async fn describe(client: &Client, key: &Key, text: &mut String) {
    let kind = match key.group.as_str() {
        "" => key.kind.clone(),
        group => format!("{}.{group}", key.kind),
    };
    let Ok(resource) = client.resource_called(&kind, None).await else {
        return;
    };
    let query = Query::one(&resource, key.namespace.as_deref(), &key.name);
    match client.get(&query).await {
        Ok(object) => section(&key.to_string(), &object, text),
        Err(error) => drop(writeln!(text, "# {key}\n{error}\n")),
    }
    if let Ok(events) = events(client, key).await
        && !events.is_empty()
    {
        let _ = writeln!(text, "## events about {key}\n{}\n", events.join("\n"));
    }
    for pod in pods(client, key).await.iter().take(PODS_MAX) {
        let pod_key = Key::of(pod);
        if pod_key != *key {
            section(&pod_key.to_string(), pod, text);
        }
        logs(client, pod, text).await;
    }
}

fn section(title: &str, object: &Value, text: &mut String) {
    let shown = serde_json::to_string_pretty(&readable(object)).unwrap_or_default();
    let _ = writeln!(text, "# {title}\n{shown}\n");
}

/// The pod itself, or those that are owned by the object or by what it owns.
async fn pods(client: &Client, key: &Key) -> Vec<Value> {
    let pods = Query::all(&Resource::pod(), key.namespace.as_deref());
    let Ok(list) = client.list(&pods).await else {
        return Vec::new();
    };
    let is_its = |pod: &Value| {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        if key.kind == "Pod" {
            return name == key.name;
        }
        let owners = pod["metadata"]["ownerReferences"].as_array();
        let mut owners = owners.map(Vec::as_slice).unwrap_or_default().iter();
        owners.any(|owner| {
            let owner_name = owner["name"].as_str().unwrap_or_default();
            (owner["kind"] == key.kind.as_str() && owner_name == key.name)
                || (key.kind == "Deployment"
                    && owner["kind"] == "ReplicaSet"
                    && owner_name.starts_with(&format!("{}-", key.name)))
        })
    };
    list.items.into_iter().filter(is_its).collect()
}

async fn logs(client: &Client, pod: &Value, text: &mut String) {
    let key = Key::of(pod);
    let namespace = key.namespace.as_deref().unwrap_or_default();
    let lists = ["initContainerStatuses", "containerStatuses"];
    let statuses = lists
        .iter()
        .filter_map(|list| pod["status"][list].as_array());
    let statuses: Vec<&Value> = statuses.flatten().collect();
    for status in statuses {
        let container = status["name"].as_str().unwrap_or_default();
        let has_former = status["lastState"]["terminated"].is_object();
        for previous in [true, false] {
            if previous && !has_former {
                continue;
            }
            let wanted = Wanted {
                container: Some(container.to_owned()),
                tail: Some(LOG_LINES),
                previous,
                ..Wanted::default()
            };
            // A container that has not started has no log.
            let Ok(log) = log::read(client, namespace, &key.name, &wanted).await else {
                continue;
            };
            if !log.is_empty() {
                let life = if previous { ", its life before" } else { "" };
                let _ = writeln!(text, "## log of {}/{container}{life}\n{log}", key.name);
            }
        }
    }
}
