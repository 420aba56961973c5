//! `job`: a Job or a Pod runs to its end.
//!
//! In the lab a command that is not there is found out from the pod, and never counted as an end.

use std::collections::BTreeMap;
use std::time::Duration;

use runbook_k8s::job::{self, Finished};
use runbook_k8s::watched::Watched;
use runbook_k8s::{Client, Error, Key, Object, Query, Resource, change};
use serde_json::{Map, Value, json};

use super::owns;

/// How the lab's kubelet says that it cannot run a command, and why.
const LAB_LACKS: [&str; 2] = ["LabHasNoProgram", "LabHasNoIsolation"];
/// How long a former Job may take to go.
const REPLACE_DURATION_MAX: Duration = Duration::from_secs(60);
/// The longest name of a Job whose pods get names of their own.
const NAME_CHARS_MAX: usize = 50;

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    /// It came to its end.
    Finished(Box<Finished>),
    /// The lab does not have what it takes.
    Missing(String),
}

/// A Job made from an image and a command.
pub fn of_image(
    name: &str,
    image: &str,
    command: &[String],
    namespace: Option<&str>,
    node: Option<&str>,
) -> Object {
    let mut container = json!({"name": "job", "image": image});
    if !command.is_empty() {
        container["command"] = json!(command);
    }
    let mut pod = json!({"restartPolicy": "Never", "containers": [container]});
    if let Some(node) = node {
        pod["nodeSelector"] = json!({ "kubernetes.io/hostname": node });
    }
    let mut metadata = json!({"name": name});
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    Object::new(
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata,
        "spec": {"backoffLimit": 0, "template": {"spec": pod}}}),
    )
}

/// A name that nobody has: of the step, with something of this moment.
pub fn name_of(step: &str, unique: &str) -> String {
    let step: String = step.chars().take(NAME_CHARS_MAX).collect();
    format!("{}-{unique}", step.trim_end_matches('-'))
}

/// The key of what is run, and its kind.
///
/// # Errors
///
/// It is neither a Job nor a Pod; the server cannot be asked.
pub async fn query(
    client: &Client,
    object: &Object,
    namespace: Option<&str>,
) -> Result<Query, Error> {
    if !matches!(
        (object.api_version(), object.kind()),
        ("batch/v1", "Job") | ("v1", "Pod")
    ) {
        return Err(Error::Manifest {
            document: object.place.document,
            line: object.place.line,
            message: format!("a {} has no end: give a Job or a Pod", object.kind()),
        });
    }
    client.query_of(object, namespace).await
}

/// Deletes what an earlier run of the same step left, if it has ended and was made by this field manager.
///
/// # Errors
///
/// [`Error::Exists`] where somebody else's is there, or one that still runs.
pub async fn make_way(client: &Client, query: &Query, manager: &str) -> Result<(), Error> {
    let Some(key) = query.key() else {
        return Ok(());
    };
    let list = client.list(query).await?;
    let Some(live) = list.items.first() else {
        return Ok(());
    };
    let exists = |message: String| {
        Err(Error::Exists {
            what: key.to_string(),
            message,
        })
    };
    if !owns(live, manager) {
        return exists(format!("{key} is there already, and is not of this book"));
    }
    if !has_ended(live) {
        return exists(format!("{key} of an earlier run still runs"));
    }
    let uid = live["metadata"]["uid"].as_str().unwrap_or_default();
    change::remove(client, &query.resource, &key, uid, REPLACE_DURATION_MAX).await
}

fn has_ended(object: &Value) -> bool {
    if object["kind"] == "Pod" {
        return matches!(
            object["status"]["phase"].as_str(),
            Some("Succeeded" | "Failed")
        );
    }
    ["Complete", "Failed"].iter().any(|kind| {
        runbook_k8s::kstatus::condition(object, kind).is_some_and(|one| one.status == "True")
    })
}

/// Runs it to its end; `in_lab` looks for commands that the lab does not have.
///
/// # Errors
///
/// As [`job::run`].
pub async fn run(
    client: &Client,
    object: &Object,
    query: &Query,
    manager: &str,
    limit: Duration,
    in_lab: bool,
) -> Result<Ended, Error> {
    let namespace = query.namespace.as_deref();
    let finished = job::run(client, object, namespace, manager, limit);
    if !in_lab {
        return finished
            .await
            .map(|finished| Ended::Finished(Box::new(finished)));
    }
    if let Some(reason) = has_no_command(object) {
        return Ok(Ended::Missing(reason));
    }
    let keys: Vec<Key> = query.key().into_iter().collect();
    tokio::select! {
        finished = finished => finished.map(|finished| Ended::Finished(Box::new(finished))),
        missing = lacking(client, &keys) => Ok(Ended::Missing(missing)),
    }
}

/// In the lab an image is a record: what it runs by itself is not there.
fn has_no_command(object: &Object) -> Option<String> {
    let value = &object.value;
    let spec = value
        .pointer("/spec/template/spec")
        .unwrap_or(&value["spec"]);
    let containers = spec["containers"].as_array()?;
    let bare = containers
        .iter()
        .find(|one| one["command"].as_array().is_none_or(Vec::is_empty))?;
    let image = bare["image"].as_str().unwrap_or_default();
    Some(format!(
        "the lab does not have what image `{image}` runs: only a `command` can run there"
    ))
}

/// Waits until a pod of one of these objects says that the lab cannot run its command; for ever, where none does.
pub async fn lacking(client: &Client, keys: &[Key]) -> String {
    let pods = Resource::pod();
    let namespaces: BTreeMap<&str, ()> = keys
        .iter()
        .filter_map(|key| Some((key.namespace.as_deref()?, ())))
        .collect();
    let queries: Vec<Query> = namespaces
        .keys()
        .map(|namespace| Query::all(&pods, Some(namespace)))
        .collect();
    if queries.is_empty() {
        return std::future::pending().await;
    }
    let mut watched = Watched::start(client, &queries);
    loop {
        let found = watched.objects().iter().find_map(|(pod, object)| {
            keys.iter()
                .any(|key| is_of(pod, key))
                .then(|| said(object))
                .flatten()
        });
        if let Some(said) = found {
            return said;
        }
        // Whoever waits for the objects themselves tells what is wrong.
        if watched.next().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Whether a pod is the object itself, or is named after it.
fn is_of(pod: &Key, owner: &Key) -> bool {
    pod.namespace == owner.namespace
        && (pod.name == owner.name || pod.name.starts_with(&format!("{}-", owner.name)))
}

/// What the lab's kubelet says of a pod whose command it does not have.
fn said(pod: &Value) -> Option<String> {
    let statuses = ["initContainerStatuses", "containerStatuses"]
        .iter()
        .filter_map(|list| pod["status"][list].as_array())
        .flatten();
    let mut waiting = statuses.filter_map(|one| one["state"]["waiting"].as_object());
    let lacks = |waiting: &&Map<String, Value>| {
        let reason = waiting.get("reason").and_then(Value::as_str);
        reason.is_some_and(|reason| LAB_LACKS.contains(&reason))
    };
    let message = waiting.find(lacks)?.get("message")?.as_str()?;
    Some(message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_labs_own_word_says_that_a_command_is_not_there() {
        let pod = |reason: &str| json!({"status": {"containerStatuses": [{"state": {"waiting": {"reason": reason, "message": "the lab has no `a`"}}}]}});
        assert_eq!(
            said(&pod("LabHasNoProgram")).as_deref(),
            Some("the lab has no `a`")
        );
        assert_eq!(said(&pod("ImagePullBackOff")), None);
        assert_eq!(said(&json!({"status": {"phase": "Running"}})), None);
    }

    #[test]
    fn pods_are_named_after_what_made_them() {
        let key = |name: &str| Key::new("", "Pod", Some("a"), name);
        assert!(is_of(&key("web-1"), &key("web")) && is_of(&key("web"), &key("web")));
        assert!(!is_of(&key("website"), &key("web")));
    }

    #[test]
    fn names_stay_names() {
        assert_eq!(name_of("smoke", "1a2b"), "smoke-1a2b");
        let long = name_of(&"a-".repeat(40), "1a2b");
        assert!(long.len() <= 63 && !long.contains("--"), "{long}");
    }
}
