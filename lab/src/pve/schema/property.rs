//! Property strings: `[value,]key=value,…`, read by the keys of their format.
//!
//! It reads and prints; it does not know what a key is for. The texts of its errors are the API's.

use super::validate::{Errors, check_object};
use super::{Keys, Kind};
use crate::pve::params::{Params, plain};

/// Why a property string is refused.
#[derive(Debug, Clone)]
pub(crate) struct PropertyError {
    /// The sentence, with its newline.
    pub(crate) message: String,
    /// What is wrong with which key.
    pub(crate) errors: Errors,
}

impl PropertyError {
    fn plain(message: String) -> Self {
        Self {
            message,
            errors: Errors::new(),
        }
    }

    /// The sentence with every key's error under it, as an error inside another one shows it.
    pub(crate) fn full(&self) -> String {
        let mut text = self.message.clone();
        for (key, why) in &self.errors {
            text.push_str(&format!("{key}: {}\n", why.as_str().unwrap_or_default()));
        }
        text
    }
}

/// Reads a property string. `path` goes in front of the keys in errors.
pub(crate) fn parse_property_string(
    keys: &'static Keys,
    text: &str,
    path: &str,
) -> Result<Params, PropertyError> {
    let mut found = Params::new();
    let mut default_used = false;
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        match part.split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => {
                if found.get(key).is_some() {
                    return Err(PropertyError::plain(format!(
                        "duplicate key in comma-separated list property: {key}\n"
                    )));
                }
                let mut name = key;
                if let Some(alias) = keys.get(key).and_then(|property| property.alias.as_deref()) {
                    if let Some(other) = keys
                        .get(key)
                        .and_then(|property| property.key_alias.as_deref())
                    {
                        if found.get(other).is_some() {
                            return Err(PropertyError::plain(format!(
                                "key alias '{other}' is already defined\n"
                            )));
                        }
                        found.set(other, key);
                    }
                    name = alias;
                }
                let boolean = keys
                    .get(name)
                    .is_some_and(|property| property.kind == Kind::Boolean);
                let value = if boolean {
                    loose_boolean(value).unwrap_or(value)
                } else {
                    value
                };
                found.set(name, value);
            }
            Some(_) => {
                return Err(PropertyError::plain(
                    "missing key in comma-separated list property\n".into(),
                ));
            }
            None => {
                let Some((key, _)) = keys.iter().find(|(_, property)| property.default_key) else {
                    return Err(PropertyError::plain(
                        "value without key, but schema does not define a default key\n".into(),
                    ));
                };
                if default_used || found.get(key).is_some() {
                    return Err(PropertyError::plain(format!(
                        "duplicate key in comma-separated list property: {key}\n"
                    )));
                }
                default_used = true;
                let boolean = keys
                    .get(key)
                    .is_some_and(|property| property.kind == Kind::Boolean);
                found.set(
                    key,
                    if boolean {
                        loose_boolean(part).unwrap_or(part)
                    } else {
                        part
                    },
                );
            }
        }
    }
    let mut errors = Errors::new();
    check_object(
        path,
        &|name| keys.get(name),
        &mut keys.iter().map(|(k, p)| (k.as_str(), p)),
        &found,
        false,
        &mut errors,
    );
    if errors.is_empty() {
        Ok(found)
    } else {
        Err(PropertyError {
            message: "format error\n".into(),
            errors,
        })
    }
}

/// Prints a property string: the default key bare and first, then required keys, then the rest by name.
pub(crate) fn print_property_string(keys: &Keys, values: &Params) -> String {
    let mut parts: Vec<(u8, String, String)> = Vec::new();
    for (key, value) in values.iter() {
        let Some(text) = plain(value) else { continue };
        // A key alias (`virtio` of `virtio=MAC`) prints as key of its value.
        if let Some((_, aliased)) = keys
            .iter()
            .find(|(_, p)| p.key_alias.as_deref() == Some(key) && p.alias.is_some())
        {
            let target = aliased.alias.as_deref().unwrap_or_default();
            let shown = match values.get(target).and_then(plain) {
                Some(target) => format!("{text}={target}"),
                None => text,
            };
            parts.push((0, key.to_owned(), shown));
            continue;
        }
        let hidden = keys.iter().any(|(_, p)| {
            p.alias.as_deref() == Some(key)
                && p.key_alias
                    .as_deref()
                    .is_some_and(|other| values.get(other).is_some())
        });
        if hidden {
            continue;
        }
        let property = keys.get(key);
        match property {
            Some(property) if property.default_key => parts.push((0, key.to_owned(), text)),
            Some(property) if !property.optional => {
                parts.push((1, key.to_owned(), format!("{key}={text}")))
            }
            _ => parts.push((2, key.to_owned(), format!("{key}={text}"))),
        }
    }
    parts.sort();
    parts
        .into_iter()
        .map(|(_, _, text)| text)
        .collect::<Vec<_>>()
        .join(",")
}

/// What booleans inside property strings may be written as.
fn loose_boolean(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some("1"),
        "0" | "off" | "no" | "false" => Some("0"),
        _ => None,
    }
}
