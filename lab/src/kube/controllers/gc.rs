//! Garbage: what lost all its owners goes; foreground and orphan deletions are finished.

use std::sync::Arc;

use crate::kube::object::{self, Object};
use crate::kube::state::State;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// Whether the object was collected, so that nothing else is to be done about it.
pub(super) fn collect(state: &mut State, table: &str, live: &Arc<Object>) -> bool {
    let value = &live.value;
    if object::is_deleting(value) {
        return finish(state, table, live);
    }
    let owners = object::items(value, &["metadata", "ownerReferences"]);
    if owners.is_empty() {
        return false;
    }
    let (mut gone, mut strangers) = (Vec::new(), Vec::new());
    let (mut there, mut waiting) = (0, false);
    for owner in owners {
        let uid = owner["uid"].as_str().unwrap_or_default();
        match state.store.by_uid(uid) {
            Some(own) => {
                // An owner of another namespace is none.
                let namespace = object::namespace(&own.value);
                if !namespace.is_empty() && namespace != object::namespace(value) {
                    gone.push(uid.to_owned());
                    strangers.push(owner.clone());
                } else {
                    there += 1;
                    waiting |= object::has_finalizer(&own.value, FOREGROUND)
                        && object::is_deleting(&own.value);
                }
            }
            None => gone.push(uid.to_owned()),
        }
    }
    for owner in strangers {
        let text = format!(
            "ownerRef [{}/{}, namespace: {}, name: {}, uid: {}] does not exist in namespace \"{}\"",
            owner["apiVersion"].as_str().unwrap_or_default(),
            owner["kind"].as_str().unwrap_or_default(),
            object::namespace(value),
            owner["name"].as_str().unwrap_or_default(),
            owner["uid"].as_str().unwrap_or_default(),
            object::namespace(value)
        );
        state.event(
            value,
            "Warning",
            "OwnerRefInvalidNamespace",
            &text,
            "garbage-collector-controller",
        );
    }
    if there == 0 && !gone.is_empty() {
        state.end(value);
        return true;
    }
    if !gone.is_empty() {
        // The others keep it; who is gone is struck out.
        let _ = state.change(live, "kube-controller-manager", |value| {
            let mut left = object::items(value, &["metadata", "ownerReferences"]).to_vec();
            left.retain(|owner| !gone.iter().any(|uid| owner["uid"] == uid.as_str()));
            object::meta_mut(value).insert("ownerReferences".into(), left.into());
        });
        return true;
    }
    if waiting && there == 1 {
        let Some(resource) = state.resource_of(value) else {
            return false;
        };
        let how = crate::kube::admit::Deletion {
            propagation: Some("Foreground".into()),
            ..Default::default()
        };
        // Without dependents of its own it may go at once.
        let how = if state.store.owned_by(object::uid(value)).is_empty() {
            Default::default()
        } else {
            how
        };
        let _ = state.delete(
            &resource,
            object::namespace(value),
            object::name(value),
            &how,
        );
        return true;
    }
    false
}

/// The two finalizers that are ours.
fn finish(state: &mut State, _table: &str, live: &Arc<Object>) -> bool {
    let Some(resource) = state.resource_of(&live.value) else {
        return false;
    };
    let uid = object::uid(&live.value).to_owned();
    if object::has_finalizer(&live.value, ORPHAN) {
        for (table, (namespace, name)) in state.store.owned_by(&uid) {
            let Some(child) = state.get(&table, &namespace, &name) else {
                continue;
            };
            let _ = state.change(&child, "kube-controller-manager", |value| {
                let mut left = object::items(value, &["metadata", "ownerReferences"]).to_vec();
                left.retain(|owner| owner["uid"] != uid.as_str());
                if left.is_empty() {
                    object::remove(value, &["metadata", "ownerReferences"]);
                } else {
                    object::meta_mut(value).insert("ownerReferences".into(), left.into());
                }
            });
        }
        let _ = state.finalize(&resource, live, ORPHAN);
        return true;
    }
    if object::has_finalizer(&live.value, FOREGROUND) {
        let children = state.store.owned_by(&uid);
        let blocking = children.iter().any(|(table, (namespace, name))| {
            state
                .store
                .get(table, namespace, name)
                .is_some_and(|child| {
                    object::items(&child.value, &["metadata", "ownerReferences"])
                        .iter()
                        .any(|owner| {
                            owner["uid"] == uid.as_str() && owner["blockOwnerDeletion"] == true
                        })
                })
        });
        if !blocking {
            let _ = state.finalize(&resource, live, FOREGROUND);
            return true;
        }
        for (table, (namespace, name)) in children {
            if let Some(child) = state.get(&table, &namespace, &name)
                && !object::is_deleting(&child.value)
            {
                collect(state, &table, &child);
            }
        }
    }
    false
}
