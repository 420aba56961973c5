//! `manual`: asks a person and waits.

use runbook::read::Args;
use runbook::result::Fields;

use super::context::Cx;
use super::job::Job;
use super::outcome::Outcome;
use crate::action::{Ended, Failure, Report};
use crate::request::{Answer, Question};

/// What a person is asked, rendered.
///
/// # Errors
///
/// A template without a value.
pub(super) fn prompt(cx: &Cx, job: &Job<'_>) -> Result<(String, String), Box<Outcome>> {
    let rendered = job.rendered(cx)?;
    let args = Args::new(job.action, &rendered).map_err(|error| cx.read(&error))?;
    let prompt = args.text("prompt").map_err(|error| cx.read(&error))?;
    let evidence = args.opt_text("evidence").map_err(|error| cx.read(&error))?;
    Ok((
        cx.run.redactor.redact_str(&prompt).into_owned(),
        evidence.unwrap_or_else(|| "none".to_owned()),
    ))
}

/// Asks; without somebody who answers the step is pending. Waits without end, but for the run being stopped.
pub(super) async fn ask(cx: &Cx, job: &Job<'_>) -> Result<Report, Box<Outcome>> {
    let (prompt, evidence) = prompt(cx, job)?;
    let pending = || {
        Box::new(Outcome {
            final_: true,
            ..Outcome::pending(format!("waits for a person: {prompt}"))
        })
    };
    let Some(person) = &cx.run.request.person else {
        return Err(pending());
    };
    let question = Question {
        id: &cx.id,
        title: &cx.step().title,
        prompt: &prompt,
        evidence: &evidence,
    };
    let answer = tokio::select! {
        biased;
        () = cx.cancel.stopped() => return Err(Box::new(Outcome::aborted())),
        answer = person.ask(question) => answer,
    };
    match answer {
        Answer::Later => Err(pending()),
        Answer::Failed(why) => Ok(Report::of(Ended::Failed(Failure::new(why))).command(prompt)),
        Answer::Done(note) => {
            let mut fields = Fields::new();
            if let Some(note) = note {
                fields.set("note", note);
            }
            Ok(Report {
                fields,
                ..Report::of(Ended::Done)
            }
            .command(prompt))
        }
    }
}
