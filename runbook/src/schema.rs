//! The published JSON Schemas: of what an author writes, from the language's tables; of what machines read, from the types.
//!
//! A value may be a template wherever one is rendered, so every such type accepts a text with `{{` too. What a schema cannot
//! say (references, names, targets that exist) is left to the check.

mod language;

pub use language::{front_matter, inventory, step};

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::Value;

use crate::event::Event;
use crate::report;

/// The names of the schemas, as `runbook schema NAME` takes them.
pub const NAMES: &[&str] = &[
    "step",
    "front-matter",
    "inventory",
    "list",
    "show",
    "plan",
    "status",
    "history",
    "check",
    "lab",
    "events",
    "history-line",
];

/// The schema of that name.
pub fn named(name: &str) -> Option<Value> {
    Some(match name {
        "step" => step(),
        "front-matter" => front_matter(),
        "inventory" => inventory(),
        "list" => list(),
        "show" => show(),
        "plan" => plan(),
        "status" => status(),
        "history" => history(),
        "check" => check(),
        "lab" => lab(),
        "events" => events(),
        "history-line" => history_line(),
        _ => return None,
    })
}

fn of<T: JsonSchema>() -> Value {
    let generator: SchemaGenerator = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator();
    generator.into_root_schema_for::<T>().to_value()
}

/// `lab --json`.
pub fn lab() -> Value {
    of::<report::Lab>()
}

/// One line of `events.jsonl`, `run --json` and `verify --json`.
pub fn events() -> Value {
    of::<Event>()
}

/// `list --json`.
pub fn list() -> Value {
    of::<report::List>()
}

/// `show --json`.
pub fn show() -> Value {
    of::<report::Show>()
}

/// `plan --json`.
pub fn plan() -> Value {
    of::<report::Plan>()
}

/// `status --json` and `status.json`.
pub fn status() -> Value {
    of::<report::Status>()
}

/// `history --json`.
pub fn history() -> Value {
    of::<report::History>()
}

/// `check --json`.
pub fn check() -> Value {
    of::<report::CheckReport>()
}

/// One line of `history.jsonl`.
pub fn history_line() -> Value {
    of::<report::HistoryLine>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{ACTIONS, STEP_KEYS};

    #[test]
    fn every_name_has_a_schema_and_no_other() {
        for name in NAMES {
            let schema = named(name).unwrap();
            assert!(
                schema["$schema"].as_str().unwrap().contains("2020-12"),
                "{name}"
            );
            assert!(
                schema["title"].is_string() || schema["description"].is_string(),
                "{name}"
            );
        }
        assert_eq!(named("steps"), None);
    }

    #[test]
    fn references_in_schemas_lead_somewhere() {
        fn check(value: &Value, root: &Value, name: &str) {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(reference)) = map.get("$ref") {
                        let pointer = reference.strip_prefix('#').unwrap();
                        assert!(root.pointer(pointer).is_some(), "{name}: {reference}");
                    }
                    map.values().for_each(|value| check(value, root, name));
                }
                Value::Array(items) => items.iter().for_each(|value| check(value, root, name)),
                _ => {}
            }
        }
        for name in NAMES {
            let schema = named(name).unwrap();
            check(&schema, &schema, name);
        }
    }

    #[test]
    fn expectations_have_the_shape_of_their_field_wherever_they_stand() {
        let schema = step();
        let expectations = &schema["$defs"]["expectations"];
        let matcher = serde_json::json!({"$ref": "#/$defs/matcher"});
        assert_eq!(
            expectations["properties"]["exit"]["anyOf"],
            serde_json::json!([matcher])
        );
        assert_eq!(
            expectations["properties"]["json"]["anyOf"][0]["additionalProperties"],
            matcher
        );
        assert_eq!(
            expectations["additionalProperties"], matcher,
            "what the step captures"
        );
        let inline =
            schema["$defs"]["condition"]["anyOf"][3]["properties"]["expect"]["$ref"].clone();
        assert_eq!(inline, "#/$defs/expectations");
        assert_eq!(schema["properties"]["id"]["maxLength"], 64);
    }

    #[test]
    fn a_step_s_schema_has_every_key_and_action() {
        let schema = step();
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), STEP_KEYS.len() + ACTIONS.len());
        assert_eq!(schema["oneOf"].as_array().unwrap().len(), ACTIONS.len());
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(
            properties["http"]["properties"]["url"]["description"],
            "the URL"
        );
    }
}
