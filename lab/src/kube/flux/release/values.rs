//! A release's values, and what of them a stand-in uses: `{{ .Values.a.b }}`, `{{ .Release.Name }}`, `{{ .Chart.Version }}` and nothing
//! else. Whatever else stands between braces is left as it is, as in a manifest that was rendered before.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;
use serde_json::{Value, json};

use crate::kube::object;
use crate::kube::patch;
use crate::kube::state::State;

/// The values: of ConfigMaps and Secrets in their order, then the spec's own.
pub(super) fn compose(state: &State, release: &Value) -> Result<Value, String> {
    let mut out = json!({});
    let namespace = object::namespace(release);
    for from in object::items(release, &["spec", "valuesFrom"]) {
        let text = |key: &str| from[key].as_str().unwrap_or_default();
        let (kind, name) = (text("kind"), text("name"));
        let key = match text("valuesKey") {
            "" => "values.yaml",
            own => own,
        };
        let failed = |text: String| {
            format!(
                "could not resolve {kind} chart values reference '{namespace}/{name}' with key '{key}': {text}"
            )
        };
        let (table, secret) = match kind {
            "Secret" => ("secrets", true),
            _ => ("configmaps", false),
        };
        let found = state.get(table, namespace, name);
        let own = found
            .as_ref()
            .and_then(|own| own.value["data"][key].as_str());
        let Some(own) = own else {
            if from["optional"] == true {
                continue;
            }
            return Err(failed(match found {
                None => format!("{table} \"{name}\" not found"),
                Some(_) => format!("missing key '{key}' in {kind} '{namespace}/{name}'"),
            }));
        };
        let own = if secret {
            String::from_utf8_lossy(&STANDARD.decode(own).unwrap_or_default()).into_owned()
        } else {
            own.to_owned()
        };
        let more: Value = match text("targetPath") {
            "" => serde_saphyr::from_str(&own).map_err(|error| failed(error.to_string()))?,
            path => path
                .rsplit('.')
                .fold(own.trim_end().into(), |inner, part| json!({part: inner})),
        };
        patch::merge_patch(&mut out, &more);
    }
    patch::merge_patch(&mut out, &release["spec"]["values"]);
    Ok(out)
}

/// Fills a stand-in.
pub(super) fn fill(text: &str, known: &Value) -> Result<String, String> {
    let pattern = Regex::new(r"\{\{-?\s*\.((?:Values|Release|Chart)(?:\.[A-Za-z0-9_]+)+)\s*-?\}\}")
        .map_err(|error| error.to_string())?;
    let out = pattern.replace_all(text, |found: &regex::Captures<'_>| {
        let value = found[1].split('.').fold(known, |value, part| &value[part]);
        match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    });
    Ok(out.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_knows_its_values_and_leaves_the_rest() {
        let known = json!({"Values": {"a": {"b": 3}}, "Release": {"Name": "web"}});
        let out = fill(
            "{{ .Release.Name }}-{{.Values.a.b}} {{- .Values.none -}} {{ $labels.instance }} {{ .Other }}",
            &known,
        );
        assert_eq!(out.unwrap(), "web-3  {{ $labels.instance }} {{ .Other }}");
    }
}
