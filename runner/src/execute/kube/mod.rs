//! `get`: from a step's keys and target to what [`crate::action::kube`] does.
//!
//! The bridge between the engine and the client for Kubernetes; the order of things is the engine's.

use std::sync::Arc;
use std::time::Instant;

use runbook::model::Target;
use runbook::read::Args;
use runbook_k8s::wait::Wish;

use super::context::Cx;
use super::job::Job;
use super::judge::ended;
use super::outcome::Outcome;
use crate::action::kube::look::{self, Which};
use crate::action::{Ended, Failure, Report, kube};
use crate::world::Cluster;

type Read<T> = Result<T, Box<Outcome>>;

/// Whether an action does something with a cluster, or looks at it.
pub(super) fn is_act(action: &str) -> bool {
    matches!(action, "get")
}

/// Executes `get`.
///
/// # Errors
///
/// A value that is not what its key wants; no cluster to ask.
pub(super) async fn perform(cx: &Cx, job: &Job<'_>, deadline: Instant) -> Read<Report> {
    let rendered = job.rendered(cx)?;
    let args = Args::new(job.action, &rendered).map_err(|error| cx.read(&error))?;
    let cluster = cluster(cx, job, deadline).await?;
    let which = which(cx, &args)?;
    let found = async {
        let query = which.query(&cluster.client).await?;
        cluster.client.get(&query).await
    };
    Ok(
        match tokio::time::timeout_at(deadline.into(), found).await {
            Ok(Ok(value)) => Report {
                fields: look::fields(value, Wish::default()),
                ..Report::of(Ended::Done)
            },
            Ok(Err(error)) => kube::ended(&error),
            Err(_) => Report::of(Ended::TimedOut(format!(
                "`cluster/{}` gave no answer in time",
                cluster.name
            ))),
        },
    )
}

/// The cluster of a job.
async fn cluster(cx: &Cx, job: &Job<'_>, deadline: Instant) -> Read<Arc<Cluster>> {
    let Target::Cluster(name) = &job.target else {
        return Err(unavailable(Failure::new("it runs on a cluster only")));
    };
    let world = cx.world().await?;
    let opened = world.clusters().get(name);
    match tokio::time::timeout_at(deadline.into(), opened).await {
        Ok(opened) => opened.map_err(unavailable),
        Err(_) => Err(ended(Report::of(Ended::TimedOut(format!(
            "`cluster/{name}` gave no answer in time"
        ))))),
    }
}

fn which(cx: &Cx, args: &Args<'_>) -> Read<Which> {
    let text = |field: &str| args.opt_text(field).map_err(|error| cx.read(&error));
    Ok(Which {
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

fn unavailable(failure: Failure) -> Box<Outcome> {
    ended(Report::of(Ended::Unavailable(failure)))
}
