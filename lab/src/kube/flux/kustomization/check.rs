//! Whether what a Kustomization applied is where it should be, and its end when it is.

use std::sync::Arc;
use std::time::Duration;

use super::history::{history, remember};
use super::inputs::origin_revision;
use super::{Failure, MANAGER, TABLE, finish};
use crate::kube::flux::checks::Checks;
use crate::kube::flux::conditions::Status;
use crate::kube::flux::inventory::{self, Standing};
use crate::kube::flux::{INTERVAL, duration, go, nudge_dependents};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

/// Looks at the health of what was applied; whether the whole came to its end.
pub(super) fn check(
    state: &mut State,
    live: &Arc<Object>,
    revision: &str,
    phase: &str,
    limit: Duration,
    checks: &Checks,
) -> Result<bool, Failure> {
    let value = &live.value;
    let uid = object::uid(value).to_owned();
    let applied = object::items(value, &["status", "inventory", "entries"]).to_vec();
    let standing = inventory::health(state, value, &applied, checks);
    let mut status = Status::of(value);
    let since = state.marks.since(&uid, "waiting");
    let failed = |status: &mut Status, text: &str| {
        status.mark("Healthy", "False", "HealthCheckFailed", text);
        let text = format!("health check failed after {}: {text}", go::show(since));
        ("HealthCheckFailed".to_owned(), text)
    };
    let failure = match standing {
        None => {
            status.drop(&["Healthy"]);
            None
        }
        Some(Standing::Healthy) => {
            let text = format!("Health check passed in {}", go::show(since));
            status.mark("Healthy", "True", "Succeeded", &text);
            None
        }
        Some(Standing::Failed(which)) => {
            let text = format!(
                "failed early due to stalled resources: [{}]",
                which.join(", ")
            );
            Some(failed(&mut status, &text))
        }
        Some(Standing::Waits(_)) if since < limit => {
            if status
                .condition("Healthy")
                .is_none_or(|one| one["message"] != phase)
            {
                status.mark("Reconciling", "True", "Progressing", phase);
                status.mark("Healthy", "Unknown", "Progressing", phase);
                status.write(state, live, MANAGER);
            }
            return Ok(false);
        }
        Some(Standing::Waits(which)) => Some(failed(
            &mut status,
            &format!("timeout waiting for: [{}]", which.join(", ")),
        )),
    };
    if let Some(failure) = failure {
        status.mark("Reconciling", "True", "Progressing", phase);
        let live = status.write(state, live, MANAGER);
        remember(state, &live, "HealthCheckFailed", revision);
        return Err(failure);
    }
    state.marks.clear(&uid, "waiting");
    status.value["lastAppliedRevision"] = revision.into();
    match origin_revision(state, value) {
        Some(origin) => status.value["lastAppliedOriginRevision"] = origin.into(),
        None => drop(object::remove(
            &mut status.value,
            &["lastAppliedOriginRevision"],
        )),
    }
    let message = format!("Applied revision: {revision}");
    status.mark("Ready", "True", "ReconciliationSucceeded", &message);
    history(
        state,
        &mut status,
        &uid,
        "ReconciliationSucceeded",
        revision,
    );
    let live = finish(state, live, status);
    let interval = duration(&value["spec"]["interval"], INTERVAL);
    let text = format!(
        "Reconciliation finished in {}, next run in {}",
        go::show(state.marks.since(&uid, "began")),
        go::show(interval)
    );
    state.event(
        &live.value,
        "Normal",
        "ReconciliationSucceeded",
        &text,
        MANAGER,
    );
    nudge_dependents(state, TABLE, value);
    Ok(true)
}
