//! How actions of Helm end in a release's status: success, failure with another try or none, remediation, history.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Action, Again, MANAGER, Release, TABLE, action, render, trial};
use crate::kube::flux::conditions::Status;
use crate::kube::flux::tree::sha256;
use crate::kube::flux::{go, nudge_dependents};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

/// Entries of the history of releases that are over.
const HISTORY_MAX: usize = 5;

/// Whether a token for force or reset is new. It counts only with the request of the same moment.
pub(super) fn is_new(value: &Value, key: &str) -> bool {
    let handled = match key {
        "forceAt" => "lastHandledForceAt",
        _ => "lastHandledResetAt",
    };
    let token = object::annotation(value, &format!("reconcile.fluxcd.io/{key}"));
    !token.is_empty()
        && value["status"][handled] != token
        && object::annotation(value, "reconcile.fluxcd.io/requestedAt") == token
}

pub(super) fn is_asked(value: &Value) -> bool {
    is_new(value, "forceAt") || is_new(value, "resetAt")
}

/// Marks new tokens for force and reset as handled.
pub(super) fn take(status: &mut Status, value: &Value) {
    for (key, handled) in [
        ("forceAt", "lastHandledForceAt"),
        ("resetAt", "lastHandledResetAt"),
    ] {
        if is_new(value, key) {
            let token = object::annotation(value, &format!("reconcile.fluxcd.io/{key}"));
            status.value[handled] = token.into();
        }
    }
}

/// How often an action is tried again: -1 without end.
pub(super) fn retries(value: &Value, word: &str) -> i64 {
    object::number(value, &["spec", word, "remediation", "retries"]).unwrap_or_default()
}

/// `Ready` says what `Released` or `Remediated` says, whichever is newer.
fn summarize(status: &mut Status, value: &Value) {
    let test = &value["spec"]["test"];
    let counts = |kind: &str| {
        kind != "TestSuccess" || test["enable"] == true && test["ignoreFailures"] != true
    };
    let newest = ["Remediated", "TestSuccess", "Released"]
        .iter()
        .filter(|kind| counts(kind))
        .find_map(|kind| status.condition(kind).cloned());
    if let Some(one) = newest {
        let text = |key: &str| one[key].as_str().unwrap_or_default();
        let word = if one["type"] == "Remediated" {
            "False"
        } else {
            text("status")
        };
        status.mark("Ready", word, text("reason"), text("message"));
    }
}

/// Nothing is going on: the status is about this generation.
pub(super) fn settle(status: &mut Status, value: &Value) {
    if let Some(released) = status.condition("Released").cloned() {
        let text = |key: &str| released[key].as_str().unwrap_or_default();
        status.mark("Released", text("status"), text("reason"), text("message"));
    }
    if value["spec"]["test"]["enable"] != true {
        status.drop(&["TestSuccess"]);
    }
    summarize(status, value);
    render::observe(status, value);
    status.drop(&["Reconciling"]);
    status.observe();
    status.handle(value);
}

pub(super) fn succeed(
    state: &mut State,
    live: &Arc<Object>,
    release: &Release,
    action: Action,
) -> Again {
    let uid = object::uid(&live.value).to_owned();
    let mut status = Status::of(&live.value);
    let number = remember(state, &mut status, &uid, release, action.word(), "deployed");
    for key in ["failures", "installFailures", "upgradeFailures"] {
        object::remove(&mut status.value, &[key]);
    }
    let message = format!(
        "Helm {} succeeded for release {}/{}.v{number} with chart {}",
        action.word(),
        release.namespace,
        release.name,
        release.versioned()
    );
    let reason = action.reason("Succeeded");
    status.drop(&["Stalled", "Remediated"]);
    status.mark("Released", "True", &reason, &message);
    trial::await_tests(&mut status, &live.value);
    let tested = live.value["spec"]["test"]["enable"] != true;
    settle(&mut status, &live.value);
    if !tested {
        status.mark("Reconciling", "True", "Progressing", &message);
    }
    state.marks.clear(&uid, "waiting");
    let releases = state.flux.releases.entry(uid).or_default();
    releases.deployed.clone_from(&releases.current);
    let live = status.write(state, live, MANAGER);
    state.event(&live.value, "Normal", &reason, &message, MANAGER);
    if !tested {
        return Again::AtOnce;
    }
    nudge_dependents(state, TABLE, &live.value);
    Again::Done
}

pub(super) fn fail(
    state: &mut State,
    live: &Arc<Object>,
    release: &Release,
    action: Action,
    text: &str,
) -> Again {
    let value = &live.value;
    let uid = object::uid(value).to_owned();
    let mut status = Status::of(value);
    remember(state, &mut status, &uid, release, action.word(), "failed");
    let mut failures = 0;
    for key in ["failures", action.failures()] {
        failures = object::number(&status.value, &[key]).unwrap_or_default() + 1;
        status.value[key] = failures.into();
    }
    let message = format!(
        "Helm {} failed for release {}/{} with chart {}: {text}",
        action.word(),
        release.namespace,
        release.name,
        release.versioned()
    );
    let reason = action.reason("Failed");
    status.drop(&["Remediated"]);
    status.mark("Released", "False", &reason, &message);
    status.mark("Ready", "False", &reason, &message);
    state.marks.clear(&uid, "waiting");
    state.event(value, "Warning", &reason, &message, MANAGER);
    after_failure(state, live, status, release, action, failures)
}

/// What follows an action that failed, or a test of what came of it: what was done is undone, and tried again or not.
pub(super) fn after_failure(
    state: &mut State,
    live: &Arc<Object>,
    mut status: Status,
    release: &Release,
    action: Action,
    failures: i64,
) -> Again {
    let value = &live.value;
    let retries = retries(value, action.word());
    let more = retries < 0 || failures <= retries;
    let last = match value["spec"][action.word()]["remediation"]["remediateLastFailure"].as_bool() {
        Some(own) => own,
        None => action == Action::Upgrade && retries > 0,
    };
    if more || last {
        remediate(state, &mut status, value, release, action);
    }
    status.handle(value);
    if !more {
        return stall(state, live, status, action, failures);
    }
    let text = status
        .condition("Ready")
        .and_then(|one| one["message"].as_str().map(str::to_owned))
        .unwrap_or_default();
    status.mark("Reconciling", "True", "ProgressingWithRetry", &text);
    status.write(state, live, MANAGER);
    Again::AtOnce
}

/// Undoes what has failed: an install is uninstalled, an upgrade goes back to what was deployed before, or is uninstalled.
fn remediate(
    state: &mut State,
    status: &mut Status,
    value: &Value,
    release: &Release,
    action: Action,
) {
    let uid = object::uid(value).to_owned();
    let history = object::items(&status.value, &["history"]).to_vec();
    let previous = history
        .iter()
        .find(|one| matches!(one["status"].as_str(), Some("deployed" | "superseded")))
        .cloned();
    let strategy = value["spec"]["upgrade"]["remediation"]["strategy"].as_str();
    let deployed = state
        .flux
        .releases
        .get(&uid)
        .map(|own| own.deployed.clone())
        .unwrap_or_default();
    let current = state
        .flux
        .releases
        .get(&uid)
        .map(|own| own.current.clone())
        .unwrap_or_default();
    let shown = |one: &Value| {
        let text = |key: &str| one[key].as_str().unwrap_or_default();
        let name = format!("{}/{}.v{}", text("namespace"), text("name"), one["version"]);
        (
            name,
            format!("{}@{}", text("chartName"), text("chartVersion")),
        )
    };
    let (reason, message) = match previous {
        Some(previous) if action == Action::Upgrade && strategy != Some("uninstall") => {
            let (name, chart) = shown(&previous);
            let done = action::apply(state, value, &deployed, &current);
            state
                .flux
                .releases
                .entry(uid)
                .or_default()
                .current
                .clone_from(&deployed);
            match done {
                Ok(()) => {
                    rolled_back(status, &previous);
                    (
                        "RollbackSucceeded",
                        format!(
                            "Helm rollback to previous release {name} with chart {chart} succeeded"
                        ),
                    )
                }
                Err(text) => (
                    "RollbackFailed",
                    format!(
                        "Helm rollback to previous release {name} with chart {chart} failed: {text}"
                    ),
                ),
            }
        }
        _ => {
            let (name, chart) = history.first().map(shown).unwrap_or_else(|| {
                (
                    format!("{}/{}", release.namespace, release.name),
                    release.versioned(),
                )
            });
            action::remove(state, &current);
            state.flux.releases.entry(uid).or_default().current.clear();
            let mut all = history;
            if let Some(first) = all.first_mut() {
                first["status"] = "uninstalled".into();
            }
            // What is uninstalled is no release any more: the next action installs.
            status.value["history"] = json!([]);
            (
                "UninstallSucceeded",
                format!(
                    "Helm uninstall remediation for release {name} with chart {chart} succeeded"
                ),
            )
        }
    };
    let word = if reason.ends_with("Failed") {
        "False"
    } else {
        "True"
    };
    status.mark("Remediated", word, reason, &message);
    status.mark("Ready", "False", reason, &message);
    let kind = if word == "True" { "Normal" } else { "Warning" };
    state.event(value, kind, reason, &message, MANAGER);
}

/// A rollback is one more release, of the content of an earlier one.
fn rolled_back(status: &mut Status, previous: &Value) {
    let mut all = object::items(&status.value, &["history"]).to_vec();
    let number = all
        .first()
        .and_then(|one| one["version"].as_i64())
        .unwrap_or_default()
        + 1;
    for one in &mut all {
        if one["status"] == "deployed" {
            one["status"] = "superseded".into();
        }
    }
    let mut now = previous.clone();
    now["status"] = "deployed".into();
    now["version"] = number.into();
    now["action"] = "rollback".into();
    now["lastDeployed"] = object::now().into();
    all.insert(0, now);
    status.value["history"] = all.into();
}

/// There is no further try.
pub(super) fn stall(
    state: &mut State,
    live: &Arc<Object>,
    mut status: Status,
    action: Action,
    failures: i64,
) -> Again {
    let text = format!("Failed to {} after {failures} attempt(s)", action.word());
    status.drop(&["Reconciling"]);
    status.mark("Stalled", "True", "RetriesExceeded", &text);
    summarize(&mut status, &live.value);
    status.observe();
    status.handle(&live.value);
    status.write(state, live, MANAGER);
    Again::Done
}

/// One more entry of the history; its number.
fn remember(
    state: &mut State,
    status: &mut Status,
    uid: &str,
    release: &Release,
    word: &str,
    outcome: &str,
) -> i64 {
    let objects = state
        .flux
        .releases
        .get(uid)
        .map(|own| own.current.clone())
        .unwrap_or_default();
    let mut all = object::items(&status.value, &["history"]).to_vec();
    let number = all
        .first()
        .and_then(|one| one["version"].as_i64())
        .unwrap_or_default()
        + 1;
    let first = all
        .last()
        .map_or_else(|| object::now().into(), |one| one["firstDeployed"].clone());
    if outcome == "deployed" {
        for one in &mut all {
            if one["status"] == "deployed" {
                one["status"] = "superseded".into();
            }
        }
        // Only the one before is of use: what a rollback goes back to.
        all.truncate(1);
    }
    let mut entry = json!({
        "action": word, "apiVersion": "v2", "chartName": release.chart.name, "chartVersion": release.chart.version,
        "configDigest": release.config_digest, "digest": sha256(format!("{number}{}", json!(objects)).as_bytes()),
        "firstDeployed": first, "lastDeployed": object::now(), "name": release.name, "namespace": release.namespace,
        "status": outcome, "version": number,
    });
    if !release.chart.oci_digest.is_empty() {
        entry["ociDigest"] = release.chart.oci_digest.as_str().into();
    }
    if !release.chart.app_version.is_empty() {
        entry["appVersion"] = release.chart.app_version.as_str().into();
    }
    all.insert(0, entry);
    all.truncate(HISTORY_MAX);
    status.value["history"] = all.into();
    let took = go::show(state.marks.since(uid, "waiting"));
    status.value["lastAttemptedReleaseActionDuration"] = took.into();
    let entries: Vec<Value> = objects
        .iter()
        .filter_map(|object| {
            let resource = state
                .registry
                .of_kind(object["apiVersion"].as_str()?, object["kind"].as_str()?)?;
            let id = format!(
                "{}_{}_{}_{}",
                object::namespace(object),
                object::name(object),
                resource.group,
                resource.kind
            );
            Some(json!({"id": id, "v": resource.version}))
        })
        .collect();
    status.value["inventory"] = json!({"entries": entries});
    number
}
