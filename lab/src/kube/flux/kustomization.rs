//! Kustomizations: built, applied in stages, found healthy, pruned by their inventory.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::conditions::Status;
use super::inventory::{self, Entry, MANAGER, Standing};
use super::tree::{Tree, hexadecimal};
use super::{DEPENDENCY, FINALIZER, INTERVAL, LOOK, go};
use super::{decryption, kustomize, substitute};
use super::{duration, is_ready, is_settled, keep, let_go, nudge_dependents, scripted};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

const TABLE: &str = "kustomizations.kustomize.toolkit.fluxcd.io";
/// The shortest time that health checks get, as the controller has it.
const TIMEOUT_MIN: Duration = Duration::from_secs(30);
/// Entries of the history.
const HISTORY_MAX: usize = 5;

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
    let interval = duration(&value["spec"]["interval"], INTERVAL);
    let retry = duration(&value["spec"]["retryInterval"], interval);
    let revision = source(state, value);
    let settled = is_settled(state, value);
    let waits = state.marks.has(&uid, "waiting");
    let attempted = value["status"]["lastAttemptedRevision"]
        .as_str()
        .unwrap_or_default();
    let same = revision.as_ref().is_ok_and(|(own, _)| own == attempted);
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
    if let Some(text) = dependency(state, value, &revision) {
        let mut status = Status::of(value);
        status.mark("Ready", "False", "DependencyNotReady", &text);
        let live = finish(state, live, status);
        let text = "Dependencies do not meet ready condition, retrying in 30s";
        state.event(&live.value, "Normal", "DependencyNotReady", text, MANAGER);
        return Some(DEPENDENCY);
    }
    match reconcile(state, live, &revision, &tree) {
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
            status.drop(&["Reconciling"]);
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

/// The revision and the files of the source, or why there are none.
fn source(state: &State, value: &Value) -> Result<(String, Arc<Tree>), String> {
    let reference = &value["spec"]["sourceRef"];
    let namespace = reference["namespace"]
        .as_str()
        .unwrap_or(object::namespace(value));
    let (kind, name) = (
        reference["kind"].as_str().unwrap_or_default(),
        reference["name"].as_str().unwrap_or_default(),
    );
    let table = match kind {
        "OCIRepository" => "ocirepositories.source.toolkit.fluxcd.io",
        "GitRepository" => "gitrepositories.source.toolkit.fluxcd.io",
        other => return Err(format!("the lab serves no source of kind `{other}`")),
    };
    let Some(source) = state.get(table, namespace, name) else {
        return Err(format!(
            "{kind}.source.toolkit.fluxcd.io \"{name}\" not found"
        ));
    };
    let Some(revision) = source.value["status"]["artifact"]["revision"].as_str() else {
        return Err("Source artifact not found, retrying in 30s".to_owned());
    };
    match state.flux.artifacts.get(object::uid(&source.value)) {
        Some(artifact) => Ok((revision.to_owned(), artifact.tree.clone())),
        None => Err("Source is not ready, artifact not found, retrying in 30s".to_owned()),
    }
}

fn dependency(state: &State, value: &Value, revision: &str) -> Option<String> {
    object::items(value, &["spec", "dependsOn"])
        .iter()
        .find_map(|one| {
            let own = object::namespace(value);
            let namespace = one["namespace"].as_str().unwrap_or(own);
            let name = one["name"].as_str().unwrap_or_default();
            let shown = format!("dependency '{namespace}/{name}'");
            if one["readyExpr"].is_string() {
                return Some(format!("{shown}: the lab evaluates no readyExpr"));
            }
            let Some(other) = state.get(TABLE, namespace, name) else {
                return Some(format!(
                    "{shown} not found: kustomizations.kustomize.toolkit.fluxcd.io \"{name}\" not found"
                ));
            };
            if !is_ready(&other.value) {
                return Some(format!("{shown} is not ready"));
            }
            let reference = |value: &Value| {
                let own = &value["spec"]["sourceRef"];
                let namespace = own["namespace"].as_str().unwrap_or(object::namespace(value));
                (own["kind"].clone(), own["name"].clone(), namespace.to_owned())
            };
            let stale = reference(&other.value) == reference(value)
                && other.value["status"]["lastAppliedRevision"] != revision;
            stale.then(|| format!("{shown} revision is not up to date"))
        })
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
        common(object, &value["spec"]["commonMetadata"]);
        inventory::own(value, object);
        decryption::refuse(object).map_err(|text| ("ReconciliationFailed".to_owned(), text))?;
    }
    inventory::sort(&mut objects);
    state.flux.digests.insert(uid.clone(), digest.clone());
    let entries = match inventory::apply(state, value, &objects) {
        Ok(entries) => entries,
        Err(text) => {
            remember(state, live, "ReconciliationFailed", revision);
            return Err(("ReconciliationFailed".to_owned(), text));
        }
    };
    tell(state, value, &entries);
    let old = object::items(value, &["status", "inventory", "entries"]).to_vec();
    if value["spec"]["prune"] == true {
        let gone = inventory::prune(state, value, &old, &entries);
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

fn common(object: &mut Value, meta: &Value) {
    for part in ["labels", "annotations"] {
        for (key, text) in meta[part].as_object().into_iter().flatten() {
            let all = object::meta_mut(object)
                .entry(part)
                .or_insert_with(|| json!({}));
            all[key] = text.clone();
        }
    }
}

/// Looks at the health of what was applied; whether the whole came to its end.
fn check(
    state: &mut State,
    live: &Arc<Object>,
    revision: &str,
    phase: &str,
    limit: Duration,
) -> Result<bool, Failure> {
    let value = &live.value;
    let uid = object::uid(value).to_owned();
    let applied = object::items(value, &["status", "inventory", "entries"]).to_vec();
    let standing = inventory::health(state, value, &applied);
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

/// Notes in the history how an attempt that failed ended.
fn remember(state: &mut State, live: &Arc<Object>, outcome: &str, revision: &str) {
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
fn history(state: &mut State, status: &mut Status, uid: &str, outcome: &str, revision: &str) {
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
        inventory::prune(state, value, &old, &[]);
    }
    state.flux.forget(object::uid(value));
    let_go(state, live);
}
