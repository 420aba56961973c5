//! ConfigMaps and Secrets from literals and files, and the hash that their names get.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::item::Item;
use super::labels::put;
use super::{Build, inside};
use crate::kube::flux::sops::{self, Format};
use crate::kube::flux::tree::hexadecimal;
use crate::kube::object;

/// Letters of base64 in a line of a long value, as Kustomize breaks them; part of what is hashed.
const LINE: usize = 70;
/// Letters of a hash.
const HASH: usize = 10;

impl Build<'_> {
    /// One generator: a new item, or a change of one that was generated below.
    pub(super) fn generate(
        &self,
        folder: &str,
        one: &Value,
        kind: &str,
        options: &Value,
        items: &mut Vec<Item>,
    ) -> Result<(), String> {
        let name = one["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            return Err(format!("a {kind} generator has no name"));
        }
        let mut value = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
        if let Some(namespace) = one["namespace"].as_str() {
            value["metadata"]["namespace"] = namespace.into();
        }
        if kind == "Secret" {
            value["type"] = one["type"].as_str().unwrap_or("Opaque").into();
        }
        let data = self.pairs(folder, one, kind == "Secret")?;
        fill(&mut value, data);
        let chosen = |key: &str| match &one["options"][key] {
            Value::Null => options[key].clone(),
            own => own.clone(),
        };
        for (key, part) in [("labels", "labels"), ("annotations", "annotations")] {
            for pairs in [&options[key], &one["options"][key]] {
                if pairs.as_object().is_some_and(|map| !map.is_empty()) {
                    put(&mut value, &["metadata", part], pairs);
                }
            }
        }
        if chosen("immutable") == true {
            value["immutable"] = true.into();
        }
        let needs_hash = chosen("disableNameSuffixHash") != true;
        let found = items.iter_mut().find(|item| {
            item.kind() == kind
                && item.answers_to(name)
                && (object::namespace(&value).is_empty()
                    || item.namespace() == object::namespace(&value))
        });
        match (one["behavior"].as_str().unwrap_or_default(), found) {
            ("" | "create" | "unspecified", None) => {
                let mut item = Item::new(value);
                item.needs_hash = needs_hash;
                items.push(item);
                Ok(())
            }
            ("merge", Some(item)) => {
                for part in ["data", "binaryData"] {
                    if value[part].is_object() {
                        put(&mut item.value, &[part], &value[part]);
                    }
                }
                for part in ["labels", "annotations"] {
                    if value["metadata"][part].is_object() {
                        put(
                            &mut item.value,
                            &["metadata", part],
                            &value["metadata"][part],
                        );
                    }
                }
                item.needs_hash |= needs_hash;
                Ok(())
            }
            ("replace", Some(item)) => {
                let meta = object::meta_mut(&mut item.value).clone();
                value["metadata"]["name"] = meta["name"].clone();
                if let Some(namespace) = meta.get("namespace") {
                    value["metadata"]["namespace"] = namespace.clone();
                }
                item.value = value;
                item.needs_hash |= needs_hash;
                Ok(())
            }
            (behavior @ ("merge" | "replace"), None) => Err(format!(
                "id {} does not exist; cannot {behavior}",
                Item::new(value).id()
            )),
            (_, Some(item)) => Err(format!(
                "may not add resource with an already registered id: {}",
                item.id()
            )),
            (other, None) => Err(format!("unknown behavior `{other}` of a generator")),
        }
    }

    /// The keys of a generator with their contents: of variables' files, literals and files.
    fn pairs(
        &self,
        folder: &str,
        one: &Value,
        secret: bool,
    ) -> Result<Vec<(String, Vec<u8>)>, String> {
        let mut out: Vec<(String, Vec<u8>)> = Vec::new();
        let mut add = |key: &str, content: Vec<u8>| {
            if out.iter().any(|(own, _)| own == key) {
                return Err(format!(
                    "configmap/secret key `{key}` already exists in `{}`",
                    one["name"].as_str().unwrap_or_default()
                ));
            }
            out.push((key.to_owned(), content));
            Ok(())
        };
        for file in object::items(one, &["envs"]) {
            let path = file.as_str().unwrap_or_default();
            let format = match Format::of_path(path) {
                Format::Whole => Format::Dotenv,
                own => own,
            };
            let text = String::from_utf8(self.content(folder, path, format, secret)?)
                .map_err(|_| format!("{path}: not UTF-8"))?;
            for line in text.lines().map(str::trim_start) {
                if !line.is_empty() && !line.starts_with('#') {
                    let (key, value) = line.split_once('=').unwrap_or((line, ""));
                    add(key, value.as_bytes().to_vec())?;
                }
            }
        }
        for literal in object::items(one, &["literals"]) {
            let text = literal.as_str().unwrap_or_default();
            let (key, value) = text
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| format!("invalid literal source {text}, expected key=value"))?;
            let quoted = ['"', '\'']
                .iter()
                .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
            add(key, quoted.unwrap_or(value).as_bytes().to_vec())?;
        }
        for file in object::items(one, &["files"]) {
            let text = file.as_str().unwrap_or_default();
            let base = text.rsplit('/').next().unwrap_or(text);
            let (key, path) = text.split_once('=').unwrap_or((base, text));
            add(
                key,
                self.content(folder, path, Format::of_path(key), secret)?,
            )?;
        }
        Ok(out)
    }

    /// A file's content, opened where it is encrypted and decryption is asked for.
    fn content(
        &self,
        folder: &str,
        path: &str,
        format: Format,
        secret: bool,
    ) -> Result<Vec<u8>, String> {
        let content = self.read_bytes(&inside(folder, path)?)?;
        match self.identities {
            Some(identities) if secret && format.is_encrypted(content) => {
                sops::decrypt_file(content, format, identities)
                    .map_err(|text| format!("error decrypting sources: {text}"))
            }
            _ => Ok(content.to_vec()),
        }
    }
}

fn fill(value: &mut Value, data: Vec<(String, Vec<u8>)>) {
    let secret = value["kind"] == "Secret";
    let (mut texts, mut bytes) = (Map::new(), Map::new());
    for (key, content) in data {
        match String::from_utf8(content) {
            Ok(text) if !secret => texts.insert(key, text.into()),
            Ok(text) => texts.insert(key, encoded(text.as_bytes()).into()),
            Err(error) if secret => texts.insert(key, encoded(error.as_bytes()).into()),
            Err(error) => bytes.insert(key, encoded(error.as_bytes()).into()),
        };
    }
    if secret || !texts.is_empty() {
        value["data"] = texts.into();
    }
    if !bytes.is_empty() {
        value["binaryData"] = bytes.into();
    }
}

/// Base64, a long one in lines.
fn encoded(content: &[u8]) -> String {
    let text = STANDARD.encode(content);
    if text.len() < LINE {
        return text;
    }
    let mut out = String::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out
}

/// The hash of a ConfigMap or Secret, as Kustomize makes it: of kind and content.
pub(super) fn hash(value: &Value) -> String {
    let kind = value["kind"].as_str().unwrap_or_default();
    let content = |key: &str| match &value[key] {
        Value::Null => Value::from(""),
        own => object::sorted(own),
    };
    let mut own = Map::new();
    if value["binaryData"].is_object() && kind == "ConfigMap" {
        own.insert("binaryData".into(), content("binaryData"));
    }
    own.insert("data".into(), content("data"));
    own.insert("kind".into(), kind.into());
    // Kustomize looks for the name where none is.
    own.insert("name".into(), "".into());
    if kind == "Secret" {
        if value["stringData"].is_object() {
            own.insert("stringData".into(), content("stringData"));
        }
        own.insert("type".into(), content("type"));
    }
    // Go escapes these in JSON.
    let text = Value::Object(own)
        .to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029");
    hexadecimal(&Sha256::digest(text.as_bytes()))
        .chars()
        .take(HASH)
        .map(|c| match c {
            '0' => 'g',
            '1' => 'h',
            '3' => 'k',
            'a' => 'm',
            'e' => 't',
            other => other,
        })
        .collect()
}
