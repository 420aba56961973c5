//! Runs one child process and reports what happened to it.
//!
//! Knows nothing of runbooks: it gets a command and limits, and returns an `Exit`. The child never outlives `run`,
//! whatever happens: nor do its children, also those that left its process group and its session (`tree`).
//! Read on in `run` (the loop), `tree` (who belongs to a child, and how it is ended), `output` (what is kept of it).

mod background;
mod cancel;
mod command;
mod exit;
mod output;
mod pump;
mod run;
mod system;
mod through;
mod tree;
mod watchdog;

pub use background::{Background, spawn_background, stay_up};
pub use cancel::{Cancel, Level};
pub use command::{Command, Input, ProcessError, SCRIPT_ARGUMENT_BYTES_MAX, Script};
pub use exit::{End, Exit, Status};
pub use output::{
    ARTIFACT_BYTES_MAX, Artifact, Capture, Collector, EXCERPT_BYTES, Excerpt, Keep, Live, Output,
    Record, Redact, Stream, TEXT_BYTES_MAX, Transform,
};
pub use run::{GRACE, Limits, run};
pub use through::{Starter, Through};
pub use tree::{end_orphans, is_reaper, start_beside};
pub use watchdog::{Watchdog, watch_if_asked};

#[cfg(test)]
mod tests;
