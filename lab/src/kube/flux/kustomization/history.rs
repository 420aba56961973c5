//! The history in a Kustomization's status: how attempts at it ended.

use std::sync::Arc;

use serde_json::{Value, json};

use super::MANAGER;
use crate::kube::flux::conditions::Status;
use crate::kube::flux::go;
use crate::kube::object::{self, Object};
use crate::kube::state::State;

/// Entries of the history.
const HISTORY_MAX: usize = 5;

/// Notes in the history how an attempt that failed ended.
pub(super) fn remember(state: &mut State, live: &Arc<Object>, outcome: &str, revision: &str) {
    let mut status = Status::of(&live.value);
    history(
        state,
        &mut status,
        object::uid(&live.value),
        outcome,
        revision,
    );
    status.write(state, live, MANAGER);
}

/// One more entry of the history, or one more time that one came about.
pub(super) fn history(
    state: &mut State,
    status: &mut Status,
    uid: &str,
    outcome: &str,
    revision: &str,
) {
    let digest = state.flux.digests.get(uid).cloned().unwrap_or_default();
    let now = object::now();
    let took = go::show(state.marks.since(uid, "began"));
    let mut all = object::items(&status.value, &["history"]).to_vec();
    let same =
        |one: &Value| one["digest"] == digest.as_str() && one["lastReconciledStatus"] == outcome;
    let (first, times) = match all.iter().position(same) {
        Some(at) => {
            let old = all.remove(at);
            let times = old["totalReconciliations"].as_i64().unwrap_or_default();
            (old["firstReconciled"].clone(), times + 1)
        }
        None => (now.as_str().into(), 1),
    };
    all.insert(0, json!({
        "digest": digest, "firstReconciled": first, "lastReconciled": now, "lastReconciledDuration": took,
        "lastReconciledStatus": outcome, "metadata": {"revision": revision}, "totalReconciliations": times,
    }));
    all.truncate(HISTORY_MAX);
    status.value["history"] = all.into();
}
