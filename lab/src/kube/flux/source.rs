//! Sources: what stands behind their URL on this machine, under the revision that source-controller would write.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::conditions::Status;
use super::fetch::{Artifact, Fetch, Refused};
use super::origin;
use super::{INTERVAL, REQUESTED, duration, is_settled, keep, leaves, nudge, scripted};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

const MANAGER: &str = "source-controller";
const CONSUMERS: [&str; 3] = [
    "kustomizations.kustomize.toolkit.fluxcd.io",
    super::chart::TABLE,
    "helmreleases.helm.toolkit.fluxcd.io",
];
/// Before the first further try after a failure; each next one takes twice as long.
const BACKOFF: Duration = Duration::from_millis(750);
/// Doublings of it.
const BACKOFF_STEPS: u32 = 10;

pub(super) fn react(state: &mut State, live: &Arc<Object>) -> Option<Duration> {
    let value = &live.value;
    // A repository of charts in a registry has nothing to fetch and no status.
    if value["spec"]["type"] == "oci" {
        return None;
    }
    let uid = object::uid(value).to_owned();
    if leaves(state, live) {
        return None;
    }
    if keep(state, live, MANAGER) {
        return Some(Duration::ZERO);
    }
    if value["spec"]["suspend"] == true {
        stand_still(state, live);
        return None;
    }
    let interval = duration(&value["spec"]["interval"], INTERVAL);
    let failures = state.flux.failures.get(&uid).copied().unwrap_or_default();
    let wait = match failures {
        0 => interval,
        tries => BACKOFF * 2_u32.pow(tries.min(BACKOFF_STEPS) - 1),
    };
    if is_settled(state, value)
        && let Some(left) = state.marks.left(&uid, "interval", wait)
    {
        return Some(left);
    }
    state.marks.restart(&uid, "interval");
    begin(state, live);
    if let Some(reason) = scripted(state, value) {
        let text = "set to fail by the lab".to_owned();
        failed(state, live, &reason, &text);
        return Some(interval);
    }
    let from = match origin::of(state, value) {
        Ok(from) => from,
        Err((reason, text)) => {
            failed(state, live, reason, &text);
            return Some(interval);
        }
    };
    let fetch = Fetch {
        table: state.resource_of(value)?.qualified(),
        key: (
            object::namespace(value).to_owned(),
            object::name(value).to_owned(),
        ),
        uid,
        generation: value["metadata"]["generation"].clone(),
        from,
    };
    state.flux.fetches.push(fetch);
    Some(interval)
}

/// What a source says before it fetches.
fn begin(state: &mut State, live: &Arc<Object>) {
    let value = &live.value;
    let mut status = Status::of(value);
    let (seen, now) = (
        value["status"]["observedGeneration"].as_i64().unwrap_or(-1),
        value["metadata"]["generation"].as_i64().unwrap_or_default(),
    );
    let message = if seen == now {
        "reconciliation in progress".to_owned()
    } else {
        format!("processing object: new generation {seen} -> {now}")
    };
    status.mark("Reconciling", "True", "Progressing", &message);
    if status.condition("Ready").is_none() {
        status.mark("Ready", "Unknown", "Progressing", &message);
    }
    let asked = value["status"]["lastHandledReconcileAt"] != object::annotation(value, REQUESTED);
    let live = if seen != now || asked {
        status.write(state, live, MANAGER)
    } else {
        live.clone()
    };
    if value["status"]["artifact"].is_null() {
        let mut status = Status::of(&live.value);
        status.drop(&["ArtifactInStorage"]);
        status.progress("building artifact");
        status.write(state, &live, MANAGER);
    }
}

/// Suspended: the status is said to be about this generation and the request to be handled; nothing else is done.
fn stand_still(state: &mut State, live: &Arc<Object>) {
    let mut status = Status::of(&live.value);
    let Some(ready) = status.condition("Ready").cloned() else {
        return;
    };
    let text = |key: &str| ready[key].as_str().unwrap_or_default();
    status.mark("Ready", text("status"), text("reason"), text("message"));
    status.observe();
    status.handle(&live.value);
    status.write(state, live, MANAGER);
}

/// Writes what came of a fetch, unless the source has changed meanwhile.
pub(super) fn fetched(state: &mut State, fetch: &Fetch, outcome: Result<Artifact, Refused>) {
    let (namespace, name) = &fetch.key;
    let Some(live) = state.get(&fetch.table, namespace, name) else {
        return;
    };
    let value = &live.value;
    if object::uid(value) != fetch.uid
        || value["metadata"]["generation"] != fetch.generation
        || value["spec"]["suspend"] == true
        || object::is_deleting(value)
    {
        return;
    }
    match outcome {
        Ok(artifact) => stored(state, &live, artifact),
        Err((reason, text)) => failed(state, &live, reason, &text),
    }
}

fn stored(state: &mut State, live: &Arc<Object>, artifact: Artifact) {
    let uid = object::uid(&live.value).to_owned();
    let kind = live.value["kind"].as_str().unwrap_or_default().to_owned();
    let before = live.value["status"]["artifact"].clone();
    let described = describe(&live.value, &kind, &artifact);
    let changed =
        before["revision"] != described["revision"] || before["digest"] != described["digest"];
    let mut live = live.clone();
    if changed {
        let mut status = Status::of(&live.value);
        status.drop(&["FetchFailed"]);
        status.progress(&format!(
            "building artifact: new upstream revision '{}'",
            artifact.revision
        ));
        live = status.write(state, &live, MANAGER);
    }
    let message = match kind.as_str() {
        "OCIRepository" => format!("stored artifact for digest '{}'", artifact.revision),
        "HelmRepository" => format!("stored artifact: revision '{}'", artifact.revision),
        _ => format!("stored artifact for revision '{}'", artifact.revision),
    };
    let mut status = Status::of(&live.value);
    if changed {
        status.value["artifact"] = described;
    }
    status.drop(&["FetchFailed", "SourceVerified", "Reconciling", "Stalled"]);
    status.mark("Ready", "True", "Succeeded", &message);
    status.mark("ArtifactInStorage", "True", "Succeeded", &message);
    for (key, seen) in [
        ("ignore", "observedIgnore"),
        ("layerSelector", "observedLayerSelector"),
    ] {
        match &live.value["spec"][key] {
            Value::Null => drop(object::remove(&mut status.value, &[seen])),
            own => status.value[seen] = own.clone(),
        }
    }
    status.observe();
    status.handle(&live.value);
    let live = status.write(state, &live, MANAGER);
    let recovered = state.flux.failures.remove(&uid).is_some();
    let said = match (artifact.title.as_str(), kind.as_str()) {
        ("", "OCIRepository") => format!(
            "stored artifact with revision '{}' from '{}'",
            artifact.revision,
            object::text(&live.value, &["spec", "url"])
        ),
        ("", _) => message,
        (title, _) => format!("stored artifact for commit '{title}'"),
    };
    state.flux.artifacts.insert(uid, artifact);
    if changed {
        state.event(&live.value, "Normal", "NewArtifact", &said, MANAGER);
        let name = object::name(&live.value).to_owned();
        nudge(state, &CONSUMERS, |one| {
            one["spec"]["sourceRef"]["name"] == name.as_str()
                || one["spec"]["chartRef"]["name"] == name.as_str()
        });
    } else if recovered {
        state.event(&live.value, "Normal", "Succeeded", &said, MANAGER);
    }
}

fn failed(state: &mut State, live: &Arc<Object>, reason: &str, message: &str) {
    let uid = object::uid(&live.value).to_owned();
    let tries = state.flux.failures.entry(uid.clone()).or_default();
    *tries = tries.saturating_add(1);
    let (table, namespace, name) = (
        state
            .resource_of(&live.value)
            .map(|own| own.qualified())
            .unwrap_or_default(),
        object::namespace(&live.value).to_owned(),
        object::name(&live.value).to_owned(),
    );
    let Some(live) = state.get(&table, &namespace, &name) else {
        return;
    };
    let mut status = Status::of(&live.value);
    status.mark("Ready", "False", reason, message);
    if reason == origin::UNVERIFIED {
        status.mark("SourceVerified", "False", reason, message);
    } else {
        status.mark("FetchFailed", "True", reason, message);
    }
    if reason == origin::URL_INVALID {
        status.drop(&["Reconciling"]);
        status.mark("Stalled", "True", reason, message);
        status.observe();
    } else {
        status.retries();
    }
    status.handle(&live.value);
    let live = status.write(state, &live, MANAGER);
    state.event(&live.value, "Warning", reason, message, MANAGER);
    // The wait for the next try begins now.
    state.nudged.push((table.into(), (namespace, name)));
    state.marks.restart(&uid, "interval");
}

/// An artifact as a status describes it. The lab serves no such file; its digest is of the files, not of an archive of them.
fn describe(value: &Value, kind: &str, artifact: &Artifact) -> Value {
    let path = format!(
        "{}/{}/{}/{}.tar.gz",
        kind.to_lowercase(),
        object::namespace(value),
        object::name(value),
        artifact.file
    );
    let mut out = json!({
        "digest": format!("sha256:{}", artifact.tree.digest()), "lastUpdateTime": object::now(), "path": path,
        "revision": artifact.revision, "size": artifact.tree.len(),
        "url": format!("http://source-controller.flux-system.svc.cluster.local./{path}"),
    });
    if artifact
        .metadata
        .as_object()
        .is_some_and(|own| !own.is_empty())
    {
        out["metadata"] = artifact.metadata.clone();
    }
    out
}
