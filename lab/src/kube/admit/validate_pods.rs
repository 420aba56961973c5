//! What pods, and what makes them, must be.

use serde_json::Value;

use super::names::{LABEL, is_label, labels};
use crate::kube::object;
use crate::kube::select::Selector;
use crate::kube::status::Cause;

pub(super) fn workload(value: &Value, causes: &mut Vec<Cause>) {
    let spec = &value["spec"];
    let replicas = spec["replicas"].as_i64().unwrap_or_default();
    if replicas < 0 {
        causes.push(Cause::invalid(
            "spec.replicas",
            &spec["replicas"],
            "must be greater than or equal to 0",
        ));
    }
    let selector = &spec["selector"];
    let empty = ["matchLabels", "matchExpressions"]
        .iter()
        .all(|key| match &selector[*key] {
            Value::Object(map) => map.is_empty(),
            Value::Array(list) => list.is_empty(),
            _ => true,
        });
    let own = object::at(spec, &["template", "metadata", "labels"]);
    if selector.is_null() {
        causes.push(Cause::required("spec.selector", ""));
    } else if empty {
        causes.push(Cause::invalid(
            "spec.selector",
            selector,
            "empty selector is invalid for deployment",
        ));
    }
    if !selector.is_null() && !empty || selector.is_null() {
        let matches = !selector.is_null()
            && Selector::of_spec(selector).matches_labels(own.and_then(Value::as_object));
        if !matches {
            let shown = own.cloned().unwrap_or(Value::Null);
            causes.push(Cause::invalid(
                "spec.template.metadata.labels",
                &shown,
                "`selector` does not match template `labels`",
            ));
        }
    }
    labels(own, "spec.template.metadata.labels", causes);
    // A set's claims are volumes of its pods.
    let claims: Vec<Value> = object::items(spec, &["volumeClaimTemplates"])
        .iter()
        .map(|claim| claim["metadata"]["name"].clone())
        .collect();
    pod_spec(
        &spec["template"]["spec"],
        "spec.template.spec",
        &claims,
        causes,
    );
    let policy = object::text(spec, &["template", "spec", "restartPolicy"]);
    if !policy.is_empty() && policy != "Always" {
        causes.push(Cause::unsupported(
            "spec.template.spec.restartPolicy",
            &policy.into(),
            &["Always".into()],
        ));
    }
}
pub(super) fn schedule(value: &Value, causes: &mut Vec<Cause>) {
    let text = value.as_str().unwrap_or_default();
    let fields: Vec<&str> = text.split_whitespace().collect();
    if text.is_empty() || text.starts_with('@') || fields.len() == 5 {
        return;
    }
    let detail = format!(
        "expected exactly 5 fields, found {}: [{}]",
        fields.len(),
        fields.join(" ")
    );
    causes.push(Cause::invalid("spec.schedule", value, &detail));
}
pub(super) fn job(spec: &Value, at: &str, causes: &mut Vec<Cause>) {
    pod_spec(
        &spec["template"]["spec"],
        &format!("{at}.template.spec"),
        &[],
        causes,
    );
    let policy = object::text(spec, &["template", "spec", "restartPolicy"]);
    if !matches!(policy, "Never" | "OnFailure") {
        let field = format!("{at}.template.spec.restartPolicy");
        let detail = "Required value: valid values: \"OnFailure\", \"Never\"".to_owned();
        if policy.is_empty() || policy == "Always" {
            let known = ["OnFailure".to_owned(), "Never".to_owned()];
            causes.push(if policy.is_empty() {
                Cause::new("FieldValueRequired", field, detail)
            } else {
                Cause::unsupported(field, &policy.into(), &known)
            });
        }
    }
    if spec["completionMode"] == "Indexed" && spec["completions"].is_null() {
        causes.push(Cause::required(
            format!("{at}.completions"),
            "when completion mode is Indexed",
        ));
    }
}
pub(super) fn pod_spec(spec: &Value, at: &str, claims: &[Value], causes: &mut Vec<Cause>) {
    let containers = object::items(spec, &["containers"]);
    if containers.is_empty() {
        causes.push(Cause::required(format!("{at}.containers"), ""));
    }
    let volumes: Vec<&Value> = object::items(spec, &["volumes"])
        .iter()
        .map(|volume| &volume["name"])
        .chain(claims)
        .collect();
    let mut names: Vec<&str> = Vec::new();
    for list in ["initContainers", "containers"] {
        for (index, one) in object::items(spec, &[list]).iter().enumerate() {
            let place = format!("{at}.{list}[{index}]");
            let name = one["name"].as_str().unwrap_or_default();
            if name.is_empty() {
                causes.push(Cause::required(format!("{place}.name"), ""));
            } else if !is_label(name) {
                causes.push(Cause::invalid(format!("{place}.name"), &one["name"], LABEL));
            } else if names.contains(&name) {
                causes.push(Cause::duplicate(format!("{place}.name"), &one["name"]));
            }
            names.push(name);
            if one["image"].as_str().unwrap_or_default().is_empty() {
                causes.push(Cause::required(format!("{place}.image"), ""));
            }
            for (index, port) in object::items(one, &["ports"]).iter().enumerate() {
                port_number(
                    &port["containerPort"],
                    &format!("{place}.ports[{index}].containerPort"),
                    causes,
                );
            }
            for (index, env) in object::items(one, &["env"]).iter().enumerate() {
                if env["name"].as_str().unwrap_or_default().is_empty() {
                    causes.push(Cause::required(format!("{place}.env[{index}].name"), ""));
                }
            }
            for (index, mount) in object::items(one, &["volumeMounts"]).iter().enumerate() {
                if !volumes.contains(&&mount["name"]) {
                    causes.push(Cause::not_found(
                        format!("{place}.volumeMounts[{index}].name"),
                        &mount["name"],
                    ));
                }
            }
            quantities(one, &place, causes);
        }
    }
    let policy = object::text(spec, &["restartPolicy"]);
    if !matches!(policy, "" | "Always" | "OnFailure" | "Never") {
        let known = ["Always", "OnFailure", "Never"].map(str::to_owned);
        causes.push(Cause::unsupported(
            format!("{at}.restartPolicy"),
            &policy.into(),
            &known,
        ));
    }
}
fn quantities(container: &Value, place: &str, causes: &mut Vec<Cause>) {
    for name in ["cpu", "memory"] {
        let number = |what: &str| {
            let value = &container["resources"][what][name];
            value
                .as_str()
                .and_then(super::parse_quantity)
                .or(value.as_i64().map(|n| i128::from(n) * 1000))
        };
        if let (Some(request), Some(limit)) = (number("requests"), number("limits"))
            && request > limit
        {
            let value = &container["resources"]["requests"][name];
            let limit = container["resources"]["limits"][name]
                .as_str()
                .unwrap_or_default();
            let detail = format!("must be less than or equal to {name} limit of {limit}");
            causes.push(Cause::invalid(
                format!("{place}.resources.requests"),
                value,
                &detail,
            ));
        }
    }
}
fn port_number(value: &Value, at: &str, causes: &mut Vec<Cause>) {
    match value.as_i64() {
        None | Some(0) => causes.push(Cause::required(at, "")),
        Some(number) if !(1..=65535).contains(&number) => {
            causes.push(Cause::invalid(
                at,
                value,
                "must be between 1 and 65535, inclusive",
            ));
        }
        Some(_) => {}
    }
}
