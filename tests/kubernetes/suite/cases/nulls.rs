//! Custom objects: what becomes of a null.

use anyhow::Result;
use serde_json::{Value, json};

use super::definitions::{gadget, gadgets};
use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;

cases![
    a_null_where_none_may_be_is_dropped,
    a_null_with_a_default_becomes_it,
    a_null_that_may_be_stays,
    a_null_in_what_is_not_described_stays,
    a_null_of_a_required_field_is_missing,
    a_null_in_a_list_is_refused,
    a_merge_patch_takes_a_field_away,
    an_applied_null_is_refused,
];

fn described(properties: Value) -> Value {
    json!({"type": "object", "properties": properties})
}

async fn a_null_where_none_may_be_is_dropped(t: &Context) -> Result<()> {
    let spec = described(json!({
        "text": {"type": "string"}, "number": {"type": "integer"}, "truth": {"type": "boolean"},
        "list": {"type": "array", "items": {"type": "string"}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "inner": {"type": "object", "properties": {"text": {"type": "string"}}},
        "objects": {"type": "array", "items": {"type": "object", "properties": {"text": {"type": "string"}}}},
    }));
    let gadgets = gadgets(t, &spec).await?;
    let nulls = json!({
        "text": null, "number": null, "truth": null, "list": null, "map": {"a": null, "b": "c"},
        "inner": {"text": null}, "objects": [{"text": null}],
    });
    let made = t.create(&gadgets, &gadget(t, "a", &nulls)).await?;
    same!(
        made["spec"],
        json!({"map": {"b": "c"}, "inner": {}, "objects": [{}]})
    );
    let strict = t
        .admin()
        .post(
            &format!("{gadgets}?fieldValidation=Strict"),
            &gadget(t, "b", &nulls),
        )
        .await?
        .status(201)?;
    same!(strict["spec"], made["spec"]);
    Ok(())
}

async fn a_null_with_a_default_becomes_it(t: &Context) -> Result<()> {
    let spec = described(json!({
        "text": {"type": "string", "default": "usual"},
        "map": {"type": "object", "additionalProperties": {"type": "integer", "default": 7}},
        "list": {"type": "array", "items": {"type": "string", "default": "item"}},
    }));
    let gadgets = gadgets(t, &spec).await?;
    let nulls = json!({"text": null, "map": {"a": null}, "list": [null]});
    let made = t.create(&gadgets, &gadget(t, "a", &nulls)).await?;
    same!(
        made["spec"],
        json!({"text": "usual", "map": {"a": 7}, "list": ["item"]})
    );
    Ok(())
}

async fn a_null_that_may_be_stays(t: &Context) -> Result<()> {
    let spec = described(json!({
        "text": {"type": "string", "nullable": true},
        "usual": {"type": "string", "nullable": true, "default": "x"},
    }));
    let gadgets = gadgets(t, &spec).await?;
    let nulls = json!({"text": null, "usual": null});
    same!(
        t.create(&gadgets, &gadget(t, "a", &nulls)).await?["spec"],
        nulls
    );
    Ok(())
}

async fn a_null_in_what_is_not_described_stays(t: &Context) -> Result<()> {
    let spec = described(json!({
        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }));
    let gadgets = gadgets(t, &spec).await?;
    let nulls = json!({"any": {"deep": {"a": null}}});
    same!(
        t.create(&gadgets, &gadget(t, "a", &nulls)).await?["spec"],
        nulls
    );
    Ok(())
}

async fn a_null_of_a_required_field_is_missing(t: &Context) -> Result<()> {
    let mut spec = described(json!({"text": {"type": "string"}}));
    spec["required"] = json!(["text"]);
    let gadgets = gadgets(t, &spec).await?;
    let status = t
        .admin()
        .post(&gadgets, &gadget(t, "a", &json!({"text": null})))
        .await?
        .failure(422, "Invalid")?;
    same!(
        status["details"]["causes"][0],
        json!({"reason": "FieldValueRequired", "message": "Required value", "field": "spec.text"})
    );
    Ok(())
}

async fn a_null_in_a_list_is_refused(t: &Context) -> Result<()> {
    let spec = described(json!({"list": {"type": "array", "items": {"type": "string"}}}));
    let gadgets = gadgets(t, &spec).await?;
    let status = t
        .admin()
        .post(&gadgets, &gadget(t, "a", &json!({"list": ["a", null]})))
        .await?
        .failure(422, "Invalid")?;
    same!(
        status["details"]["causes"][0],
        json!({
            "reason": "FieldValueTypeInvalid", "field": "spec.list[1]",
            "message": "Invalid value: \"null\": spec.list[1] in body must be of type string: \"null\"",
        })
    );
    Ok(())
}

async fn a_merge_patch_takes_a_field_away(t: &Context) -> Result<()> {
    let spec =
        described(json!({"text": {"type": "string"}, "usual": {"type": "string", "default": "x"}}));
    let gadgets = gadgets(t, &spec).await?;
    t.create(
        &gadgets,
        &gadget(t, "a", &json!({"text": "a", "usual": "b"})),
    )
    .await?;
    let patched = t
        .admin()
        .patch(
            &format!("{gadgets}/a"),
            MERGE,
            &json!({"spec": {"text": null, "usual": null}}),
        )
        .await?
        .status(200)?;
    same!(patched["spec"], json!({"usual": "x"}));
    Ok(())
}

async fn an_applied_null_is_refused(t: &Context) -> Result<()> {
    let spec = described(json!({"text": {"type": "string"}, "other": {"type": "string"}}));
    let gadgets = gadgets(t, &spec).await?;
    let path = format!("{gadgets}/a");
    let status = t
        .admin()
        .apply(
            &path,
            "suite",
            &gadget(t, "a", &json!({"text": null, "other": "x"})),
        )
        .await?
        .failure(422, "Invalid")?;
    // Whoever applies has an opinion on what is null: it is not taken for what is left out.
    same!(
        status["details"]["causes"][0],
        json!({
            "reason": "FieldValueTypeInvalid", "field": "spec.text",
            "message": "Invalid value: \"null\": spec.text in body must be of type string: \"null\"",
        })
    );
    Ok(())
}
