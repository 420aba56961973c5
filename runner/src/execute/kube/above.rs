//! What the steps above would make, where nothing is changed: a step that is about it is skipped, not failed.

use runbook_k8s::{Error, Key, Query};
use serde_json::Value;

use super::super::context::Cx;
use super::super::outcome::Outcome;
use crate::action::kube::{apply, look};
use crate::world::Cluster;

/// What steps above would make, by cluster.
#[derive(Default)]
pub(in crate::execute) struct Above {
    objects: Vec<(String, Key)>,
    /// `example.com/v1 Widget`, of definitions.
    kinds: Vec<(String, String)>,
}

/// Remembers what an apply would make.
pub(super) fn note(cx: &Cx, cluster: &Cluster, found: &apply::Found) {
    let mut state = cx.guide.state();
    for (key, wished) in found.created() {
        state
            .above
            .objects
            .push((cluster.name.clone(), key.clone()));
        let kinds = kinds(wished).into_iter();
        let kinds = kinds.map(|kind| (cluster.name.clone(), kind));
        state.above.kinds.extend(kinds);
    }
}

/// The kinds that a definition brings.
fn kinds(crd: &Value) -> Vec<String> {
    if crd["kind"] != "CustomResourceDefinition" {
        return Vec::new();
    }
    let (group, kind) = (&crd["spec"]["group"], &crd["spec"]["names"]["kind"]);
    let (Some(group), Some(kind)) = (group.as_str(), kind.as_str()) else {
        return Vec::new();
    };
    let versions = crd["spec"]["versions"].as_array();
    let names = versions
        .into_iter()
        .flatten()
        .filter_map(|version| version["name"].as_str());
    names
        .map(|version| format!("{group}/{version} {kind}"))
        .collect()
}

/// The outcome of a step that found missing what a step above would make.
pub(super) fn forgives(
    cx: &Cx,
    cluster: &Cluster,
    error: &Error,
    queries: &[Query],
) -> Option<Box<Outcome>> {
    let known = match error {
        Error::NoSuchKind { kind, .. } => {
            let state = cx.guide.state();
            let word = kind.rsplit(' ').next().unwrap_or(kind);
            state.above.kinds.iter().any(|(at, brought)| {
                // A step that reads may name the kind alone.
                let is_it = brought == kind
                    || brought
                        .rsplit(' ')
                        .next()
                        .is_some_and(|one| one.eq_ignore_ascii_case(word));
                *at == cluster.name && is_it
            })
        }
        Error::NotFound { what, .. } => {
            let namespace = what.strip_prefix("namespaces/");
            let is_namespace =
                |key: &Key| key.kind == "Namespace" && namespace == Some(key.name.as_str());
            let state = cx.guide.state();
            let mut ours = state
                .above
                .objects
                .iter()
                .filter(|(at, _)| *at == cluster.name);
            ours.any(|(_, key)| {
                is_namespace(key) || queries.iter().any(|query| look::may_mean(query, key))
            })
        }
        _ => false,
    };
    known.then(|| skipped(&error.to_string()))
}

/// The outcome of a step that is about what a step above would make.
pub(super) fn would_make(cx: &Cx, cluster: &Cluster, queries: &[Query]) -> Option<Box<Outcome>> {
    let state = cx.guide.state();
    let mut ours = state
        .above
        .objects
        .iter()
        .filter(|(at, _)| *at == cluster.name);
    let (_, key) = ours.find(|(_, key)| queries.iter().any(|query| look::may_mean(query, key)))?;
    Some(skipped(&format!("{key} is not there")))
}

fn skipped(why: &str) -> Box<Outcome> {
    Box::new(Outcome::skipped(format!(
        "{why}; a step above would make it"
    )))
}
