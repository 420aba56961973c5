//! The newest results of earlier runs, for needs that lie outside of what was asked for.
//!
//! The history says which run holds the newest result of a step; its evidence is read from that run's journal, once, when it is
//! asked for. Without the journal (an imported history) the state alone is known.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use runbook::event::{EventKind, StepFinished};
use runbook::id::Id;
use runbook::outcome::{Effect, Mode, Standing};
use runbook::report::{HistoryLine, HistoryStep};

use crate::execute::Earlier;
use crate::journal;

/// Results of earlier runs on one profile.
pub(super) struct Recorded {
    root: PathBuf,
    profile: String,
    newest: HashMap<Id, (String, Mode, HistoryStep)>,
    /// The results of a run's journal, once it was read.
    journals: Mutex<HashMap<String, BTreeMap<Id, StepFinished>>>,
}

impl Recorded {
    /// Takes what the history knows, oldest first.
    pub(super) fn new(root: &Path, profile: &str, lines: &[HistoryLine]) -> Self {
        let mut newest = HashMap::new();
        for line in lines.iter().filter(|line| line.profile == profile) {
            for step in &line.steps {
                newest.insert(step.id.clone(), (line.run.clone(), line.mode, step.clone()));
            }
        }
        Self {
            root: root.to_owned(),
            profile: profile.to_owned(),
            newest,
            journals: Mutex::default(),
        }
    }

    fn evidence(&self, run: &str, id: &Id) -> Option<StepFinished> {
        let mut journals = self.journals.lock().unwrap_or_else(PoisonError::into_inner);
        let results = journals.entry(run.to_owned()).or_insert_with(|| {
            let path = journal::runs_dir(&self.root).join(run).join("events.jsonl");
            // One that is gone, broken or of a newer program gives no evidence: the state stands in the history, and a value that is
            // not there is refused by whoever uses it.
            let events = journal::read(&path).unwrap_or_default();
            events
                .into_iter()
                .filter_map(|event| match event.kind {
                    EventKind::StepFinished(step) => Some((step.id.clone(), *step)),
                    _ => None,
                })
                .collect()
        });
        results.get(id).cloned()
    }
}

impl Earlier for Recorded {
    fn newest(&self, id: &Id) -> Option<StepFinished> {
        let (run, mode, step) = self.newest.get(id)?;
        Some(
            self.evidence(run, id)
                .unwrap_or_else(|| without_evidence(&self.profile, *mode, step)),
        )
    }
}

fn without_evidence(profile: &str, mode: Mode, step: &HistoryStep) -> StepFinished {
    StepFinished {
        id: step.id.clone(),
        state: step.state,
        changed: false,
        repaired: false,
        duration_ms: step.duration_ms,
        reason: step.message.clone(),
        message: None,
        hint: None,
        profile: profile.to_owned(),
        target: step.target.clone(),
        file: String::new(),
        line: 0,
        checks: Vec::new(),
        stand_in: step.standing == Standing::StandIn,
        title: String::new(),
        action: String::new(),
        effect: Effect::Read,
        mode,
        note: None,
        started_at: None,
        attempts: 0,
        captures: BTreeMap::new(),
        output: None,
        diff: None,
        command: None,
        fingerprint: step.fingerprint.clone(),
        identity: step.identity.clone(),
        artifacts: Vec::new(),
    }
}
