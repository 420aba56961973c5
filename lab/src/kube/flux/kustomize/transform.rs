//! What a kustomization changes in every resource: its namespace, its name, its images.

use serde_json::Value;

use super::item::Item;
use crate::kube::resource::Registry;

/// Kinds whose names get neither prefix nor suffix.
const KEPT: [&str; 3] = ["CustomResourceDefinition", "APIService", "Namespace"];

/// Puts all in a namespace. A kind that is not known is taken for one that has namespaces.
pub(super) fn place(registry: &Registry, items: &mut [Item], namespace: &str) {
    for item in items {
        let found = registry.of_kind(
            item.value["apiVersion"].as_str().unwrap_or_default(),
            item.kind(),
        );
        if found.is_none_or(|resource| resource.namespaced) {
            item.move_to(namespace);
        }
        match item.kind() {
            "Namespace" => item.rename(namespace.to_owned()),
            "RoleBinding" | "ClusterRoleBinding" => {
                let subjects = item.value.get_mut("subjects").and_then(Value::as_array_mut);
                for subject in subjects.into_iter().flatten() {
                    // Others follow their accounts, where those are among the resources.
                    if subject["kind"] == "ServiceAccount" && subject["name"] == "default" {
                        subject["namespace"] = namespace.into();
                    }
                }
            }
            _ => {}
        }
    }
}

pub(super) fn fix(items: &mut [Item], prefix: &str, suffix: &str) {
    if prefix.is_empty() && suffix.is_empty() {
        return;
    }
    for item in items.iter_mut().filter(|item| !KEPT.contains(&item.kind())) {
        let name = format!("{prefix}{}{suffix}", item.name());
        item.rename(name);
    }
}

/// New names, tags and digests of images, wherever there are containers.
pub(super) fn images(items: &mut [Item], wanted: &[Value]) {
    if wanted.is_empty() {
        return;
    }
    for item in items
        .iter_mut()
        .filter(|item| item.kind() != "CustomResourceDefinition")
    {
        walk(&mut item.value, wanted);
    }
}

fn walk(value: &mut Value, wanted: &[Value]) {
    match value {
        Value::Object(map) => {
            for list in ["containers", "initContainers"] {
                let all = map.get_mut(list).and_then(Value::as_array_mut);
                for one in all.into_iter().flatten() {
                    // An entry without an image gets none.
                    if let Some(image) = one["image"].as_str().map(str::to_owned) {
                        one["image"] = changed(&image, wanted).into();
                    }
                }
            }
            map.values_mut().for_each(|value| walk(value, wanted));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| walk(value, wanted)),
        _ => {}
    }
}

fn changed(image: &str, wanted: &[Value]) -> String {
    let mut image = image.to_owned();
    for own in wanted {
        let (bare, digest) = match image.split_once('@') {
            Some((bare, digest)) => (bare, format!("@{digest}")),
            None => (image.as_str(), String::new()),
        };
        let (name, tag) = match bare.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, format!(":{tag}")),
            _ => (bare, String::new()),
        };
        if own["name"] != name {
            continue;
        }
        let text = |key: &str| own[key].as_str().filter(|text| !text.is_empty());
        let name = text("newName").unwrap_or(name);
        let (mut tag, digest) = match (text("newTag"), text("digest")) {
            (Some(tag), Some(digest)) => (format!(":{tag}"), format!("@{digest}")),
            (Some(tag), None) => (format!(":{tag}"), String::new()),
            (None, Some(digest)) => (String::new(), format!("@{digest}")),
            (None, None) => (tag, digest),
        };
        if let Some(more) = text("tagSuffix") {
            tag.push_str(more);
        }
        image = format!("{name}{tag}{digest}");
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn images_change_their_name_tag_or_digest() {
        for (image, own, now) in [
            (
                "nginx:1",
                json!({"name": "nginx", "newTag": "2"}),
                "nginx:2",
            ),
            (
                "nginx",
                json!({"name": "nginx", "newName": "r.lab:5000/n"}),
                "r.lab:5000/n",
            ),
            (
                "r.lab:5000/n:1",
                json!({"name": "r.lab:5000/n", "digest": "sha256:a"}),
                "r.lab:5000/n@sha256:a",
            ),
            (
                "nginx@sha256:b",
                json!({"name": "nginx", "newTag": "2"}),
                "nginx:2",
            ),
            (
                "nginx:1@sha256:b",
                json!({"name": "nginx", "newTag": "2", "digest": "sha256:c"}),
                "nginx:2@sha256:c",
            ),
            (
                "other:1",
                json!({"name": "nginx", "newTag": "2"}),
                "other:1",
            ),
        ] {
            assert_eq!(changed(image, &[own]), now);
        }
    }
}
