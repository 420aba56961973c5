//! How what a Kustomization applied stands.

use std::sync::Arc;

use serde_json::Value;

use super::{live, parts, says};
use crate::kube::flux::checks::Checks;
use crate::kube::flux::health::Health;
use crate::kube::object::{self, Object};
use crate::kube::state::State;

/// How a set of objects stands.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::kube::flux) enum Standing {
    Healthy,
    /// What is not there yet, each with its status.
    Waits(Vec<String>),
    /// What will not get there.
    Failed(Vec<String>),
}

/// How what is to be healthy stands: all that was applied, or what is named. None where nothing is to be looked at.
pub(in crate::kube::flux) fn health(
    state: &State,
    value: &Value,
    applied: &[Value],
    checks: &Checks,
) -> Option<Standing> {
    let spec = &value["spec"];
    let mut all: Vec<(String, Option<Arc<Object>>)> = Vec::new();
    if spec["wait"] == true {
        for entry in applied {
            let (namespace, name, _, kind) = parts(entry)?;
            let shown = if namespace.is_empty() {
                format!("{kind}/{name}")
            } else {
                format!("{kind}/{namespace}/{name}")
            };
            let found = live(state, entry);
            let skipped = found
                .as_ref()
                .is_some_and(|own| says(&own.value, "reconcile", "disabled"));
            if !skipped {
                all.push((shown, found));
            }
        }
    } else {
        for one in object::items(value, &["spec", "healthChecks"]) {
            let text = |key: &str| one[key].as_str().unwrap_or_default();
            let namespace = text("namespace");
            let found = state
                .registry
                .of_kind(text("apiVersion"), text("kind"))
                .and_then(|resource| state.get(&resource.qualified(), namespace, text("name")));
            all.push((
                format!("{}/{namespace}/{}", text("kind"), text("name")),
                found,
            ));
        }
    }
    // It does not wait for itself.
    all.retain(|(_, found)| {
        found
            .as_ref()
            .is_none_or(|own| object::uid(&own.value) != object::uid(value))
    });
    if all.is_empty() {
        return None;
    }
    let (mut waits, mut failed) = (Vec::new(), Vec::new());
    for (shown, found) in all {
        match found.map(|own| checks.health(&own.value)) {
            Some(Health::Current) => {}
            Some(Health::Unknown) => waits.push(format!("{shown} status: 'Unknown'")),
            Some(Health::Failed(_)) => failed.push(format!("{shown} status: 'Failed'")),
            Some(Health::InProgress) => waits.push(format!("{shown} status: 'InProgress'")),
            None => waits.push(format!("{shown} status: 'NotFound'")),
        }
    }
    Some(if !failed.is_empty() {
        Standing::Failed(failed)
    } else if waits.is_empty() {
        Standing::Healthy
    } else {
        Standing::Waits(waits)
    })
}
