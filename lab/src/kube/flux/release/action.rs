//! What Helm does to a cluster: applies a release's objects, takes away those that are no longer in it, and looks at their health.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Release;
use crate::kube::admit::Write;
use crate::kube::flux::checks::Checks;
use crate::kube::flux::health::Health;
use crate::kube::flux::{account, inventory};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

const MANAGER: &str = "helm-controller";

/// A release's objects as they are applied: with the labels and annotations that say whose they are.
pub(super) fn prepare(
    state: &State,
    owner: &Value,
    release: &Release,
    objects: Vec<Value>,
) -> Vec<Value> {
    objects
        .into_iter()
        .map(|mut object| {
            let api_version = object["apiVersion"].as_str().unwrap_or_default();
            let kind = object["kind"].as_str().unwrap_or_default();
            let namespaced = state
                .kind(api_version, kind)
                .is_ok_and(|resource| resource.namespaced);
            let meta = object::meta_mut(&mut object);
            if namespaced && meta.get("namespace").is_none() {
                meta.insert("namespace".into(), release.namespace.as_str().into());
            }
            let labels = meta.entry("labels").or_insert_with(|| json!({}));
            labels["app.kubernetes.io/managed-by"] = "Helm".into();
            labels["helm.toolkit.fluxcd.io/name"] = object::name(owner).into();
            labels["helm.toolkit.fluxcd.io/namespace"] = object::namespace(owner).into();
            let notes = meta.entry("annotations").or_insert_with(|| json!({}));
            notes["meta.helm.sh/release-name"] = release.name.as_str().into();
            notes["meta.helm.sh/release-namespace"] = release.namespace.as_str().into();
            object
        })
        .collect()
}

/// Applies objects of a release; what was applied before and is not among them goes.
pub(super) fn apply(
    state: &mut State,
    owner: &Value,
    objects: &[Value],
    before: &[Value],
) -> Result<(), String> {
    let mut sorted = objects.to_vec();
    inventory::sort(&mut sorted);
    for object in &sorted {
        one(state, owner, object, false)?;
    }
    let same = |one: &Value, other: &Value| {
        one["kind"] == other["kind"]
            && object::name(one) == object::name(other)
            && object::namespace(one) == object::namespace(other)
    };
    let gone: Vec<Value> = before
        .iter()
        .filter(|old| !objects.iter().any(|own| same(own, old)))
        .cloned()
        .collect();
    remove(state, &gone);
    Ok(())
}

/// Applies one object, or only tries; what it is then.
fn one(
    state: &mut State,
    owner: &Value,
    object: &Value,
    dry_run: bool,
) -> Result<Arc<Object>, String> {
    let resource = inventory::served(state, object)?;
    let namespace = if resource.namespaced {
        object::namespace(object)
    } else {
        ""
    };
    let name = object::name(object).to_owned();
    account::check(state, owner, "patch", &resource, (namespace, &name))
        .map_err(|refusal| refusal.message)?;
    let is_new = state.get(&resource.qualified(), namespace, &name).is_none();
    let mut write = Write::by(MANAGER);
    write.dry_run = dry_run;
    let applied = state.apply(
        &resource,
        namespace,
        &name,
        object.clone(),
        true,
        &mut write,
    );
    applied.map(|(now, _)| now).map_err(|refusal| {
        let upgrades = owner["status"]["lastAttemptedReleaseAction"] == "upgrade";
        let what = if is_new && upgrades {
            "failed to create resource: "
        } else {
            ""
        };
        format!(
            "{what}server-side apply failed for object {namespace}/{name} {}, Kind={}: {}",
            resource.version_shown(),
            resource.kind,
            refusal.message
        )
    })
}

/// What an object would be if it were applied.
pub(super) fn tried(state: &mut State, owner: &Value, object: &Value) -> Result<Value, String> {
    one(state, owner, object, true).map(|now| now.value.clone())
}

/// Makes an object that must not be there yet.
pub(super) fn create(state: &mut State, owner: &Value, object: &Value) -> Result<(), String> {
    let resource = inventory::served(state, object)?;
    let namespace = if resource.namespaced {
        object::namespace(object)
    } else {
        ""
    };
    account::check(
        state,
        owner,
        "create",
        &resource,
        (namespace, object::name(object)),
    )
    .map_err(|refusal| refusal.message)?;
    state.make(namespace, object.clone(), MANAGER).map(drop)
}

/// Makes the namespace of a release where it is not there.
pub(super) fn make_namespace(state: &mut State, name: &str) {
    if state.get("namespaces", "", name).is_none() {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"name": name}},
        });
        let _ = state.make("", namespace, MANAGER);
    }
}

/// Takes objects away.
pub(super) fn remove(state: &mut State, objects: &[Value]) {
    for object in objects.iter().rev() {
        if let Some(live) = live(state, object) {
            state.end(&live.value);
        }
    }
}

/// An object as it is in the cluster.
pub(super) fn live(state: &State, object: &Value) -> Option<Arc<Object>> {
    let resource = state
        .registry
        .of_kind(object["apiVersion"].as_str()?, object["kind"].as_str()?)?;
    let namespace = if resource.namespaced {
        object::namespace(object)
    } else {
        ""
    };
    state.get(&resource.qualified(), namespace, object::name(object))
}

/// What of a release is not healthy yet, each with its status; what has failed alone where something has.
pub(super) fn unhealthy(state: &State, objects: &[Value], checks: &Checks) -> (Vec<String>, bool) {
    let (mut waits, mut failed) = (Vec::new(), Vec::new());
    for object in objects {
        let shown = inventory::shown(object);
        match live(state, object).map(|own| checks.health(&own.value)) {
            Some(Health::Current) => {}
            Some(Health::Unknown) => waits.push(format!("{shown} status: 'Unknown'")),
            Some(Health::Failed(_)) => failed.push(format!("{shown} status: 'Failed'")),
            Some(Health::InProgress) => waits.push(format!("{shown} status: 'InProgress'")),
            None => waits.push(format!("{shown} status: 'NotFound'")),
        }
    }
    if failed.is_empty() {
        (waits, false)
    } else {
        (failed, true)
    }
}
