//! What an object may hold: one form for the built-in kinds (derived from the official OpenAPI documents) and for custom
//! resources. Ownership, patches, checks and the served documents are all read from it; nothing here changes an object.

mod bytes;
mod check;
mod fill;
mod quantity;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value;

pub(crate) use bytes::normalize_bytes;
pub(crate) use check::{check_values, prune, undecodable};
pub(crate) use fill::{fill_defaults, prune_nulls};
pub(crate) use quantity::{normalize, parse_quantity};

/// Resources and schemas of Kubernetes 1.36; see `derive_kube.py`.
const TABLE: &str = include_str!("../../../schema/kube-1.36.json");

/// A schema, as `JSONSchemaProps` of a structural schema has it. `reference` is only in built-in ones.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Schema {
    #[serde(rename = "ref")]
    pub(crate) reference: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) format: Option<String>,
    pub(crate) default: Option<Value>,
    pub(crate) r#enum: Vec<Value>,
    pub(crate) required: Vec<String>,
    pub(crate) nullable: bool,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) exclusive_maximum: bool,
    pub(crate) min_length: Option<usize>,
    pub(crate) max_length: Option<usize>,
    pub(crate) min_items: Option<usize>,
    pub(crate) max_items: Option<usize>,
    pub(crate) min_properties: Option<usize>,
    pub(crate) max_properties: Option<usize>,
    pub(crate) pattern: Option<String>,
    pub(crate) properties: BTreeMap<String, Schema>,
    pub(crate) items: Option<Box<Schema>>,
    pub(crate) additional_properties: Option<Additional>,
    #[serde(rename = "x-kubernetes-list-type")]
    pub(crate) list_type: Option<String>,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    pub(crate) list_map_keys: Vec<String>,
    #[serde(rename = "x-kubernetes-map-type")]
    pub(crate) map_type: Option<String>,
    #[serde(rename = "x-kubernetes-patch-merge-key")]
    pub(crate) patch_merge_key: Option<String>,
    #[serde(rename = "x-kubernetes-patch-strategy")]
    pub(crate) patch_strategy: Option<String>,
    #[serde(rename = "x-kubernetes-int-or-string")]
    pub(crate) int_or_string: bool,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    pub(crate) preserve: bool,
    #[serde(rename = "x-kubernetes-embedded-resource")]
    pub(crate) embedded: bool,
    pub(crate) gvk: Option<[String; 3]>,
    /// Field numbers of the wire format.
    pub(crate) pb: BTreeMap<String, Number>,
}

/// What a field number stands for: a field, or a structure that JSON has inlined.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Number {
    Field(String),
    Inline(BTreeMap<String, Number>),
}

/// `additionalProperties`: a schema, or whether any are allowed.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Additional {
    Any(bool),
    Of(Box<Schema>),
}

/// A resource as the table has it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Served {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) namespaced: bool,
    pub(crate) verbs: Vec<String>,
    pub(crate) short: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) subresources: Vec<Sub>,
}

/// A subresource with what it answers with.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Sub {
    pub(crate) name: String,
    pub(crate) verbs: Vec<String>,
    pub(crate) kind: String,
    pub(crate) group: String,
    pub(crate) version: String,
}

/// The whole table.
#[derive(Debug, Deserialize)]
pub(crate) struct Table {
    pub(crate) version: String,
    pub(crate) resources: Vec<Served>,
    pub(crate) types: BTreeMap<String, Schema>,
}

/// The table of the built-in API.
pub(crate) fn table() -> &'static Table {
    static PARSED: OnceLock<Table> = OnceLock::new();
    PARSED.get_or_init(|| serde_json::from_str(TABLE).expect("the derived table has its form"))
}

/// The same as text, for what is made from it without being understood.
pub(crate) fn table_text() -> &'static str {
    TABLE
}

/// The name of the type of a built-in kind.
pub(crate) fn type_of(group: &str, version: &str, kind: &str) -> Option<&'static str> {
    table().types.iter().find_map(|(name, schema)| {
        let [own_group, own_version, own_kind] = schema.gvk.as_ref()?;
        (own_group == group && own_version == version && own_kind == kind).then_some(name.as_str())
    })
}

/// The schema of `metadata`, which custom resources do not describe.
pub(crate) fn object_meta() -> &'static Schema {
    &table().types["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]
}

/// How a value's parts are owned and merged.
pub(crate) enum Shape<'a> {
    Scalar,
    Fields {
        schema: &'a Schema,
        atomic: bool,
    },
    Map {
        items: Option<&'a Schema>,
        atomic: bool,
    },
    List {
        items: Option<&'a Schema>,
        kind: ListKind<'a>,
    },
}

pub(crate) enum ListKind<'a> {
    Atomic,
    Set,
    Map(&'a [String]),
}

impl Schema {
    /// The type this one refers to, or itself.
    pub(crate) fn resolve(&self) -> &Schema {
        match &self.reference {
            Some(name) => table().types.get(name).unwrap_or(self),
            None => self,
        }
    }

    /// Whether it is a number with a unit.
    pub(crate) fn is_quantity(&self) -> bool {
        self.reference.as_deref() == Some("io.k8s.apimachinery.pkg.api.resource.Quantity")
    }

    /// Whether anything may stand here.
    pub(crate) fn is_any(&self) -> bool {
        let own = self.resolve();
        own.properties.is_empty()
            && own.additional_properties.is_none()
            && own.items.is_none()
            && !own.int_or_string
            && (own.preserve || own.kind.is_none() || own.is_raw())
    }

    /// `RawExtension`, `JSON`, `FieldsV1`: built-in types without fields of their own.
    fn is_raw(&self) -> bool {
        self.kind.as_deref() == Some("object") && self.reference.is_none() && self.raw_builtin()
    }

    fn raw_builtin(&self) -> bool {
        const RAW: [&str; 2] = [
            "io.k8s.apimachinery.pkg.runtime.RawExtension",
            "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
        ];
        RAW.iter().any(|name| {
            table()
                .types
                .get(*name)
                .is_some_and(|raw| std::ptr::eq(raw, self))
        })
    }

    /// The schema of a field; none where any may stand, or where there is none.
    pub(crate) fn field(&self, name: &str) -> Option<&Schema> {
        let own = self.resolve();
        own.properties
            .get(name)
            .or(match &own.additional_properties {
                Some(Additional::Of(schema)) => Some(schema),
                _ => None,
            })
    }

    fn is_atomic_map(&self) -> bool {
        let atomic = |schema: &Schema| schema.map_type.as_deref() == Some("atomic");
        atomic(self) || atomic(self.resolve())
    }
}

/// The shape of a value under a schema; without one it is deduced: maps by key, lists as a whole.
pub(crate) fn shape<'a>(schema: Option<&'a Schema>, value: &Value) -> Shape<'a> {
    let deduced = match value {
        Value::Object(_) => Shape::Map {
            items: None,
            atomic: false,
        },
        Value::Array(_) => Shape::List {
            items: None,
            kind: ListKind::Atomic,
        },
        _ => Shape::Scalar,
    };
    let Some(outer) = schema.filter(|schema| !schema.is_any()) else {
        return deduced;
    };
    let own = outer.resolve();
    match value {
        Value::Object(_) if !own.properties.is_empty() => Shape::Fields {
            schema: own,
            atomic: outer.is_atomic_map(),
        },
        Value::Object(_) => Shape::Map {
            items: match &own.additional_properties {
                Some(Additional::Of(schema)) => Some(schema),
                _ => None,
            },
            atomic: outer.is_atomic_map(),
        },
        Value::Array(_) => Shape::List {
            items: own.items.as_deref(),
            kind: match outer.list_type.as_deref() {
                Some("set") => ListKind::Set,
                Some("map") => ListKind::Map(&outer.list_map_keys),
                _ => ListKind::Atomic,
            },
        },
        _ => Shape::Scalar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_served_kind_has_its_type() {
        for one in &table().resources {
            assert!(
                type_of(&one.group, &one.version, &one.kind).is_some(),
                "{} {}",
                one.group,
                one.kind
            );
        }
    }

    #[test]
    fn every_reference_is_in_the_table() {
        fn look(schema: &Schema) {
            if let Some(name) = &schema.reference {
                assert!(table().types.contains_key(name), "{name}");
            }
            schema.properties.values().for_each(look);
            schema.items.iter().for_each(|items| look(items));
            if let Some(Additional::Of(schema)) = &schema.additional_properties {
                look(schema);
            }
        }
        table().types.values().for_each(look);
    }
}
