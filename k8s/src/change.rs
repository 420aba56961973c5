//! Changes to an object that is there: a patch, a deletion that is waited for.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::Client;
use crate::error::{Error, seconds};
use crate::get::{Query, without_managed_fields};
use crate::kind::Resource;
use crate::kstatus;
use crate::object::{Key, text};
use crate::request::{Content, Request};
use crate::watched::{Seen, Watched};

/// How a deletion treats what an object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Propagation {
    /// The object is gone when what it owns is gone: a Deployment with its pods.
    #[default]
    Foreground,
    /// What it owns goes later.
    Background,
    /// What it owns stays.
    Orphan,
}

impl Propagation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Foreground => "Foreground",
            Self::Background => "Background",
            Self::Orphan => "Orphan",
        }
    }
}

/// Changes an object that is there (merge patch or JSON patch), as a field manager; with `dry_run` only says what would be.
///
/// # Errors
///
/// [`Error::NotFound`] when it is not there; whatever else the server refuses.
pub async fn patch(
    client: &Client,
    query: &Query,
    content: Content,
    body: &Value,
    manager: &str,
    dry_run: bool,
) -> Result<Value, Error> {
    let Some(name) = query.name.as_deref() else {
        return Err(Error::Setting(
            "a patch is for one object: give its name".to_owned(),
        ));
    };
    if content == Content::JsonPatch && !body.is_array() {
        return Err(Error::Setting(
            "a JSON patch is a list of operations".to_owned(),
        ));
    }
    let request = Request::patch(
        &query.resource,
        query.namespace.as_deref(),
        name,
        content,
        body.clone(),
    )
    .with("fieldManager", manager)
    .with("fieldValidation", "Strict")
    .maybe("dryRun", dry_run.then_some("All"));
    let mut object = client.send(&request).await?;
    without_managed_fields(&mut object);
    Ok(object)
}

/// Deletes one object; gives how it was last, or none where it was not there. A `uid` guards against another object of this name.
///
/// # Errors
///
/// [`Error::Stale`] when the object has another uid; whatever else the server refuses.
pub async fn delete(
    client: &Client,
    resource: &Resource,
    key: &Key,
    uid: Option<&str>,
    propagation: Propagation,
) -> Result<Option<Value>, Error> {
    let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation.as_str()});
    if let Some(uid) = uid {
        options["preconditions"] = json!({ "uid": uid });
    }
    let request = Request::delete(resource, key.namespace.as_deref(), &key.name, options);
    match client.send(&request).await {
        Ok(object) => Ok(Some(object)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Deletes everything that queries mean and waits until it is gone. Gives what was there, as it was.
///
/// An object that comes back with another uid while it is waited for is not deleted again, and counts as gone.
///
/// # Errors
///
/// [`Error::Stuck`] with the finalizers that hold an object; whatever else the server refuses.
pub async fn absent(
    client: &Client,
    queries: &[Query],
    propagation: Propagation,
    limit: Duration,
) -> Result<Vec<Value>, Error> {
    let deadline = Instant::now() + limit;
    let mut found = Vec::new();
    for query in queries {
        let list = match client.list(query).await {
            Ok(list) => list,
            // A kind that is not there has no objects.
            Err(Error::NoSuchKind { .. }) => continue,
            Err(error) => return Err(error),
        };
        found.push((query.clone(), list));
    }
    let mut before = Vec::new();
    let mut pending = Vec::new();
    let mut starts = Vec::new();
    for (query, list) in found {
        for object in &list.items {
            let key = Key::of(object);
            let uid = text(object, "/metadata/uid").to_owned();
            before.push(object.clone());
            match delete(client, &query.resource, &key, Some(&uid), propagation).await {
                // It was another's, or is gone.
                Ok(None) | Err(Error::Stale { .. }) => {}
                Ok(Some(_)) => pending.push((key, uid)),
                Err(error) => return Err(error),
            }
        }
        let start = crate::watch::Start {
            items: list.items,
            resource_version: list.resource_version,
        };
        starts.push((query, start));
    }
    gone(Watched::begin(client, starts), pending, deadline, limit).await?;
    before.iter_mut().for_each(without_managed_fields);
    Ok(before)
}

/// Deletes the very object that has a uid and waits until it is gone.
///
/// # Errors
///
/// As [`absent`]; [`Error::Stale`] where another has taken its name.
pub async fn remove(
    client: &Client,
    resource: &Resource,
    key: &Key,
    uid: &str,
    limit: Duration,
) -> Result<(), Error> {
    let deadline = Instant::now() + limit;
    if delete(client, resource, key, Some(uid), Propagation::Foreground)
        .await?
        .is_none()
    {
        return Ok(());
    }
    let query = Query::one(resource, key.namespace.as_deref(), &key.name);
    let pending = vec![(key.clone(), uid.to_owned())];
    gone(Watched::start(client, &[query]), pending, deadline, limit).await
}

/// Waits until objects with these uids are gone.
pub(crate) async fn gone(
    mut watched: Watched,
    mut pending: Vec<(Key, String)>,
    deadline: Instant,
    limit: Duration,
) -> Result<(), Error> {
    // What was not told yet is not gone.
    while !watched.is_listed() {
        let timeout = |_| Error::Timeout {
            what: "the list of what is to go".to_owned(),
            seconds: seconds(limit),
        };
        tokio::time::timeout_at(deadline, watched.next())
            .await
            .map_err(timeout)??;
    }
    loop {
        let is_there = |key: &Key, uid: &str| {
            watched
                .get(key)
                .is_some_and(|object| text(object, "/metadata/uid") == uid)
        };
        pending.retain(|(key, uid)| is_there(key, uid));
        if pending.is_empty() {
            return Ok(());
        }
        match tokio::time::timeout_at(deadline, watched.next()).await {
            Ok(Ok(Seen::Changed(_) | Seen::Deleted(_) | Seen::Listed)) => {}
            // Its CRD is gone, and it with it.
            Ok(Err(Error::NoSuchKind { .. })) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                let (key, _) = &pending[0];
                let object = watched.get(key).cloned().unwrap_or_default();
                return Err(stuck(
                    key,
                    &object,
                    pending.iter().map(|(key, _)| key),
                    limit,
                ));
            }
        }
    }
}

fn stuck<'a>(
    key: &Key,
    object: &Value,
    all: impl Iterator<Item = &'a Key>,
    limit: Duration,
) -> Error {
    let others: BTreeSet<String> = all
        .filter(|other| *other != key)
        .map(ToString::to_string)
        .collect();
    // A namespace says what is left in it, and whose finalizers hold that.
    let mut said: Vec<String> = kstatus::conditions(object)
        .filter(|condition| condition.status == "True" && condition.kind.starts_with("Namespace"))
        .map(|condition| condition.message)
        .collect();
    if !others.is_empty() {
        said.push(format!(
            "also {}",
            others.into_iter().collect::<Vec<_>>().join(", ")
        ));
    }
    Error::Stuck {
        what: key.to_string(),
        seconds: seconds(limit),
        finalizers: kstatus::finalizers(object),
        message: said.join("; "),
    }
}
