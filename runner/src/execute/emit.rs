//! Events on their way to the sinks: redacted, stamped, one after the other.
//!
//! Nothing reaches a sink but through here. When a sink cannot go on the run is stopped, and cleans up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use runbook::event::{Event, EventKind, Excerpt, StepFinished};
use runbook::id::Id;
use runbook::outcome::Check;

use super::Cancel;
use crate::redact::Redactor;
use crate::sink::{Sinks, Stream};

/// Gives events to the sinks.
pub(super) struct Emitter {
    sinks: Sinks,
    redactor: Redactor,
    cancel: Cancel,
    broken: AtomicBool,
}

impl Emitter {
    pub(super) fn new(sinks: Sinks, redactor: Redactor, cancel: Cancel) -> Self {
        Self {
            sinks,
            redactor,
            cancel,
            broken: AtomicBool::new(false),
        }
    }

    /// Redacts an event and gives it to every sink.
    pub(super) fn emit(&self, mut kind: EventKind) {
        if !self.redactor.is_empty() {
            redact(&mut kind, &self.redactor);
        }
        let event = Event { kind, at: now() };
        if !self.sinks.event(&event) && !self.broken.swap(true, Ordering::AcqRel) {
            // Nothing more is begun; what was begun is cleaned up.
            self.cancel.stop();
        }
    }

    /// Gives output to every sink; it is redacted already.
    pub(super) fn output(&self, id: &Id, stream: Stream, bytes: &[u8]) {
        self.sinks.output(id, stream, bytes);
    }

    /// Sinks to which output of a running step is given.
    pub(super) fn sinks(&self) -> &Sinks {
        &self.sinks
    }

    /// Whether a sink could not go on.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }
}

/// The time, RFC 3339 in UTC, to the millisecond.
pub(super) fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

fn redact(kind: &mut EventKind, redactor: &Redactor) {
    match kind {
        EventKind::RunStarted(started) => {
            started
                .vars
                .values_mut()
                .for_each(|value| text(value, redactor));
            option(&mut started.by, redactor);
        }
        EventKind::StepStarted(started) => text(&mut started.title, redactor),
        EventKind::UndoRegistered(registered) => {
            text(&mut registered.summary, redactor);
            redactor.redact_json(&mut registered.data);
        }
        EventKind::StepFinished(finished) => redact_finished(finished, redactor),
        EventKind::UndoFinished(finished) => {
            text(&mut finished.summary, redactor);
            option(&mut finished.message, redactor);
        }
        EventKind::RunFinished(finished) => finished
            .left_behind
            .iter_mut()
            .for_each(|line| text(line, redactor)),
    }
}

fn redact_finished(finished: &mut StepFinished, redactor: &Redactor) {
    for field in [
        &mut finished.reason,
        &mut finished.message,
        &mut finished.hint,
        &mut finished.note,
        &mut finished.diff,
        &mut finished.command,
    ] {
        option(field, redactor);
    }
    text(&mut finished.title, redactor);
    for Check {
        check,
        expected,
        actual,
        ..
    } in &mut finished.checks
    {
        [check, expected, actual]
            .into_iter()
            .for_each(|field| text(field, redactor));
    }
    finished
        .captures
        .values_mut()
        .for_each(|value| redactor.redact_json(value));
    identity(&mut finished.identity, redactor);
    if let Some(output) = &mut finished.output {
        for Excerpt { head, tail, .. } in [&mut output.stdout, &mut output.stderr, &mut output.both]
        {
            text(head, redactor);
            text(tail, redactor);
        }
    }
}

fn identity(identity: &mut BTreeMap<String, String>, redactor: &Redactor) {
    identity
        .values_mut()
        .for_each(|value| text(value, redactor));
}

fn option(field: &mut Option<String>, redactor: &Redactor) {
    if let Some(field) = field {
        text(field, redactor);
    }
}

fn text(field: &mut String, redactor: &Redactor) {
    if let std::borrow::Cow::Owned(redacted) = redactor.redact_str(field) {
        *field = redacted;
    }
}
