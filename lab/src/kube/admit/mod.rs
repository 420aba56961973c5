//! The way of an object into the store: decoding, defaults, checks, admission, ownership. The same way for every writer,
//! the controllers included.

mod create;
mod defaults;
mod delete;
mod immutable;
mod names;
mod pod_defaults;
mod quota;
mod update;
mod validate;
mod validate_data;
mod validate_pods;
mod workload_defaults;

use serde_json::Value;

use super::apply::ManagedBy;
use super::object;
use super::resource::{Registry, Resource};
use super::schema;
use super::status::{Cause, Refusal, Result};

pub(crate) use super::schema::parse_quantity;
pub(crate) use delete::Deletion;
pub(crate) use quota::used;

/// Letters of a body without a kind that are shown again.
const MISSING_SHOWN: usize = 30;

/// What is done with unknown fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validation {
    Ignore,
    Warn,
    Strict,
}

/// Who writes, and how.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) manager: String,
    pub(crate) subresource: String,
    pub(crate) dry_run: bool,
    pub(crate) validation: Validation,
    pub(crate) warnings: Vec<String>,
    /// The `uid` that what is created gets, where it was there before anyone asked.
    pub(crate) uid: Option<String>,
}

impl Write {
    pub(crate) fn by(manager: &str) -> Self {
        Self {
            manager: manager.to_owned(),
            subresource: String::new(),
            dry_run: false,
            validation: Validation::Ignore,
            warnings: Vec::new(),
            uid: None,
        }
    }

    pub(crate) fn subresource(mut self, name: &str) -> Self {
        name.clone_into(&mut self.subresource);
        self
    }

    fn managed(&self) -> ManagedBy<'_> {
        ManagedBy {
            manager: &self.manager,
            subresource: &self.subresource,
        }
    }
}

/// Drops what the schema does not know, as the validation says; refuses what cannot be decoded.
fn decode(resource: &Resource, value: &mut Value, write: &mut Write) -> Result<()> {
    if !resource.is_custom()
        && let Some(bad) = schema::undecodable(resource.schema(), value, "", &resource.kind)
    {
        return Err(Refusal::bad_request(format!(
            "{0} in version \"{1}\" cannot be handled as a {0}: json: cannot unmarshal {2} into Go struct field {3}.{4} of type {5}",
            resource.kind, resource.version, bad.found, bad.holder, bad.place, bad.wanted
        )));
    }
    if !resource.is_custom()
        && let Err(place) = schema::normalize_bytes(resource.schema(), value)
    {
        return Err(Refusal::bad_request(format!(
            "{0} in version \"{1}\" cannot be handled as a {0}: illegal base64 data at input byte {place}",
            resource.kind, resource.version
        )));
    }
    let unknown = schema::prune(resource.schema(), value, resource.is_custom());
    if unknown.is_empty() || write.validation == Validation::Ignore {
        return Ok(());
    }
    let texts: Vec<String> = unknown
        .iter()
        .map(|place| format!("unknown field \"{place}\""))
        .collect();
    if write.validation == Validation::Warn {
        write.warnings.extend(texts);
        return Ok(());
    }
    let text = format!("strict decoding error: {}", texts.join(", "));
    Err(Refusal::bad_request(format!(
        "{} in version \"{}\" cannot be handled as a {}: {text}",
        resource.kind, resource.version, resource.kind
    )))
}

/// The body is of the resource that the path names.
pub(crate) fn check_kind(registry: &Registry, resource: &Resource, value: &Value) -> Result<()> {
    let unrecognized = |text: String| {
        let kind = &resource.kind;
        Refusal::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): {text}"
        ))
    };
    if !value.is_object() {
        return Err(unrecognized(
            "couldn't get version/kind; json parse error".into(),
        ));
    }
    let text = |key: &str| value[key].as_str().unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if (api_version, kind) == (resource.api_version().as_str(), resource.kind.as_str()) {
        return Ok(());
    }
    // Built-in kinds may leave out what the path says.
    if !resource.is_custom() && api_version.is_empty() && kind.is_empty() {
        return Ok(());
    }
    if kind.is_empty() {
        let whole = value.to_string();
        let start: String = whole.chars().take(MISSING_SHOWN).collect();
        return Err(unrecognized(format!(
            "Object 'Kind' is missing in '{whole}' ({start} ...)"
        )));
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let internal = |group: &str| match group.split('.').next() {
        Some("") | None => "core".to_owned(),
        Some(first) => first.to_owned(),
    };
    let detail = if registry.of_kind(api_version, kind).is_some() {
        format!(
            "converting ({version}.{kind}) to ({}.{}): unknown conversion",
            internal(&resource.group),
            resource.kind
        )
    } else {
        let named = if group.is_empty() {
            version
        } else {
            api_version
        };
        format!(
            "no kind \"{kind}\" is registered for version \"{named}\" in scheme \"pkg/api/legacyscheme/scheme.go:30\""
        )
    };
    Err(Refusal::bad_request(format!(
        "{kind} in version \"{version}\" cannot be handled as a {}: {detail}",
        resource.kind
    )))
}

fn refuse(resource: &Resource, name: &str, causes: &[Cause]) -> Result<()> {
    if causes.is_empty() {
        Ok(())
    } else {
        Err(Refusal::invalid(&resource.qualified_kind(), name, causes))
    }
}

/// Everything but what every write changes.
fn is_same(one: &Value, other: &Value) -> bool {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else {
        return one == other;
    };
    let count = |map: &serde_json::Map<String, Value>| {
        map.iter().filter(|(name, _)| *name != "metadata").count()
    };
    if count(one) != count(other) {
        return false;
    }
    one.iter().all(|(name, value)| {
        if name != "metadata" {
            return other.get(name) == Some(value);
        }
        let strip = |value: &Value| {
            let mut value = value.clone();
            if let Some(map) = value.as_object_mut() {
                map.shift_remove("resourceVersion");
            }
            for entry in value["managedFields"].as_array_mut().into_iter().flatten() {
                object::remove(entry, &["time"]);
            }
            value
        };
        other
            .get(name)
            .is_some_and(|theirs| strip(theirs) == strip(value))
    })
}
