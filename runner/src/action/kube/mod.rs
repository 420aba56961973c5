//! What cluster actions do with the client of [`runbook_k8s`], one file each.
//!
//! They get typed wishes and a client, and report; they know no step and no book.

pub mod absent;
pub mod apply;
pub mod evidence;
pub mod flux;
pub mod job;
pub mod look;

use runbook_k8s::{Error, ErrorKind, Key};
use serde_json::Value;

use crate::action::{Ended, Report};
use crate::world::clusters::failure;

/// A request that came to nothing, as the end of an action.
pub fn ended(error: &Error) -> Report {
    let failure = failure(error);
    Report::of(match error.kind() {
        // The cluster was reached: it is the step that makes no sense.
        _ if matches!(error, Error::Setting(_)) => Ended::Failed(failure),
        ErrorKind::TimedOut => Ended::TimedOut(failure.message),
        ErrorKind::Unavailable => Ended::Unavailable(failure),
        _ => Ended::Failed(failure),
    })
}

/// The objects that an error is about, as far as it names them as keys.
pub fn about(error: &Error) -> Vec<Key> {
    match error {
        Error::Failed(evidence)
        | Error::Deadline {
            pending: evidence, ..
        } => {
            let keys = evidence.iter().map(|one| one.standing.key.clone());
            keys.collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a field manager has made or applied an object.
pub fn owns(live: &Value, manager: &str) -> bool {
    let managed = live["metadata"]["managedFields"].as_array();
    let mut managed = managed.map(Vec::as_slice).unwrap_or_default().iter();
    managed.any(|one| one["manager"] == manager)
}
