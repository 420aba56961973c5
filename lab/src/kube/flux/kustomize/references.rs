//! Who names whom: when a resource has another name at the end than its file gave it, those that name it follow. The places are
//! those that Kustomize knows; a name anywhere else stays as it is.

use serde_json::Value;

use super::item::Item;

/// Where a pod's spec is, by kind.
const PODS: [(&str, &str); 9] = [
    ("Pod", "spec"),
    ("PodTemplate", "template/spec"),
    ("Deployment", "spec/template/spec"),
    ("ReplicaSet", "spec/template/spec"),
    ("ReplicationController", "spec/template/spec"),
    ("DaemonSet", "spec/template/spec"),
    ("StatefulSet", "spec/template/spec"),
    ("Job", "spec/template/spec"),
    ("CronJob", "spec/jobTemplate/spec/template/spec"),
];
/// Names within a pod's spec: of which kind, and where.
const WITHIN_PODS: [(&str, &str); 16] = [
    ("ConfigMap", "volumes/configMap/name"),
    ("ConfigMap", "volumes/projected/sources/configMap/name"),
    ("ConfigMap", "containers/env/valueFrom/configMapKeyRef/name"),
    (
        "ConfigMap",
        "initContainers/env/valueFrom/configMapKeyRef/name",
    ),
    ("ConfigMap", "containers/envFrom/configMapRef/name"),
    ("ConfigMap", "initContainers/envFrom/configMapRef/name"),
    ("Secret", "volumes/secret/secretName"),
    ("Secret", "volumes/projected/sources/secret/name"),
    ("Secret", "containers/env/valueFrom/secretKeyRef/name"),
    ("Secret", "initContainers/env/valueFrom/secretKeyRef/name"),
    ("Secret", "containers/envFrom/secretRef/name"),
    ("Secret", "initContainers/envFrom/secretRef/name"),
    ("Secret", "imagePullSecrets/name"),
    ("ServiceAccount", "serviceAccountName"),
    (
        "PersistentVolumeClaim",
        "volumes/persistentVolumeClaim/claimName",
    ),
    ("PriorityClass", "priorityClassName"),
];
/// Other names: who names, which kind, and where.
const OTHERS: [(&str, &str, &str); 27] = [
    ("Ingress", "Secret", "spec/tls/secretName"),
    (
        "Ingress",
        "Service",
        "spec/rules/http/paths/backend/service/name",
    ),
    ("Ingress", "Service", "spec/defaultBackend/service/name"),
    ("Ingress", "IngressClass", "spec/ingressClassName"),
    ("ServiceAccount", "Secret", "imagePullSecrets/name"),
    ("StatefulSet", "Service", "spec/serviceName"),
    (
        "StatefulSet",
        "StorageClass",
        "spec/volumeClaimTemplates/spec/storageClassName",
    ),
    ("APIService", "Service", "spec/service/name"),
    (
        "ValidatingWebhookConfiguration",
        "Service",
        "webhooks/clientConfig/service/name",
    ),
    (
        "MutatingWebhookConfiguration",
        "Service",
        "webhooks/clientConfig/service/name",
    ),
    ("RoleBinding", "Role", "roleRef/name"),
    ("RoleBinding", "ClusterRole", "roleRef/name"),
    ("ClusterRoleBinding", "ClusterRole", "roleRef/name"),
    ("RoleBinding", "ServiceAccount", "subjects/name"),
    ("ClusterRoleBinding", "ServiceAccount", "subjects/name"),
    (
        "PersistentVolumeClaim",
        "PersistentVolume",
        "spec/volumeName",
    ),
    (
        "PersistentVolumeClaim",
        "StorageClass",
        "spec/storageClassName",
    ),
    ("PersistentVolume", "StorageClass", "spec/storageClassName"),
    ("PersistentVolume", "Secret", "spec/azureFile/secretName"),
    (
        "HorizontalPodAutoscaler",
        "Deployment",
        "spec/scaleTargetRef/name",
    ),
    (
        "HorizontalPodAutoscaler",
        "StatefulSet",
        "spec/scaleTargetRef/name",
    ),
    (
        "HorizontalPodAutoscaler",
        "ReplicaSet",
        "spec/scaleTargetRef/name",
    ),
    ("Role", "ConfigMap", "rules/resourceNames"),
    ("Role", "Secret", "rules/resourceNames"),
    ("ClusterRole", "ConfigMap", "rules/resourceNames"),
    ("ClusterRole", "Secret", "rules/resourceNames"),
    (
        "ValidatingAdmissionPolicyBinding",
        "ValidatingAdmissionPolicy",
        "spec/policyName",
    ),
];

/// Follows new names.
///
/// # Errors
///
/// When a name may mean several resources that have different names now.
pub(super) fn follow(items: &mut [Item]) -> Result<(), String> {
    let all = items.to_vec();
    for item in items.iter_mut() {
        let kind = item.kind().to_owned();
        let pods = PODS
            .iter()
            .filter(|(own, _)| *own == kind)
            .flat_map(|(_, at)| {
                WITHIN_PODS
                    .iter()
                    .map(move |(target, path)| (*target, format!("{at}/{path}")))
            });
        let others = OTHERS
            .iter()
            .filter(|(own, ..)| *own == kind)
            .map(|(_, target, path)| (*target, (*path).to_owned()));
        for (target, path) in pods.chain(others) {
            let path: Vec<&str> = path.split('/').collect();
            let from = item.clone();
            walk(&mut item.value, &path, &mut |holder, key| {
                change(&all, &from, target, holder, key)
            })?;
        }
    }
    Ok(())
}

/// Calls with each map that holds the last key of a path; lists on the way are gone through.
fn walk(
    value: &mut Value,
    path: &[&str],
    call: &mut dyn FnMut(&mut Value, &str) -> Result<(), String>,
) -> Result<(), String> {
    match (value, path) {
        (Value::Array(list), path) => list
            .iter_mut()
            .try_for_each(|value| walk(value, path, call)),
        (value @ Value::Object(_), [key]) => call(value, key),
        (Value::Object(map), [key, rest @ ..]) => match map.get_mut(*key) {
            Some(next) => walk(next, rest, call),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn change(
    all: &[Item],
    from: &Item,
    target: &str,
    holder: &mut Value,
    key: &str,
) -> Result<(), String> {
    // `roleRef`, `subjects` and `scaleTargetRef` say which kind they name.
    if holder["kind"].as_str().is_some_and(|kind| kind != target) && !holder["metadata"].is_object()
    {
        return Ok(());
    }
    let namespace = holder["namespace"].as_str().map(str::to_owned);
    if let Some(names) = holder.get_mut(key).and_then(Value::as_array_mut) {
        for name in names {
            if let Some(found) = name
                .as_str()
                .map(|own| find(all, from, target, own, None))
                .transpose()?
                .flatten()
            {
                *name = found.name().into();
            }
        }
        return Ok(());
    }
    let Some(name) = holder[key].as_str().map(str::to_owned) else {
        return Ok(());
    };
    if let Some(found) = find(all, from, target, &name, namespace.as_deref())? {
        holder[key] = found.name().into();
        if target == "ServiceAccount"
            && !found.namespace().is_empty()
            && holder["kind"] == "ServiceAccount"
        {
            holder["namespace"] = found.namespace().into();
        }
    }
    Ok(())
}

/// The resource that a name means: of this kind, in a namespace that can be meant, and closest by the kustomizations both came through.
fn find<'a>(
    all: &'a [Item],
    from: &Item,
    target: &str,
    name: &str,
    namespace: Option<&str>,
) -> Result<Option<&'a Item>, String> {
    let candidates = all.iter().filter(|own| {
        own.kind() == target
            && own.answers_to(name)
            && (own.namespace().is_empty()
                || from.namespace().is_empty()
                || own.namespace() == from.namespace()
                || namespace.is_some())
    });
    let shared = |own: &Item| {
        own.layers
            .iter()
            .filter(|layer| from.layers.contains(layer))
            .count()
    };
    let mut best: Vec<&Item> = Vec::new();
    for own in candidates {
        match best.first().map(|other| shared(other).cmp(&shared(own))) {
            Some(std::cmp::Ordering::Greater) => {}
            Some(std::cmp::Ordering::Equal) => best.push(own),
            Some(std::cmp::Ordering::Less) | None => best = vec![own],
        }
    }
    // One that still has this name is meant before one that had it.
    if best.len() > 1
        && let Some(own) = best.iter().find(|own| own.name() == name)
    {
        return Ok(Some(own));
    }
    match best.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        [one, rest @ ..] if rest.iter().all(|own| own.name() == one.name()) => Ok(Some(one)),
        _ => Err(format!(
            "found multiple possible referrals: {}",
            best.iter()
                .map(|own| own.id())
                .collect::<Vec<_>>()
                .join(", ")
        )),
    }
}
