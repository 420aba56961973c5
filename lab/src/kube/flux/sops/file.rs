//! Encrypted files that become keys of a Secret: `.env` files, whole files of any kind, YAML and JSON.

use serde_json::{Map, Value};

use super::{Identity, Opener, parts};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Dotenv,
    Yaml,
    Json,
    /// A file of any kind within a JSON envelope.
    Whole,
}

impl Format {
    /// By the name of a file, as SOPS tells it.
    pub(crate) fn of_path(path: &str) -> Self {
        let ends = |ends: &[&str]| ends.iter().any(|end| path.ends_with(end));
        if ends(&[".yaml", ".yml"]) {
            Self::Yaml
        } else if ends(&[".json", ".dockerconfigjson"]) {
            Self::Json
        } else if ends(&[".env"]) {
            Self::Dotenv
        } else {
            Self::Whole
        }
    }

    /// By the mark of an encrypted content; none when it is not encrypted.
    pub(crate) fn of_content(content: &[u8]) -> Option<Self> {
        [Self::Whole, Self::Dotenv, Self::Yaml]
            .into_iter()
            .find(|format| format.is_encrypted(content))
    }

    /// Whether a content has SOPS' mark for this format.
    pub(crate) fn is_encrypted(self, content: &[u8]) -> bool {
        let mark: &[u8] = match self {
            Self::Dotenv => b"sops_mac=ENC[",
            Self::Yaml => b"mac: ENC[",
            Self::Json | Self::Whole => b"\"mac\": \"ENC[",
        };
        content.windows(mark.len()).any(|window| window == mark)
    }
}

/// The content of an encrypted file.
///
/// # Errors
///
/// Without a key for it, or when it was changed or cannot be read.
pub(crate) fn decrypt_file(
    content: &[u8],
    format: Format,
    identities: &[Identity],
) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(content).map_err(|_| "an encrypted file is not UTF-8")?;
    match format {
        Format::Dotenv => dotenv(text, identities),
        Format::Whole => {
            let mut envelope: Value = serde_json::from_str(text)
                .map_err(|error| format!("failed to load encrypted binary data: {error}"))?;
            super::decrypt(&mut envelope, identities)?;
            match envelope["data"].as_str() {
                Some(data) => Ok(data.as_bytes().to_vec()),
                None => Err(
                    "failed to emit encrypted binary file: no binary data found in tree".to_owned(),
                ),
            }
        }
        Format::Json => {
            let mut value: Value = serde_json::from_str(text)
                .map_err(|error| format!("failed to load encrypted JSON data: {error}"))?;
            super::decrypt(&mut value, identities)?;
            serde_json::to_vec_pretty(&value).map_err(|error| error.to_string())
        }
        Format::Yaml => yaml(text, identities),
    }
}

fn dotenv(text: &str, identities: &[Identity]) -> Result<Vec<u8>, String> {
    let mut flat = Map::new();
    let mut lines = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.split_once('=') {
            Some((key, value)) if key.starts_with("sops_") => {
                flat.insert(
                    key["sops_".len()..].to_owned(),
                    value.replace("\\n", "\n").into(),
                );
            }
            Some((key, value)) if !line.starts_with('#') => lines.push((key, value)),
            _ => {}
        }
    }
    let opener = Opener::new(&unflatten(&flat), identities)?;
    let mut out = String::new();
    for (key, value) in lines {
        let path = [key.to_owned()];
        let plain = if opener.rules.encrypts(&path) && !value.is_empty() {
            opener.open(value, &format!("{key}:"))?.0
        } else {
            value.to_owned()
        };
        out.push_str(&format!("{key}={}\n", plain.replace('\n', "\\n")));
    }
    Ok(out.into_bytes())
}

/// Metadata whose lists are written as `age__list_0__map_enc`.
fn unflatten(flat: &Map<String, Value>) -> Value {
    let mut out = Map::new();
    let mut recipients: Vec<Map<String, Value>> = Vec::new();
    for (key, value) in flat {
        let listed = key
            .strip_prefix("age__list_")
            .and_then(|rest| rest.split_once("__map_"));
        match listed.and_then(|(at, name)| Some((at.parse::<usize>().ok()?, name))) {
            Some((at, name)) if at < flat.len() => {
                if recipients.len() <= at {
                    recipients.resize_with(at + 1, Map::new);
                }
                recipients[at].insert(name.to_owned(), value.clone());
            }
            _ => {
                out.insert(key.clone(), value.clone());
            }
        }
    }
    out.insert(
        "age".into(),
        recipients.into_iter().map(Value::Object).collect(),
    );
    Value::Object(out)
}

/// A YAML file keeps its lines; encrypted scalars become texts in quotes or plain numbers, and the block `sops` goes.
fn yaml(text: &str, identities: &[Identity]) -> Result<Vec<u8>, String> {
    let mut value: Value = serde_saphyr::from_str(text)
        .map_err(|error| format!("failed to load encrypted YAML data: {error}"))?;
    let mut sealed = Vec::new();
    collect(&value, &mut sealed);
    super::decrypt(&mut value, identities)?;
    let mut opened = Vec::new();
    scalars(&value, &mut opened);
    if sealed.len() != opened.len() {
        return Err(
            "failed to emit encrypted YAML file: it has a comment within a list".to_owned(),
        );
    }
    // Both walks see the same values in the same order; only those that were sealed are replaced.
    let mut out = String::new();
    let mut rest = text;
    for (before, after) in sealed.iter().zip(&opened) {
        if parts(before).is_none() {
            continue;
        }
        let (ahead, behind) = rest
            .split_once(before.as_str())
            .ok_or("failed to emit encrypted YAML file: a value is written over several lines")?;
        out.push_str(ahead);
        out.push_str(&scalar(after));
        rest = behind;
    }
    out.push_str(rest);
    let mut kept = String::new();
    let mut within = false;
    for line in out.lines() {
        within = line.starts_with("sops:") || within && line.starts_with([' ', '-', '#']);
        if !within {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    Ok(kept.into_bytes())
}

/// A scalar as YAML writes it: a text without quotes where nothing else could be read in it.
fn scalar(value: &Value) -> String {
    let Some(text) = value.as_str() else {
        return value.to_string();
    };
    let letter = |c: char| c.is_ascii_alphanumeric() || "_-./ ".contains(c);
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.ends_with(' ')
        && text.chars().all(letter)
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | "null"
        );
    if plain {
        text.to_owned()
    } else {
        value.to_string()
    }
}

/// The texts of all scalars of a document but those of its `sops`, in their order.
fn collect(value: &Value, out: &mut Vec<String>) {
    let mut value = value.clone();
    if let Some(map) = value.as_object_mut() {
        map.remove("sops");
    }
    let mut found = Vec::new();
    scalars(&value, &mut found);
    out.extend(
        found
            .iter()
            .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned)),
    );
}

fn scalars(value: &Value, out: &mut Vec<Value>) {
    match value {
        Value::Object(map) => map.values().for_each(|value| scalars(value, out)),
        Value::Array(list) => list.iter().for_each(|value| scalars(value, out)),
        leaf => out.push(leaf.clone()),
    }
}
