//! What controllers make of Deployments, ReplicaSets, StatefulSets and DaemonSets; with it every field that a readiness rule reads.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;
use crate::manifest::{deployment, deployment_without_image};
use crate::watch::Watch;

cases![
    a_deployment_becomes_available,
    a_deployment_makes_a_replicaset_by_the_hash_of_its_template,
    a_new_template_rolls_out,
    an_unfinished_rollout_is_seen_in_the_counts,
    a_scaled_down_deployment_loses_pods,
    a_paused_deployment_says_so,
    a_deployment_recreates,
    a_missing_image_ends_in_progress_deadline_exceeded,
    a_crash_loop_is_never_available,
    a_deployment_to_zero_is_complete,
    events_say_what_a_deployment_did,
];

pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let mut conditions = object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten();
    conditions
        .find(|condition| condition["type"] == kind)
        .unwrap_or(&Value::Null)
}

/// The generation has been seen.
pub(super) fn observed(object: &Value) -> bool {
    object["status"]["observedGeneration"].is_u64()
        && object["status"]["observedGeneration"] == object["metadata"]["generation"]
}

/// As `kubectl rollout status` reads it.
pub(super) fn rolled_out(object: &Value) -> bool {
    let (wish, status) = (&object["spec"]["replicas"], &object["status"]);
    observed(object)
        && status["updatedReplicas"] == *wish
        && status["replicas"] == *wish
        && status["availableReplicas"] == *wish
        && status["readyReplicas"] == *wish
}

pub(super) async fn list(t: &Context, api: &str, plural: &str) -> Result<Vec<Value>> {
    let list = t
        .admin()
        .get(&t.resource(api, plural).await?)
        .await?
        .status(200)?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

async fn ready(t: &Context, body: &Value) -> Result<(String, Value)> {
    let deployments = t.workload("apps/v1", "deployments").await?;
    t.create(&deployments, body).await?;
    let path = format!(
        "{deployments}/{}",
        body["metadata"]["name"].as_str().unwrap_or_default()
    );
    let object = t
        .admin()
        .until(&path, "it is rolled out", rolled_out)
        .await?;
    Ok((path, object))
}

async fn a_deployment_becomes_available(t: &Context) -> Result<()> {
    let (path, _) = ready(t, &deployment("web", 2)).await?;
    let complete =
        |object: &Value| condition(object, "Progressing")["reason"] == "NewReplicaSetAvailable";
    let object = t
        .admin()
        .until(&path, "its rollout is complete", complete)
        .await?;
    let available = condition(&object, "Available");
    same!(available["status"], "True");
    same!(available["reason"], "MinimumReplicasAvailable");
    same!(available["message"], "Deployment has minimum availability.");
    ensure!(
        available["lastTransitionTime"].is_string() && available["lastUpdateTime"].is_string(),
        "{available}"
    );
    let progressing = condition(&object, "Progressing");
    same!(progressing["status"], "True");
    let message = progressing["message"].as_str().unwrap_or_default();
    ensure!(
        message.starts_with("ReplicaSet \"web-")
            && message.ends_with("\" has successfully progressed."),
        "{message}"
    );
    ensure!(
        object["status"]["unavailableReplicas"].is_null(),
        "{object}"
    );
    Ok(())
}

async fn a_deployment_makes_a_replicaset_by_the_hash_of_its_template(t: &Context) -> Result<()> {
    let (_, object) = ready(t, &deployment("web", 1)).await?;
    same!(
        object["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "1"
    );
    let sets = list(t, "apps/v1", "replicasets").await?;
    same!(sets.len(), 1);
    let set = &sets[0];
    let hash = set["metadata"]["labels"]["pod-template-hash"]
        .as_str()
        .context("no hash")?;
    same!(set["metadata"]["name"], format!("web-{hash}"));
    same!(
        set["spec"]["selector"]["matchLabels"],
        json!({"app": "web", "pod-template-hash": hash})
    );
    let owner = &set["metadata"]["ownerReferences"][0];
    same!(owner["uid"], object["metadata"]["uid"]);
    same!(owner["controller"], true);
    same!(owner["blockOwnerDeletion"], true);
    let pods = list(t, "v1", "pods").await?;
    let name = pods[0]["metadata"]["name"].as_str().unwrap_or_default();
    ensure!(
        name.starts_with(&format!("web-{hash}-")) && name.len() == format!("web-{hash}-").len() + 5,
        "{name}"
    );
    same!(
        pods[0]["metadata"]["ownerReferences"][0]["kind"],
        "ReplicaSet"
    );
    same!(pods[0]["metadata"]["labels"]["pod-template-hash"], hash);
    Ok(())
}

pub(super) fn image(name: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": name, "command": ["sleep", "3600"]}]}}}})
}

async fn a_new_template_rolls_out(t: &Context) -> Result<()> {
    let (path, _) = ready(t, &deployment("web", 2)).await?;
    t.admin()
        .patch(&path, MERGE, &image("registry.example/conformance:2"))
        .await?
        .status(200)?;
    let after = t
        .admin()
        .until(&path, "the second revision is out", |object| {
            rolled_out(object)
                && object["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
        })
        .await?;
    same!(after["metadata"]["generation"], 2);
    let sets = list(t, "apps/v1", "replicasets").await?;
    same!(sets.len(), 2, "the old one stays for the way back");
    let mut replicas: Vec<_> = sets
        .iter()
        .map(|set| set["spec"]["replicas"].clone())
        .collect();
    replicas.sort_by_key(Value::to_string);
    same!(replicas, vec![json!(0), json!(2)]);
    Ok(())
}

async fn an_unfinished_rollout_is_seen_in_the_counts(t: &Context) -> Result<()> {
    let (path, _) = ready(t, &deployment("web", 2)).await?;
    let mut patch = image("registry.example/missing:1");
    patch["spec"]["template"]["metadata"] = json!({"annotations": {"lab/image-pull": "fail"}});
    t.admin().patch(&path, MERGE, &patch).await?.status(200)?;
    let stuck = t
        .admin()
        .until(&path, "the new pod waits", |object| {
            observed(object) && object["status"]["updatedReplicas"] == 1
        })
        .await?;
    // One more than wished for, none less: 25% of two is rounded up for surge, down for unavailable.
    let stuck = if stuck["status"]["replicas"] == 3 {
        stuck
    } else {
        t.admin()
            .until(&path, "three pods", |object| {
                object["status"]["replicas"] == 3
            })
            .await?
    };
    same!(stuck["status"]["readyReplicas"], 2);
    same!(stuck["status"]["unavailableReplicas"], 1);
    same!(condition(&stuck, "Available")["status"], "True");
    let reason = condition(&stuck, "Progressing")["reason"].clone();
    ensure!(
        reason == "ReplicaSetUpdated" || reason == "NewReplicaSetCreated",
        "{reason}"
    );
    Ok(())
}

async fn a_scaled_down_deployment_loses_pods(t: &Context) -> Result<()> {
    let (path, _) = ready(t, &deployment("web", 3)).await?;
    t.admin()
        .patch(&path, MERGE, &json!({"spec": {"replicas": 1}}))
        .await?
        .status(200)?;
    t.admin().until(&path, "one is left", rolled_out).await?;
    let pods = t.resource("v1", "pods").await?;
    t.admin()
        .until(&pods, "one pod", |list| {
            list["items"].as_array().map(Vec::len) == Some(1)
        })
        .await?;
    Ok(())
}

async fn a_paused_deployment_says_so(t: &Context) -> Result<()> {
    let (path, _) = ready(t, &deployment("web", 1)).await?;
    t.admin()
        .patch(&path, MERGE, &json!({"spec": {"paused": true}}))
        .await?
        .status(200)?;
    let paused = |object: &Value| condition(object, "Progressing")["reason"] == "DeploymentPaused";
    let object = t.admin().until(&path, "it is paused", paused).await?;
    same!(condition(&object, "Progressing")["status"], "Unknown");
    t.admin()
        .patch(&path, MERGE, &image("registry.example/conformance:2"))
        .await?
        .status(200)?;
    t.admin()
        .until(&path, "the change was seen", observed)
        .await?;
    same!(
        list(t, "apps/v1", "replicasets").await?.len(),
        1,
        "nothing is rolled out while it is paused"
    );
    t.admin()
        .patch(&path, MERGE, &json!({"spec": {"paused": false}}))
        .await?
        .status(200)?;
    t.admin().until(&path, "it goes on", rolled_out).await?;
    same!(list(t, "apps/v1", "replicasets").await?.len(), 2);
    Ok(())
}

async fn a_deployment_recreates(t: &Context) -> Result<()> {
    let mut body = deployment("web", 2);
    body["spec"]["strategy"] = json!({"type": "Recreate"});
    let (path, _) = ready(t, &body).await?;
    let deployments = t.resource("apps/v1", "deployments").await?;
    let mut watch =
        Watch::open(t.admin(), &deployments, "fieldSelector=metadata.name%3Dweb").await?;
    t.admin()
        .patch(&path, MERGE, &image("registry.example/conformance:2"))
        .await?
        .status(200)?;
    // All old pods end before a new one begins: there is a moment with none.
    watch
        .until("a moment without pods", |event| {
            observed(&event.object) && event.object["status"]["readyReplicas"].is_null()
        })
        .await?;
    t.admin()
        .until(&path, "the new ones are there", rolled_out)
        .await?;
    Ok(())
}

async fn a_missing_image_ends_in_progress_deadline_exceeded(t: &Context) -> Result<()> {
    let deployments = t.workload("apps/v1", "deployments").await?;
    t.create(&deployments, &deployment_without_image("web", 3))
        .await?;
    let path = format!("{deployments}/web");
    let late =
        |object: &Value| condition(object, "Progressing")["reason"] == "ProgressDeadlineExceeded";
    let object = t.admin().until(&path, "its time has run out", late).await?;
    same!(condition(&object, "Progressing")["status"], "False");
    let message = condition(&object, "Progressing")["message"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        message.starts_with("ReplicaSet \"web-")
            && message.ends_with("\" has timed out progressing."),
        "{message}"
    );
    let available = condition(&object, "Available");
    same!(available["status"], "False");
    same!(available["reason"], "MinimumReplicasUnavailable");
    same!(
        available["message"],
        "Deployment does not have minimum availability."
    );
    same!(object["status"]["unavailableReplicas"], 1);
    let pods = list(t, "v1", "pods").await?;
    same!(pods[0]["status"]["phase"], "Pending");
    same!(
        pods[0]["status"]["containerStatuses"][0]["state"]["waiting"]["reason"],
        "ImagePullBackOff"
    );
    Ok(())
}

async fn a_crash_loop_is_never_available(t: &Context) -> Result<()> {
    t.programs()?;
    let deployments = t.workload("apps/v1", "deployments").await?;
    let mut body = deployment("web", 1);
    body["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["false"]);
    t.create(&deployments, &body).await?;
    let pods = t.resource("v1", "pods").await?;
    let looping = |list: &Value| {
        list["items"][0]["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
            == "CrashLoopBackOff"
    };
    let list = t
        .admin()
        .until(&pods, "the container is started again and again", looping)
        .await?;
    let status = &list["items"][0]["status"];
    same!(status["phase"], "Running");
    same!(
        status["containerStatuses"][0]["lastState"]["terminated"]["exitCode"],
        1
    );
    ensure!(
        status["containerStatuses"][0]["restartCount"].as_u64() > Some(0),
        "{status}"
    );
    let path = format!("{deployments}/web");
    let object = t
        .admin()
        .until(&path, "it is not available", |object| {
            condition(object, "Available")["status"] == "False"
        })
        .await?;
    ensure!(
        object["status"]["readyReplicas"].is_null() || object["status"]["readyReplicas"] == 0,
        "{object}"
    );
    Ok(())
}

async fn a_deployment_to_zero_is_complete(t: &Context) -> Result<()> {
    let deployments = t.workload("apps/v1", "deployments").await?;
    t.create(&deployments, &deployment("web", 0)).await?;
    let path = format!("{deployments}/web");
    let complete =
        |object: &Value| condition(object, "Available")["status"] == "True" && observed(object);
    let object = t
        .admin()
        .until(&path, "nothing is missing", complete)
        .await?;
    // Zero is not written.
    ensure!(
        object["status"]["replicas"].is_null() && object["status"]["readyReplicas"].is_null(),
        "{object}"
    );
    Ok(())
}

async fn events_say_what_a_deployment_did(t: &Context) -> Result<()> {
    let (_, object) = ready(t, &deployment("web", 1)).await?;
    let events = t.resource("v1", "events").await?;
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
    let path = format!("{events}?fieldSelector=involvedObject.uid%3D{uid}");
    let scaled = |list: &Value| {
        list["items"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|event| event["reason"] == "ScalingReplicaSet")
    };
    let list = t.admin().until(&path, "an event", scaled).await?;
    let event = &list["items"][0];
    same!(event["type"], "Normal");
    same!(event["involvedObject"]["kind"], "Deployment");
    let message = event["message"].as_str().unwrap_or_default();
    ensure!(
        message.starts_with("Scaled up replica set web-") && message.ends_with(" from 0 to 1"),
        "{message}"
    );
    let all = t.admin().get(&events).await?.status(200)?;
    let has = |reason: &str| {
        all["items"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|event| event["reason"] == reason)
    };
    ensure!(has("SuccessfulCreate") && has("Scheduled"), "{all}");
    Ok(())
}
