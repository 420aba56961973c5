//! A run's line in the history, from its events.

use std::collections::BTreeMap;

use runbook::event::{Event, EventKind, RunStarted, StepFinished};
use runbook::id::Id;
use runbook::outcome::State;
use runbook::report::{HISTORY_VERSION, HistoryLine, HistoryStep, StatusItem};

/// How many characters of a failure the history keeps.
const MESSAGE_CHARACTERS_MAX: usize = 200;

/// Builds a run's line while it runs: keeps what the history needs of each event, and nothing else.
#[derive(Debug, Default)]
pub struct LineBuilder {
    line: Option<HistoryLine>,
    items: BTreeMap<Id, Vec<StatusItem>>,
}

impl LineBuilder {
    /// Takes one event.
    pub fn event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted(run) => self.line = Some(head(run, &event.at)),
            EventKind::StepFinished(step) if step.id.item.is_some() => {
                self.items
                    .entry(step.id.without_item())
                    .or_default()
                    .push(item(step));
            }
            EventKind::StepFinished(step) => {
                let items = self.items.remove(&step.id).unwrap_or_default();
                if let Some(line) = &mut self.line {
                    line.steps.push(history_step(step, &event.at, items));
                }
            }
            EventKind::RunFinished(run) => {
                if let Some(line) = &mut self.line {
                    line.exit_code = run.exit_code;
                }
            }
            EventKind::StepStarted(_)
            | EventKind::UndoRegistered(_)
            | EventKind::UndoFinished(_) => {}
        }
        if let Some(line) = &mut self.line {
            line.finished_at.clone_from(&event.at);
        }
    }

    /// The line; `None` when the run has no beginning. A run without an end (its runner was killed) is told as what it was: what
    /// had finished counts, and its exit code is 130.
    pub fn finish(self) -> Option<HistoryLine> {
        self.line
    }
}

/// The line of a run from its events.
pub fn from_events(events: &[Event]) -> Option<HistoryLine> {
    let mut builder = LineBuilder::default();
    for event in events {
        builder.event(event);
    }
    builder.finish()
}

fn head(run: &RunStarted, at: &str) -> HistoryLine {
    HistoryLine {
        version: HISTORY_VERSION,
        run: run.run.clone(),
        profile: run.profile.clone(),
        mode: run.mode,
        revision: run.revision.clone(),
        started_at: at.to_owned(),
        finished_at: at.to_owned(),
        exit_code: crate::exit::INTERRUPTED,
        steps: Vec::new(),
    }
}

fn history_step(step: &StepFinished, at: &str, items: Vec<StatusItem>) -> HistoryStep {
    let message = match step.state {
        State::Passed => None,
        _ => step.reason.as_deref().or(step.message.as_deref()),
    };
    HistoryStep {
        id: step.id.clone(),
        state: step.state,
        finished_at: at.to_owned(),
        duration_ms: step.duration_ms,
        target: step.target.clone(),
        fingerprint: step.fingerprint.clone(),
        identity: step.identity.clone(),
        message: message
            .and_then(|m| m.lines().next())
            .map(|m| m.chars().take(MESSAGE_CHARACTERS_MAX).collect()),
        standing: step.standing(),
        items,
    }
}

fn item(step: &StepFinished) -> StatusItem {
    StatusItem {
        id: step.id.clone(),
        state: step.state,
        target: step.target.clone(),
        duration_ms: step.duration_ms,
    }
}
