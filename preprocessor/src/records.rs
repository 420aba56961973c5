//! What was recorded of a book's runs, read from `.runbook/` beside its `book.toml`. Reads only.
//!
//! `history.jsonl` gives the results of every run; the evidence of a result stands in its run's `events.jsonl`, which may be gone (an
//! imported history, a run beyond `keep`): then the state is known without evidence. A newer version is refused, never guessed at.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use runbook::event::{
    EVENTS_VERSION, Event, EventKind, RunFinished, RunStarted, StepFinished, UndoFinished,
};
use runbook::id::Id;
use runbook::report::{HISTORY_VERSION, HistoryLine};
use thiserror::Error;

/// How many runs of the history the site looks at: its strips show no more.
pub const RUNS_MAX: usize = 30;

/// Why records cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordsError {
    /// A file is there and cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file was written by a newer program.
    #[error("`{}` is of version {version}, and this program knows versions up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version found.
        version: u64,
        /// The version known.
        known: u32,
    },
    /// A line is none of ours.
    #[error("`{}:{line}` is broken: {message}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

/// A run whose journal is there.
#[derive(Debug, Clone)]
pub struct Journal {
    /// Its head.
    pub started: RunStarted,
    /// When it began.
    pub started_at: String,
    /// Its end; `None` when its runner was killed.
    pub finished: Option<RunFinished>,
    /// Its results in the order in which they came, with the moment each ended.
    pub steps: Vec<(StepFinished, String)>,
    /// What was taken back.
    pub undone: Vec<UndoFinished>,
}

/// What was recorded of a book.
#[derive(Debug, Default)]
pub struct Records {
    /// The newest runs, at most [`RUNS_MAX`], oldest first.
    pub lines: Vec<HistoryLine>,
    /// The whole history as it stands on disk, to be published.
    pub history: String,
    /// The journals of those runs that are there.
    pub journals: HashMap<String, Journal>,
}

impl Records {
    /// Reads the records of the book in `root`; a book that never ran has none.
    ///
    /// # Errors
    /// When a file is there and cannot be read, or is of a newer version.
    pub fn load(root: &Path) -> Result<Self, RecordsError> {
        let path = root.join(".runbook").join("history.jsonl");
        let history = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(RecordsError::Read { path, source }),
        };
        let mut lines = Vec::new();
        for (index, text) in history.split_inclusive('\n').enumerate() {
            // The last line may be torn by a kill.
            if !text.trim().is_empty() && text.ends_with('\n') {
                lines.push(line(&path, index + 1, text)?);
            }
        }
        let surplus = lines.len().saturating_sub(RUNS_MAX);
        lines.drain(..surplus);
        let mut journals = HashMap::new();
        for line in needed(&lines) {
            let path = root
                .join(".runbook")
                .join("runs")
                .join(&line.run)
                .join("events.jsonl");
            if let Some(journal) = journal(&path)? {
                journals.insert(line.run.clone(), journal);
            }
        }
        Ok(Self {
            lines,
            history,
            journals,
        })
    }

    /// Everything that was recorded of a step's result in a run.
    pub fn evidence(&self) -> BTreeMap<(&str, &Id), &StepFinished> {
        self.journals
            .iter()
            .flat_map(|(run, journal)| {
                journal
                    .steps
                    .iter()
                    .map(move |(step, _)| ((run.as_str(), &step.id), step))
            })
            .collect()
    }
}

/// How many run pages a site has, beside those that hold a newest result.
const PAGES_MAX: usize = 10;

/// The runs whose journals the site needs: the newest, and those that hold some step's newest result.
fn needed(lines: &[HistoryLine]) -> Vec<&HistoryLine> {
    let mut seen = std::collections::HashSet::new();
    let mut wanted = Vec::new();
    for (age, line) in lines.iter().rev().enumerate() {
        let fresh = line.steps.iter().fold(false, |any, step| {
            seen.insert((&line.profile, &step.id)) || any
        });
        if fresh || age < PAGES_MAX {
            wanted.push(line);
        }
    }
    wanted
}

fn line(path: &Path, number: usize, text: &str) -> Result<HistoryLine, RecordsError> {
    let broken = |message: String| RecordsError::Line {
        path: path.to_owned(),
        line: number,
        message,
    };
    let newer = |version: u64| RecordsError::Newer {
        path: path.to_owned(),
        version,
        known: HISTORY_VERSION,
    };
    match serde_json::from_str::<HistoryLine>(text) {
        Ok(line) if line.version > HISTORY_VERSION => Err(newer(line.version.into())),
        Ok(line) => Ok(line),
        Err(error) => {
            let value: Option<serde_json::Value> = serde_json::from_str(text).ok();
            match value.and_then(|value| value.get("version")?.as_u64()) {
                Some(version) if version > HISTORY_VERSION.into() => Err(newer(version)),
                _ => Err(broken(error.to_string())),
            }
        }
    }
}

/// Reads a journal; `None` when it is not there or has no beginning.
fn journal(path: &Path) -> Result<Option<Journal>, RecordsError> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(RecordsError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    let mut reader = BufReader::new(file);
    let mut text = String::new();
    let mut journal: Option<Journal> = None;
    for number in 1.. {
        text.clear();
        let read = reader
            .read_line(&mut text)
            .map_err(|source| RecordsError::Read {
                path: path.to_owned(),
                source,
            })?;
        if read == 0 || !text.ends_with('\n') {
            break;
        }
        let event: Event = serde_json::from_str(&text).map_err(|error| RecordsError::Line {
            path: path.to_owned(),
            line: number,
            message: error.to_string(),
        })?;
        take(&mut journal, event, path)?;
    }
    Ok(journal)
}

fn take(journal: &mut Option<Journal>, event: Event, path: &Path) -> Result<(), RecordsError> {
    match (event.kind, journal) {
        (EventKind::RunStarted(started), journal) => {
            if started.version > EVENTS_VERSION {
                let version = started.version.into();
                return Err(RecordsError::Newer {
                    path: path.to_owned(),
                    version,
                    known: EVENTS_VERSION,
                });
            }
            let (steps, undone) = (Vec::new(), Vec::new());
            *journal = Some(Journal {
                started,
                started_at: event.at,
                finished: None,
                steps,
                undone,
            });
        }
        (EventKind::StepFinished(step), Some(journal)) => journal.steps.push((*step, event.at)),
        (EventKind::UndoFinished(undo), Some(journal)) => journal.undone.push(undo),
        (EventKind::RunFinished(end), Some(journal)) => journal.finished = Some(end),
        _ => {}
    }
    Ok(())
}
