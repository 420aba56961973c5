//! GET of collections: order, selectors, pages, versions, other shapes.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::case::{cases, same};
use crate::context::Context;
use crate::manifest::labelled;
use crate::socket::escape;

cases![
    a_list_has_a_version_and_its_items_no_kind,
    items_are_sorted_by_name,
    pages_give_everything_once,
    pages_are_of_one_moment,
    a_broken_continue_is_400,
    from_the_cache_at_version_zero,
    not_older_than_a_version,
    exactly_a_version_in_the_past,
    a_version_long_gone_is_410 for 240,
    a_version_in_the_future_is_504,
    a_match_without_a_version_is_refused,
    a_broken_version_is_400,
    over_all_namespaces,
    metadata_only,
    an_object_as_metadata_only,
    a_collection_that_is_empty,
];

pub(super) fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().into_iter().flatten();
    items
        .filter_map(|item| item["metadata"]["name"].as_str().map(str::to_owned))
        .collect()
}

/// Makes ConfigMaps `NAME` with the label `app` of a value.
pub(super) async fn several(t: &Context, pairs: &[(&str, &str)]) -> Result<String> {
    let configmaps = t.configmaps().await?;
    for (name, label) in pairs {
        t.create(&configmaps, &labelled(name, "app", label)).await?;
    }
    Ok(configmaps)
}

/// The names of a list, without the ConfigMap that every namespace has.
pub(super) async fn chosen(t: &Context, configmaps: &str, query: &str) -> Result<Vec<String>> {
    let list = t
        .admin()
        .get(&format!("{configmaps}?{query}"))
        .await?
        .status(200)?;
    Ok(names(&list)
        .into_iter()
        .filter(|name| name != "kube-root-ca.crt")
        .collect())
}

async fn a_list_has_a_version_and_its_items_no_kind(t: &Context) -> Result<()> {
    let configmaps = several(t, &[("a", "x")]).await?;
    let list = t.admin().get(&configmaps).await?.status(200)?;
    same!(list["kind"], "ConfigMapList");
    same!(list["apiVersion"], "v1");
    ensure!(
        list["metadata"]["resourceVersion"]
            .as_str()
            .is_some_and(|text| text.parse::<u64>().is_ok()),
        "{list}"
    );
    let item = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|item| item["metadata"]["name"] == "a")
        .context("no item")?;
    ensure!(
        item["kind"].is_null() && item["apiVersion"].is_null(),
        "{item}"
    );
    Ok(())
}

async fn items_are_sorted_by_name(t: &Context) -> Result<()> {
    let configmaps = several(t, &[("b", "x"), ("c", "x"), ("a", "x"), ("a-b", "x")]).await?;
    same!(
        chosen(t, &configmaps, "").await?,
        vec!["a", "a-b", "b", "c"]
    );
    Ok(())
}

async fn pages_give_everything_once(t: &Context) -> Result<()> {
    let configmaps = several(
        t,
        &[("a", "x"), ("b", "x"), ("c", "x"), ("d", "x"), ("e", "x")],
    )
    .await?;
    let first = t
        .admin()
        .get(&format!("{configmaps}?labelSelector=app&limit=2"))
        .await?
        .status(200)?;
    // With a selector the server does not count what is left.
    ensure!(
        first["metadata"]["remainingItemCount"].is_null(),
        "{}",
        first["metadata"]
    );
    let mut all = names(&first);
    same!(all.len(), 2);
    let mut next = first["metadata"]["continue"].clone();
    let version = first["metadata"]["resourceVersion"].clone();
    while let Some(token) = next.as_str().filter(|token| !token.is_empty()) {
        let page = t
            .admin()
            .get(&format!(
                "{configmaps}?labelSelector=app&limit=2&continue={}",
                escape(token)
            ))
            .await?
            .status(200)?;
        same!(page["metadata"]["resourceVersion"], version);
        all.extend(names(&page));
        next = page["metadata"]["continue"].clone();
    }
    same!(all, vec!["a", "b", "c", "d", "e"]);
    let secrets = t.resource("v1", "secrets").await?;
    for name in ["a", "b", "c"] {
        t.create(
            &secrets,
            &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}),
        )
        .await?;
    }
    let page = t
        .admin()
        .get(&format!("{secrets}?limit=1"))
        .await?
        .status(200)?;
    same!(page["metadata"]["remainingItemCount"], 2);
    Ok(())
}

async fn pages_are_of_one_moment(t: &Context) -> Result<()> {
    let configmaps = several(t, &[("a", "x"), ("b", "x"), ("d", "x")]).await?;
    let first = t
        .admin()
        .get(&format!("{configmaps}?labelSelector=app&limit=1"))
        .await?
        .status(200)?;
    same!(names(&first), vec!["a"]);
    t.create(&configmaps, &labelled("c", "app", "x")).await?;
    t.admin()
        .delete(&format!("{configmaps}/d"))
        .await?
        .status(200)?;
    let token = escape(
        first["metadata"]["continue"]
            .as_str()
            .context("no continue")?,
    );
    let rest = t
        .admin()
        .get(&format!("{configmaps}?labelSelector=app&continue={token}"))
        .await?
        .status(200)?;
    same!(names(&rest), vec!["b", "d"]);
    Ok(())
}

async fn a_broken_continue_is_400(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let status = t
        .admin()
        .get(&format!("{configmaps}?limit=1&continue=nonsense"))
        .await?
        .failure(400, "BadRequest")?;
    let message = status["message"].as_str().unwrap_or_default();
    ensure!(
        message.starts_with("invalid continue token: continue key is not valid: "),
        "{message}"
    );
    Ok(())
}

async fn from_the_cache_at_version_zero(t: &Context) -> Result<()> {
    let configmaps = several(t, &[("a", "x")]).await?;
    let path = format!("{configmaps}?labelSelector=app&resourceVersion=0");
    t.admin()
        .until(&path, "the cache has it", |list| names(list) == ["a"])
        .await?;
    Ok(())
}

async fn not_older_than_a_version(t: &Context) -> Result<()> {
    let configmaps = several(t, &[("a", "x")]).await?;
    let made = t.create(&configmaps, &labelled("b", "app", "x")).await?;
    let version = made["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default();
    let query =
        format!("labelSelector=app&resourceVersion={version}&resourceVersionMatch=NotOlderThan");
    same!(chosen(t, &configmaps, &query).await?, vec!["a", "b"]);
    Ok(())
}

async fn exactly_a_version_in_the_past(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let made = t.create(&configmaps, &labelled("a", "app", "x")).await?;
    t.create(&configmaps, &labelled("b", "app", "x")).await?;
    let version = made["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default();
    let path = format!(
        "{configmaps}?labelSelector=app&resourceVersion={version}&resourceVersionMatch=Exact&limit=10"
    );
    let list = t.admin().get(&path).await?.status(200)?;
    same!(names(&list), vec!["a"]);
    same!(list["metadata"]["resourceVersion"], version);
    Ok(())
}

async fn a_version_long_gone_is_410(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    // Versions are forgotten after a while; a server that was just started may still know its first.
    let path = format!("{configmaps}?resourceVersion=1&resourceVersionMatch=Exact&limit=10");
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(220);
    loop {
        let reply = t.admin().get(&path).await?;
        if reply.status == 200 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
            continue;
        }
        let status = reply.failure(410, "Expired")?;
        ensure!(
            status["message"]
                .as_str()
                .is_some_and(|text| text.contains("too old")),
            "{status}"
        );
        return Ok(());
    }
}

async fn a_version_in_the_future_is_504(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let path = format!("{configmaps}?resourceVersion=999999999&resourceVersionMatch=NotOlderThan");
    let status = t.admin().get(&path).await?.failure(504, "Timeout")?;
    let message = status["message"].as_str().unwrap_or_default();
    ensure!(
        message.starts_with("Timeout: Too large resource version: 999999999, current: "),
        "{message}"
    );
    let cause =
        json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]);
    same!(status["details"]["causes"], cause);
    same!(status["details"]["retryAfterSeconds"], 1);
    Ok(())
}

async fn a_match_without_a_version_is_refused(t: &Context) -> Result<()> {
    let path = format!("{}?resourceVersionMatch=Exact", t.configmaps().await?);
    let status = t.admin().get(&path).await?.failure(422, "Invalid")?;
    same!(
        status["message"],
        "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless \
         resourceVersion is provided"
    );
    Ok(())
}

async fn a_broken_version_is_400(t: &Context) -> Result<()> {
    let reply = t
        .admin()
        .get(&format!("{}?resourceVersion=abc", t.configmaps().await?))
        .await?;
    ensure!(reply.status == 400, "{}", reply.short());
    ensure!(
        reply.text.contains("resourceVersion: Invalid value: "),
        "{}",
        reply.short()
    );
    Ok(())
}

async fn over_all_namespaces(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    t.create(&configmaps, &labelled("a", "suite", t.unique()))
        .await?;
    let list = t
        .admin()
        .get(&format!(
            "/api/v1/configmaps?labelSelector=suite%3D{}",
            t.unique()
        ))
        .await?
        .status(200)?;
    same!(names(&list), vec!["a"]);
    same!(
        list["items"][0]["metadata"]["namespace"],
        t.namespace().await?
    );
    Ok(())
}

async fn metadata_only(t: &Context) -> Result<()> {
    let configmaps = several(t, &[("a", "x")]).await?;
    let accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let list = t
        .admin()
        .get_as(&format!("{configmaps}?labelSelector=app"), accept)
        .await?
        .status(200)?;
    same!(list["kind"], "PartialObjectMetadataList");
    same!(list["apiVersion"], "meta.k8s.io/v1");
    let item = &list["items"][0];
    same!(item["metadata"]["name"], "a");
    ensure!(item["data"].is_null(), "{item}");
    Ok(())
}

async fn an_object_as_metadata_only(t: &Context) -> Result<()> {
    let configmaps = several(t, &[("a", "x")]).await?;
    let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
    let object = t
        .admin()
        .get_as(&format!("{configmaps}/a"), accept)
        .await?
        .status(200)?;
    same!(object["kind"], "PartialObjectMetadata");
    same!(object["metadata"]["labels"]["app"], "x");
    ensure!(object["data"].is_null(), "{object}");
    Ok(())
}

async fn a_collection_that_is_empty(t: &Context) -> Result<()> {
    let list = t
        .admin()
        .get(&t.resource("apps/v1", "deployments").await?)
        .await?
        .status(200)?;
    same!(list["kind"], "DeploymentList");
    same!(list["items"], json!([]));
    Ok(())
}
