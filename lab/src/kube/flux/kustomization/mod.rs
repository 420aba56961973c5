//! Kustomizations: built, applied in stages, found healthy, pruned by their inventory.

mod check;
mod history;
mod inputs;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::checks::Checks;
use super::conditions::Status;
use super::depends::Unmet;
use super::inventory::{self, Entry};
use super::tree::{Tree, hexadecimal};
use super::{DEPENDENCY, FINALIZER, INTERVAL, LOOK, TERMINAL, give_up, go};
use super::{decryption, kustomize, substitute};
use super::{duration, is_ready, is_settled, keep, let_go, scripted};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

use check::check;
use history::remember;
use inputs::{dependency, source};

pub(super) use super::inventory::MANAGER;

const TABLE: &str = "kustomizations.kustomize.toolkit.fluxcd.io";
/// The shortest time that health checks get, as the controller has it.
const TIMEOUT_MIN: Duration = Duration::from_secs(30);

/// The reason of a `Ready` condition, and what is to be said.
type Failure = (String, String);

pub(super) fn react(state: &mut State, live: &Arc<Object>) -> Option<Duration> {
    let value = &live.value;
    if object::is_deleting(value) {
        end(state, live);
        return None;
    }
    if keep(state, live, MANAGER) {
        return Some(Duration::ZERO);
    }
    if value["spec"]["suspend"] == true {
        finish(state, live, Status::of(value));
        return None;
    }
    let uid = object::uid(value).to_owned();
    let checks = match Checks::read(&value["spec"]) {
        Ok(checks) => checks,
        Err(text) => return invalid(state, live, &text),
    };
    let interval = duration(&value["spec"]["interval"], INTERVAL);
    let retry = duration(&value["spec"]["retryInterval"], interval);
    let revision = source(state, value);
    let settled = is_settled(state, value);
    let waits = state.marks.has(&uid, "waiting");
    // Not what the status says: a revision without the path is not said to have been attempted.
    let same = revision
        .as_ref()
        .is_ok_and(|(own, _)| state.marks.was_last(&uid, "tried", own));
    if settled && same && !waits {
        let wait = if is_ready(value) { interval } else { retry };
        if let Some(left) = state.marks.left(&uid, "interval", wait) {
            return Some(left);
        }
    }
    // Something new was asked for: what was waited for is looked at again from its beginning.
    if waits && !(settled && same) {
        state.marks.clear(&uid, "waiting");
    }
    state.marks.restart(&uid, "interval");
    if let Some(reason) = scripted(state, value) {
        fail(state, live, &reason, "set to fail by the lab");
        return Some(retry);
    }
    let (revision, tree) = match revision {
        Ok(found) => found,
        Err(text) => {
            fail(state, live, "ArtifactFailed", &text);
            return Some(DEPENDENCY);
        }
    };
    let unmet = match dependency(state, value, &revision) {
        Some(Unmet::Never(text)) => return invalid(state, live, &text),
        Some(Unmet::Waits(text)) => Some(text),
        None => None,
    };
    if let Some(text) = unmet {
        let mut status = Status::of(value);
        status.mark("Ready", "False", "DependencyNotReady", &text);
        let live = finish(state, live, status);
        let text = "Dependencies do not meet ready condition, retrying in 30s";
        state.event(&live.value, "Normal", "DependencyNotReady", text, MANAGER);
        return Some(DEPENDENCY);
    }
    if let Some(text) = unserved(&value["spec"]) {
        fail(state, live, "ReconciliationFailed", &text);
        return Some(retry);
    }
    state.marks.remember(&uid, "tried", &revision);
    match reconcile(state, live, &revision, &tree, &checks) {
        Ok(true) => Some(interval),
        Ok(false) => Some(LOOK),
        Err((reason, text)) => {
            state.marks.clear(&uid, "waiting");
            fail(state, live, &reason, &text);
            Some(retry)
        }
    }
}

/// What every reconciliation ends with.
fn finish(state: &mut State, live: &Arc<Object>, mut status: Status) -> Arc<Object> {
    status.handle(&live.value);
    match status
        .condition("Ready")
        .and_then(|one| one["status"].as_str())
    {
        Some("True") => {
            status.drop(&["Reconciling", "Stalled"]);
            status.observe();
        }
        Some("False") => status.retries(),
        _ => {}
    }
    status.write(state, live, MANAGER)
}

fn fail(state: &mut State, live: &Arc<Object>, reason: &str, message: &str) {
    let (namespace, name) = (object::namespace(&live.value), object::name(&live.value));
    let Some(live) = state.get(TABLE, namespace, name) else {
        return;
    };
    let mut status = Status::of(&live.value);
    status.mark("Ready", "False", reason, message);
    let live = finish(state, &live, status);
    state.event(&live.value, "Warning", reason, message, MANAGER);
}

/// What of a spec the lab does not do, and would be wrong without.
fn unserved(spec: &Value) -> Option<String> {
    if spec["kubeConfig"].is_object() {
        return Some(
            "the lab applies to no other cluster, which `spec.kubeConfig` asks for".to_owned(),
        );
    }
    if spec["decryption"]["serviceAccountName"].is_string() {
        return Some("the lab decrypts with no `spec.decryption.serviceAccountName`".to_owned());
    }
    ["buildMetadata", "ignore"]
        .into_iter()
        .find(|key| !object::items(spec, &[key]).is_empty())
        .map(|key| format!("the lab knows no `spec.{key}`"))
}

/// A spec that no further try can help; the event says that too.
fn invalid(state: &mut State, live: &Arc<Object>, text: &str) -> Option<Duration> {
    let event = format!("{TERMINAL}: {text}");
    give_up(state, live, MANAGER, text, &event);
    None
}

fn timeout(value: &Value) -> Duration {
    let interval = duration(&value["spec"]["interval"], INTERVAL);
    let usual = interval.saturating_sub(TIMEOUT_MIN);
    duration(&value["spec"]["timeout"], usual).max(TIMEOUT_MIN)
}

/// Builds and applies, then waits for health; whether it came to its end.
fn reconcile(
    state: &mut State,
    live: &Arc<Object>,
    revision: &str,
    tree: &Arc<Tree>,
    checks: &Checks,
) -> Result<bool, Failure> {
    let value = &live.value;
    let uid = object::uid(value).to_owned();
    let limit = timeout(value);
    let phase = |doing: &str| {
        format!(
            "{doing} for revision {revision} with a timeout of {}",
            go::show(limit)
        )
    };
    if !state.marks.has(&uid, "waiting") {
        state.marks.restart(&uid, "began");
        let mut status = Status::of(value);
        status.progress("Reconciliation in progress");
        status.mark(
            "Reconciling",
            "True",
            "Progressing",
            &phase("Fetching manifests"),
        );
        let live = status.write(state, live, MANAGER);
        let folder = folder(tree, &live.value, &uid)?;
        let mut status = Status::of(&live.value);
        status.value["lastAttemptedRevision"] = revision.into();
        status.mark(
            "Reconciling",
            "True",
            "Progressing",
            &phase("Building manifests"),
        );
        let live = status.write(state, &live, MANAGER);
        let build_failed = |text: String| ("BuildFailed".to_owned(), text);
        let objects = build(state, &live.value, tree, &folder).map_err(build_failed)?;
        let mut status = Status::of(&live.value);
        status.mark(
            "Reconciling",
            "True",
            "Progressing",
            &phase("Detecting drift"),
        );
        let live = status.write(state, &live, MANAGER);
        apply(state, &live, revision, objects)?;
    }
    let live = state
        .get(TABLE, object::namespace(value), object::name(value))
        .ok_or_else(|| ("ReconciliationFailed".to_owned(), "it is gone".to_owned()))?;
    check(
        state,
        &live,
        revision,
        &phase("Running health checks"),
        limit,
        checks,
    )
}

fn folder(tree: &Tree, value: &Value, uid: &str) -> Result<String, Failure> {
    let path = object::text(value, &["spec", "path"]);
    // As the controller joins paths: nothing leads out of the artifact.
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    let folder = parts.join("/");
    if tree.is_folder(&folder) {
        return Ok(folder);
    }
    let shown = &uid[..uid.len().min(8)];
    Err((
        "ArtifactFailed".to_owned(),
        format!(
            "kustomization path not found: stat /tmp/kustomization-{shown}/{folder}: no such file or directory"
        ),
    ))
}

fn build(state: &State, value: &Value, tree: &Tree, folder: &str) -> Result<Vec<Value>, String> {
    let identities = decryption::identities(state, value)?;
    let mut objects = kustomize::build(tree, folder, &value["spec"], identities.as_deref())?;
    if let Some(identities) = &identities {
        decryption::open(&mut objects, identities)?;
    }
    substitute::substitute(state, value, &mut objects)?;
    Ok(objects)
}

/// Applies what was built, prunes what is not in it any more, and writes the inventory.
fn apply(
    state: &mut State,
    live: &Arc<Object>,
    revision: &str,
    mut objects: Vec<Value>,
) -> Result<(), Failure> {
    let value = &live.value;
    let uid = object::uid(value).to_owned();
    let digest = format!(
        "sha256:{}",
        hexadecimal(&Sha256::digest(json!(objects).to_string()))
    );
    for object in &mut objects {
        inventory::common(object, &value["spec"]["commonMetadata"]);
        inventory::own(value, object);
        decryption::refuse(object).map_err(|text| ("ReconciliationFailed".to_owned(), text))?;
    }
    inventory::sort(&mut objects);
    state.flux.digests.insert(uid.clone(), digest.clone());
    let entries = match inventory::apply_all(state, value, &objects) {
        Ok(entries) => entries,
        Err(text) => {
            remember(state, live, "ReconciliationFailed", revision);
            return Err(("ReconciliationFailed".to_owned(), text));
        }
    };
    tell(state, value, &entries);
    let old = object::items(value, &["status", "inventory", "entries"]).to_vec();
    if value["spec"]["prune"] == true {
        let gone = inventory::prune(state, value, &old, &entries)
            .map_err(|text| ("PruneFailed".to_owned(), text))?;
        if !gone.is_empty() {
            state.event(value, "Normal", "Progressing", &gone.join("\n"), MANAGER);
        }
    }
    let listed: Vec<Value> = entries
        .iter()
        .map(|entry| json!({"id": entry.id, "v": entry.version}))
        .collect();
    let mut status = Status::of(value);
    status.value["inventory"] = json!({"entries": listed});
    status.write(state, live, MANAGER);
    state.marks.restart(&uid, "waiting");
    Ok(())
}

/// What changed, as an event.
fn tell(state: &mut State, value: &Value, entries: &[Entry]) {
    let changed: Vec<String> = entries
        .iter()
        .filter(|entry| matches!(entry.action, "created" | "configured"))
        .map(|entry| format!("{} {}", entry.shown, entry.action))
        .collect();
    if !changed.is_empty() {
        state.event(value, "Normal", "Progressing", &changed.join("\n"), MANAGER);
    }
}

/// With a Kustomization that prunes goes what it applied.
fn end(state: &mut State, live: &Arc<Object>) {
    let value = &live.value;
    if !object::has_finalizer(value, FINALIZER) {
        return;
    }
    let deletes = match object::text(value, &["spec", "deletionPolicy"]) {
        "" | "MirrorPrune" => value["spec"]["prune"] == true,
        "Orphan" => false,
        _ => true,
    };
    if deletes && value["spec"]["suspend"] != true {
        let old = object::items(value, &["status", "inventory", "entries"]).to_vec();
        let _ = inventory::prune(state, value, &old, &[]);
    }
    state.flux.forget(object::uid(value));
    let_go(state, live);
}
