//! The end of namespaces and of definitions: what is in them goes first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Again, set_condition};
use crate::kube::crd;
use crate::kube::object::{self, Object};
use crate::kube::state::State;

const MANAGER: &str = "kube-controller-manager";

pub(super) fn react(state: &mut State, live: &Arc<Object>) -> Again {
    if !object::is_deleting(&live.value) {
        return None;
    }
    let name = object::name(&live.value).to_owned();
    let mut left: BTreeMap<String, usize> = BTreeMap::new();
    let mut finalizers: BTreeMap<String, usize> = BTreeMap::new();
    for table in state.store.tables() {
        let objects: Vec<Arc<Object>> = state
            .store
            .list(&table, &name)
            .map(|(_, object)| object.clone())
            .collect();
        if !state
            .registry
            .stored(&table)
            .is_some_and(|resource| resource.namespaced)
        {
            continue;
        }
        for object in objects {
            if !object::is_deleting(&object.value) {
                state.end(&object.value);
            }
            if let Some(object) = state.get(&table, &name, object::name(&object.value)) {
                let shown = if table.contains('.') {
                    table.to_string()
                } else {
                    format!("{table}.")
                };
                *left.entry(shown).or_default() += 1;
                for one in object::items(&object.value, &["metadata", "finalizers"]) {
                    *finalizers
                        .entry(one.as_str().unwrap_or_default().to_owned())
                        .or_default() += 1;
                }
            }
        }
    }
    if left.is_empty() {
        let _ = state.change(live, MANAGER, |value| {
            let mut left = object::items(value, &["spec", "finalizers"]).to_vec();
            left.retain(|one| one != "kubernetes");
            if left.is_empty() {
                object::remove(value, &["spec", "finalizers"]);
            } else {
                value["spec"]["finalizers"] = left.into();
            }
        });
        return None;
    }
    let mut conditions = object::items(&live.value, &["status", "conditions"]).to_vec();
    let mut set = |name: &str, bad: bool, reason: &str, message: String| {
        let status = if bad { "True" } else { "False" };
        set_condition(
            &mut conditions,
            json!({"type": name, "status": status, "reason": reason, "message": message}),
        );
    };
    set(
        "NamespaceDeletionDiscoveryFailure",
        false,
        "ResourcesDiscovered",
        "All resources successfully discovered".into(),
    );
    set(
        "NamespaceDeletionGroupVersionParsingFailure",
        false,
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed".into(),
    );
    set(
        "NamespaceDeletionContentFailure",
        false,
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization".into(),
    );
    let list: Vec<String> = left
        .iter()
        .map(|(table, count)| format!("{table} has {count} resource instances"))
        .collect();
    set(
        "NamespaceContentRemaining",
        true,
        "SomeResourcesRemain",
        format!("Some resources are remaining: {}", list.join(", ")),
    );
    if finalizers.is_empty() {
        set(
            "NamespaceFinalizersRemaining",
            false,
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished".into(),
        );
    } else {
        let list: Vec<String> = finalizers
            .iter()
            .map(|(name, count)| format!("{name} in {count} resource instances"))
            .collect();
        set(
            "NamespaceFinalizersRemaining",
            true,
            "SomeFinalizersRemain",
            format!(
                "Some content in the namespace has finalizers remaining: {}",
                list.join(", ")
            ),
        );
    }
    let mut status = live.value["status"].clone();
    status["phase"] = "Terminating".into();
    status["conditions"] = conditions.into();
    state.write_status(live, status, MANAGER);
    None
}

/// A definition is served a moment after it was made; at its end its objects go first.
pub(super) fn react_definition(state: &mut State, live: &Arc<Object>) -> Again {
    let uid = object::uid(&live.value).to_owned();
    let name = object::name(&live.value).to_owned();
    if !object::is_deleting(&live.value) {
        let delay = Duration::from_millis(state.settings.delays.crd_ms);
        if let Some(left) = state.marks.left(&uid, "established", delay) {
            return Some(left);
        }
        let generation = format!("generation-{}", live.value["metadata"]["generation"]);
        if !state.marks.has(&uid, &generation)
            || super::condition(&live.value, "Established").is_none()
        {
            state.marks.restart(&uid, &generation);
            state.establish(&name);
        }
        return None;
    }
    if !object::has_finalizer(&live.value, crd::FINALIZER) {
        return None;
    }
    let objects: Vec<Value> = state
        .store
        .list(&name, "")
        .map(|(_, object)| object.value.clone())
        .collect();
    for object in &objects {
        if !object::is_deleting(object) {
            state.end(object);
        }
    }
    if state.store.list(&name, "").next().is_some() {
        return None;
    }
    if let Some(resource) = state.resource_of(&live.value) {
        let (group, plural) = (
            object::text(&live.value, &["spec", "group"]),
            object::text(&live.value, &["spec", "names", "plural"]),
        );
        state.registry.forget(group, plural);
        let _ = state.finalize(&resource, live, crd::FINALIZER);
    }
    None
}
