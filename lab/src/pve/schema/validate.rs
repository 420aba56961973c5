//! Checks parameters against the table, with the official texts, all bad ones at once.
//!
//! One check per property in the API's order: missing, type, format, pattern, length, range, enumeration. It does not
//! look at the state: whether a storage exists is the call's question.

use serde_json::{Map, Value};

use super::format::check_format;
use super::{Kind, Method, Property};
use crate::pve::params::{Params, plain};

/// What is wrong, by parameter.
pub(crate) type Errors = Map<String, Value>;

const MISSING: &str = "property is missing and it is not optional";
const UNKNOWN: &str =
    "property is not defined in schema and the schema does not allow additional properties";

/// Checks the parameters of a call; the errors are empty when all is well.
pub fn verify(method: &'static Method, params: &Params) -> Map<String, Value> {
    let mut errors = Errors::new();
    let mut fixed = method
        .parameters()
        .filter(|(_, property)| property.index_max.is_none());
    check_object(
        "",
        &|name| method.parameter(name),
        &mut fixed,
        params,
        method.additional,
        &mut errors,
    );
    errors
}

/// Makes lists of what should be one, and texts of lists where the API wants a text.
pub(crate) fn coerce(method: &'static Method, params: &mut Params) {
    for (name, value) in params.map_mut().iter_mut() {
        let Some(property) = method.parameter(name) else {
            continue;
        };
        match value {
            Value::Array(items) if property.kind == Kind::String && is_list(property) => {
                *value =
                    Value::String(items.iter().filter_map(plain).collect::<Vec<_>>().join(","));
            }
            Value::Array(_) | Value::Object(_) | Value::Null => {}
            one if property.kind == Kind::Array => *one = Value::Array(vec![one.take()]),
            _ => {}
        }
    }
}

/// Checks an object against named properties; `fixed` are those that may be missing.
pub(crate) fn check_object(
    path: &str,
    lookup: &dyn Fn(&str) -> Option<&'static Property>,
    fixed: &mut dyn Iterator<Item = (&'static str, &'static Property)>,
    values: &Params,
    additional: bool,
    errors: &mut Errors,
) {
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    for (name, property) in fixed {
        if !property.optional && property.alias.is_none() && !values.has(name) {
            add(errors, &below(name), MISSING);
        }
    }
    for (name, value) in values.iter() {
        let place = below(name);
        let Some(property) = lookup(name) else {
            if !additional {
                add(errors, &place, UNKNOWN);
            }
            continue;
        };
        if !value.is_null() {
            check_property(&place, property, value, errors);
        }
        if let Some(other) = property.requires.as_deref()
            && !values.has(other)
        {
            add(
                errors,
                &below(other),
                &format!("missing property required by '{place}'"),
            );
        }
    }
}

fn check_property(place: &str, property: &'static Property, value: &Value, errors: &mut Errors) {
    if let Some(error) = wrong_type(property, value) {
        return add(errors, place, &error);
    }
    if let Value::Array(items) = value {
        if let Some(inner) = property.items.as_deref() {
            for (at, item) in items.iter().enumerate() {
                check_property(&format!("{place}[{at}]"), inner, item, errors);
            }
        }
        return;
    }
    let Some(text) = plain(value) else { return };
    if let Err(error) = check_format(property, &text, place) {
        return add(errors, place, &format!("invalid format - {error}"));
    }
    if property.pattern.is_some() && !property.regex().is_some_and(|regex| regex.is_match(&text)) {
        return add(errors, place, "value does not match the regex pattern");
    }
    let length = text.chars().count();
    if let Some(max) = property.max_length.filter(|max| length > *max) {
        return add(
            errors,
            place,
            &format!("value may only be {max} characters long"),
        );
    }
    if let Some(min) = property.min_length.filter(|min| length < *min) {
        return add(
            errors,
            place,
            &format!("value must be at least {min} characters long"),
        );
    }
    if let Ok(number) = text.parse::<f64>() {
        if let Some(max) = property
            .maximum
            .as_ref()
            .filter(|max| max.as_f64().is_some_and(|max| number > max))
        {
            return add(
                errors,
                place,
                &format!("value must have a maximum value of {max}"),
            );
        }
        if let Some(min) = property
            .minimum
            .as_ref()
            .filter(|min| min.as_f64().is_some_and(|min| number < min))
        {
            return add(
                errors,
                place,
                &format!("value must have a minimum value of {min}"),
            );
        }
    }
    if let Some(choices) = property
        .choices
        .as_ref()
        .filter(|choices| !choices.contains(&text))
    {
        let known = choices.join(", ");
        add(
            errors,
            place,
            &format!("value '{text}' does not have a value in the enumeration '{known}'"),
        );
    }
}

/// The type's error, if it has not the declared one.
fn wrong_type(property: &Property, value: &Value) -> Option<String> {
    let (name, fits) = match property.kind {
        Kind::String => ("string", !value.is_array() && !value.is_object()),
        Kind::Integer => (
            "integer",
            plain(value).is_some_and(|text| is_integer(&text)),
        ),
        Kind::Number => ("number", plain(value).is_some_and(|text| is_number(&text))),
        Kind::Boolean => (
            "boolean",
            value.is_boolean() || plain(value).is_some_and(|text| is_boolean(&text)),
        ),
        Kind::Array => ("array", value.is_array()),
        Kind::Object => ("object", value.is_object()),
        Kind::Null => ("null", value.is_null()),
    };
    if fits {
        return None;
    }
    let got = match value {
        Value::Array(_) => " - got ARRAY".to_owned(),
        Value::Object(_) => " - got HASH".to_owned(),
        other => format!(" - got '{}'", plain(other).unwrap_or_default()),
    };
    Some(format!("type check ('{name}') failed{got}"))
}

/// What a form may write for a boolean.
pub(crate) fn is_boolean(text: &str) -> bool {
    matches!(text, "0" | "1")
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_number(text: &str) -> bool {
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    body.starts_with(|c: char| c.is_ascii_digit() || c == '.') && body.parse::<f64>().is_ok()
}

fn is_list(property: &Property) -> bool {
    property
        .format
        .as_deref()
        .is_some_and(|format| format.ends_with("-list") || format.ends_with("-alist"))
}

fn add(errors: &mut Errors, place: &str, text: &str) {
    let place = if place.is_empty() { "_root" } else { place };
    match errors.get_mut(place) {
        // The API joins them with a backslash and an n.
        Some(Value::String(before)) => {
            before.push_str("\\n");
            before.push_str(text);
        }
        _ => {
            errors.insert(place.to_owned(), Value::String(text.to_owned()));
        }
    }
}
