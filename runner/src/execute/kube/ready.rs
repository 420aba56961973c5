//! `ready`: objects are ready; nothing found fails.

use std::time::Instant;

use runbook::read::Args;
use runbook_k8s::wait::{self, Wish as Readiness};
use runbook_k8s::{Key, Query};

use super::super::context::Cx;
use super::super::job::{Job, left};
use super::super::judge::Clock;
use super::super::outcome::Outcome;
use super::wait::Awaited;
use super::{above, failed, manifest, silent, which};
use crate::action::kube::job as kube_job;
use crate::world::Cluster;

/// Waits until the objects of a step are ready, and judges them.
pub(super) async fn judged(
    cx: &Cx,
    job: &Job<'_>,
    args: &Args<'_>,
    cluster: &Cluster,
    clock: Clock,
    deadline: Instant,
) -> Result<Outcome, Box<Outcome>> {
    let strict = args.bool("strict", true).map_err(|error| cx.read(&error))?;
    let asked = tokio::time::timeout_at(deadline.into(), queries(cx, job, args, cluster));
    let queries = asked.await.map_err(|_| silent(&cluster.name))??;
    if let Some(skipped) = above::would_make(cx, cluster, &queries) {
        return Err(skipped);
    }
    let named: Vec<Key> = queries.iter().filter_map(Query::key).collect();
    let awaited = Awaited {
        cx,
        job,
        cluster,
        clock,
        deadline,
        wish: Readiness {
            strict,
            ..Readiness::default()
        },
        flux: false,
        keys: (named.len() == queries.len()).then(|| named.clone()),
    };
    let ready = wait::ready(&cluster.client, &queries, awaited.wish, left(deadline));
    let lacking = async {
        if cx.is_lab() && !named.is_empty() {
            kube_job::lacking(&cluster.client, &named).await
        } else {
            std::future::pending().await
        }
    };
    let ready = tokio::select! {
        ready = ready => ready,
        reason = lacking => {
            return Ok(Outcome { missing: true, final_: true, ..Outcome::skipped(reason) });
        }
    };
    let mut objects = match ready {
        Ok(objects) => objects,
        Err(error) => {
            // Rows of nothing tell nothing: only the error does.
            return Err(match above::forgives(cx, cluster, &error, &queries) {
                Some(skipped) => skipped,
                None => failed(cx, cluster, &error).await,
            });
        }
    };
    objects
        .iter_mut()
        .for_each(runbook_k8s::without_managed_fields);
    let outcome = awaited.judge(objects)?;
    if outcome.is_passed() || outcome.final_ {
        return Ok(outcome);
    }
    awaited.again(&queries, outcome).await
}

async fn queries(
    cx: &Cx,
    job: &Job<'_>,
    args: &Args<'_>,
    cluster: &Cluster,
) -> Result<Vec<Query>, Box<Outcome>> {
    let client = &cluster.client;
    let mut queries = Vec::new();
    if args.has("kind") {
        let query = which(cx, args)?.query(client).await;
        match query {
            Ok(query) => queries.push(query),
            Err(error) => {
                return Err(match above::forgives(cx, cluster, &error, &[]) {
                    Some(skipped) => skipped,
                    None => failed(cx, cluster, &error).await,
                });
            }
        }
        return Ok(queries);
    }
    let namespace = args
        .opt_text("namespace")
        .map_err(|error| cx.read(&error))?;
    for object in manifest::objects(cx, job, args)? {
        match client.query_of(&object, namespace.as_deref()).await {
            Ok(query) => queries.push(query),
            Err(error) => {
                return Err(match above::forgives(cx, cluster, &error, &[]) {
                    Some(skipped) => skipped,
                    None => failed(cx, cluster, &error).await,
                });
            }
        }
    }
    Ok(queries)
}
