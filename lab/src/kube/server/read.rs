//! Reading: one object, a list, and the forms they are asked in.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

use super::handle::Call;
use super::request::Place;
use super::respond::{self, Answer};
use crate::kube::object::Object;
use crate::kube::page::{Page, Query, parse_version, too_large};
use crate::kube::resource::Resource;
use crate::kube::select::Selector;
use crate::kube::status::{Refusal, Result};
use crate::kube::table;

/// In which form objects are wished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Full,
    Table { object: Include },
    Partial,
}

/// What a row of a table carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    Nothing,
    Metadata,
    Object,
}

/// The first form of `Accept` that is known.
pub(crate) fn form(call: &Call) -> Result<Form> {
    let accepts = call.accepts();
    if accepts.is_empty() {
        return Ok(Form::Full);
    }
    for one in accepts.split(',') {
        let mut parts = one.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        if !matches!(kind, "application/json" | "*/*" | "application/*") {
            continue;
        }
        let wanted = parts
            .find_map(|part| part.strip_prefix("as="))
            .unwrap_or_default();
        return Ok(match wanted {
            "Table" => Form::Table {
                object: match call.params.get("includeObject") {
                    "None" => Include::Nothing,
                    "Object" => Include::Object,
                    _ => Include::Metadata,
                },
            },
            "PartialObjectMetadata" | "PartialObjectMetadataList" => Form::Partial,
            _ => Form::Full,
        });
    }
    Err(Refusal::new(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json",
    ))
}

/// The object's text in the version that was asked for.
pub(crate) fn text(resource: &Resource, object: &Object) -> Bytes {
    let version = resource.api_version();
    if object.value["apiVersion"] == version.as_str() {
        return object.text();
    }
    let mut value = object.value.clone();
    value["apiVersion"] = version.into();
    Bytes::from(value.to_string())
}

fn table_of(resource: &Resource, values: &[&Value], include: Include, meta: Value) -> Value {
    let rows: Vec<Value> = values
        .iter()
        .map(|value| {
            let object = match include {
                Include::Nothing => Value::Null,
                Include::Metadata => table::partial(value),
                Include::Object => (*value).clone(),
            };
            table::row(resource, value, object)
        })
        .collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "columnDefinitions": table::head(resource), "rows": rows})
}

/// One object in the form that was asked for.
pub(crate) fn shaped(resource: &Resource, object: &Object, form: Form) -> Bytes {
    match form {
        Form::Full => text(resource, object),
        Form::Partial => Bytes::from(table::partial(&object.value).to_string()),
        Form::Table { object: include } => {
            let meta = json!({"resourceVersion": object.value["metadata"]["resourceVersion"]});
            Bytes::from(table_of(resource, &[&object.value], include, meta).to_string())
        }
    }
}

pub(crate) fn get(call: &Call, place: &Place) -> Result<Answer> {
    let form = form(call)?;
    let state = call.shared.cluster.lock();
    let wanted = parse_version(call.params.get("resourceVersion"))?;
    if wanted > state.store.version() {
        return Err(too_large(wanted, state.store.version()));
    }
    let found = state.get(&place.resource.qualified(), &place.namespace, &place.name);
    drop(state);
    let Some(object) = found else {
        return Err(Refusal::not_found(&place.resource.qualified(), &place.name));
    };
    Ok(respond::bytes(
        200,
        "application/json",
        shaped(&place.resource, &object, form),
    ))
}

pub(crate) fn query(call: &Call, place: &Place) -> Result<Query> {
    let params = &call.params;
    let mut fields = params.get("fieldSelector").to_owned();
    if !place.name.is_empty() {
        let own = format!("metadata.name={}", place.name);
        fields = if fields.is_empty() {
            own
        } else {
            format!("{fields},{own}")
        };
    }
    Ok(Query {
        selector: Selector::parse(&place.resource, params.get("labelSelector"), &fields)?,
        limit: params
            .number("limit")
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or_default(),
        token: params.get("continue").to_owned(),
        version: params.get("resourceVersion").to_owned(),
        matches: params.get("resourceVersionMatch").to_owned(),
    })
}

pub(crate) fn list(call: &Call, place: &Place) -> Result<Answer> {
    let form = form(call)?;
    let query = query(call, place)?;
    if call.params.flag("sendInitialEvents") {
        let cause = crate::kube::status::Cause::forbidden(
            "sendInitialEvents",
            "sendInitialEvents is forbidden for list",
        );
        return Err(Refusal::invalid("ListOptions.meta.k8s.io", "", &[cause]));
    }
    let page = call
        .shared
        .cluster
        .lock()
        .list(&place.resource, &place.namespace, &query)?;
    Ok(respond::bytes(
        200,
        "application/json",
        page_text(&place.resource, &page, form),
    ))
}

fn page_text(resource: &Resource, page: &Page, form: Form) -> Bytes {
    let mut meta = json!({"resourceVersion": page.version.to_string()});
    if !page.token.is_empty() {
        meta["continue"] = page.token.as_str().into();
        if let Some(remaining) = page.remaining {
            meta["remainingItemCount"] = remaining.into();
        }
    }
    let (kind, version) = match form {
        Form::Table { object } => {
            let values: Vec<&Value> = page.items.iter().map(|one| &one.value).collect();
            return Bytes::from(table_of(resource, &values, object, meta).to_string());
        }
        Form::Full => (resource.list_kind.clone(), resource.api_version()),
        Form::Partial => (
            "PartialObjectMetadataList".to_owned(),
            "meta.k8s.io/v1".to_owned(),
        ),
    };
    let mut out = BytesMut::new();
    out.put_slice(
        format!(
            "{{\"kind\":\"{kind}\",\"apiVersion\":\"{version}\",\"metadata\":{meta},\"items\":["
        )
        .as_bytes(),
    );
    for (index, item) in page.items.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        let bare = form == Form::Full && !resource.is_custom();
        out.put_slice(&if bare {
            item.bare()
        } else {
            shaped(resource, item, form)
        });
    }
    out.put_slice(b"]}\n");
    out.freeze()
}
