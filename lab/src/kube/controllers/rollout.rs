//! How a deployment's pods move from the old sets to the new one: surge, unavailability, recreation, the past that is kept.

use std::sync::Arc;

use serde_json::Value;

use crate::kube::object::{self, Object};
use crate::kube::state::State;

pub(super) const MANAGER: &str = "kube-controller-manager";
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";

pub(super) fn revision(value: &Value) -> i64 {
    object::annotation(value, REVISION)
        .parse()
        .unwrap_or_default()
}

/// A number or a percentage of the wished replicas.
pub(super) fn portion(value: &Value, whole: i64, up: bool) -> i64 {
    match value {
        Value::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or_default();
            if up {
                (whole * percent + 99) / 100
            } else {
                whole * percent / 100
            }
        }
        other => other.as_i64().unwrap_or_default(),
    }
}

/// The most pods beyond the wish, and the most that may be away.
pub(super) fn limits(deployment: &Value) -> (i64, i64) {
    let spec = &deployment["spec"];
    let wished = spec["replicas"].as_i64().unwrap_or(1);
    let rolling = &spec["strategy"]["rollingUpdate"];
    if spec["strategy"]["type"] == "Recreate" {
        return (0, 0);
    }
    let surge = portion(&rolling["maxSurge"], wished, true);
    let mut away = portion(&rolling["maxUnavailable"], wished, false);
    if surge == 0 && away == 0 {
        away = 1;
    }
    (surge, away.min(wished))
}

fn wish(set: &Value) -> i64 {
    object::number(set, &["spec", "replicas"]).unwrap_or_default()
}

fn resize(state: &mut State, deployment: &Value, set: &Arc<Object>, to: i64) {
    let from = wish(&set.value);
    if from == to {
        return;
    }
    let _ = state.change(set, MANAGER, |value| value["spec"]["replicas"] = to.into());
    let word = if to > from { "up" } else { "down" };
    let text = format!(
        "Scaled {word} replica set {} from {from} to {to}",
        object::name(&set.value)
    );
    state.event(
        deployment,
        "Normal",
        "ScalingReplicaSet",
        &text,
        "deployment-controller",
    );
}

/// One step from the old sets to the new one.
pub(super) fn scale(
    state: &mut State,
    live: &Arc<Object>,
    new: &Arc<Object>,
    sets: &[Arc<Object>],
) {
    let value = &live.value;
    let wished = object::number(value, &["spec", "replicas"]).unwrap_or(1);
    let old: Vec<Arc<Object>> = sets
        .iter()
        .filter(|set| object::uid(&set.value) != object::uid(&new.value) && wish(&set.value) > 0)
        .cloned()
        .collect();
    let alive: i64 = sets
        .iter()
        .filter(|set| object::uid(&set.value) != object::uid(&new.value))
        .filter_map(|set| object::number(&set.value, &["status", "replicas"]))
        .sum();
    if value["spec"]["strategy"]["type"] == "Recreate" {
        for set in &old {
            resize(state, value, set, 0);
        }
        let ending: i64 =
            sets.iter().map(|set| pods_of(state, set)).sum::<i64>() - pods_of(state, new);
        if old.is_empty() && alive == 0 && ending == 0 {
            resize(state, value, new, wished);
        }
        return;
    }
    let (surge, away) = limits(value);
    let others: i64 = old.iter().map(|set| wish(&set.value)).sum();
    let own = wish(&new.value);
    if own > wished {
        resize(state, value, new, wished);
    } else if own < wished {
        let room = (wished + surge - own - others).max(0);
        resize(state, value, new, own + room.min(wished - own));
    }
    let Some(new) = state.get(
        "replicasets.apps",
        object::namespace(value),
        object::name(&new.value),
    ) else {
        return;
    };
    let unready = wish(&new.value)
        - object::number(&new.value, &["status", "availableReplicas"]).unwrap_or_default();
    let mut spare = others + wish(&new.value) - (wished - away) - unready.max(0);
    // Old pods that are not ready help nobody: they go first, and none is missed.
    for set in &old {
        let sick = wish(&set.value)
            - object::number(&set.value, &["status", "availableReplicas"]).unwrap_or_default();
        let cut = sick.min(spare).max(0);
        if cut > 0 {
            resize(state, value, set, wish(&set.value) - cut);
            spare -= cut;
        }
    }
    let mut up: i64 = sets
        .iter()
        .filter_map(|set| object::number(&set.value, &["status", "availableReplicas"]))
        .sum();
    for set in old {
        let Some(set) = state.get(
            "replicasets.apps",
            object::namespace(value),
            object::name(&set.value),
        ) else {
            continue;
        };
        let cut = wish(&set.value).min(up - (wished - away)).max(0);
        if cut > 0 {
            resize(state, value, &set, wish(&set.value) - cut);
            up -= cut;
        }
    }
}

fn pods_of(state: &State, set: &Arc<Object>) -> i64 {
    i64::try_from(state.store.owned_in(object::uid(&set.value), "pods").len()).unwrap_or_default()
}

/// A paused deployment still follows its number of replicas.
pub(super) fn scale_paused(state: &mut State, live: &Arc<Object>, sets: &[Arc<Object>]) {
    let wished = object::number(&live.value, &["spec", "replicas"]).unwrap_or(1);
    let mut active = sets.iter().filter(|set| wish(&set.value) > 0);
    if let (Some(only), None) = (active.next(), active.next()) {
        resize(state, &live.value, only, wished);
    }
}

/// Old sets beyond the history that is kept go.
pub(super) fn clean(
    state: &mut State,
    live: &Arc<Object>,
    new: &Arc<Object>,
    sets: &[Arc<Object>],
) {
    let kept = object::number(&live.value, &["spec", "revisionHistoryLimit"]).unwrap_or(10);
    let mut old: Vec<&Arc<Object>> = sets
        .iter()
        .filter(|set| object::uid(&set.value) != object::uid(&new.value))
        .filter(|set| {
            wish(&set.value) == 0
                && object::number(&set.value, &["status", "replicas"]).unwrap_or_default() == 0
        })
        .collect();
    old.sort_by_key(|set| revision(&set.value));
    let surplus = old
        .len()
        .saturating_sub(usize::try_from(kept).unwrap_or_default());
    for set in old.into_iter().take(surplus) {
        state.end(&set.value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn percentages_round_as_kubernetes_rounds_them() {
        let deployment = |replicas: i64| json!({"spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}}});
        assert_eq!(limits(&deployment(4)), (1, 1));
        assert_eq!(limits(&deployment(3)), (1, 0));
        assert_eq!(limits(&deployment(1)), (1, 0));
    }
}
