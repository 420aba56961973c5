//! `job`: a Job or a Pod runs to its end.
//!
//! Its creation is not interrupted: who stops a run would else not know what there is to delete.
//! In the lab a command that is not there is found out from the pod, and never counted as an end.

use std::collections::BTreeMap;
use std::time::Duration;

use runbook_k8s::job::{self, Finished};
use runbook_k8s::watched::Watched;
use runbook_k8s::{Client, Error, Key, Object, Query, Resource, change};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::owns;

/// How the lab's kubelet says that it cannot run a command, and why.
const LAB_LACKS: [&str; 2] = ["LabHasNoProgram", "LabHasNoIsolation"];
/// The label of a node that has its name.
const HOSTNAME: &str = "kubernetes.io/hostname";
/// How long is looked whether a node is there.
const NODE_DURATION_MAX: Duration = Duration::from_secs(5);
/// How long a former Job may take to go.
const REPLACE_DURATION_MAX: Duration = Duration::from_secs(60);
/// How long what is not kept may take to be deleted.
const DISCARD_DURATION_MAX: Duration = Duration::from_secs(5);
/// The annotation that tells which step of which run made it.
const MARK: &str = "runbook/made-by";
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

/// What is known of a Job's creation, from before it begins.
#[derive(Debug, Clone)]
pub struct Made {
    /// What it is marked with.
    mark: String,
    uid: watch::Receiver<Option<String>>,
}

/// Tells of a creation; whoever waits for it waits no more when this is dropped.
#[derive(Debug)]
pub struct Making(watch::Sender<Option<String>>);

impl Made {
    /// Of a creation that is to come.
    pub fn later(mark: String) -> (Making, Self) {
        let (sender, uid) = watch::channel(None);
        (Making(sender), Self { mark, uid })
    }

    /// What it is marked with.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// The `uid`, as soon as it is told.
    pub fn uid(&self) -> Option<String> {
        self.uid.borrow().clone()
    }

    /// Marks what is to be created; what is no map there is for the server to refuse.
    pub fn put_on(&self, object: &mut Object) {
        let annotations = &mut object.value["metadata"]["annotations"];
        if annotations.is_object() || annotations.is_null() {
            annotations[MARK] = Value::from(self.mark.as_str());
        }
    }

    /// Deletes what was made and waits until it is gone, with its pods. Another one of its name stays.
    ///
    /// # Errors
    ///
    /// As [`change::remove`].
    pub async fn remove(
        &self,
        client: &Client,
        resource: &Resource,
        key: &Key,
        limit: Duration,
    ) -> Result<(), Error> {
        let Some(uid) = self.known(client, resource, key, limit).await? else {
            return Ok(());
        };
        match change::remove(client, resource, key, &uid, limit).await {
            Err(Error::Stale { .. }) => Ok(()),
            result => result,
        }
    }

    /// Deletes what was made and does not wait: what it owns goes by itself. Another one of its name stays.
    ///
    /// # Errors
    ///
    /// As [`change::delete`].
    pub async fn discard(
        &self,
        client: &Client,
        resource: &Resource,
        key: &Key,
    ) -> Result<(), Error> {
        let limit = DISCARD_DURATION_MAX;
        let discarded = async {
            let Some(uid) = self.known(client, resource, key, limit).await? else {
                return Ok(());
            };
            let propagation = change::Propagation::Background;
            match change::delete(client, resource, key, Some(&uid), propagation).await {
                Err(Error::Stale { .. }) => Ok(()),
                result => result.map(|_| ()),
            }
        };
        let late = |_| Error::Timeout {
            what: format!("deleting {key}"),
            seconds: limit.as_secs(),
        };
        tokio::time::timeout(limit, discarded).await.map_err(late)?
    }

    /// The `uid` of what was made: told, or found by the mark.
    async fn known(
        &self,
        client: &Client,
        resource: &Resource,
        key: &Key,
        limit: Duration,
    ) -> Result<Option<String>, Error> {
        // A creation that is under way has its answer first.
        let mut told = self.uid.clone();
        let _ = tokio::time::timeout(limit, async {
            told.wait_for(Option::is_some).await.is_ok()
        })
        .await;
        match self.uid() {
            Some(uid) => Ok(Some(uid)),
            // It may have been made all the same.
            None => self.find(client, resource, key).await,
        }
    }

    /// The `uid` of the one of this name, where it has the mark.
    async fn find(
        &self,
        client: &Client,
        resource: &Resource,
        key: &Key,
    ) -> Result<Option<String>, Error> {
        let query = Query::one(resource, key.namespace.as_deref(), &key.name);
        let live = match client.get(&query).await {
            Ok(live) => live,
            Err(error) if error.is_absent() => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_it = live["metadata"]["annotations"][MARK] == self.mark.as_str();
        let uid = live["metadata"]["uid"].as_str().filter(|_| is_it);
        Ok(uid.map(str::to_owned))
    }
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
        pod["nodeSelector"] = json!({ HOSTNAME: node });
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

/// Whether a node is known not to be there; who may not see the nodes does not know.
pub async fn lacks_node(client: &Client, node: &str) -> bool {
    let looked = async {
        let resource = client.resource_called("nodes", None).await?;
        let mut query = Query::all(&resource, None);
        query.labels = Some(format!("{HOSTNAME}={node}"));
        client.list(&query).await
    };
    let found = tokio::time::timeout(NODE_DURATION_MAX, looked).await;
    matches!(found, Ok(Ok(list)) if list.items.is_empty())
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

/// Runs it to its end, and tells what was made; `in_lab` looks for commands that the lab does not have.
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
    making: Making,
) -> Result<Ended, Error> {
    if in_lab && let Some(reason) = has_no_command(object) {
        return Ok(Ended::Missing(reason));
    }
    let deadline = tokio::time::Instant::now() + limit;
    let finished = async {
        let created = create(client, object, query, manager, making);
        let created = tokio::time::timeout_at(deadline, created).await;
        let created = created.map_err(|_| Error::Timeout {
            what: format!("the creation of {}", object.key()),
            seconds: limit.as_secs(),
        })??;
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        job::end_of(client, created, left).await
    };
    let keys: Vec<Key> = query.key().into_iter().collect();
    tokio::select! {
        finished = finished => finished.map(|finished| Ended::Finished(Box::new(finished))),
        missing = lacking(client, &keys), if in_lab => Ok(Ended::Missing(missing)),
    }
}

/// Creates it in a task of its own: the request has its answer, and that is told, also when nobody waits for it any more.
async fn create(
    client: &Client,
    object: &Object,
    query: &Query,
    manager: &str,
    making: Making,
) -> Result<Value, Error> {
    let (client, object, manager) = (client.clone(), object.clone(), manager.to_owned());
    let namespace = query.namespace.clone();
    let task = tokio::spawn(async move {
        let created = job::create(&client, &object, namespace.as_deref(), &manager).await?;
        let uid = created["metadata"]["uid"].as_str().map(str::to_owned);
        making.0.send_replace(uid);
        Ok(created)
    });
    match task.await {
        Ok(created) => created,
        Err(error) => Err(Error::Answer(format!(
            "its creation was broken off: {error}"
        ))),
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
