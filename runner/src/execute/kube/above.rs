//! What the steps above would make, where nothing is changed: a step that looks at it is skipped, not failed, and what one would
//! put into it is to be created too.

use runbook_k8s::{Error, Key, Object, Query};
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
    /// The namespaces and definitions among the objects.
    coming: Vec<(String, Object)>,
    pods: Vec<Pods>,
}

/// Pods that an object is, or would have.
struct Pods {
    namespace: String,
    owner: String,
    labels: Value,
}

impl Pods {
    fn of(key: &Key, wished: &Value) -> Option<Self> {
        let of_pod = match key.kind.as_str() {
            "Pod" => wished,
            "CronJob" => &wished["spec"]["jobTemplate"]["spec"]["template"],
            _ => &wished["spec"]["template"],
        };
        let labels = of_pod.get("metadata")?["labels"].clone();
        Some(Self {
            namespace: key.namespace.clone()?,
            owner: key.name.clone(),
            labels,
        })
    }

    /// Whether a target means one of them: by its name or by a selector, of which only `KEY=VALUE` is looked at.
    fn may_be(&self, namespace: &str, wanted: &str) -> bool {
        if self.namespace != namespace {
            return false;
        }
        if !wanted.contains('=') {
            let rest = wanted.strip_prefix(&self.owner);
            return rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        }
        wanted.split(',').all(|term| {
            let pair = term.split_once('=').filter(|(key, _)| !key.ends_with('!'));
            pair.is_none_or(|(key, value)| {
                self.labels[key.trim()] == value.trim_start_matches('=').trim()
            })
        })
    }
}

/// Remembers what an apply would make.
pub(super) fn note(cx: &Cx, cluster: &Cluster, found: &apply::Found) {
    let mut state = cx.guide.state();
    for (key, wished) in found.created() {
        state
            .above
            .objects
            .push((cluster.name.clone(), key.clone()));
        state.above.pods.extend(Pods::of(key, wished));
        if matches!(key.kind.as_str(), "Namespace" | "CustomResourceDefinition") {
            let object = Object::new(wished.clone());
            state.above.coming.push((cluster.name.clone(), object));
        }
        let kinds = kinds(wished).into_iter();
        let kinds = kinds.map(|kind| (cluster.name.clone(), kind));
        state.above.kinds.extend(kinds);
    }
}

/// The namespaces and definitions that steps above would make.
pub(super) fn coming(cx: &Cx, cluster: &Cluster) -> Vec<Object> {
    let state = cx.guide.state();
    let coming = state.above.coming.iter();
    let here = coming.filter(|(at, _)| *at == cluster.name);
    here.map(|(_, object)| object.clone()).collect()
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

/// The outcome of a step on a pod that is not there, where a step above would make it.
pub(in crate::execute) fn would_make_pod(
    cx: &Cx,
    namespace: &str,
    wanted: &str,
    why: &str,
) -> Option<Box<Outcome>> {
    let state = cx.guide.state();
    let mut pods = state.above.pods.iter();
    pods.any(|pods| pods.may_be(namespace, wanted))
        .then(|| skipped(why))
}

fn skipped(why: &str) -> Box<Outcome> {
    Box::new(Outcome::skipped(format!(
        "{why}; a step above would make it"
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_are_meant_by_name_and_by_label() {
        let key = Key::new("apps", "StatefulSet", Some("shop"), "db");
        let wished =
            json!({"spec": {"template": {"metadata": {"labels": {"app": "db", "tier": "x"}}}}});
        let pods = Pods::of(&key, &wished).unwrap();
        for wanted in ["db-0", "db", "app=db", "app==db,tier=x", "app=db,tier!=y"] {
            assert!(pods.may_be("shop", wanted), "{wanted}");
        }
        for wanted in ["dbx", "web-0", "app=web", "app=db,tier=y"] {
            assert!(!pods.may_be("shop", wanted), "{wanted}");
        }
        assert!(!pods.may_be("other", "db-0"));
        let map = Key::new("", "ConfigMap", Some("shop"), "db");
        assert!(Pods::of(&map, &json!({"data": {}})).is_none());
    }
}
