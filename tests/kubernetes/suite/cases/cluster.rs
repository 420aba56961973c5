//! The other kinds that guides use: Services, claims, pods and their scheduling, quotas, budgets.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::workloads::condition;
use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;
use crate::manifest::{claim, deployment, pod, service};

cases![
    a_service_gets_an_address,
    a_headless_service_has_none,
    a_node_port_is_given,
    a_load_balancer_waits_for_an_address,
    slices_follow_ready_pods,
    a_claim_is_bound_to_a_volume,
    a_quota_refuses_what_is_over_it,
    a_quota_counts_what_is_there,
    a_limit_range_fills_in,
    a_budget_counts_healthy_pods,
    an_autoscaler_is_accepted,
    nodes_are_ready,
];

async fn a_service_gets_an_address(t: &Context) -> Result<()> {
    let services = t.resource("v1", "services").await?;
    let made = t.create(&services, &service("web", "web")).await?;
    let address = made["spec"]["clusterIP"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    ensure!(address.starts_with("10."), "{made}");
    same!(made["spec"]["clusterIPs"], json!([address]));
    same!(made["spec"]["ipFamilies"], json!(["IPv4"]));
    let other = t.create(&services, &service("other", "web")).await?;
    ensure!(
        other["spec"]["clusterIP"] != address.as_str(),
        "the same address twice"
    );
    // One that is taken is refused.
    let mut third = service("third", "web");
    third["spec"]["clusterIP"] = json!(address);
    let status = t
        .admin()
        .post(&services, &third)
        .await?
        .failure(422, "Invalid")?;
    let message = status["message"].as_str().unwrap_or_default();
    ensure!(
        message.contains("provided IP is already allocated"),
        "{message}"
    );
    Ok(())
}

async fn a_headless_service_has_none(t: &Context) -> Result<()> {
    let mut body = service("web", "web");
    body["spec"]["clusterIP"] = json!("None");
    let made = t
        .create(&t.resource("v1", "services").await?, &body)
        .await?;
    same!(made["spec"]["clusterIP"], "None");
    same!(made["spec"]["clusterIPs"], json!(["None"]));
    Ok(())
}

async fn a_node_port_is_given(t: &Context) -> Result<()> {
    let mut body = service("web", "web");
    body["spec"]["type"] = json!("NodePort");
    let made = t
        .create(&t.resource("v1", "services").await?, &body)
        .await?;
    let port = made["spec"]["ports"][0]["nodePort"]
        .as_u64()
        .unwrap_or_default();
    ensure!((30000..=32767).contains(&port), "{made}");
    Ok(())
}

async fn a_load_balancer_waits_for_an_address(t: &Context) -> Result<()> {
    let services = t.resource("v1", "services").await?;
    let mut body = service("web", "web");
    body["spec"]["type"] = json!("LoadBalancer");
    // A class of nobody: no pool of addresses gives it one.
    body["spec"]["loadBalancerClass"] = json!("example.com/nobody");
    let made = t.create(&services, &body).await?;
    same!(made["status"], json!({"loadBalancer": {}}));
    ensure!(
        made["spec"]["clusterIP"]
            .as_str()
            .is_some_and(|address| !address.is_empty()),
        "{made}"
    );
    ensure!(made["spec"]["ports"][0]["nodePort"].is_u64(), "{made}");
    let patch = json!({"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}}});
    let patched = t
        .admin()
        .patch(&format!("{services}/web/status"), MERGE, &patch)
        .await?
        .status(200)?;
    same!(
        patched["status"]["loadBalancer"]["ingress"],
        json!([{"ip": "203.0.113.9", "ipMode": "VIP"}])
    );
    Ok(())
}

async fn slices_follow_ready_pods(t: &Context) -> Result<()> {
    let deployments = t.workload("apps/v1", "deployments").await?;
    t.create(&deployments, &deployment("web", 2)).await?;
    t.create(&t.resource("v1", "services").await?, &service("web", "web"))
        .await?;
    let slices = t.resource("discovery.k8s.io/v1", "endpointslices").await?;
    let path = format!("{slices}?labelSelector=kubernetes.io/service-name%3Dweb");
    let ready = |list: &Value| {
        let endpoints = list["items"][0]["endpoints"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        endpoints.len() == 2
            && endpoints
                .iter()
                .all(|endpoint| endpoint["conditions"]["ready"] == true)
    };
    let list = t
        .admin()
        .until(&path, "two endpoints are ready", ready)
        .await?;
    let slice = &list["items"][0];
    same!(slice["addressType"], "IPv4");
    same!(slice["ports"][0]["port"], 8080);
    same!(slice["endpoints"][0]["targetRef"]["kind"], "Pod");
    let scale = json!({"spec": {"replicas": 0}});
    t.admin()
        .patch(&format!("{deployments}/web"), MERGE, &scale)
        .await?
        .status(200)?;
    let empty = |list: &Value| {
        list["items"][0]["endpoints"]
            .as_array()
            .is_none_or(Vec::is_empty)
    };
    t.admin().until(&path, "no endpoint is left", empty).await?;
    Ok(())
}

async fn a_claim_is_bound_to_a_volume(t: &Context) -> Result<()> {
    let claims = t.resource("v1", "persistentvolumeclaims").await?;
    let made = t.create(&claims, &claim("data")).await?;
    same!(made["status"]["phase"], "Pending");
    ensure!(
        made["spec"]["storageClassName"].is_string(),
        "the default class is filled in: {made}"
    );
    let path = format!("{claims}/data");
    let bound = t
        .admin()
        .until(&path, "it is bound", |claim| {
            claim["status"]["phase"] == "Bound"
        })
        .await?;
    same!(bound["status"]["capacity"]["storage"], "1Gi");
    same!(bound["status"]["accessModes"], json!(["ReadWriteOnce"]));
    let volume = bound["spec"]["volumeName"].as_str().context("no volume")?;
    let volume = t
        .admin()
        .get(&format!("/api/v1/persistentvolumes/{volume}"))
        .await?
        .status(200)?;
    same!(volume["spec"]["claimRef"]["uid"], bound["metadata"]["uid"]);
    // A class that is not there binds nothing.
    let mut other = claim("other");
    other["spec"]["storageClassName"] = json!("no-such-class");
    t.create(&claims, &other).await?;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let other = t
        .admin()
        .get(&format!("{claims}/other"))
        .await?
        .status(200)?;
    same!(other["status"]["phase"], "Pending");
    Ok(())
}

fn quota(hard: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": hard}})
}

async fn counted(t: &Context, hard: &Value) -> Result<String> {
    let quotas = t.resource("v1", "resourcequotas").await?;
    t.create(&quotas, &quota(hard)).await?;
    let path = format!("{quotas}/small");
    t.admin()
        .until(&path, "it counts", |quota| {
            quota["status"]["used"].is_object()
        })
        .await?;
    Ok(path)
}

async fn a_quota_refuses_what_is_over_it(t: &Context) -> Result<()> {
    let pods = t.workload("v1", "pods").await?;
    counted(t, &json!({"pods": "1"})).await?;
    t.create(&pods, &pod("a")).await?;
    t.admin().post(&pods, &pod("b")).await?.refused(
        403,
        "Forbidden",
        "pods \"b\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1",
    )?;
    // What makes pods says so in its conditions.
    let deployments = t.resource("apps/v1", "deployments").await?;
    t.create(&deployments, &deployment("web", 1)).await?;
    let refused = |object: &Value| condition(object, "ReplicaFailure")["status"] == "True";
    let object = t
        .admin()
        .until(
            &format!("{deployments}/web"),
            "its pod was refused",
            refused,
        )
        .await?;
    same!(
        condition(&object, "ReplicaFailure")["reason"],
        "FailedCreate"
    );
    let message = condition(&object, "ReplicaFailure")["message"]
        .as_str()
        .unwrap_or_default();
    ensure!(message.contains("exceeded quota: small"), "{message}");
    Ok(())
}

async fn a_quota_counts_what_is_there(t: &Context) -> Result<()> {
    let path = counted(t, &json!({"services": "5", "persistentvolumeclaims": "2"})).await?;
    t.create(&t.resource("v1", "services").await?, &service("web", "web"))
        .await?;
    let one = |quota: &Value| quota["status"]["used"]["services"] == "1";
    let quota = t.admin().until(&path, "it counts one", one).await?;
    same!(
        quota["status"]["hard"],
        json!({"services": "5", "persistentvolumeclaims": "2"})
    );
    same!(quota["status"]["used"]["persistentvolumeclaims"], "0");
    t.admin()
        .delete(&format!("{}/web", t.resource("v1", "services").await?))
        .await?
        .status(200)?;
    t.admin()
        .until(&path, "it counts none", |quota| {
            quota["status"]["used"]["services"] == "0"
        })
        .await?;
    Ok(())
}

async fn a_limit_range_fills_in(t: &Context) -> Result<()> {
    let pods = t.workload("v1", "pods").await?;
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "usual"},
        "spec": {"limits": [{"type": "Container", "default": {"memory": "64Mi"}, "defaultRequest": {"memory": "32Mi"}}]},
    });
    t.create(&t.resource("v1", "limitranges").await?, &range)
        .await?;
    // Admission reads it from its cache.
    for number in 0..50 {
        let made = t.create(&pods, &pod(&format!("a{number}"))).await?;
        let resources = &made["spec"]["containers"][0]["resources"];
        if resources["limits"].is_object() {
            same!(
                *resources,
                json!({"limits": {"memory": "64Mi"}, "requests": {"memory": "32Mi"}})
            );
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    anyhow::bail!("the limits are never filled in")
}

async fn a_budget_counts_healthy_pods(t: &Context) -> Result<()> {
    let deployments = t.workload("apps/v1", "deployments").await?;
    t.create(&deployments, &deployment("web", 2)).await?;
    let budgets = t.resource("policy/v1", "poddisruptionbudgets").await?;
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    });
    t.create(&budgets, &budget).await?;
    let counts = |budget: &Value| budget["status"]["currentHealthy"] == 2;
    let budget = t
        .admin()
        .until(&format!("{budgets}/web"), "it counts two", counts)
        .await?;
    let status = &budget["status"];
    same!(
        status["observedGeneration"],
        budget["metadata"]["generation"]
    );
    same!(status["desiredHealthy"], 1);
    same!(status["expectedPods"], 2);
    same!(status["disruptionsAllowed"], 1);
    same!(condition(&budget, "DisruptionAllowed")["status"], "True");
    same!(
        condition(&budget, "DisruptionAllowed")["reason"],
        "SufficientPods"
    );
    Ok(())
}

async fn an_autoscaler_is_accepted(t: &Context) -> Result<()> {
    let scaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 3},
    });
    let made = t
        .create(
            &t.resource("autoscaling/v2", "horizontalpodautoscalers")
                .await?,
            &scaler,
        )
        .await?;
    same!(made["spec"]["minReplicas"], 1);
    same!(made["spec"]["maxReplicas"], 3);
    Ok(())
}

async fn nodes_are_ready(t: &Context) -> Result<()> {
    let nodes = t.admin().get("/api/v1/nodes").await?.status(200)?;
    let items = nodes["items"].as_array().cloned().unwrap_or_default();
    ensure!(!items.is_empty(), "no nodes");
    for node in items {
        same!(condition(&node, "Ready")["status"], "True");
        ensure!(
            node["status"]["nodeInfo"]["kubeletVersion"].is_string(),
            "{node}"
        );
        ensure!(node["status"]["capacity"]["pods"].is_string(), "{node}");
        ensure!(
            node["status"]["addresses"]
                .as_array()
                .is_some_and(|addresses| !addresses.is_empty()),
            "{node}"
        );
    }
    Ok(())
}
