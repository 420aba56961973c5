//! Subresources: status, scale, eviction, binding, token, finalize, and those that are streams. What else a kind has is refused by name.

use hyper::body::Incoming;
use serde_json::{Value, json};

use super::handle::Call;
use super::read;
use super::request::{self, Place};
use super::respond::{self, Answer};
use super::write;
use super::{exec, forward, log};
use crate::kube::admit::{Deletion, Write};
use crate::kube::object::{self, Object};
use crate::kube::patch;
use crate::kube::status::{Refusal, Result};
use crate::kube::table;

/// Seconds that a token lives that says nothing about it.
const TOKEN_SECONDS: i64 = 3600;
const TOKEN_SECONDS_MIN: i64 = 600;

pub(crate) async fn answer(
    call: Call,
    place: Place,
    verb: &str,
    incoming: Incoming,
) -> Result<Answer> {
    let Some(own) = place.resource.sub(&place.sub) else {
        return Err(Refusal::no_resource());
    };
    if place.rest {
        return Err(Refusal::no_resource());
    }
    if !own.verbs.iter().any(|one| one == verb) {
        return Err(Refusal::method_not_allowed());
    }
    match (place.sub.as_str(), verb) {
        ("status", "get") => read::get(&call, &place),
        ("log", _) => log::answer(&call, &place),
        ("exec", _) => exec::start(call, &place),
        ("attach", _) => exec::attach(call, &place),
        ("portforward", _) => forward::start(call, &place),
        _ => {
            let body = request::body(incoming).await?;
            match place.sub.as_str() {
                "status" => write::answer(&call, &place, verb, &body),
                "scale" => scale(&call, &place, verb, &body),
                "eviction" => evict(&call, &place, &body),
                "binding" => bind(&call, &place, &body),
                "token" => token(&call, &place, &body),
                "finalize" => finalize(&call, &place, &body),
                _ => Err(Refusal::no_resource()),
            }
        }
    }
}

pub(super) fn live(call: &Call, place: &Place) -> Result<std::sync::Arc<Object>> {
    let table = place.resource.qualified();
    let found = call
        .shared
        .cluster
        .lock()
        .get(&table, &place.namespace, &place.name);
    found.ok_or_else(|| Refusal::not_found(&table, &place.name))
}

/// Where a kind has its replicas: their wish, their number, their selector.
fn paths(place: &Place) -> (String, String, String) {
    match place
        .resource
        .custom
        .as_ref()
        .and_then(|custom| custom.scale.as_ref())
    {
        Some(scale) => {
            let text = |key: &str| scale[key].as_str().unwrap_or_default().to_owned();
            (
                text("specReplicasPath"),
                text("statusReplicasPath"),
                text("labelSelectorPath"),
            )
        }
        None => (
            ".spec.replicas".into(),
            ".status.replicas".into(),
            String::new(),
        ),
    }
}

fn scale_of(place: &Place, value: &Value) -> Value {
    let (wished, is, selector) = paths(place);
    let number = |path: &str| {
        table::json_path(value, path)
            .and_then(|one| one.as_i64())
            .unwrap_or_default()
    };
    let selector = if selector.is_empty() {
        let pairs =
            object::at(value, &["spec", "selector", "matchLabels"]).and_then(Value::as_object);
        let list: Vec<String> = pairs
            .into_iter()
            .flatten()
            .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
            .collect();
        list.join(",")
    } else {
        table::json_path(value, &selector)
            .and_then(|one| one.as_str().map(str::to_owned))
            .unwrap_or_default()
    };
    let meta = &value["metadata"];
    let mut status = json!({"replicas": number(&is)});
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"], "creationTimestamp": meta["creationTimestamp"],
        },
        "spec": {"replicas": number(&wished)}, "status": status,
    })
}

fn scale(call: &Call, place: &Place, verb: &str, body: &bytes::Bytes) -> Result<Answer> {
    // From the look at the object to its change nobody else may change it: a patch has no version that it could miss.
    let mut state = call.shared.cluster.lock();
    let table = place.resource.qualified();
    let own = state
        .get(&table, &place.namespace, &place.name)
        .ok_or_else(|| Refusal::not_found(&table, &place.name))?;
    let mut scale = scale_of(place, &own.value);
    match verb {
        "get" => return Ok(respond::json(200, &scale)),
        "update" => scale = request::object(&request::content_type(&call.parts), body)?,
        _ => {
            let change = request::json(body)?;
            match request::content_type(&call.parts).as_str() {
                "application/json-patch+json" => {
                    patch::json_patch(&mut scale, &change)
                        .map_err(|text| Refusal::new(422, "Invalid", text))?;
                }
                _ => patch::merge_patch(&mut scale, &change),
            }
        }
    }
    let wished = scale["spec"]["replicas"].as_i64().unwrap_or_default();
    if wished < 0 {
        let cause = crate::kube::status::Cause::invalid(
            "spec.replicas",
            &wished.into(),
            "must be greater than or equal to 0",
        );
        return Err(Refusal::invalid("Scale.autoscaling", &place.name, &[cause]));
    }
    let mut value = own.value.clone();
    let sent = object::text(&scale, &["metadata", "resourceVersion"]);
    if !sent.is_empty() {
        object::meta_mut(&mut value).insert("resourceVersion".into(), sent.into());
    }
    let path = paths(place).0;
    let mut parts: Vec<&str> = path.split('.').filter(|part| !part.is_empty()).collect();
    let last = parts.pop().unwrap_or("replicas");
    let mut at = &mut value;
    for part in parts {
        at = &mut at[part];
    }
    at[last] = wished.into();
    let mut how = write::how(call, place, "UpdateOptions")?;
    let made = state.update(
        &place.resource,
        &place.namespace,
        &place.name,
        value,
        &mut how,
    )?;
    Ok(respond::json(200, &scale_of(place, &made.value)))
}

fn evict(call: &Call, place: &Place, body: &bytes::Bytes) -> Result<Answer> {
    let value = request::object(&request::content_type(&call.parts), body)?;
    let how = Deletion::read(&value["deleteOptions"]);
    let mut state = call.shared.cluster.lock();
    if let Some(budget) = state.budget_in_the_way(&place.namespace, &place.name) {
        let cause = json!({"reason": "DisruptionBudget", "message": budget});
        return Err(Refusal::new(
            429,
            "TooManyRequests",
            "Cannot evict pod as it would violate the pod's disruption budget.",
        )
        .with_causes(vec![cause]));
    }
    state.delete(&place.resource, &place.namespace, &place.name, &how)?;
    Ok(respond::json(
        201,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    ))
}

fn bind(call: &Call, place: &Place, body: &bytes::Bytes) -> Result<Answer> {
    let value = request::object(&request::content_type(&call.parts), body)?;
    let node = object::text(&value, &["target", "name"]).to_owned();
    let own = live(call, place)?;
    let has = object::text(&own.value, &["spec", "nodeName"]);
    if !has.is_empty() {
        let detail = format!("pod {} is already assigned to node \"{has}\"", place.name);
        return Err(Refusal::conflict("pods/binding", &place.name, &detail));
    }
    call.shared.cluster.lock().bind(&own, &node)?;
    Ok(respond::json(
        201,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    ))
}

fn token(call: &Call, place: &Place, body: &bytes::Bytes) -> Result<Answer> {
    use base64::Engine;
    let account = live(call, place)?;
    let value = request::object(&request::content_type(&call.parts), body)?;
    let seconds = value["spec"]["expirationSeconds"]
        .as_i64()
        .unwrap_or(TOKEN_SECONDS);
    if seconds < TOKEN_SECONDS_MIN {
        let detail = "may not specify a duration less than 10 minutes";
        let cause =
            crate::kube::status::Cause::invalid("spec.expirationSeconds", &seconds.into(), detail);
        return Err(Refusal::invalid(
            "TokenRequest.authentication.k8s.io",
            "",
            &[cause],
        ));
    }
    let now = jiff::Timestamp::now();
    let end = now + jiff::SignedDuration::from_secs(seconds);
    let part =
        |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!(
        "{}.{}.{}",
        part(&json!({"alg": "RS256", "kid": "lab"})),
        part(&json!({
            "iss": "https://kubernetes.default.svc", "iat": now.as_second(), "exp": end.as_second(),
            "sub": format!("system:serviceaccount:{}:{}", place.namespace, place.name),
            "kubernetes.io": {"namespace": place.namespace, "serviceaccount": {"name": place.name, "uid": object::uid(&account.value)}},
        })),
        part(&json!(object::new_uid()))
    );
    let uid = object::uid(&account.value).to_owned();
    call.shared
        .cluster
        .lock()
        .tokens
        .insert(token.clone(), (uid, end));
    Ok(respond::json(
        201,
        &json!({
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": place.name, "namespace": place.namespace, "creationTimestamp": object::stamp(now)},
            "spec": {"audiences": ["https://kubernetes.default.svc"], "expirationSeconds": seconds},
            "status": {"token": token, "expirationTimestamp": object::stamp(end)},
        }),
    ))
}

/// The finalizers of a namespace's spec.
fn finalize(call: &Call, place: &Place, body: &bytes::Bytes) -> Result<Answer> {
    let sent = request::object(&request::content_type(&call.parts), body)?;
    let own = live(call, place)?;
    let mut value = own.value.clone();
    value["spec"]["finalizers"] = sent["spec"]["finalizers"].clone();
    let mut write = Write::by(&call.manager());
    let made =
        call.shared
            .cluster
            .lock()
            .replace(&place.resource, &own, value, &mut write, false)?;
    Ok(respond::json(200, &made.value))
}
