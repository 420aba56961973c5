//! A Job or a Pod run to its end: whether it succeeded, its exit code, its log.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::client::Client;
use crate::error::{Error, seconds};
use crate::get::Query;
use crate::kstatus::{self, State};
use crate::log::{self, Wanted};
use crate::object::{Key, Object, set_metadata, strip, text};
use crate::request::Request;
use crate::standing::Standing;
use crate::wait::{self, Awaited, Verdict, Wish};
use crate::watched::Watched;

/// How long the log may take to be read after the end.
const LOG_TIMEOUT: Duration = Duration::from_secs(30);

/// How a Job or a Pod ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Whether it succeeded.
    pub succeeded: bool,
    /// `Complete`, `Failed`; of a Pod `Succeeded`, `Failed`.
    pub phase: String,
    /// The exit code of the pod that decided; none where no container has one.
    pub exit: Option<i32>,
    /// The log of that pod's containers; each line behind the container's name where there are several.
    pub log: String,
    /// Why, in words.
    pub message: String,
    /// The object at its end.
    pub object: Value,
}

/// Creates a Job or a Pod and waits for its end. A failed one is no error: see [`Finished::succeeded`].
///
/// # Errors
///
/// [`Error::Exists`] when one of this name is there; [`Error::Setting`] for another kind; [`Error::Deadline`] with events and logs;
/// [`Error::Deleted`]; whatever else the server refuses.
pub async fn run(
    client: &Client,
    object: &Object,
    namespace: Option<&str>,
    manager: &str,
    limit: Duration,
) -> Result<Finished, Error> {
    let deadline = Instant::now() + limit;
    let made = tokio::time::timeout_at(deadline, create(client, object, namespace, manager)).await;
    let created = made.map_err(|_| Error::Timeout {
        what: format!("the creation of {}", object.key()),
        seconds: seconds(limit),
    })??;
    finish_of(client, created, deadline, limit).await
}

/// Creates a Job or a Pod. Gives it as it is then.
///
/// # Errors
///
/// [`Error::Exists`] when one of this name is there; [`Error::Setting`] for another kind; whatever else the server refuses.
pub async fn create(
    client: &Client,
    object: &Object,
    namespace: Option<&str>,
    manager: &str,
) -> Result<Value, Error> {
    if !matches!(
        (object.api_version(), object.kind()),
        ("batch/v1", "Job") | ("v1", "Pod")
    ) {
        return Err(Error::Setting(format!(
            "a {} has no end: give a Job or a Pod",
            object.kind()
        )));
    }
    let resource = client.resource(object.api_version(), object.kind()).await?;
    let namespace = object
        .namespace()
        .or(namespace)
        .unwrap_or_else(|| client.default_namespace())
        .to_owned();
    let mut wished = object.value.clone();
    strip(&mut wished);
    set_metadata(&mut wished, "namespace", Value::from(namespace.as_str()));
    let request = Request::create(&resource, Some(&namespace), wished)
        .with("fieldManager", manager)
        .with("fieldValidation", "Strict");
    let mut created = client.send(&request).await?;
    // An answer may leave out what was asked for.
    created["apiVersion"] = Value::from(object.api_version());
    created["kind"] = Value::from(object.kind());
    Ok(created)
}

/// Waits for the end of what [`create`] made.
///
/// # Errors
///
/// As [`run`].
pub async fn end_of(client: &Client, created: Value, limit: Duration) -> Result<Finished, Error> {
    finish_of(client, created, Instant::now() + limit, limit).await
}

async fn finish_of(
    client: &Client,
    created: Value,
    deadline: Instant,
    limit: Duration,
) -> Result<Finished, Error> {
    let (version, kind) = (text(&created, "/apiVersion"), text(&created, "/kind"));
    let resource = client.resource(version, kind).await?;
    let query = Query::one(
        &resource,
        Some(text(&created, "/metadata/namespace")),
        text(&created, "/metadata/name"),
    );
    let start = crate::watch::Start {
        resource_version: crate::object::resource_version(&created).to_owned(),
        items: vec![created],
    };
    let watched = Watched::begin(client, vec![(query, start)]);
    finish(client, watched, deadline, limit).await
}

/// Waits for the end of a Job or a Pod that is there.
///
/// # Errors
///
/// As [`run`]; [`Error::NotFound`] when it is not there.
pub async fn follow(client: &Client, query: &Query, limit: Duration) -> Result<Finished, Error> {
    let deadline = Instant::now() + limit;
    let object = client
        .send(&Request::get(
            &query.resource,
            query.namespace.as_deref(),
            query.name.as_deref(),
        ))
        .await?;
    let start = crate::watch::Start {
        resource_version: crate::object::resource_version(&object).to_owned(),
        items: vec![object],
    };
    finish(
        client,
        Watched::begin(client, vec![(query.clone(), start)]),
        deadline,
        limit,
    )
    .await
}

async fn finish(
    client: &Client,
    mut watched: Watched,
    deadline: Instant,
    limit: Duration,
) -> Result<Finished, Error> {
    let keys: BTreeSet<Key> = watched.objects().keys().cloned().collect();
    let ended = wait::each(
        client,
        &mut watched,
        Awaited::named(keys),
        deadline,
        limit,
        |key, object| {
            let Some(object) = object else {
                return Verdict::Waits(Standing::of(key.clone(), "NotFound", "it is not there"));
            };
            if phase(object).is_some() {
                return Verdict::Holds;
            }
            Verdict::Waits(Standing::of_status(
                key.clone(),
                &Wish::default().status(object),
            ))
        },
    );
    let (key, object) = ended
        .await?
        .into_iter()
        .next()
        .ok_or_else(|| Error::Answer("the object is gone".to_owned()))?;
    let phase = phase(&object).unwrap_or_default().to_owned();
    let status = Wish::default().status(&object);
    let succeeded = status.state == State::Current;
    let read = tokio::time::timeout(LOG_TIMEOUT, output(client, &key, succeeded)).await;
    let (exit, log) = match read {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => (None, format!("(the log cannot be read: {error})")),
        Err(_) => (None, "(the log could not be read in time)".to_owned()),
    };
    Ok(Finished {
        succeeded,
        phase,
        exit,
        log,
        message: status.message,
        object,
    })
}

/// How it ended; none while it has not. A suspended Job has not.
fn phase(object: &Value) -> Option<&'static str> {
    if text(object, "/kind") == "Pod" {
        return match text(object, "/status/phase") {
            "Succeeded" => Some("Succeeded"),
            "Failed" => Some("Failed"),
            _ => None,
        };
    }
    let holds = |kind: &str| {
        kstatus::condition(object, kind).is_some_and(|condition| condition.status == "True")
    };
    if holds("Complete") {
        return Some("Complete");
    }
    holds("Failed").then_some("Failed")
}

/// Exit code and log of the pod that decided.
async fn output(
    client: &Client,
    key: &Key,
    succeeded: bool,
) -> Result<(Option<i32>, String), Error> {
    let pods = crate::evidence::pods_of(client, key).await?;
    let wanted = if succeeded { "Succeeded" } else { "Failed" };
    let decided = pods
        .iter()
        .find(|pod| text(pod, "/status/phase") == wanted)
        .or(pods.first());
    let Some(pod) = decided else {
        return Ok((None, "(its pod is gone)".to_owned()));
    };
    let (namespace, name) = (
        text(pod, "/metadata/namespace"),
        text(pod, "/metadata/name"),
    );
    let names: Vec<&str> = containers(pod).map(|one| text(one, "/name")).collect();
    let mut log = String::new();
    for container in &names {
        let wanted = Wanted {
            container: Some((*container).to_owned()),
            ..Wanted::default()
        };
        let text = match log::read(client, namespace, name, &wanted).await {
            Ok(text) => text,
            Err(error) => format!("(the log of {container} cannot be read: {error})\n"),
        };
        if names.len() == 1 {
            log = text;
        } else {
            text.lines()
                .for_each(|line| log.push_str(&format!("{container}: {line}\n")));
        }
    }
    Ok((exit_code(pod), log))
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let list = pod
        .pointer("/status/containerStatuses")
        .and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default().iter()
}

/// The first exit code that is not zero, of init containers too; else zero, where a container has ended.
fn exit_code(pod: &Value) -> Option<i32> {
    let init = pod
        .pointer("/status/initContainerStatuses")
        .and_then(Value::as_array);
    let init = init.map(Vec::as_slice).unwrap_or_default().iter();
    let codes = init
        .chain(containers(pod))
        .filter_map(|one| one.pointer("/state/terminated/exitCode")?.as_i64());
    let codes: Vec<i32> = codes.filter_map(|code| i32::try_from(code).ok()).collect();
    codes
        .iter()
        .find(|&&code| code != 0)
        .or(codes.first())
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_has_ended_when_it_is_complete_or_failed_not_before() {
        let job = |kind: &str| json!({"kind": "Job", "status": {"conditions": [{"type": kind, "status": "True"}]}});
        assert_eq!(phase(&job("Complete")), Some("Complete"));
        assert_eq!(phase(&job("Failed")), Some("Failed"));
        for kind in ["FailureTarget", "SuccessCriteriaMet", "Suspended"] {
            assert_eq!(phase(&job(kind)), None, "{kind}");
        }
        assert_eq!(
            phase(&json!({"kind": "Pod", "status": {"phase": "Running"}})),
            None
        );
        assert_eq!(
            phase(&json!({"kind": "Pod", "status": {"phase": "Failed"}})),
            Some("Failed")
        );
    }

    #[test]
    fn the_exit_code_is_the_first_that_is_not_zero() {
        let ended = |code: i64| json!({"name": "a", "state": {"terminated": {"exitCode": code}}});
        let pod = |init: Value, main: Value| json!({"status": {"initContainerStatuses": init, "containerStatuses": main}});
        assert_eq!(
            exit_code(&pod(json!([ended(0)]), json!([ended(0), ended(7)]))),
            Some(7)
        );
        assert_eq!(
            exit_code(&pod(
                json!([ended(3)]),
                json!([{"name": "a", "state": {"waiting": {}}}])
            )),
            Some(3)
        );
        assert_eq!(exit_code(&pod(json!([]), json!([ended(0)]))), Some(0));
        assert_eq!(exit_code(&pod(json!([]), json!([]))), None);
    }
}
