//! Custom objects: schema, status, versions, apply, watch.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::definitions::{establish, gadget, gadgets, group, schema};
use crate::case::{cases, same};
use crate::client::{JSON, MERGE, STRATEGIC};
use crate::context::Context;
use crate::manifest::definition;
use crate::watch::Watch;

cases![
    defaults_are_filled_in,
    unknown_fields_are_pruned,
    unknown_fields_are_kept_where_said,
    validation_names_every_mistake,
    unknown_fields_strictly_are_400,
    status_is_apart_and_generation_counts_the_spec,
    columns_of_a_table,
    a_strategic_patch_is_415,
    apply_owns_lists_as_a_whole,
    apply_owns_map_lists_by_key,
    a_watch_of_custom_objects,
];

async fn defaults_are_filled_in(t: &Context) -> Result<()> {
    let spec = json!({
        "type": "object", "default": {},
        "properties": {"size": {"type": "integer", "default": 3}, "name": {"type": "string"}},
    });
    let gadgets = gadgets(t, &spec).await?;
    let made = t
        .create(&gadgets, &gadget(t, "a", &json!({"name": "x"})))
        .await?;
    same!(made["spec"], json!({"name": "x", "size": 3}));
    let mut bare = gadget(t, "b", &Value::Null);
    bare.as_object_mut().context("a map")?.remove("spec");
    same!(t.create(&gadgets, &bare).await?["spec"], json!({"size": 3}));
    Ok(())
}

async fn unknown_fields_are_pruned(t: &Context) -> Result<()> {
    let gadgets = gadgets(t, &schema(&json!({"size": {"type": "integer"}}))).await?;
    let mut body = gadget(t, "a", &json!({"size": 1, "colour": "red"}));
    body["other"] = json!(1);
    let made = t
        .create(&format!("{gadgets}?fieldValidation=Ignore"), &body)
        .await?;
    same!(made["spec"], json!({"size": 1}));
    ensure!(made["other"].is_null(), "{made}");
    Ok(())
}

async fn unknown_fields_are_kept_where_said(t: &Context) -> Result<()> {
    let gadgets = gadgets(
        t,
        &json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
    )
    .await?;
    let spec = json!({"any": {"thing": [1, "two", null]}});
    same!(
        t.create(&gadgets, &gadget(t, "a", &spec)).await?["spec"],
        spec
    );
    Ok(())
}

async fn validation_names_every_mistake(t: &Context) -> Result<()> {
    let spec = json!({
        "type": "object", "required": ["size"],
        "properties": {
            "size": {"type": "integer", "minimum": 1, "maximum": 9},
            "mode": {"type": "string", "enum": ["on", "off"]},
            "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
            "list": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
        },
    });
    let gadgets = gadgets(t, &spec).await?;
    let kind = "Gadget";
    let group = group(t);
    for (spec, field, reason, message) in [
        (
            json!({}),
            "spec.size",
            "FieldValueRequired",
            "Required value",
        ),
        (
            json!({"size": 0}),
            "spec.size",
            "FieldValueInvalid",
            "Invalid value: 0: spec.size in body should be greater than or equal to 1",
        ),
        (
            json!({"size": 10}),
            "spec.size",
            "FieldValueInvalid",
            "Invalid value: 10: spec.size in body should be less than or equal to 9",
        ),
        (
            json!({"size": "x"}),
            "spec.size",
            "FieldValueTypeInvalid",
            "Invalid value: \"string\": spec.size in body must be of type integer: \"string\"",
        ),
        (
            json!({"size": 1, "mode": "auto"}),
            "spec.mode",
            "FieldValueNotSupported",
            "Unsupported value: \"auto\": supported values: \"on\", \"off\"",
        ),
        (
            json!({"size": 1, "name": "A"}),
            "spec.name",
            "FieldValueInvalid",
            "Invalid value: \"A\": spec.name in body should match '^[a-z]+$'",
        ),
        (
            json!({"size": 1, "name": "abcdef"}),
            "spec.name",
            "FieldValueTooLong",
            "Too long: may not be more than 5 bytes",
        ),
        (
            json!({"size": 1, "list": ["a", "b", "c"]}),
            "spec.list",
            "FieldValueTooMany",
            "Too many: 3: must have at most 2 items",
        ),
    ] {
        let status = t
            .admin()
            .post(&gadgets, &gadget(t, "a", &spec))
            .await?
            .failure(422, "Invalid")?;
        let cause = &status["details"]["causes"][0];
        same!(
            *cause,
            json!({"reason": reason, "message": message, "field": field}),
            "{spec}"
        );
        same!(
            status["message"],
            format!("{kind}.{group} \"a\" is invalid: {field}: {message}")
        );
    }
    let status = t
        .admin()
        .post(
            &gadgets,
            &gadget(t, "a", &json!({"size": 0, "mode": "auto"})),
        )
        .await?
        .failure(422, "Invalid")?;
    same!(
        status["details"]["causes"].as_array().map(Vec::len),
        Some(2)
    );
    Ok(())
}

async fn unknown_fields_strictly_are_400(t: &Context) -> Result<()> {
    let gadgets = gadgets(t, &schema(&json!({"size": {"type": "integer"}}))).await?;
    let body = gadget(t, "a", &json!({"colour": "red"}));
    let status = t
        .admin()
        .post(&format!("{gadgets}?fieldValidation=Strict"), &body)
        .await?
        .failure(400, "BadRequest")?;
    let message = status["message"].as_str().unwrap_or_default();
    ensure!(
        message.ends_with("strict decoding error: unknown field \"spec.colour\""),
        "{message}"
    );
    let reply = t
        .admin()
        .post(&format!("{gadgets}?fieldValidation=Warn"), &body)
        .await?;
    same!(
        reply.header("warning"),
        "299 - \"unknown field \\\"spec.colour\\\"\""
    );
    Ok(())
}

async fn status_is_apart_and_generation_counts_the_spec(t: &Context) -> Result<()> {
    let gadgets = gadgets(t, &schema(&json!({"size": {"type": "integer"}}))).await?;
    let mut body = gadget(t, "a", &json!({"size": 1}));
    body["status"] = json!({"phase": "early"});
    let made = t.create(&gadgets, &body).await?;
    ensure!(
        made["status"].is_null(),
        "the status was taken with the object: {made}"
    );
    let path = format!("{gadgets}/a");
    let patch = json!({"spec": {"size": 9}, "status": {"phase": "done"}});
    let after = t
        .admin()
        .patch(&format!("{path}/status"), MERGE, &patch)
        .await?
        .status(200)?;
    same!(after["status"], json!({"phase": "done"}));
    same!(after["spec"], json!({"size": 1}));
    same!(after["metadata"]["generation"], 1);
    let after = t
        .admin()
        .patch(&path, MERGE, &json!({"metadata": {"labels": {"a": "b"}}}))
        .await?
        .status(200)?;
    same!(after["metadata"]["generation"], 1);
    let after = t.admin().patch(&path, MERGE, &patch).await?.status(200)?;
    same!(after["metadata"]["generation"], 2);
    same!(after["spec"], json!({"size": 9}));
    Ok(())
}

async fn columns_of_a_table(t: &Context) -> Result<()> {
    let group = group(t);
    let mut body = definition(
        &group,
        "Gadget",
        "Namespaced",
        &schema(&json!({"size": {"type": "integer"}})),
    );
    body["spec"]["versions"][0]["additionalPrinterColumns"] = json!([
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Hidden", "type": "string", "jsonPath": ".spec.none", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]);
    establish(t, &body).await?;
    let gadgets = t.resource(&format!("{group}/v1"), "gadgets").await?;
    t.admin().until(&gadgets, "it is served", |_| true).await?;
    t.create(&gadgets, &gadget(t, "a", &json!({"size": 4})))
        .await?;
    let table = t
        .admin()
        .get_as(&gadgets, "application/json;as=Table;v=v1;g=meta.k8s.io")
        .await?
        .status(200)?;
    let columns: Vec<_> = table["columnDefinitions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|column| column["name"].clone())
        .collect();
    same!(
        columns,
        vec![json!("Name"), json!("Size"), json!("Hidden"), json!("Age")]
    );
    let cells = &table["rows"][0]["cells"];
    same!(cells[0], "a");
    same!(cells[1], 4);
    Ok(())
}

async fn a_strategic_patch_is_415(t: &Context) -> Result<()> {
    let gadgets = gadgets(t, &schema(&json!({"size": {"type": "integer"}}))).await?;
    t.create(&gadgets, &gadget(t, "a", &json!({"size": 1})))
        .await?;
    t.admin().patch(&format!("{gadgets}/a"), STRATEGIC, &json!({"spec": {"size": 2}})).await?.refused(
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, \
         application/merge-patch+json, application/apply-patch+yaml",
    )?;
    Ok(())
}

async fn apply_owns_lists_as_a_whole(t: &Context) -> Result<()> {
    let list = json!({"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}});
    let gadgets = gadgets(t, &schema(&json!({"list": list}))).await?;
    let path = format!("{gadgets}/a");
    t.admin()
        .apply(
            &path,
            "one",
            &gadget(t, "a", &json!({"list": [{"name": "x"}]})),
        )
        .await?
        .status(201)?;
    t.admin()
        .apply(
            &path,
            "two",
            &gadget(t, "a", &json!({"list": [{"name": "y"}]})),
        )
        .await?
        .refused(
            409,
            "Conflict",
            "Apply failed with 1 conflict: conflict with \"one\": .spec.list",
        )?;
    Ok(())
}

async fn apply_owns_map_lists_by_key(t: &Context) -> Result<()> {
    let list = json!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "value": {"type": "string"}}},
    });
    let gadgets = gadgets(t, &schema(&json!({"list": list}))).await?;
    let path = format!("{gadgets}/a");
    t.admin()
        .apply(
            &path,
            "one",
            &gadget(t, "a", &json!({"list": [{"name": "x", "value": "1"}]})),
        )
        .await?
        .status(201)?;
    let both = t
        .admin()
        .apply(
            &path,
            "two",
            &gadget(t, "a", &json!({"list": [{"name": "y", "value": "2"}]})),
        )
        .await?
        .status(200)?;
    same!(
        both["spec"]["list"],
        json!([{"name": "x", "value": "1"}, {"name": "y", "value": "2"}])
    );
    t.admin()
        .apply(
            &path,
            "two",
            &gadget(t, "a", &json!({"list": [{"name": "x", "value": "3"}]})),
        )
        .await?
        .refused(
            409,
            "Conflict",
            "Apply failed with 1 conflict: conflict with \"one\": .spec.list[name=\"x\"].value",
        )?;
    Ok(())
}

async fn a_watch_of_custom_objects(t: &Context) -> Result<()> {
    let gadgets = gadgets(t, &schema(&json!({"size": {"type": "integer"}}))).await?;
    let mut watch = Watch::open_as(t.admin(), &gadgets, "", JSON).await?;
    t.create(&gadgets, &gadget(t, "a", &json!({"size": 1})))
        .await?;
    let seen = watch.expect("ADDED", "a").await?;
    same!(seen["kind"], "Gadget");
    Ok(())
}
