//! The one loop that executes: guides in parallel, the steps of a guide in order, each result an event.
//!
//! It decides what the table of LANGUAGE section 5 decides; what an action does is in [`crate::action`], what a run shows is
//! in its sinks. Nothing it started is left when it returns: no child, and no step without its result.

mod cancel;
mod request;

use std::sync::Arc;

use runbook::model::Book;
use runbook::report::Plan;

use crate::sink::Sinks;

pub use cancel::{Cancel, Level};
pub use request::{
    Answer, Earlier, JOBS_DEFAULT, LAB, NothingEarlier, Person, Purpose, Question, RunError,
    RunRequest, RunResult,
};

/// Executes what was asked for and tells the sinks; returns when everything was cleaned up.
///
/// `cancel` stops it: the first request lets it clean up, the second does not.
///
/// # Errors
///
/// When the run cannot begin; no event was emitted then.
pub async fn run(
    book: Arc<Book>,
    request: RunRequest,
    sinks: Sinks,
    cancel: Cancel,
) -> Result<RunResult, RunError> {
    let _ = (book, request, sinks, cancel);
    Err(RunError::NoSteps {
        what: String::new(),
    })
}

/// Observes what was asked for and says what a run would do.
///
/// # Errors
///
/// As [`run`].
pub async fn plan(book: Arc<Book>, request: RunRequest, cancel: Cancel) -> Result<Plan, RunError> {
    let _ = (book, request, cancel);
    Err(RunError::NoSteps {
        what: String::new(),
    })
}
