//! What a kustomization changes in objects: namespaces, names, labels, images.

use regex::Regex;
use serde_json::{Value, json};

use crate::kube::object;
use crate::kube::resource::Registry;

pub(super) fn place_in(registry: &Registry, value: &mut Value, namespace: &str) {
    let found = registry.of_kind(
        value["apiVersion"].as_str().unwrap_or_default(),
        value["kind"].as_str().unwrap_or_default(),
    );
    if found.is_some_and(|resource| !resource.namespaced) {
        return;
    }
    object::meta_mut(value).insert("namespace".into(), namespace.into());
    for subject in value
        .get_mut("subjects")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if subject["kind"] == "ServiceAccount" {
            subject["namespace"] = namespace.into();
        }
    }
}

pub(super) fn rename(objects: &mut [Value], prefix: &str, suffix: &str) {
    if prefix.is_empty() && suffix.is_empty() {
        return;
    }
    let mut renamed = Vec::new();
    for one in objects.iter_mut() {
        let kind = one["kind"].as_str().unwrap_or_default().to_owned();
        if matches!(kind.as_str(), "Namespace" | "CustomResourceDefinition") {
            continue;
        }
        let from = object::name(one).to_owned();
        let to = format!("{prefix}{from}{suffix}");
        object::meta_mut(one).insert("name".into(), to.as_str().into());
        renamed.push((kind, from, to));
    }
    for (kind, from, to) in renamed {
        refer(objects, &kind, &from, &to);
    }
}

/// Follows a new name where pods and others name it.
pub(super) fn refer(objects: &mut [Value], kind: &str, from: &str, to: &str) {
    let keys: &[(&str, &str)] = match kind {
        "ConfigMap" => &[
            ("configMap", "name"),
            ("configMapRef", "name"),
            ("configMapKeyRef", "name"),
        ],
        "Secret" => &[
            ("secret", "secretName"),
            ("secretRef", "name"),
            ("secretKeyRef", "name"),
            ("secret", "name"),
        ],
        "PersistentVolumeClaim" => &[("persistentVolumeClaim", "claimName")],
        "Service" => &[("service", "name")],
        _ => &[],
    };
    fn walk(value: &mut Value, keys: &[(&str, &str)], kind: &str, from: &str, to: &str) {
        match value {
            Value::Object(map) => {
                for (outer, inner) in keys {
                    if let Some(name) = map.get_mut(*outer).and_then(|own| own.get_mut(*inner))
                        && *name == from
                    {
                        *name = to.into();
                    }
                }
                if kind == "ServiceAccount"
                    && map
                        .get("serviceAccountName")
                        .is_some_and(|name| name == from)
                {
                    map.insert("serviceAccountName".into(), to.into());
                }
                let reference = map.get("kind").is_some_and(|own| own == kind)
                    && map.get("name").is_some_and(|name| name == from);
                if reference && !map.contains_key("metadata") {
                    map.insert("name".into(), to.into());
                }
                map.values_mut()
                    .for_each(|value| walk(value, keys, kind, from, to));
            }
            Value::Array(list) => list
                .iter_mut()
                .for_each(|value| walk(value, keys, kind, from, to)),
            _ => {}
        }
    }
    objects
        .iter_mut()
        .for_each(|one| walk(one, keys, kind, from, to));
}

pub(super) fn merge(value: &mut Value, pairs: &Value, part: &str) {
    for (name, text) in pairs.as_object().into_iter().flatten() {
        object::meta_mut(value)
            .entry(part)
            .or_insert_with(|| json!({}))[name] = text.clone();
    }
}

pub(super) fn common(objects: &mut [Value], pairs: &Value, part: &str, selectors: bool) {
    let Some(map) = pairs.as_object().filter(|map| !map.is_empty()) else {
        return;
    };
    for one in objects.iter_mut() {
        merge(one, pairs, part);
        if part == "annotations" || !selectors {
            continue;
        }
        let kind = one["kind"].as_str().unwrap_or_default().to_owned();
        if let Some(template) = one.pointer_mut("/spec/template") {
            merge(template, pairs, part);
        }
        let path = match kind.as_str() {
            "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => {
                "/spec/selector/matchLabels"
            }
            "Service" => "/spec/selector",
            _ => continue,
        };
        if let Some(selector) = one.pointer_mut(path).and_then(Value::as_object_mut) {
            selector.extend(map.clone());
        }
    }
}

pub(super) fn images(objects: &mut [Value], wanted: &[Value]) {
    fn walk(value: &mut Value, wanted: &[Value]) {
        match value {
            Value::Object(map) => {
                for list in ["containers", "initContainers"] {
                    for one in map
                        .get_mut(list)
                        .and_then(Value::as_array_mut)
                        .into_iter()
                        .flatten()
                    {
                        let image = one["image"].as_str().unwrap_or_default().to_owned();
                        let bare = image.split('@').next().unwrap_or_default();
                        let name = match bare.rsplit_once(':') {
                            Some((name, tag)) if !tag.contains('/') => name,
                            _ => bare,
                        };
                        let Some(own) = wanted.iter().find(|own| own["name"] == name) else {
                            continue;
                        };
                        let new = own["newName"].as_str().unwrap_or(name);
                        one["image"] = match (own["digest"].as_str(), own["newTag"].as_str()) {
                            (Some(digest), _) => format!("{new}@{digest}"),
                            (None, Some(tag)) => format!("{new}:{tag}"),
                            (None, None) => format!("{new}{}", &image[name.len()..]),
                        }
                        .into();
                    }
                }
                map.values_mut().for_each(|value| walk(value, wanted));
            }
            Value::Array(list) => list.iter_mut().for_each(|value| walk(value, wanted)),
            _ => {}
        }
    }
    if !wanted.is_empty() {
        objects.iter_mut().for_each(|one| walk(one, wanted));
    }
}

pub(super) fn matches(value: &Value, target: &Value) -> bool {
    let whole = |pattern: &Value, text: &str| {
        pattern.as_str().is_none_or(|pattern| {
            Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|regex| regex.is_match(text))
        })
    };
    let (group, version) = value["apiVersion"]
        .as_str()
        .unwrap_or_default()
        .rsplit_once('/')
        .unwrap_or(("", "v1"));
    let selected = target["labelSelector"].as_str().is_none_or(|text| {
        text.split(',').all(|term| {
            term.split_once('=')
                .is_some_and(|(key, wanted)| object::label(value, key) == wanted)
        })
    });
    whole(&target["kind"], value["kind"].as_str().unwrap_or_default())
        && whole(&target["name"], object::name(value))
        && target["namespace"]
            .as_str()
            .is_none_or(|own| own == object::namespace(value))
        && whole(&target["group"], group)
        && whole(&target["version"], version)
        && selected
}
