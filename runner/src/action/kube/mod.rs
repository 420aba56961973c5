//! What cluster actions do with the client of [`runbook_k8s`], one file each.
//!
//! They get typed wishes and a client, and report; they know no step and no book.

pub mod look;

use crate::action::{Ended, Report};
use crate::world::clusters::failure;
use runbook_k8s::ErrorKind;

/// A request that came to nothing, as the end of an action.
pub fn ended(error: &runbook_k8s::Error) -> Report {
    let failure = failure(error);
    Report::of(match error.kind() {
        ErrorKind::TimedOut => Ended::TimedOut(failure.message),
        ErrorKind::Unavailable => Ended::Unavailable(failure),
        _ => Ended::Failed(failure),
    })
}
