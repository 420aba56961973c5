//! The sinks of a run, wired: the journal first, then what people and machines read. Each adapts one consumer to [`Sink`].
//!
//! Only the journal may stop a run. A report whose reader went away is dropped quietly; one whose file cannot be written is told
//! at the end, by whoever started the run.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use runbook::event::Event;

use crate::history::LineBuilder;
use crate::journal::Journal;
use crate::report::{github::Github, json::JsonLines, junit::Junit, terminal::Terminal};
use crate::sink::{Sink, SinkError};

/// Something that is filled while the run goes on and read when it ended.
#[derive(Debug, Default)]
pub(super) struct Shared<T>(Arc<Mutex<T>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Default> Shared<T> {
    /// Shares a consumer.
    pub(super) fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(value)))
    }

    /// Takes what was gathered.
    pub(super) fn take(&self) -> T {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Journal {
    fn event(&mut self, event: &Event) -> Result<(), SinkError> {
        self.append(event).map_err(|error| SinkError {
            what: format!("`{}`", self.dir().join("events.jsonl").display()),
            source: io::Error::other(crate::causes::chain(&error)),
        })
    }
}

/// What a report writes is of use only while somebody reads: a closed pipe ends it, not the run.
pub(super) struct Told<T> {
    inner: T,
    closed: bool,
}

impl<T> Told<T> {
    /// Wraps a report.
    pub(super) fn new(inner: T) -> Self {
        Self {
            inner,
            closed: false,
        }
    }

    fn tell(&mut self, act: impl FnOnce(&mut T) -> io::Result<()>) {
        if !self.closed {
            self.closed = act(&mut self.inner).is_err();
        }
    }
}

impl<W: Write + Send> Sink for Told<Terminal<W>> {
    fn event(&mut self, event: &Event) -> Result<(), SinkError> {
        self.tell(|terminal| terminal.event(event));
        Ok(())
    }
}

impl<W: Write + Send> Sink for Told<JsonLines<W>> {
    fn event(&mut self, event: &Event) -> Result<(), SinkError> {
        self.tell(|json| json.event(event));
        Ok(())
    }
}

impl Sink for Shared<Junit> {
    fn event(&mut self, event: &Event) -> Result<(), SinkError> {
        self.with(|junit| junit.event(event));
        Ok(())
    }
}

impl Sink for Shared<LineBuilder> {
    fn event(&mut self, event: &Event) -> Result<(), SinkError> {
        self.with(|line| line.event(event));
        Ok(())
    }
}

/// Prints GitHub's annotations as they come; the summary is read at the end.
pub(super) struct Annotations {
    /// What gathers the summary too.
    pub(super) github: Shared<Github>,
    /// Standard output is for machines: they go to standard error, which GitHub reads as well.
    pub(super) json: bool,
}

impl Sink for Annotations {
    fn event(&mut self, event: &Event) -> Result<(), SinkError> {
        let Some(annotation) = self.github.with(|github| github.event(event)) else {
            return Ok(());
        };
        // Where nobody reads annotations none are missed.
        let _ = if self.json {
            writeln!(io::stderr().lock(), "{annotation}")
        } else {
            writeln!(io::stdout().lock(), "{annotation}")
        };
        Ok(())
    }
}
