//! Cluster actions: from a step's keys and target to what [`crate::action::kube`] does, and from what came of it to an outcome.
//!
//! The bridge between the engine and the client for Kubernetes; the order of things is the engine's. Expectations of `apply`,
//! `ready` and `flux` are awaited here, by watch; those of `get` and `job` are looked at once.

mod above;
mod flux;
mod former;
mod job;
mod manifest;
mod ready;
mod wait;
mod wish;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use runbook::model::Target;
use runbook::node::Node;
use runbook::read::Args;
use runbook::spec::{ActionKind, ActionSpec};
use runbook_k8s::wait::Wish as Readiness;
use runbook_k8s::{Error, ErrorKind, Key, Query};

use super::context::Cx;
use super::job::Job;
use super::judge::{Clock, ended, judge};
use super::outcome::Outcome;
use super::{output, pve};
use crate::action::kube::{self, evidence, look};
use crate::action::{Ended, Failure, Report};
use crate::process::Cancel;
use crate::world::Cluster;

pub(super) use above::{Above, would_make_pod};
pub(super) use former::{Former, restore};
pub(super) use wait::judged as judged_state;
pub(super) use wish::{Found, Wish};

type Read<T> = Result<T, Box<Outcome>>;
/// Boxed: what waits for a cluster is large, and is never what a step without one pays for.
pub(super) type Later<'a, T> = Pin<Box<dyn Future<Output = Read<T>> + Send + 'a>>;

/// Whether an action describes a state of a cluster.
pub(super) fn is_state(action: &ActionSpec, args: &Node) -> bool {
    match action.name {
        "apply" | "absent" => true,
        "flux" => (action.kind)(args) == ActionKind::Desired,
        _ => false,
    }
}

/// Whether an action does something with a cluster, or looks at it.
pub(super) fn is_act(action: &ActionSpec, args: &Node) -> bool {
    matches!(action.name, "get" | "ready" | "job")
        || (action.name == "flux" && !is_state(action, args))
}

/// Whether an action tells by itself how it is taken back.
pub(super) fn registers(action: &ActionSpec) -> bool {
    action.name == "job"
}

/// Executes `get`, `ready`, `job` or `flux`, and judges what came of it.
///
/// # Errors
///
/// A value that is not what its key wants; no cluster to ask.
pub(super) fn judged<'a>(
    cx: &'a Cx,
    job: &'a Job<'_>,
    clock: Clock,
    deadline: Instant,
) -> Later<'a, Outcome> {
    Box::pin(judged_at_last(cx, job, clock, deadline))
}

async fn judged_at_last(
    cx: &Cx,
    job: &Job<'_>,
    clock: Clock,
    deadline: Instant,
) -> Result<Outcome, Box<Outcome>> {
    let rendered = manifest::rendered(cx, job)?;
    let args = Args::new(job.action, &rendered).map_err(|error| cx.read(&error))?;
    let cluster = cluster(cx, job, deadline).await?;
    let work: Later<'_, Outcome> = match job.action.name {
        "get" => Box::pin(get(cx, job, &args, &cluster, clock, deadline)),
        "ready" => Box::pin(ready::judged(cx, job, &args, &cluster, clock, deadline)),
        "job" => {
            // It obeys a stop by itself: what it has made may be to be deleted then.
            let work = Box::pin(job::judged(cx, job, &args, &cluster, clock, deadline));
            return work.await;
        }
        _ => Box::pin(flux::judged(cx, job, &args, &cluster, clock, deadline)),
    };
    match unless_stopped(&cx.cancel, work).await? {
        // It was answered, with no: in a condition that means that it does not hold.
        Err(outcome) if outcome.absent => Ok(*outcome),
        result => result,
    }
}

async fn get(
    cx: &Cx,
    job: &Job<'_>,
    args: &Args<'_>,
    cluster: &Cluster,
    clock: Clock,
    deadline: Instant,
) -> Result<Outcome, Box<Outcome>> {
    let which = which(cx, args)?;
    let asked = async {
        let query = which
            .query(&cluster.client)
            .await
            .map_err(|error| (error, None))?;
        let found = cluster.client.get(&query).await;
        found
            .map(|value| (value, query.clone()))
            .map_err(|error| (error, Some(query)))
    };
    let (value, query) = match tokio::time::timeout_at(deadline.into(), asked).await {
        Ok(Ok(found)) => found,
        Ok(Err((error, query))) => {
            let queries: Vec<Query> = query.into_iter().collect();
            return match above::forgives(cx, cluster, &error, &queries) {
                Some(skipped) => Err(skipped),
                None => Err(failed(cx, cluster, &error).await),
            };
        }
        Err(_) => return Err(silent(&cluster.name)),
    };
    let hidden = look::held(&value);
    let report = Report {
        fields: look::fields(value, Readiness::default()),
        hidden,
        ..Report::of(Ended::Done)
    };
    let outcome = judge(cx, job, report, clock)?;
    // What a selector finds is not what it will be once the steps above have made theirs.
    if !outcome.is_passed()
        && let Some(skipped) = above::would_make(cx, cluster, std::slice::from_ref(&query))
    {
        return Err(skipped);
    }
    Ok(outcome)
}

/// The cluster of a job.
async fn cluster(cx: &Cx, job: &Job<'_>, deadline: Instant) -> Read<Arc<Cluster>> {
    let Target::Cluster(name) = &job.target else {
        return Err(unavailable(Failure::new("it runs on a cluster only")));
    };
    open(cx, name, deadline).await
}

async fn open(cx: &Cx, name: &str, deadline: Instant) -> Read<Arc<Cluster>> {
    let world = cx.world().await?;
    let opened = world.clusters().get(name);
    match tokio::time::timeout_at(deadline.into(), opened).await {
        Ok(opened) => opened.map_err(unavailable),
        Err(_) => Err(unavailable(Failure::new(format!(
            "`cluster/{name}` gave no answer in time"
        )))),
    }
}

fn which(cx: &Cx, args: &Args<'_>) -> Read<look::Which> {
    let text = |field: &str| args.opt_text(field).map_err(|error| cx.read(&error));
    Ok(look::Which {
        kind: args.text("kind").map_err(|error| cx.read(&error))?,
        api: text("api")?,
        name: text("name")?,
        labels: text("selector")?,
        fields: text("field-selector")?,
        namespace: text("namespace")?,
        everywhere: args
            .bool("all-namespaces", false)
            .map_err(|error| cx.read(&error))?,
    })
}

/// Who owns the fields that this book applies.
fn manager(cx: &Cx) -> String {
    pve::tag_of(cx)
}

/// What nobody else may touch while a step touches these objects: their namespaces, and what belongs to the whole cluster.
fn locks<'a>(cluster: &Cluster, keys: impl Iterator<Item = &'a Key>) -> Vec<String> {
    let name = &cluster.name;
    let lock = |key: &Key| match (&key.namespace, key.kind.as_str()) {
        (Some(namespace), _) => format!("cluster/{name} namespace {namespace}"),
        (None, "Namespace") => format!("cluster/{name} namespace {}", key.name),
        (None, _) => format!("cluster/{name} {key}"),
    };
    keys.map(lock).collect()
}

/// Does it unless the run is stopped before.
async fn unless_stopped<T>(cancel: &Cancel, work: impl Future<Output = T>) -> Read<T> {
    tokio::select! {
        biased;
        () = cancel.stopped() => Err(Box::new(Outcome::aborted())),
        done = work => Ok(done),
    }
}

/// The outcome of a request that came to nothing, with what is to be found about the objects it is about.
async fn failed(cx: &Cx, cluster: &Cluster, error: &Error) -> Box<Outcome> {
    let mut outcome = ended(kube::ended(error));
    outcome.hint = outcome.hint.or(error.hint());
    outcome.absent = matches!(error.kind(), ErrorKind::Absent | ErrorKind::Refused);
    attach(cx, cluster, &kube::about(error), &mut outcome).await;
    outcome
}

/// Keeps descriptions, events and logs of objects beside the outcome.
async fn attach(cx: &Cx, cluster: &Cluster, keys: &[Key], outcome: &mut Outcome) {
    if keys.is_empty() || cx.run.request.directory.is_none() {
        return;
    }
    let text = evidence::gather(&cluster.client, keys).await;
    if !text.is_empty() {
        output::keep_text(cx, outcome, &cx.artifact_name("evidence"), &text);
    }
}

fn silent(name: &str) -> Box<Outcome> {
    ended(Report::of(Ended::TimedOut(format!(
        "`cluster/{name}` gave no answer in time"
    ))))
}

fn unavailable(failure: Failure) -> Box<Outcome> {
    ended(Report::of(Ended::Unavailable(failure)))
}

/// A failure that trying again does not mend.
fn refused(message: impl Into<String>, hint: impl Into<String>) -> Box<Outcome> {
    Box::new(Outcome::wrong(Failure::new(message).hint(Some(hint))))
}
