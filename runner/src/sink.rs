//! Where a run's events go: the terminal, the journal, JSON, JUnit, the live page.
//!
//! A sink only consumes: it gets each event once, in order, and cannot influence the run, but for one thing: when a sink that
//! must not miss anything (the journal) cannot go on, the run does not either. Everything is redacted before it gets here.

use std::sync::{Arc, Mutex, PoisonError};

use runbook::event::Event;
use runbook::id::Id;

pub use crate::process::Stream;

/// Takes the events of a run.
pub trait Sink: Send {
    /// Takes the next event.
    ///
    /// # Errors
    ///
    /// Only where nothing may go on without this sink: the run is stopped, cleans up and ends with exit code 4. When it
    /// returns, an `undo-registered` and a `step-finished` must be as safe as they have to be (DESIGN section 5: synced
    /// before a change starts and after it ends).
    fn event(&mut self, event: &Event) -> Result<(), SinkError>;

    /// Takes output of a running step as it comes, redacted; not an event, may be dropped. Bytes may end inside a character.
    fn output(&mut self, id: &Id, stream: Stream, bytes: &[u8]) {
        let _ = (id, stream, bytes);
    }
}

/// Why a sink cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be written")]
pub struct SinkError {
    /// What: a file's path, or what people call the sink.
    pub what: String,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// All sinks of a run as one. Clones are the same sinks.
#[derive(Clone)]
pub struct Sinks {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    sinks: Vec<Box<dyn Sink>>,
    error: Option<SinkError>,
}

impl Sinks {
    /// Sinks that get each event in this order: the journal first.
    pub fn new(sinks: Vec<Box<dyn Sink>>) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner { sinks, error: None })),
        }
    }

    /// Gives an event to every sink, also when one fails; false when one cannot go on (now or earlier).
    pub fn event(&self, event: &Event) -> bool {
        let mut inner = self.lock();
        let Inner { sinks, error } = &mut *inner;
        for sink in sinks {
            if let Err(failed) = sink.event(event) {
                error.get_or_insert(failed);
            }
        }
        error.is_none()
    }

    /// Gives output to every sink.
    pub fn output(&self, id: &Id, stream: Stream, bytes: &[u8]) {
        for sink in &mut self.lock().sinks {
            sink.output(id, stream, bytes);
        }
    }

    /// Takes the first error, when there was one.
    pub fn take_error(&self) -> Option<SinkError> {
        self.lock().error.take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runbook::event::{EventKind, RunFinished};
    use std::collections::BTreeMap;

    #[derive(Clone, Default)]
    struct Count(Arc<Mutex<u32>>);

    impl Sink for Count {
        fn event(&mut self, _: &Event) -> Result<(), SinkError> {
            *self.0.lock().unwrap() += 1;
            Ok(())
        }
    }

    struct Full;

    impl Sink for Full {
        fn event(&mut self, _: &Event) -> Result<(), SinkError> {
            Err(SinkError {
                what: "`events.jsonl`".into(),
                source: std::io::ErrorKind::StorageFull.into(),
            })
        }
    }

    #[test]
    fn a_sink_that_fails_does_not_keep_the_event_from_the_others() {
        let count = Count::default();
        let sinks = Sinks::new(vec![Box::new(Full), Box::new(count.clone())]);
        let finished = RunFinished {
            counts: BTreeMap::new(),
            stand_in: 0,
            exit_code: 0,
            duration_ms: 0,
            left_behind: Vec::new(),
        };
        let event = Event {
            kind: EventKind::RunFinished(finished),
            at: "2026-11-24T00:00:00Z".into(),
        };
        assert!(!sinks.event(&event));
        assert!(!sinks.event(&event));
        assert_eq!(*count.0.lock().unwrap(), 2);
        assert_eq!(
            sinks.take_error().unwrap().to_string(),
            "`events.jsonl` cannot be written"
        );
    }
}
