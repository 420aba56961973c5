//! How a book stands: of each step the newest result and what it is worth today, of each guide its worst step.
//!
//! Pure: the records and the time are handed in. What a result says is never made better than it is: a guide *holds* only
//! when each of its due steps passed on its own, on the profile that is asked for. A lab result shows where there is none of
//! that profile, and is labelled by its profile.

mod assess;
mod freshness;
mod index;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

pub use self::assess::assess;
use crate::id::Id;
use crate::model::Vars;
use crate::outcome::{Freshness, Mode, Standing, State, Verify};
use crate::report::{REPORT_VERSION, Status, StatusGuide, StatusItem, StatusStep};

/// How many runs a strip shows.
pub const STRIP_RUNS_MAX: usize = 30;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    /// The profile; the lab's results show where it has none.
    pub profile: &'a str,
    /// The time.
    pub now: Timestamp,
    /// Values of `--var`.
    pub vars: &'a Vars,
}

/// How a book stands.
#[derive(Debug, Clone)]
pub struct StatusView {
    /// The profile that was asked for.
    pub profile: String,
    /// Every guide of the book, those without steps too.
    pub guides: Vec<GuideView>,
}

/// How a guide stands.
#[derive(Debug, Clone)]
pub struct GuideView {
    /// Full ID.
    pub id: Id,
    /// Title.
    pub title: String,
    /// The effective mode.
    pub verify: Verify,
    /// Its worst step; `None` when nothing ever ran.
    pub state: Option<State>,
    /// What its results are worth: stale when one is, else old when one is.
    pub freshness: Freshness,
    /// The profile of its results: the one that was asked for when a step ran on it, else the lab.
    pub profile: Option<String>,
    /// Steps by state; steps that never ran are under `never-run`.
    pub counts: BTreeMap<String, u32>,
    /// The steps that are due: not those left out by `when`, nor those that run only when asked.
    pub due: u32,
    /// The due steps that passed on their own, on [`Self::profile`].
    pub verified: u32,
    /// Its steps, in the page's order.
    pub steps: Vec<StepView>,
    /// Its last runs, oldest first.
    pub strip: Vec<Cell>,
    /// When the newest result was recorded.
    pub finished_at: Option<String>,
    /// The run of the newest result.
    pub run: Option<String>,
    /// Since when it does not hold.
    pub failing: Option<Failing>,
    /// The first of its worst steps, when it does not hold: its ID and what it said in one line.
    pub finding: Option<(Id, String)>,
}

/// How a step stands.
#[derive(Debug, Clone)]
pub struct StepView {
    /// Full ID.
    pub id: Id,
    /// Title.
    pub title: String,
    /// How it ended; `None` of a step that never ran.
    pub state: Option<State>,
    /// What that is worth today.
    pub freshness: Freshness,
    /// Why it is stale.
    pub stale: Option<String>,
    /// How far the state stands for itself.
    pub standing: Standing,
    /// The profile it ran on.
    pub profile: Option<String>,
    /// The target's text.
    pub target: Option<String>,
    /// When it ended.
    pub finished_at: Option<String>,
    /// How long it took.
    pub duration_ms: Option<u64>,
    /// The run.
    pub run: Option<String>,
    /// The run's mode.
    pub mode: Option<Mode>,
    /// The book's commit of that run.
    pub revision: Option<String>,
    /// The first line of the failure or the reason.
    pub message: Option<String>,
    /// Items of `each`.
    pub items: Vec<StatusItem>,
    /// Its last runs on that profile, oldest first.
    pub strip: Vec<Cell>,
    /// Since when it fails.
    pub failing: Option<Failing>,
}

/// A run in a strip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The run, shared by all that it is of.
    pub run: Arc<Run>,
    /// How the step, or the worst step of the guide, ended in it.
    pub state: State,
}

/// A run, as far as strips tell of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// Its ID.
    pub id: String,
    /// When it ended.
    pub finished_at: String,
    /// The profile.
    pub profile: String,
    /// The book's commit.
    pub revision: Option<String>,
}

/// Since when something does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// The first run of the row.
    pub since: Arc<Run>,
    /// How many runs in a row.
    pub runs: u32,
}

impl GuideView {
    /// Whether it holds: every due step passed on its own, on the guide's profile.
    pub fn holds(&self) -> bool {
        self.state == Some(State::Passed) && self.verified == self.due && self.due > 0
    }

    /// The word for its state: `holds`; else the state, with the fraction where steps were skipped, never ran or did not stand
    /// for themselves: `passed, 9 of 14 verified`.
    pub fn word(&self) -> String {
        match self.state {
            None => Freshness::NeverRun.as_str().into(),
            Some(_) if self.holds() => "holds".into(),
            Some(State::Skipped) => State::Skipped.as_str().into(),
            Some(state) if self.is_partial() => format!("{state}, {}", self.fraction()),
            Some(state) => state.as_str().into(),
        }
    }

    /// `9 of 14 verified`.
    pub fn fraction(&self) -> String {
        format!("{} of {} verified", self.verified, self.due)
    }

    fn is_partial(&self) -> bool {
        self.steps.iter().any(|step| match step.state {
            Some(State::Skipped) => step.standing != Standing::NotDue,
            Some(_) => step.standing != Standing::Own || step.profile != self.profile,
            None => true,
        })
    }
}

impl StatusView {
    /// The machine form; guides without steps are left out.
    pub fn report(&self, generated_at: &str) -> Status {
        let guides = self
            .guides
            .iter()
            .filter(|guide| !guide.steps.is_empty())
            .map(GuideView::report)
            .collect();
        Status {
            version: REPORT_VERSION,
            generated_at: generated_at.to_owned(),
            guides,
        }
    }
}

impl GuideView {
    fn report(&self) -> StatusGuide {
        StatusGuide {
            id: self.id.clone(),
            title: self.title.clone(),
            state: self.state,
            counts: self.counts.clone(),
            steps: self.steps.iter().map(StepView::report).collect(),
        }
    }
}

impl StepView {
    fn report(&self) -> StatusStep {
        StatusStep {
            id: self.id.clone(),
            state: self.state,
            freshness: self.freshness,
            profile: self.profile.clone(),
            target: self.target.clone(),
            finished_at: self.finished_at.clone(),
            duration_ms: self.duration_ms,
            run: self.run.clone(),
            items: self.items.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
