//! `postBuild`: variables in manifests.

use base64::Engine;
use regex::Regex;
use serde_json::{Map, Value};

use crate::kube::object;
use crate::kube::state::State;

/// `${NAME}` and `${NAME:=default}` from `postBuild`.
pub(super) fn substitute(
    state: &State,
    kustomization: &Value,
    objects: &mut [Value],
) -> Result<(), String> {
    let post = &kustomization["spec"]["postBuild"];
    if !post.is_object() {
        return Ok(());
    }
    let mut values: Map<String, Value> = Map::new();
    let namespace = object::namespace(kustomization);
    for from in object::items(post, &["substituteFrom"]) {
        let name = from["name"].as_str().unwrap_or_default();
        let (table, encoded) = if from["kind"] == "Secret" {
            ("secrets", true)
        } else {
            ("configmaps", false)
        };
        let Some(own) = state.store.get(table, namespace, name) else {
            if from["optional"] == true {
                continue;
            }
            return Err(format!("post build failed: {} \"{name}\" not found", table));
        };
        for (key, value) in own.value["data"].as_object().into_iter().flatten() {
            let text = value.as_str().unwrap_or_default();
            let text = if encoded {
                let bytes = base64::engine::general_purpose::STANDARD
                    .decode(text)
                    .unwrap_or_default();
                String::from_utf8_lossy(&bytes).into_owned()
            } else {
                text.to_owned()
            };
            values.insert(key.clone(), text.into());
        }
    }
    values.extend(post["substitute"].as_object().cloned().unwrap_or_default());
    let pattern = Regex::new(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::?[=-]([^}]*))?\}")
        .map_err(|error| error.to_string())?;
    for object in objects.iter_mut() {
        let kept = object::label(object, "kustomize.toolkit.fluxcd.io/substitute") == "disabled"
            || object::annotation(object, "kustomize.toolkit.fluxcd.io/substitute") == "disabled";
        if !kept {
            replace(object, &pattern, &values);
        }
    }
    Ok(())
}

fn replace(value: &mut Value, pattern: &Regex, values: &Map<String, Value>) {
    match value {
        Value::String(text) if text.contains("${") => {
            let whole = pattern
                .find(text)
                .is_some_and(|found| found.len() == text.len());
            let new = pattern
                .replace_all(text, |found: &regex::Captures<'_>| {
                    match values.get(&found[1]) {
                        Some(Value::String(text)) => text.clone(),
                        Some(other) => other.to_string(),
                        None => found
                            .get(2)
                            .map_or(String::new(), |default| default.as_str().to_owned()),
                    }
                })
                .into_owned();
            // A value that is nothing but a variable takes the type that YAML gives it.
            *value = match serde_json::from_str::<Value>(&new) {
                Ok(typed @ (Value::Number(_) | Value::Bool(_))) if whole => typed,
                _ => new.into(),
            };
        }
        Value::Object(map) => map
            .values_mut()
            .for_each(|value| replace(value, pattern, values)),
        Value::Array(list) => list
            .iter_mut()
            .for_each(|value| replace(value, pattern, values)),
        _ => {}
    }
}
