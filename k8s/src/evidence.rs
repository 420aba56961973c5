//! How an object stands that did not become what it should: what an error tells of it, with its events and the end of its logs.
//!
//! Looking for evidence is bounded in time and in size, and what cannot be found is left out: an error is not replaced by another.

use std::time::Duration;

use serde_json::Value;

use crate::client::Client;
use crate::error::{Error, seconds};
use crate::get::Query;
use crate::kind::Resource;
use crate::kstatus;
use crate::log::{self, Wanted};
use crate::object::{Key, text};
use crate::standing::{Evidence, Standing};

/// How long evidence is looked for.
const GATHER_TIMEOUT: Duration = Duration::from_secs(10);
/// Of how many objects events and logs are looked for.
const OBJECTS_MAX: usize = 5;
/// Of how many pods of an object logs are read.
const PODS_MAX: usize = 2;
/// How many events are told of an object.
const EVENTS_MAX: usize = 8;
/// How many lines are told of a container.
const LOG_LINES: u32 = 20;

/// The error of a wait that took too long.
pub(crate) async fn deadline(client: &Client, standings: Vec<Standing>, limit: Duration) -> Error {
    Error::Deadline {
        seconds: seconds(limit),
        pending: gather(client, standings).await,
    }
}

/// Looks for events and logs.
pub(crate) async fn gather(client: &Client, standings: Vec<Standing>) -> Vec<Evidence> {
    let bare = |standing| Evidence {
        standing,
        events: Vec::new(),
        log: Vec::new(),
    };
    let mut evidence: Vec<Evidence> = standings.into_iter().map(bare).collect();
    let looked = async {
        for one in evidence.iter_mut().take(OBJECTS_MAX) {
            let key = one.standing.key.clone();
            one.events = events(client, &key).await.unwrap_or_default();
            one.log = logs(client, &key).await.unwrap_or_default();
        }
    };
    let _ = tokio::time::timeout(GATHER_TIMEOUT, looked).await;
    evidence
}

/// The newest events about an object and about what it owns, oldest first: `Warning FailedCreate (ReplicaSet web-1): …`.
///
/// # Errors
///
/// Whatever went wrong.
pub async fn events(client: &Client, key: &Key) -> Result<Vec<String>, Error> {
    // Events about what belongs to the whole cluster stand in `default`.
    let namespace = key.namespace.as_deref().unwrap_or("default");
    let list = client
        .list(&Query::all(&Resource::event(), Some(namespace)))
        .await?;
    let mut found: Vec<(String, String)> = list
        .items
        .iter()
        .filter(|event| is_about(event, key))
        .map(shown)
        .collect();
    found.sort();
    let first = found.len().saturating_sub(EVENTS_MAX);
    Ok(found
        .into_iter()
        .skip(first)
        .map(|(_, text)| text)
        .collect())
}

/// Its own events, and those of what is named after it: the pods of a ReplicaSet of a Deployment.
fn is_about(event: &Value, key: &Key) -> bool {
    let (kind, name) = (
        text(event, "/involvedObject/kind"),
        text(event, "/involvedObject/name"),
    );
    if name == key.name && kind == key.kind {
        return true;
    }
    let owned = match key.kind.as_str() {
        "Deployment" => &["ReplicaSet", "Pod"][..],
        "CronJob" => &["Job", "Pod"],
        "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" => &["Pod", "PersistentVolumeClaim"],
        _ => &[],
    };
    // A claim of a StatefulSet is TEMPLATE-NAME-NUMBER, all others begin with the name.
    let is_named = name.starts_with(&format!("{}-", key.name));
    let is_claim = kind == "PersistentVolumeClaim" && name.contains(&format!("-{}-", key.name));
    owned.contains(&kind) && (is_named || is_claim)
}

fn shown(event: &Value) -> (String, String) {
    let times = [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ];
    let time = times
        .iter()
        .map(|pointer| text(event, pointer))
        .find(|time| !time.is_empty())
        .unwrap_or_default();
    let about = format!(
        "{} {}",
        text(event, "/involvedObject/kind"),
        text(event, "/involvedObject/name")
    );
    let count = event["count"].as_u64().filter(|&count| count > 1);
    let count = count.map_or_else(String::new, |count| format!(" ({count} times)"));
    let said = text(event, "/message").trim();
    let text = format!(
        "{} {} ({about}): {said}{count}",
        text(event, "/type"),
        text(event, "/reason")
    );
    (time.to_owned(), text)
}

/// The last lines of the containers that are not ready.
async fn logs(client: &Client, key: &Key) -> Result<Vec<String>, Error> {
    let pods = pods_of(client, key).await?;
    let mut lines = Vec::new();
    for pod in pods.iter().filter(|pod| !is_ready(pod)).take(PODS_MAX) {
        let (namespace, name) = (
            text(pod, "/metadata/namespace"),
            text(pod, "/metadata/name"),
        );
        for (container, previous) in log::started(pod) {
            let wanted = Wanted {
                container: Some(container.clone()),
                tail: Some(LOG_LINES),
                previous,
                ..Wanted::default()
            };
            // A container whose log is not there has said nothing.
            if let Ok(text) = log::read(client, namespace, name, &wanted).await {
                lines.extend(
                    text.lines()
                        .map(|line| format!("{name}/{container}: {line}")),
                );
            }
        }
    }
    Ok(lines)
}

fn is_ready(pod: &Value) -> bool {
    kstatus::condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
}

/// The pods of a workload, or the pod itself.
pub(crate) async fn pods_of(client: &Client, key: &Key) -> Result<Vec<Value>, Error> {
    let pods = Resource::pod();
    let namespace = key.namespace.as_deref();
    if key.group.is_empty() && key.kind == "Pod" {
        return Ok(vec![
            client.get(&Query::one(&pods, namespace, &key.name)).await?,
        ]);
    }
    let is_workload = matches!(
        (key.group.as_str(), key.kind.as_str()),
        (
            "apps",
            "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet"
        ) | ("batch", "Job")
    );
    let Some(resource) = Resource::known(&key.group, "v1", &key.kind).filter(|_| is_workload)
    else {
        return Ok(Vec::new());
    };
    let owner = client
        .get(&Query::one(&resource, namespace, &key.name))
        .await?;
    let Some(selector) = selector_text(&owner["spec"]["selector"]) else {
        return Ok(Vec::new());
    };
    let mut found = client
        .list(&Query::all(&pods, namespace).labelled(&selector))
        .await?
        .items;
    // The newest first: those of the rollout that is under way.
    found.sort_by(|one, other| {
        text(other, "/metadata/creationTimestamp").cmp(text(one, "/metadata/creationTimestamp"))
    });
    Ok(found)
}

/// A selector of a workload as the text of a query; none where it selects nothing.
pub(crate) fn selector_text(selector: &Value) -> Option<String> {
    let mut parts = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        parts.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    for one in selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let key = text(one, "/key");
        let values: Vec<&str> = one["values"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let values = values.join(",");
        match text(one, "/operator") {
            "In" => parts.push(format!("{key} in ({values})")),
            "NotIn" => parts.push(format!("{key} notin ({values})")),
            "Exists" => parts.push(key.to_owned()),
            "DoesNotExist" => parts.push(format!("!{key}")),
            _ => {}
        }
    }
    Some(parts.join(",")).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_of_what_it_owns_are_its_events() {
        let event =
            |kind: &str, name: &str| json!({"involvedObject": {"kind": kind, "name": name}});
        let web = Key::new("apps", "Deployment", Some("shop"), "web");
        assert!(is_about(&event("Deployment", "web"), &web));
        assert!(is_about(&event("ReplicaSet", "web-5d4f"), &web));
        assert!(is_about(&event("Pod", "web-5d4f-x"), &web));
        assert!(!is_about(&event("Pod", "website-5d4f-x"), &web));
        assert!(!is_about(&event("Service", "web-1"), &web));
        assert!(!is_about(&event("Service", "web"), &web));
    }

    #[test]
    fn selectors_become_texts() {
        let selector = json!({"matchLabels": {"app": "web"}, "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["a", "b"]}, {"key": "x", "operator": "DoesNotExist"}]});
        assert_eq!(
            selector_text(&selector).as_deref(),
            Some("app=web,tier in (a,b),!x")
        );
        assert_eq!(selector_text(&json!({})), None);
    }

    #[test]
    fn an_event_is_one_line_with_its_count() {
        let event = json!({"type": "Warning", "reason": "BackOff", "message": "Back-off pulling image\n", "count": 7, "lastTimestamp": "2026-11-30T11:00:00Z",
            "involvedObject": {"kind": "Pod", "name": "web-1"}});
        assert_eq!(
            shown(&event),
            (
                "2026-11-30T11:00:00Z".into(),
                "Warning BackOff (Pod web-1): Back-off pulling image (7 times)".into()
            )
        );
    }
}
