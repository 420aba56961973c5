//! What names, labels and required fields must be.

use serde_json::Value;

use crate::kube::object;
use crate::kube::status::Cause;

pub(super) const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
pub(super) const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
pub(super) const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
pub(super) const LABEL_MAX: usize = 63;
pub(super) const NAME_MAX: usize = 253;

pub(super) fn required(value: &Value, path: &[&str], causes: &mut Vec<Cause>) {
    let missing = match object::at(value, path) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(_) => false,
    };
    if missing {
        causes.push(Cause::required(path.join("."), ""));
    }
}

pub(super) fn is_label(text: &str) -> bool {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !text.is_empty()
        && text.len() <= LABEL_MAX
        && text.starts_with(good)
        && text.ends_with(good)
        && text.chars().all(|c| good(c) || c == '-')
}

pub(super) fn is_subdomain(text: &str) -> bool {
    text.len() <= NAME_MAX
        && text.split('.').all(|part| {
            let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            part.starts_with(good)
                && part.ends_with(good)
                && part.chars().all(|c| good(c) || c == '-')
        })
}

pub(super) fn is_label_value(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric();
    text.is_empty()
        || (text.len() <= LABEL_MAX
            && text.starts_with(good)
            && text.ends_with(good)
            && text.chars().all(|c| good(c) || "-_.".contains(c)))
}

pub(super) fn labels(map: Option<&Value>, at: &str, causes: &mut Vec<Cause>) {
    for value in map
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|map| map.values())
    {
        if !is_label_value(value.as_str().unwrap_or_default()) {
            causes.push(Cause::invalid(at, value, LABEL_VALUE));
        }
    }
}
