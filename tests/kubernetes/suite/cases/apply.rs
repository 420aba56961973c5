//! Server-side apply: owners of fields, conflicts with their exact words, what is removed and what stays.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::case::{cases, same};
use crate::client::APPLY;
use crate::context::Context;
use crate::manifest::{configmap, deployment};

cases![
    apply_makes_with_201_and_changes_with_200,
    apply_wants_a_manager,
    apply_refuses_managed_fields_in_the_body,
    apply_reads_yaml,
    apply_wants_name_and_kind,
    a_conflict_names_manager_and_field,
    a_conflict_with_an_update_names_the_version_and_time,
    several_conflicts_are_listed_by_manager,
    force_takes_the_field,
    nothing_changed_keeps_the_version_and_times,
    a_stale_version_is_409,
    a_dry_run_stores_nothing,
    a_field_that_no_schema_has_is_500,
    a_value_of_another_type_is_500,
    a_quantity_written_otherwise_changes_nothing,
    the_same_key_twice_is_refused,
    a_conflict_changes_nothing,
    null_is_owned_and_empties,
    a_very_long_manager_is_refused,
    apply_to_another_uid_is_422,
];

pub(super) fn data(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// Applies as a manager, without force; the answer must be a success.
pub(super) async fn applied(t: &Context, path: &str, manager: &str, body: &Value) -> Result<Value> {
    t.admin().apply(path, manager, body).await?.ok()
}

pub(super) async fn configmap_path(t: &Context) -> Result<String> {
    Ok(format!("{}/a", t.configmaps().await?))
}

/// The managedFields entry of a manager and operation, without its time.
pub(super) fn entry(object: &Value, manager: &str, operation: &str) -> Result<Value> {
    let mut entries = object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten();
    let found =
        entries.find(|entry| entry["manager"] == manager && entry["operation"] == operation);
    let mut found = found.cloned().with_context(|| {
        format!(
            "no entry of {manager} by {operation}: {}",
            object["metadata"]["managedFields"]
        )
    })?;
    found
        .as_object_mut()
        .context("an entry is a map")?
        .remove("time");
    Ok(found)
}

async fn apply_makes_with_201_and_changes_with_200(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    let made = t
        .admin()
        .apply(&path, "one", &configmap("a", "k", "1"))
        .await?
        .status(201)?;
    ensure!(made["metadata"]["uid"].is_string(), "{made}");
    let changed = t
        .admin()
        .apply(&path, "one", &configmap("a", "k", "2"))
        .await?
        .status(200)?;
    same!(changed["data"]["k"], "2");
    same!(changed["metadata"]["uid"], made["metadata"]["uid"]);
    Ok(())
}

async fn apply_wants_a_manager(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    let status = t
        .admin()
        .patch(&path, APPLY, &configmap("a", "k", "1"))
        .await?
        .failure(422, "Invalid")?;
    same!(
        status["message"],
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
    );
    Ok(())
}

async fn apply_refuses_managed_fields_in_the_body(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    let made = applied(t, &path, "one", &configmap("a", "k", "1")).await?;
    t.admin().apply(&path, "one", &made).await?.refused(
        400,
        "BadRequest",
        "metadata.managedFields must be nil",
    )?;
    Ok(())
}

async fn apply_reads_yaml(t: &Context) -> Result<()> {
    let path = format!("{}?fieldManager=one", configmap_path(t).await?);
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  k: 'yes'\n";
    let request = t
        .admin()
        .request(reqwest::Method::PATCH, &path)
        .header("Content-Type", APPLY)
        .body(text);
    let made = t.admin().send(request).await?.status(201)?;
    same!(made["data"]["k"], "yes");
    Ok(())
}

async fn apply_wants_name_and_kind(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    let body = json!({"metadata": {"name": "a"}});
    t.admin().apply(&path, "one", &body).await?.refused(
        400,
        "BadRequest",
        "invalid object type: /, Kind=",
    )?;
    let status = t
        .admin()
        .apply(&path, "one", &configmap("b", "k", "1"))
        .await?
        .failure(400, "BadRequest")?;
    same!(
        status["message"],
        "the name of the object (b) does not match the name on the URL (a)"
    );
    Ok(())
}

async fn a_conflict_names_manager_and_field(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    applied(t, &path, "one", &configmap("a", "k", "1")).await?;
    let status = t
        .admin()
        .apply(&path, "two", &configmap("a", "k", "2"))
        .await?
        .refused(
            409,
            "Conflict",
            "Apply failed with 1 conflict: conflict with \"one\": .data.k",
        )?;
    same!(
        status["details"]["causes"],
        json!([{"reason": "FieldManagerConflict", "message": "conflict with \"one\"", "field": ".data.k"}])
    );
    Ok(())
}

async fn a_conflict_with_an_update_names_the_version_and_time(t: &Context) -> Result<()> {
    let deployments = t.resource("apps/v1", "deployments").await?;
    t.create(
        &format!("{deployments}?fieldManager=maker"),
        &deployment("web", 1),
    )
    .await?;
    let scaled = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 3}});
    let status = t
        .admin()
        .apply(&format!("{deployments}/web"), "two", &scaled)
        .await?
        .failure(409, "Conflict")?;
    let message = status["message"].as_str().unwrap_or_default();
    ensure!(
        message.starts_with("Apply failed with 1 conflict: conflict with \"maker\" using apps/v1")
            && message.ends_with(": .spec.replicas"),
        "{message}"
    );
    Ok(())
}

async fn several_conflicts_are_listed_by_manager(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    applied(t, &path, "one", &data("a", &json!({"x": "1"}))).await?;
    applied(t, &path, "two", &data("a", &json!({"y": "1", "z": "1"}))).await?;
    let status = t
        .admin()
        .apply(
            &path,
            "three",
            &data("a", &json!({"x": "2", "y": "2", "z": "2"})),
        )
        .await?
        .failure(409, "Conflict")?;
    same!(
        status["message"],
        "Apply failed with 3 conflicts: conflicts with \"one\":\n- .data.x\nconflicts with \"two\":\n- .data.y\n- .data.z"
    );
    let causes = status["details"]["causes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let mut causes: Vec<_> = causes
        .iter()
        .map(|cause| format!("{} {}", cause["message"], cause["field"]))
        .collect();
    causes.sort();
    same!(
        causes,
        vec![
            "\"conflict with \\\"one\\\"\" \".data.x\"",
            "\"conflict with \\\"two\\\"\" \".data.y\"",
            "\"conflict with \\\"two\\\"\" \".data.z\"",
        ]
    );
    Ok(())
}

async fn force_takes_the_field(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    applied(t, &path, "one", &data("a", &json!({"k": "1", "mine": "1"}))).await?;
    let forced = t
        .admin()
        .apply(
            &format!("{path}?force=true"),
            "two",
            &configmap("a", "k", "2"),
        )
        .await?
        .status(200)?;
    same!(forced["data"], json!({"k": "2", "mine": "1"}));
    same!(
        entry(&forced, "one", "Apply")?["fieldsV1"],
        json!({"f:data": {"f:mine": {}}})
    );
    same!(
        entry(&forced, "two", "Apply")?["fieldsV1"],
        json!({"f:data": {"f:k": {}}})
    );
    Ok(())
}

async fn nothing_changed_keeps_the_version_and_times(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    let before = applied(t, &path, "one", &configmap("a", "k", "1")).await?;
    // Times have seconds: in the next one a change would be seen.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let after = applied(t, &path, "one", &configmap("a", "k", "1")).await?;
    same!(after, before);
    Ok(())
}

async fn a_stale_version_is_409(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    applied(t, &path, "one", &configmap("a", "k", "1")).await?;
    let mut body = configmap("a", "k", "2");
    body["metadata"]["resourceVersion"] = json!("1");
    t.admin()
        .apply(&path, "one", &body)
        .await?
        .failure(409, "Conflict")?;
    Ok(())
}

async fn a_dry_run_stores_nothing(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    t.admin()
        .apply(
            &format!("{path}?dryRun=All"),
            "one",
            &configmap("a", "k", "1"),
        )
        .await?
        .status(201)?;
    t.admin().get(&path).await?.failure(404, "NotFound")?;
    applied(t, &path, "one", &configmap("a", "k", "1")).await?;
    t.admin()
        .apply(
            &format!("{path}?dryRun=All"),
            "two",
            &configmap("a", "k", "2"),
        )
        .await?
        .failure(409, "Conflict")?;
    let forced = t
        .admin()
        .apply(
            &format!("{path}?dryRun=All&force=true"),
            "two",
            &configmap("a", "k", "2"),
        )
        .await?
        .status(200)?;
    same!(forced["data"]["k"], "2");
    same!(t.admin().get(&path).await?.status(200)?["data"]["k"], "1");
    Ok(())
}

async fn a_field_that_no_schema_has_is_500(t: &Context) -> Result<()> {
    let path = format!("{}/web", t.resource("apps/v1", "deployments").await?);
    let mut body = deployment("web", 0);
    body["spec"]["replicaz"] = json!(1);
    let status = t.admin().apply(&path, "one", &body).await?.status(500)?;
    same!(status["kind"], "Status");
    same!(
        status["message"],
        "failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.replicaz: field not declared in schema"
    );
    t.admin().get(&path).await?.failure(404, "NotFound")?;
    Ok(())
}

async fn a_value_of_another_type_is_500(t: &Context) -> Result<()> {
    let map = format!("{}/a", t.configmaps().await?);
    let web = format!("{}/web", t.resource("apps/v1", "deployments").await?);
    let with = |field: &str, value: Value| {
        let mut body = deployment("web", 0);
        body["spec"][field] = value;
        body
    };
    for (path, kind, body, text) in [
        (
            &map,
            "/v1, Kind=ConfigMap",
            data("a", &json!({"k": 1})),
            ".data.k: expected string, got &value.valueUnstructured{Value:1}",
        ),
        (
            &map,
            "/v1, Kind=ConfigMap",
            data("a", &json!({"k": {"b": "c"}})),
            ".data.k: expected string, got &value.valueUnstructured{Value:map[string]interface {}{\"b\":\"c\"}}",
        ),
        (
            &map,
            "/v1, Kind=ConfigMap",
            data("a", &json!(["b"])),
            ".data: expected map, got &{[b]}",
        ),
        (
            &web,
            "apps/v1, Kind=Deployment",
            with("replicas", json!("two")),
            ".spec.replicas: expected numeric (int or float), got string",
        ),
        (
            &web,
            "apps/v1, Kind=Deployment",
            with("paused", json!(1)),
            ".spec.paused: expected boolean, got &{1}",
        ),
    ] {
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        let whole = format!("failed to create typed patch object (/{name}; {kind}): {text}");
        let status = t.admin().apply(path, "one", &body).await?.status(500)?;
        same!(status["message"], whole);
        t.admin().get(path).await?.failure(404, "NotFound")?;
    }
    Ok(())
}

async fn a_quantity_written_otherwise_changes_nothing(t: &Context) -> Result<()> {
    let path = format!("{}/web", t.resource("apps/v1", "deployments").await?);
    let with = |memory: &str, cpu: &str| {
        let mut body = deployment("web", 0);
        body["spec"]["template"]["spec"]["containers"][0]["resources"] =
            json!({"requests": {"memory": memory, "cpu": cpu}});
        body
    };
    let made = t
        .admin()
        .apply(&path, "one", &with("1Mi", "1"))
        .await?
        .ok()?;
    let again = t
        .admin()
        .apply(&path, "one", &with("1024Ki", "1000m"))
        .await?
        .ok()?;
    same!(
        again["metadata"]["generation"],
        made["metadata"]["generation"]
    );
    same!(again["spec"], made["spec"]);
    Ok(())
}

async fn the_same_key_twice_is_refused(t: &Context) -> Result<()> {
    let path = format!("{}/web", t.resource("apps/v1", "deployments").await?);
    let mut body = deployment("web", 0);
    let container = body["spec"]["template"]["spec"]["containers"][0].clone();
    body["spec"]["template"]["spec"]["containers"] = json!([container.clone(), container]);
    let reply = t.admin().apply(&path, "one", &body).await?;
    ensure!(reply.status >= 400, "accepted: {}", reply.short());
    ensure!(
        reply
            .text
            .contains("duplicate entries for key [name=\\\"c\\\"]"),
        "{}",
        reply.short()
    );
    Ok(())
}

async fn a_conflict_changes_nothing(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    let before = applied(t, &path, "one", &configmap("a", "k", "1")).await?;
    t.admin()
        .apply(&path, "two", &data("a", &json!({"k": "2", "new": "1"})))
        .await?
        .failure(409, "Conflict")?;
    same!(t.admin().get(&path).await?.status(200)?, before);
    Ok(())
}

async fn null_is_owned_and_empties(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    let made = applied(t, &path, "one", &data("a", &json!({"k": null, "l": "1"}))).await?;
    same!(made["data"], json!({"k": "", "l": "1"}));
    Ok(())
}

async fn a_very_long_manager_is_refused(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    let status = t
        .admin()
        .apply(&path, &"m".repeat(129), &configmap("a", "k", "1"))
        .await?
        .failure(422, "Invalid")?;
    same!(status["details"]["causes"][0]["field"], "fieldManager");
    Ok(())
}

async fn apply_to_another_uid_is_422(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    applied(t, &path, "one", &configmap("a", "k", "1")).await?;
    let mut body = configmap("a", "k", "2");
    body["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
    let status = t
        .admin()
        .apply(&path, "one", &body)
        .await?
        .failure(422, "Invalid")?;
    same!(status["details"]["causes"][0]["field"], "metadata.uid");
    Ok(())
}
