//! Tests of a release: its test hooks, one after the other, each to its end.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::hooks::Hook;
use super::{Action, Again, MANAGER, Release, WAIT, action, status};
use crate::kube::controllers::condition;
use crate::kube::flux::conditions::Status;
use crate::kube::flux::{duration, go};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

/// How far the tests of a release are.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    /// Hooks that have succeeded, and when they began.
    done: usize,
    began: Option<String>,
}

/// Whether the last release is to be tested, and was not.
pub(super) fn is_due(value: &Value, last: &Value) -> bool {
    value["spec"]["test"]["enable"] == true && last["testHooks"].is_null()
}

/// Whether a test of the last release has failed, and that counts.
pub(super) fn has_failed(value: &Value, last: &Value, action: Action) -> bool {
    value["spec"]["test"]["enable"] == true
        && !is_ignored(value, action)
        && last["testHooks"]
            .as_object()
            .into_iter()
            .flatten()
            .any(|(_, hook)| hook["phase"] == "Failed")
}

/// Ends tests that are under way, if any; what they have made stays.
pub(super) fn stop(state: &mut State, uid: &str) {
    state.marks.clear(uid, "testing");
    if let Some(own) = state.flux.releases.get_mut(uid) {
        own.trial = None;
    }
}

/// What a release that is to be tested says before it was.
pub(super) fn await_tests(status: &mut Status, value: &Value) {
    if value["spec"]["test"]["enable"] != true {
        status.drop(&["TestSuccess"]);
        return;
    }
    let last = &status.value["history"][0];
    if last["testHooks"].is_null() {
        let text = format!("Helm release {} is awaiting tests", shown(last));
        status.mark("TestSuccess", "Unknown", "AwaitingTests", &text);
    }
}

/// `NAMESPACE/NAME.vN with chart CHART@VERSION`.
pub(super) fn shown(last: &Value) -> String {
    let text = |key: &str| last[key].as_str().unwrap_or_default();
    format!(
        "{}/{}.v{} with chart {}@{}",
        text("namespace"),
        text("name"),
        last["version"],
        text("chartName"),
        text("chartVersion")
    )
}

fn limit(value: &Value) -> Duration {
    let usual = duration(&value["spec"]["timeout"], WAIT);
    duration(&value["spec"]["test"]["timeout"], usual)
}

/// Runs the tests a step further.
pub(super) fn run(
    state: &mut State,
    live: &Arc<Object>,
    release: &Release,
    mut status: Status,
) -> Again {
    let value = &live.value;
    let uid = object::uid(value).to_owned();
    let hooks = chosen(state, value);
    let known = state.flux.releases.entry(uid.clone()).or_default();
    if known.trial.is_none() {
        known.trial = Some(Trial::default());
        state.marks.restart(&uid, "testing");
        let text = format!(
            "Running 'test' action with timeout of {}",
            go::show(limit(value))
        );
        status.mark("Reconciling", "True", "Progressing", &text);
        status.write(state, live, MANAGER);
        return Again::Look;
    }
    loop {
        let trial = state
            .flux
            .releases
            .get(&uid)
            .and_then(|own| own.trial.as_ref());
        let (done, began) = trial.map_or((0, None), |own| (own.done, own.began.clone()));
        let Some(hook) = hooks.get(done) else {
            return passed(state, live, status, &hooks);
        };
        let Some(began) = began else {
            if let Err(text) = begin(state, &uid, value, hook) {
                return failed(state, live, release, status, &hooks, &text);
            }
            return Again::Look;
        };
        match ended(state, &hook.object) {
            None if state.marks.since(&uid, "testing") < limit(value) => return Again::Look,
            None => {
                let text = format!(
                    "resource {} not ready. status: InProgress\ncontext deadline exceeded",
                    crate::kube::flux::inventory::shown(&hook.object)
                );
                return failed(state, live, release, status, &hooks, &text);
            }
            Some(Err(text)) => return failed(state, live, release, status, &hooks, &text),
            Some(Ok(())) => {
                note(&mut status, hook, &began, "Succeeded");
                if let Some(trial) = trial_of(state, &uid) {
                    *trial = Trial {
                        done: done + 1,
                        began: None,
                    };
                }
            }
        }
    }
}

fn trial_of<'a>(state: &'a mut State, uid: &str) -> Option<&'a mut Trial> {
    state.flux.releases.get_mut(uid)?.trial.as_mut()
}

/// The test hooks that the spec's filters choose, in their order.
fn chosen(state: &State, value: &Value) -> Vec<Hook> {
    let filters = object::items(value, &["spec", "test", "filters"]);
    let named = |excludes: bool| -> Vec<&str> {
        filters
            .iter()
            .filter(|one| (one["exclude"] == true) == excludes)
            .filter_map(|one| one["name"].as_str())
            .collect()
    };
    let (only, without) = (named(false), named(true));
    let known = state.flux.releases.get(object::uid(value));
    let mut hooks: Vec<Hook> = known
        .map(|own| own.hooks.clone())
        .unwrap_or_default()
        .into_iter()
        .filter(|hook| {
            hook.is_test()
                && !without.contains(&hook.name())
                && (only.is_empty() || only.contains(&hook.name()))
        })
        .collect();
    hooks.sort_by(|a, b| a.order().cmp(&b.order()));
    hooks
}

fn begin(state: &mut State, uid: &str, value: &Value, hook: &Hook) -> Result<(), String> {
    if hook.goes("before-hook-creation") {
        action::remove(state, std::slice::from_ref(&hook.object));
        // It is made when the one before is gone.
        if action::live(state, &hook.object).is_some() {
            return Ok(());
        }
    }
    action::create(state, value, &hook.object)?;
    if let Some(trial) = trial_of(state, uid) {
        trial.began = Some(object::now());
    }
    Ok(())
}

/// How a hook's object has ended, once it has: Pods and Jobs have an end, others are made and that is all.
fn ended(state: &State, object: &Value) -> Option<Result<(), String>> {
    let Some(live) = action::live(state, object) else {
        return Some(Err(format!("{} is gone", object::name(object))));
    };
    let value = &live.value;
    let is = |kind: &str| condition(value, kind).is_some_and(|one| one["status"] == "True");
    match value["kind"].as_str().unwrap_or_default() {
        "Pod" => match object::text(value, &["status", "phase"]) {
            "Succeeded" => Some(Ok(())),
            "Failed" => Some(Err(format!("pod {} failed", object::name(value)))),
            _ => None,
        },
        "Job" if is("Complete") => Some(Ok(())),
        "Job" if is("Failed") => Some(Err(format!("job {} failed", object::name(value)))),
        "Job" => None,
        _ => Some(Ok(())),
    }
}

fn note(status: &mut Status, hook: &Hook, began: &str, phase: &str) {
    status.value["history"][0]["testHooks"][hook.name()] =
        json!({"lastStarted": began, "lastCompleted": object::now(), "phase": phase});
}

/// Notes those that have run; one that has none at all was tested too.
fn over(state: &mut State, status: &mut Status, hooks: &[Hook], uid: &str, failed: bool) {
    let trial = trial_of(state, uid).map(std::mem::take).unwrap_or_default();
    if status.value["history"][0]["testHooks"].is_null() {
        status.value["history"][0]["testHooks"] = json!({});
    }
    let ran = hooks.iter().take(trial.done + usize::from(failed));
    for (number, hook) in ran.enumerate() {
        let (phase, when) = if number < trial.done {
            ("Succeeded", "hook-succeeded")
        } else {
            ("Failed", "hook-failed")
        };
        let began = trial.began.clone().unwrap_or_else(object::now);
        note(status, hook, &began, phase);
        if hook.goes(when) {
            action::remove(state, std::slice::from_ref(&hook.object));
        }
    }
    stop(state, uid);
}

fn passed(state: &mut State, live: &Arc<Object>, mut status: Status, hooks: &[Hook]) -> Again {
    let uid = object::uid(&live.value).to_owned();
    over(state, &mut status, hooks, &uid, false);
    let count = match hooks.len() {
        0 => "no test hooks".to_owned(),
        1 => "1 test hook completed successfully".to_owned(),
        number => format!("{number} test hooks completed successfully"),
    };
    let last = shown(&status.value["history"][0]);
    let text = format!("Helm test succeeded for release {last}: {count}");
    status.mark("TestSuccess", "True", "TestSucceeded", &text);
    status::settle(&mut status, &live.value);
    let live = status.write(state, live, MANAGER);
    state.event(&live.value, "Normal", "TestSucceeded", &text, MANAGER);
    Again::AtOnce
}

fn failed(
    state: &mut State,
    live: &Arc<Object>,
    release: &Release,
    mut status: Status,
    hooks: &[Hook],
    text: &str,
) -> Again {
    let value = &live.value;
    let uid = object::uid(value).to_owned();
    over(state, &mut status, hooks, &uid, true);
    let last = shown(&status.value["history"][0]);
    let text = format!("Helm test failed for release {last}: {text}");
    status.mark("TestSuccess", "False", "TestFailed", &text);
    state.event(value, "Warning", "TestFailed", &text, MANAGER);
    let action = match status.value["lastAttemptedReleaseAction"].as_str() {
        Some("install") | None => Action::Install,
        Some(_) => Action::Upgrade,
    };
    let failures = object::number(&status.value, &["failures"]).unwrap_or_default() + 1;
    status.value["failures"] = failures.into();
    if is_ignored(value, action) {
        status::settle(&mut status, value);
        status.write(state, live, MANAGER);
        return Again::AtOnce;
    }
    let failures = object::number(&status.value, &[action.failures()]).unwrap_or_default() + 1;
    status.value[action.failures()] = failures.into();
    status.mark("Ready", "False", "TestFailed", &text);
    status::after_failure(state, live, status, release, action, failures)
}

/// Whether a test that fails changes nothing.
fn is_ignored(value: &Value, action: Action) -> bool {
    let own = &value["spec"][action.word()]["remediation"]["ignoreTestFailures"];
    own.as_bool()
        .unwrap_or(value["spec"]["test"]["ignoreFailures"] == true)
}
