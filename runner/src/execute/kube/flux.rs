//! `flux`: which objects are meant, and the actions that do or look: `reconcile`, `ready`.

use std::time::Instant;

use runbook::read::Args;
use runbook_k8s::flux::{self, Request};
use runbook_k8s::wait::Wish as Readiness;
use runbook_k8s::{Client, Error, Query};

use super::super::context::Cx;
use super::super::job::{Job, left};
use super::super::judge::Clock;
use super::super::outcome::Outcome;
use super::wait::Awaited;
use super::{Read, above, failed, locks, refused, silent};
use crate::action::kube::flux::Wish;
use crate::world::Cluster;

/// Where Flux is, unless a step says otherwise.
const NAMESPACE: &str = "flux-system";
/// All objects of Flux in the namespace.
const ALL: &str = "all";

/// The wish of `suspend` or `resume`.
pub(super) async fn wish(cx: &Cx, args: &Args<'_>, cluster: &Cluster) -> Read<Wish> {
    let suspended = args.has("suspend");
    let field = if suspended { "suspend" } else { "resume" };
    Ok(Wish {
        queries: queries(cx, args, cluster, field).await?,
        suspended,
    })
}

async fn queries(cx: &Cx, args: &Args<'_>, cluster: &Cluster, field: &str) -> Read<Vec<Query>> {
    let named = args.list(field).map_err(|error| cx.read(&error))?;
    let namespace = args
        .opt_text("namespace")
        .map_err(|error| cx.read(&error))?;
    let namespace = namespace.as_deref().unwrap_or(NAMESPACE);
    if named.is_empty() {
        return Err(refused(
            format!("`{field}` names nothing"),
            "write `KIND/NAME`",
        ));
    }
    let found = found(&cluster.client, &named, namespace).await;
    let queries = match found {
        Ok(queries) => queries,
        Err(error) => {
            return Err(match above::forgives(cx, cluster, &error, &[]) {
                Some(skipped) => skipped,
                None => failed(cx, cluster, &error).await,
            });
        }
    };
    if queries.is_empty() {
        return Err(Box::new(Outcome::failed(format!(
            "there is nothing of Flux in `{namespace}`"
        ))));
    }
    Ok(queries)
}

async fn found(client: &Client, named: &[String], namespace: &str) -> Result<Vec<Query>, Error> {
    if named == [ALL] {
        return flux::all(client, namespace).await;
    }
    let mut queries = Vec::new();
    for one in named {
        queries.push(flux::object(client, one, namespace).await?);
    }
    Ok(queries)
}

/// Reconciles, or waits until it is ready, and judges what came of it.
pub(super) async fn judged(
    cx: &Cx,
    job: &Job<'_>,
    args: &Args<'_>,
    cluster: &Cluster,
    clock: Clock,
    deadline: Instant,
) -> Result<Outcome, Box<Outcome>> {
    let reconciles = args.has("reconcile");
    let field = if reconciles { "reconcile" } else { "ready" };
    let asked = queries(cx, args, cluster, field);
    let asked = tokio::time::timeout_at(deadline.into(), asked).await;
    let queries = asked.map_err(|_| silent(&cluster.name))??;
    if let Some(skipped) = above::would_make(cx, cluster, &queries) {
        return Err(skipped);
    }
    let keys: Vec<_> = queries.iter().filter_map(Query::key).collect();
    let _locks = match reconciles {
        true => Some(cx.run.locks.hold_all(locks(cluster, keys.iter())).await),
        false => None,
    };
    let awaited = Awaited {
        cx,
        job,
        cluster,
        clock,
        deadline,
        wish: Readiness::default(),
        flux: true,
        keys: Some(keys),
    };
    let client = &cluster.client;
    let done = if reconciles {
        let request = Request {
            with_source: args
                .bool("with-source", true)
                .map_err(|error| cx.read(&error))?,
            ..Request::default()
        };
        let mut objects = Vec::new();
        let mut failure = None;
        for query in &queries {
            match flux::reconcile(client, query, request, left(deadline)).await {
                Ok(object) => objects.push(object),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        failure.map_or(Ok(objects), Err)
    } else {
        flux::ready(client, &queries, left(deadline)).await
    };
    match done {
        Ok(objects) => {
            let outcome = awaited.judge(objects)?;
            if outcome.is_passed() || outcome.final_ {
                return Ok(outcome);
            }
            awaited.again(&queries, outcome).await
        }
        Err(error) => {
            let mut now = Vec::new();
            for query in &queries {
                now.extend(client.get(query).await.ok());
            }
            // What is expected is told with how it is, whatever the end was.
            let last = if now.is_empty() || job.expect.is_empty() {
                Outcome::passed()
            } else {
                awaited.judge(now)?
            };
            Ok(awaited.failed(&error, last).await)
        }
    }
}
