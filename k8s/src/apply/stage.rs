//! In which order objects are applied: the four stages of Flux (`fluxcd/pkg/ssa`), and the order of kinds inside of one.

use serde_json::Value;

use crate::kind::Resource;
use crate::object::text;

/// What must be there and ready before the next stage begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// CustomResourceDefinition, Namespace, ClusterRole.
    Definitions,
    /// What others name as their class: StorageClass, IngressClass …
    Classes,
    /// Kinds that the caller wants before the rest.
    Early,
    /// Everything else.
    Rest,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Definitions, Self::Classes, Self::Early, Self::Rest];

    /// The stage of a kind; `early` are the kinds (`GROUP/KIND`, or the kind of the core group) that the caller wants first.
    pub fn of(resource: &Resource, early: &[String]) -> Self {
        let name = if resource.group.is_empty() {
            resource.kind.clone()
        } else {
            format!("{}/{}", resource.group, resource.kind)
        };
        match (resource.group.as_str(), resource.kind.as_str()) {
            ("apiextensions.k8s.io", "CustomResourceDefinition")
            | ("", "Namespace")
            | ("rbac.authorization.k8s.io", "ClusterRole") => Self::Definitions,
            (_, kind) if kind.ends_with("Class") => Self::Classes,
            _ if early.contains(&name) => Self::Early,
            _ => Self::Rest,
        }
    }
}

/// The order of kinds; what is not named comes before the webhooks, which could refuse all others.
const ORDER: [&str; 27] = [
    "CustomResourceDefinition",
    "Namespace",
    "ClusterRole",
    "StorageClass",
    "PriorityClass",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "Role",
    "ClusterRoleBinding",
    "RoleBinding",
    "ConfigMap",
    "Secret",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Service",
    "NetworkPolicy",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Job",
    "CronJob",
    "Pod",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "Ingress",
];

/// The place of a kind inside of its stage: lower first, equal ones together.
pub(super) fn rank(object: &Value) -> usize {
    let kind = text(object, "/kind");
    match kind {
        "MutatingWebhookConfiguration" => ORDER.len() + 1,
        "ValidatingWebhookConfiguration" => ORDER.len() + 2,
        kind => ORDER
            .iter()
            .position(|other| *other == kind)
            .unwrap_or(ORDER.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stage(word: &str) -> Stage {
        Stage::of(
            &Resource::called(word).expect("known"),
            &["batch/Job".to_owned(), "Secret".to_owned()],
        )
    }

    #[test]
    fn definitions_come_first_then_classes_then_what_is_wanted_early() {
        for word in ["crd", "namespace", "clusterrole"] {
            assert_eq!(stage(word), Stage::Definitions, "{word}");
        }
        for word in [
            "storageclass",
            "ingressclass",
            "priorityclass",
            "runtimeclass",
        ] {
            assert_eq!(stage(word), Stage::Classes, "{word}");
        }
        assert_eq!(
            (stage("job"), stage("secret")),
            (Stage::Early, Stage::Early)
        );
        for word in ["deployment", "role", "clusterrolebinding", "configmap"] {
            assert_eq!(stage(word), Stage::Rest, "{word}");
        }
    }

    #[test]
    fn kinds_are_in_order_and_webhooks_last() {
        let mut kinds = [
            "ValidatingWebhookConfiguration",
            "Widget",
            "Deployment",
            "ServiceAccount",
            "ConfigMap",
            "MutatingWebhookConfiguration",
            "ResourceQuota",
        ];
        kinds.sort_by_key(|kind| rank(&json!({ "kind": kind })));
        let expected = [
            "ResourceQuota",
            "ServiceAccount",
            "ConfigMap",
            "Deployment",
            "Widget",
            "MutatingWebhookConfiguration",
            "ValidatingWebhookConfiguration",
        ];
        assert_eq!(kinds, expected);
    }
}
