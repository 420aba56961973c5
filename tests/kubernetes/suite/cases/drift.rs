//! Flux: what was changed by hand is put back, at the interval and by itself.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::flux::{World, kustomization, ready};
use super::helm::{deployed, helm, helm_release};
use super::workloads::condition;
use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;

cases![
    what_was_changed_is_put_back_at_the_interval for 240,
    what_was_deleted_is_made_again_at_the_interval for 240,
    what_kubectl_added_goes_at_the_interval for 240,
    what_others_added_stays for 240,
    a_suspended_kustomization_lets_drift_be for 240,
    a_changed_object_of_a_release_is_put_back_at_the_interval for 300,
    a_deleted_object_of_a_release_is_made_again_at_the_interval for 300,
    drift_that_is_only_warned_of_stays for 300,
    drift_of_what_is_ignored_is_none for 300,
];

/// Far shorter than a case, far longer than one look.
const INTERVAL: &str = "5s";

/// A Kustomization that has applied the ConfigMap `a`, and looks at it often; the path of that.
async fn applied(t: &Context) -> Result<(World, String)> {
    let world = World::new(t).await?;
    let mut body = kustomization("app", "./app");
    body["spec"]["interval"] = json!(INTERVAL);
    t.create(&world.kustomizations, &body).await?;
    t.admin()
        .until(&world.path(), "it is applied", |object| {
            ready(object, "True")
        })
        .await?;
    let path = format!("{}/a", world.configmaps);
    Ok((world, path))
}

async fn what_was_changed_is_put_back_at_the_interval(t: &Context) -> Result<()> {
    let (world, path) = applied(t).await?;
    let by_hand = json!({"data": {"k": "by hand"}, "metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "other"}}});
    let changed = t.admin().patch(&path, MERGE, &by_hand).await?.status(200)?;
    let back = t
        .admin()
        .until(&path, "it is put back", |object| object["data"]["k"] == "1")
        .await?;
    same!(back["metadata"]["uid"], changed["metadata"]["uid"]);
    same!(
        back["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"],
        "app"
    );
    // It was not asked for: no request, no other generation, and it is ready all along.
    let object = t
        .admin()
        .until(&world.path(), "it is ready", |object| ready(object, "True"))
        .await?;
    ensure!(
        object["status"]["lastHandledReconcileAt"].is_null(),
        "{object}"
    );
    same!(object["metadata"]["generation"], 1);
    Ok(())
}

async fn what_was_deleted_is_made_again_at_the_interval(t: &Context) -> Result<()> {
    let (_world, path) = applied(t).await?;
    let before = t.admin().get(&path).await?.status(200)?;
    t.admin().delete(&path).await?.status(200)?;
    let again = t
        .admin()
        .until(&path, "it is there again", |object| {
            object["data"]["k"] == "1"
        })
        .await?;
    ensure!(
        again["metadata"]["uid"] != before["metadata"]["uid"],
        "{again}"
    );
    Ok(())
}

async fn what_kubectl_added_goes_at_the_interval(t: &Context) -> Result<()> {
    let (_world, path) = applied(t).await?;
    let more = json!({"data": {"more": "x"}});
    let added = t
        .admin()
        .patch(&format!("{path}?fieldManager=kubectl-edit"), MERGE, &more)
        .await?
        .status(200)?;
    same!(added["data"]["more"], "x");
    let back = t
        .admin()
        .until(&path, "it is gone", |object| {
            object["data"]["more"].is_null()
        })
        .await?;
    same!(back["data"], json!({"k": "1"}));
    let managers: Vec<&Value> = back["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| &entry["manager"])
        .collect();
    same!(managers, ["kustomize-controller"]);
    Ok(())
}

async fn what_others_added_stays(t: &Context) -> Result<()> {
    let (_world, path) = applied(t).await?;
    let more = json!({"data": {"k": "by hand", "more": "x"}, "metadata": {"annotations": {"note": "mine"}}});
    t.admin()
        .patch(&format!("{path}?fieldManager=somebody"), MERGE, &more)
        .await?
        .status(200)?;
    let back = t
        .admin()
        .until(&path, "its own is put back", |object| {
            object["data"]["k"] == "1"
        })
        .await?;
    same!(back["data"]["more"], "x");
    same!(back["metadata"]["annotations"]["note"], "mine");
    Ok(())
}

async fn a_suspended_kustomization_lets_drift_be(t: &Context) -> Result<()> {
    let (world, path) = applied(t).await?;
    let suspend = |on: bool| json!({"spec": {"suspend": on}});
    t.admin()
        .patch(&world.path(), MERGE, &suspend(true))
        .await?
        .status(200)?;
    // One that was under way comes to its end.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    t.admin()
        .patch(&path, MERGE, &json!({"data": {"k": "by hand"}}))
        .await?
        .status(200)?;
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    same!(
        t.admin().get(&path).await?.status(200)?["data"]["k"],
        "by hand"
    );
    t.admin()
        .patch(&world.path(), MERGE, &suspend(false))
        .await?
        .status(200)?;
    t.admin()
        .until(&path, "it is put back", |object| object["data"]["k"] == "1")
        .await?;
    Ok(())
}

/// A release whose drift is looked for often, in this way; the paths of it and of its ConfigMap.
async fn released(t: &Context, detection: Value) -> Result<(World, String, String)> {
    let (world, releases) = helm(t).await?;
    let mut body = helm_release("./chart");
    body["spec"]["interval"] = json!(INTERVAL);
    body["spec"]["driftDetection"] = detection;
    t.create(&releases, &body).await?;
    let path = format!("{releases}/web");
    t.admin()
        .until(&path, "it is installed", deployed(1))
        .await?;
    Ok((world, path, format!("{}/web-text", t.configmaps().await?)))
}

async fn a_changed_object_of_a_release_is_put_back_at_the_interval(t: &Context) -> Result<()> {
    let (_world, path, map) = released(t, json!({"mode": "enabled"})).await?;
    let by_hand = json!({"data": {"text": "by hand"}});
    t.admin().patch(&map, MERGE, &by_hand).await?.status(200)?;
    t.admin()
        .until(&map, "it is put back", |map| {
            map["data"]["text"] == "from values"
        })
        .await?;
    let settled =
        |object: &Value| ready(object, "True") && condition(object, "Drifted")["status"] == "False";
    let object = t.admin().until(&path, "no drift is left", settled).await?;
    same!(condition(&object, "Drifted")["reason"], "NoDriftDetected");
    same!(
        condition(&object, "Drifted")["message"],
        "No drift detected against the cluster state"
    );
    // It is the same release as before.
    same!(object["status"]["history"][0]["version"], 1);
    Ok(())
}

async fn a_deleted_object_of_a_release_is_made_again_at_the_interval(t: &Context) -> Result<()> {
    let (_world, path, map) = released(t, json!({"mode": "enabled"})).await?;
    t.admin().delete(&map).await?.status(200)?;
    t.admin()
        .until(&map, "it is there again", |map| {
            map["data"]["text"] == "from values"
        })
        .await?;
    let object = t
        .admin()
        .until(&path, "it is ready", |object| ready(object, "True"))
        .await?;
    same!(object["status"]["history"][0]["version"], 1);
    Ok(())
}

async fn drift_that_is_only_warned_of_stays(t: &Context) -> Result<()> {
    let (_world, path, map) = released(t, json!({"mode": "warn"})).await?;
    let by_hand = json!({"data": {"text": "by hand"}});
    t.admin().patch(&map, MERGE, &by_hand).await?.status(200)?;
    let drifted =
        |object: &Value| condition(object, "Drifted")["status"] == "True" && ready(object, "True");
    let object = t.admin().until(&path, "the drift is seen", drifted).await?;
    same!(condition(&object, "Drifted")["reason"], "DriftDetected");
    let text = condition(&object, "Drifted")["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let namespace = t.namespace().await?;
    let start = format!(
        "Cluster state of release {namespace}/web.v1 has drifted from the desired state:\n"
    );
    ensure!(text.starts_with(&start), "{text}");
    ensure!(
        text.contains(&format!("ConfigMap/{namespace}/web-text changed")),
        "{text}"
    );
    same!(
        t.admin().get(&map).await?.status(200)?["data"]["text"],
        "by hand"
    );
    Ok(())
}

async fn drift_of_what_is_ignored_is_none(t: &Context) -> Result<()> {
    let ignore = json!([{"paths": ["/data/text"], "target": {"kind": "ConfigMap"}}]);
    let (_world, path, map) = released(t, json!({"mode": "enabled", "ignore": ignore})).await?;
    let by_hand = json!({"data": {"text": "by hand"}});
    t.admin().patch(&map, MERGE, &by_hand).await?.status(200)?;
    tokio::time::sleep(std::time::Duration::from_secs(12)).await;
    same!(
        t.admin().get(&map).await?.status(200)?["data"]["text"],
        "by hand"
    );
    let settled =
        |object: &Value| ready(object, "True") && condition(object, "Drifted")["status"] == "False";
    t.admin().until(&path, "there is no drift", settled).await?;
    Ok(())
}
