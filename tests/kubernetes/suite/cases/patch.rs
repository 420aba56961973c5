//! PATCH but apply: merge, strategic merge, JSON patch.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::case::{cases, same};
use crate::client::{JSON, JSON_PATCH, MERGE, STRATEGIC};
use crate::context::Context;
use crate::manifest::{configmap, deployment, service};

cases![
    merge_sets_and_null_removes,
    merge_replaces_lists,
    merge_with_a_stale_version_is_409,
    strategic_merges_containers_by_name,
    strategic_deletes_by_directive,
    strategic_replaces_by_directive,
    strategic_merges_ports_and_environment,
    strategic_deletes_from_a_set,
    strategic_orders_by_directive,
    strategic_retains_keys,
    json_patch_adds_replaces_and_removes,
    json_patch_tests_first,
    json_patch_of_a_missing_path_is_422,
    a_patch_of_what_is_missing_is_404,
    another_patch_type_is_415,
    a_patch_that_changes_nothing_keeps_the_version,
    a_patch_to_something_invalid_is_422,
    a_patch_may_not_rename,
    a_dry_run_of_a_patch_changes_nothing,
    a_strict_patch_knows_unknown_fields,
];

async fn made(t: &Context, body: &Value) -> Result<String> {
    let plural = match body["kind"].as_str() {
        Some("ConfigMap") => t.configmaps().await?,
        Some("Service") => t.resource("v1", "services").await?,
        _ => t.resource("apps/v1", "deployments").await?,
    };
    t.create(&plural, body).await?;
    Ok(format!(
        "{plural}/{}",
        body["metadata"]["name"].as_str().unwrap_or_default()
    ))
}

async fn merge_sets_and_null_removes(t: &Context) -> Result<()> {
    let path = made(t, &configmap("a", "k", "1")).await?;
    let patch = json!({"metadata": {"labels": {"x": "y"}}, "data": {"k": null, "new": "2"}});
    let patched = t.admin().patch(&path, MERGE, &patch).await?.status(200)?;
    same!(patched["data"], json!({"new": "2"}));
    same!(patched["metadata"]["labels"], json!({"x": "y"}));
    same!(t.admin().get(&path).await?.status(200)?, patched);
    Ok(())
}

async fn merge_replaces_lists(t: &Context) -> Result<()> {
    let path = made(t, &deployment("web", 0)).await?;
    let container = json!({"name": "other", "image": "registry.example/other:1"});
    let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    let patched = t.admin().patch(&path, MERGE, &patch).await?.status(200)?;
    let containers = patched["spec"]["template"]["spec"]["containers"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    same!(containers.len(), 1);
    same!(containers[0]["name"], "other");
    Ok(())
}

async fn merge_with_a_stale_version_is_409(t: &Context) -> Result<()> {
    let path = made(t, &configmap("a", "k", "1")).await?;
    let patch = json!({"metadata": {"resourceVersion": "1"}, "data": {"k": "2"}});
    t.admin().patch(&path, MERGE, &patch).await?.refused(
        409,
        "Conflict",
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version \
         and try again",
    )?;
    Ok(())
}

/// A Deployment's containers after a strategic merge of its pod's spec.
async fn strategic(t: &Context, path: &str, pod: &Value) -> Result<Vec<Value>> {
    let patch = json!({"spec": {"template": {"spec": pod}}});
    let patched = t
        .admin()
        .patch(path, STRATEGIC, &patch)
        .await?
        .status(200)?;
    Ok(patched["spec"]["template"]["spec"]["containers"]
        .as_array()
        .cloned()
        .unwrap_or_default())
}

async fn strategic_merges_containers_by_name(t: &Context) -> Result<()> {
    let path = made(t, &deployment("web", 0)).await?;
    let containers = strategic(
        t,
        &path,
        &json!({"containers": [{"name": "c", "image": "registry.example/c:2"}]}),
    )
    .await?;
    same!(containers.len(), 1);
    same!(containers[0]["image"], "registry.example/c:2");
    same!(containers[0]["command"], json!(["sleep", "3600"]));
    let containers = strategic(
        t,
        &path,
        &json!({"containers": [{"name": "side", "image": "registry.example/side:1"}]}),
    )
    .await?;
    let mut names: Vec<_> = containers
        .iter()
        .map(|container| container["name"].clone())
        .collect();
    names.sort_by_key(Value::to_string);
    same!(names, vec![json!("c"), json!("side")]);
    Ok(())
}

async fn strategic_deletes_by_directive(t: &Context) -> Result<()> {
    let mut body = deployment("web", 0);
    body["spec"]["template"]["spec"]["containers"]
        .as_array_mut()
        .into_iter()
        .for_each(|list| list.push(json!({"name": "side", "image": "registry.example/side:1"})));
    let path = made(t, &body).await?;
    let containers = strategic(
        t,
        &path,
        &json!({"containers": [{"name": "side", "$patch": "delete"}]}),
    )
    .await?;
    same!(containers.len(), 1);
    same!(containers[0]["name"], "c");
    Ok(())
}

async fn strategic_replaces_by_directive(t: &Context) -> Result<()> {
    let path = made(t, &deployment("web", 0)).await?;
    let containers =
        strategic(t, &path, &json!({"containers": [{"name": "new", "image": "registry.example/new:1"}, {"$patch": "replace"}]})).await?;
    same!(containers.len(), 1);
    same!(containers[0]["name"], "new");
    ensure!(containers[0]["command"].is_null(), "{containers:?}");
    Ok(())
}

async fn strategic_merges_ports_and_environment(t: &Context) -> Result<()> {
    let path = made(t, &service("web", "web")).await?;
    let patch =
        json!({"spec": {"ports": [{"port": 443, "name": "tls"}, {"port": 80, "name": "plain"}]}});
    let patched = t
        .admin()
        .patch(&path, STRATEGIC, &patch)
        .await?
        .status(200)?;
    let mut ports: Vec<_> = patched["spec"]["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    ports.sort_by_key(|port| port["port"].as_u64());
    same!(ports.len(), 2);
    same!(ports[0]["name"], "plain");
    same!(ports[0]["targetPort"], 8080);
    same!(ports[1]["port"], 443);
    let path = made(t, &deployment("web", 0)).await?;
    let env = |list: Value| json!({"containers": [{"name": "c", "env": list}]});
    strategic(
        t,
        &path,
        &env(json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])),
    )
    .await?;
    let containers = strategic(t, &path, &env(json!([{"name": "B", "value": "3"}]))).await?;
    let value = |name: &str| {
        let mut list = containers[0]["env"].as_array().into_iter().flatten();
        list.find(|entry| entry["name"] == name)
            .map(|entry| entry["value"].clone())
    };
    same!(value("A"), Some(json!("1")));
    same!(value("B"), Some(json!("3")));
    Ok(())
}

async fn strategic_deletes_from_a_set(t: &Context) -> Result<()> {
    let mut body = configmap("a", "k", "1");
    body["metadata"]["finalizers"] = json!(["example.com/one", "example.com/two"]);
    let path = made(t, &body).await?;
    let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/one"]}});
    let patched = t
        .admin()
        .patch(&path, STRATEGIC, &patch)
        .await?
        .status(200)?;
    same!(
        patched["metadata"]["finalizers"],
        json!(["example.com/two"])
    );
    let patch = json!({"metadata": {"finalizers": ["example.com/three"]}});
    let patched = t
        .admin()
        .patch(&path, STRATEGIC, &patch)
        .await?
        .status(200)?;
    let finalizers = patched["metadata"]["finalizers"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    same!(finalizers.len(), 2, "a set grows: {finalizers:?}");
    t.admin()
        .patch(&path, MERGE, &json!({"metadata": {"finalizers": null}}))
        .await?
        .status(200)?;
    Ok(())
}

async fn strategic_orders_by_directive(t: &Context) -> Result<()> {
    let path = made(t, &deployment("web", 0)).await?;
    let pod = json!({
        "$setElementOrder/containers": [{"name": "first"}, {"name": "c"}],
        "containers": [{"name": "first", "image": "registry.example/first:1"}],
    });
    let containers = strategic(t, &path, &pod).await?;
    let names: Vec<_> = containers
        .iter()
        .map(|container| container["name"].clone())
        .collect();
    same!(names, vec![json!("first"), json!("c")]);
    Ok(())
}

async fn strategic_retains_keys(t: &Context) -> Result<()> {
    let path = made(t, &deployment("web", 0)).await?;
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    let patched = t
        .admin()
        .patch(&path, STRATEGIC, &patch)
        .await?
        .status(200)?;
    same!(patched["spec"]["strategy"], json!({"type": "Recreate"}));
    Ok(())
}

async fn json_patch_adds_replaces_and_removes(t: &Context) -> Result<()> {
    let mut body = configmap("a", "k", "1");
    body["data"]["old"] = json!("x");
    let path = made(t, &body).await?;
    let patch = json!([
        {"op": "test", "path": "/data/k", "value": "1"},
        {"op": "replace", "path": "/data/k", "value": "2"},
        {"op": "remove", "path": "/data/old"},
        {"op": "add", "path": "/metadata/labels", "value": {"a/b": "c"}},
        {"op": "add", "path": "/metadata/labels/a~1d", "value": "e"},
        {"op": "copy", "from": "/data/k", "path": "/data/copy"},
        {"op": "move", "from": "/data/copy", "path": "/data/moved"},
    ]);
    let patched = t
        .admin()
        .patch(&path, JSON_PATCH, &patch)
        .await?
        .status(200)?;
    same!(patched["data"], json!({"k": "2", "moved": "2"}));
    same!(
        patched["metadata"]["labels"],
        json!({"a/b": "c", "a/d": "e"})
    );
    Ok(())
}

async fn json_patch_tests_first(t: &Context) -> Result<()> {
    let path = made(t, &configmap("a", "k", "1")).await?;
    let patch = json!([{"op": "replace", "path": "/data/k", "value": "2"}, {"op": "test", "path": "/data/k", "value": "9"}]);
    let status = t
        .admin()
        .patch(&path, JSON_PATCH, &patch)
        .await?
        .failure(422, "Invalid")?;
    same!(
        status["message"],
        "the server rejected our request due to an error in our request"
    );
    same!(t.admin().get(&path).await?.status(200)?["data"]["k"], "1");
    Ok(())
}

async fn json_patch_of_a_missing_path_is_422(t: &Context) -> Result<()> {
    let path = made(t, &configmap("a", "k", "1")).await?;
    let patch = json!([{"op": "remove", "path": "/data/none"}]);
    t.admin().patch(&path, JSON_PATCH, &patch).await?.refused(
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
    )?;
    Ok(())
}

async fn a_patch_of_what_is_missing_is_404(t: &Context) -> Result<()> {
    let path = format!("{}/a", t.configmaps().await?);
    for (kind, body) in [
        (MERGE, json!({})),
        (STRATEGIC, json!({})),
        (JSON_PATCH, json!([])),
    ] {
        t.admin().patch(&path, kind, &body).await?.refused(
            404,
            "NotFound",
            "configmaps \"a\" not found",
        )?;
    }
    Ok(())
}

async fn another_patch_type_is_415(t: &Context) -> Result<()> {
    let path = made(t, &configmap("a", "k", "1")).await?;
    t.admin()
        .patch(&path, JSON, &json!({}))
        .await?
        .failure(415, "UnsupportedMediaType")?;
    Ok(())
}

async fn a_patch_that_changes_nothing_keeps_the_version(t: &Context) -> Result<()> {
    let path = made(t, &configmap("a", "k", "1")).await?;
    let before = t.admin().get(&path).await?.status(200)?;
    for kind in [MERGE, STRATEGIC] {
        let patched = t
            .admin()
            .patch(&path, kind, &json!({"data": {"k": "1"}}))
            .await?
            .status(200)?;
        same!(
            patched["metadata"]["resourceVersion"],
            before["metadata"]["resourceVersion"],
            "{kind}"
        );
    }
    Ok(())
}

async fn a_patch_to_something_invalid_is_422(t: &Context) -> Result<()> {
    let path = made(t, &deployment("web", 0)).await?;
    let status = t
        .admin()
        .patch(&path, MERGE, &json!({"spec": {"replicas": -3}}))
        .await?
        .failure(422, "Invalid")?;
    same!(
        status["message"],
        "Deployment.apps \"web\" is invalid: spec.replicas: Invalid value: -3: must be greater than or equal to 0"
    );
    Ok(())
}

async fn a_patch_may_not_rename(t: &Context) -> Result<()> {
    let path = made(t, &configmap("a", "k", "1")).await?;
    t.admin()
        .patch(&path, MERGE, &json!({"metadata": {"name": "b"}}))
        .await?
        .refused(
            400,
            "BadRequest",
            "the name of the object (b) does not match the name on the URL (a)",
        )?;
    Ok(())
}

async fn a_dry_run_of_a_patch_changes_nothing(t: &Context) -> Result<()> {
    let path = made(t, &configmap("a", "k", "1")).await?;
    let patched = t
        .admin()
        .patch(
            &format!("{path}?dryRun=All"),
            MERGE,
            &json!({"data": {"k": "2"}}),
        )
        .await?
        .status(200)?;
    same!(patched["data"]["k"], "2");
    same!(t.admin().get(&path).await?.status(200)?["data"]["k"], "1");
    Ok(())
}

async fn a_strict_patch_knows_unknown_fields(t: &Context) -> Result<()> {
    let path = made(t, &deployment("web", 0)).await?;
    let patch = json!({"spec": {"replicaz": 3}});
    let reply = t
        .admin()
        .patch(&format!("{path}?fieldValidation=Strict"), MERGE, &patch)
        .await?;
    let status = reply.failure(422, "Invalid")?;
    let message = status["message"].as_str().unwrap_or_default();
    ensure!(
        message.ends_with(": strict decoding error: unknown field \"spec.replicaz\""),
        "{message}"
    );
    let reply = t.admin().patch(&path, MERGE, &patch).await?;
    same!(
        reply.header("warning"),
        "299 - \"unknown field \\\"spec.replicaz\\\"\""
    );
    Ok(())
}
