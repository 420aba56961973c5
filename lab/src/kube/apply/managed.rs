//! `metadata.managedFields`: reading it, writing it, and the object that a creation is compared with.

use serde_json::{Map, Value, json};

use super::set::Set;
use crate::kube::object;
use crate::kube::resource::Resource;
use crate::kube::schema::Schema;

/// Who writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ManagedBy<'a> {
    pub(crate) manager: &'a str,
    pub(crate) subresource: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// One manager's fields.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    operation: Operation,
    manager: String,
    subresource: String,
    pub(super) api_version: String,
    time: String,
    pub(super) set: Set,
}

impl Entry {
    pub(super) fn new(
        operation: Operation,
        by: &ManagedBy<'_>,
        api_version: String,
        set: Set,
    ) -> Self {
        Self {
            operation,
            manager: by.manager.to_owned(),
            subresource: by.subresource.to_owned(),
            api_version,
            time: object::now(),
            set,
        }
    }

    /// Whether this is the entry of that writer. Who applies is the same in every version.
    pub(super) fn is(&self, operation: Operation, by: &ManagedBy<'_>, api_version: &str) -> bool {
        self.operation == operation
            && self.manager == by.manager
            && self.subresource == by.subresource
            && (operation == Operation::Apply || self.api_version == api_version)
    }

    /// Whether it is one of the object itself, not of a subresource, whose manager `chosen` names.
    pub(super) fn is_whole(&self, chosen: impl Fn(&str, bool) -> bool) -> bool {
        self.subresource.is_empty() && chosen(&self.manager, self.operation == Operation::Apply)
    }

    /// As a conflict names it.
    pub(super) fn shown(&self) -> String {
        let mut out = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            out.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == Operation::Update {
            out.push_str(&format!(" using {}", self.api_version));
        }
        out
    }
}

pub(super) fn read(value: &Value) -> Vec<Entry> {
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    object::items(value, &["metadata", "managedFields"])
        .iter()
        .filter(|entry| entry["fieldsV1"].is_object())
        .map(|entry| Entry {
            operation: if entry["operation"] == "Apply" {
                Operation::Apply
            } else {
                Operation::Update
            },
            manager: text(entry, "manager"),
            subresource: text(entry, "subresource"),
            api_version: text(entry, "apiVersion"),
            time: text(entry, "time"),
            set: Set::read(&entry["fieldsV1"]),
        })
        .collect()
}

pub(super) fn write(value: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.set.is_empty());
    entries.sort_by(|a, b| {
        (
            a.operation,
            &a.time,
            &a.manager,
            &a.api_version,
            &a.subresource,
        )
            .cmp(&(
                b.operation,
                &b.time,
                &b.manager,
                &b.api_version,
                &b.subresource,
            ))
    });
    if entries.is_empty() {
        object::remove(value, &["metadata", "managedFields"]);
        return;
    }
    let list: Vec<Value> = entries
        .iter()
        .map(|entry| {
            let mut out = json!({
                "manager": entry.manager,
                "operation": if entry.operation == Operation::Apply { "Apply" } else { "Update" },
                "apiVersion": entry.api_version,
                "time": entry.time,
                "fieldsType": "FieldsV1",
                "fieldsV1": entry.set.write(),
            });
            if !entry.subresource.is_empty() {
                out["subresource"] = entry.subresource.as_str().into();
            }
            out
        })
        .collect();
    object::meta_mut(value).insert("managedFields".into(), list.into());
}

/// What a creation is compared with: Go writes the structures of an empty object although nothing is in them, so nobody
/// added them.
pub(super) fn empty_of(resource: &Resource) -> Value {
    let mut value = if resource.is_custom() {
        Value::Object(Map::new())
    } else {
        zero(resource.schema())
    };
    value["apiVersion"] = resource.api_version().into();
    value["kind"] = resource.kind.as_str().into();
    value
}

pub(crate) fn zero(schema: &Schema) -> Value {
    let own = schema.resolve();
    let mut out = Map::new();
    for (name, field) in &own.properties {
        let inner = field.resolve();
        let is_struct = field.default.as_ref().is_some_and(Value::is_object)
            && inner.kind.as_deref() == Some("object");
        if is_struct && !inner.properties.is_empty() {
            out.insert(name.clone(), zero(field));
        } else if own.required.contains(name) && inner.kind.as_deref() == Some("array") {
            out.insert(name.clone(), Value::Null);
        }
    }
    Value::Object(out)
}
