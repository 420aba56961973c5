//! What was recorded of a book's runs, read from `.runbook/` beside its `book.toml`. Reads only.
//!
//! `history.jsonl` gives the results of every run; the evidence of a result stands in its run's `events.jsonl`, which may be
//! gone (an imported history, a run beyond `keep`): then the state is known without evidence. A newer version is refused, never
//! guessed at; a last line that a killed runner left torn was never recorded.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use runbook::event::{
    Event, EventKind, Excerpt, RunFinished, RunStarted, StepFinished, UndoFinished,
};
use runbook::id::Id;
use runbook::records::{RecordError, Records, parse_event, parse_history};
use runbook::report::HistoryLine;
use thiserror::Error;

/// How many of the newest runs have a page with all their evidence, beside those that hold a step's newest result.
pub const FULL_RUNS_MAX: usize = 10;
/// How much of a step's output is kept from a journal: a page shows no more.
pub const OUTPUT_BYTES_MAX: usize = 8 * 1024;
/// How large a history may be.
const HISTORY_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// How long one line of a journal may be.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

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
    /// What it says cannot be used.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl RecordsError {
    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Read { .. } => "make the file readable, or remove it to begin a new history",
            Self::Record(error) => error.hint(),
        }
    }
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
    /// Its results in the order in which they came: the step or item and the moment it ended.
    pub steps: Vec<(Id, String)>,
    /// What was taken back.
    pub undone: Vec<UndoFinished>,
}

/// What was recorded of a book.
#[derive(Debug, Default)]
pub struct Recorded {
    /// The whole history as it stands on disk, to be published.
    pub history: String,
    /// Its lines, and the evidence of the runs in [`Self::journals`].
    pub records: Records,
    /// The journals that were read, by run.
    pub journals: BTreeMap<String, Journal>,
}

impl Recorded {
    /// Reads the records of the book in `root`; a book that never ran has none.
    ///
    /// # Errors
    /// When a file is there and cannot be read, is broken, or is of a newer version.
    pub fn load(root: &Path) -> Result<Self, RecordsError> {
        let folder = root.join(".runbook");
        let path = folder.join("history.jsonl");
        let Some(history) = read_history(&path)? else {
            return Ok(Self::default());
        };
        let lines = parse_history(&history, ".runbook/history.jsonl")?;
        let mut recorded = Self {
            records: Records {
                lines,
                ..Records::default()
            },
            history,
            journals: BTreeMap::new(),
        };
        let runs = needed(&recorded.records.lines);
        for run in runs {
            let path = folder.join("runs").join(&run).join("events.jsonl");
            let place = format!(".runbook/runs/{run}/events.jsonl");
            recorded.read_journal(&run, &path, &place)?;
        }
        Ok(recorded)
    }

    fn read_journal(&mut self, run: &str, path: &Path, place: &str) -> Result<(), RecordsError> {
        let error = |source| RecordsError::Read {
            path: path.to_owned(),
            source,
        };
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(error(source)),
        };
        let mut reader = BufReader::with_capacity(64 * 1024, file);
        let mut journal: Option<Journal> = None;
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = (&mut reader)
                .take(LINE_BYTES_MAX)
                .read_until(b'\n', &mut line);
            let read = read.map_err(error)? as u64;
            if read == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
                let reason = format!("the line is longer than {LINE_BYTES_MAX} bytes");
                let place = format!("{place}:{number}");
                return Err(RecordError::Broken { place, reason }.into());
            }
            // A last line without its end was never recorded.
            if read == 0 || line.last() != Some(&b'\n') {
                break;
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let place = || format!("{place}:{number}");
            let text = std::str::from_utf8(&line).map_err(|error| RecordError::Broken {
                place: place(),
                reason: error.to_string(),
            })?;
            let event = parse_event(text, place)?;
            self.take(run, &mut journal, event);
        }
        if let Some(journal) = journal {
            self.journals.insert(run.to_owned(), journal);
        }
        Ok(())
    }

    fn take(&mut self, run: &str, journal: &mut Option<Journal>, event: Event) {
        match (event.kind, journal) {
            (EventKind::RunStarted(started), journal) => {
                *journal = Some(Journal {
                    started,
                    started_at: event.at,
                    finished: None,
                    steps: Vec::new(),
                    undone: Vec::new(),
                });
            }
            (EventKind::StepFinished(mut step), Some(journal)) => {
                prune(&mut step);
                journal.steps.push((step.id.clone(), event.at));
                let key = (run.to_owned(), step.id.clone());
                self.records.evidence.insert(key, *step);
            }
            (EventKind::UndoFinished(undo), Some(journal)) => journal.undone.push(undo),
            (EventKind::RunFinished(end), Some(journal)) => journal.finished = Some(end),
            _ => {}
        }
    }
}

/// The text of the history up to its last whole line; `None` when there is none.
fn read_history(path: &Path) -> Result<Option<String>, RecordsError> {
    let error = |source| RecordsError::Read {
        path: path.to_owned(),
        source,
    };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(error(source)),
    };
    let mut text = String::new();
    let read = file
        .take(HISTORY_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(error)?;
    if read as u64 > HISTORY_BYTES_MAX {
        let message = format!("it is larger than {HISTORY_BYTES_MAX} bytes");
        return Err(error(io::Error::other(message)));
    }
    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    Ok(Some(text))
}

/// The runs whose journals the site needs: the newest, and those that hold some step's newest result.
fn needed(lines: &[HistoryLine]) -> Vec<String> {
    let mut newest: Vec<&HistoryLine> = lines.iter().collect();
    newest.sort_by(|a, b| (&b.finished_at, &b.run).cmp(&(&a.finished_at, &a.run)));
    let mut seen = HashSet::new();
    let mut wanted = Vec::new();
    for (age, line) in newest.into_iter().enumerate() {
        let mut fresh = false;
        for step in &line.steps {
            fresh |= seen.insert((&line.profile, &step.id));
        }
        if fresh || age < FULL_RUNS_MAX {
            wanted.push(line.run.clone());
        }
    }
    wanted
}

/// Drops what no page shows: a run of many loud steps must not fill the memory.
fn prune(step: &mut StepFinished) {
    if let Some(output) = &mut step.output {
        output.stdout = Excerpt::default();
        output.stderr = Excerpt::default();
        keep(&mut output.both);
    }
}

/// Cuts an excerpt to [`OUTPUT_BYTES_MAX`], half of it from each end, at lines where there are any.
fn keep(excerpt: &mut Excerpt) {
    if excerpt.head.len() + excerpt.tail.len() <= OUTPUT_BYTES_MAX {
        return;
    }
    let half = OUTPUT_BYTES_MAX / 2;
    let last = if excerpt.tail.is_empty() {
        &excerpt.head
    } else {
        &excerpt.tail
    };
    excerpt.tail = back(last, half).to_owned();
    excerpt.head = front(&excerpt.head, half).to_owned();
}

/// The beginning of a text, at most so many bytes, up to a line's end where that is not far.
pub(crate) fn front(text: &str, bytes: usize) -> &str {
    let end = text.floor_char_boundary(bytes);
    let cut = &text[..end];
    cut.rfind('\n')
        .filter(|at| end < text.len() && *at > end / 2)
        .map_or(cut, |at| &cut[..=at])
}

/// The end of a text, at most so many bytes, from a line's beginning where that is not far.
pub(crate) fn back(text: &str, bytes: usize) -> &str {
    let start = text.ceil_char_boundary(text.len().saturating_sub(bytes));
    let cut = &text[start..];
    cut.find('\n')
        .filter(|at| start > 0 && *at < cut.len() / 2)
        .map_or(cut, |at| &cut[at + 1..])
}

#[cfg(test)]
mod tests;
