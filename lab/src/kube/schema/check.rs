//! Unknown fields (found and dropped) and values that are not of their type, or outside of what a structural schema allows.

use regex::Regex;
use serde_json::{Map, Value};

use super::{Additional, Schema, object_meta};
use crate::kube::status::Cause;

/// How many unknown fields are reported.
const UNKNOWN_MAX: usize = 100;

/// Drops what the schema does not know and names it: `spec.template.spec.foo`.
pub(crate) fn prune(schema: &Schema, value: &mut Value, custom: bool) -> Vec<String> {
    let mut unknown = Vec::new();
    walk(schema, value, "", custom, &mut unknown);
    unknown
}

fn walk(schema: &Schema, value: &mut Value, at: &str, custom: bool, unknown: &mut Vec<String>) {
    let own = schema.resolve();
    match value {
        Value::Object(map) => object(own, schema, map, at, custom, unknown),
        Value::Array(list) => {
            if let Some(items) = own.items.as_deref() {
                for (index, item) in list.iter_mut().enumerate() {
                    walk(items, item, &format!("{at}[{index}]"), custom, unknown);
                }
            }
        }
        _ => {}
    }
}

fn object(
    own: &Schema,
    outer: &Schema,
    map: &mut Map<String, Value>,
    at: &str,
    custom: bool,
    unknown: &mut Vec<String>,
) {
    let root = custom && at.is_empty();
    let embedded = root || outer.embedded;
    let keeps = outer.is_any() || own.preserve || outer.preserve;
    let names: Vec<String> = map.keys().cloned().collect();
    for name in names {
        let place = match at {
            "" => name.clone(),
            at => format!("{at}.{name}"),
        };
        if embedded && matches!(name.as_str(), "apiVersion" | "kind") {
            continue;
        }
        if embedded && name == "metadata" {
            if let Some(meta) = map.get_mut("metadata") {
                walk(object_meta(), meta, &place, false, unknown);
            }
            continue;
        }
        let known = own
            .properties
            .get(&name)
            .or(match &own.additional_properties {
                Some(Additional::Of(schema)) => Some(schema),
                _ => None,
            });
        match (known, &own.additional_properties) {
            (Some(schema), _) => {
                if let Some(value) = map.get_mut(&name) {
                    walk(schema, value, &place, custom, unknown);
                }
            }
            (None, Some(Additional::Any(true))) => {}
            _ if keeps => {}
            _ => {
                if unknown.len() < UNKNOWN_MAX {
                    unknown.push(place);
                }
                map.shift_remove(&name);
            }
        }
    }
}

/// A value that cannot be decoded: where, in which structure, what is there and what is wanted, in Go's words.
pub(crate) struct Undecodable {
    pub(crate) place: String,
    pub(crate) holder: String,
    pub(crate) found: &'static str,
    pub(crate) wanted: String,
}

/// The place of the first value whose JSON type cannot be decoded, with what Go says about it.
pub(crate) fn undecodable(
    schema: &Schema,
    value: &Value,
    at: &str,
    holder: &str,
) -> Option<Undecodable> {
    let own = schema.resolve();
    let found = match value {
        Value::Null => return None,
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
    };
    if schema.is_any() || own.int_or_string {
        return None;
    }
    let wanted = own.kind.as_deref().unwrap_or_default();
    let fits = match wanted {
        "string" => found == "string" || (found == "number" && schema.is_quantity()),
        "integer" => value.as_i64().is_some() || value.as_u64().is_some(),
        "number" => found == "number",
        "boolean" => found == "bool",
        "array" => found == "array",
        "object" => found == "object",
        _ => true,
    };
    if !fits {
        let go = match (wanted, own.format.as_deref()) {
            ("integer", Some("int64")) => "int64".to_owned(),
            ("integer", _) => "int32".to_owned(),
            ("boolean", _) => "bool".to_owned(),
            ("object", _) => go_name(schema).unwrap_or_else(|| "map[string]string".to_owned()),
            ("array", _) => {
                let item = own.items.as_deref().and_then(go_name);
                format!("[]{}", item.unwrap_or_else(|| "string".into()))
            }
            (other, _) => other.to_owned(),
        };
        return Some(Undecodable {
            place: at.to_owned(),
            holder: holder.to_owned(),
            found,
            wanted: go,
        });
    }
    let inner = go_name(schema)
        .and_then(|name| name.rsplit('.').next().map(str::to_owned))
        .unwrap_or_else(|| holder.to_owned());
    match value {
        Value::Object(map) => map.iter().find_map(|(name, value)| {
            let place = if at.is_empty() {
                name.clone()
            } else {
                format!("{at}.{name}")
            };
            undecodable(schema.field(name)?, value, &place, &inner)
        }),
        Value::Array(list) => {
            let items = own.items.as_deref()?;
            list.iter()
                .find_map(|value| undecodable(items, value, at, holder))
        }
        _ => None,
    }
}

fn go_name(schema: &Schema) -> Option<String> {
    let name = schema.reference.as_deref()?;
    let mut parts = name.rsplit('.');
    let (kind, version) = (parts.next()?, parts.next()?);
    Some(format!("{version}.{kind}"))
}

/// What a custom resource's schema forbids.
pub(crate) fn check_values(schema: &Schema, value: &Value, at: &str, causes: &mut Vec<Cause>) {
    let own = schema.resolve();
    if value.is_null() && own.nullable {
        return;
    }
    if !typed(own, value, at, causes) {
        return;
    }
    if !own.r#enum.is_empty() && !own.r#enum.contains(value) {
        let known: Vec<String> = own
            .r#enum
            .iter()
            .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
            .collect();
        causes.push(Cause::unsupported(at, value, &known));
    }
    match value {
        Value::Object(map) => {
            for name in &own.required {
                if !map.contains_key(name) {
                    causes.push(Cause::required(join(at, name), ""));
                }
            }
            let mut fields: Vec<(&String, &Value)> = map.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            for (name, value) in fields {
                if let Some(schema) = own.field(name) {
                    let place = if own.properties.contains_key(name) {
                        join(at, name)
                    } else {
                        format!("{at}[{name}]")
                    };
                    check_values(schema, value, &place, causes);
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = own.items.as_deref() {
                for (index, item) in list.iter().enumerate() {
                    check_values(items, item, &format!("{at}[{index}]"), causes);
                }
            }
            if own.min_items.is_some_and(|least| list.len() < least) {
                let least = own.min_items.unwrap_or_default();
                causes.push(Cause::invalid(
                    at,
                    &list.len().into(),
                    &format!("{at} in body should have at least {least} items"),
                ));
            }
            if own.max_items.is_some_and(|most| list.len() > most) {
                let most = own.max_items.unwrap_or_default();
                let word = if most == 1 { "item" } else { "items" };
                let message = format!("Too many: {}: must have at most {most} {word}", list.len());
                causes.push(Cause::new("FieldValueTooMany", at, message));
            }
        }
        Value::String(text) => string(own, text, at, causes),
        Value::Number(number) => {
            numeric(own, number.as_f64().unwrap_or_default(), value, at, causes)
        }
        _ => {}
    }
}

fn typed(own: &Schema, value: &Value, at: &str, causes: &mut Vec<Cause>) -> bool {
    let found = match value {
        Value::Null => "null",
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
    };
    if own.int_or_string {
        if !matches!(found, "integer" | "string") {
            let detail = format!("{at} in body must be of type integer,string: \"{found}\"");
            causes.push(Cause::wrong_type(at, &quoted(found), detail));
            return false;
        }
        return true;
    }
    let Some(wanted) = own.kind.as_deref() else {
        return true;
    };
    if wanted == found || (wanted == "number" && found == "integer") {
        return true;
    }
    let detail = format!("{at} in body must be of type {wanted}: \"{found}\"");
    causes.push(Cause::wrong_type(at, &quoted(found), detail));
    false
}

fn quoted(found: &str) -> Value {
    Value::String(found.to_owned())
}

fn string(own: &Schema, text: &str, at: &str, causes: &mut Vec<Cause>) {
    let value = Value::String(text.to_owned());
    let length = text.chars().count();
    if own.min_length.is_some_and(|least| length < least) {
        let least = own.min_length.unwrap_or_default();
        let detail = format!("{at} in body should be at least {least} chars long");
        causes.push(Cause::invalid(at, &value, &detail));
    }
    if own.max_length.is_some_and(|most| length > most) {
        let most = own.max_length.unwrap_or_default();
        let message = format!("Too long: may not be more than {most} bytes");
        causes.push(Cause::new("FieldValueTooLong", at, message));
    }
    if let Some(pattern) = &own.pattern {
        // A pattern that this engine does not know cannot refuse anything.
        if Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text)) {
            let detail = format!("{at} in body should match '{pattern}'");
            causes.push(Cause::invalid(at, &value, &detail));
        }
    }
}

fn numeric(own: &Schema, number: f64, value: &Value, at: &str, causes: &mut Vec<Cause>) {
    let mut refuse = |word: &str, limit: f64| {
        let detail = format!("{at} in body should be {word} {limit}");
        causes.push(Cause::invalid(at, value, &detail));
    };
    match own.minimum {
        Some(least) if own.exclusive_minimum && number <= least => refuse("greater than", least),
        Some(least) if number < least => refuse("greater than or equal to", least),
        _ => {}
    }
    match own.maximum {
        Some(most) if own.exclusive_maximum && number >= most => refuse("less than", most),
        Some(most) if number > most => refuse("less than or equal to", most),
        _ => {}
    }
}

fn join(at: &str, name: &str) -> String {
    match at {
        "" => name.to_owned(),
        at => format!("{at}.{name}"),
    }
}
