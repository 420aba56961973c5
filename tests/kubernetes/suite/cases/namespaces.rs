//! Namespaces: what every one has, how one ends, and what keeps it.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;
use crate::manifest::{configmap, deployment};

cases![
    a_new_one_is_active_with_a_label_and_a_finalizer,
    every_one_has_an_account_and_the_authority,
    its_end_takes_everything_with_it for 240,
    a_finalizer_of_a_content_keeps_it_with_conditions for 300,
    nothing_is_made_in_one_that_ends,
    the_default_one_stays,
    a_bad_name_is_422,
    system_namespaces_are_there,
];

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

async fn a_new_one_is_active_with_a_label_and_a_finalizer(t: &Context) -> Result<()> {
    let path = format!("/api/v1/namespaces/{}", t.namespace().await?);
    let made = t.admin().get(&path).await?.status(200)?;
    same!(made["status"], json!({"phase": "Active"}));
    same!(made["spec"], json!({"finalizers": ["kubernetes"]}));
    same!(
        made["metadata"]["labels"]["kubernetes.io/metadata.name"],
        t.namespace().await?
    );
    Ok(())
}

async fn every_one_has_an_account_and_the_authority(t: &Context) -> Result<()> {
    let accounts = t.resource("v1", "serviceaccounts").await?;
    t.admin()
        .until(&format!("{accounts}/default"), "the account", |_| true)
        .await?;
    let configmaps = t.configmaps().await?;
    let authority = t
        .admin()
        .until(
            &format!("{configmaps}/kube-root-ca.crt"),
            "the authority",
            |_| true,
        )
        .await?;
    let text = authority["data"]["ca.crt"].as_str().unwrap_or_default();
    ensure!(
        text.starts_with("-----BEGIN CERTIFICATE-----"),
        "{authority}"
    );
    // It comes back when it is deleted.
    t.admin()
        .delete(&format!("{accounts}/default"))
        .await?
        .status(200)?;
    t.admin()
        .until(&format!("{accounts}/default"), "the account again", |_| {
            true
        })
        .await?;
    Ok(())
}

async fn its_end_takes_everything_with_it(t: &Context) -> Result<()> {
    let namespace = t.namespace_for_pods().await?.to_owned();
    let configmaps = t.configmaps().await?;
    let deployments = t.resource("apps/v1", "deployments").await?;
    t.create(&configmaps, &configmap("a", "k", "v")).await?;
    t.create(&deployments, &deployment("web", 1)).await?;
    let path = format!("/api/v1/namespaces/{namespace}");
    let going = t.admin().delete(&path).await?.status(200)?;
    same!(going["kind"], "Namespace");
    same!(going["status"]["phase"], "Terminating");
    ensure!(
        going["metadata"]["deletionTimestamp"].is_string(),
        "{going}"
    );
    t.admin().until_gone(&path).await?;
    t.admin()
        .get(&format!("{configmaps}/a"))
        .await?
        .failure(404, "NotFound")?;
    t.admin()
        .get(&format!("{deployments}/web"))
        .await?
        .failure(404, "NotFound")?;
    Ok(())
}

async fn a_finalizer_of_a_content_keeps_it_with_conditions(t: &Context) -> Result<()> {
    let namespace = t.namespace().await?.to_owned();
    let configmaps = t.configmaps().await?;
    let mut body = configmap("held", "k", "v");
    body["metadata"]["finalizers"] = json!(["example.com/hold"]);
    t.create(&configmaps, &body).await?;
    let path = format!("/api/v1/namespaces/{namespace}");
    t.admin().delete(&path).await?.status(200)?;
    let condition = |namespace: &Value, kind: &str| {
        let mut conditions = namespace["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten();
        conditions
            .find(|condition| condition["type"] == kind)
            .cloned()
            .unwrap_or_default()
    };
    let stuck = t
        .admin()
        .until(&path, "the conditions say what remains", |namespace| {
            condition(namespace, "NamespaceFinalizersRemaining")["status"] == "True"
        })
        .await?;
    same!(stuck["status"]["phase"], "Terminating");
    let remains = condition(&stuck, "NamespaceFinalizersRemaining");
    same!(remains["reason"], "SomeFinalizersRemain");
    same!(
        remains["message"],
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    );
    let content = condition(&stuck, "NamespaceContentRemaining");
    same!(content["reason"], "SomeResourcesRemain");
    same!(
        content["message"],
        "Some resources are remaining: configmaps. has 1 resource instances"
    );
    same!(
        condition(&stuck, "NamespaceDeletionContentFailure")["status"],
        "False"
    );
    let release = json!({"metadata": {"finalizers": null}});
    t.admin()
        .patch(&format!("{configmaps}/held"), MERGE, &release)
        .await?
        .status(200)?;
    t.admin().until_gone(&path).await
}

async fn nothing_is_made_in_one_that_ends(t: &Context) -> Result<()> {
    let namespace = t.namespace().await?.to_owned();
    let configmaps = t.configmaps().await?;
    let mut body = configmap("held", "k", "v");
    body["metadata"]["finalizers"] = json!(["example.com/hold"]);
    t.create(&configmaps, &body).await?;
    t.admin()
        .delete(&format!("/api/v1/namespaces/{namespace}"))
        .await?
        .status(200)?;
    let status = t
        .admin()
        .post(&configmaps, &configmap("late", "k", "v"))
        .await?
        .failure(403, "Forbidden")?;
    same!(
        status["message"],
        format!(
            "configmaps \"late\" is forbidden: unable to create new content in namespace {namespace} because it is being terminated"
        )
    );
    same!(
        status["details"]["causes"],
        json!([{"reason": "NamespaceTerminating", "message": format!("namespace {namespace} is being terminated"), "field": "metadata.namespace"}])
    );
    let release = json!({"metadata": {"finalizers": null}});
    t.admin()
        .patch(&format!("{configmaps}/held"), MERGE, &release)
        .await?
        .status(200)?;
    Ok(())
}

async fn the_default_one_stays(t: &Context) -> Result<()> {
    for name in ["default", "kube-system"] {
        t.admin()
            .delete(&format!("/api/v1/namespaces/{name}"))
            .await?
            .refused(
                403,
                "Forbidden",
                &format!("namespaces \"{name}\" is forbidden: this namespace may not be deleted"),
            )?;
    }
    Ok(())
}

async fn a_bad_name_is_422(t: &Context) -> Result<()> {
    let status = t
        .admin()
        .post("/api/v1/namespaces", &namespace("a.b"))
        .await?
        .failure(422, "Invalid")?;
    same!(status["details"]["causes"][0]["field"], "metadata.name");
    Ok(())
}

async fn system_namespaces_are_there(t: &Context) -> Result<()> {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let namespace = t
            .admin()
            .get(&format!("/api/v1/namespaces/{name}"))
            .await?
            .status(200)?;
        same!(namespace["status"]["phase"], "Active", "{name}");
    }
    Ok(())
}
