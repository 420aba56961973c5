//! Flux: its custom resources, and what its controllers do with them. Sources show repositories of this machine, or artifacts of a
//! registry that may be asked; charts are stand-ins; nothing becomes Ready that was not applied and found healthy.

mod account;
mod cel;
mod chart;
mod checks;
mod conditions;
mod decryption;
mod depends;
mod fetch;
mod git;
mod go;
mod health;
mod ignore;
mod inventory;
mod kustomization;
mod kustomize;
mod oci;
mod origin;
mod range;
mod registry;
mod release;
mod sops;
mod source;
mod substitute;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::controllers::condition;
use super::object::{self, Object};
use super::state::State;
use conditions::Status;

pub use kustomize::kustomized;

/// The definitions of Flux's resources; see `derive_kube.py`.
const DEFINITIONS: &str = include_str!("../../../schema/flux.json");
/// Kinds that a scripted failure may name.
const KINDS: [&str; 6] = [
    "GitRepository",
    "HelmChart",
    "OCIRepository",
    "HelmRepository",
    "HelmRelease",
    "Kustomization",
];
/// What a spec that no further try can help is told.
const TERMINAL: &str = "Reconciliation failed terminally due to configuration error";
const REQUESTED: &str = "reconcile.fluxcd.io/requestedAt";
/// The interval of an object that names none that can be read.
const INTERVAL: Duration = Duration::from_secs(600);
/// Keeps what has applied something until that is gone.
const FINALIZER: &str = "finalizers.fluxcd.io";
/// Between looks at what was applied and is not healthy yet.
const LOOK: Duration = Duration::from_millis(100);
/// Between looks at a dependency.
const DEPENDENCY: Duration = Duration::from_millis(500);

/// What Flux's controllers know beside the objects.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// What sources hold, by their uid.
    artifacts: BTreeMap<String, fetch::Artifact>,
    /// What Kustomizations applied last, by their uid.
    digests: BTreeMap<String, String>,
    /// Charts that were found, by the uid of their HelmChart.
    charts: BTreeMap<String, chart::Found>,
    /// What HelmReleases have installed, by their uid.
    releases: BTreeMap<String, release::Releases>,
    /// Failures of sources in a row, by their uid.
    failures: BTreeMap<String, u32>,
    /// Sources to be fetched.
    pub(crate) fetches: Vec<fetch::Fetch>,
}

impl World {
    /// An object is gone.
    fn forget(&mut self, uid: &str) {
        self.artifacts.remove(uid);
        self.digests.remove(uid);
        self.charts.remove(uid);
        self.releases.remove(uid);
        self.failures.remove(uid);
    }
}

pub(crate) fn is_kind(kind: &str) -> bool {
    KINDS.contains(&kind)
}

pub(crate) use fetch::run as fetch;

pub(crate) fn definitions() -> Vec<Value> {
    serde_json::from_str(DEFINITIONS).unwrap_or_default()
}

/// Brings one of Flux's objects to where it should be.
pub(crate) fn react(state: &mut State, table: &str, live: &Arc<Object>) -> Option<Duration> {
    state.settings.flux.as_ref()?;
    match table {
        "gitrepositories.source.toolkit.fluxcd.io"
        | "ocirepositories.source.toolkit.fluxcd.io"
        | "helmrepositories.source.toolkit.fluxcd.io" => source::react(state, live),
        chart::TABLE => chart::react(state, live),
        "kustomizations.kustomize.toolkit.fluxcd.io" => kustomization::react(state, live),
        "helmreleases.helm.toolkit.fluxcd.io" => release::react(state, live),
        _ => None,
    }
}

/// A duration of a spec, or another where none can be read.
fn duration(value: &Value, default: Duration) -> Duration {
    value
        .as_str()
        .and_then(go::parse)
        .filter(|own| !own.is_zero())
        .unwrap_or(default)
}

/// The reason of a scripted failure of a Flux object.
fn scripted(state: &State, value: &Value) -> Option<String> {
    let (kind, name, namespace) = (
        value["kind"].as_str().unwrap_or_default(),
        object::name(value),
        object::namespace(value),
    );
    state
        .settings
        .fail
        .iter()
        .find(|fail| {
            fail.kind == kind
                && (fail.name.is_empty() || fail.name == name)
                && (fail.namespace.is_empty() || fail.namespace == namespace)
        })
        .map(|fail| fail.reason.clone())
}

/// Puts Flux's finalizer on an object that has none; whether that was to do.
fn keep(state: &mut State, live: &Arc<Object>, manager: &str) -> bool {
    if object::has_finalizer(&live.value, FINALIZER) {
        return false;
    }
    let _ = state.change(live, manager, |value| {
        let mut all = object::items(value, &["metadata", "finalizers"]).to_vec();
        all.push(FINALIZER.into());
        object::meta_mut(value).insert("finalizers".into(), all.into());
    });
    true
}

/// Takes Flux's finalizer away.
fn let_go(state: &mut State, live: &Arc<Object>) {
    if let Some(resource) = state.resource_of(&live.value) {
        let _ = state.finalize(&resource, live, FINALIZER);
    }
}

/// Whether it is being deleted; then what was known of it goes, and the finalizer.
fn leaves(state: &mut State, live: &Arc<Object>) -> bool {
    if !object::is_deleting(&live.value) {
        return false;
    }
    state.flux.forget(object::uid(&live.value));
    if object::has_finalizer(&live.value, FINALIZER) {
        let_go(state, live);
    }
    true
}

/// Says that no further try can help, since the spec's expressions are none: nothing is done until it is another spec.
fn give_up(state: &mut State, live: &Arc<Object>, manager: &str, text: &str, event: &str) {
    const REASON: &str = "InvalidCELExpression";
    let message = format!("{TERMINAL}: {text}");
    let mut status = Status::of(&live.value);
    let told = status
        .condition("Stalled")
        .is_some_and(|one| one["message"] == message.as_str());
    status.drop(&["Reconciling"]);
    status.mark("Stalled", "True", REASON, &message);
    status.mark("Ready", "False", REASON, &message);
    status.observe();
    status.handle(&live.value);
    let live = status.write(state, live, manager);
    if !told {
        state.event(&live.value, "Warning", REASON, event, manager);
    }
}

/// Looks again at what waits for that object of the same table.
fn nudge_dependents(state: &mut State, table: &str, value: &Value) {
    let name = object::name(value).to_owned();
    nudge(state, &[table], |one| {
        object::items(one, &["spec", "dependsOn"])
            .iter()
            .any(|own| own["name"] == name.as_str())
    });
}

/// Whether nothing new was asked since the last look.
fn is_settled(state: &mut State, live: &Value) -> bool {
    let uid = object::uid(live);
    let asked = format!(
        "asked-{}-{}",
        live["metadata"]["generation"],
        object::annotation(live, REQUESTED)
    );
    if state.marks.has(uid, &asked) {
        return true;
    }
    state.marks.restart(uid, &asked);
    false
}

/// Looks again at all consumers of what has changed.
fn nudge(state: &mut State, tables: &[&str], wanted: impl Fn(&Value) -> bool) {
    for table in tables {
        let all: Vec<Arc<Object>> = state
            .store
            .list(table, "")
            .map(|(_, object)| object.clone())
            .collect();
        for object in all.iter().filter(|object| wanted(&object.value)) {
            state.nudged.push((
                (*table).into(),
                (
                    object::namespace(&object.value).to_owned(),
                    object::name(&object.value).to_owned(),
                ),
            ));
        }
    }
}

/// Whether an object of Flux is ready for its present generation.
fn is_ready(value: &Value) -> bool {
    value["status"]["observedGeneration"] == value["metadata"]["generation"]
        && condition(value, "Ready").is_some_and(|one| one["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_definitions_have_a_version_that_is_stored() {
        let all = definitions();
        assert!(all.len() >= 6);
        assert!(
            all.iter()
                .all(|one| one["spec"]["versions"][0]["storage"] == true)
        );
    }
}
