//! `spec.decryption` of a Kustomization: which keys, and what is opened with them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::inventory;
use super::kustomize::shown;
use super::sops::{self, Identity};
use crate::kube::object;
use crate::kube::state::State;

/// Data keys of age identities end so.
const KEY_END: &str = ".agekey";
const DISABLED: &str = "kustomize.toolkit.fluxcd.io/decrypt";

/// The age identities that a Kustomization may use: of its secret, and the lab's own. None where no decryption is asked for.
pub(super) fn identities(state: &State, value: &Value) -> Result<Option<Vec<Identity>>, String> {
    let decryption = &value["spec"]["decryption"];
    if decryption["provider"] != "sops" {
        return Ok(None);
    }
    let mut out = Vec::new();
    if let Some(name) = decryption["secretRef"]["name"].as_str() {
        let namespace = object::namespace(value);
        let secret = state
            .get("secrets", namespace, name)
            .ok_or_else(|| format!("secrets \"{name}\" not found"))?;
        for (key, data) in secret.value["data"].as_object().into_iter().flatten() {
            if !key.ends_with(KEY_END) {
                continue;
            }
            let bytes = STANDARD
                .decode(data.as_str().unwrap_or_default())
                .unwrap_or_default();
            let read = Identity::read_all(&String::from_utf8_lossy(&bytes)).map_err(|text| {
                format!("failed to import '{key}' data from sops decryption Secret '{namespace}/{name}': failed to parse and add to age identities: {text}")
            })?;
            out.extend(read);
        }
    }
    let own = state
        .settings
        .flux
        .as_ref()
        .map(|flux| flux.age_keys.clone());
    for text in own.unwrap_or_default() {
        out.extend(
            Identity::read_all(&text).map_err(|text| format!("an age key of the lab: {text}"))?,
        );
    }
    Ok(Some(out))
}

/// Opens what is encrypted among objects.
pub(super) fn open(objects: &mut [Value], identities: &[Identity]) -> Result<(), String> {
    for object in objects {
        if object::annotation(object, DISABLED).eq_ignore_ascii_case("disabled") {
            continue;
        }
        let (namespace, name) = (
            object::namespace(object).to_owned(),
            object::name(object).to_owned(),
        );
        let (kind, id) = (
            object["kind"].as_str().unwrap_or_default().to_owned(),
            shown(object),
        );
        let failed = |what: String, text: String| {
            format!(
                "decryption failed for '{id}/{name}': failed to decrypt and format '{namespace}/{name}' {what}: {text}"
            )
        };
        if sops::is_encrypted(object) {
            sops::decrypt(object, identities)
                .map_err(|text| failed(format!("{kind} data"), text))?;
        } else if kind == "Secret" {
            let data = object.get_mut("data").and_then(Value::as_object_mut);
            if let Some(data) = data {
                sops::decrypt_data(data, identities)
                    .map_err(|(key, text)| failed(format!("Secret field '{key}'"), text))?;
            }
        }
    }
    Ok(())
}

/// An encrypted Secret that nobody opened is not applied; but the controller sees that only where its data is not base64, and so does this.
pub(super) fn refuse(object: &Value) -> Result<(), String> {
    let secret = object["kind"] == "Secret" && object["apiVersion"] == "v1";
    let sealed = object["data"].as_object().is_some_and(|data| {
        data.values().any(|value| {
            let text = value.as_str().unwrap_or_default().replace('\n', "");
            STANDARD.decode(text).is_err()
        })
    });
    let disabled = object::annotation(object, DISABLED).eq_ignore_ascii_case("disabled");
    if !secret || !object["sops"].is_object() || !sealed || disabled {
        return Ok(());
    }
    Err(format!(
        "{} is SOPS encrypted, configuring decryption is required for this secret to be reconciled",
        inventory::shown(object)
    ))
}
