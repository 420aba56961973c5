//! What was recorded: the history's lines and the events of runs, read from their text. The files are read by others.
//!
//! A record of a newer version is an error, not passed over: it may say something that this program would tell wrongly. What a
//! killed program left of a last line is passed over, because it was never recorded.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::event::{EVENTS_VERSION, Event, EventKind, StepFinished};
use crate::id::Id;
use crate::report::{HISTORY_VERSION, HistoryLine};

/// Why records cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Another program wrote it.
    #[error("{place} is of version {version}, this program knows {known}")]
    Newer {
        /// File and line.
        place: String,
        /// The record's version.
        version: u64,
        /// Ours.
        known: u32,
    },
    /// It is not what it should be.
    #[error("{place} cannot be read: {reason}")]
    Broken {
        /// File and line.
        place: String,
        /// Why.
        reason: String,
    },
}

impl RecordError {
    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Newer { .. } => "update this program, or remove the file to begin a new history",
            Self::Broken { .. } => "restore the file, or remove it to begin anew",
        }
    }
}

/// What was recorded of a book.
#[derive(Debug, Default)]
pub struct Records {
    /// The runs, in any order.
    pub lines: Vec<HistoryLine>,
    /// The evidence of a run's steps and items, where its events are still there.
    pub evidence: HashMap<(String, Id), StepFinished>,
}

impl Records {
    /// Takes the evidence of a run from its events.
    pub fn add_events(&mut self, events: Vec<Event>) {
        let mut run = String::new();
        for event in events {
            match event.kind {
                EventKind::RunStarted(started) => run = started.run,
                EventKind::StepFinished(step) => {
                    self.evidence.insert((run.clone(), step.id.clone()), *step);
                }
                _ => {}
            }
        }
    }

    /// The evidence of a step or an item in a run.
    pub fn evidence(&self, run: &str, id: &Id) -> Option<&StepFinished> {
        self.evidence.get(&(run.to_owned(), id.clone()))
    }
}

/// Reads `history.jsonl`; `place` is the file's name for errors.
///
/// # Errors
///
/// A line of a newer version, or one that is broken.
pub fn parse_history(text: &str, place: &str) -> Result<Vec<HistoryLine>, RecordError> {
    parse_lines(text, place, HISTORY_VERSION)
}

/// Reads `events.jsonl`; `place` is the file's name for errors.
///
/// # Errors
///
/// A run of a newer version, or a line that is broken.
pub fn parse_events(text: &str, place: &str) -> Result<Vec<Event>, RecordError> {
    parse_lines(text, place, EVENTS_VERSION)
}

/// Reads one line of `events.jsonl`; `place` makes the file's name with its line, for errors.
///
/// # Errors
///
/// A run of a newer version, or a line that is broken.
pub fn parse_event(line: &str, place: impl Fn() -> String) -> Result<Event, RecordError> {
    parse_line(line, place, EVENTS_VERSION)
}

fn parse_lines<T: DeserializeOwned>(
    text: &str,
    place: &str,
    known: u32,
) -> Result<Vec<T>, RecordError> {
    let mut records = Vec::new();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match parse_line(line, || format!("{place}:{}", index + 1), known) {
            Ok(record) => records.push(record),
            Err(RecordError::Broken { .. }) if !line.ends_with('\n') => {}
            Err(error) => return Err(error),
        }
    }
    Ok(records)
}

fn parse_line<T: DeserializeOwned>(
    line: &str,
    place: impl Fn() -> String,
    known: u32,
) -> Result<T, RecordError> {
    let read = serde_json::from_str::<T>(line);
    // The version first: a newer record may have another shape, or one that only looks the same.
    if read.is_err() || line.contains("\"version\"") {
        let version = serde_json::from_str::<Value>(line)
            .ok()
            .and_then(|value| value.get("version")?.as_u64());
        if let Some(version) = version.filter(|version| *version > u64::from(known)) {
            return Err(RecordError::Newer {
                place: place(),
                version,
                known,
            });
        }
    }
    read.map_err(|error| RecordError::Broken {
        place: place(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"version":1,"run":"r","profile":"lab","mode":"converge","revision":null,"started_at":"2026-11-24T00:00:00Z","finished_at":"2026-11-24T00:00:09Z","exit_code":0,"steps":[]}"#;

    #[test]
    fn lines_are_read_and_a_torn_last_one_is_passed_over() {
        let text = format!("{LINE}\n\n{LINE}\n{}", &LINE[..40]);
        assert_eq!(
            parse_history(&text, "history.jsonl").map(|lines| lines.len()),
            Ok(2)
        );
    }

    #[test]
    fn a_newer_version_is_an_error_even_if_it_cannot_be_read() {
        for newer in [
            LINE.replace("\"version\":1", "\"version\":2"),
            "{\"version\":2}".to_owned(),
        ] {
            for text in [format!("{LINE}\n{newer}\n"), format!("{LINE}\n{newer}")] {
                let error = parse_history(&text, "history.jsonl").unwrap_err();
                assert_eq!(
                    error.to_string(),
                    "history.jsonl:2 is of version 2, this program knows 1"
                );
            }
        }
        let events = "{\"event\":\"run-started\",\"version\":7,\"at\":\"x\"}\n";
        assert!(matches!(
            parse_events(events, "e"),
            Err(RecordError::Newer { version: 7, .. })
        ));
    }

    #[test]
    fn a_broken_line_is_an_error_with_its_place() {
        let error = parse_history(&format!("oops\n{LINE}\n"), "h").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("h:1 cannot be read: expected value"),
            "{error}"
        );
    }
}
