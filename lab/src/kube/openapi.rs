//! The OpenAPI documents: small, but true. Types come from the table or from definitions; paths are those that are served.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::resource::{Registry, Resource, Source};
use super::schema;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// The list of documents, with a hash that changes when they do.
pub(crate) fn index(registry: &Registry) -> Value {
    let mut paths = Map::new();
    let all: BTreeSet<(String, String)> = registry
        .all()
        .map(|one| (one.group.clone(), one.version.clone()))
        .collect();
    for (group, version) in all {
        let path = match group.as_str() {
            "" => format!("api/{version}"),
            group => format!("apis/{group}/{version}"),
        };
        let text = document(registry, &group, &version)
            .map(|value| value.to_string())
            .unwrap_or_default();
        let mut hash = String::new();
        for byte in Sha256::digest(text) {
            let _ = write!(hash, "{byte:02X}");
        }
        paths.insert(
            path.clone(),
            json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}),
        );
    }
    json!({"paths": paths})
}

/// The document of one group and version.
pub(crate) fn document(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let own: Vec<_> = registry
        .all()
        .filter(|one| one.group == group && one.version == version)
        .collect();
    if own.is_empty() {
        return None;
    }
    let (mut schemas, mut paths) = (Map::new(), Map::new());
    for one in &own {
        let name = type_name(one);
        match &one.schema {
            Source::Builtin(_) => add(&name, &mut schemas),
            Source::Own(_) => {
                let mut document = one
                    .custom
                    .as_ref()
                    .map(|custom| custom.document.clone())
                    .unwrap_or(json!({}));
                document["x-kubernetes-group-version-kind"] = json!([gvk(one)]);
                let meta = format!("{META}.ObjectMeta");
                add(&meta, &mut schemas);
                if let Some(properties) = document
                    .get_mut("properties")
                    .and_then(Value::as_object_mut)
                {
                    properties.insert(
                        "metadata".into(),
                        json!({"allOf": [{"$ref": format!("#/components/schemas/{meta}")}]}),
                    );
                }
                schemas.insert(name.clone(), document);
            }
        }
        self::paths(one, &name, &mut paths);
    }
    add(&format!("{META}.Status"), &mut schemas);
    add(&format!("{META}.DeleteOptions"), &mut schemas);
    Some(json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": schema::table().version},
        "paths": paths, "components": {"schemas": schemas},
    }))
}

fn gvk(one: &Resource) -> Value {
    json!({"group": one.group, "version": one.version, "kind": one.kind})
}

fn type_name(one: &Resource) -> String {
    match &one.schema {
        Source::Builtin(name) => (*name).to_owned(),
        Source::Own(_) => {
            let parts: Vec<&str> = one.group.rsplit('.').collect();
            format!("{}.{}.{}", parts.join("."), one.version, one.kind)
        }
    }
}

/// A type of the table with all it refers to, in OpenAPI's own words.
fn add(name: &str, schemas: &mut Map<String, Value>) {
    if schemas.contains_key(name) {
        return;
    }
    let Some(raw) = raw_types().get(name) else {
        return;
    };
    let mut found = Vec::new();
    let value = translate(raw, &mut found);
    schemas.insert(name.to_owned(), value);
    for name in found {
        add(&name, schemas);
    }
}

fn raw_types() -> &'static Map<String, Value> {
    static RAW: std::sync::OnceLock<Map<String, Value>> = std::sync::OnceLock::new();
    RAW.get_or_init(|| {
        let table: Value = serde_json::from_str(schema::table_text()).unwrap_or_default();
        table["types"].as_object().cloned().unwrap_or_default()
    })
}

fn translate(value: &Value, found: &mut Vec<String>) -> Value {
    let Value::Object(map) = value else {
        return value.clone();
    };
    let mut out = Map::new();
    for (key, value) in map {
        match key.as_str() {
            "ref" => {
                let name = value.as_str().unwrap_or_default();
                found.push(name.to_owned());
                out.insert(
                    "allOf".into(),
                    json!([{"$ref": format!("#/components/schemas/{name}")}]),
                );
            }
            // The wire format is no part of the documents.
            "pb" => {}
            "gvk" => {
                out.insert(
                    "x-kubernetes-group-version-kind".into(),
                    json!([{"group": value[0], "version": value[1], "kind": value[2]}]),
                );
            }
            "properties" => {
                let fields = value.as_object().into_iter().flatten();
                let fields: Map<String, Value> = fields
                    .map(|(name, one)| (name.clone(), translate(one, found)))
                    .collect();
                out.insert(key.clone(), fields.into());
            }
            "items" | "additionalProperties" => {
                out.insert(key.clone(), translate(value, found));
            }
            _ => {
                out.insert(key.clone(), value.clone());
            }
        }
    }
    out.into()
}

fn paths(one: &Resource, type_name: &str, paths: &mut Map<String, Value>) {
    let base = match one.group.as_str() {
        "" => format!("/api/{}", one.version),
        group => format!("/apis/{group}/{}", one.version),
    };
    let scope = if one.namespaced {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    let collection = format!("{base}{scope}/{}", one.plural);
    let reference = json!({"$ref": format!("#/components/schemas/{type_name}")});
    let parameter = |name: &str, kind: &str| json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}});
    let operation = |verb: &str| {
        let action = match verb {
            "create" => "post",
            "update" => "put",
            "deletecollection" => "deletecollection",
            other => other,
        };
        let mut parameters = Vec::new();
        if matches!(verb, "create" | "update" | "patch") {
            parameters.extend([
                parameter("dryRun", "string"),
                parameter("fieldManager", "string"),
                parameter("fieldValidation", "string"),
            ]);
        }
        if verb == "patch" {
            parameters.push(parameter("force", "boolean"));
        }
        json!({
            "parameters": parameters, "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk(one),
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}},
        })
    };
    let has = |verb: &str| one.verbs.iter().any(|own| own == verb);
    let collect = |pairs: &[(&str, &str)]| -> Map<String, Value> {
        pairs
            .iter()
            .filter(|(_, verb)| has(verb))
            .map(|(method, verb)| ((*method).to_owned(), operation(verb)))
            .collect()
    };
    paths.insert(
        collection.clone(),
        collect(&[
            ("get", "list"),
            ("post", "create"),
            ("delete", "deletecollection"),
        ])
        .into(),
    );
    let item = collect(&[
        ("get", "get"),
        ("put", "update"),
        ("patch", "patch"),
        ("delete", "delete"),
    ]);
    if !item.is_empty() {
        paths.insert(format!("{collection}/{{name}}"), item.into());
    }
}

/// The second version's document: definitions only, without paths.
pub(crate) fn swagger(registry: &Registry) -> Value {
    let mut schemas = Map::new();
    for one in registry.all() {
        if let Source::Builtin(name) = &one.schema {
            add(name, &mut schemas);
        }
    }
    let text = Value::Object(schemas)
        .to_string()
        .replace("#/components/schemas/", "#/definitions/");
    let definitions: Value = serde_json::from_str(&text).unwrap_or_default();
    json!({"swagger": "2.0", "info": {"title": "Kubernetes", "version": schema::table().version}, "paths": {}, "definitions": definitions})
}

/// The same head without definitions, in the only form that Go's clients read: their checks are by the third version.
pub(crate) fn protobuf() -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let length = u8::try_from(bytes.len()).unwrap_or_default();
        let mut out = vec![number << 3 | 2, length];
        out.extend_from_slice(&bytes[..usize::from(length)]);
        out
    };
    let info = [
        field(1, b"Kubernetes"),
        field(2, schema::table().version.as_bytes()),
    ]
    .concat();
    [field(1, b"2.0"), field(2, &info), field(8, b"")].concat()
}
