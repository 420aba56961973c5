//! `job`: a Job or a Pod runs to its end; its log is kept, and undo deletes it.

use std::time::Instant;

use runbook::read::Args;
use runbook_k8s::job::Finished;
use runbook_k8s::{ErrorKind, Key, Object, Query, change, events};

use super::super::context::Cx;
use super::super::job::{Job, left};
use super::super::judge::{Clock, ended, judge};
use super::super::outcome::Outcome;
use super::super::undo;
use super::former::{Former, What};
use super::{failed, locks, manager, manifest, refused, silent};
use crate::action::kube::job;
use crate::action::{Ended, Failure, Report};
use crate::process::{Collector, Record, Stream};
use crate::world::Cluster;

/// How many lines of events and of the log a failure's message has.
const MESSAGE_LINES_MAX: usize = 20;

/// Runs the Job of a step to its end, and judges how it ended.
pub(super) async fn judged(
    cx: &Cx,
    step: &Job<'_>,
    args: &Args<'_>,
    cluster: &Cluster,
    clock: Clock,
    deadline: Instant,
) -> Result<Outcome, Box<Outcome>> {
    let client = &cluster.client;
    let namespace = args
        .opt_text("namespace")
        .map_err(|error| cx.read(&error))?;
    let namespace = namespace.as_deref();
    let mut object = object(cx, step, args, namespace)?;
    let manager = manager(cx);
    let asked = tokio::time::timeout_at(deadline.into(), job::query(client, &object, namespace));
    let query = match asked.await {
        Ok(Ok(query)) => query,
        Ok(Err(error)) => return Err(failed(cx, cluster, &error).await),
        Err(_) => return Err(silent(&cluster.name)),
    };
    let Some(key) = query.key() else {
        return Err(refused("it has no name", "give it `metadata.name`"));
    };
    let names = locks(cluster, std::iter::once(&key));
    let _locks = cx.run.locks.hold_all(names).await;
    let made_way =
        tokio::time::timeout_at(deadline.into(), job::make_way(client, &query, &manager));
    match made_way.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(failed(cx, cluster, &error).await),
        Err(_) => return Err(silent(&cluster.name)),
    }
    // What is done beside a step is not the step's to be taken back: it goes when it has ended.
    let is_own = std::ptr::eq(step.args, &raw const cx.step().args);
    let (making, made) = job::Made::later(format!("{} {}", cx.id, manifest::unique()));
    made.put_on(&mut object);
    if is_own {
        undo::register(
            cx,
            Some(&super::super::desired::Former::Kube(Former {
                cluster: cluster.name.clone(),
                what: What::Job(Box::new((
                    query.resource.clone(),
                    key.clone(),
                    made.clone(),
                ))),
            })),
        );
    }
    let limit = left(deadline);
    let in_lab = cx.is_lab();
    let ran = job::run(client, &object, &query, &manager, limit, in_lab, making).await;
    let outcome = match ran {
        Ok(job::Ended::Finished(finished)) => tell(cx, step, cluster, &key, *finished, clock).await,
        Ok(job::Ended::Missing(reason)) => {
            delete(cluster, &query, made.uid().as_deref()).await;
            return Ok(*ended(Report::of(Ended::Missing(reason))));
        }
        Err(error) => {
            let mut outcome = failed(cx, cluster, &error).await;
            let node = args.opt_text("node").map_err(|error| cx.read(&error))?;
            if error.kind() == ErrorKind::TimedOut
                && let Some(node) = node
                && job::lacks_node(&cluster.client, &node).await
            {
                let message = outcome.message.unwrap_or_default();
                outcome.message = Some(format!("there is no node `{node}`: {message}"));
                outcome.hint =
                    Some("`kubectl get nodes -L kubernetes.io/hostname` shows them".into());
            }
            Err(outcome)
        }
    };
    if !is_own {
        delete(cluster, &query, made.uid().as_deref()).await;
    }
    outcome
}

fn object(
    cx: &Cx,
    step: &Job<'_>,
    args: &Args<'_>,
    namespace: Option<&str>,
) -> Result<Object, Box<Outcome>> {
    let text = |field: &str| args.opt_text(field).map_err(|error| cx.read(&error));
    if let Some(image) = text("image")? {
        let command = args.list("command").map_err(|error| cx.read(&error))?;
        let node = text("node")?;
        let name = job::name_of(cx.id.step.as_deref().unwrap_or("job"), &manifest::unique());
        return Ok(job::of_image(
            &name,
            &image,
            &command,
            namespace,
            node.as_deref(),
        ));
    }
    let mut objects = manifest::objects(cx, step, args)?;
    match (objects.pop(), objects.len()) {
        (Some(only), 0) => Ok(only),
        (_, more) => Err(refused(
            format!("the manifest holds {} objects", more + 1),
            "give one Job or Pod; what it needs is for an `apply` above",
        )),
    }
}

/// Deletes what a run left that is not kept; what it owns goes by itself.
async fn delete(cluster: &Cluster, query: &Query, uid: Option<&str>) {
    if let (Some(key), Some(uid)) = (query.key(), uid) {
        let propagation = change::Propagation::Background;
        // What cannot be deleted is found by who looks at the cluster: the run has its result.
        let _ = change::delete(
            &cluster.client,
            &query.resource,
            &key,
            Some(uid),
            propagation,
        )
        .await;
    }
}

async fn tell(
    cx: &Cx,
    step: &Job<'_>,
    cluster: &Cluster,
    key: &Key,
    finished: Finished,
    clock: Clock,
) -> Result<Outcome, Box<Outcome>> {
    let raw = step.must_see_raw(cx);
    let record = if raw {
        Record::default()
    } else {
        step.record(cx)
    };
    let mut collector = Collector::new(record);
    collector.push(Stream::Stdout, finished.log.as_bytes());
    let mut report = Report::of(Ended::Done);
    report.raw = raw;
    report.output = Some(collector.take());
    report.fields.set("phase", finished.phase.clone());
    report
        .fields
        .set("log", finished.log.trim_end_matches('\n').to_owned());
    if let Some(exit) = finished.exit {
        report.fields.set("exit", exit);
    }
    let asks = |field: &str| step.expect.iter().any(|expect| expect.field == field);
    if !finished.succeeded && !asks("exit") && !asks("phase") {
        report.end = Ended::Failed(failure(cluster, key, &finished).await);
    }
    judge(cx, step, report, clock)
}

/// Why it failed: what its controller says, the newest events, the end of its log.
async fn failure(cluster: &Cluster, key: &Key, finished: &Finished) -> Failure {
    let exit = finished.exit.map(|exit| format!(" with exit {exit}"));
    let mut lines = vec![format!(
        "{key} has failed{}: {}",
        exit.unwrap_or_default(),
        finished.message
    )];
    let events = events(&cluster.client, key).await.unwrap_or_default();
    lines.extend(events.iter().map(|event| format!("  event: {event}")));
    let log: Vec<&str> = finished.log.lines().collect();
    let log = &log[log.len().saturating_sub(MESSAGE_LINES_MAX)..];
    lines.extend(log.iter().map(|line| format!("  log: {line}")));
    let mut failure = Failure::new(lines.join("\n"));
    failure.refused = true;
    failure
}
