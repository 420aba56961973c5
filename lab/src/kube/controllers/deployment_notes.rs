//! What a Deployment and its ReplicaSets note of each other: annotations, revisions.

use std::sync::Arc;

use serde_json::{Value, json};

use super::rollout::{MANAGER, REVISION, revision};
use crate::kube::admit::Write;
use crate::kube::object::{self, Object};
use crate::kube::state::State;

/// What a deployment's set has of its annotations.
pub(super) fn notes(value: &Value) -> Value {
    let mut notes = match &value["metadata"]["annotations"] {
        Value::Null => json!({}),
        own => own.clone(),
    };
    for key in [
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        "deployment.kubernetes.io/revision-history",
        "deployment.kubernetes.io/desired-replicas",
        "deployment.kubernetes.io/max-replicas",
    ] {
        object::remove(&mut notes, &[key]);
    }
    notes
}

/// A set has its deployment's annotations, those that were noted later too; whether that was to do.
pub(super) fn copy_notes(state: &mut State, value: &Value, new: &Arc<Object>) -> bool {
    let notes = notes(value);
    let lacks = notes
        .as_object()
        .into_iter()
        .flatten()
        .any(|(key, text)| new.value["metadata"]["annotations"][key] != *text);
    if lacks {
        let _ = state.change(new, MANAGER, |set| {
            for (key, text) in notes.as_object().into_iter().flatten() {
                set["metadata"]["annotations"][key] = text.clone();
            }
        });
    }
    lacks
}

/// The revision stands on the deployment, and on the set that is used again after a rollback.
pub(super) fn note_revision(state: &mut State, live: &Arc<Object>, new: &Arc<Object>) {
    let most = state
        .store
        .owned_in(object::uid(&live.value), "replicasets.apps")
        .iter()
        .filter(|set| object::uid(&set.value) != object::uid(&new.value))
        .map(|set| revision(&set.value))
        .max()
        .unwrap_or_default();
    let mut wanted = revision(&new.value);
    if wanted <= most {
        wanted = most + 1;
        let _ = state.change(new, MANAGER, |set| {
            set["metadata"]["annotations"][REVISION] = wanted.to_string().into()
        });
    }
    if revision(&live.value) != wanted
        && let Some(resource) = state.resource_of(&live.value)
    {
        let mut value = live.value.clone();
        let notes = object::meta_mut(&mut value)
            .entry("annotations")
            .or_insert_with(|| json!({}));
        notes[REVISION] = wanted.to_string().into();
        let mut write = Write::by(MANAGER).subresource("status");
        let _ = state.replace(&resource, live, value, &mut write, false);
    }
}
