//! POST: what a server refuses, and in which words.

use anyhow::{Result, ensure};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::json;

use crate::case::{cases, same};
use crate::client::JSON;
use crate::context::Context;
use crate::manifest::{configmap, deployment};

cases![
    a_bad_name_is_422_with_its_cause,
    a_bad_label_is_422,
    another_namespace_in_the_body_is_400,
    another_kind_in_the_body_is_400,
    text_that_is_not_json_is_400,
    other_media_types_are_415,
    an_answer_that_cannot_be_made_is_406,
    post_to_an_object_is_405,
    in_a_namespace_that_is_missing_is_404,
    a_wrong_type_is_400,
    required_fields_are_422,
    every_mistake_is_named,
    a_wrong_dry_run_is_refused,
    a_body_of_more_than_3_mib_is_413,
    a_resource_version_in_a_new_object_is_refused,
];

async fn a_bad_name_is_422_with_its_cause(t: &Context) -> Result<()> {
    let status = t
        .admin()
        .post(&t.configmaps().await?, &configmap("Not_A_Name", "k", "v"))
        .await?
        .failure(422, "Invalid")?;
    same!(status["details"]["kind"], "ConfigMap");
    same!(status["details"]["name"], "Not_A_Name");
    let cause = &status["details"]["causes"][0];
    same!(cause["reason"], "FieldValueInvalid");
    same!(cause["field"], "metadata.name");
    let text = cause["message"].as_str().unwrap_or_default();
    ensure!(
        text.starts_with(
            "Invalid value: \"Not_A_Name\": a lowercase RFC 1123 subdomain must consist of"
        ),
        "{text}"
    );
    let message = status["message"].as_str().unwrap_or_default();
    same!(
        message,
        format!("ConfigMap \"Not_A_Name\" is invalid: metadata.name: {text}")
    );
    Ok(())
}

async fn a_bad_label_is_422(t: &Context) -> Result<()> {
    let mut body = configmap("a", "k", "v");
    body["metadata"]["labels"] = json!({"app": "not a label"});
    let status = t
        .admin()
        .post(&t.configmaps().await?, &body)
        .await?
        .failure(422, "Invalid")?;
    same!(status["details"]["causes"][0]["field"], "metadata.labels");
    Ok(())
}

async fn another_namespace_in_the_body_is_400(t: &Context) -> Result<()> {
    let mut body = configmap("a", "k", "v");
    body["metadata"]["namespace"] = json!("default");
    t.admin()
        .post(&t.configmaps().await?, &body)
        .await?
        .refused(
            400,
            "BadRequest",
            "the namespace of the provided object does not match the namespace sent on the request",
        )?;
    Ok(())
}

async fn another_kind_in_the_body_is_400(t: &Context) -> Result<()> {
    let mut body = configmap("a", "k", "v");
    body["kind"] = json!("Service");
    let status = t
        .admin()
        .post(&t.configmaps().await?, &body)
        .await?
        .failure(400, "BadRequest")?;
    let message = status["message"].as_str().unwrap_or_default();
    ensure!(
        message.starts_with("Service in version \"v1\" cannot be handled as a ConfigMap: "),
        "{message}"
    );
    let mut body = configmap("a", "k", "v");
    body["apiVersion"] = json!("apps/v1");
    let status = t
        .admin()
        .post(&t.configmaps().await?, &body)
        .await?
        .failure(400, "BadRequest")?;
    let message = status["message"].as_str().unwrap_or_default();
    ensure!(
        message.starts_with("ConfigMap in version \"v1\" cannot be handled as a ConfigMap: "),
        "{message}"
    );
    Ok(())
}

async fn text_that_is_not_json_is_400(t: &Context) -> Result<()> {
    let request = t
        .admin()
        .request(Method::POST, &t.configmaps().await?)
        .header(CONTENT_TYPE, JSON)
        .body("{\"metadata\":");
    let status = t.admin().send(request).await?.failure(400, "BadRequest")?;
    let message = status["message"].as_str().unwrap_or_default();
    ensure!(
        message.contains("unexpected end of JSON input") || message.contains("unexpected EOF"),
        "{message}"
    );
    Ok(())
}

async fn other_media_types_are_415(t: &Context) -> Result<()> {
    let request = t
        .admin()
        .request(Method::POST, &t.configmaps().await?)
        .header(CONTENT_TYPE, "text/plain")
        .body("hello");
    let status = t
        .admin()
        .send(request.header(ACCEPT, JSON))
        .await?
        .failure(415, "UnsupportedMediaType")?;
    let message = status["message"].as_str().unwrap_or_default();
    ensure!(message.starts_with("the body of the request was in an unknown format - accepted media types include: application/json"), "{message}");
    Ok(())
}

async fn an_answer_that_cannot_be_made_is_406(t: &Context) -> Result<()> {
    let reply = t
        .admin()
        .get_as(&t.configmaps().await?, "text/html")
        .await?;
    reply.failure(406, "NotAcceptable")?;
    Ok(())
}

async fn post_to_an_object_is_405(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    t.create(&configmaps, &configmap("a", "k", "v")).await?;
    t.admin()
        .post(&format!("{configmaps}/a"), &configmap("a", "k", "v"))
        .await?
        .refused(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )?;
    Ok(())
}

async fn in_a_namespace_that_is_missing_is_404(t: &Context) -> Result<()> {
    let status = t
        .admin()
        .post(
            "/api/v1/namespaces/no-such-place/configmaps",
            &configmap("a", "k", "v"),
        )
        .await?
        .refused(404, "NotFound", "namespaces \"no-such-place\" not found")?;
    same!(
        status["details"],
        json!({"name": "no-such-place", "kind": "namespaces"})
    );
    // Reading there is no mistake: there is nothing.
    let list = t
        .admin()
        .get("/api/v1/namespaces/no-such-place/configmaps")
        .await?
        .status(200)?;
    same!(list["items"], json!([]));
    Ok(())
}

async fn a_wrong_type_is_400(t: &Context) -> Result<()> {
    let mut body = deployment("web", 0);
    body["spec"]["replicas"] = json!("three");
    let status = t
        .admin()
        .post(&t.resource("apps/v1", "deployments").await?, &body)
        .await?
        .failure(400, "BadRequest")?;
    let message = status["message"].as_str().unwrap_or_default();
    ensure!(
        message.starts_with("Deployment in version \"v1\" cannot be handled as a Deployment:"),
        "{message}"
    );
    ensure!(message.contains("replicas"), "{message}");
    Ok(())
}

async fn required_fields_are_422(t: &Context) -> Result<()> {
    let body = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": []}});
    t.namespace_for_pods().await?;
    let status = t
        .admin()
        .post(&t.resource("v1", "pods").await?, &body)
        .await?
        .failure(422, "Invalid")?;
    same!(
        status["message"],
        "Pod \"a\" is invalid: spec.containers: Required value"
    );
    same!(
        status["details"]["causes"],
        json!([{"reason": "FieldValueRequired", "message": "Required value", "field": "spec.containers"}])
    );
    Ok(())
}

async fn every_mistake_is_named(t: &Context) -> Result<()> {
    let mut body = deployment("web", 0);
    body["spec"]["replicas"] = json!(-1);
    body["spec"]["selector"]["matchLabels"] = json!({"app": "other"});
    let status = t
        .admin()
        .post(&t.resource("apps/v1", "deployments").await?, &body)
        .await?
        .failure(422, "Invalid")?;
    let causes = status["details"]["causes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let fields: Vec<_> = causes
        .iter()
        .filter_map(|cause| cause["field"].as_str())
        .collect();
    ensure!(
        fields.contains(&"spec.replicas") && fields.contains(&"spec.template.metadata.labels"),
        "{fields:?}"
    );
    let replicas = causes
        .iter()
        .find(|cause| cause["field"] == "spec.replicas")
        .map(|cause| cause["message"].clone());
    same!(
        replicas,
        Some(json!(
            "Invalid value: -1: must be greater than or equal to 0"
        ))
    );
    let message = status["message"].as_str().unwrap_or_default();
    ensure!(
        message.starts_with("Deployment.apps \"web\" is invalid: ["),
        "{message}"
    );
    Ok(())
}

async fn a_wrong_dry_run_is_refused(t: &Context) -> Result<()> {
    let reply = t
        .admin()
        .post(
            &format!("{}?dryRun=Some", t.configmaps().await?),
            &configmap("a", "k", "v"),
        )
        .await?;
    let status = reply.failure(422, "Invalid")?;
    same!(status["details"]["causes"][0]["field"], "dryRun");
    Ok(())
}

async fn a_body_of_more_than_3_mib_is_413(t: &Context) -> Result<()> {
    let reply = t
        .admin()
        .post(
            &t.configmaps().await?,
            &configmap("a", "k", &"x".repeat(3 * 1024 * 1024 + 1)),
        )
        .await?;
    reply.refused(
        413,
        "RequestEntityTooLarge",
        "Request entity too large: limit is 3145728",
    )?;
    Ok(())
}

async fn a_resource_version_in_a_new_object_is_refused(t: &Context) -> Result<()> {
    let mut body = configmap("a", "k", "v");
    body["metadata"]["resourceVersion"] = json!("1");
    let status = t
        .admin()
        .post(&t.configmaps().await?, &body)
        .await?
        .status(500)?;
    same!(status["kind"], "Status");
    same!(
        status["message"],
        "resourceVersion should not be set on objects to be created"
    );
    Ok(())
}
