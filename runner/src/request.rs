//! What a run is asked for, and what it says at the end.
//!
//! Types only; whoever starts a run (the command line, a server, a test) fills them in.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use runbook::book::UnknownId;
use runbook::event::StepFinished;
use runbook::id::Id;
use runbook::model::Vars;
use runbook::outcome::{Mode, State};

use crate::exit;
use crate::reach::Reach;
use crate::sink::SinkError;

/// Which command asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `verify`: each guide in its own mode; pending steps do not count.
    Verify,
    /// `run`: `converge`; pending steps end it with exit code 5.
    Run,
}

/// What a run is asked for.
#[derive(Clone)]
pub struct RunRequest {
    /// The run's ID: `YYYYMMDDTHHMMSSZ-xxxx`.
    pub run: String,
    /// Which command asks.
    pub purpose: Purpose,
    /// Guides, sections, steps; empty for everything.
    pub ids: Vec<Id>,
    /// Only guides with one of these tags; empty for all.
    pub tags: Vec<String>,
    /// `--mode`; else [`Purpose`] decides.
    pub mode: Option<Mode>,
    /// The profile's name, one that exists.
    pub profile: String,
    /// `--var`.
    pub vars: Vars,
    /// How many guides run at a time, at least 1.
    pub jobs: usize,
    /// `--strict`: skipped is failed, and pending counts in `verify` too.
    pub strict: bool,
    /// `--with-needs`: what the IDs need runs too.
    pub with_needs: bool,
    /// `--from`: the guide of this ID, from there.
    pub from: Option<Id>,
    /// The folder with `book.toml`.
    pub root: PathBuf,
    /// The nearest folder with `.git` upward, else `root`.
    pub repository: PathBuf,
    /// The run's directory (`.runbook/runs/ID`), for `artifacts/`; without it none are kept.
    pub directory: Option<PathBuf>,
    /// The book's commit.
    pub revision: Option<String>,
    /// Who asks.
    pub by: Option<String>,
    /// Somebody who can answer; without one `manual` is pending.
    pub person: Option<Arc<dyn Person>>,
    /// Newest results of earlier runs.
    pub earlier: Arc<dyn Earlier>,
    /// How other machines are reached; without it as the profile says, and in the lab not at all.
    pub reach: Option<Arc<dyn Reach>>,
}

impl RunRequest {
    /// A run of everything on the lab, for the book in `root`; fields are changed afterwards.
    pub fn new(run: impl Into<String>, purpose: Purpose, root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self {
            run: run.into(),
            purpose,
            ids: Vec::new(),
            tags: Vec::new(),
            mode: None,
            profile: LAB.to_owned(),
            vars: Vars::new(),
            jobs: JOBS_DEFAULT,
            strict: false,
            with_needs: false,
            from: None,
            repository: root.clone(),
            root,
            directory: None,
            revision: None,
            by: None,
            person: None,
            earlier: Arc::new(NothingEarlier),
            reach: None,
        }
    }

    /// Whether the profile is the lab.
    pub fn is_lab(&self) -> bool {
        self.profile == LAB
    }
}

/// The profile that is built in.
pub const LAB: &str = "lab";
/// How many guides run at a time unless asked otherwise.
pub const JOBS_DEFAULT: usize = 4;

/// A person who does what `manual` asks for.
pub trait Person: Send + Sync {
    /// Asks; waits without end (the run drops the future when it is stopped).
    fn ask<'a>(
        &'a self,
        question: Question<'a>,
    ) -> Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;
}

/// What a person is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The step.
    pub id: &'a Id,
    /// The step's title.
    pub title: &'a str,
    /// `prompt`, rendered and redacted.
    pub prompt: &'a str,
    /// `evidence`: `none`, `note` or `file`.
    pub evidence: &'a str,
}

/// What a person answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done; the note, or the path of the file, when evidence was asked for.
    Done(Option<String>),
    /// It cannot be done; why.
    Failed(String),
    /// Nobody is there, or not now: the step is pending.
    Later,
}

/// Newest results of earlier runs on this profile.
pub trait Earlier: Send + Sync {
    /// The newest result of a step (without item: of the step as a whole).
    fn newest(&self, id: &Id) -> Option<StepFinished>;
}

/// There was no earlier run.
#[derive(Debug, Clone, Copy)]
pub struct NothingEarlier;

impl Earlier for NothingEarlier {
    fn newest(&self, _: &Id) -> Option<StepFinished> {
        None
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct RunResult {
    /// How many steps ended in which state.
    pub counts: BTreeMap<State, u32>,
    /// The exit code, as in the last event, but for `error`.
    pub exit_code: u8,
    /// What could not be taken back, one line each.
    pub left_behind: Vec<String>,
    /// The first sink that could not go on.
    pub error: Option<SinkError>,
}

/// How guides of a tag are named where nothing was found in them.
pub(crate) const TAGGED: &str = "guides tagged";

/// Why a run did not begin: no event was emitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// An ID that names nothing.
    #[error(transparent)]
    UnknownId(UnknownId),
    /// There is nothing to run.
    #[error("no steps found{}", if .what.is_empty() { String::new() } else { format!(" in {}", .what) })]
    NoSteps {
        /// Where was looked: the IDs or tags that were asked for.
        what: String,
    },
    /// `rehearse` on a real profile.
    #[error("profile `{profile}` cannot be rehearsed on yet")]
    Rehearse {
        /// The profile.
        profile: String,
    },
    /// A variable without a value that a due step uses.
    #[error("variable `{name}` has no value; step `{id}` uses it")]
    Variable {
        /// Its name.
        name: String,
        /// The first step that uses it.
        id: String,
    },
    /// Steps that wait for each other.
    #[error("steps wait for each other: {}", .ids.join(" → "))]
    Cycle {
        /// The steps, the first again at the end.
        ids: Vec<String>,
    },
    /// Rights that the steps need and that are missing: nothing was begun.
    #[error("profile `{profile}` lacks rights that this run needs:\n  {}", .lines.join("\n  "))]
    Rights {
        /// The profile.
        profile: String,
        /// What is missing, where, and for which steps.
        lines: Vec<String>,
        /// What grants the first of them.
        hint: String,
    },
    /// A directory for the run cannot be made.
    #[error("`{path}` cannot be made: {why}")]
    Scratch {
        /// The directory.
        path: String,
        /// What the system says.
        why: String,
    },
}

impl RunError {
    /// The exit code that it means.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::UnknownId(_) | Self::Rehearse { .. } | Self::Variable { .. } => exit::USAGE,
            Self::NoSteps { .. } | Self::Cycle { .. } => exit::BOOK_INVALID,
            Self::Rights { .. } | Self::Scratch { .. } => exit::UNAVAILABLE,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownId(unknown) => unknown.hint.clone(),
            Self::NoSteps { what } if what.contains(TAGGED) => {
                Some("tags stand in the front matter of guides: `tags: [NAME]`".to_owned())
            }
            Self::NoSteps { what } if what.is_empty() => Some(
                "guides with `verify: asked` run on a real profile when their ID is given"
                    .to_owned(),
            ),
            Self::NoSteps { .. } => {
                Some("a step is a fence with the word `runbook` in its first line".to_owned())
            }
            Self::Rehearse { .. } => {
                Some("use the profile `lab`, or `--mode observe` or `--mode converge`".to_owned())
            }
            Self::Variable { name, .. } => Some(format!("give it with `--var {name}=VALUE`")),
            Self::Cycle { .. } => Some("take one of the `needs` away".to_owned()),
            Self::Rights { hint, .. } => Some(hint.clone()),
            Self::Scratch { .. } => {
                Some("free some space, or set TMPDIR to a folder that can be written".to_owned())
            }
        }
    }
}
