//! Defaults of a custom resource's schema, as a structural schema gives them, and what becomes of a null where none may stand.

use serde_json::Value;

use super::Schema;

/// Drops a field that is null where the schema allows none, unless there is a default for it.
pub(crate) fn prune_nulls(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|name, value| {
                let field = schema.field(name);
                !value.is_null() || field.is_none_or(|own| own.nullable || own.default.is_some())
            });
            for (name, value) in map.iter_mut() {
                if let Some(field) = schema.field(name) {
                    prune_nulls(field, value);
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = schema.items.as_deref() {
                list.iter_mut().for_each(|item| prune_nulls(items, item));
            }
        }
        _ => {}
    }
}

/// Fills in what the schema has defaults for, in what is there.
pub(crate) fn fill_defaults(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, field) in &schema.properties {
                let absent = match map.get(name) {
                    None => true,
                    // A null that is not allowed is pruned before defaults are filled in.
                    Some(Value::Null) => !field.nullable,
                    Some(_) => false,
                };
                if absent && let Some(default) = &field.default {
                    map.insert(name.clone(), default.clone());
                }
                if let Some(value) = map.get_mut(name) {
                    fill_defaults(field, value);
                }
            }
            if let Some(super::Additional::Of(items)) = &schema.additional_properties {
                for (name, value) in map.iter_mut() {
                    if !schema.properties.contains_key(name) {
                        if value.is_null()
                            && !items.nullable
                            && let Some(default) = &items.default
                        {
                            value.clone_from(default);
                        }
                        fill_defaults(items, value);
                    }
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = schema.items.as_deref() {
                for item in list {
                    if item.is_null()
                        && !items.nullable
                        && let Some(default) = &items.default
                    {
                        item.clone_from(default);
                    }
                    fill_defaults(items, item);
                }
            }
        }
        _ => {}
    }
}
