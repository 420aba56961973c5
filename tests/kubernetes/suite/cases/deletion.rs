//! DELETE: preconditions, finalizers, dependents, collections.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::case::{cases, same};
use crate::client::{JSON_PATCH, MERGE};
use crate::context::Context;
use crate::manifest::{configmap, deployment, job, labelled, pod_of, replicaset};

cases![
    a_deletion_answers_with_a_status,
    what_is_missing_is_404,
    another_uid_is_409,
    another_version_is_409,
    a_finalizer_keeps_the_object,
    the_last_finalizer_lets_it_go,
    no_finalizer_is_added_to_what_is_going,
    a_pod_goes_gracefully,
    a_pod_without_grace_goes_at_once,
    dependents_go_in_the_background,
    dependents_go_first_in_the_foreground,
    orphans_stay_without_an_owner,
    an_owner_that_never_was_takes_its_dependents,
    an_owner_in_another_namespace_is_none,
    one_of_two_owners_keeps_a_dependent,
    a_deployment_takes_its_pods_with_it,
    a_job_takes_its_pods_with_it,
    a_collection_by_selector,
    a_dry_run_deletes_nothing,
    a_wrong_propagation_is_refused,
    delete_options_are_read_from_the_query,
];

async fn a_deletion_answers_with_a_status(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let made = t.create(&configmaps, &configmap("a", "k", "v")).await?;
    let status = t
        .admin()
        .delete(&format!("{configmaps}/a"))
        .await?
        .status(200)?;
    same!(status["kind"], "Status");
    same!(status["status"], "Success");
    same!(
        status["details"],
        json!({"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]})
    );
    t.admin()
        .get(&format!("{configmaps}/a"))
        .await?
        .failure(404, "NotFound")?;
    Ok(())
}

async fn what_is_missing_is_404(t: &Context) -> Result<()> {
    t.admin()
        .delete(&format!("{}/a", t.configmaps().await?))
        .await?
        .refused(404, "NotFound", "configmaps \"a\" not found")?;
    Ok(())
}

async fn another_uid_is_409(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let made = t.create(&configmaps, &configmap("a", "k", "v")).await?;
    let path = format!("{configmaps}/a");
    let other = "00000000-0000-0000-0000-000000000000";
    let uid = made["metadata"]["uid"].as_str().unwrap_or_default();
    t.admin().delete_with(&path, &json!({"preconditions": {"uid": other}})).await?.refused(
        409,
        "Conflict",
        &format!(
            "Operation cannot be fulfilled on ConfigMap \"a\": the UID in the precondition ({other}) does not match the UID in record \
             ({uid}). The object might have been deleted and then recreated"
        ),
    )?;
    t.admin()
        .delete_with(&path, &json!({"preconditions": {"uid": uid}}))
        .await?
        .status(200)?;
    Ok(())
}

async fn another_version_is_409(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let made = t.create(&configmaps, &configmap("a", "k", "v")).await?;
    let path = format!("{configmaps}/a");
    let version = made["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default();
    t.admin().delete_with(&path, &json!({"preconditions": {"resourceVersion": "1"}})).await?.refused(
        409,
        "Conflict",
        &format!(
            "Operation cannot be fulfilled on ConfigMap \"a\": the ResourceVersion in the precondition (1) does not match the \
             ResourceVersion in record ({version}). The object might have been modified"
        ),
    )?;
    t.admin().get(&path).await?.status(200)?;
    Ok(())
}

fn held(name: &str) -> Value {
    let mut body = configmap(name, "k", "v");
    body["metadata"]["finalizers"] = json!(["example.com/hold"]);
    body
}

async fn release(t: &Context, path: &str) -> Result<Value> {
    t.admin()
        .patch(path, MERGE, &json!({"metadata": {"finalizers": null}}))
        .await?
        .status(200)
}

async fn a_finalizer_keeps_the_object(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let path = format!("{configmaps}/a");
    let made = t.create(&configmaps, &held("a")).await?;
    let going = t.admin().delete(&path).await?.status(200)?;
    same!(going["kind"], "ConfigMap");
    ensure!(
        going["metadata"]["deletionTimestamp"].is_string(),
        "{going}"
    );
    same!(going["metadata"]["deletionGracePeriodSeconds"], 0);
    ensure!(
        going["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"],
        "the mark is a change"
    );
    // Once more is no mistake, and changes nothing.
    let again = t.admin().delete(&path).await?.status(200)?;
    same!(
        again["metadata"]["deletionTimestamp"],
        going["metadata"]["deletionTimestamp"]
    );
    // It can still be changed.
    t.admin()
        .patch(&path, MERGE, &json!({"data": {"k": "w"}}))
        .await?
        .status(200)?;
    release(t, &path).await?;
    Ok(())
}

async fn the_last_finalizer_lets_it_go(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let path = format!("{configmaps}/a");
    let mut body = held("a");
    body["metadata"]["finalizers"] = json!(["example.com/one", "example.com/two"]);
    t.create(&configmaps, &body).await?;
    t.admin().delete(&path).await?.status(200)?;
    t.admin()
        .patch(
            &path,
            JSON_PATCH,
            &json!([{"op": "remove", "path": "/metadata/finalizers/0"}]),
        )
        .await?
        .status(200)?;
    t.admin().get(&path).await?.status(200)?;
    release(t, &path).await?;
    t.admin().get(&path).await?.failure(404, "NotFound")?;
    Ok(())
}

async fn no_finalizer_is_added_to_what_is_going(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let path = format!("{configmaps}/a");
    t.create(&configmaps, &held("a")).await?;
    t.admin().delete(&path).await?.status(200)?;
    let patch = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/late"]}});
    let status = t
        .admin()
        .patch(&path, MERGE, &patch)
        .await?
        .failure(422, "Invalid")?;
    same!(
        status["message"],
        "ConfigMap \"a\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found \
         new finalizers []string{\"example.com/late\"}"
    );
    release(t, &path).await?;
    Ok(())
}

async fn running(t: &Context, grace: u32) -> Result<String> {
    let pods = t.workload("v1", "pods").await?;
    let mut body = pod_of("a", "Always", &["sleep", "3600"]);
    body["spec"]["terminationGracePeriodSeconds"] = json!(grace);
    t.create(&pods, &body).await?;
    let path = format!("{pods}/a");
    t.admin()
        .until(&path, "the pod runs", |pod| {
            pod["status"]["phase"] == "Running"
        })
        .await?;
    Ok(path)
}

async fn a_pod_goes_gracefully(t: &Context) -> Result<()> {
    let path = running(t, 2).await?;
    let going = t.admin().delete(&path).await?.status(200)?;
    same!(going["kind"], "Pod");
    same!(going["metadata"]["deletionGracePeriodSeconds"], 2);
    ensure!(
        going["metadata"]["deletionTimestamp"].is_string(),
        "{going}"
    );
    t.admin().until_gone(&path).await
}

async fn a_pod_without_grace_goes_at_once(t: &Context) -> Result<()> {
    let path = running(t, 3600).await?;
    t.admin()
        .delete_with(&path, &json!({"gracePeriodSeconds": 0}))
        .await?
        .status(200)?;
    t.admin().get(&path).await?.failure(404, "NotFound")?;
    Ok(())
}

fn owned(name: &str, owner: &Value, block: bool) -> Value {
    let mut body = configmap(name, "k", "v");
    body["metadata"]["ownerReferences"] = json!([{
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": block,
    }]);
    body
}

async fn dependents_go_in_the_background(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let owner = t.create(&configmaps, &configmap("owner", "k", "v")).await?;
    t.create(&configmaps, &owned("child", &owner, false))
        .await?;
    let options = json!({"propagationPolicy": "Background"});
    t.admin()
        .delete_with(&format!("{configmaps}/owner"), &options)
        .await?
        .status(200)?;
    t.admin()
        .get(&format!("{configmaps}/owner"))
        .await?
        .failure(404, "NotFound")?;
    t.admin().until_gone(&format!("{configmaps}/child")).await
}

async fn dependents_go_first_in_the_foreground(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let owner = t.create(&configmaps, &configmap("owner", "k", "v")).await?;
    let mut child = owned("child", &owner, true);
    child["metadata"]["finalizers"] = json!(["example.com/hold"]);
    t.create(&configmaps, &child).await?;
    let options = json!({"propagationPolicy": "Foreground"});
    let going = t
        .admin()
        .delete_with(&format!("{configmaps}/owner"), &options)
        .await?
        .status(200)?;
    same!(
        going["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
    let path = format!("{configmaps}/child");
    t.admin()
        .until(&path, "the child is going", |child| {
            child["metadata"]["deletionTimestamp"].is_string()
        })
        .await?;
    t.admin()
        .get(&format!("{configmaps}/owner"))
        .await?
        .status(200)?;
    release(t, &path).await?;
    t.admin().until_gone(&format!("{configmaps}/owner")).await
}

async fn orphans_stay_without_an_owner(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let owner = t.create(&configmaps, &configmap("owner", "k", "v")).await?;
    t.create(&configmaps, &owned("child", &owner, true)).await?;
    let going = t
        .admin()
        .delete_with(
            &format!("{configmaps}/owner"),
            &json!({"propagationPolicy": "Orphan"}),
        )
        .await?
        .status(200)?;
    same!(going["metadata"]["finalizers"], json!(["orphan"]));
    t.admin().until_gone(&format!("{configmaps}/owner")).await?;
    let child = t
        .admin()
        .get(&format!("{configmaps}/child"))
        .await?
        .status(200)?;
    ensure!(child["metadata"]["ownerReferences"].is_null(), "{child}");
    ensure!(child["metadata"]["deletionTimestamp"].is_null(), "{child}");
    Ok(())
}

async fn an_owner_that_never_was_takes_its_dependents(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let ghost = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ghost", "uid": "00000000-0000-0000-0000-000000000001"},
    });
    t.create(&configmaps, &owned("child", &ghost, false))
        .await?;
    t.admin().until_gone(&format!("{configmaps}/child")).await
}

async fn an_owner_in_another_namespace_is_none(t: &Context) -> Result<()> {
    let there = "/api/v1/namespaces/default/configmaps";
    t.remove_later(format!("{there}/{}", t.unique()));
    let owner = t.create(there, &configmap(t.unique(), "k", "v")).await?;
    let configmaps = t.configmaps().await?;
    let child = t
        .create(&configmaps, &owned("child", &owner, false))
        .await?;
    // To the collector the owner is absent: names are looked for in the dependent's own namespace.
    t.admin().until_gone(&format!("{configmaps}/child")).await?;
    let events = t.resource("v1", "events").await?;
    let uid = child["metadata"]["uid"].clone();
    t.admin()
        .until(&events, "an event says why", |list| {
            let mut items = list["items"].as_array().into_iter().flatten();
            items.any(|event| {
                event["reason"] == "OwnerRefInvalidNamespace"
                    && event["involvedObject"]["uid"] == uid
            })
        })
        .await?;
    Ok(())
}

async fn one_of_two_owners_keeps_a_dependent(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let first = t.create(&configmaps, &configmap("first", "k", "v")).await?;
    let second = t
        .create(&configmaps, &configmap("second", "k", "v"))
        .await?;
    let mut child = owned("child", &first, false);
    let other = owned("child", &second, false)["metadata"]["ownerReferences"][0].clone();
    child["metadata"]["ownerReferences"]
        .as_array_mut()
        .context("a list")?
        .push(other);
    t.create(&configmaps, &child).await?;
    t.admin()
        .delete(&format!("{configmaps}/first"))
        .await?
        .status(200)?;
    let path = format!("{configmaps}/child");
    let child = t
        .admin()
        .until(&path, "the absent owner is struck out", |child| {
            child["metadata"]["ownerReferences"]
                .as_array()
                .map(Vec::len)
                == Some(1)
        })
        .await?;
    same!(child["metadata"]["ownerReferences"][0]["name"], "second");
    Ok(())
}

/// Waits until a list has so many items.
async fn counted(t: &Context, path: &str, count: usize) -> Result<Value> {
    t.admin()
        .until(path, &format!("{count} items"), |list| {
            list["items"].as_array().map(Vec::len) == Some(count)
        })
        .await
}

async fn a_deployment_takes_its_pods_with_it(t: &Context) -> Result<()> {
    let deployments = t.workload("apps/v1", "deployments").await?;
    let (sets, pods) = (
        t.resource("apps/v1", "replicasets").await?,
        t.resource("v1", "pods").await?,
    );
    t.create(&deployments, &deployment("web", 2)).await?;
    counted(t, &pods, 2).await?;
    t.admin()
        .delete(&format!("{deployments}/web"))
        .await?
        .status(200)?;
    counted(t, &sets, 0).await?;
    counted(t, &pods, 0).await?;
    // Not with this policy: the ReplicaSet lives on.
    t.create(&sets, &replicaset("bare", 1)).await?;
    counted(t, &pods, 1).await?;
    t.admin()
        .delete_with(
            &format!("{sets}/bare"),
            &json!({"propagationPolicy": "Orphan"}),
        )
        .await?
        .status(200)?;
    t.admin().until_gone(&format!("{sets}/bare")).await?;
    let left = counted(t, &pods, 1).await?;
    ensure!(
        left["items"][0]["metadata"]["ownerReferences"].is_null(),
        "{left}"
    );
    Ok(())
}

async fn a_job_takes_its_pods_with_it(t: &Context) -> Result<()> {
    let jobs = t.workload("batch/v1", "jobs").await?;
    let pods = t.resource("v1", "pods").await?;
    t.create(&jobs, &job("once", &["sleep", "3600"])).await?;
    counted(t, &pods, 1).await?;
    t.admin()
        .delete_with(
            &format!("{jobs}/once"),
            &json!({"propagationPolicy": "Background"}),
        )
        .await?
        .status(200)?;
    counted(t, &pods, 0).await?;
    Ok(())
}

async fn a_collection_by_selector(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    for (name, app) in [("a", "x"), ("b", "x"), ("c", "y")] {
        t.create(&configmaps, &labelled(name, "app", app)).await?;
    }
    let gone = t
        .admin()
        .delete(&format!("{configmaps}?labelSelector=app%3Dx"))
        .await?
        .status(200)?;
    same!(gone["kind"], "ConfigMapList");
    same!(gone["items"].as_array().map(Vec::len), Some(2));
    let left = t
        .admin()
        .get(&format!("{configmaps}?labelSelector=app"))
        .await?
        .status(200)?;
    same!(left["items"].as_array().map(Vec::len), Some(1));
    Ok(())
}

async fn a_dry_run_deletes_nothing(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    t.create(&configmaps, &configmap("a", "k", "v")).await?;
    t.admin()
        .delete(&format!("{configmaps}/a?dryRun=All"))
        .await?
        .status(200)?;
    t.admin()
        .get(&format!("{configmaps}/a"))
        .await?
        .status(200)?;
    Ok(())
}

async fn a_wrong_propagation_is_refused(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    t.create(&configmaps, &configmap("a", "k", "v")).await?;
    let status = t
        .admin()
        .delete_with(
            &format!("{configmaps}/a"),
            &json!({"propagationPolicy": "Sideways"}),
        )
        .await?
        .failure(422, "Invalid")?;
    same!(status["details"]["causes"][0]["field"], "propagationPolicy");
    Ok(())
}

async fn delete_options_are_read_from_the_query(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let owner = t.create(&configmaps, &configmap("owner", "k", "v")).await?;
    t.create(&configmaps, &owned("child", &owner, true)).await?;
    t.admin()
        .delete(&format!("{configmaps}/owner?propagationPolicy=Orphan"))
        .await?
        .status(200)?;
    t.admin().until_gone(&format!("{configmaps}/owner")).await?;
    t.admin()
        .get(&format!("{configmaps}/child"))
        .await?
        .status(200)?;
    Ok(())
}
