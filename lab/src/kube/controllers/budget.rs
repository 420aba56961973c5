//! Disruption budgets (their numbers, and evictions they forbid) and what quotas say is used.

use std::sync::Arc;

use serde_json::{Value, json};

use super::rollout::portion;
use super::{Again, pod_status};
use crate::kube::admit::used;
use crate::kube::object::{self, Object};
use crate::kube::select::Selector;
use crate::kube::state::State;

const MANAGER: &str = "kube-controller-manager";

/// Healthy pods, how many are needed, how many there should be.
fn count(state: &State, budget: &Value) -> (i64, i64, i64) {
    let selector = Selector::of_spec(&budget["spec"]["selector"]);
    let pods: Vec<&Arc<Object>> = state
        .store
        .list("pods", object::namespace(budget))
        .map(|(_, pod)| pod)
        .filter(|pod| selector.matches(&pod.value) && !pod_status::is_over(&pod.value))
        .collect();
    let number = |count: usize| i64::try_from(count).unwrap_or_default();
    let healthy = number(
        pods.iter()
            .filter(|pod| pod_status::is_ready(&pod.value) && !object::is_deleting(&pod.value))
            .count(),
    );
    let expected = number(pods.len());
    let spec = &budget["spec"];
    let needed = match spec.get("maxUnavailable") {
        Some(away) => expected - portion(away, expected, true),
        None => portion(
            spec.get("minAvailable").unwrap_or(&json!(1)),
            expected,
            true,
        ),
    };
    (healthy, needed.max(0), expected)
}

pub(super) fn react(state: &mut State, live: &Arc<Object>) -> Again {
    let (healthy, needed, expected) = count(state, &live.value);
    let allowed = (healthy - needed).max(0);
    let mut conditions = object::items(&live.value, &["status", "conditions"]).to_vec();
    let (word, reason) = if allowed > 0 {
        ("True", "SufficientPods")
    } else {
        ("False", "InsufficientPods")
    };
    super::set_condition(
        &mut conditions,
        json!({"type": "DisruptionAllowed", "status": word, "reason": reason, "message": "", "observedGeneration": live.value["metadata"]["generation"]}),
    );
    let status = json!({
        "observedGeneration": live.value["metadata"]["generation"], "disruptionsAllowed": allowed, "currentHealthy": healthy,
        "desiredHealthy": needed, "expectedPods": expected, "conditions": conditions,
    });
    state.write_status(live, status, MANAGER);
    None
}

pub(super) fn react_quota(state: &mut State, live: &Arc<Object>) -> Again {
    let hard = live.value["spec"]["hard"].clone();
    let used = used(state, object::namespace(&live.value), &hard);
    state.write_status(live, json!({"hard": hard, "used": used}), MANAGER);
    None
}

impl State {
    /// What a budget says against the eviction of a pod.
    pub(crate) fn budget_in_the_way(&self, namespace: &str, pod: &str) -> Option<String> {
        let own = self.get("pods", namespace, pod)?;
        self.store.list("poddisruptionbudgets.policy", namespace).find_map(|((_, name), budget)| {
            let value = &budget.value;
            if !Selector::of_spec(&value["spec"]["selector"]).matches(&own.value) {
                return None;
            }
            let (healthy, needed, _) = count(self, value);
            (healthy <= needed).then(|| {
                format!("The disruption budget {name} needs {needed} healthy pods and has {healthy} currently")
            })
        })
    }
}
