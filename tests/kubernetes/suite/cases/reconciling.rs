//! Flux: what changes after the first time: commits, drift, pruning, suspension, dependencies, health.

use anyhow::Result;
use serde_json::{Value, json};

use super::flux::{REQUESTED, World, kustomization, manifest, ready};
use super::workloads::condition;
use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;

cases![
    a_new_commit_is_applied_on_request for 240,
    what_left_the_repository_is_pruned for 240,
    an_object_may_refuse_to_be_pruned for 240,
    drift_is_corrected_on_request for 240,
    a_suspended_kustomization_stands_still for 240,
    a_dependency_that_is_not_ready_is_waited_for for 240,
    a_health_check_that_fails_is_said for 240,
    a_deleted_kustomization_takes_its_objects_with_it for 240,
];

async fn a_new_commit_is_applied_on_request(t: &Context) -> Result<()> {
    let (world, _) = World::applied(t).await?;
    let commit = world
        .repository
        .commit(&[("app/a.yaml", &manifest(t.namespace().await?, "a", "2"))])
        .await?;
    world.reconcile(t, &commit).await?;
    same!(
        t.admin()
            .get(&format!("{}/a", world.configmaps))
            .await?
            .status(200)?["data"]["k"],
        "2"
    );
    Ok(())
}

async fn what_left_the_repository_is_pruned(t: &Context) -> Result<()> {
    let (world, _) = World::applied(t).await?;
    let namespace = t.namespace().await?;
    let commit = world
        .repository
        .commit(&[("app/b.yaml", &manifest(namespace, "b", "1"))])
        .await?;
    let both = world.reconcile(t, &commit).await?;
    same!(
        both["status"]["inventory"]["entries"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    let commit = world.repository.remove("app/b.yaml").await?;
    let one = world.reconcile(t, &commit).await?;
    same!(
        one["status"]["inventory"]["entries"],
        json!([{"id": format!("{namespace}_a__ConfigMap"), "v": "v1"}])
    );
    t.admin()
        .get(&format!("{}/b", world.configmaps))
        .await?
        .failure(404, "NotFound")?;
    Ok(())
}

async fn an_object_may_refuse_to_be_pruned(t: &Context) -> Result<()> {
    let (world, _) = World::applied(t).await?;
    let kept = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: kept\n  namespace: {}\n  annotations: {{kustomize.toolkit.fluxcd.io/prune: disabled}}\n",
        t.namespace().await?
    );
    let commit = world.repository.commit(&[("app/kept.yaml", &kept)]).await?;
    world.reconcile(t, &commit).await?;
    let commit = world.repository.remove("app/kept.yaml").await?;
    world.reconcile(t, &commit).await?;
    t.admin()
        .get(&format!("{}/kept", world.configmaps))
        .await?
        .status(200)?;
    Ok(())
}

async fn drift_is_corrected_on_request(t: &Context) -> Result<()> {
    let (world, _) = World::applied(t).await?;
    let path = format!("{}/a", world.configmaps);
    t.admin()
        .patch(&path, MERGE, &json!({"data": {"k": "by hand"}}))
        .await?
        .status(200)?;
    let mark = json!({"metadata": {"annotations": {REQUESTED: "now"}}});
    t.admin()
        .patch(&world.path(), MERGE, &mark)
        .await?
        .status(200)?;
    t.admin()
        .until(&world.path(), "the request is handled", |object| {
            object["status"]["lastHandledReconcileAt"] == "now"
        })
        .await?;
    t.admin()
        .until(&path, "the drift is gone", |object| {
            object["data"]["k"] == "1"
        })
        .await?;
    Ok(())
}

async fn a_suspended_kustomization_stands_still(t: &Context) -> Result<()> {
    let (world, _) = World::applied(t).await?;
    t.admin()
        .patch(&world.path(), MERGE, &json!({"spec": {"suspend": true}}))
        .await?
        .status(200)?;
    let mark = json!({"metadata": {"annotations": {REQUESTED: "in vain"}}});
    t.admin()
        .patch(&world.path(), MERGE, &mark)
        .await?
        .status(200)?;
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let object = t.admin().get(&world.path()).await?.status(200)?;
    // The request is marked as handled and the generation as seen, but nothing is done: its Ready is of before, and says nothing about now.
    same!(condition(&object, "Ready")["status"], "True");
    same!(condition(&object, "Ready")["observedGeneration"], 1);
    t.admin()
        .patch(&world.path(), MERGE, &json!({"spec": {"suspend": false}}))
        .await?
        .status(200)?;
    let resumed =
        |object: &Value| object["status"]["observedGeneration"] == 3 && ready(object, "True");
    t.admin()
        .until(&world.path(), "it goes on", resumed)
        .await?;
    Ok(())
}

async fn a_dependency_that_is_not_ready_is_waited_for(t: &Context) -> Result<()> {
    let world = World::new(t).await?;
    let mut second = kustomization("app", "./app");
    second["spec"]["dependsOn"] = json!([{"name": "first"}]);
    t.create(&world.kustomizations, &second).await?;
    let waits = |object: &Value| condition(object, "Ready")["reason"] == "DependencyNotReady";
    let object = t
        .admin()
        .until(&world.path(), "it waits for the other", waits)
        .await?;
    same!(condition(&object, "Ready")["status"], "False");
    t.admin()
        .get(&format!("{}/a", world.configmaps))
        .await?
        .failure(404, "NotFound")?;
    world
        .repository
        .commit(&[("first/b.yaml", &manifest(t.namespace().await?, "b", "1"))])
        .await?;
    let mark = json!({"metadata": {"annotations": {REQUESTED: "now"}}});
    t.admin()
        .patch(&format!("{}/source", world.sources), MERGE, &mark)
        .await?
        .status(200)?;
    t.create(&world.kustomizations, &kustomization("first", "./first"))
        .await?;
    t.admin()
        .until(&world.path(), "both are ready", |object| {
            ready(object, "True")
        })
        .await?;
    t.admin()
        .get(&format!("{}/b", world.configmaps))
        .await?
        .status(200)?;
    Ok(())
}

async fn a_health_check_that_fails_is_said(t: &Context) -> Result<()> {
    let world = World::new(t).await?;
    let mut stuck = crate::manifest::deployment_without_image("stuck", 3);
    stuck["metadata"]["namespace"] = json!(t.namespace_for_pods().await?);
    world
        .repository
        .commit(&[("stuck/web.yaml", &stuck.to_string())])
        .await?;
    let mark = json!({"metadata": {"annotations": {REQUESTED: "now"}}});
    t.admin()
        .patch(&format!("{}/source", world.sources), MERGE, &mark)
        .await?
        .status(200)?;
    t.create(&world.kustomizations, &kustomization("app", "./stuck"))
        .await?;
    let failed = |object: &Value| condition(object, "Ready")["reason"] == "HealthCheckFailed";
    let object = t.admin().until(&world.path(), "it says so", failed).await?;
    same!(condition(&object, "Ready")["status"], "False");
    same!(condition(&object, "Healthy")["status"], "False");
    // It was applied, which is why it is in the inventory.
    same!(
        object["status"]["inventory"]["entries"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    Ok(())
}

async fn a_deleted_kustomization_takes_its_objects_with_it(t: &Context) -> Result<()> {
    let (world, object) = World::applied(t).await?;
    same!(
        object["metadata"]["finalizers"],
        json!(["finalizers.fluxcd.io"])
    );
    t.admin().delete(&world.path()).await?.status(200)?;
    t.admin().until_gone(&world.path()).await?;
    t.admin()
        .until_gone(&format!("{}/a", world.configmaps))
        .await
}
