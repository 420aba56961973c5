//! Label and field selectors: read as kubectl and the API write them, matched against objects.

use serde_json::{Map, Value};

use super::object;
use super::resource::Resource;
use super::status::{Refusal, Result};

/// What a list or a watch is limited to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<Term>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Clone, Debug)]
enum Term {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
    Compare(String, std::cmp::Ordering, i64),
}

/// Field labels that a kind has beside `metadata.name` and `metadata.namespace`.
fn field_labels(qualified: &str) -> &'static [&'static str] {
    match qualified {
        "pods" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        "events" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "secrets" => &["type"],
        "nodes" => &["spec.unschedulable"],
        "namespaces" => &["status.phase"],
        "services" => &["spec.clusterIP", "spec.type"],
        "jobs.batch" => &["status.successful"],
        "replicasets.apps" => &["status.replicas"],
        _ => &[],
    }
}

impl Selector {
    pub(crate) fn parse(resource: &Resource, labels: &str, fields: &str) -> Result<Self> {
        let labels = parse_labels(labels)
            .map_err(|text| Refusal::bad_request(format!("unable to parse requirement: {text}")))?;
        let mut out = Vec::new();
        for part in fields.split(',').filter(|part| !part.is_empty()) {
            let found = part
                .split_once("!=")
                .map(|(name, value)| (name, false, value))
                .or_else(|| {
                    part.split_once("==")
                        .map(|(name, value)| (name, true, value))
                })
                .or_else(|| {
                    part.split_once('=')
                        .map(|(name, value)| (name, true, value))
                });
            let Some((name, equal, value)) = found else {
                let text = format!("invalid selector: '{fields}'; can't understand '{part}'");
                return Err(Refusal::bad_request(text));
            };
            let known = name == "metadata.name"
                || (name == "metadata.namespace" && resource.namespaced)
                || field_labels(&resource.qualified()).contains(&name);
            if !known {
                let own = field_labels(&resource.qualified());
                let text = if resource.is_custom() || !own.is_empty() {
                    format!("field label not supported: {name}")
                } else {
                    format!(
                        "\"{name}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                    )
                };
                return Err(Refusal::bad_request(text));
            }
            out.push((name.to_owned(), equal, value.to_owned()));
        }
        Ok(Self {
            labels,
            fields: out,
        })
    }

    /// The selector of a spec: `matchLabels` and `matchExpressions`.
    pub(crate) fn of_spec(selector: &Value) -> Self {
        let mut labels: Vec<Term> = Vec::new();
        if let Some(map) = selector["matchLabels"].as_object() {
            for (name, value) in map {
                let value = value.as_str().unwrap_or_default().to_owned();
                labels.push(Term::In(name.clone(), vec![value]));
            }
        }
        for one in object::items(selector, &["matchExpressions"]) {
            let key = one["key"].as_str().unwrap_or_default().to_owned();
            let values = object::items(one, &["values"])
                .iter()
                .filter_map(|value| value.as_str().map(str::to_owned))
                .collect();
            labels.push(match one["operator"].as_str().unwrap_or_default() {
                "In" => Term::In(key, values),
                "NotIn" => Term::NotIn(key, values),
                "DoesNotExist" => Term::Missing(key),
                _ => Term::Exists(key),
            });
        }
        Self {
            labels,
            fields: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn matches(&self, value: &Value) -> bool {
        let labels = object::at(value, &["metadata", "labels"]).and_then(Value::as_object);
        self.matches_labels(labels)
            && self.fields.iter().all(|(name, equal, wanted)| {
                let is = field_of(value, name);
                (is == *wanted) == *equal
            })
    }

    pub(crate) fn matches_labels(&self, labels: Option<&Map<String, Value>>) -> bool {
        let get = |name: &str| labels.and_then(|map| map.get(name)).and_then(Value::as_str);
        self.labels.iter().all(|term| match term {
            Term::In(name, values) => {
                get(name).is_some_and(|is| values.iter().any(|one| one == is))
            }
            Term::NotIn(name, values) => {
                get(name).is_none_or(|is| !values.iter().any(|one| one == is))
            }
            Term::Exists(name) => get(name).is_some(),
            Term::Missing(name) => get(name).is_none(),
            Term::Compare(name, order, number) => get(name)
                .and_then(|is| is.parse::<i64>().ok())
                .is_some_and(|is| is.cmp(number) == *order),
        })
    }
}

fn field_of(value: &Value, name: &str) -> String {
    if name == "status.successful" {
        return object::number(value, &["status", "succeeded"])
            .unwrap_or_default()
            .to_string();
    }
    if name == "source" {
        return object::text(value, &["source", "component"]).to_owned();
    }
    let path: Vec<&str> = name.split('.').collect();
    match object::at(value, &path) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => match name {
            "spec.unschedulable" | "spec.hostNetwork" => "false".into(),
            _ => String::new(),
        },
        Some(other) => other.to_string(),
    }
}

fn parse_labels(text: &str) -> std::result::Result<Vec<Term>, String> {
    let mut terms = Vec::new();
    for part in split_terms(text) {
        let part = part.trim();
        if part.is_empty() {
            continue;
        }
        terms.push(term(part)?);
    }
    Ok(terms)
}

/// At commas that do not stand in parentheses.
fn split_terms(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut out) = (0usize, 0, Vec::new());
    for (index, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                out.push(&text[from..index]);
                from = index + 1;
            }
            _ => {}
        }
    }
    out.push(&text[from..]);
    out
}

fn term(part: &str) -> std::result::Result<Term, String> {
    if let Some(name) = part.strip_prefix('!') {
        return Ok(Term::Missing(key(name)?));
    }
    if let (Some(open), true) = (part.find('('), part.ends_with(')')) {
        let values: Vec<String> = part[open + 1..part.len() - 1]
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        let head: Vec<&str> = part[..open].split_whitespace().collect();
        return match head.as_slice() {
            [name, "in"] => Ok(Term::In(key(name)?, values)),
            [name, "notin"] => Ok(Term::NotIn(key(name)?, values)),
            head => Err(format!(
                "found '{}', expected: in, notin, =, ==, !=, gt, lt",
                head.get(1).copied().unwrap_or_default()
            )),
        };
    }
    if let Some((name, value)) = part.split_once("!=") {
        return Ok(Term::NotIn(key(name)?, vec![label_value(value)?]));
    }
    if let Some((name, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok(Term::In(key(name)?, vec![label_value(value)?]));
    }
    for (sign, order) in [
        ('>', std::cmp::Ordering::Greater),
        ('<', std::cmp::Ordering::Less),
    ] {
        if let Some((name, value)) = part.split_once(sign) {
            let number = value.trim().parse().map_err(|_| {
                format!("for 'Gt', 'Lt' operators, the value must be an integer: {value}")
            })?;
            return Ok(Term::Compare(key(name)?, order, number));
        }
    }
    Ok(Term::Exists(key(part)?))
}

fn key(text: &str) -> std::result::Result<String, String> {
    let text = text.trim();
    let good = !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    if good {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "<nil>: Invalid value: \"{text}\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        ))
    }
}

fn label_value(text: &str) -> std::result::Result<String, String> {
    let text = text.trim();
    if text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "values[0][]: Invalid value: \"{text}\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(text: &str) -> bool {
        let terms = parse_labels(text).expect("a selector");
        let selector = Selector {
            labels: terms,
            fields: Vec::new(),
        };
        selector
            .matches(&json!({"metadata": {"labels": {"app": "web", "tier": "front", "n": "5"}}}))
    }

    #[test]
    fn label_selectors_hold_as_written() {
        for text in [
            "app=web",
            "app==web,tier!=back",
            "app in (web, db)",
            "tier notin (back)",
            "app",
            "!gone",
            "n>4",
            "",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in [
            "app=db",
            "!app",
            "app notin (web)",
            "gone",
            "gone in (a)",
            "n<4",
        ] {
            assert!(!holds(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        assert!(parse_labels("app is (web)").is_err());
        assert!(parse_labels("=x").is_err());
    }
}
