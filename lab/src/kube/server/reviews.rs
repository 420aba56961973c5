//! Reviews: who is it, and may they. Answered, never kept.

use serde_json::{Value, json};

use super::Shared;
use super::access::User;
use super::handle::Call;
use super::identify;
use crate::kube::object;
use crate::kube::resource::{Resource, qualified};
use crate::kube::state::State;
use crate::kube::status::{Refusal, Result};

/// What everybody who is known may ask of the server itself.
const DISCOVERY: [&str; 11] = [
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
    "/version/",
];
const AUDIENCE: &str = "https://kubernetes.default.svc";

/// Answers a review.
pub(super) fn answer(
    call: &Call,
    resource: &Resource,
    namespace: &str,
    mut value: Value,
) -> Result<Value> {
    value["apiVersion"] = resource.api_version().into();
    value["kind"] = resource.kind.as_str().into();
    object::meta_mut(&mut value).insert("creationTimestamp".into(), Value::Null);
    let status = match resource.kind.as_str() {
        "SelfSubjectReview" => {
            json!({"userInfo": {"username": call.user.name(), "groups": call.user.groups()}})
        }
        "SelfSubjectRulesReview" => rules(call, &value)?,
        "TokenReview" => token(&call.shared, object::text(&value, &["spec", "token"])),
        "SelfSubjectAccessReview" => access(call, &call.user, &value),
        kind => {
            let asked = object::text(&value, &["spec", "resourceAttributes", "namespace"]);
            if kind == "LocalSubjectAccessReview" && asked != namespace {
                let text =
                    format!("spec.resourceAttributes.namespace must match namespace: {namespace}");
                return Err(Refusal::bad_request(text));
            }
            access(call, &subject(&value), &value)
        }
    };
    value["status"] = status;
    Ok(value)
}

/// Whom a review is about.
fn subject(value: &Value) -> User {
    let groups = object::items(value, &["spec", "groups"]);
    let groups: Vec<String> = groups
        .iter()
        .filter_map(|one| one.as_str().map(str::to_owned))
        .collect();
    identify::named(object::text(value, &["spec", "user"]), groups)
}

fn access(call: &Call, user: &User, value: &Value) -> Value {
    let asked = &value["spec"]["resourceAttributes"];
    let text = |key: &str| asked[key].as_str().unwrap_or_default();
    let mut name = qualified(text("group"), text("resource"));
    if !text("subresource").is_empty() {
        name = format!("{name}/{}", text("subresource"));
    }
    let state = call.shared.cluster.lock();
    let allowed = user.may(&state, text("verb"), &name, text("namespace"), text("name"));
    json!({"allowed": allowed})
}

fn rules(call: &Call, value: &Value) -> Result<Value> {
    let namespace = object::text(value, &["spec", "namespace"]);
    if namespace.is_empty() {
        return Err(Refusal::bad_request("no namespace on request"));
    }
    let mut resources = vec![
        json!({
            "verbs": ["create"], "apiGroups": ["authorization.k8s.io"],
            "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
        }),
        json!({"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]}),
    ];
    let mut paths = vec![json!({"verbs": ["get"], "nonResourceURLs": DISCOVERY})];
    let own = own_rules(&call.shared.cluster.lock(), &call.user, namespace);
    if call.user.is_master() {
        paths.push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    resources.extend(own);
    Ok(json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false}))
}

fn own_rules(state: &State, user: &User, namespace: &str) -> Vec<Value> {
    if user.is_master() {
        return vec![json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})];
    }
    user.rules(state, namespace)
        .iter()
        .filter(|rule| rule["resources"].is_array())
        .map(|rule| {
            let mut out = json!({});
            for key in ["verbs", "apiGroups", "resources", "resourceNames"] {
                if rule[key].is_array() {
                    out[key] = rule[key].clone();
                }
            }
            out
        })
        .collect()
}

fn token(shared: &Shared, token: &str) -> Value {
    match identify::bearer(shared, token) {
        Some(user) => json!({
            "authenticated": true, "audiences": [AUDIENCE],
            "user": {"username": user.name(), "groups": user.groups()},
        }),
        None => json!({"user": {}, "error": "invalid bearer token"}),
    }
}
