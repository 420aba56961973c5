//! `background`: a server or a tunnel that stays up for the guide's later steps.

use std::any::Any;
use std::time::{Duration, Instant};

use runbook::model::{Condition, Target};
use runbook::result::Fields;

use super::condition::{self, Held};
use super::context::{Cx, Up};
use super::job::Job;
use super::judge::{self, Clock, judge};
use super::outcome::Outcome;
use crate::action::{Ended, Failure, Report, elsewhere, script};
use crate::process::{Background, Exit, GRACE, Output, Record, spawn_background};

/// How often is looked whether it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a script whose condition says nothing (`true`) is watched before it counts as up: one that dies at once is not.
const UP_AFTER: Duration = Duration::from_millis(300);

/// Starts the script, and waits until the condition holds.
pub(super) async fn start(
    cx: &Cx,
    job: &Job<'_>,
    ready: &Condition,
    clock: Clock,
    deadline: Instant,
) -> Result<Outcome, Box<Outcome>> {
    if let Some(kept) = job.kept(cx) {
        return judge(cx, job, kept, clock);
    }
    let text = job.script_text(cx)?;
    let mut record = job.record(cx);
    if let Some(keep) = &mut record.keep {
        keep.always = true;
    }
    let started = if job.target == Target::Local {
        here(cx, job, &text, record).await?
    } else {
        job.start(cx, record, deadline).await?
    };
    let (child, held) = match started {
        Ok(started) => started,
        Err(report) => return judge(cx, job, *report, clock),
    };
    let outcome = wait(cx, job, ready, &child, deadline).await;
    let mut outcome = match outcome {
        // What it printed so far can be captured and expected; its exit code is not known.
        Ok(()) => judge_output(cx, job, child.output(), clock)?,
        Err(outcome) => *outcome,
    };
    outcome.command = Some(text);
    if outcome.is_passed() {
        cx.guide.state().backgrounds.push(Up { child, _held: held });
    } else if let Some(exit) = child.stop().await {
        outcome.output = Some(exit.output.clone());
    }
    if cx.run.request.directory.is_some() {
        outcome.artifacts.extend(job.artifact.clone());
    }
    Ok(outcome)
}

/// A child that was started and what it needs; or why not, as a report.
pub(super) type Started = Result<(Background, Option<Box<dyn Any + Send + Sync>>), Box<Report>>;

/// Starts the script on this machine.
async fn here(cx: &Cx, job: &Job<'_>, text: &str, record: Record) -> Result<Started, Box<Outcome>> {
    let place = cx
        .place()
        .map_err(|error| Box::new(Outcome::failed(format!("no place to run in: {error}"))))?;
    if let Some(report) = cx.reach_clusters(text).await {
        return Ok(Err(Box::new(report)));
    }
    let call = script::Call {
        language: job.action.name,
        text,
        strict: job.strict,
        directory: &place.directory,
        environment: &place.environment,
        through: &place.through,
        env: &job.env,
        limit: cx.timing.timeout,
        lab: cx.is_lab(),
    };
    Ok(
        match spawn_background(&script::command(call), GRACE, record) {
            Ok(child) => Ok((child, None)),
            Err(error) => Err(Box::new(script::refused(call, &error))),
        },
    )
}

async fn wait(
    cx: &Cx,
    job: &Job<'_>,
    ready: &Condition,
    child: &Background,
    deadline: Instant,
) -> Result<(), Box<Outcome>> {
    loop {
        let held = tokio::select! {
            biased;
            () = cx.cancel.stopped() => return Err(Box::new(Outcome::aborted())),
            exit = child.wait_exit() => return Err(Box::new(ended(cx, job, exit.as_deref()))),
            held = condition::look(cx, "background", ready, deadline) => held,
        };
        let why = match held {
            Held::Yes => return up(cx, job, ready, child, deadline).await,
            Held::No(why) => why,
            Held::Ended(outcome) if outcome.is_passed() || outcome.final_ => return Err(outcome),
            Held::Ended(outcome) => outcome.message.or(outcome.reason).unwrap_or_default(),
        };
        if Instant::now() + LOOK_EVERY > deadline {
            let timeout = runbook::value::print_duration(cx.timing.timeout);
            let message = format!("not ready within {timeout}: {why}");
            return Err(Box::new(Outcome {
                message: Some(message),
                ..Outcome::new(runbook::outcome::State::TimedOut)
            }));
        }
        tokio::select! {
            biased;
            () = cx.cancel.stopped() => return Err(Box::new(Outcome::aborted())),
            exit = child.wait_exit() => return Err(Box::new(ended(cx, job, exit.as_deref()))),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// The condition holds; whether the script is what made it hold is seen by its being there.
async fn up(
    cx: &Cx,
    job: &Job<'_>,
    ready: &Condition,
    child: &Background,
    deadline: Instant,
) -> Result<(), Box<Outcome>> {
    if *ready == Condition::Bool(true) {
        let until = deadline.min(Instant::now() + UP_AFTER);
        tokio::select! {
            biased;
            () = cx.cancel.stopped() => return Err(Box::new(Outcome::aborted())),
            exit = child.wait_exit() => return Err(Box::new(ended(cx, job, exit.as_deref()))),
            () = tokio::time::sleep_until(until.into()) => {}
        }
    }
    match child.exit() {
        Some(exit) => Err(Box::new(ended(cx, job, Some(&exit)))),
        None => Ok(()),
    }
}

/// It ended before it was ready.
fn ended(cx: &Cx, job: &Job<'_>, exit: Option<&Exit>) -> Outcome {
    if let Some(exit) = exit.filter(|_| cx.is_lab())
        && let Some(program) = script::missing_program(exit.code(), &exit.output.stderr.text())
    {
        let place = match job.target {
            Target::Local => "this machine".to_owned(),
            _ => elsewhere::lab_target(&cx.target_text),
        };
        let missing = Ended::Missing(format!("{place} has no `{program}`"));
        return *judge::ended(Report::of(missing));
    }
    let code = exit
        .and_then(Exit::code)
        .map(|code| format!(" with exit code {code}"))
        .unwrap_or_default();
    let said = exit
        .map(|exit| exit.output.both().text().into_owned())
        .unwrap_or_default();
    let last = said
        .trim_end()
        .lines()
        .next_back()
        .map(|line| format!(": {line}"))
        .unwrap_or_default();
    Outcome::failure(Failure::new(format!(
        "ended{code} before it was ready{last}"
    )))
}

fn judge_output(
    cx: &Cx,
    job: &Job<'_>,
    output: Output,
    clock: Clock,
) -> Result<Outcome, Box<Outcome>> {
    if job.expect.is_empty() && job.capture.is_empty() {
        return Ok(Outcome {
            output: Some(output),
            ..Outcome::passed()
        });
    }
    let mut fields = Fields::new();
    fields.set("stdout", output.stdout.text().into_owned());
    fields.set("stderr", output.stderr.text().into_owned());
    fields.set("output", output.both().text().into_owned());
    judge(
        cx,
        job,
        Report {
            fields,
            output: Some(output),
            ..Report::of(Ended::Done)
        },
        clock,
    )
}
