//! What controllers make of ReplicaSets, StatefulSets and DaemonSets.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::workloads::{image, list, observed};
use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;
use crate::manifest::{claim, daemonset, replicaset, statefulset};

cases![
    a_replicaset_counts_its_pods,
    a_replicaset_replaces_a_pod,
    a_statefulset_starts_in_order,
    a_statefulset_rolls_to_one_revision,
    a_statefulset_has_a_claim_for_each_pod,
    a_daemonset_is_on_every_node,
    a_daemonset_rolls_out,
];

async fn a_replicaset_counts_its_pods(t: &Context) -> Result<()> {
    let sets = t.workload("apps/v1", "replicasets").await?;
    t.create(&sets, &replicaset("web", 2)).await?;
    let full = |set: &Value| set["status"]["availableReplicas"] == 2 && observed(set);
    let set = t
        .admin()
        .until(&format!("{sets}/web"), "two pods are available", full)
        .await?;
    same!(set["status"]["replicas"], 2);
    same!(set["status"]["fullyLabeledReplicas"], 2);
    same!(set["status"]["readyReplicas"], 2);
    Ok(())
}

async fn a_replicaset_replaces_a_pod(t: &Context) -> Result<()> {
    let sets = t.workload("apps/v1", "replicasets").await?;
    t.create(&sets, &replicaset("web", 1)).await?;
    let pods = t.resource("v1", "pods").await?;
    let running = |list: &Value| list["items"][0]["status"]["phase"] == "Running";
    let list = t.admin().until(&pods, "the pod runs", running).await?;
    let first = list["items"][0]["metadata"].clone();
    t.admin()
        .delete(&format!(
            "{pods}/{}",
            first["name"].as_str().unwrap_or_default()
        ))
        .await?
        .status(200)?;
    let other = |list: &Value| {
        list["items"].as_array().into_iter().flatten().any(|pod| {
            pod["metadata"]["uid"] != first["uid"] && pod["status"]["phase"] == "Running"
        })
    };
    t.admin().until(&pods, "another pod runs", other).await?;
    Ok(())
}

async fn a_statefulset_starts_in_order(t: &Context) -> Result<()> {
    let sets = t.workload("apps/v1", "statefulsets").await?;
    t.create(&sets, &statefulset("db", 3)).await?;
    let set = t
        .admin()
        .until(&format!("{sets}/db"), "three pods are ready", |set| {
            set["status"]["readyReplicas"] == 3
        })
        .await?;
    let status = &set["status"];
    same!(status["replicas"], 3);
    same!(status["availableReplicas"], 3);
    ensure!(observed(&set), "{set}");
    ensure!(
        set["status"]["conditions"].is_null(),
        "a StatefulSet has no conditions: {status}"
    );
    let mut pods = list(t, "v1", "pods").await?;
    pods.sort_by_key(|pod| pod["metadata"]["resourceVersion"].to_string());
    let mut names: Vec<_> = pods
        .iter()
        .map(|pod| pod["metadata"]["name"].clone())
        .collect();
    names.sort_by_key(Value::to_string);
    same!(names, vec![json!("db-0"), json!("db-1"), json!("db-2")]);
    let made = |name: &str| {
        let pod = pods.iter().find(|pod| pod["metadata"]["name"] == name);
        pod.map(|pod| pod["metadata"]["creationTimestamp"].to_string())
            .unwrap_or_default()
    };
    ensure!(
        made("db-0") <= made("db-1") && made("db-1") <= made("db-2"),
        "not in order"
    );
    same!(
        pods[0]["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"],
        pods[0]["metadata"]["name"]
    );
    ensure!(
        pods[0]["metadata"]["labels"]["apps.kubernetes.io/pod-index"].is_string(),
        "{}",
        pods[0]["metadata"]
    );
    Ok(())
}

async fn a_statefulset_rolls_to_one_revision(t: &Context) -> Result<()> {
    let sets = t.workload("apps/v1", "statefulsets").await?;
    t.create(&sets, &statefulset("db", 2)).await?;
    let path = format!("{sets}/db");
    let settled = |set: &Value| {
        let status = &set["status"];
        observed(set)
            && status["readyReplicas"] == 2
            && status["currentReplicas"] == 2
            && status["currentRevision"] == status["updateRevision"]
    };
    let first = t
        .admin()
        .until(&path, "it has one revision", settled)
        .await?;
    let revision = first["status"]["currentRevision"]
        .as_str()
        .context("no revision")?
        .to_owned();
    ensure!(revision.starts_with("db-"), "{revision}");
    t.admin()
        .patch(&path, MERGE, &image("registry.example/conformance:2"))
        .await?
        .status(200)?;
    let second = t
        .admin()
        .until(&path, "it has another one", |set| {
            settled(set) && set["status"]["currentRevision"] != revision.as_str()
        })
        .await?;
    same!(second["status"]["updatedReplicas"], 2);
    for pod in list(t, "v1", "pods").await? {
        same!(
            pod["metadata"]["labels"]["controller-revision-hash"],
            second["status"]["currentRevision"]
        );
    }
    Ok(())
}

async fn a_statefulset_has_a_claim_for_each_pod(t: &Context) -> Result<()> {
    let sets = t.workload("apps/v1", "statefulsets").await?;
    let mut body = statefulset("db", 2);
    body["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "data", "mountPath": "/data"}]);
    body["spec"]["volumeClaimTemplates"] =
        json!([{"metadata": {"name": "data"}, "spec": claim("data")["spec"]}]);
    t.create(&sets, &body).await?;
    t.admin()
        .until(&format!("{sets}/db"), "two pods are ready", |set| {
            set["status"]["readyReplicas"] == 2
        })
        .await?;
    let claims = list(t, "v1", "persistentvolumeclaims").await?;
    let mut names: Vec<_> = claims
        .iter()
        .map(|claim| claim["metadata"]["name"].clone())
        .collect();
    names.sort_by_key(Value::to_string);
    same!(names, vec![json!("data-db-0"), json!("data-db-1")]);
    for claim in claims {
        same!(claim["status"]["phase"], "Bound");
    }
    // They outlive the set.
    t.admin().delete(&format!("{sets}/db")).await?.status(200)?;
    t.admin().until_gone(&format!("{sets}/db")).await?;
    same!(list(t, "v1", "persistentvolumeclaims").await?.len(), 2);
    Ok(())
}

async fn nodes(t: &Context) -> Result<u64> {
    let nodes = t.admin().get("/api/v1/nodes").await?.status(200)?;
    Ok(nodes["items"].as_array().map_or(0, Vec::len) as u64)
}

fn spread(set: &Value, nodes: u64) -> bool {
    let status = &set["status"];
    observed(set)
        && [
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "updatedNumberScheduled",
            "numberReady",
            "numberAvailable",
        ]
        .iter()
        .all(|field| status[field] == nodes)
}

async fn a_daemonset_is_on_every_node(t: &Context) -> Result<()> {
    let count = nodes(t).await?;
    ensure!(count > 0, "no nodes");
    let sets = t.workload("apps/v1", "daemonsets").await?;
    t.create(&sets, &daemonset("agent")).await?;
    let set = t
        .admin()
        .until(&format!("{sets}/agent"), "it is on every node", |set| {
            spread(set, count)
        })
        .await?;
    same!(set["status"]["numberMisscheduled"], 0);
    let pods = list(t, "v1", "pods").await?;
    let mut on: Vec<_> = pods
        .iter()
        .map(|pod| pod["spec"]["nodeName"].to_string())
        .collect();
    on.sort();
    on.dedup();
    same!(on.len() as u64, count);
    Ok(())
}

async fn a_daemonset_rolls_out(t: &Context) -> Result<()> {
    let count = nodes(t).await?;
    let sets = t.workload("apps/v1", "daemonsets").await?;
    let made = t.create(&sets, &daemonset("agent")).await?;
    same!(
        made["spec"]["updateStrategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}})
    );
    let path = format!("{sets}/agent");
    t.admin()
        .until(&path, "it is on every node", |set| spread(set, count))
        .await?;
    t.admin()
        .patch(&path, MERGE, &image("registry.example/conformance:2"))
        .await?
        .status(200)?;
    t.admin()
        .until(&path, "the new one is", |set| {
            set["metadata"]["generation"] == 2 && spread(set, count)
        })
        .await?;
    for pod in list(t, "v1", "pods").await? {
        if pod["metadata"]["deletionTimestamp"].is_null() {
            same!(
                pod["spec"]["containers"][0]["image"],
                "registry.example/conformance:2"
            );
        }
    }
    Ok(())
}
