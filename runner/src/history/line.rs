//! A run's line in the history, from its events.

use std::collections::BTreeMap;

use jiff::Timestamp;
use runbook::event::{Event, EventKind, RunStarted, StepFinished, StepStarted};
use runbook::id::Id;
use runbook::outcome::{Standing, State};
use runbook::report::{HISTORY_VERSION, HistoryLine, HistoryStep, StatusItem};

/// How many characters of a failure the history keeps.
const MESSAGE_CHARACTERS_MAX: usize = 200;
/// What is said of a step that began and has no end: its runner was killed, or could not write any more.
const NO_END: &str = "the run ended before it did";

/// Builds a run's line while it runs: keeps what the history needs of each event, and nothing else.
#[derive(Debug, Default)]
pub struct LineBuilder {
    line: Option<HistoryLine>,
    items: BTreeMap<Id, Vec<StatusItem>>,
    /// Steps that began and have not ended, in the order in which they began.
    open: Vec<(StepStarted, String)>,
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
            EventKind::StepStarted(step) if step.id.item.is_none() => {
                self.open.push((step.clone(), event.at.clone()));
            }
            EventKind::StepFinished(step) => {
                self.open.retain(|(open, _)| open.id != step.id);
                let items = self.items.remove(&step.id).unwrap_or_default();
                if let Some(line) = &mut self.line {
                    line.steps.push(history_step(step, &event.at, items));
                }
            }
            EventKind::RunFinished(run) => {
                // Who says how a run ended has left no step open.
                self.open.clear();
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
    /// had finished counts, what had begun is aborted, and its exit code is 130.
    pub fn finish(self) -> Option<HistoryLine> {
        let mut line = self.line?;
        let mut items = self.items;
        for (step, began) in self.open {
            let items = items.remove(&step.id).unwrap_or_default();
            line.steps.push(HistoryStep {
                duration_ms: milliseconds(&began, &line.finished_at),
                id: step.id,
                state: State::Aborted,
                finished_at: line.finished_at.clone(),
                target: step.target,
                fingerprint: None,
                identity: BTreeMap::new(),
                message: Some(NO_END.into()),
                standing: Standing::Own,
                items,
            });
        }
        Some(line)
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

/// The time between two moments; none where one of them is no time.
fn milliseconds(from: &str, to: &str) -> u64 {
    let at = |text: &str| text.parse::<Timestamp>().ok();
    let between = at(from)
        .zip(at(to))
        .map(|(from, to)| to.as_millisecond() - from.as_millisecond());
    between
        .and_then(|between| u64::try_from(between).ok())
        .unwrap_or_default()
}

fn item(step: &StepFinished) -> StatusItem {
    StatusItem {
        id: step.id.clone(),
        state: step.state,
        target: step.target.clone(),
        duration_ms: step.duration_ms,
    }
}
