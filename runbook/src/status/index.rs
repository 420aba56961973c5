//! The records by profile and step, in the order of time; the strips and the rows of failures in them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::{Cell, Failing, Run, STRIP_RUNS_MAX};
use crate::id::Id;
use crate::outcome::State;
use crate::report::{HistoryLine, HistoryStep};

/// A step's result and the run it is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recorded<'a> {
    pub(super) run: &'a Arc<Run>,
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

/// The runs of some records, oldest first.
pub(super) fn ordered(lines: &[HistoryLine]) -> Vec<(Arc<Run>, &HistoryLine)> {
    let mut lines: Vec<(jiff::Timestamp, &HistoryLine)> = lines
        .iter()
        .map(|line| (time_of(&line.finished_at), line))
        .collect();
    lines.sort_by(|(a_time, a), (b_time, b)| a_time.cmp(b_time).then_with(|| a.run.cmp(&b.run)));
    let run = |line: &HistoryLine| Run {
        id: line.run.clone(),
        finished_at: line.finished_at.clone(),
        profile: line.profile.clone(),
        revision: line.revision.clone(),
    };
    lines
        .into_iter()
        .map(|(_, line)| (Arc::new(run(line)), line))
        .collect()
}

impl<'a> Index<'a> {
    pub(super) fn new(runs: &'a [(Arc<Run>, &'a HistoryLine)]) -> Self {
        let mut profiles: HashMap<&str, Profile<'_>> = HashMap::new();
        for (run, line) in runs {
            profiles.entry(&line.profile).or_default().add(run, line);
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
    fn add(&mut self, run: &'a Arc<Run>, line: &'a HistoryLine) {
        let mut worst: HashMap<&str, State> = HashMap::new();
        for step in &line.steps {
            self.steps
                .entry(&step.id)
                .or_default()
                .push(Recorded { run, line, step });
            let state = worst.entry(&step.id.guide).or_insert(step.state);
            *state = (*state).min(step.state);
            if !step.identity.is_empty() {
                let identity = self.identities.entry(&step.target).or_default();
                identity.extend(
                    step.identity
                        .iter()
                        .map(|(key, value)| (key.as_str(), value.as_str())),
                );
            }
        }
        for (guide, state) in worst {
            self.guides.entry(guide).or_default().push(Cell {
                run: Arc::clone(run),
                state,
            });
        }
    }
}

/// The last cells of a step.
pub(super) fn step_strip(results: &[Recorded<'_>]) -> Vec<Cell> {
    let last = &results[results.len().saturating_sub(STRIP_RUNS_MAX)..];
    last.iter()
        .map(|result| Cell {
            run: Arc::clone(result.run),
            state: result.step.state,
        })
        .collect()
}

/// The last cells of a guide.
pub(super) fn guide_strip(cells: &[Cell]) -> Vec<Cell> {
    cells[cells.len().saturating_sub(STRIP_RUNS_MAX)..].to_vec()
}

/// The row of failures at the end; runs that say nothing (skipped, pending) do not end it.
pub(super) fn failing<'a>(
    newest_first: impl Iterator<Item = (&'a Arc<Run>, State)>,
) -> Option<Failing> {
    let mut first = None;
    let mut runs = 0;
    for (run, state) in newest_first {
        match state {
            State::Passed => break,
            State::Skipped | State::Pending => {}
            State::Failed | State::TimedOut | State::Aborted | State::Drifted | State::Blocked => {
                first = Some(run);
                runs += 1;
            }
        }
    }
    first.map(|run| Failing {
        since: Arc::clone(run),
        runs,
    })
}

/// A recorded time; one that cannot be read is the oldest.
pub(super) fn time_of(text: &str) -> Timestamp {
    text.parse().unwrap_or(Timestamp::MIN)
}
