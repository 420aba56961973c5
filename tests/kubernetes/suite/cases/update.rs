//! PUT and GET: versions, generations, what may not change.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;
use crate::manifest::{claim, configmap, deployment, job, service, statefulset};

cases![
    what_is_missing_is_404,
    a_put_raises_the_resource_version,
    resource_versions_grow_over_all_kinds,
    a_stale_resource_version_is_409,
    without_a_resource_version_it_is_replaced,
    another_name_is_400,
    another_uid_is_409,
    what_is_missing_cannot_be_replaced,
    nothing_changed_keeps_the_resource_version,
    generation_counts_changes_of_the_spec_only,
    status_is_not_replaced_with_the_object,
    the_selector_of_a_deployment_is_immutable,
    the_template_of_a_job_is_immutable,
    most_of_a_statefulset_is_immutable,
    an_immutable_configmap_keeps_its_data,
    the_type_of_a_secret_is_immutable,
    the_address_of_a_service_is_immutable,
    a_claim_is_immutable_after_it_was_made,
    a_dry_run_of_a_put_changes_nothing,
    a_put_without_labels_removes_them,
];

async fn what_is_missing_is_404(t: &Context) -> Result<()> {
    let status = t
        .admin()
        .get(&format!("{}/nothing", t.configmaps().await?))
        .await?
        .refused(404, "NotFound", "configmaps \"nothing\" not found")?;
    same!(
        status["details"],
        json!({"name": "nothing", "kind": "configmaps"})
    );
    same!(status["metadata"], json!({}));
    let deployments = t.resource("apps/v1", "deployments").await?;
    let status = t
        .admin()
        .get(&format!("{deployments}/nothing"))
        .await?
        .refused(404, "NotFound", "deployments.apps \"nothing\" not found")?;
    same!(
        status["details"],
        json!({"name": "nothing", "group": "apps", "kind": "deployments"})
    );
    Ok(())
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

/// Changes one object in place and puts it.
async fn changed(
    t: &Context,
    path: &str,
    object: &Value,
    change: impl FnOnce(&mut Value),
) -> Result<Value> {
    let mut object = object.clone();
    change(&mut object);
    t.admin().put(path, &object).await?.status(200)
}

async fn a_put_raises_the_resource_version(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let made = t.create(&configmaps, &configmap("a", "k", "1")).await?;
    let put = changed(t, &format!("{configmaps}/a"), &made, |object| {
        object["data"]["k"] = json!("2")
    })
    .await?;
    same!(put["data"]["k"], "2");
    same!(put["metadata"]["uid"], made["metadata"]["uid"]);
    same!(
        put["metadata"]["creationTimestamp"],
        made["metadata"]["creationTimestamp"]
    );
    ensure!(
        version(&put) > version(&made),
        "{} is not after {}",
        version(&put),
        version(&made)
    );
    Ok(())
}

async fn resource_versions_grow_over_all_kinds(t: &Context) -> Result<()> {
    let a = t
        .create(&t.configmaps().await?, &configmap("a", "k", "1"))
        .await?;
    let b = t
        .create(
            &t.resource("apps/v1", "deployments").await?,
            &deployment("web", 0),
        )
        .await?;
    let c = t
        .create(&t.resource("v1", "services").await?, &service("web", "web"))
        .await?;
    ensure!(
        version(&a) < version(&b) && version(&b) < version(&c),
        "{} {} {}",
        version(&a),
        version(&b),
        version(&c)
    );
    Ok(())
}

async fn a_stale_resource_version_is_409(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let path = format!("{configmaps}/a");
    let made = t.create(&configmaps, &configmap("a", "k", "1")).await?;
    changed(t, &path, &made, |object| object["data"]["k"] = json!("2")).await?;
    let status = t.admin().put(&path, &made).await?.refused(
        409,
        "Conflict",
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version \
         and try again",
    )?;
    same!(
        status["details"],
        json!({"name": "a", "kind": "configmaps"})
    );
    Ok(())
}

async fn without_a_resource_version_it_is_replaced(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    t.create(&configmaps, &configmap("a", "k", "1")).await?;
    let put = t
        .admin()
        .put(&format!("{configmaps}/a"), &configmap("a", "other", "2"))
        .await?
        .status(200)?;
    same!(put["data"], json!({"other": "2"}));
    Ok(())
}

async fn another_name_is_400(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    t.create(&configmaps, &configmap("a", "k", "1")).await?;
    t.admin()
        .put(&format!("{configmaps}/a"), &configmap("b", "k", "1"))
        .await?
        .refused(
            400,
            "BadRequest",
            "the name of the object (b) does not match the name on the URL (a)",
        )?;
    Ok(())
}

async fn another_uid_is_409(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let made = t.create(&configmaps, &configmap("a", "k", "1")).await?;
    let uid = made["metadata"]["uid"].as_str().unwrap_or_default();
    let mut other = configmap("a", "k", "1");
    other["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
    t.admin().put(&format!("{configmaps}/a"), &other).await?.refused(
        409,
        "Conflict",
        &format!(
            "Operation cannot be fulfilled on configmaps \"a\": StorageError: invalid object, Code: 4, Key: /registry/configmaps/{}/a, \
             ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: 00000000-0000-0000-0000-000000000000, UID in \
             object meta: {uid}",
            t.namespace().await?
        ),
    )?;
    Ok(())
}

async fn what_is_missing_cannot_be_replaced(t: &Context) -> Result<()> {
    let path = format!("{}/a", t.configmaps().await?);
    t.admin()
        .put(&path, &configmap("a", "k", "1"))
        .await?
        .refused(404, "NotFound", "configmaps \"a\" not found")?;
    Ok(())
}

async fn nothing_changed_keeps_the_resource_version(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let made = t.create(&configmaps, &configmap("a", "k", "1")).await?;
    let put = t
        .admin()
        .put(&format!("{configmaps}/a"), &made)
        .await?
        .status(200)?;
    same!(put, made);
    Ok(())
}

async fn generation_counts_changes_of_the_spec_only(t: &Context) -> Result<()> {
    let sets = t.resource("apps/v1", "statefulsets").await?;
    let path = format!("{sets}/db");
    let made = t.create(&sets, &statefulset("db", 0)).await?;
    same!(made["metadata"]["generation"], 1);
    let labelled = json!({"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}});
    let put = t
        .admin()
        .patch(&path, MERGE, &labelled)
        .await?
        .status(200)?;
    same!(put["metadata"]["generation"], 1);
    let put = t
        .admin()
        .patch(&path, MERGE, &json!({"spec": {"minReadySeconds": 1}}))
        .await?
        .status(200)?;
    same!(put["metadata"]["generation"], 2);
    // A Deployment hands its annotations down, so they count too.
    let deployments = t.resource("apps/v1", "deployments").await?;
    let path = format!("{deployments}/web");
    t.create(&deployments, &deployment("web", 0)).await?;
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    same!(
        t.admin().patch(&path, MERGE, &label).await?.status(200)?["metadata"]["generation"],
        1
    );
    let note = json!({"metadata": {"annotations": {"c": "d"}}});
    same!(
        t.admin().patch(&path, MERGE, &note).await?.status(200)?["metadata"]["generation"],
        2
    );
    Ok(())
}

async fn status_is_not_replaced_with_the_object(t: &Context) -> Result<()> {
    let services = t.resource("v1", "services").await?;
    let mut body = service("web", "web");
    body["spec"]["type"] = json!("LoadBalancer");
    let made = t.create(&services, &body).await?;
    let put = changed(t, &format!("{services}/web"), &made, |object| {
        object["status"] = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}});
        object["metadata"]["labels"] = json!({"a": "b"});
    })
    .await?;
    same!(put["metadata"]["labels"], json!({"a": "b"}));
    ensure!(
        put["status"]["loadBalancer"]["ingress"][0]["ip"] != "203.0.113.9",
        "the status was taken: {put}"
    );
    Ok(())
}

async fn the_selector_of_a_deployment_is_immutable(t: &Context) -> Result<()> {
    let deployments = t.resource("apps/v1", "deployments").await?;
    t.create(&deployments, &deployment("web", 0)).await?;
    let mut body = deployment("web", 0);
    body["spec"]["selector"]["matchLabels"] = json!({"app": "web", "tier": "front"});
    body["spec"]["template"]["metadata"]["labels"] = json!({"app": "web", "tier": "front"});
    let status = t
        .admin()
        .put(&format!("{deployments}/web"), &body)
        .await?
        .failure(422, "Invalid")?;
    let message = status["message"].as_str().unwrap_or_default();
    ensure!(
        message.starts_with("Deployment.apps \"web\" is invalid: spec.selector: Invalid value: "),
        "{message}"
    );
    ensure!(message.ends_with(": field is immutable"), "{message}");
    same!(status["details"]["group"], "apps");
    same!(status["details"]["kind"], "Deployment");
    same!(
        status["details"]["causes"][0]["reason"],
        "FieldValueInvalid"
    );
    same!(status["details"]["causes"][0]["field"], "spec.selector");
    Ok(())
}

async fn the_template_of_a_job_is_immutable(t: &Context) -> Result<()> {
    let jobs = t.workload("batch/v1", "jobs").await?;
    let made = t.create(&jobs, &job("once", &["sleep", "3600"])).await?;
    let mut body = made.clone();
    body["spec"]["template"]["spec"]["containers"][0]["image"] = json!("registry.example/other:2");
    body["metadata"]["resourceVersion"] = Value::Null;
    let status = t
        .admin()
        .put(&format!("{jobs}/once"), &body)
        .await?
        .failure(422, "Invalid")?;
    let message = status["message"].as_str().unwrap_or_default();
    ensure!(
        message.starts_with("Job.batch \"once\" is invalid: spec.template: Invalid value: "),
        "{message}"
    );
    ensure!(message.ends_with(": field is immutable"), "{message}");
    Ok(())
}

async fn most_of_a_statefulset_is_immutable(t: &Context) -> Result<()> {
    let sets = t.resource("apps/v1", "statefulsets").await?;
    t.create(&sets, &statefulset("db", 0)).await?;
    let mut body = statefulset("db", 0);
    body["spec"]["serviceName"] = json!("other");
    let status = t
        .admin()
        .put(&format!("{sets}/db"), &body)
        .await?
        .failure(422, "Invalid")?;
    same!(
        status["details"]["causes"][0]["reason"],
        "FieldValueForbidden"
    );
    let message = status["message"].as_str().unwrap_or_default();
    ensure!(
        message.starts_with("StatefulSet.apps \"db\" is invalid: spec: Forbidden: updates to statefulset spec for fields other than "),
        "{message}"
    );
    Ok(())
}

async fn an_immutable_configmap_keeps_its_data(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let mut body = configmap("a", "k", "1");
    body["immutable"] = json!(true);
    t.create(&configmaps, &body).await?;
    body["data"]["k"] = json!("2");
    t.admin().put(&format!("{configmaps}/a"), &body).await?.refused(
        422,
        "Invalid",
        "ConfigMap \"a\" is invalid: data: Forbidden: field is immutable when `immutable` is set",
    )?;
    Ok(())
}

async fn the_type_of_a_secret_is_immutable(t: &Context) -> Result<()> {
    let secrets = t.resource("v1", "secrets").await?;
    let secret = |kind: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": kind, "stringData": {"a": "b"}});
    t.create(&secrets, &secret("Opaque")).await?;
    t.admin()
        .put(&format!("{secrets}/s"), &secret("example.com/own"))
        .await?
        .refused(
            422,
            "Invalid",
            "Secret \"s\" is invalid: type: Invalid value: \"example.com/own\": field is immutable",
        )?;
    Ok(())
}

async fn the_address_of_a_service_is_immutable(t: &Context) -> Result<()> {
    let services = t.resource("v1", "services").await?;
    let made = t.create(&services, &service("web", "web")).await?;
    let mut body = made.clone();
    body["spec"]["clusterIP"] = json!("10.96.250.250");
    body["spec"]["clusterIPs"] = json!(["10.96.250.250"]);
    let status = t
        .admin()
        .put(&format!("{services}/web"), &body)
        .await?
        .failure(422, "Invalid")?;
    let causes = status["details"]["causes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    ensure!(
        causes
            .iter()
            .any(|cause| cause["field"] == "spec.clusterIPs[0]"),
        "{status}"
    );
    ensure!(
        status["message"]
            .as_str()
            .is_some_and(|text| text.contains("may not change once set")),
        "{status}"
    );
    Ok(())
}

async fn a_claim_is_immutable_after_it_was_made(t: &Context) -> Result<()> {
    let claims = t.resource("v1", "persistentvolumeclaims").await?;
    t.create(&claims, &claim("data")).await?;
    let body = json!({"spec": {"accessModes": ["ReadWriteMany"]}});
    let status = t
        .admin()
        .patch(&format!("{claims}/data"), MERGE, &body)
        .await?
        .failure(422, "Invalid")?;
    let message = status["message"].as_str().unwrap_or_default();
    ensure!(
        message.starts_with(
            "PersistentVolumeClaim \"data\" is invalid: spec: Forbidden: spec is immutable after creation except resources.requests"
        ),
        "{message}"
    );
    Ok(())
}

async fn a_dry_run_of_a_put_changes_nothing(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let made = t.create(&configmaps, &configmap("a", "k", "1")).await?;
    let put = t
        .admin()
        .put(
            &format!("{configmaps}/a?dryRun=All"),
            &configmap("a", "k", "2"),
        )
        .await?
        .status(200)?;
    same!(put["data"]["k"], "2");
    same!(
        t.admin()
            .get(&format!("{configmaps}/a"))
            .await?
            .status(200)?,
        made
    );
    Ok(())
}

async fn a_put_without_labels_removes_them(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let mut body = configmap("a", "k", "1");
    body["metadata"]["labels"] = json!({"x": "y"});
    t.create(&configmaps, &body).await?;
    let put = t
        .admin()
        .put(&format!("{configmaps}/a"), &configmap("a", "k", "1"))
        .await?
        .status(200)?;
    ensure!(put["metadata"]["labels"].is_null(), "{put}");
    Ok(())
}
