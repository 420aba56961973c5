//! Revisions of a template, kept beside the DaemonSets and StatefulSets that go through them.

use serde_json::{Value, json};

use super::owner;
use crate::kube::object;
use crate::kube::state::State;

/// The label that says of which revision a pod is.
pub(super) const HASH: &str = "controller-revision-hash";
const HASH_LETTERS: usize = 10;
const TABLE: &str = "controllerrevisions.apps";
const MANAGER: &str = "kube-controller-manager";

/// The hash of an object's template.
pub(super) fn hash(value: &Value) -> String {
    object::safe(
        object::stable_hash(&value["spec"]["template"]),
        HASH_LETTERS,
    )
}

/// The name of the revision with this hash, made of the object's template when it is new; `mark` has the last word on it.
pub(super) fn keep(
    state: &mut State,
    value: &Value,
    kind: (&'static str, &'static str),
    hash: &str,
    mark: impl FnOnce(&mut Value),
) -> String {
    let name = format!("{}-{hash}", object::name(value));
    if state.get(TABLE, object::namespace(value), &name).is_some() {
        return name;
    }
    let all = state.store.owned_in(object::uid(value), TABLE);
    let next = all
        .iter()
        .filter_map(|one| one.value["revision"].as_i64())
        .max()
        .unwrap_or_default()
        + 1;
    let mut template = value["spec"]["template"].clone();
    mark(&mut template);
    let mut labels = object::at(value, &["spec", "template", "metadata", "labels"])
        .cloned()
        .unwrap_or(json!({}));
    labels[HASH] = hash.into();
    let object = json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision",
        "metadata": {"name": name, "labels": labels, "ownerReferences": [owner(kind, value)]},
        "data": {"spec": {"template": template}}, "revision": next,
    });
    let _ = state.make(object::namespace(value), object, MANAGER);
    name
}
