//! What the server would make of objects, asked by dry runs. Nothing is changed here.

use std::collections::HashSet;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::{AT_ONCE, Options, Planned, compare};
use crate::client::Client;
use crate::error::Error;
use crate::get::without_managed_fields;
use crate::object::resource_version;
use crate::request::{Content, Request};

/// How often an object is looked at again that changes while it is tried.
const MOVES_MAX: usize = 5;
/// Where new objects are tried whose own namespace is not there yet.
const TRIAL_NAMESPACE: &str = "default";
/// What is appended to their names there.
const TRIAL_SUFFIX: &str = "-runbook-trial";
/// How much of their names is kept there, in characters.
const TRIAL_NAME_CHARS: usize = 40;

/// Tries one object of each class; an object with an unusual name is a class of its own.
pub(super) async fn try_classes(
    client: &Client,
    objects: Vec<&Planned>,
    options: &Options,
    new_namespaces: &HashSet<String>,
) -> Result<(), Error> {
    let mut seen = HashSet::new();
    let mut tried = Vec::new();
    for planned in objects {
        if !compare::is_plain_name(&planned.key.name)
            || seen.insert(compare::class(&planned.wished))
        {
            tried.push(planned);
        }
    }
    let mut trials = Vec::new();
    for planned in tried {
        let namespace = planned.key.namespace.as_ref();
        let is_homeless = namespace.is_some_and(|namespace| new_namespaces.contains(namespace));
        trials.push(try_one(client, planned, options, is_homeless));
    }
    stream::iter(trials).buffered(AT_ONCE).try_collect().await
}

async fn try_one(
    client: &Client,
    planned: &Planned,
    options: &Options,
    is_homeless: bool,
) -> Result<(), Error> {
    if !is_homeless {
        return trial_if_possible(client, planned, options)
            .await
            .map(|_| ());
    }
    match trial_if_possible(client, &elsewhere(planned), options).await {
        // Only what is about the object itself is the same in another place.
        Err(error @ Error::Invalid { .. }) => Err(error),
        _ => Ok(()),
    }
}

/// The same object in a namespace that every cluster has, under a name that nobody has.
fn elsewhere(planned: &Planned) -> Planned {
    let mut planned = planned.clone();
    let name: String = planned.key.name.chars().take(TRIAL_NAME_CHARS).collect();
    let name = format!("{}{TRIAL_SUFFIX}", name.trim_end_matches(['-', '.']));
    crate::object::set_metadata(
        &mut planned.wished,
        "namespace",
        Value::from(TRIAL_NAMESPACE),
    );
    crate::object::set_metadata(&mut planned.wished, "name", Value::from(name.as_str()));
    planned.key.namespace = Some(TRIAL_NAMESPACE.to_owned());
    planned.key.name = name;
    planned
}

/// What the server would make of an object that is there.
pub(super) struct Tried {
    /// None where it cannot be tried.
    pub(super) result: Option<Value>,
    /// What belongs to others; the result is then what taking it over would make.
    pub(super) conflict: Option<Error>,
    /// How the object is that was tried, where it is not the one that was listed any more.
    pub(super) moved: Option<Value>,
}

/// Tries an object that is there. What its controllers wrote since it was listed is no difference of ours: the result is compared
/// with the very version that was tried.
pub(super) async fn trial_of_existing(
    client: &Client,
    planned: &Planned,
    options: &Options,
) -> Result<Tried, Error> {
    let mut tried = try_existing(client, planned, options).await?;
    let mut version = planned
        .before
        .as_ref()
        .map(resource_version)
        .unwrap_or_default()
        .to_owned();
    for _ in 0..MOVES_MAX {
        let Some(result) = &tried.result else { break };
        if ["", &version].contains(&resource_version(result)) {
            break;
        }
        let key = &planned.key;
        let live = Request::get(&planned.resource, key.namespace.as_deref(), Some(&key.name));
        let mut live = match client.send(&live).await {
            Ok(live) => live,
            Err(error) if error.is_absent() => break,
            Err(error) => return Err(error),
        };
        version = resource_version(&live).to_owned();
        without_managed_fields(&mut live);
        if resource_version(result) != version {
            tried = try_existing(client, planned, options).await?;
        }
        tried.moved = Some(live);
    }
    Ok(tried)
}

async fn try_existing(
    client: &Client,
    planned: &Planned,
    options: &Options,
) -> Result<Tried, Error> {
    match trial_if_possible(client, planned, options).await {
        Err(conflict @ Error::Conflict { .. }) if options.tell_conflicts => {
            let forced = Options {
                force: true,
                ..options.clone()
            };
            let result = trial_if_possible(client, planned, &forced).await?;
            Ok(Tried {
                result,
                conflict: Some(conflict),
                moved: None,
            })
        }
        result => result.map(|result| Tried {
            result,
            conflict: None,
            moved: None,
        }),
    }
}

/// What the server would make of it; none where an admission webhook with side effects refuses every dry run.
pub(super) async fn trial_if_possible(
    client: &Client,
    planned: &Planned,
    options: &Options,
) -> Result<Option<Value>, Error> {
    match trial(client, planned, options).await {
        Ok(result) => Ok(Some(result)),
        Err(Error::Invalid { message, .. }) if message.contains("does not support dry run") => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn trial(client: &Client, planned: &Planned, options: &Options) -> Result<Value, Error> {
    client
        .send(&apply_request(planned, options).with("dryRun", "All"))
        .await
}

pub(super) fn apply_request(planned: &Planned, options: &Options) -> Request {
    let (key, wished) = (&planned.key, planned.wished.clone());
    Request::patch(
        &planned.resource,
        key.namespace.as_deref(),
        &key.name,
        Content::Apply,
        wished,
    )
    .with("fieldManager", &options.manager)
    .with("force", options.force)
    .with("fieldValidation", "Strict")
}
