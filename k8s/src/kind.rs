//! Kinds: how a kind is spelled in paths and whether it lives in a namespace.
//!
//! The kinds of Kubernetes itself stand in a table (from the server's own discovery, 1.36), so that nothing has to be asked for
//! them. Others are asked for: see [`crate::discovery`].

use std::fmt;

/// A kind as the server serves it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource {
    /// `apps`; empty for the core group.
    pub group: String,
    /// `v1`.
    pub version: String,
    /// `Deployment`.
    pub kind: String,
    /// `deployments`.
    pub plural: String,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
}

impl Resource {
    /// A kind of Kubernetes itself, in any of its versions.
    pub fn known(group: &str, version: &str, kind: &str) -> Option<Self> {
        let row = KINDS.iter().find(|row| row.0 == group && row.2 == kind)?;
        Some(Self::of(row, version))
    }

    /// A kind of Kubernetes itself by what a person calls it: kind, plural or short name, in any case, with or without its group:
    /// `Deployment`, `deployments`, `deploy`, `deployments.apps`.
    pub fn called(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        let (name, group) = word
            .split_once('.')
            .map_or((word.as_str(), None), |(name, group)| (name, Some(group)));
        let row = KINDS.iter().find(|row| {
            let is_named = row.2.eq_ignore_ascii_case(name)
                || row.3 == name
                || (!row.5.is_empty() && row.5 == name);
            is_named && group.is_none_or(|group| group == row.0)
        })?;
        Some(Self::of(row, row.1))
    }

    /// `v1` of a kind of the core group.
    fn core(kind: &str, plural: &str, namespaced: bool) -> Self {
        Self {
            group: String::new(),
            version: "v1".to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            namespaced,
        }
    }

    /// Pods.
    pub fn pod() -> Self {
        Self::core("Pod", "pods", true)
    }

    /// Namespaces.
    pub fn namespace() -> Self {
        Self::core("Namespace", "namespaces", false)
    }

    /// ConfigMaps.
    pub fn config_map() -> Self {
        Self::core("ConfigMap", "configmaps", true)
    }

    /// Events.
    pub fn event() -> Self {
        Self::core("Event", "events", true)
    }

    fn of(row: &Row, version: &str) -> Self {
        Self {
            group: row.0.to_owned(),
            version: version.to_owned(),
            kind: row.2.to_owned(),
            plural: row.3.to_owned(),
            namespaced: row.4,
        }
    }

    /// `apps/v1`, `v1`.
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Whether the kind comes from Kubernetes itself, and not from a CRD or an aggregated API.
    pub fn is_builtin(&self) -> bool {
        is_builtin(&self.group, &self.kind)
    }

    /// `deployments.apps`.
    pub fn full_name(&self) -> String {
        match self.group.as_str() {
            "" => self.plural.clone(),
            group => format!("{}.{group}", self.plural),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version(), self.kind)
    }
}

/// Whether a kind comes from Kubernetes itself.
pub(crate) fn is_builtin(group: &str, kind: &str) -> bool {
    KINDS.iter().any(|row| row.0 == group && row.2 == kind)
}

/// Group, preferred version, kind, plural, in a namespace, short name.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    bool,
    &'static str,
);

/// The kinds of Kubernetes that can be read and written as objects.
#[rustfmt::skip]
const KINDS: &[Row] = &[
    ("", "v1", "ConfigMap", "configmaps", true, "cm"),
    ("", "v1", "Endpoints", "endpoints", true, "ep"),
    ("", "v1", "Event", "events", true, "ev"),
    ("", "v1", "LimitRange", "limitranges", true, "limits"),
    ("", "v1", "Namespace", "namespaces", false, "ns"),
    ("", "v1", "Node", "nodes", false, "no"),
    ("", "v1", "PersistentVolume", "persistentvolumes", false, "pv"),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true, "pvc"),
    ("", "v1", "Pod", "pods", true, "po"),
    ("", "v1", "PodTemplate", "podtemplates", true, ""),
    ("", "v1", "ReplicationController", "replicationcontrollers", true, "rc"),
    ("", "v1", "ResourceQuota", "resourcequotas", true, "quota"),
    ("", "v1", "Secret", "secrets", true, ""),
    ("", "v1", "Service", "services", true, "svc"),
    ("", "v1", "ServiceAccount", "serviceaccounts", true, "sa"),
    ("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies", false, ""),
    ("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", false, ""),
    ("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", false, ""),
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", false, ""),
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", false, ""),
    ("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", false, ""),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false, "crd"),
    ("apiregistration.k8s.io", "v1", "APIService", "apiservices", false, ""),
    ("apps", "v1", "ControllerRevision", "controllerrevisions", true, ""),
    ("apps", "v1", "DaemonSet", "daemonsets", true, "ds"),
    ("apps", "v1", "Deployment", "deployments", true, "deploy"),
    ("apps", "v1", "ReplicaSet", "replicasets", true, "rs"),
    ("apps", "v1", "StatefulSet", "statefulsets", true, "sts"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", true, "hpa"),
    ("batch", "v1", "CronJob", "cronjobs", true, "cj"),
    ("batch", "v1", "Job", "jobs", true, ""),
    ("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", false, "csr"),
    ("coordination.k8s.io", "v1", "Lease", "leases", true, ""),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", true, ""),
    ("events.k8s.io", "v1", "Event", "events", true, ""),
    ("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema", "flowschemas", false, ""),
    ("flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration", "prioritylevelconfigurations", false, ""),
    ("networking.k8s.io", "v1", "IPAddress", "ipaddresses", false, "ip"),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", true, "ing"),
    ("networking.k8s.io", "v1", "IngressClass", "ingressclasses", false, ""),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", true, "netpol"),
    ("networking.k8s.io", "v1", "ServiceCIDR", "servicecidrs", false, ""),
    ("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", false, ""),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true, "pdb"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", false, ""),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", false, ""),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", true, ""),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", true, ""),
    ("resource.k8s.io", "v1", "DeviceClass", "deviceclasses", false, ""),
    ("resource.k8s.io", "v1", "ResourceClaim", "resourceclaims", true, ""),
    ("resource.k8s.io", "v1", "ResourceClaimTemplate", "resourceclaimtemplates", true, ""),
    ("resource.k8s.io", "v1", "ResourceSlice", "resourceslices", false, ""),
    ("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", false, "pc"),
    ("storage.k8s.io", "v1", "CSIDriver", "csidrivers", false, ""),
    ("storage.k8s.io", "v1", "CSINode", "csinodes", false, ""),
    ("storage.k8s.io", "v1", "CSIStorageCapacity", "csistoragecapacities", true, ""),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses", false, "sc"),
    ("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", false, ""),
    ("storage.k8s.io", "v1", "VolumeAttributesClass", "volumeattributesclasses", false, "vac"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(word: &str, expected: &str) {
        let found =
            Resource::called(word).map(|resource| format!("{resource} {}", resource.plural));
        assert_eq!(found.as_deref().unwrap_or("none"), expected, "{word}");
    }

    #[test]
    fn a_kind_is_found_by_all_its_names() {
        check("Deployment", "apps/v1 Deployment deployments");
        check("deployment", "apps/v1 Deployment deployments");
        check("deployments", "apps/v1 Deployment deployments");
        check("deploy", "apps/v1 Deployment deployments");
        check("deployments.apps", "apps/v1 Deployment deployments");
        check("svc", "v1 Service services");
        check("Event", "v1 Event events");
        check("events.events.k8s.io", "events.k8s.io/v1 Event events");
        check("Kustomization", "none");
        check("deployments.extensions", "none");
        check("", "none");
    }

    #[test]
    fn the_version_is_the_callers() {
        let resource =
            Resource::known("autoscaling", "v1", "HorizontalPodAutoscaler").expect("known");
        assert_eq!(resource.api_version(), "autoscaling/v1");
        assert_eq!(Resource::known("", "v1", "Deployment"), None);
    }

    #[test]
    fn the_kinds_that_are_needed_here_are_those_of_the_table() {
        for kind in [
            Resource::pod(),
            Resource::namespace(),
            Resource::config_map(),
            Resource::event(),
        ] {
            assert_eq!(Resource::known("", "v1", &kind.kind), Some(kind));
        }
    }

    #[test]
    fn no_kind_stands_twice() {
        let mut kinds: Vec<_> = KINDS.iter().map(|row| (row.0, row.2)).collect();
        kinds.sort_unstable();
        let count = kinds.len();
        kinds.dedup();
        assert_eq!(kinds.len(), count);
    }
}
