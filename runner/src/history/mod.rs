//! The history of a book's runs: one line a run in `.runbook/history.jsonl`, and an SQLite index over it for questions.
//!
//! Both are derived: the lines from the runs' journals (and from a published site, so that nights in fresh checkouts make one
//! history), the index from the lines. Losing the index loses nothing; it is rebuilt when it is missing or of another version.

mod fetch;
mod index;
mod line;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use runbook::records::{RecordError, parse_history};
use runbook::report::{HISTORY_VERSION, HistoryLine};
use thiserror::Error;

pub use fetch::fetch;
pub use index::{Index, Trend};
pub use line::{LineBuilder, from_events};

use crate::exit;
use crate::journal::{self, RECORDS_DIR};
use crate::whole_file::{self, Owned};

/// How many runs the history holds; older ones are dropped when a run is added.
pub const RUNS_MAX: usize = 1_000;
/// How long one who changes the history waits for another one who does.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked whether the other one is done.
const LOCK_INTERVAL: Duration = Duration::from_millis(10);
/// How large a history may be that is read.
pub const HISTORY_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Why a history cannot be used.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// A file cannot be read or written.
    #[error("cannot {what} `{}`", path.display())]
    Io {
        /// read, write.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line is of a version this program does not know.
    #[error(
        "`{place}` is of version {version}, and this program knows versions up to {HISTORY_VERSION}"
    )]
    Newer {
        /// The file or URL, with its line.
        place: String,
        /// The version found.
        version: u64,
    },
    /// A line is no line of a history.
    #[error("`{place}` is not a line of a history: {message}")]
    Line {
        /// The file or URL, with its line.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// A run's journal cannot be read.
    #[error(transparent)]
    Journal(#[from] journal::ReadError),
    /// A published history cannot be fetched.
    #[error("cannot fetch `{url}`: {message}")]
    Fetch {
        /// From where.
        url: String,
        /// Why.
        message: String,
    },
    /// The index cannot be used.
    #[error("cannot use the index `{}`", path.display())]
    Index {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}

impl HistoryError {
    /// Whether the records are of a newer program (exit 3), not unusable (exit 4).
    pub fn is_invalid(&self) -> bool {
        use journal::ReadError::Record;
        matches!(
            self,
            Self::Newer { .. } | Self::Line { .. } | Self::Journal(Record(_))
        )
    }
}

/// The path of a book's history.
pub fn path(book_root: &Path) -> PathBuf {
    book_root.join(RECORDS_DIR).join("history.jsonl")
}

/// Reads a book's history, oldest first; empty when there is none.
///
/// # Errors
/// When the file cannot be read, or a line is broken or of a newer version.
pub fn load(book_root: &Path) -> Result<Vec<HistoryLine>, HistoryError> {
    let path = path(book_root);
    match fs::read_to_string(&path) {
        Ok(text) => parse(&text, &path.display().to_string()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(HistoryError::Io {
            what: "read",
            path,
            source,
        }),
    }
}

/// Reads the lines of a history. A last line without its end is what a killed program left, and is passed over.
///
/// # Errors
/// When a line is broken or of a newer version: `place` says where.
pub fn parse(text: &str, place: &str) -> Result<Vec<HistoryLine>, HistoryError> {
    parse_history(text, place).map_err(|error| match error {
        RecordError::Newer { place, version, .. } => HistoryError::Newer { place, version },
        RecordError::Broken { place, reason } => HistoryError::Line {
            place,
            message: reason,
        },
    })
}

/// Adds runs to a book's history: those whose ID it has already are passed over, unless it has them as interrupted. Written beside and renamed, so that a full disk
/// or a kill loses nothing that was recorded before. The index follows.
///
/// # Errors
/// When the history cannot be read or written.
pub fn add(
    book_root: &Path,
    new: impl IntoIterator<Item = HistoryLine>,
) -> Result<Vec<HistoryLine>, HistoryError> {
    let _alone = alone(book_root)?;
    let mut lines = load(book_root)?;
    let (mut changed, mut replaced) = (false, false);
    for line in new {
        match lines.iter_mut().find(|known| known.run == line.run) {
            None => lines.push(line),
            // It was told as interrupted while it still went on (where nobody can lock a journal): its own end wins.
            Some(known) if known.exit_code == exit::INTERRUPTED && *known != line => {
                *known = line;
                replaced = true;
            }
            Some(_) => continue,
        }
        changed = true;
    }
    if !changed && path(book_root).exists() {
        return Ok(lines);
    }
    in_order(&mut lines);
    let surplus = lines.len().saturating_sub(RUNS_MAX);
    lines.drain(..surplus);
    write(book_root, &lines)?;
    if replaced {
        Index::rebuild(book_root, &lines)?;
    } else {
        Index::open(book_root)?.sync(&lines)?;
    }
    Ok(lines)
}

/// Reads a book's history, and adds the runs that have a journal and no line: those whose runner was killed. One that goes on is
/// left alone. Where the history cannot be written they are known all the same.
///
/// # Errors
/// When the history or such a journal cannot be read, is broken or of a newer version.
pub fn recover(book_root: &Path) -> Result<Vec<HistoryLine>, HistoryError> {
    let mut lines = load(book_root)?;
    let lost = without_line(book_root, &lines)?;
    if lost.is_empty() {
        return Ok(lines);
    }
    match add(book_root, lost.iter().cloned()) {
        Err(HistoryError::Io { what: "write", .. } | HistoryError::Index { .. }) => {
            lines.extend(lost);
            in_order(&mut lines);
            Ok(lines)
        }
        added => added,
    }
}

/// The runs that have a journal with a beginning, no line, and nobody who still writes them.
fn without_line(book_root: &Path, lines: &[HistoryLine]) -> Result<Vec<HistoryLine>, HistoryError> {
    let known: HashSet<&str> = lines.iter().map(|line| line.run.as_str()).collect();
    let mut found = Vec::new();
    for path in journal::paths(book_root) {
        let run = path.parent().and_then(Path::file_name);
        let is_known = run
            .and_then(OsStr::to_str)
            .is_some_and(|run| known.contains(run));
        if is_known || journal::goes_on(&path) {
            continue;
        }
        let events = match journal::read(&path) {
            Err(error) if error.is_absent() => continue,
            read => read?,
        };
        found.extend(from_events(&events));
    }
    Ok(found)
}

/// Makes the history anew from the journals that are there, keeping the lines whose journals are gone.
///
/// # Errors
/// When a journal or the history cannot be read or written.
pub fn rebuild(book_root: &Path) -> Result<usize, HistoryError> {
    let _alone = alone(book_root)?;
    let mut lines = load(book_root)?;
    for path in journal::paths(book_root) {
        // What cannot be read is told: a history without that run would look whole.
        let events = match journal::read(&path) {
            Err(error) if error.is_absent() => continue,
            read => read?,
        };
        if let Some(line) = from_events(&events) {
            lines.retain(|known| known.run != line.run);
            lines.push(line);
        }
    }
    in_order(&mut lines);
    write(book_root, &lines)?;
    Index::rebuild(book_root, &lines)?;
    Ok(lines.len())
}

/// The right to change the history, as long as it is held: runs that end together would else lose each other's lines.
fn alone(book_root: &Path) -> Result<File, HistoryError> {
    let dir = book_root.join(RECORDS_DIR);
    let path = dir.join("history.lock");
    let failed = |source| HistoryError::Io {
        what: "write",
        path: path.clone(),
        source,
    };
    fs::create_dir_all(&dir).map_err(failed)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_INTERVAL);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(failed(io::Error::other(
                    "another program has been changing the history for too long",
                )));
            }
            // Where files cannot be locked, the journals are the way back: see `recover`.
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
}

/// Oldest first.
fn in_order(lines: &mut [HistoryLine]) {
    lines.sort_by(|a, b| {
        a.started_at
            .cmp(&b.started_at)
            .then_with(|| a.run.cmp(&b.run))
    });
}

fn write(book_root: &Path, lines: &[HistoryLine]) -> Result<(), HistoryError> {
    let path = path(book_root);
    let dir = book_root.join(RECORDS_DIR);
    let failed = |source| HistoryError::Io {
        what: "write",
        path: path.clone(),
        source,
    };
    fs::create_dir_all(&dir).map_err(failed)?;
    whole_file::write_with(&path, Owned::at(&path), |out| {
        for line in lines {
            serde_json::to_writer(&mut *out, line)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })
    .map_err(|error| failed(error.into_io()))
}

#[cfg(test)]
mod tests;
