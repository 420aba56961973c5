//! Flux: its custom resources, and what its controllers do with them. Sources show repositories of this machine; charts are
//! stand-ins; nothing becomes Ready that was not applied and found healthy.

mod build;
mod chart;
mod conditions;
mod fetch;
mod git;
mod health;
mod ignore;
mod inventory;
mod kustomization;
mod range;
mod release;
mod source;
mod substitute;
mod transform;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::controllers::{condition, set_condition};
use super::object::{self, Object};
use super::state::State;

/// The definitions of Flux's resources; see `derive_kube.py`.
const DEFINITIONS: &str = include_str!("../../../schema/flux.json");
/// Kinds that a scripted failure may name.
const KINDS: [&str; 5] = [
    "GitRepository",
    "OCIRepository",
    "HelmRepository",
    "HelmRelease",
    "Kustomization",
];
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
    /// Failures of sources in a row, by their uid.
    failures: BTreeMap<String, u32>,
    /// Sources to be fetched.
    pub(crate) fetches: Vec<fetch::Fetch>,
}

impl World {
    /// An object is gone.
    fn forget(&mut self, uid: &str) {
        self.artifacts.remove(uid);
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
        "kustomizations.kustomize.toolkit.fluxcd.io" => kustomization::react(state, live),
        "helmreleases.helm.toolkit.fluxcd.io" => release::react(state, live),
        _ => None,
    }
}

/// A duration as Go writes it: `1h30m`, `10s`.
fn duration(value: &Value, default: Duration) -> Duration {
    let text = value.as_str().unwrap_or_default();
    let mut total = 0.0;
    let mut number = String::new();
    let mut unit = String::new();
    let mut seconds = |number: &mut String, unit: &mut String| {
        let factor = match unit.as_str() {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return,
        };
        total += number.parse::<f64>().unwrap_or_default() * factor;
        number.clear();
        unit.clear();
    };
    for c in text.chars() {
        if c.is_ascii_digit() || c == '.' {
            if !unit.is_empty() {
                seconds(&mut number, &mut unit);
            }
            number.push(c);
        } else {
            unit.push(c);
        }
    }
    seconds(&mut number, &mut unit);
    if total > 0.0 {
        Duration::from_secs_f64(total)
    } else {
        default
    }
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

/// The status that there is, or an empty one.
fn status_of(value: &Value) -> Value {
    if value["status"].is_object() {
        value["status"].clone()
    } else {
        json!({})
    }
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

/// Looks again at what waits for that object of the same table.
fn nudge_dependents(state: &mut State, table: &str, value: &Value) {
    let name = object::name(value).to_owned();
    nudge(state, &[table], |one| {
        object::items(one, &["spec", "dependsOn"])
            .iter()
            .any(|own| own["name"] == name.as_str())
    });
}

/// A status with a `Ready` condition and what was handled.
struct Outcome<'a> {
    ready: &'a str,
    reason: &'a str,
    message: &'a str,
    /// Whether the generation was brought to its end: only then it counts as observed.
    observed: bool,
    /// Still being worked at.
    reconciling: bool,
    stalled: bool,
}

/// The conditions of an outcome in a status.
fn conclude(live: &Value, status: &mut Value, outcome: &Outcome<'_>, kind: &str) {
    let generation = live["metadata"]["generation"].clone();
    let mut conditions = object::items(status, &["conditions"]).to_vec();
    let mut set = |kind: &str, word: &str, reason: &str, message: &str| {
        set_condition(
            &mut conditions,
            json!({"type": kind, "status": word, "reason": reason, "message": message, "observedGeneration": generation}),
        );
    };
    set("Ready", outcome.ready, outcome.reason, outcome.message);
    if outcome.reconciling {
        let reason = if outcome.ready == "Unknown" {
            "Progressing"
        } else {
            "ProgressingWithRetry"
        };
        set("Reconciling", "True", reason, outcome.message);
    }
    if outcome.stalled {
        set("Stalled", "True", outcome.reason, outcome.message);
    }
    if !kind.is_empty() && outcome.ready != "Unknown" {
        set(kind, outcome.ready, outcome.reason, outcome.message);
    }
    if !outcome.reconciling {
        conditions.retain(|one| one["type"] != "Reconciling");
    }
    if !outcome.stalled {
        conditions.retain(|one| one["type"] != "Stalled");
    }
    status["conditions"] = conditions.into();
    if outcome.observed || outcome.stalled {
        status["observedGeneration"] = generation;
    } else if status.get("observedGeneration").is_none() {
        status["observedGeneration"] = (-1).into();
    }
    let token = object::annotation(live, REQUESTED);
    if !token.is_empty() && outcome.ready != "Unknown" {
        status["lastHandledReconcileAt"] = token.into();
    }
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
    fn durations_are_read_as_go_writes_them() {
        for (text, seconds) in [
            ("1h30m", 5400),
            ("10s", 10),
            ("1m0s", 60),
            ("", 600),
            ("x", 600),
        ] {
            assert_eq!(
                duration(&text.into(), INTERVAL).as_secs(),
                seconds,
                "{text}"
            );
        }
    }

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
