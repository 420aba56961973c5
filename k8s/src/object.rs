//! Objects as values, and how they are named.

use std::fmt;

use serde_json::{Map, Value};

/// Names one object: group, kind, namespace, name. The version is no part of it: an object is the same in all of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// `apps`; empty for the core group.
    pub group: String,
    /// `Deployment`.
    pub kind: String,
    /// None for what belongs to the whole cluster.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl Key {
    /// Names an object.
    pub fn new(group: &str, kind: &str, namespace: Option<&str>, name: &str) -> Self {
        Self {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.filter(|name| !name.is_empty()).map(str::to_owned),
            name: name.to_owned(),
        }
    }

    /// The key of a live object or of one that has its namespace.
    pub fn of(object: &Value) -> Self {
        let (group, _) = group_version(text(object, "/apiVersion"));
        Self::new(
            group,
            text(object, "/kind"),
            object
                .pointer("/metadata/namespace")
                .and_then(Value::as_str),
            text(object, "/metadata/name"),
        )
    }
}

/// `Deployment shop/web`, `Namespace shop`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// Where a document stands in the text it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The document, from 1.
    pub document: usize,
    /// The line where it begins, from 1.
    pub line: usize,
}

/// An object as it is wished: JSON, with the place it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The object: `apiVersion`, `kind`, `metadata.name` and whatever else.
    pub value: Value,
    /// Where it stands in its manifest.
    pub place: Place,
}

impl Object {
    /// An object that comes from no text.
    pub fn new(value: Value) -> Self {
        Self {
            value,
            place: Place::default(),
        }
    }

    /// `apps/v1`.
    pub fn api_version(&self) -> &str {
        text(&self.value, "/apiVersion")
    }

    /// `Deployment`.
    pub fn kind(&self) -> &str {
        text(&self.value, "/kind")
    }

    /// Its name; empty where it has none.
    pub fn name(&self) -> &str {
        text(&self.value, "/metadata/name")
    }

    /// Its namespace, where it names one.
    pub fn namespace(&self) -> Option<&str> {
        let namespace = self
            .value
            .pointer("/metadata/namespace")
            .and_then(Value::as_str);
        namespace.filter(|name| !name.is_empty())
    }

    /// Its key, as far as it is named.
    pub fn key(&self) -> Key {
        Key::of(&self.value)
    }
}

/// The text at a JSON pointer; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Group and version of an `apiVersion`; the core group is empty.
pub(crate) fn group_version(api_version: &str) -> (&str, &str) {
    api_version.rsplit_once('/').unwrap_or(("", api_version))
}

/// The resource version of an object or a list.
pub(crate) fn resource_version(value: &Value) -> &str {
    text(value, "/metadata/resourceVersion")
}

/// Whether the first resource version is older than the second. They are numbers that grow (comparable by contract since
/// Kubernetes 1.35, and in fact before); what is no number is older than nothing.
pub(crate) fn is_older(version: &str, than: &str) -> bool {
    match (version.parse::<u64>(), than.parse::<u64>()) {
        (Ok(version), Ok(than)) => version < than,
        _ => false,
    }
}

/// Sets `metadata.NAME`.
pub(crate) fn set_metadata(object: &mut Value, name: &str, value: Value) {
    let Some(object) = object.as_object_mut() else {
        return;
    };
    let metadata = object
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert(name.to_owned(), value);
    }
}

/// Takes out what the server keeps for itself and nobody may send back.
pub(crate) fn strip(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for name in [
            "managedFields",
            "resourceVersion",
            "uid",
            "creationTimestamp",
            "generation",
            "selfLink",
        ] {
            metadata.remove(name);
        }
    }
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_names_group_kind_namespace_and_name() {
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}});
        let key = Key::of(&object);
        assert_eq!(key, Key::new("apps", "Deployment", Some("shop"), "web"));
        assert_eq!(key.to_string(), "Deployment shop/web");
        let key = Key::of(
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "namespace": ""}}),
        );
        assert_eq!(key, Key::new("", "Namespace", None, "shop"));
        assert_eq!(key.to_string(), "Namespace shop");
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_older("9", "10"));
        assert!(!is_older("10", "9"));
        assert!(!is_older("10", "10"));
        assert!(!is_older("a", "10"));
    }

    #[test]
    fn what_the_server_keeps_is_not_sent_back() {
        let mut object = json!({"kind": "ConfigMap", "metadata": {"name": "a", "uid": "u", "managedFields": [], "resourceVersion": "1",
            "generation": 1, "creationTimestamp": null}, "status": {}, "data": {"a": "b"}});
        strip(&mut object);
        assert_eq!(
            object,
            json!({"kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "b"}})
        );
    }
}
