//! Manifests: YAML with several documents, or JSON, to objects with the place each came from.
//!
//! Lists are taken apart, empty documents left out. What cannot be an object is refused before anything is sent: no `kind`, no
//! name, the same object twice. Whether its fields are right is the server's to say.
//!
//! Scalars are read by YAML 1.2, with one exception: `0644` is octal, as in YAML 1.1 and as kubectl and kustomize read file modes.

mod yaml;

use std::collections::HashMap;

use serde_json::Value;

use crate::error::Error;
use crate::object::{Object, Place, text};

/// The most documents and list items of one manifest.
const OBJECTS_MAX: usize = 20_000;

/// Reads a manifest.
///
/// # Errors
///
/// [`Error::Manifest`] with document and line: no YAML, no object, no kind, no name, the same object twice.
pub fn parse(manifest: &str) -> Result<Vec<Object>, Error> {
    let mut objects = Vec::new();
    for (place, value) in yaml::documents(manifest)? {
        expand(value, place, &mut objects)?;
    }
    check(&objects)?;
    Ok(objects)
}

/// Checks objects that come from elsewhere in the same way, and takes lists apart.
///
/// # Errors
///
/// As [`parse`].
pub fn objects(values: impl IntoIterator<Item = (Place, Value)>) -> Result<Vec<Object>, Error> {
    let mut objects = Vec::new();
    for (place, value) in values {
        expand(value, place, &mut objects)?;
    }
    check(&objects)?;
    Ok(objects)
}

fn refuse<T>(place: Place, message: impl Into<String>) -> Result<T, Error> {
    Err(Error::Manifest {
        document: place.document,
        line: place.line,
        message: message.into(),
    })
}

/// `kind: List` and `kind: DeploymentList` are their items.
fn expand(value: Value, place: Place, objects: &mut Vec<Object>) -> Result<(), Error> {
    let Value::Object(mut map) = value else {
        return refuse(
            place,
            "an object is a map with `apiVersion`, `kind` and `metadata`",
        );
    };
    let kind = map
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let is_list = kind.ends_with("List") && map.get("items").is_some_and(Value::is_array);
    if !is_list {
        if objects.len() >= OBJECTS_MAX {
            return refuse(place, format!("more than {OBJECTS_MAX} objects"));
        }
        objects.push(Object {
            value: Value::Object(map),
            place,
        });
        return Ok(());
    }
    let api_version = map.get("apiVersion").cloned();
    let items = map.remove("items").unwrap_or_default();
    for mut item in items.as_array().cloned().unwrap_or_default() {
        // Items of a typed list need not say what they are.
        if let (Some(item), false) = (item.as_object_mut(), kind == "List") {
            item.entry("kind")
                .or_insert_with(|| Value::from(kind.trim_end_matches("List")));
            if let Some(version) = &api_version {
                item.entry("apiVersion").or_insert_with(|| version.clone());
            }
        }
        expand(item, place, objects)?;
    }
    Ok(())
}

fn check(objects: &[Object]) -> Result<(), Error> {
    let mut seen: HashMap<_, Place> = HashMap::new();
    for object in objects {
        let place = object.place;
        for (pointer, name) in [("/apiVersion", "apiVersion"), ("/kind", "kind")] {
            match object.value.pointer(pointer) {
                Some(Value::String(text)) if !text.is_empty() => {}
                Some(Value::String(_)) | None => {
                    return refuse(place, format!("`{name}` is missing"));
                }
                Some(other) => return refuse(place, format!("`{name}` is a text, not `{other}`")),
            }
        }
        let kind = object.kind();
        match object.value.pointer("/metadata/name") {
            Some(Value::String(name)) if !name.is_empty() => {}
            Some(Value::String(_)) | None
                if !text(&object.value, "/metadata/generateName").is_empty() =>
            {
                return refuse(
                    place,
                    format!(
                        "a {kind} with `generateName` would be another each time: give it a `name`"
                    ),
                );
            }
            Some(Value::String(_)) | None => {
                return refuse(place, format!("a {kind} without `metadata.name`"));
            }
            Some(other) => {
                return refuse(
                    place,
                    format!("`metadata.name` is a text, not `{other}`: quote it"),
                );
            }
        }
        if let Some(namespace) = object
            .value
            .pointer("/metadata/namespace")
            .filter(|one| !one.is_string())
        {
            return refuse(
                place,
                format!("`metadata.namespace` is a text, not `{namespace}`: quote it"),
            );
        }
        if let Some(first) = seen.insert(object.key(), place) {
            let key = object.key();
            return refuse(
                place,
                format!(
                    "{key} stands here again: document {}, line {} has it",
                    first.document, first.line
                ),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
