//! The schemas of what an author writes: a step, front matter, the inventory.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::id::STEP_ID_CHARACTERS_MAX;
use crate::spec::{
    ACTIONS, Args, COMMON_RESULTS, FRONT_KEYS, FieldKind, FieldSpec, Group, INLINE_KEYS,
    INVENTORY_KEYS, MATCHERS, STEP_KEYS, Type,
};

/// A step: the YAML of a `runbook` fence, the `#|` options of a native one (there the language gives the action).
pub fn step() -> Value {
    let mut schema = root("runbook step", "A step of a guide.");
    let mut properties = properties(STEP_KEYS);
    let mut one_of = Vec::new();
    for action in ACTIONS {
        let mut value = match action.args {
            Args::Script => json!({"type": "string"}),
            Args::Fields(fields) => record(fields, action.groups),
        };
        describe(&mut value, action.what);
        properties.insert(action.name.into(), value);
        one_of.push(json!({"required": [action.name]}));
    }
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), properties.into());
    schema.insert("required".into(), required(STEP_KEYS));
    schema.insert("additionalProperties".into(), false.into());
    schema.insert("oneOf".into(), one_of.into());
    schema.insert("$defs".into(), definitions());
    schema.into()
}

/// A chapter's front matter.
pub fn front_matter() -> Value {
    of_table(
        "runbook front matter",
        "The front matter of a chapter.",
        FRONT_KEYS,
    )
}

/// `inventory.yaml`.
pub fn inventory() -> Value {
    of_table(
        "runbook inventory",
        "What guides name: profiles, nodes, guests, hosts, clusters, vars, secrets.",
        INVENTORY_KEYS,
    )
}

fn of_table(title: &str, what: &str, fields: &[FieldSpec]) -> Value {
    let mut schema = root(title, what);
    if let Value::Object(record) = record(fields, &[]) {
        schema.extend(record);
    }
    schema.insert("$defs".into(), definitions());
    schema.into()
}

fn root(title: &str, what: &str) -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert(
        "$schema".into(),
        "https://json-schema.org/draft/2020-12/schema".into(),
    );
    schema.insert("title".into(), title.into());
    schema.insert("description".into(), what.into());
    schema
}

fn definitions() -> Value {
    let inline = inline();
    let matchers: Map<String, Value> = MATCHERS
        .iter()
        .map(|matcher| {
            let mut value = ty(&matcher.ty);
            describe(&mut value, matcher.what);
            (matcher.name.to_owned(), value)
        })
        .collect();
    json!({
        "template": {"type": "string", "pattern": r"\{\{"},
        "text": {"type": ["string", "number", "boolean"]},
        "duration": {"type": "string", "pattern": r"^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$", "minLength": 2},
        "size": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+([KMGTPE]i?B?|kB|B)?$"}]},
        "target": {"type": "string", "pattern": r"^(local|(node|lxc|vm|host|cluster)/[^/\s]+|pod/[^/]+/.+)$"},
        "do": {"anyOf": [
            {"type": "string", "description": "a script, or '#section/step'"},
            {"type": "array", "items": {"$ref": "#/$defs/do"}},
            inline.clone(),
        ]},
        "condition": {"anyOf": [
            {"type": "string", "description": "a script whose exit 0 holds, or exactly one template"},
            {"type": "boolean"},
            {"type": "array", "items": {"$ref": "#/$defs/condition"}},
            inline,
        ]},
        "expectations": expectations(),
        "matcher": {"anyOf": [
            {"type": ["string", "number", "boolean", "null", "array"]},
            {"type": "object", "properties": matchers, "additionalProperties": false, "minProperties": 1},
        ]},
    })
}

/// Matchers by field, of those that have keys by key. Other names are those that the step captures.
fn expectations() -> Value {
    let matcher = || json!({"$ref": "#/$defs/matcher"});
    let by_key =
        |value: Value| json!({"type": "object", "additionalProperties": value, "minProperties": 1});
    let mut shapes: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for result in ACTIONS
        .iter()
        .flat_map(|action| action.results)
        .chain(COMMON_RESULTS)
    {
        let shape = match result.kind {
            FieldKind::Text | FieldKind::Value => matcher(),
            FieldKind::Json | FieldKind::Map => by_key(matcher()),
            FieldKind::Table => by_key(json!({"anyOf": [{"const": "absent"}, by_key(matcher())]})),
        };
        let known = shapes.entry(result.name).or_default();
        if !known.contains(&shape) {
            known.push(shape);
        }
    }
    let properties: Map<String, Value> = shapes
        .into_iter()
        .map(|(name, shapes)| (name.to_owned(), json!({"anyOf": shapes})))
        .collect();
    json!({
        "type": "object",
        "description": "matchers by field; of `json`, `table`, `header`, `config`, `condition`, `certificate` by key",
        "properties": properties,
        "additionalProperties": matcher(),
    })
}

/// One action with its own `on`, `env`, `secrets`, `expect`.
fn inline() -> Value {
    let keys = STEP_KEYS
        .iter()
        .copied()
        .filter(|key| INLINE_KEYS.contains(&key.name))
        .collect::<Vec<_>>();
    let mut properties = properties(&keys);
    let mut one_of = Vec::new();
    for action in ACTIONS {
        let value = match action.args {
            Args::Script => json!({"type": "string"}),
            Args::Fields(_) => json!({"type": "object"}),
        };
        properties.insert(action.name.into(), value);
        one_of.push(json!({"required": [action.name]}));
    }
    json!({"type": "object", "properties": properties, "additionalProperties": false, "oneOf": one_of})
}

fn describe(value: &mut Value, what: &str) {
    if let Value::Object(map) = value {
        map.insert("description".into(), what.into());
    }
}

fn properties(fields: &[FieldSpec]) -> Map<String, Value> {
    fields
        .iter()
        .map(|field| {
            let mut value = match field.name {
                // A map by field whose shape depends on the field.
                "expect" => json!({"$ref": "#/$defs/expectations"}),
                // Of a step.
                "id" if field.required => json!({
                    "type": ["string", "integer"],
                    "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$",
                    "maxLength": STEP_ID_CHARACTERS_MAX,
                }),
                _ => ty(&field.ty),
            };
            describe(&mut value, field.what);
            (field.name.to_owned(), value)
        })
        .collect()
}

fn required(fields: &[FieldSpec]) -> Value {
    fields
        .iter()
        .filter(|field| field.required)
        .map(|field| Value::from(field.name))
        .collect()
}

fn record(fields: &[FieldSpec], groups: &[Group]) -> Value {
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), properties(fields).into());
    if fields.iter().any(|field| field.required) {
        schema.insert("required".into(), required(fields));
    }
    schema.insert("additionalProperties".into(), false.into());
    let all: Vec<Value> = groups.iter().map(group).collect();
    if !all.is_empty() {
        schema.insert("allOf".into(), all.into());
    }
    schema.into()
}

fn group(group: &Group) -> Value {
    match group {
        Group::OneOf(names) => {
            let each: Vec<Value> = names
                .iter()
                .map(|name| json!({"required": [name]}))
                .collect();
            json!({"oneOf": each})
        }
        Group::AtMostOne(names) => {
            let mut pairs = Vec::new();
            for (index, first) in names.iter().enumerate() {
                pairs.extend(
                    names[index + 1..]
                        .iter()
                        .map(|second| json!({"required": [first, second]})),
                );
            }
            json!({"not": {"anyOf": pairs}})
        }
        Group::With(name, others) => {
            let each: Vec<Value> = others
                .iter()
                .map(|other| json!({"required": [other]}))
                .collect();
            json!({"dependentSchemas": {*name: {"anyOf": each}}})
        }
    }
}

/// A value of a type, or a template.
fn ty(ty_: &Type) -> Value {
    let template = |value: Value| json!({"anyOf": [value, {"$ref": "#/$defs/template"}]});
    match ty_ {
        Type::Text | Type::File | Type::SecretName => json!({"$ref": "#/$defs/text"}),
        Type::Int => template(json!({"type": "integer"})),
        Type::Number => template(json!({"type": "number"})),
        Type::Bool => template(json!({"type": "boolean"})),
        Type::Duration => template(json!({"$ref": "#/$defs/duration"})),
        Type::Size => template(json!({"$ref": "#/$defs/size"})),
        Type::Regex => json!({"type": ["string", "number"]}),
        Type::Any => json!({}),
        Type::Word(words) => template(json!({"enum": words})),
        Type::Range => json!({"type": "string", "pattern": "^[0-9]+-[0-9]+$"}),
        Type::Checksum => {
            template(json!({"type": "string", "pattern": "^sha256:[0-9a-fA-F]{64}$"}))
        }
        Type::Commit => template(json!({"type": "string", "pattern": "^[0-9a-fA-F]{40}$"})),
        Type::Disk => template(json!({"type": "string", "pattern": "^[^:]+:[0-9]"})),
        Type::List(inner) => {
            let inner = ty(inner);
            template(json!({"anyOf": [inner, {"type": "array", "items": inner}]}))
        }
        Type::Map(inner) => template(json!({"type": "object", "additionalProperties": ty(inner)})),
        Type::Numbered(word, inner) => template(json!({
            "type": "object", "patternProperties": {format!("^{word}[0-9]+$"): ty(inner)}, "additionalProperties": false,
        })),
        Type::Record(fields, groups) => record(fields, groups),
        Type::Open(fields) => json!({"type": "object", "properties": properties(fields)}),
        Type::Nullable(inner) => json!({"anyOf": [ty(inner), {"type": "null"}]}),
        Type::Either(types) => {
            let each: Vec<Value> = types.iter().map(ty).collect();
            json!({"anyOf": each})
        }
        Type::Ref => json!({"type": "string"}),
        Type::Target => template(json!({"$ref": "#/$defs/target"})),
        Type::Do => json!({"$ref": "#/$defs/do"}),
        Type::Condition => json!({"$ref": "#/$defs/condition"}),
        Type::Matcher => json!({"$ref": "#/$defs/matcher"}),
    }
}
