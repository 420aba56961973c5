//! What is served, as discovery tells it: the old documents and the aggregated one.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::resource::{Registry, Resource};
use super::schema::Sub;

/// The order of groups that clients see; custom groups follow.
const ORDER: [&str; 15] = [
    "",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
];

/// Groups in order.
fn groups(registry: &Registry) -> Vec<String> {
    let all: BTreeSet<&str> = registry.all().map(|one| one.group.as_str()).collect();
    let mut out: Vec<String> = ORDER
        .iter()
        .filter(|one| all.contains(**one))
        .map(|one| (*one).to_owned())
        .collect();
    out.extend(
        all.iter()
            .filter(|one| !ORDER.contains(one))
            .map(|one| (*one).to_owned()),
    );
    out
}

/// Versions of a group, the best first: `v2`, `v1`, `v1beta2`, `v1alpha1`.
fn versions(registry: &Registry, group: &str) -> Vec<String> {
    let all: BTreeSet<&str> = registry
        .all()
        .filter(|one| one.group == group)
        .map(|one| one.version.as_str())
        .collect();
    let mut out: Vec<String> = all.into_iter().map(str::to_owned).collect();
    out.sort_by_key(|version| std::cmp::Reverse(rank(version)));
    out
}

fn rank(version: &str) -> (u8, u32, u32) {
    let parse = || {
        let rest = version.strip_prefix('v')?;
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let major = rest[..end].parse().ok()?;
        let (kind, minor) = match &rest[end..] {
            "" => (3, ""),
            other if other.starts_with("beta") => (2, &other[4..]),
            other if other.starts_with("alpha") => (1, &other[5..]),
            _ => return None,
        };
        Some((kind, major, minor.parse().unwrap_or_default()))
    };
    parse().unwrap_or_default()
}

pub(crate) fn core_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

fn group_value(registry: &Registry, group: &str) -> Value {
    let versions: Vec<Value> = versions(registry, group)
        .iter()
        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": group, "preferredVersion": versions.first(), "versions": versions})
}

pub(crate) fn group_list(registry: &Registry) -> Value {
    let list: Vec<Value> = groups(registry)
        .iter()
        .filter(|group| !group.is_empty())
        .map(|group| group_value(registry, group))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list})
}

pub(crate) fn group(registry: &Registry, group: &str) -> Option<Value> {
    if group.is_empty() || !registry.has_group(group) {
        return None;
    }
    let mut value = group_value(registry, group);
    value["kind"] = "APIGroup".into();
    value["apiVersion"] = "v1".into();
    Some(value)
}

pub(crate) fn resource_list(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut list = Vec::new();
    for one in registry
        .all()
        .filter(|one| one.group == group && one.version == version)
    {
        let mut own = json!({
            "name": one.plural, "singularName": one.singular, "namespaced": one.namespaced, "kind": one.kind, "verbs": one.verbs,
        });
        if !one.short.is_empty() {
            own["shortNames"] = json!(one.short);
        }
        if !one.categories.is_empty() {
            own["categories"] = json!(one.categories);
        }
        if one.verbs.iter().any(|verb| verb == "list") {
            own["storageVersionHash"] = storage_hash(one).into();
        }
        list.push(own);
        for sub in &one.subs {
            let mut own = json!({
                "name": format!("{}/{}", one.plural, sub.name), "singularName": "", "namespaced": one.namespaced,
                "kind": sub.kind, "verbs": sub.verbs,
            });
            if !sub.group.is_empty() {
                own["group"] = sub.group.as_str().into();
                own["version"] = sub.version.as_str().into();
            }
            list.push(own);
        }
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    (!list.is_empty()).then(|| {
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list})
    })
}

fn storage_hash(one: &Resource) -> String {
    use base64::Engine;
    use sha2::{Digest, Sha256};
    let text = format!("{}/{}/{}", one.group, one.version, one.kind);
    base64::engine::general_purpose::STANDARD.encode(&Sha256::digest(text)[..8])
}

/// The aggregated document of the core group or of all others.
pub(crate) fn aggregated(registry: &Registry, core: bool) -> Value {
    let items: Vec<Value> = groups(registry)
        .iter()
        .filter(|group| group.is_empty() == core)
        .map(|group| {
            let versions: Vec<Value> = versions(registry, group)
                .iter()
                .map(|version| {
                    let resources: Vec<Value> = registry
                        .all()
                        .filter(|one| one.group == *group && one.version == *version)
                        .map(|one| aggregated_resource(one))
                        .collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            let mut meta = json!({"creationTimestamp": null});
            if !group.is_empty() {
                meta["name"] = group.as_str().into();
            }
            json!({"metadata": meta, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_resource(one: &Resource) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    // The core group leaves out what it is.
    let own = if one.group.is_empty() {
        ""
    } else {
        one.version.as_str()
    };
    let mut out = json!({
        "resource": one.plural, "responseKind": kind(&one.group, own, &one.kind),
        "scope": if one.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": one.singular, "verbs": one.verbs,
    });
    if !one.short.is_empty() {
        out["shortNames"] = json!(one.short);
    }
    if !one.categories.is_empty() {
        out["categories"] = json!(one.categories);
    }
    let subs: Vec<Value> = one
        .subs
        .iter()
        .map(|sub: &Sub| {
            let (group, version) =
                if sub.group.is_empty() && sub.version.is_empty() { (one.group.as_str(), own) } else { (sub.group.as_str(), sub.version.as_str()) };
            json!({"subresource": sub.name, "responseKind": kind(group, version, &sub.kind), "verbs": sub.verbs})
        })
        .collect();
    if !subs.is_empty() {
        out["subresources"] = subs.into();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ranked_as_kubernetes_ranks_them() {
        let mut all = vec!["v1alpha1", "v1", "v2beta1", "v2", "v1beta2", "v1beta1"];
        all.sort_by_key(|version| std::cmp::Reverse(rank(version)));
        assert_eq!(
            all,
            ["v2", "v1", "v2beta1", "v1beta2", "v1beta1", "v1alpha1"]
        );
    }

    #[test]
    fn every_group_is_listed_and_the_core_is_apart() {
        let registry = Registry::builtin();
        let list = group_list(&registry);
        let names: Vec<&str> = list["groups"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|one| one["name"].as_str())
            .collect();
        assert!(
            names.contains(&"apps") && names.contains(&"discovery.k8s.io") && !names.contains(&"")
        );
        assert_eq!(
            aggregated(&registry, true)["items"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
    }
}
