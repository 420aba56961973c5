//! Defaults of a custom resource's schema, as a structural schema gives them.

use serde_json::Value;

use super::Schema;

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
                        fill_defaults(items, value);
                    }
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = schema.items.as_deref() {
                list.iter_mut().for_each(|item| fill_defaults(items, item));
            }
        }
        _ => {}
    }
}
