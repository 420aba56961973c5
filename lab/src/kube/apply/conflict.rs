//! The refusal of an apply that would take fields from others, with the API's exact words.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::set::Set;
use crate::kube::status::Refusal;

/// From managers, as messages name them, with the fields they would lose.
pub(super) fn refusal(conflicts: &[(String, Set)]) -> Refusal {
    let mut all: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (manager, set) in conflicts {
        all.entry(manager).or_default().extend(set.paths());
    }
    let causes: Vec<Value> = all
        .iter()
        .flat_map(|(manager, paths)| {
            paths.iter().map(move |path| {
                json!({"reason": "FieldManagerConflict", "message": format!("conflict with {manager}"), "field": path})
            })
        })
        .collect();
    let message = match all.iter().next() {
        Some((manager, paths)) if causes.len() == 1 => {
            format!(
                "Apply failed with 1 conflict: conflict with {manager}: {}",
                paths[0]
            )
        }
        _ => {
            let lines: Vec<String> = all
                .iter()
                .flat_map(|(manager, paths)| {
                    std::iter::once(format!("conflicts with {manager}:"))
                        .chain(paths.iter().map(|path| format!("- {path}")))
                })
                .collect();
            format!(
                "Apply failed with {} conflicts: {}",
                causes.len(),
                lines.join("\n")
            )
        }
    };
    Refusal::new(409, "Conflict", message).with_causes(causes)
}
