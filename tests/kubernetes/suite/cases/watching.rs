//! Watches: what comes, in which order, from where, and how they end.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;
use crate::manifest::{configmap, definition, labelled};
use crate::watch::Watch;

cases![
    without_a_version_what_is_there_comes_first,
    from_a_version_only_what_came_after,
    changes_come_in_order_with_growing_versions,
    a_deletion_shows_the_last_state,
    leaving_a_selector_is_a_deletion,
    one_object_by_its_name,
    a_name_in_the_address_is_read_not_watched,
    other_namespaces_stay_out,
    over_all_namespaces,
    timeout_seconds_ends_it_in_good_order,
    a_bookmark_comes_when_asked,
    initial_events_end_with_a_bookmark,
    initial_events_want_a_match,
    a_match_wants_initial_events,
    a_version_long_gone_is_an_error_event,
    a_version_in_the_future_waits_for_it,
    a_broken_version_is_an_error,
    a_watch_is_a_stream_of_json,
    metadata_only,
    many_watches_see_the_same,
    an_object_deleted_while_awaited,
];

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

/// The version of the case's ConfigMaps now. The one that every namespace has is there already.
async fn now(t: &Context) -> Result<(String, u64)> {
    let configmaps = t.configmaps().await?;
    t.admin()
        .until(
            &format!("{configmaps}/kube-root-ca.crt"),
            "the namespace is complete",
            |_| true,
        )
        .await?;
    let list = t.admin().get(&configmaps).await?.status(200)?;
    Ok((configmaps, version(&list)))
}

async fn without_a_version_what_is_there_comes_first(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    t.create(&configmaps, &labelled("a", "app", "x")).await?;
    t.create(&configmaps, &labelled("b", "app", "x")).await?;
    let mut watch = Watch::open(t.admin(), &configmaps, "labelSelector=app").await?;
    let mut first = vec![watch.event().await?.short(), watch.event().await?.short()];
    first.sort();
    same!(first, vec!["ADDED a", "ADDED b"]);
    t.create(&configmaps, &labelled("c", "app", "x")).await?;
    let object = watch.expect("ADDED", "c").await?;
    same!(object["kind"], "ConfigMap");
    same!(object["apiVersion"], "v1");
    Ok(())
}

async fn from_a_version_only_what_came_after(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    t.create(&configmaps, &labelled("before", "app", "x"))
        .await?;
    let (_, version) = now(t).await?;
    t.create(&configmaps, &labelled("after", "app", "x"))
        .await?;
    let mut watch = Watch::open(
        t.admin(),
        &configmaps,
        &format!("resourceVersion={version}"),
    )
    .await?;
    watch.expect("ADDED", "after").await?;
    watch.silent().await
}

async fn changes_come_in_order_with_growing_versions(t: &Context) -> Result<()> {
    let (configmaps, from) = now(t).await?;
    let mut watch = Watch::open(t.admin(), &configmaps, &format!("resourceVersion={from}")).await?;
    t.create(&configmaps, &configmap("a", "k", "0")).await?;
    for step in 1..=5 {
        t.admin()
            .patch(
                &format!("{configmaps}/a"),
                MERGE,
                &json!({"data": {"k": step.to_string()}}),
            )
            .await?
            .status(200)?;
    }
    t.admin()
        .delete(&format!("{configmaps}/a"))
        .await?
        .status(200)?;
    let mut last = version(&watch.expect("ADDED", "a").await?);
    for step in 1..=5 {
        let object = watch.expect("MODIFIED", "a").await?;
        same!(object["data"]["k"], step.to_string());
        ensure!(
            version(&object) > last,
            "{} is not after {last}",
            version(&object)
        );
        last = version(&object);
    }
    ensure!(
        version(&watch.expect("DELETED", "a").await?) > last,
        "the deletion has no version of its own"
    );
    Ok(())
}

async fn a_deletion_shows_the_last_state(t: &Context) -> Result<()> {
    let (configmaps, from) = now(t).await?;
    let made = t.create(&configmaps, &configmap("a", "k", "v")).await?;
    let mut watch = Watch::open(t.admin(), &configmaps, &format!("resourceVersion={from}")).await?;
    watch.expect("ADDED", "a").await?;
    t.admin()
        .delete(&format!("{configmaps}/a"))
        .await?
        .status(200)?;
    let last = watch.expect("DELETED", "a").await?;
    same!(last["data"], json!({"k": "v"}));
    same!(last["metadata"]["uid"], made["metadata"]["uid"]);
    ensure!(
        version(&last) > version(&made),
        "the version of the deletion is its own"
    );
    Ok(())
}

async fn leaving_a_selector_is_a_deletion(t: &Context) -> Result<()> {
    let (configmaps, from) = now(t).await?;
    let mut watch = Watch::open(
        t.admin(),
        &configmaps,
        &format!("labelSelector=app%3Dx&resourceVersion={from}"),
    )
    .await?;
    t.create(&configmaps, &labelled("a", "app", "x")).await?;
    watch.expect("ADDED", "a").await?;
    let path = format!("{configmaps}/a");
    let left = t
        .admin()
        .patch(&path, MERGE, &json!({"metadata": {"labels": {"app": "y"}}}))
        .await?
        .status(200)?;
    let seen = watch.expect("DELETED", "a").await?;
    // It shows how the object was while it was selected, at the version of the change.
    same!(seen["metadata"]["labels"]["app"], "x");
    same!(version(&seen), version(&left));
    t.admin()
        .patch(&path, MERGE, &json!({"metadata": {"labels": {"app": "z"}}}))
        .await?
        .status(200)?;
    t.admin()
        .patch(&path, MERGE, &json!({"metadata": {"labels": {"app": "x"}}}))
        .await?
        .status(200)?;
    watch.expect("ADDED", "a").await?;
    Ok(())
}

async fn one_object_by_its_name(t: &Context) -> Result<()> {
    let (configmaps, from) = now(t).await?;
    let mut watch = Watch::open(
        t.admin(),
        &configmaps,
        &format!("fieldSelector=metadata.name%3Db&resourceVersion={from}"),
    )
    .await?;
    t.create(&configmaps, &configmap("a", "k", "v")).await?;
    t.create(&configmaps, &configmap("b", "k", "v")).await?;
    watch.expect("ADDED", "b").await?;
    watch.silent().await
}

async fn a_name_in_the_address_is_read_not_watched(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let made = t.create(&configmaps, &configmap("a", "k", "v")).await?;
    let read = t
        .admin()
        .get(&format!("{configmaps}/a?watch=1"))
        .await?
        .status(200)?;
    same!(read, made);
    Ok(())
}

async fn other_namespaces_stay_out(t: &Context) -> Result<()> {
    let (configmaps, from) = now(t).await?;
    let mut watch = Watch::open(t.admin(), &configmaps, &format!("resourceVersion={from}")).await?;
    let other = "/api/v1/namespaces/default/configmaps";
    t.remove_later(format!("{other}/{}", t.unique()));
    t.create(other, &configmap(t.unique(), "k", "v")).await?;
    watch.silent().await
}

async fn over_all_namespaces(t: &Context) -> Result<()> {
    let (configmaps, from) = now(t).await?;
    let query = format!(
        "labelSelector=suite%3D{}&resourceVersion={from}",
        t.unique()
    );
    let mut watch = Watch::open(t.admin(), "/api/v1/configmaps", &query).await?;
    t.create(&configmaps, &labelled("a", "suite", t.unique()))
        .await?;
    let object = watch.expect("ADDED", "a").await?;
    same!(object["metadata"]["namespace"], t.namespace().await?);
    Ok(())
}

async fn timeout_seconds_ends_it_in_good_order(t: &Context) -> Result<()> {
    let (configmaps, from) = now(t).await?;
    let mut watch = Watch::open(
        t.admin(),
        &configmaps,
        &format!("resourceVersion={from}&timeoutSeconds=2"),
    )
    .await?;
    match watch.next().await? {
        None => Ok(()),
        Some(event) => bail!("nothing was expected before the end, got {event:?}"),
    }
}

async fn a_bookmark_comes_when_asked(t: &Context) -> Result<()> {
    let (configmaps, from) = now(t).await?;
    let query = format!("resourceVersion={from}&allowWatchBookmarks=true&timeoutSeconds=6");
    let mut watch = Watch::open(t.admin(), &configmaps, &query).await?;
    let event = watch
        .until("a bookmark", |event| event.kind == "BOOKMARK")
        .await?;
    // Nothing but kind and version.
    same!(event.object["kind"], "ConfigMap");
    ensure!(version(&event.object) >= from, "{}", event.object);
    ensure!(
        event.object["metadata"]["name"].is_null(),
        "{}",
        event.object
    );
    Ok(())
}

async fn initial_events_end_with_a_bookmark(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let made = t.create(&configmaps, &labelled("a", "app", "x")).await?;
    let query = "labelSelector=app&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=";
    let mut watch = Watch::open(t.admin(), &configmaps, query).await?;
    watch.expect("ADDED", "a").await?;
    let event = watch.event().await?;
    same!(event.kind, "BOOKMARK");
    same!(
        event.object["metadata"]["annotations"],
        json!({"k8s.io/initial-events-end": "true"})
    );
    ensure!(version(&event.object) >= version(&made), "{}", event.object);
    t.create(&configmaps, &labelled("b", "app", "x")).await?;
    watch
        .until("what came after", |event| event.short() == "ADDED b")
        .await?;
    Ok(())
}

/// The refusal of a watch with this query.
async fn refused(t: &Context, query: &str) -> Result<Value> {
    let path = format!("{}?watch=1&{query}", t.configmaps().await?);
    t.admin().get(&path).await?.failure(422, "Invalid")
}

async fn initial_events_want_a_match(t: &Context) -> Result<()> {
    let status = refused(t, "sendInitialEvents=true&allowWatchBookmarks=true").await?;
    same!(
        status["message"],
        "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to \
         NotOlderThan"
    );
    Ok(())
}

async fn a_match_wants_initial_events(t: &Context) -> Result<()> {
    let status = refused(t, "resourceVersion=1&resourceVersionMatch=NotOlderThan").await?;
    same!(
        status["message"],
        "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless \
         sendInitialEvents is provided"
    );
    Ok(())
}

async fn a_version_long_gone_is_an_error_event(t: &Context) -> Result<()> {
    // Of a kind that was defined just now the server remembers nothing older.
    let group = format!("{}.example.com", t.unique());
    let crd = definition(&group, "Gadget", "Namespaced", &json!({"type": "object"}));
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    t.remove_later(format!("{definitions}/gadgets.{group}"));
    t.create(definitions, &crd).await?;
    let gadgets = t.resource(&format!("{group}/v1"), "gadgets").await?;
    t.admin().until(&gadgets, "it is served", |_| true).await?;
    let mut watch = Watch::open(t.admin(), &gadgets, "resourceVersion=1&timeoutSeconds=5").await?;
    let event = watch.event().await?;
    same!(event.kind, "ERROR");
    same!(event.object["kind"], "Status");
    same!(event.object["status"], "Failure");
    same!(event.object["code"], 410);
    same!(event.object["reason"], "Expired");
    let message = event.object["message"].as_str().unwrap_or_default();
    ensure!(
        message.starts_with("too old resource version: 1 ("),
        "{message}"
    );
    ensure!(
        watch.next().await?.is_none(),
        "after the error the watch goes on"
    );
    Ok(())
}

async fn a_version_in_the_future_waits_for_it(t: &Context) -> Result<()> {
    let (configmaps, _) = now(t).await?;
    // It waits for its version, and for nothing else.
    let mut watch = Watch::open(
        t.admin(),
        &configmaps,
        "resourceVersion=999999999&timeoutSeconds=2",
    )
    .await?;
    t.create(&configmaps, &configmap("a", "k", "v")).await?;
    match watch.next().await? {
        None => Ok(()),
        Some(event) => bail!("an event before its version: {event:?}"),
    }
}

async fn a_broken_version_is_an_error(t: &Context) -> Result<()> {
    let reply = t
        .admin()
        .get(&format!(
            "{}?watch=1&resourceVersion=abc",
            t.configmaps().await?
        ))
        .await?;
    let status = reply.status(500)?;
    same!(status["kind"], "Status");
    same!(
        status["message"],
        "resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax"
    );
    Ok(())
}

async fn a_watch_is_a_stream_of_json(t: &Context) -> Result<()> {
    let (configmaps, from) = now(t).await?;
    let watch = Watch::open(
        t.admin(),
        &configmaps,
        &format!("resourceVersion={from}&timeoutSeconds=1"),
    )
    .await?;
    same!(watch.header("content-type"), "application/json");
    same!(watch.header("transfer-encoding"), "chunked");
    Ok(())
}

async fn metadata_only(t: &Context) -> Result<()> {
    let (configmaps, from) = now(t).await?;
    let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let mut watch = Watch::open_as(
        t.admin(),
        &configmaps,
        &format!("resourceVersion={from}"),
        accept,
    )
    .await?;
    t.create(&configmaps, &configmap("a", "k", "v")).await?;
    let object = watch.expect("ADDED", "a").await?;
    same!(object["kind"], "PartialObjectMetadata");
    ensure!(object["data"].is_null(), "{object}");
    Ok(())
}

async fn many_watches_see_the_same(t: &Context) -> Result<()> {
    let (configmaps, from) = now(t).await?;
    let mut watches = Vec::new();
    for _ in 0..20 {
        watches
            .push(Watch::open(t.admin(), &configmaps, &format!("resourceVersion={from}")).await?);
    }
    for name in ["a", "b", "c"] {
        t.create(&configmaps, &configmap(name, "k", "v")).await?;
    }
    for watch in &mut watches {
        for name in ["a", "b", "c"] {
            watch.expect("ADDED", name).await?;
        }
    }
    Ok(())
}

async fn an_object_deleted_while_awaited(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let made = t.create(&configmaps, &configmap("a", "k", "v")).await?;
    let query = format!(
        "fieldSelector=metadata.name%3Da&resourceVersion={}",
        version(&made)
    );
    let mut watch = Watch::open(t.admin(), &configmaps, &query).await?;
    t.admin()
        .delete(&format!("{configmaps}/a"))
        .await?
        .status(200)?;
    watch.expect("DELETED", "a").await?;
    // One of the same name is another object.
    let again = t.create(&configmaps, &configmap("a", "k", "v")).await?;
    let seen = watch.expect("ADDED", "a").await?;
    same!(seen["metadata"]["uid"], again["metadata"]["uid"]);
    ensure!(
        seen["metadata"]["uid"] != made["metadata"]["uid"],
        "the uid came back"
    );
    Ok(())
}
