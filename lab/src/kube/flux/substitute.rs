//! `postBuild`: variables in manifests.

use std::collections::BTreeMap;

use base64::Engine;
use regex::Regex;
use serde_json::Value;

use super::kustomize::shown;
use crate::kube::object;
use crate::kube::state::State;

/// Replaces `${NAME}` and `${NAME:=default}` by the variables of `postBuild`; nothing where there are no variables.
///
/// # Errors
///
/// When a source of variables is not there, or a variable has neither a value nor a default.
pub(super) fn substitute(
    state: &State,
    kustomization: &Value,
    objects: &mut [Value],
) -> Result<(), String> {
    let post = &kustomization["spec"]["postBuild"];
    let Some(first) = objects.first().filter(|_| post.is_object()) else {
        return Ok(());
    };
    let id = format!("{}/{}", shown(first), object::name(first));
    let values = variables(state, kustomization)
        .map_err(|text| format!("post build failed for '{id}': {text}"))?;
    if values.is_empty() && post["substituteStrategy"] != "Always" {
        return Ok(());
    }
    let pattern = Regex::new(r"\$?\$\{([A-Za-z_][A-Za-z0-9_]*)(?::?[=-]([^}]*))?\}")
        .map_err(|error| error.to_string())?;
    for object in objects.iter_mut() {
        let kept = object::label(object, "kustomize.toolkit.fluxcd.io/substitute") == "disabled"
            || object::annotation(object, "kustomize.toolkit.fluxcd.io/substitute") == "disabled";
        if kept {
            continue;
        }
        let id = format!("{}/{}", shown(object), object::name(object));
        replace(object, &pattern, &values).map_err(|name| {
            format!("post build failed for '{id}': envsubst error: variable substitution failed: variable not set (strict mode): \"{name}\"")
        })?;
    }
    Ok(())
}

/// The variables: of ConfigMaps and Secrets in their order, then those of the spec itself. None has line ends.
fn variables(state: &State, kustomization: &Value) -> Result<BTreeMap<String, String>, String> {
    let post = &kustomization["spec"]["postBuild"];
    let mut values = BTreeMap::new();
    let namespace = object::namespace(kustomization);
    for from in object::items(post, &["substituteFrom"]) {
        let name = from["name"].as_str().unwrap_or_default();
        let kind = from["kind"].as_str().unwrap_or_default();
        let (table, encoded) = match kind {
            "Secret" => ("secrets", true),
            _ => ("configmaps", false),
        };
        let Some(own) = state.store.get(table, namespace, name) else {
            if from["optional"] == true {
                continue;
            }
            return Err(format!(
                "substitute from '{kind}/{name}' error: {table} \"{name}\" not found"
            ));
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
            values.insert(key.clone(), text.replace('\n', ""));
        }
    }
    for (key, value) in post["substitute"].as_object().into_iter().flatten() {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        values.insert(key.clone(), text.replace('\n', ""));
    }
    Ok(values)
}

/// Replaces variables in all texts; the name of the first that is not there and has no default.
fn replace(
    value: &mut Value,
    pattern: &Regex,
    values: &BTreeMap<String, String>,
) -> Result<(), String> {
    match value {
        Value::String(text) if text.contains("${") => {
            let mut missing = None;
            let new = pattern
                .replace_all(text, |found: &regex::Captures<'_>| {
                    // `$${NAME}` stays as `${NAME}`.
                    if let Some(kept) = found[0].strip_prefix("$$") {
                        return format!("${kept}");
                    }
                    let default = found.get(2).map(|default| default.as_str().to_owned());
                    match (values.get(&found[1]), default) {
                        (Some(text), _) if !text.is_empty() => text.clone(),
                        (_, Some(default)) => default,
                        (Some(_), None) => String::new(),
                        (None, None) => {
                            missing.get_or_insert_with(|| found[1].to_owned());
                            String::new()
                        }
                    }
                })
                .into_owned();
            if let Some(name) = missing {
                return Err(name);
            }
            if new != *text {
                *value = typed(new);
            }
            Ok(())
        }
        Value::Object(map) => map
            .values_mut()
            .try_for_each(|value| replace(value, pattern, values)),
        Value::Array(list) => list
            .iter_mut()
            .try_for_each(|value| replace(value, pattern, values)),
        _ => Ok(()),
    }
}

/// A text as YAML reads it where nothing is in quotes: numbers, truths and nothing become what they look like.
fn typed(text: String) -> Value {
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => {
            return true.into();
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => {
            return false.into();
        }
        _ => {}
    }
    match serde_json::from_str::<Value>(&text) {
        Ok(number @ Value::Number(_)) => number,
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn variables_are_replaced_and_typed() {
        let pattern =
            Regex::new(r"\$?\$\{([A-Za-z_][A-Za-z0-9_]*)(?::?[=-]([^}]*))?\}").expect("a pattern");
        let values = [("N", "3"), ("W", "hello"), ("Y", "yes"), ("E", "")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        for (text, out) in [
            ("${N}", json!(3)),
            ("a ${W}", json!("a hello")),
            ("${Y}", json!(true)),
            ("${E:=x}", json!("x")),
            ("${E}", json!(null)),
            ("${NONE:-1.5}", json!(1.5)),
            ("$${W}", json!("${W}")),
            ("$W", json!("$W")),
        ] {
            let mut value = json!(text);
            replace(&mut value, &pattern, &values).expect(text);
            assert_eq!(value, out, "{text}");
        }
        let missing = replace(&mut json!({"a": ["x${NONE}x"]}), &pattern, &values);
        assert_eq!(missing.expect_err("there is none"), "NONE");
    }
}
