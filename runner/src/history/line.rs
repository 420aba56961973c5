//! A run's line in the history, from its events.

use runbook::event::{Event, EventKind, RunFinished, RunStarted, StepFinished};
use runbook::outcome::State;
use runbook::report::{HISTORY_VERSION, HistoryLine, HistoryStep, StatusItem};

/// How many characters of a failure the history keeps.
const MESSAGE_CHARACTERS_MAX: usize = 200;

/// The line of a run; `None` of a run that has no beginning. A run without an end (its runner was killed) is told as what it was:
/// what had finished counts, and its exit code is 130.
pub fn from_events(events: &[Event]) -> Option<HistoryLine> {
    let mut head: Option<(&RunStarted, &str)> = None;
    let mut end: Option<(&RunFinished, &str)> = None;
    let mut finished: Vec<(&StepFinished, &str)> = Vec::new();
    for event in events {
        match &event.kind {
            EventKind::RunStarted(run) => head = Some((run, &event.at)),
            EventKind::StepFinished(step) => finished.push((step, &event.at)),
            EventKind::RunFinished(run) => end = Some((run, &event.at)),
            _ => {}
        }
    }
    let (head, started_at) = head?;
    let last_at = events.last().map_or(started_at, |event| &event.at);
    let mut steps: Vec<HistoryStep> = Vec::with_capacity(finished.len());
    let mut items: Vec<(String, StatusItem)> = Vec::new();
    for (step, at) in finished {
        if step.id.item.is_some() {
            items.push((step.id.without_item().to_string(), item(step)));
        } else {
            steps.push(history_step(step, at));
        }
    }
    for step in &mut steps {
        let id = step.id.to_string();
        step.items = items
            .iter()
            .filter(|(of, _)| *of == id)
            .map(|(_, item)| item.clone())
            .collect();
    }
    Some(HistoryLine {
        version: HISTORY_VERSION,
        run: head.run.clone(),
        profile: head.profile.clone(),
        mode: head.mode,
        revision: head.revision.clone(),
        started_at: started_at.to_owned(),
        finished_at: end.map_or(last_at, |(_, at)| at).to_owned(),
        exit_code: end.map_or(130, |(run, _)| run.exit_code),
        steps,
    })
}

fn history_step(step: &StepFinished, at: &str) -> HistoryStep {
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
        items: Vec::new(),
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
