//! Conditions: `when`, `unless`, `background` (LANGUAGE section 1, type `condition`).

use std::time::Instant;

use runbook::model::Condition;
use runbook::node::Kind;
use runbook::outcome::{State, Verdict};
use serde_json::Value;

use super::context::Cx;
use super::job::Job;
use super::judge::{Clock, judge};
use super::outcome::Outcome;

/// What became of a condition.
#[derive(Debug)]
pub(super) enum Held {
    /// It holds.
    Yes,
    /// It does not: why, for people.
    No(String),
    /// It could not be looked at: that is how the step ends.
    Ended(Box<Outcome>),
}

impl Held {
    pub(super) fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }
}

/// Looks at a condition, whose name people read (`unless`).
pub(super) async fn look(
    cx: &Cx,
    name: &'static str,
    condition: &Condition,
    deadline: Instant,
) -> Held {
    match condition {
        Condition::Bool(true) => Held::Yes,
        Condition::Bool(false) => Held::No("false".into()),
        Condition::Template(node) => match cx.render(node) {
            Err(outcome) => Held::Ended(outcome),
            Ok(rendered) => match &rendered.kind {
                Kind::Value(Value::Bool(true)) => Held::Yes,
                Kind::Value(Value::Bool(false)) => {
                    Held::No(format!("{} is false", node.as_text().unwrap_or_default()))
                }
                _ => Held::Ended(Box::new(Outcome::failed(format!(
                    "{}: `{name}` must give true or false, and gives {}",
                    cx.at_line(node.span),
                    rendered.to_json()
                )))),
            },
        },
        Condition::Script(node) => {
            script(cx, name, &Job::of_script(cx, node, None), deadline).await
        }
        Condition::Action(inline) => {
            let job = match Job::of_inline(cx, inline, None).await {
                Ok(job) => job,
                Err(outcome) => return Held::Ended(outcome),
            };
            action(cx, name, &job, deadline).await
        }
        Condition::All(conditions) => {
            for condition in conditions {
                // Boxed: a condition may hold conditions.
                let held = Box::pin(look(cx, name, condition, deadline)).await;
                if !held.is_yes() {
                    return held;
                }
            }
            Held::Yes
        }
    }
}

/// Exit 0 holds, any other exit does not.
async fn script(cx: &Cx, name: &str, job: &Job<'_>, deadline: Instant) -> Held {
    let now = Instant::now();
    let report = match job.perform(cx, deadline).await {
        Ok(report) => report,
        Err(outcome) => return Held::Ended(outcome),
    };
    let exit = report.fields.get("exit").and_then(Value::as_i64);
    let said = report
        .fields
        .get("stderr")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .lines()
        .next_back();
    let said = said.map(|said| format!(": {said}")).unwrap_or_default();
    match judge(
        cx,
        job,
        report,
        Clock {
            first: now,
            attempt: now,
        },
    ) {
        Err(outcome) => Held::Ended(outcome),
        Ok(outcome) if outcome.is_passed() => Held::Yes,
        Ok(outcome) if outcome.state == State::Failed && exit.is_some() => {
            Held::No(format!("exit {}{said}", exit.unwrap_or_default()))
        }
        Ok(outcome) => Held::Ended(Box::new(named(name, outcome))),
    }
}

/// Holds when its expectations hold; a refused or not-found request means that it does not.
async fn action(cx: &Cx, name: &str, job: &Job<'_>, deadline: Instant) -> Held {
    if job.action.is_script() && job.expect.is_empty() {
        return script(cx, name, job, deadline).await;
    }
    let now = Instant::now();
    let clock = Clock {
        first: now,
        attempt: now,
    };
    let outcome = if super::desired::is_state(job.action, job.args) {
        super::desired::observe(cx, job, clock, deadline).await
    } else {
        job.judged(cx, clock, deadline).await
    };
    match outcome {
        Err(outcome) => Held::Ended(outcome),
        Ok(outcome) if outcome.is_passed() => Held::Yes,
        Ok(outcome)
            if matches!(outcome.state, State::Failed | State::Drifted) && !outcome.unavailable =>
        {
            let failed = outcome
                .checks
                .iter()
                .find(|check| check.verdict == Verdict::Fails);
            let why = failed.map(|check| {
                format!(
                    "{}: expected {}, got {}",
                    check.check, check.expected, check.actual
                )
            });
            let why = why.or(outcome.message).or(outcome.diff).unwrap_or_default();
            Held::No(why.lines().next().unwrap_or_default().to_owned())
        }
        Ok(outcome) => Held::Ended(Box::new(named(name, outcome))),
    }
}

/// The outcome says that it is the condition's.
fn named(name: &str, mut outcome: Outcome) -> Outcome {
    outcome.message = outcome
        .message
        .map(|message| format!("`{name}`: {message}"));
    outcome
}
