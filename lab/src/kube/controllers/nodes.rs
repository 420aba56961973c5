//! Nodes: one that takes no pods has the taint that says so.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Again;
use crate::kube::object::{self, Object};
use crate::kube::state::State;

const MANAGER: &str = "kube-controller-manager";
const TAINT: &str = "node.kubernetes.io/unschedulable";

pub(super) fn react(state: &mut State, live: &Arc<Object>) -> Again {
    let is_taint = |one: &Value| one["key"] == TAINT;
    let mut taints = object::items(&live.value, &["spec", "taints"]).to_vec();
    let closed = live.value["spec"]["unschedulable"] == true;
    if closed == taints.iter().any(is_taint) {
        return None;
    }
    if closed {
        taints.push(json!({"effect": "NoSchedule", "key": TAINT, "timeAdded": object::now()}));
    } else {
        taints.retain(|one| !is_taint(one));
    }
    let _ = state.change(live, MANAGER, |node| {
        if taints.is_empty() {
            object::remove(node, &["spec", "taints"]);
        } else {
            node["spec"]["taints"] = taints.into();
        }
    });
    None
}
