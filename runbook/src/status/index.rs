//! The records by profile and step, in the order of time; the strips and the rows of failures in them.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::{Cell, Failing, STRIP_RUNS_MAX};
use crate::id::Id;
use crate::outcome::State;
use crate::report::{HistoryLine, HistoryStep};

/// A step's result and the run it is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recorded<'a> {
    pub(super) line: &'a HistoryLine,
    pub(super) step: &'a HistoryStep,
}

/// The records, ordered.
pub(super) struct Index<'a> {
    profiles: HashMap<&'a str, Profile<'a>>,
}

/// The records of a profile.
#[derive(Default)]
struct Profile<'a> {
    /// By step, oldest first.
    steps: HashMap<&'a Id, Vec<Recorded<'a>>>,
    /// By guide, oldest first.
    guides: HashMap<&'a str, Vec<Cell>>,
    /// By target: what was recorded of its identity last.
    identities: HashMap<&'a str, BTreeMap<&'a str, &'a str>>,
}

impl<'a> Index<'a> {
    pub(super) fn new(lines: &'a [HistoryLine]) -> Self {
        let mut lines: Vec<&HistoryLine> = lines.iter().collect();
        lines.sort_by(|a, b| {
            time_of(&a.finished_at)
                .cmp(&time_of(&b.finished_at))
                .then_with(|| a.run.cmp(&b.run))
        });
        let mut profiles: HashMap<&str, Profile<'_>> = HashMap::new();
        for line in lines {
            profiles.entry(&line.profile).or_default().add(line);
        }
        Self { profiles }
    }

    /// A step's results on a profile, oldest first.
    pub(super) fn step(&self, profile: &str, id: &Id) -> &[Recorded<'a>] {
        self.profiles
            .get(profile)
            .and_then(|profile| profile.steps.get(id))
            .map_or(&[], Vec::as_slice)
    }

    /// A guide's runs on a profile, oldest first.
    pub(super) fn guide(&self, profile: &str, guide: &str) -> &[Cell] {
        self.profiles
            .get(profile)
            .and_then(|profile| profile.guides.get(guide))
            .map_or(&[], Vec::as_slice)
    }

    /// What was recorded last of a target's identity.
    pub(super) fn identity(
        &self,
        profile: &str,
        target: &str,
    ) -> Option<&BTreeMap<&'a str, &'a str>> {
        self.profiles.get(profile)?.identities.get(target)
    }
}

impl<'a> Profile<'a> {
    fn add(&mut self, line: &'a HistoryLine) {
        let mut worst: BTreeMap<&str, State> = BTreeMap::new();
        for step in &line.steps {
            self.steps
                .entry(&step.id)
                .or_default()
                .push(Recorded { line, step });
            let state = worst.entry(&step.id.guide).or_insert(step.state);
            *state = (*state).min(step.state);
            let identity = self.identities.entry(&step.target).or_default();
            identity.extend(
                step.identity
                    .iter()
                    .map(|(key, value)| (key.as_str(), value.as_str())),
            );
        }
        for (guide, state) in worst {
            self.guides
                .entry(guide)
                .or_default()
                .push(cell(line, &line.finished_at, state));
        }
    }
}

/// The cells of a step's results.
pub(super) fn cells(results: &[Recorded<'_>]) -> Vec<Cell> {
    results
        .iter()
        .map(|result| cell(result.line, &result.step.finished_at, result.step.state))
        .collect()
}

fn cell(line: &HistoryLine, finished_at: &str, state: State) -> Cell {
    Cell {
        run: line.run.clone(),
        finished_at: finished_at.to_owned(),
        state,
        profile: line.profile.clone(),
        revision: line.revision.clone(),
    }
}

/// The last cells.
pub(super) fn strip(cells: &[Cell]) -> Vec<Cell> {
    cells[cells.len().saturating_sub(STRIP_RUNS_MAX)..].to_vec()
}

/// The row of failures at the end; runs that say nothing (skipped, pending) do not end it.
pub(super) fn failing(cells: &[Cell]) -> Option<Failing> {
    let mut found: Option<Failing> = None;
    for cell in cells.iter().rev() {
        match cell.state {
            State::Passed => break,
            State::Skipped | State::Pending => {}
            State::Failed | State::TimedOut | State::Aborted | State::Drifted | State::Blocked => {
                found = Some(Failing {
                    run: cell.run.clone(),
                    since: cell.finished_at.clone(),
                    revision: cell.revision.clone(),
                    runs: found.map_or(0, |failing| failing.runs) + 1,
                });
            }
        }
    }
    found
}

/// A recorded time; one that cannot be read is the oldest.
pub(super) fn time_of(text: &str) -> Timestamp {
    text.parse().unwrap_or(Timestamp::MIN)
}
