//! What a plan says of each step: what a run would do, with the difference.

use std::sync::{Mutex, PoisonError};

use runbook::outcome::State;
use runbook::report::{PlanStep, REPORT_VERSION};

use super::context::Run;
use super::outcome::{Outcome, Would};
use crate::plan::InBook as _;

/// What was found out about each due step.
#[derive(Default)]
pub(super) struct Planned {
    steps: Mutex<Vec<Option<Looked>>>,
}

#[derive(Debug, Clone)]
struct Looked {
    would: String,
    diff: Option<String>,
    approval: Option<String>,
}

impl Planned {
    pub(super) fn new(steps: usize) -> Self {
        Self {
            steps: Mutex::new(vec![None; steps]),
        }
    }
}

impl Run {
    /// Takes what was found out about a step.
    pub(super) fn planned(&self, place: u32, outcome: &Outcome) {
        let redact = |text: &str| self.redactor.redact_str(text).into_owned();
        let approval = match &outcome.would {
            Some(Would::Wait(why)) => Some(redact(why)),
            _ => None,
        };
        let looked = Looked {
            would: redact(&would(outcome)),
            diff: outcome.diff.as_deref().map(redact),
            approval,
        };
        let mut steps = self
            .planned
            .steps
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(step) = steps.get_mut(place as usize) {
            *step = Some(looked);
        }
    }
}

fn would(outcome: &Outcome) -> String {
    let why = outcome
        .message
        .as_deref()
        .or(outcome.reason.as_deref())
        .unwrap_or_default();
    let first = why.lines().next().unwrap_or_default();
    match (&outcome.would, outcome.state) {
        (Some(Would::Wait(why)), _) => format!("wait: {why}"),
        (Some(Would::Read), State::Passed) => "read".into(),
        (Some(Would::Read), _) => format!("read: {first}"),
        (Some(Would::Change), State::Drifted) => "change".into(),
        (Some(Would::Run), State::Drifted | State::Skipped) => "run".into(),
        (Some(Would::Nothing), State::Passed) => "nothing".into(),
        (_, State::Skipped) if outcome.unwanted => format!("skip: {first}"),
        (_, State::Skipped) if outcome.missing => format!("skip: {first}"),
        // What it needs is not in this run: that is known now.
        (_, State::Blocked) if outcome.hint.is_some() => format!("block: {first}"),
        _ => format!("unknown: {first}"),
    }
}

/// The plan, in the order in which a run would begin the steps; `lacks` is what it would not be allowed to do.
pub(super) fn report(run: &Run, lacks: Vec<String>) -> runbook::report::Plan {
    let looked = run
        .planned
        .steps
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let steps = run
        .plan
        .steps
        .iter()
        .zip(looked.iter())
        .map(|(due, looked)| {
            let step = due.at.of(&run.book);
            let looked = looked.clone().unwrap_or(Looked {
                would: "unknown: stopped".into(),
                diff: None,
                approval: None,
            });
            PlanStep {
                id: step.id.clone(),
                action: step.action.name.to_owned(),
                target: run.target_text(due.at),
                effect: step.effect,
                would: looked.would,
                diff: looked.diff,
                approval: looked.approval,
            }
        });
    runbook::report::Plan {
        version: REPORT_VERSION,
        hash: None,
        steps: steps.collect(),
        lacks,
    }
}
