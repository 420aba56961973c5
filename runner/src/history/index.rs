//! The SQLite index over the history: a step's trend, how flaky it is, since when it fails.
//!
//! Derived from the lines; dropped and made anew when its version is another. Questions only: nothing is recorded here first.

use std::path::{Path, PathBuf};

use runbook::id::Id;
use runbook::outcome::State;
use runbook::report::{HistoryLine, HistoryRun};
use rusqlite::{Connection, params};

use super::HistoryError;
use crate::journal::RECORDS_DIR;

/// The version of the tables, kept in `user_version`.
const INDEX_VERSION: i32 = 1;
/// How long a question waits for another process that writes.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
/// Over how many results flakiness is told.
const FLAKY_RUNS: usize = 30;

/// An open index.
#[derive(Debug)]
pub struct Index {
    path: PathBuf,
    db: Connection,
}

/// What the last runs of a step say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trend {
    /// Over how many executed results.
    pub runs: usize,
    /// How often the state changed between holding and not holding: 0 is steady.
    pub flips: usize,
    /// The first run of the present row of failures: run, when, revision.
    pub failing_since: Option<(String, String, Option<String>)>,
    /// How many runs that row has.
    pub failing_runs: usize,
}

impl Index {
    /// Opens the index of a book, and makes its tables when they are missing or of another version.
    ///
    /// # Errors
    /// When the database cannot be opened or made.
    pub fn open(book_root: &Path) -> Result<Self, HistoryError> {
        let path = book_root.join(RECORDS_DIR).join("history.sqlite");
        let db = Connection::open(&path);
        Self::at(path, db)
    }

    fn at(path: PathBuf, db: rusqlite::Result<Connection>) -> Result<Self, HistoryError> {
        let open = || -> rusqlite::Result<Connection> {
            let db = db?;
            db.busy_timeout(BUSY_TIMEOUT)?;
            db.pragma_update(None, "journal_mode", "wal")?;
            // Derived data: a lost tail is made again from the lines.
            db.pragma_update(None, "synchronous", "off")?;
            let version: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
            if version != INDEX_VERSION {
                db.execute_batch(
                    "begin;
                     drop table if exists result; drop table if exists run;
                     create table run (run text primary key, profile text not null, mode text not null, revision text,
                       started_at text not null, finished_at text not null, exit_code integer not null) without rowid;
                     create table result (run text not null, id text not null, guide text not null, state text not null,
                       finished_at text not null, duration_ms integer not null, target text not null, message text,
                       primary key (id, run)) without rowid;
                     create index result_by_guide on result (guide, run);
                     commit;",
                )?;
                db.pragma_update(None, "user_version", INDEX_VERSION)?;
            }
            Ok(db)
        };
        match open() {
            Ok(db) => Ok(Self { path, db }),
            Err(source) => Err(HistoryError::Index { path, source }),
        }
    }

    /// The index for questions about these lines: on disk, or in memory where the disk refuses it.
    ///
    /// # Errors
    /// When none can be made.
    pub fn of(book_root: &Path, lines: &[HistoryLine]) -> Result<Self, HistoryError> {
        let on_disk = Self::open(book_root).and_then(|mut index| index.sync(lines).map(|()| index));
        on_disk.or_else(|_| {
            let mut index = Self::at(PathBuf::from(":memory:"), Connection::open_in_memory())?;
            index.sync(lines)?;
            Ok(index)
        })
    }

    /// Makes the index anew from the lines.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn rebuild(book_root: &Path, lines: &[HistoryLine]) -> Result<Self, HistoryError> {
        let mut index = Self::open(book_root)?;
        index.write(|db| db.execute_batch("delete from result; delete from run;"))?;
        index.sync(lines)?;
        Ok(index)
    }

    /// Adds the lines that are not there yet, and forgets those that the history no longer holds.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn sync(&mut self, lines: &[HistoryLine]) -> Result<(), HistoryError> {
        self.write(|db| {
            let tx = db.unchecked_transaction()?;
            let known: std::collections::HashSet<String> = tx
                .prepare("select run from run")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            let held: std::collections::HashSet<&str> =
                lines.iter().map(|line| line.run.as_str()).collect();
            for run in known.iter().filter(|run| !held.contains(run.as_str())) {
                tx.execute("delete from result where run = ?1", [run])?;
                tx.execute("delete from run where run = ?1", [run])?;
            }
            let mut add_run = tx.prepare("insert into run values (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
            let mut add_result = tx
                .prepare("insert or replace into result values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
            for line in lines.iter().filter(|line| !known.contains(&line.run)) {
                add_run.execute(params![
                    line.run,
                    line.profile,
                    line.mode.as_str(),
                    line.revision,
                    line.started_at,
                    line.finished_at,
                    line.exit_code
                ])?;
                for step in &line.steps {
                    add_result.execute(params![
                        line.run,
                        step.id.to_string(),
                        step.id.guide,
                        step.state.as_str(),
                        step.finished_at,
                        i64::try_from(step.duration_ms).unwrap_or(i64::MAX),
                        step.target,
                        step.message
                    ])?;
                }
            }
            drop((add_run, add_result));
            tx.commit()
        })
    }

    /// The runs of a step, a section or a guide, newest first, at most `limit`. Of several steps: the worst state, the time of all.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn runs(
        &self,
        steps: &[Id],
        profile: Option<&str>,
        limit: usize,
    ) -> Result<Vec<HistoryRun>, HistoryError> {
        let mut runs: Vec<HistoryRun> = Vec::new();
        let question = || -> rusqlite::Result<Vec<HistoryRun>> {
            let mut by_run: std::collections::BTreeMap<String, HistoryRun> = Default::default();
            let mut select = self.db.prepare(
                "select result.run, result.finished_at, result.state, run.revision, result.duration_ms, run.started_at
                 from result join run using (run) where result.id = ?1 and (?2 is null or run.profile = ?2)",
            )?;
            for step in steps {
                let mut rows = select.query(params![step.to_string(), profile])?;
                while let Some(row) = rows.next()? {
                    let state: String = row.get(2)?;
                    let Some(state) = State::parse(&state) else {
                        continue;
                    };
                    let started: String = row.get(5)?;
                    let run: String = row.get(0)?;
                    let duration_ms = u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0);
                    let finished_at: String = row.get(1)?;
                    let revision = row.get(3)?;
                    by_run
                        .entry(format!("{started} {run}"))
                        .and_modify(|known| {
                            known.state = known.state.min(state);
                            known.duration_ms += duration_ms;
                            if finished_at > known.finished_at {
                                known.finished_at.clone_from(&finished_at);
                            }
                        })
                        .or_insert(HistoryRun {
                            run,
                            finished_at,
                            state,
                            revision,
                            duration_ms,
                        });
                }
            }
            Ok(by_run.into_values().rev().take(limit).collect())
        };
        runs.extend(question().map_err(|source| HistoryError::Index {
            path: self.path.clone(),
            source,
        })?);
        Ok(runs)
    }

    fn write(
        &mut self,
        act: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), HistoryError> {
        act(&self.db).map_err(|source| HistoryError::Index {
            path: self.path.clone(),
            source,
        })
    }
}

impl Trend {
    /// What runs (newest first) say.
    pub fn of(runs: &[HistoryRun]) -> Self {
        let executed: Vec<&HistoryRun> = runs
            .iter()
            .filter(|run| run.state == State::Passed || run.state.is_failure())
            .take(FLAKY_RUNS)
            .collect();
        let flips = executed
            .windows(2)
            .filter(|pair| pair[0].state.is_failure() != pair[1].state.is_failure())
            .count();
        let row: Vec<_> = executed
            .iter()
            .take_while(|run| run.state.is_failure())
            .collect();
        Self {
            runs: executed.len(),
            flips,
            failing_since: row.last().map(|run| {
                (
                    run.run.clone(),
                    run.finished_at.clone(),
                    run.revision.clone(),
                )
            }),
            failing_runs: row.len(),
        }
    }
}
