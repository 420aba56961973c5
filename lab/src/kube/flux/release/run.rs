//! Brings a release to where its spec has it: whether to install, to upgrade, to test, or to look for drift, and when an action is over.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{Action, Again, MANAGER, Release, WAIT};
use super::{action, drift, hooks, render, status, trial};
use crate::kube::flux::checks::Checks;
use crate::kube::flux::conditions::Status;
use crate::kube::flux::{duration, go};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

/// Runs what is to be run next, if anything.
pub(super) fn run(
    state: &mut State,
    live: &Arc<Object>,
    release: &Release,
    checks: &Checks,
) -> Again {
    let value = &live.value;
    let uid = object::uid(value).to_owned();
    let history = object::items(value, &["status", "history"]).to_vec();
    let last = history.first().cloned().unwrap_or_default();
    let moved = last.is_object()
        && (last["chartName"] != release.chart.name.as_str()
            || last["name"] != release.name.as_str()
            || last["namespace"] != release.namespace.as_str());
    if moved {
        return replace(state, live);
    }
    let same = last["configDigest"] == release.config_digest.as_str()
        && last["chartVersion"] == release.chart.version.as_str();
    let attempted = value["status"]["lastAttemptedConfigDigest"] == release.config_digest.as_str()
        && value["status"]["lastAttemptedRevision"] == release.chart.version.as_str()
        && value["status"]["lastAttemptedGeneration"] == value["metadata"]["generation"];
    let forced = status::is_new(value, "forceAt");
    let reset = status::is_new(value, "resetAt");
    let mut status = Status::of(value);
    // Once is enough: the tokens are handled when what they ask for begins.
    status::take(&mut status, value);
    if !attempted || reset || forced {
        for key in ["failures", "installFailures", "upgradeFailures"] {
            object::remove(&mut status.value, &[key]);
        }
    }
    let action = match last["status"].as_str() {
        None => Action::Install,
        Some(_) => Action::Upgrade,
    };
    // What was tried last decides whether there is another try, whatever that would be.
    let tried = match value["status"]["lastAttemptedReleaseAction"].as_str() {
        Some("install") => Action::Install,
        Some(_) => Action::Upgrade,
        None => action,
    };
    let waits = state.marks.has(&uid, "waiting");
    let rendered = render::is_observed(&status, value);
    let deployed =
        last["status"] == "deployed" && same && rendered && !trial::has_failed(value, &last, tried);
    if deployed && !forced && !waits && trial::is_due(value, &last) {
        return trial::run(state, live, release, status);
    }
    if deployed && !forced && !waits {
        return drift::in_sync(state, live, release, status);
    }
    let failures = object::number(&status.value, &[tried.failures()]).unwrap_or_default();
    let retries = status::retries(value, tried.word());
    if failures > retries && retries >= 0 && !waits {
        return status::stall(state, live, status, tried, failures);
    }
    status.value["storageNamespace"] = value["spec"]["storageNamespace"]
        .as_str()
        .unwrap_or(object::namespace(value))
        .into();
    status.value["lastAttemptedGeneration"] = value["metadata"]["generation"].clone();
    status.value["lastAttemptedRevision"] = release.chart.version.as_str().into();
    status.value["lastAttemptedConfigDigest"] = release.config_digest.as_str().into();
    status.value["lastAttemptedReleaseAction"] = action.word().into();
    match release.chart.oci_digest.as_str() {
        "" => drop(object::remove(
            &mut status.value,
            &["lastAttemptedRevisionDigest"],
        )),
        digest => status.value["lastAttemptedRevisionDigest"] = digest.into(),
    }
    if !waits {
        let limit = limit(value, action);
        status.progress(&format!(
            "Running '{}' action with timeout of {}",
            action.word(),
            go::show(limit)
        ));
        let live = status.write(state, live, MANAGER);
        state.marks.restart(&uid, "waiting");
        let number = last["version"].as_i64().unwrap_or_default() + 1;
        let rendered = match render::render(state, &live.value, release, number) {
            Ok(rendered) => rendered,
            Err(text) => return status::fail(state, &live, release, action, &text),
        };
        if let Err(text) = hooks::refuse(&rendered.hooks, &live.value, action) {
            return status::fail(state, &live, release, action, &text);
        }
        let own = state.flux.releases.entry(uid.clone()).or_default();
        let before = std::mem::replace(&mut own.current, rendered.objects.clone());
        own.hooks = rendered.hooks;
        let namespace = live.value["spec"]["install"]["createNamespace"] == true;
        if action == Action::Install && namespace {
            action::make_namespace(state, &release.namespace);
        }
        if let Err(text) = action::apply(state, &live.value, &rendered.objects, &before) {
            return status::fail(state, &live, release, action, &text);
        }
        return check(state, &live, release, action, checks);
    }
    let live = status.write(state, live, MANAGER);
    check(state, &live, release, action, checks)
}

/// Another chart or another place is another release: the one before is uninstalled first.
fn replace(state: &mut State, live: &Arc<Object>) -> Again {
    let uid = object::uid(&live.value).to_owned();
    let installed = state.flux.releases.remove(&uid).unwrap_or_default();
    action::remove(state, &installed.current);
    state.marks.clear(&uid, "waiting");
    let mut status = Status::of(&live.value);
    for key in [
        "history",
        "failures",
        "installFailures",
        "upgradeFailures",
        "storageNamespace",
    ] {
        object::remove(&mut status.value, &[key]);
    }
    status.write(state, live, MANAGER);
    state.marks.clear(&uid, "interval");
    Again::AtOnce
}

fn limit(value: &Value, action: Action) -> Duration {
    let usual = duration(&value["spec"]["timeout"], WAIT);
    duration(&value["spec"][action.word()]["timeout"], usual)
}

/// Looks at the health of what was applied.
fn check(
    state: &mut State,
    live: &Arc<Object>,
    release: &Release,
    action: Action,
    checks: &Checks,
) -> Again {
    let uid = object::uid(&live.value).to_owned();
    let objects = state
        .flux
        .releases
        .get(&uid)
        .map(|own| own.current.clone())
        .unwrap_or_default();
    let waits = live.value["spec"][action.word()]["disableWait"] != true;
    let (unhealthy, failed) = action::unhealthy(state, &objects, checks);
    let since = state.marks.since(&uid, "waiting");
    if unhealthy.is_empty() || !waits {
        return status::succeed(state, live, release, action);
    }
    if failed {
        let text = format!(
            "failed early due to stalled resources: [{}]",
            unhealthy.join(", ")
        );
        return status::fail(state, live, release, action, &text);
    }
    if since < limit(&live.value, action) {
        return Again::Look;
    }
    let text = format!("timeout waiting for: [{}]", unhealthy.join(", "));
    status::fail(state, live, release, action, &text)
}
