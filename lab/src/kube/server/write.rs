//! Writing: create, update, patch, apply, delete.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::handle::Call;
use super::read::{self, Form};
use super::request::{self, Place};
use super::respond::{self, Answer};
use super::reviews;
use crate::kube::admit::{Deletion, Validation, Write};
use crate::kube::object::{self, Object};
use crate::kube::patch;
use crate::kube::resource::Resource;
use crate::kube::state::State;
use crate::kube::status::{Cause, REJECTED, Refusal, Result, UNSUPPORTED};

const UNKNOWN_FORMAT: &str =
    "the body of the request was in an unknown format - accepted media types include: ";

/// How the query says that it is written.
pub(crate) fn how(call: &Call, place: &Place, options: &str) -> Result<Write> {
    let mut causes = Vec::new();
    let dry = call.params.all("dryRun");
    if let Some(bad) = dry.iter().find(|one| !one.is_empty() && *one != "All") {
        causes.push(Cause::unsupported("dryRun", &json!([bad]), &["All".into()]));
    }
    let manager = call.params.get("fieldManager");
    if manager.len() > 128 {
        let message = "Too long: may not be more than 128 bytes".to_owned();
        causes.push(Cause::new("FieldValueTooLong", "fieldManager", message));
    }
    let validation = match call.params.get("fieldValidation") {
        "" | "Warn" => Validation::Warn,
        "Strict" => Validation::Strict,
        "Ignore" => Validation::Ignore,
        other => {
            let known = ["Ignore", "Warn", "Strict"].map(str::to_owned);
            causes.push(Cause::unsupported("fieldValidation", &other.into(), &known));
            Validation::Warn
        }
    };
    if !causes.is_empty() {
        return Err(Refusal::invalid(
            &format!("{options}.meta.k8s.io"),
            "",
            &causes,
        ));
    }
    let mut write = Write::by(&call.manager());
    place.sub.clone_into(&mut write.subresource);
    write.dry_run = dry.iter().any(|one| one == "All");
    write.validation = validation;
    Ok(write)
}

pub(crate) fn answer(call: &Call, place: &Place, verb: &str, body: &Bytes) -> Result<Answer> {
    match verb {
        "create" => create(call, place, body),
        "update" => update(call, place, body),
        "patch" => patch(call, place, body),
        "delete" => delete(call, place, body),
        "deletecollection" => delete_collection(call, place, body),
        _ => Err(Refusal::method_not_allowed()),
    }
}

fn shaped(
    call: &Call,
    resource: &Resource,
    status: u16,
    object: &Object,
    warnings: &[String],
) -> Result<Answer> {
    let form = match read::form(call)? {
        Form::Table { .. } => read::form(call)?,
        other => other,
    };
    let mut answer = respond::bytes(
        status,
        "application/json",
        read::shaped(resource, object, form),
    );
    respond::warn(&mut answer, warnings);
    Ok(answer)
}

/// The object of a body; what is none is told with the kind that was expected.
fn object_of(call: &Call, place: &Place, body: &Bytes) -> Result<Value> {
    request::object(&request::content_type(&call.parts), body).map_err(|mut refusal| {
        if refusal.code == 400 {
            refusal.message = format!(
                "the object provided is unrecognized (must be of type {}): {}",
                place.resource.kind, refusal.message
            );
        }
        refusal
    })
}

fn create(call: &Call, place: &Place, body: &Bytes) -> Result<Answer> {
    let mut write = how(call, place, "CreateOptions")?;
    let value = object_of(call, place, body)?;
    if place.resource.group == "authorization.k8s.io"
        || place.resource.group == "authentication.k8s.io"
    {
        let answered = reviews::answer(call, &place.resource, &place.namespace, value)?;
        return Ok(respond::json(201, &answered));
    }
    if place.resource.namespaced && place.namespace.is_empty() {
        return Err(Refusal::method_not_allowed());
    }
    if place.resource.group == "rbac.authorization.k8s.io"
        && place.resource.plural.ends_with("roles")
    {
        let state = call.shared.cluster.lock();
        if call
            .user
            .lacks(&state, &place.namespace, object::items(&value, &["rules"]))
        {
            let detail = format!(
                "user \"{}\" (groups={:?}) is attempting to grant RBAC permissions not currently held",
                call.user.name(),
                call.user.groups()
            );
            return Err(Refusal::forbidden(
                &place.resource.qualified(),
                object::name(&value),
                &detail,
            ));
        }
    }
    let made =
        call.shared
            .cluster
            .lock()
            .create(&place.resource, &place.namespace, value, &mut write)?;
    shaped(call, &place.resource, 201, &made, &write.warnings)
}

fn update(call: &Call, place: &Place, body: &Bytes) -> Result<Answer> {
    let mut write = how(call, place, "UpdateOptions")?;
    let value = object_of(call, place, body)?;
    if place.resource.is_custom()
        && object::text(&value, &["metadata", "resourceVersion"]).is_empty()
    {
        let cause = Cause::invalid(
            "metadata.resourceVersion",
            &0.into(),
            "must be specified for an update",
        );
        return Err(Refusal::invalid(
            &place.resource.qualified(),
            &place.name,
            &[cause],
        ));
    }
    let made = call.shared.cluster.lock().update(
        &place.resource,
        &place.namespace,
        &place.name,
        value,
        &mut write,
    )?;
    shaped(call, &place.resource, 200, &made, &write.warnings)
}

pub(crate) fn patch(call: &Call, place: &Place, body: &Bytes) -> Result<Answer> {
    let kind = request::content_type(&call.parts);
    let force = call.params.get("force");
    let mut write = how(call, place, "PatchOptions")?;
    if kind == "application/apply-patch+yaml" {
        if call.params.get("fieldManager").is_empty() {
            let cause = Cause::required("fieldManager", "is required for apply patch");
            return Err(Refusal::invalid("PatchOptions.meta.k8s.io", "", &[cause]));
        }
        let config = request::yaml(body)?;
        let mut state = call.shared.cluster.lock();
        let (made, created) = state.apply(
            &place.resource,
            &place.namespace,
            &place.name,
            config,
            force == "true",
            &mut write,
        )?;
        drop(state);
        return shaped(
            call,
            &place.resource,
            if created { 201 } else { 200 },
            &made,
            &write.warnings,
        );
    }
    if !force.is_empty() {
        let cause = Cause::forbidden("force", "may not be specified for non-apply patch");
        return Err(Refusal::invalid("PatchOptions.meta.k8s.io", "", &[cause]));
    }
    let custom = place.resource.is_custom();
    let known = match kind.as_str() {
        "application/json-patch+json" | "application/merge-patch+json" => true,
        "application/strategic-merge-patch+json" => !custom,
        _ => false,
    };
    if !known {
        if !kind.ends_with("-patch+json") {
            return Err(Refusal::new(415, "UnsupportedMediaType", UNSUPPORTED));
        }
        let mut all = vec![
            "application/json-patch+json",
            "application/merge-patch+json",
        ];
        if !custom {
            all.push("application/strategic-merge-patch+json");
        }
        all.push("application/apply-patch+yaml");
        return Err(Refusal::new(
            415,
            "UnsupportedMediaType",
            format!("{UNKNOWN_FORMAT}{}", all.join(", ")),
        ));
    }
    let patch = request::json(body)
        .map_err(|_| Refusal::bad_request("error decoding patch: invalid JSON document"))?;
    let mut state = call.shared.cluster.lock();
    let made = patched(&mut state, place, &kind, &patch, &mut write)?;
    drop(state);
    shaped(call, &place.resource, 200, &made, &write.warnings)
}

fn patched(
    state: &mut State,
    place: &Place,
    kind: &str,
    patch: &Value,
    write: &mut Write,
) -> Result<Arc<Object>> {
    let resource = &place.resource;
    let Some(live) = state.get(&resource.qualified(), &place.namespace, &place.name) else {
        return Err(Refusal::not_found(&resource.qualified(), &place.name));
    };
    let mut value = live.value.clone();
    value["apiVersion"] = resource.api_version().into();
    let before = object::text(&value, &["metadata", "resourceVersion"]).to_owned();
    match kind {
        "application/json-patch+json" => patch::json_patch(&mut value, patch)
            .map_err(|_| Refusal::new(422, "Invalid", REJECTED))?,
        "application/merge-patch+json" => {
            if !patch.is_object() {
                return Err(Refusal::bad_request(
                    "error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}",
                ));
            }
            patch::merge_patch(&mut value, patch);
        }
        _ => patch::strategic_patch(Some(resource.schema()), &mut value, patch)
            .map_err(Refusal::bad_request)?,
    }
    // A version that the patch brought is a precondition; the live one is none.
    if object::text(&value, &["metadata", "resourceVersion"]) == before {
        object::meta_mut(&mut value).shift_remove("resourceVersion");
    }
    state
        .update(resource, &place.namespace, &place.name, value, write)
        .map_err(|refusal| {
            match refusal.message.find("strict decoding error: ") {
                // What a patch brought is told as a part of the patch.
                Some(at) if refusal.code == 400 => {
                    let cause =
                        Cause::invalid("patch", &patch.to_string().into(), &refusal.message[at..]);
                    Refusal::invalid(&resource.qualified_kind(), &place.name, &[cause])
                }
                _ => refusal,
            }
        })
}

/// Options may be in the body or in the query.
fn options(call: &Call, body: &Bytes) -> Result<Deletion> {
    let value = if body.is_empty() {
        json!({})
    } else {
        request::object(&request::content_type(&call.parts), body)?
    };
    let mut how = Deletion::read(&value);
    if let Some(seconds) = call.params.number("gracePeriodSeconds") {
        how.grace = i64::try_from(seconds).ok();
    }
    if !call.params.get("propagationPolicy").is_empty() {
        how.propagation = Some(call.params.get("propagationPolicy").to_owned());
    }
    how.dry_run |= call.params.all("dryRun").iter().any(|one| one == "All");
    if let Some(policy) = how.propagation.as_deref()
        && !matches!(policy, "Foreground" | "Background" | "Orphan")
    {
        let known = ["Foreground", "Background", "Orphan", "nil"].map(str::to_owned);
        let cause = Cause::unsupported("propagationPolicy", &policy.into(), &known);
        return Err(Refusal::invalid("DeleteOptions.meta.k8s.io", "", &[cause]));
    }
    Ok(how)
}

fn delete(call: &Call, place: &Place, body: &Bytes) -> Result<Answer> {
    let how = options(call, body)?;
    let (value, _) =
        call.shared
            .cluster
            .lock()
            .delete(&place.resource, &place.namespace, &place.name, &how)?;
    Ok(respond::json(200, &value))
}

fn delete_collection(call: &Call, place: &Place, body: &Bytes) -> Result<Answer> {
    let how = options(call, body)?;
    let query = read::query(call, place)?;
    let mut state = call.shared.cluster.lock();
    let page = state.list(&place.resource, &place.namespace, &query)?;
    for item in &page.items {
        let (namespace, name) = (object::namespace(&item.value), object::name(&item.value));
        match state.delete(&place.resource, namespace, name, &how) {
            Err(refusal) if refusal.code == 404 => {}
            outcome => {
                outcome?;
            }
        }
    }
    let items: Vec<&Value> = page.items.iter().map(|one| &one.value).collect();
    Ok(respond::json(
        200,
        &json!({
            "kind": place.resource.list_kind, "apiVersion": place.resource.api_version(),
            "metadata": {"resourceVersion": page.version.to_string()}, "items": items,
        }),
    ))
}
