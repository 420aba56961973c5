//! The journal of a run: `.runbook/runs/ID/events.jsonl`, from which everything else is derived.
//!
//! A line is written when its event happens, so that a killed runner loses nothing it told; it is synced to the disk before a
//! change starts and after it ended, and otherwise within [`SYNC_INTERVAL`]. Knows events, not steps: it decides nothing.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use runbook::event::{Event, EventKind};
use runbook::outcome::Effect;
use runbook::records::{RecordError, parse_events};
use thiserror::Error;

/// How long a line may wait for the disk when no change starts or ends.
pub const SYNC_INTERVAL: Duration = Duration::from_millis(900);

/// The folder of everything recorded, beside `book.toml`.
pub const RECORDS_DIR: &str = ".runbook";

/// Why a run cannot be recorded.
#[derive(Debug, Error)]
#[error("cannot write {what} `{}`", path.display())]
pub struct JournalError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl JournalError {
    fn new(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            what,
            path: path.to_owned(),
            source,
        }
    }
}

/// The folder of the runs of a book.
pub fn runs_dir(book_root: &Path) -> PathBuf {
    book_root.join(RECORDS_DIR).join("runs")
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    line: Vec<u8>,
    dirty: Arc<AtomicBool>,
    syncer: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Journal {
    /// Creates the run's directory and its empty journal. A directory of that name that is there already is an error: two runs
    /// never write one journal.
    ///
    /// # Errors
    /// When the directory or the file cannot be written (a read-only or full disk).
    pub fn create(book_root: &Path, run: &str) -> Result<Self, JournalError> {
        let runs = runs_dir(book_root);
        fs::create_dir_all(&runs)
            .map_err(|e| JournalError::new("the runs' directory", &runs, e))?;
        ignore_records(book_root);
        let dir = runs.join(run);
        fs::create_dir(&dir).map_err(|e| JournalError::new("the run's directory", &dir, e))?;
        let path = dir.join("events.jsonl");
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)
            .map_err(|e| JournalError::new("the journal", &path, e))?;
        // Who looks for runs without an end tells one that goes on from one whose runner was killed. Where a file cannot be locked
        // nobody can; nothing else depends on it.
        let _ = file.try_lock();
        let twin = file
            .try_clone()
            .map_err(|e| JournalError::new("the journal", &path, e))?;
        let dirty = Arc::new(AtomicBool::new(false));
        let syncer = Some(spawn_syncer(twin, Arc::clone(&dirty)));
        Ok(Self {
            dir,
            path,
            file,
            line: Vec::with_capacity(1024),
            dirty,
            syncer,
        })
    }

    /// The run's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Appends an event.
    ///
    /// # Errors
    /// When the line cannot be written or synced: nothing may be changed that is not recorded.
    pub fn append(&mut self, event: &Event) -> Result<(), JournalError> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, event)
            .map_err(|e| JournalError::new("the journal", &self.path, e.into()))?;
        self.line.push(b'\n');
        self.file
            .write_all(&self.line)
            .map_err(|e| JournalError::new("the journal", &self.path, e))?;
        if must_be_on_disk(event) {
            self.dirty.store(false, Ordering::Relaxed);
            self.file
                .sync_data()
                .map_err(|e| JournalError::new("the journal", &self.path, e))?;
        } else {
            self.dirty.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.syncer.take() {
            drop(stop);
            // The thread ends at once: it waits on the channel that was just closed.
            let _ = thread.join();
        }
        let _ = self.file.sync_data();
    }
}

/// Whether the line must be on the disk before the run goes on.
fn must_be_on_disk(event: &Event) -> bool {
    match &event.kind {
        EventKind::StepStarted(step) => step.effect != Effect::Read,
        EventKind::StepFinished(step) => step.changed || step.effect != Effect::Read,
        EventKind::UndoRegistered(_) | EventKind::UndoFinished(_) => true,
        EventKind::RunStarted(_) | EventKind::RunFinished(_) => true,
    }
}

fn spawn_syncer(file: File, dirty: Arc<AtomicBool>) -> (mpsc::Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(SYNC_INTERVAL) {
            if dirty.swap(false, Ordering::Relaxed) {
                let _ = file.sync_data();
            }
        }
    });
    (stop, thread)
}

/// Records are not part of the book's source: keeps them out of the repository without touching the author's own file.
fn ignore_records(book_root: &Path) {
    let path = book_root.join(RECORDS_DIR).join(".gitignore");
    if !path.exists() {
        // A missing ignore file harms no run.
        let _ = fs::write(path, "*\n");
    }
}

/// Removes the oldest runs beyond `keep`, by name (a run's ID begins with its time). The newest are never removed.
pub fn prune(book_root: &Path, keep: usize) {
    let Ok(entries) = fs::read_dir(runs_dir(book_root)) else {
        return;
    };
    let mut runs: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    runs.sort();
    let surplus = runs.len().saturating_sub(keep.max(1));
    for run in runs.into_iter().take(surplus) {
        // What cannot be removed now is tried again after the next run.
        let _ = fs::remove_dir_all(run);
    }
}

/// Where the journals of a book's runs are: of all that have a directory.
pub fn paths(book_root: &Path) -> impl Iterator<Item = PathBuf> {
    let runs = fs::read_dir(runs_dir(book_root)).into_iter().flatten();
    runs.flatten().map(|run| run.path().join("events.jsonl"))
}

/// Whether a journal's run goes on: its runner holds a lock on it for as long as it lives.
pub fn goes_on(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Why a journal cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read the journal `{}`", path.display())]
    File {
        /// The journal.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is of a newer version, or broken.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl ReadError {
    /// Whether there is no such journal: an imported run, or one beyond `keep`.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Reads a journal. A last line without its end is what a killed runner left, and is passed over.
///
/// # Errors
/// When the file cannot be read, is of a newer version, or a whole line is no event.
pub fn read(path: &Path) -> Result<Vec<Event>, ReadError> {
    let mut bytes = fs::read(path).map_err(|source| ReadError::File {
        path: path.to_owned(),
        source,
    })?;
    // Before the text is looked at: a torn line may end inside a character.
    bytes.truncate(
        bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1),
    );
    let place = path.display().to_string();
    let text = String::from_utf8(bytes).map_err(|error| RecordError::Broken {
        place: place.clone(),
        reason: error.to_string(),
    })?;
    Ok(parse_events(&text, &place)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use runbook::event::RunFinished;

    fn finished() -> Event {
        let end = RunFinished {
            counts: Default::default(),
            stand_in: 0,
            exit_code: 0,
            duration_ms: 1,
            left_behind: Vec::new(),
        };
        Event {
            kind: EventKind::RunFinished(end),
            at: "2026-11-24T00:00:00Z".into(),
        }
    }

    #[test]
    fn what_was_appended_reads_back_without_a_torn_last_line() {
        let root = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(root.path(), "20261124T000000Z-0000").unwrap();
        journal.append(&finished()).unwrap();
        let path = journal.dir().join("events.jsonl");
        drop(journal);
        OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"{\"event\":\"run-fin\xC3")
            .unwrap();
        assert_eq!(read(&path).unwrap(), [finished()]);
    }

    #[test]
    fn a_journal_of_a_newer_version_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("events.jsonl");
        fs::write(&path, "{\"event\":\"run-began\",\"version\":9}\n").unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains(":1 is of version 9"), "{error}");
        assert!(!error.is_absent());
        assert!(read(&root.path().join("none")).unwrap_err().is_absent());
    }

    #[test]
    fn two_runs_never_share_a_journal() {
        let root = tempfile::tempdir().unwrap();
        let _first = Journal::create(root.path(), "r").unwrap();
        let error = Journal::create(root.path(), "r").unwrap_err();
        assert!(
            error
                .to_string()
                .contains("cannot write the run's directory"),
            "{error}"
        );
    }

    #[test]
    fn a_journal_goes_on_while_its_runner_has_it_open() {
        let root = tempfile::tempdir().unwrap();
        let journal = Journal::create(root.path(), "r").unwrap();
        let path = journal.dir().join("events.jsonl");
        assert!(goes_on(&path));
        drop(journal);
        assert!(!goes_on(&path));
        assert!(!goes_on(&root.path().join("none")));
    }

    #[test]
    fn runs_beyond_keep_are_removed_oldest_first() {
        let root = tempfile::tempdir().unwrap();
        for run in ["1", "2", "3"] {
            drop(Journal::create(root.path(), run).unwrap());
        }
        prune(root.path(), 2);
        let mut left: Vec<_> = fs::read_dir(runs_dir(root.path()))
            .unwrap()
            .flatten()
            .map(|e| e.file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["2", "3"]);
    }
}
