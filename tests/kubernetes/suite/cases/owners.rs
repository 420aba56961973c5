//! Server-side apply: who owns what, in lists and maps, by operation and subresource.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::apply::{applied, configmap_path, data, entry};
use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;
use crate::manifest::{configmap, deployment, service};

cases![
    an_entry_says_who_owns_what,
    the_same_value_is_owned_by_both,
    what_is_no_longer_applied_is_removed,
    what_another_owns_too_stays,
    containers_are_owned_by_name,
    ports_are_owned_by_port_and_protocol,
    finalizers_are_a_set,
    commands_are_one_value,
    an_entry_of_a_list_that_is_no_longer_applied_is_removed,
    an_update_has_an_entry_of_its_own,
    the_manager_of_an_update_is_the_program,
    status_has_an_entry_with_its_subresource,
    labels_are_owned_one_by_one,
    an_object_without_entries_was_made_before_first_apply,
];

async fn an_entry_says_who_owns_what(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    let mut body = configmap("a", "k", "1");
    body["metadata"]["labels"] = json!({"app": "x"});
    let made = applied(t, &path, "one", &body).await?;
    same!(
        entry(&made, "one", "Apply")?,
        json!({
            "manager": "one",
            "operation": "Apply",
            "apiVersion": "v1",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {"f:k": {}}, "f:metadata": {"f:labels": {"f:app": {}}}},
        })
    );
    Ok(())
}

async fn the_same_value_is_owned_by_both(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    applied(t, &path, "one", &configmap("a", "k", "1")).await?;
    let both = applied(t, &path, "two", &configmap("a", "k", "1")).await?;
    same!(
        entry(&both, "one", "Apply")?["fieldsV1"],
        entry(&both, "two", "Apply")?["fieldsV1"]
    );
    // Then neither changes it without a word.
    t.admin()
        .apply(&path, "two", &configmap("a", "k", "2"))
        .await?
        .failure(409, "Conflict")?;
    Ok(())
}

async fn what_is_no_longer_applied_is_removed(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    applied(t, &path, "one", &data("a", &json!({"k": "1", "gone": "1"}))).await?;
    let after = applied(t, &path, "one", &configmap("a", "k", "1")).await?;
    same!(after["data"], json!({"k": "1"}));
    Ok(())
}

async fn what_another_owns_too_stays(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    applied(
        t,
        &path,
        "one",
        &data("a", &json!({"k": "1", "shared": "1"})),
    )
    .await?;
    applied(t, &path, "two", &data("a", &json!({"shared": "1"}))).await?;
    let after = applied(t, &path, "one", &configmap("a", "k", "1")).await?;
    same!(after["data"], json!({"k": "1", "shared": "1"}));
    same!(
        entry(&after, "one", "Apply")?["fieldsV1"],
        json!({"f:data": {"f:k": {}}})
    );
    Ok(())
}

async fn containers_are_owned_by_name(t: &Context) -> Result<()> {
    let path = format!("{}/web", t.resource("apps/v1", "deployments").await?);
    let made = applied(t, &path, "one", &deployment("web", 0)).await?;
    let fields = &entry(&made, "one", "Apply")?["fieldsV1"];
    same!(
        fields["f:spec"]["f:template"]["f:spec"]["f:containers"],
        json!({"k:{\"name\":\"c\"}": {".": {}, "f:command": {}, "f:image": {}, "f:name": {}}})
    );
    // Another manager adds a container without a conflict, and both live on.
    let side = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": [{"name": "side", "image": "registry.example/side:1"}]}}},
    });
    let both = applied(t, &path, "two", &side).await?;
    same!(
        both["spec"]["template"]["spec"]["containers"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    Ok(())
}

async fn ports_are_owned_by_port_and_protocol(t: &Context) -> Result<()> {
    let path = format!("{}/web", t.resource("v1", "services").await?);
    let made = applied(t, &path, "one", &service("web", "web")).await?;
    let fields = &entry(&made, "one", "Apply")?["fieldsV1"];
    // The protocol was not written: its default is part of the key.
    same!(
        fields["f:spec"]["f:ports"],
        json!({"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:targetPort": {}}})
    );
    let mut body = service("web", "web");
    body["spec"]["ports"] = json!([{"port": 80, "protocol": "UDP", "name": "udp"}]);
    let both = applied(t, &path, "two", &body).await;
    // Two ports need names; the merge itself is of two entries, which is what the refusal shows.
    let error = both
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    ensure!(
        error.contains("spec.ports[0].name"),
        "the ports were not merged by key: {error}"
    );
    Ok(())
}

async fn finalizers_are_a_set(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    let with = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "finalizers": [name]}});
    applied(t, &path, "one", &with("example.com/one")).await?;
    let both = applied(t, &path, "two", &with("example.com/two")).await?;
    same!(
        both["metadata"]["finalizers"].as_array().map(Vec::len),
        Some(2)
    );
    same!(
        entry(&both, "two", "Apply")?["fieldsV1"],
        json!({"f:metadata": {"f:finalizers": {"v:\"example.com/two\"": {}}}})
    );
    let without = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let after = applied(t, &path, "one", &without).await?;
    same!(after["metadata"]["finalizers"], json!(["example.com/two"]));
    applied(t, &path, "two", &without).await?;
    Ok(())
}

async fn commands_are_one_value(t: &Context) -> Result<()> {
    let path = format!("{}/web", t.resource("apps/v1", "deployments").await?);
    applied(t, &path, "one", &deployment("web", 0)).await?;
    let command = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": [{"name": "c", "command": ["sleep", "1"]}]}}},
    });
    let status = t.admin().apply(&path, "two", &command).await?.refused(
        409,
        "Conflict",
        "Apply failed with 1 conflict: conflict with \"one\": .spec.template.spec.containers[name=\"c\"].command",
    )?;
    same!(
        status["details"]["causes"][0]["field"],
        ".spec.template.spec.containers[name=\"c\"].command"
    );
    Ok(())
}

async fn an_entry_of_a_list_that_is_no_longer_applied_is_removed(t: &Context) -> Result<()> {
    let path = format!("{}/web", t.resource("apps/v1", "deployments").await?);
    let mut body = deployment("web", 0);
    let environment = json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]);
    body["spec"]["template"]["spec"]["containers"][0]["env"] = environment;
    applied(t, &path, "one", &body).await?;
    body["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "B", "value": "2"}]);
    let after = applied(t, &path, "one", &body).await?;
    same!(
        after["spec"]["template"]["spec"]["containers"][0]["env"],
        json!([{"name": "B", "value": "2"}])
    );
    Ok(())
}

async fn an_update_has_an_entry_of_its_own(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    applied(t, &path, "one", &configmap("a", "k", "1")).await?;
    let patched = t
        .admin()
        .patch(
            &format!("{path}?fieldManager=one"),
            MERGE,
            &json!({"data": {"other": "2"}}),
        )
        .await?
        .status(200)?;
    same!(
        entry(&patched, "one", "Apply")?["fieldsV1"],
        json!({"f:data": {"f:k": {}}})
    );
    same!(
        entry(&patched, "one", "Update")?["fieldsV1"],
        json!({"f:data": {"f:other": {}}})
    );
    // By the same name but another operation it is another owner.
    t.admin()
        .apply(&path, "one", &data("a", &json!({"k": "1", "other": "3"})))
        .await?
        .failure(409, "Conflict")?;
    Ok(())
}

async fn the_manager_of_an_update_is_the_program(t: &Context) -> Result<()> {
    let made = t
        .create(&t.configmaps().await?, &configmap("a", "k", "1"))
        .await?;
    // The suite calls itself `conformance/1`.
    same!(
        entry(&made, "conformance", "Update")?["fieldsV1"],
        json!({"f:data": {".": {}, "f:k": {}}})
    );
    Ok(())
}

async fn status_has_an_entry_with_its_subresource(t: &Context) -> Result<()> {
    let services = t.resource("v1", "services").await?;
    applied(t, &format!("{services}/web"), "one", &service("web", "web")).await?;
    let patch = json!({"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}}});
    let mut body = service("web", "web");
    body["spec"]["type"] = json!("LoadBalancer");
    applied(t, &format!("{services}/web"), "one", &body).await?;
    let patched = t
        .admin()
        .patch(
            &format!("{services}/web/status?fieldManager=balancer"),
            MERGE,
            &patch,
        )
        .await?
        .status(200)?;
    let entry = entry(&patched, "balancer", "Update")?;
    same!(entry["subresource"], "status");
    same!(
        entry["fieldsV1"],
        json!({"f:status": {"f:loadBalancer": {"f:ingress": {}}}})
    );
    Ok(())
}

async fn labels_are_owned_one_by_one(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    let with = |labels: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": labels}});
    applied(t, &path, "one", &with(json!({"a": "1"}))).await?;
    let both = applied(t, &path, "two", &with(json!({"b": "2"}))).await?;
    same!(both["metadata"]["labels"], json!({"a": "1", "b": "2"}));
    t.admin()
        .apply(&path, "two", &with(json!({"a": "9"})))
        .await?
        .refused(
            409,
            "Conflict",
            "Apply failed with 1 conflict: conflict with \"one\": .metadata.labels.a",
        )?;
    Ok(())
}

async fn an_object_without_entries_was_made_before_first_apply(t: &Context) -> Result<()> {
    let path = configmap_path(t).await?;
    applied(t, &path, "one", &configmap("a", "k", "1")).await?;
    let reset = json!({"metadata": {"managedFields": [{}]}});
    let after = t.admin().patch(&path, MERGE, &reset).await?.status(200)?;
    ensure!(after["metadata"]["managedFields"].is_null(), "{after}");
    t.admin()
        .apply(&path, "two", &configmap("a", "k", "2"))
        .await?
        .refused(
            409,
            "Conflict",
            "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.k",
        )?;
    Ok(())
}
