//! A status as Flux's controllers write it: conditions in their order, each with the generation it is about.

use std::sync::Arc;

use serde_json::{Value, json};

use super::REQUESTED;
use crate::kube::object::{self, Object};
use crate::kube::state::State;

/// The conditions that come first, in this order; the others follow, of the newest generation first, then by name.
const FIRST: [&str; 3] = ["Stalled", "Reconciling", "Ready"];

/// A status while a controller works at its object.
pub(super) struct Status {
    pub(super) value: Value,
    generation: Value,
}

impl Status {
    /// The status that an object has.
    pub(super) fn of(live: &Value) -> Self {
        let value = match &live["status"] {
            own @ Value::Object(_) => own.clone(),
            _ => json!({}),
        };
        Self {
            value,
            generation: live["metadata"]["generation"].clone(),
        }
    }

    /// Sets a condition. Its transition is now when its status, reason or message is another.
    pub(super) fn mark(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let mut all = object::items(&self.value, &["conditions"]).to_vec();
        let before = all.iter().find(|one| one["type"] == kind);
        let same = before.filter(|one| {
            one["status"] == status && one["reason"] == reason && one["message"] == message
        });
        let since = same.map_or_else(
            || object::now().into(),
            |one| one["lastTransitionTime"].clone(),
        );
        all.retain(|one| one["type"] != kind);
        all.push(json!({
            "lastTransitionTime": since, "message": message, "observedGeneration": self.generation, "reason": reason,
            "status": status, "type": kind,
        }));
        all.sort_by_key(|one| {
            let kind = one["type"].as_str().unwrap_or_default().to_owned();
            let first = FIRST.iter().position(|own| *own == kind);
            let (place, age) = match first {
                Some(place) => (place, 0),
                None => (
                    FIRST.len(),
                    -one["observedGeneration"].as_i64().unwrap_or_default(),
                ),
            };
            (place, age, kind)
        });
        self.value["conditions"] = all.into();
    }

    /// Takes conditions away.
    pub(super) fn drop(&mut self, kinds: &[&str]) {
        let mut all = object::items(&self.value, &["conditions"]).to_vec();
        all.retain(|one| !kinds.iter().any(|kind| one["type"] == *kind));
        self.value["conditions"] = all.into();
    }

    /// A condition that is there.
    pub(super) fn condition(&self, kind: &str) -> Option<&Value> {
        object::items(&self.value, &["conditions"])
            .iter()
            .find(|one| one["type"] == kind)
    }

    /// Something is going on: `Reconciling`, and nothing is known of `Ready`.
    pub(super) fn progress(&mut self, message: &str) {
        self.mark("Ready", "Unknown", "Progressing", message);
        self.mark("Reconciling", "True", "Progressing", message);
    }

    /// It has failed and will be tried again: what was going on stays said, as going on with another try.
    pub(super) fn retries(&mut self) {
        let Some(message) = self
            .condition("Reconciling")
            .and_then(|one| one["message"].as_str().map(str::to_owned))
        else {
            return;
        };
        self.mark("Reconciling", "True", "ProgressingWithRetry", &message);
    }

    /// The generation was brought to its end.
    pub(super) fn observe(&mut self) {
        self.value["observedGeneration"] = self.generation.clone();
    }

    /// The request in the object's annotations was seen.
    pub(super) fn handle(&mut self, live: &Value) {
        let token = object::annotation(live, REQUESTED);
        if !token.is_empty() {
            self.value["lastHandledReconcileAt"] = token.into();
        }
    }

    /// Writes it; the object as it is then.
    pub(super) fn write(self, state: &mut State, live: &Arc<Object>, manager: &str) -> Arc<Object> {
        let (table, namespace, name) = match state.resource_of(&live.value) {
            Some(resource) => (
                resource.qualified(),
                object::namespace(&live.value).to_owned(),
                object::name(&live.value).to_owned(),
            ),
            None => return live.clone(),
        };
        // Its finalizers or annotations may have changed under the work; the status is written onto what there is.
        let now = state
            .get(&table, &namespace, &name)
            .unwrap_or_else(|| live.clone());
        state.write_status(&now, self.value, manager);
        state.get(&table, &namespace, &name).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(status: &Status) -> Vec<String> {
        object::items(&status.value, &["conditions"])
            .iter()
            .map(|one| one["type"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    #[test]
    fn conditions_are_in_the_order_of_the_controllers() {
        let mut status = Status::of(&json!({"metadata": {"generation": 1}}));
        status.mark("ArtifactInStorage", "True", "Succeeded", "stored");
        status.generation = 2.into();
        status.mark("Ready", "False", "GitOperationFailed", "no");
        status.mark("FetchFailed", "True", "GitOperationFailed", "no");
        status.mark("Reconciling", "True", "Progressing", "building artifact");
        status.retries();
        assert_eq!(
            kinds(&status),
            ["Reconciling", "Ready", "FetchFailed", "ArtifactInStorage"]
        );
        assert_eq!(
            status.condition("Reconciling").unwrap()["reason"],
            "ProgressingWithRetry"
        );
        status.drop(&["FetchFailed"]);
        assert_eq!(
            kinds(&status),
            ["Reconciling", "Ready", "ArtifactInStorage"]
        );
    }

    #[test]
    fn a_transition_is_kept_while_nothing_changes() {
        let old = json!({"type": "Ready", "status": "True", "reason": "Succeeded", "message": "a", "lastTransitionTime": "then"});
        let mut status =
            Status::of(&json!({"metadata": {"generation": 2}, "status": {"conditions": [old]}}));
        status.mark("Ready", "True", "Succeeded", "a");
        assert_eq!(
            status.condition("Ready").unwrap()["lastTransitionTime"],
            "then"
        );
        assert_eq!(status.condition("Ready").unwrap()["observedGeneration"], 2);
        status.mark("Ready", "True", "Succeeded", "b");
        assert_ne!(
            status.condition("Ready").unwrap()["lastTransitionTime"],
            "then"
        );
    }
}
