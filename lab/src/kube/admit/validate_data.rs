//! What ConfigMaps and Secrets may hold, and what a Secret of a known type must.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::kube::object;
use crate::kube::status::Cause;

/// All data of a ConfigMap or Secret, in bytes.
const DATA_MAX: usize = 1024 * 1024;
const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const ACCOUNT: &str = "kubernetes.io/service-account.name";

pub(super) fn config_map(value: &Value, causes: &mut Vec<Cause>) {
    let mut size = 0;
    for part in ["data", "binaryData"] {
        for (name, text) in value[part].as_object().into_iter().flatten() {
            key(part, name, causes);
            if part == "data" && value["binaryData"].get(name).is_some() {
                let detail = "duplicate of key present in binaryData";
                causes.push(Cause::invalid(
                    format!("data[{name}]"),
                    &json!(name),
                    detail,
                ));
            }
            size += match part {
                "data" => text.as_str().map_or(0, str::len),
                _ => bytes(text).len(),
            };
        }
    }
    if size > DATA_MAX {
        causes.push(too_long(""));
    }
}

pub(super) fn secret(value: &Value, causes: &mut Vec<Cause>) {
    let mut size = 0;
    for (name, text) in value["data"].as_object().into_iter().flatten() {
        key("data", name, causes);
        size += bytes(text).len();
    }
    if size > DATA_MAX {
        causes.push(too_long("data"));
    }
    let data = &value["data"];
    let mut missing = |key: &str| causes.push(Cause::required(format!("data[{key}]"), ""));
    match object::text(value, &["type"]) {
        "kubernetes.io/service-account-token" if object::annotation(value, ACCOUNT).is_empty() => {
            let place = format!("metadata.annotations[{ACCOUNT}]");
            causes.push(Cause::required(place, ""));
        }
        "kubernetes.io/dockercfg" => json_in(data, ".dockercfg", causes),
        "kubernetes.io/dockerconfigjson" => json_in(data, ".dockerconfigjson", causes),
        "kubernetes.io/basic-auth" => {
            let keys = ["username", "password"];
            if keys.iter().all(|key| data.get(*key).is_none()) {
                keys.into_iter().for_each(missing);
            }
        }
        "kubernetes.io/ssh-auth" if bytes(&data["ssh-privatekey"]).is_empty() => {
            missing("ssh-privatekey");
        }
        "kubernetes.io/tls" => {
            ["tls.crt", "tls.key"]
                .into_iter()
                .filter(|key| data.get(*key).is_none())
                .for_each(missing);
        }
        _ => {}
    }
}

fn key(part: &str, name: &str, causes: &mut Vec<Cause>) {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || !name.chars().all(good) {
        causes.push(Cause::invalid(format!("{part}[{name}]"), &json!(name), KEY));
    }
}

fn too_long(field: &str) -> Cause {
    let message = format!("Too long: may not be more than {DATA_MAX} bytes");
    Cause::new("FieldValueTooLong", field, message)
}

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD
        .decode(value.as_str().unwrap_or_default())
        .unwrap_or_default()
}

/// A key whose bytes are a JSON object. What is wrong is said in Go's words, what is there is not said.
fn json_in(data: &Value, name: &str, causes: &mut Vec<Cause>) {
    let place = format!("data[{name}]");
    if data.get(name).is_none() {
        causes.push(Cause::required(place, ""));
        return;
    }
    let content = bytes(&data[name]);
    let problem = match serde_json::from_slice::<Value>(&content) {
        Ok(Value::Object(_) | Value::Null) => return,
        Ok(other) => {
            let found = match other {
                Value::Array(_) => "array",
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                _ => "number",
            };
            format!(
                "json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
            )
        }
        Err(error) if error.is_eof() => "unexpected end of JSON input".to_owned(),
        Err(_) => misplaced(&String::from_utf8_lossy(&content)),
    };
    let redacted = json!("<secret contents redacted>");
    causes.push(Cause::invalid(place, &redacted, &problem));
}

/// What Go says of a text that is no JSON, as far as its first word tells.
fn misplaced(text: &str) -> String {
    let text = text.trim_start();
    for word in ["null", "true", "false"] {
        let same = text
            .chars()
            .zip(word.chars())
            .take_while(|(a, b)| a == b)
            .count();
        let rest = (text.chars().nth(same), word.chars().nth(same));
        if let (true, (Some(found), Some(wanted))) = (same > 0, rest) {
            return format!("invalid character '{found}' in literal {word} (expecting '{wanted}')");
        }
    }
    let first = text.chars().next().unwrap_or_default();
    format!("invalid character '{first}' looking for beginning of value")
}
