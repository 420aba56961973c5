//! What a change of a cluster is taken back from: in a line for people, as data for another process, and the taking back itself.
//!
//! Data has names and no values: what a Secret holds is in no journal.

use std::time::{Duration, Instant};

use runbook_k8s::apply::{Action, Applied};
use runbook_k8s::{Key, Query, Resource};
use serde_json::{Value, json};

use super::super::context::Cx;
use super::{locks, open};
use crate::action::kube::{apply, flux, job};
use crate::world::Cluster;

/// How long taking back one step may take at least.
const RESTORE_DURATION_MIN: Duration = Duration::from_secs(120);
/// How many objects a line for people names.
const NAMED_MAX: usize = 4;

/// What a change is taken back from.
#[derive(Debug, Clone)]
pub(in crate::execute) struct Former {
    /// The cluster.
    pub(super) cluster: String,
    pub(super) what: What,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Apply(Box<apply::Former>),
    /// Objects of Flux, and whether they were suspended.
    Flux(Vec<Query>, bool),
    /// A Job, and what is known of its creation.
    Job(Box<(Resource, Key, job::Made)>),
    /// Nothing takes it back.
    Nothing,
}

impl Former {
    /// One line for people.
    pub(in crate::execute) fn summary(&self) -> String {
        match &self.what {
            What::Apply(former) => {
                let done: Vec<&Applied> = former.done.iter().chain(&former.planned).collect();
                let of = |action: Action| {
                    let keys = done.iter().filter(|one| one.action == action);
                    keys.map(|one| one.key.to_string()).collect::<Vec<_>>()
                };
                let mut changed = of(Action::Change);
                changed.extend(
                    former
                        .patched
                        .iter()
                        .filter_map(|(query, ..)| Some(query.key()?.to_string())),
                );
                let parts = [
                    ("delete", of(Action::Create)),
                    ("put back", changed),
                    ("make again", of(Action::Prune)),
                ];
                let parts = parts.into_iter().filter(|(_, keys)| !keys.is_empty());
                let parts: Vec<String> = parts
                    .map(|(what, keys)| format!("{what} {}", named(&keys)))
                    .collect();
                parts.join("; ")
            }
            What::Flux(queries, suspended) => {
                let keys: Vec<String> = queries
                    .iter()
                    .filter_map(|query| Some(query.key()?.to_string()))
                    .collect();
                let what = if *suspended { "suspend" } else { "resume" };
                format!("{what} {}", named(&keys))
            }
            What::Job(job) => format!("delete {}", job.1),
            What::Nothing => "nothing takes a deletion back".to_owned(),
        }
    }

    /// What another process needs to do it.
    pub(in crate::execute) fn data(&self) -> Value {
        let cluster = &self.cluster;
        let named = |resource: &Resource, key: &Key| json!({"apiVersion": resource.api_version(), "kind": key.kind, "namespace": key.namespace, "name": key.name});
        match &self.what {
            What::Apply(former) => {
                let objects = former.done.iter().chain(&former.planned).map(|one| {
                    let mut object = named(&one.resource, &one.key);
                    object["was"] = match one.action {
                        Action::Create => json!("absent"),
                        Action::Prune => json!("there"),
                        Action::Change | Action::Same => json!("different"),
                    };
                    object
                });
                let objects: Vec<Value> = objects.collect();
                let patched = former.patched.iter().filter_map(|(query, ..)| {
                    let mut object = named(&query.resource, &query.key()?);
                    object["was"] = json!("different");
                    Some(object)
                });
                let objects: Vec<Value> = objects.into_iter().chain(patched).collect();
                json!({"action": "apply", "cluster": cluster, "manager": former.manager, "objects": objects})
            }
            What::Flux(queries, suspended) => {
                let objects = queries
                    .iter()
                    .filter_map(|query| Some(named(&query.resource, &query.key()?)));
                let objects: Vec<Value> = objects.collect();
                json!({"action": "flux", "cluster": cluster, "suspended": suspended, "objects": objects})
            }
            What::Job(job) => {
                let (resource, key, made) = &**job;
                let mut object = named(resource, key);
                object["uid"] = json!(made.uid());
                object["mark"] = json!(made.mark());
                json!({"action": "job", "cluster": cluster, "object": object})
            }
            What::Nothing => json!({"action": "absent", "cluster": cluster}),
        }
    }

    fn keys(&self) -> Vec<Key> {
        match &self.what {
            What::Apply(former) => {
                let done = former.done.iter().chain(&former.planned);
                let patched = former.patched.iter().filter_map(|(query, ..)| query.key());
                done.map(|one| one.key.clone()).chain(patched).collect()
            }
            What::Flux(queries, _) => queries.iter().filter_map(Query::key).collect(),
            What::Job(job) => vec![job.1.clone()],
            What::Nothing => Vec::new(),
        }
    }
}

fn named(keys: &[String]) -> String {
    let shown = &keys[..keys.len().min(NAMED_MAX)];
    match keys.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Takes a change back.
///
/// # Errors
///
/// Why it could not be, for people.
pub(in crate::execute) async fn restore(cx: &Cx, former: &Former) -> Result<(), String> {
    let limit = cx.timing.timeout.max(RESTORE_DURATION_MIN);
    let said = |outcome: Box<super::super::outcome::Outcome>| outcome.message.unwrap_or_default();
    let cluster = open(cx, &former.cluster, Instant::now() + limit)
        .await
        .map_err(said)?;
    let keys = former.keys();
    let _locks = cx.run.locks.hold_all(locks(&cluster, keys.iter())).await;
    let work = back(&cluster, &former.what, limit);
    match super::unless_stopped(&cx.cancel, work).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(match error.hint() {
            Some(hint) => format!("{error}; {hint}"),
            None => error.to_string(),
        }),
        Err(_) => Err("stopped".to_owned()),
    }
}

async fn back(cluster: &Cluster, what: &What, limit: Duration) -> Result<(), runbook_k8s::Error> {
    let client = &cluster.client;
    match what {
        What::Apply(former) => apply::restore(client, former, limit).await,
        What::Flux(queries, suspended) => flux::put_back(client, queries, *suspended).await,
        What::Job(job) => {
            let (resource, key, made) = &**job;
            made.remove(client, resource, key, limit).await
        }
        What::Nothing => Ok(()),
    }
}
