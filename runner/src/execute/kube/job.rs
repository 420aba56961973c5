//! `job`: a Job or a Pod runs to its end; its log is kept, and undo deletes it.

use std::time::Instant;

use runbook::read::Args;
use runbook_k8s::job::Finished;
use runbook_k8s::{Error, ErrorKind, Key, Object, Query, events};
use tokio::sync::OwnedMutexGuard;

use super::super::context::Cx;
use super::super::job::{Job, left};
use super::super::judge::{Clock, ended, judge};
use super::super::outcome::Outcome;
use super::super::undo;
use super::former::{Former, What};
use super::{failed, locks, manager, manifest, refused, silent, unless_stopped};
use crate::action::kube::job::{self, Made, Making};
use crate::action::{Ended, Failure, Report};
use crate::process::{Collector, Record, Stream};
use crate::world::Cluster;

/// How many lines of events and of the log a failure's message has.
const MESSAGE_LINES_MAX: usize = 20;

/// A Job that is about to run.
struct Due {
    object: Object,
    query: Query,
    key: Key,
    made: Made,
    making: Making,
    /// Whether it is what the step itself does; what is done beside it is not to be taken back later: it goes when it has ended.
    is_own: bool,
    _locks: Vec<OwnedMutexGuard<()>>,
}

/// Runs the Job of a step to its end, and judges how it ended.
pub(super) async fn judged(
    cx: &Cx,
    step: &Job<'_>,
    args: &Args<'_>,
    cluster: &Cluster,
    clock: Clock,
    deadline: Instant,
) -> Result<Outcome, Box<Outcome>> {
    let prepared = prepared(cx, step, args, cluster, deadline);
    let due = unless_stopped(&cx.cancel, prepared).await;
    let due = due.and_then(|due| due).map_err(untouched)?;
    let (resource, key, made) = (&due.query.resource, &due.key, due.made.clone());
    let (client, in_lab) = (&cluster.client, cx.is_lab());
    let (limit, manager) = (left(deadline), manager(cx));
    let ran = job::run(
        client,
        &due.object,
        &due.query,
        &manager,
        limit,
        in_lab,
        due.making,
    );
    let ran = unless_stopped(&cx.cancel, ran).await;
    let is_missing = matches!(ran, Ok(Ok(job::Ended::Missing(_))));
    let outcome = match ran {
        Ok(Ok(job::Ended::Finished(finished))) => {
            let told = tell(cx, step, cluster, key, *finished, clock);
            unless_stopped(&cx.cancel, told).await.and_then(|told| told)
        }
        Ok(Ok(job::Ended::Missing(reason))) => Ok(*ended(Report::of(Ended::Missing(reason)))),
        Ok(Err(error)) => {
            let mut outcome = not_ended(cx, args, cluster, &error).await?;
            let is_known = !matches!(error.kind(), ErrorKind::Unknown | ErrorKind::TimedOut);
            outcome.untouched = is_known && made.uid().is_none();
            Err(outcome)
        }
        Err(stopped) => Err(stopped),
    };
    if !due.is_own || is_missing {
        let discarded = made.discard(client, resource, key);
        // What cannot be deleted is found by who looks at the cluster: the run has its result.
        tokio::select! {
            biased;
            () = cx.cancel.stopped_now() => {}
            _ = discarded => {}
        }
    }
    outcome
}

fn untouched(mut outcome: Box<Outcome>) -> Box<Outcome> {
    outcome.untouched = true;
    outcome
}

async fn prepared(
    cx: &Cx,
    step: &Job<'_>,
    args: &Args<'_>,
    cluster: &Cluster,
    deadline: Instant,
) -> Result<Due, Box<Outcome>> {
    let client = &cluster.client;
    let namespace = args
        .opt_text("namespace")
        .map_err(|error| cx.read(&error))?;
    let namespace = namespace.as_deref();
    let mut object = object(cx, step, args, namespace)?;
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
    let held = cx.run.locks.hold_all(names).await;
    let manager = manager(cx);
    let made_way =
        tokio::time::timeout_at(deadline.into(), job::make_way(client, &query, &manager));
    match made_way.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(failed(cx, cluster, &error).await),
        Err(_) => return Err(silent(&cluster.name)),
    }
    let is_own = std::ptr::eq(step.args, &raw const cx.step().args);
    let (making, made) = Made::later(format!("{} {}", cx.id, manifest::unique()));
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
    Ok(Due {
        object,
        query,
        key,
        made,
        making,
        is_own,
        _locks: held,
    })
}

/// The outcome of a run without an end.
async fn not_ended(
    cx: &Cx,
    args: &Args<'_>,
    cluster: &Cluster,
    error: &Error,
) -> Result<Box<Outcome>, Box<Outcome>> {
    let mut outcome = failed(cx, cluster, error).await;
    let node = args.opt_text("node").map_err(|error| cx.read(&error))?;
    if error.kind() == ErrorKind::TimedOut
        && let Some(node) = node
        && job::lacks_node(&cluster.client, &node).await
    {
        let message = outcome.message.unwrap_or_default();
        outcome.message = Some(format!("there is no node `{node}`: {message}"));
        outcome.hint = Some("`kubectl get nodes -L kubernetes.io/hostname` shows them".into());
    }
    Ok(outcome)
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
