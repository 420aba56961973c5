//! `rollback` and `proxmox`: what is done once.

use std::time::Instant;

use runbook::read::{self, Args, ReadError};
use runbook::result::Fields;

use super::super::context::Cx;
use super::super::job::Job;
use super::{Read, guest_lock, known, subject, world};
use crate::action::pve::call::{self, Call};
use crate::action::pve::snapshot;
use crate::action::{Ended, Report};

/// Whether an action does something with a cluster.
pub(in crate::execute) fn is_act(action: &str) -> bool {
    matches!(action, "rollback" | "proxmox")
}

/// The call of a `proxmox` step.
///
/// # Errors
///
/// A value that is not what its key wants.
pub(super) fn call_of(args: &Args<'_>) -> Result<Call, ReadError> {
    let params = match args.get("params") {
        Some(params) => read::entries(params)?.into_owned(),
        None => Vec::new(),
    };
    Ok(Call {
        path: args.text("path")?,
        method: args.opt_text("method")?.unwrap_or_else(|| "GET".into()),
        params: params
            .into_iter()
            .map(|entry| (entry.key, entry.value.to_json()))
            .collect(),
    })
}

/// Executes `rollback` or `proxmox`.
///
/// # Errors
///
/// A value that is not what its key wants; no cluster to ask.
pub(in crate::execute) async fn perform(cx: &Cx, job: &Job<'_>, deadline: Instant) -> Read<Report> {
    let rendered = job.rendered(cx)?;
    let args = Args::new(job.action, &rendered).map_err(|error| cx.read(&error))?;
    let world = world(cx, job, deadline).await?;
    let reading = |error| cx.read(&error);
    let (done, command) = if job.action.name == "rollback" {
        let subject = subject(&job.target, known(cx, &job.target))?;
        let _lock = cx.run.locks.hold(guest_lock(&subject)).await;
        let name = args.text("name").map_err(reading)?;
        let start = match args.has("start") {
            true => Some(args.bool("start", false).map_err(reading)?),
            false => None,
        };
        let done = snapshot::rollback(&world, &subject, &name, start).await;
        (done.map(|fields| (fields, None)), None)
    } else {
        let call = call_of(&args).map_err(reading)?;
        let shown = call.shown();
        let done = call::run(&world, &call).await;
        (
            done.map(|(data, task)| (Fields::new(), Some((data, task)))),
            Some(shown),
        )
    };
    let output = world.output();
    let mut report = match done {
        Ok((fields, answer)) => {
            let log = output
                .as_ref()
                .map(|output| output.stdout.text().into_owned())
                .unwrap_or_default();
            Report {
                fields: match answer {
                    Some((data, task)) => call::fields(data, task, log),
                    None => fields,
                },
                ..Report::of(Ended::Done)
            }
        }
        Err(stop) => {
            let mut report = Report::of(stop.ended);
            report.note = stop.note;
            report
        }
    };
    report.output = output;
    report.command = command;
    Ok(report)
}
