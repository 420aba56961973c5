//! Drift: what others have changed in a release's objects, told and corrected where that is asked for.

use std::sync::Arc;

use serde_json::Value;

use super::{Again, MANAGER, Release, TABLE, action, status};
use crate::kube::flux::conditions::Status;
use crate::kube::flux::{inventory, kustomize, nudge_dependents};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

/// On an object whose drift is not looked for.
const DISABLED: &str = "helm.toolkit.fluxcd.io/driftDetection";

/// Nothing is to be done but to correct what others have changed, where that is asked for.
pub(super) fn in_sync(
    state: &mut State,
    live: &Arc<Object>,
    release: &Release,
    mut status: Status,
) -> Again {
    let value = &live.value;
    let uid = object::uid(value).to_owned();
    let mode = object::text(value, &["spec", "driftDetection", "mode"]).to_owned();
    if !matches!(mode.as_str(), "warn" | "enabled") {
        status.drop(&["Drifted"]);
        return settled(state, live, status);
    }
    let objects: Vec<Value> = state
        .flux
        .releases
        .get(&uid)
        .map(|own| own.current.clone())
        .unwrap_or_default();
    let drifted: Vec<(String, Value)> = objects
        .iter()
        .filter(|one| {
            !object::label(one, DISABLED).eq("disabled")
                && object::annotation(one, DISABLED) != "disabled"
        })
        .filter_map(|one| found(state, value, one))
        .collect();
    if drifted.is_empty() {
        let text = "No drift detected against the cluster state";
        status.mark("Drifted", "False", "NoDriftDetected", text);
        return settled(state, live, status);
    }
    let number = &value["status"]["history"][0]["version"];
    let shown = format!("release {}/{}.v{number}", release.namespace, release.name);
    let lines = |word: fn(&(String, Value)) -> String| -> String {
        let all: Vec<String> = drifted.iter().map(word).collect();
        all.join("\n")
    };
    let what = lines(|(text, _)| text.clone());
    let text = format!("Cluster state of {shown} has drifted from the desired state:\n{what}");
    state.event(value, "Warning", "DriftDetected", &text, MANAGER);
    status.mark("Drifted", "True", "DriftDetected", &text);
    if mode != "enabled" {
        return settled(state, live, status);
    }
    let wished: Vec<Value> = drifted.iter().map(|(_, wished)| wished.clone()).collect();
    let (kind, reason, text) = match action::apply(state, value, &wished, &[]) {
        Ok(()) => {
            let done = lines(|(text, wished)| {
                let word = if text.ends_with(" removed") {
                    "created"
                } else {
                    "configured"
                };
                format!("{} {word}", inventory::shown(wished))
            });
            let text = format!("Cluster state of {shown} has been corrected:\n{done}");
            ("Normal", "DriftCorrected", text)
        }
        Err(text) => {
            let text = format!("Failed to correct cluster state of {shown}:\n{text}");
            ("Warning", "DriftCorrectionFailed", text)
        }
    };
    state.event(value, kind, reason, &text, MANAGER);
    let corrected = reason == "DriftCorrected";
    if corrected {
        let text = "No drift detected against the cluster state";
        status.mark("Drifted", "False", "NoDriftDetected", text);
    }
    settled(state, live, status)
}

fn settled(state: &mut State, live: &Arc<Object>, mut status: Status) -> Again {
    status::settle(&mut status, &live.value);
    let live = status.write(state, live, MANAGER);
    nudge_dependents(state, TABLE, &live.value);
    Again::Done
}

/// How an object has drifted, and as what it is applied to correct that: without what is ignored.
fn found(state: &mut State, value: &Value, object: &Value) -> Option<(String, Value)> {
    let shown = inventory::shown(object);
    let Some(live) = action::live(state, object) else {
        return Some((format!("{shown} removed"), object.clone()));
    };
    let mut wished = object.clone();
    for rule in object::items(value, &["spec", "driftDetection", "ignore"]) {
        if kustomize::aims_at(&rule["target"], object) {
            for path in object::items(rule, &["paths"]) {
                forget(&mut wished, path.as_str().unwrap_or_default());
            }
        }
    }
    let now = action::tried(state, value, &wished).ok()?;
    let mut count = Count::default();
    count.compare(&bare(&live.value), &bare(&now));
    if count == Count::default() {
        return None;
    }
    let Count {
        additions,
        changes,
        removals,
    } = count;
    let text =
        format!("{shown} changed ({additions} additions, {changes} changes, {removals} removals)");
    Some((text, wished))
}

/// Without what every write changes.
fn bare(value: &Value) -> Value {
    let mut value = value.clone();
    for key in ["managedFields", "resourceVersion", "generation"] {
        object::remove(&mut value, &["metadata", key]);
    }
    object::remove(&mut value, &["status"]);
    value
}

/// Operations that lead from one object to another.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    additions: usize,
    changes: usize,
    removals: usize,
}

impl Count {
    fn compare(&mut self, is: &Value, wished: &Value) {
        match (is, wished) {
            (Value::Object(is), Value::Object(wished)) => {
                for (key, value) in is {
                    match wished.get(key) {
                        Some(other) => self.compare(value, other),
                        None => self.removals += 1,
                    }
                }
                self.additions += wished.keys().filter(|key| !is.contains_key(*key)).count();
            }
            (is, wished) if is == wished => {}
            _ => self.changes += 1,
        }
    }
}

/// Takes what a JSON pointer names out of an object; an empty one names all.
fn forget(value: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else {
        return;
    };
    let key = key.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(Value::Object(map)) => drop(map.shift_remove(&key)),
        Some(Value::Array(list)) => {
            if let Some(at) = key.parse::<usize>().ok().filter(|at| *at < list.len()) {
                list.remove(at);
            }
        }
        _ => {}
    }
}
