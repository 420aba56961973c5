//! status, scale, eviction, binding.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;
use crate::manifest::{configmap, deployment, pod, statefulset};

cases![
    a_put_of_the_status_leaves_the_spec,
    a_patch_of_the_status_leaves_the_spec,
    status_does_not_count_as_generation,
    what_has_no_status_is_404,
    scale_shows_replicas_and_selector,
    scale_changes_the_replicas_only,
    scale_with_a_stale_version_is_409,
    scale_of_a_statefulset_by_patch,
    scale_below_zero_is_422,
    an_eviction_removes_the_pod,
    a_budget_refuses_an_eviction_with_429,
    a_pod_is_bound_by_hand_once,
    a_namespace_is_finalized_by_its_subresource,
];

async fn service(t: &Context) -> Result<(String, Value)> {
    let services = t.resource("v1", "services").await?;
    let mut body = crate::manifest::service("web", "web");
    body["spec"]["type"] = json!("LoadBalancer");
    let made = t.create(&services, &body).await?;
    Ok((format!("{services}/web"), made))
}

async fn a_put_of_the_status_leaves_the_spec(t: &Context) -> Result<()> {
    let (path, made) = service(t).await?;
    let mut body = made.clone();
    body["metadata"]["resourceVersion"] = Value::Null;
    body["metadata"]["labels"] = json!({"from": "status"});
    body["spec"]["sessionAffinity"] = json!("ClientIP");
    body["status"] = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}});
    let put = t
        .admin()
        .put(&format!("{path}/status"), &body)
        .await?
        .status(200)?;
    same!(
        put["status"]["loadBalancer"]["ingress"][0]["ip"],
        "203.0.113.9"
    );
    same!(put["spec"]["sessionAffinity"], "None");
    Ok(())
}

async fn a_patch_of_the_status_leaves_the_spec(t: &Context) -> Result<()> {
    let (path, _) = service(t).await?;
    let patch = json!({"spec": {"sessionAffinity": "ClientIP"}, "status": {"loadBalancer": {"ingress": [{"hostname": "a.example"}]}}});
    let patched = t
        .admin()
        .patch(&format!("{path}/status"), MERGE, &patch)
        .await?
        .status(200)?;
    same!(
        patched["status"]["loadBalancer"]["ingress"][0]["hostname"],
        "a.example"
    );
    same!(patched["spec"]["sessionAffinity"], "None");
    let read = t
        .admin()
        .get(&format!("{path}/status"))
        .await?
        .status(200)?;
    same!(read, patched);
    Ok(())
}

async fn status_does_not_count_as_generation(t: &Context) -> Result<()> {
    let deployments = t.workload("apps/v1", "deployments").await?;
    t.create(&deployments, &deployment("web", 1)).await?;
    let path = format!("{deployments}/web");
    let ready = t
        .admin()
        .until(&path, "its pod is ready", |object| {
            object["status"]["readyReplicas"] == 1
        })
        .await?;
    same!(ready["metadata"]["generation"], 1);
    same!(ready["status"]["observedGeneration"], 1);
    Ok(())
}

async fn what_has_no_status_is_404(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    t.create(&configmaps, &configmap("a", "k", "v")).await?;
    t.admin()
        .get(&format!("{configmaps}/a/status"))
        .await?
        .refused(
            404,
            "NotFound",
            "the server could not find the requested resource",
        )?;
    Ok(())
}

async fn scale_shows_replicas_and_selector(t: &Context) -> Result<()> {
    let deployments = t.resource("apps/v1", "deployments").await?;
    let made = t.create(&deployments, &deployment("web", 0)).await?;
    let scale = t
        .admin()
        .get(&format!("{deployments}/web/scale"))
        .await?
        .status(200)?;
    same!(scale["kind"], "Scale");
    same!(scale["apiVersion"], "autoscaling/v1");
    same!(scale["metadata"]["uid"], made["metadata"]["uid"]);
    same!(scale["status"]["selector"], "app=web");
    same!(scale["status"]["replicas"], 0);
    Ok(())
}

async fn scale_changes_the_replicas_only(t: &Context) -> Result<()> {
    let deployments = t.workload("apps/v1", "deployments").await?;
    t.create(&deployments, &deployment("web", 1)).await?;
    let path = format!("{deployments}/web");
    let mut scale = t.admin().get(&format!("{path}/scale")).await?.status(200)?;
    scale["metadata"]["resourceVersion"] = Value::Null;
    scale["spec"]["replicas"] = json!(3);
    let scaled = t
        .admin()
        .put(&format!("{path}/scale"), &scale)
        .await?
        .status(200)?;
    same!(scaled["spec"]["replicas"], 3);
    let after = t
        .admin()
        .until(&path, "three pods are ready", |object| {
            object["status"]["readyReplicas"] == 3
        })
        .await?;
    same!(after["spec"]["replicas"], 3);
    same!(after["metadata"]["generation"], 2);
    Ok(())
}

async fn scale_with_a_stale_version_is_409(t: &Context) -> Result<()> {
    let deployments = t.resource("apps/v1", "deployments").await?;
    t.create(&deployments, &deployment("web", 0)).await?;
    let mut scale = t
        .admin()
        .get(&format!("{deployments}/web/scale"))
        .await?
        .status(200)?;
    scale["metadata"]["resourceVersion"] = json!("1");
    scale["spec"]["replicas"] = json!(1);
    t.admin()
        .put(&format!("{deployments}/web/scale"), &scale)
        .await?
        .failure(409, "Conflict")?;
    Ok(())
}

async fn scale_of_a_statefulset_by_patch(t: &Context) -> Result<()> {
    let sets = t.workload("apps/v1", "statefulsets").await?;
    t.create(&sets, &statefulset("db", 1)).await?;
    let scaled = t
        .admin()
        .patch(
            &format!("{sets}/db/scale"),
            MERGE,
            &json!({"spec": {"replicas": 2}}),
        )
        .await?
        .status(200)?;
    same!(scaled["kind"], "Scale");
    same!(scaled["spec"]["replicas"], 2);
    t.admin()
        .until(&format!("{sets}/db"), "two pods are ready", |set| {
            set["status"]["readyReplicas"] == 2
        })
        .await?;
    Ok(())
}

async fn scale_below_zero_is_422(t: &Context) -> Result<()> {
    let deployments = t.resource("apps/v1", "deployments").await?;
    t.create(&deployments, &deployment("web", 0)).await?;
    let patch = json!({"spec": {"replicas": -1}});
    let status = t
        .admin()
        .patch(&format!("{deployments}/web/scale"), MERGE, &patch)
        .await?
        .failure(422, "Invalid")?;
    same!(status["details"]["causes"][0]["field"], "spec.replicas");
    Ok(())
}

fn eviction(name: &str) -> Value {
    json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}})
}

async fn an_eviction_removes_the_pod(t: &Context) -> Result<()> {
    let pods = t.workload("v1", "pods").await?;
    t.create(&pods, &pod("a")).await?;
    t.admin()
        .until(&format!("{pods}/a"), "the pod runs", |pod| {
            pod["status"]["phase"] == "Running"
        })
        .await?;
    let status = t
        .admin()
        .post(&format!("{pods}/a/eviction"), &eviction("a"))
        .await?
        .status(201)?;
    same!(status["status"], "Success");
    t.admin().until_gone(&format!("{pods}/a")).await?;
    t.admin()
        .post(&format!("{pods}/a/eviction"), &eviction("a"))
        .await?
        .refused(404, "NotFound", "pods \"a\" not found")?;
    Ok(())
}

async fn a_budget_refuses_an_eviction_with_429(t: &Context) -> Result<()> {
    let deployments = t.workload("apps/v1", "deployments").await?;
    let budgets = t.resource("policy/v1", "poddisruptionbudgets").await?;
    t.create(&deployments, &deployment("web", 1)).await?;
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    });
    t.create(&budgets, &budget).await?;
    t.admin()
        .until(
            &format!("{budgets}/web"),
            "the budget counts the pod",
            |budget| budget["status"]["currentHealthy"] == 1,
        )
        .await?;
    let pods = t.resource("v1", "pods").await?;
    let list = t.admin().get(&pods).await?.status(200)?;
    let name = list["items"][0]["metadata"]["name"]
        .as_str()
        .context("no pod")?;
    let reply = t
        .admin()
        .post(&format!("{pods}/{name}/eviction"), &eviction(name))
        .await?;
    let status = reply.refused(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
    )?;
    same!(status["details"]["causes"][0]["reason"], "DisruptionBudget");
    same!(
        status["details"]["causes"][0]["message"],
        "The disruption budget web needs 1 healthy pods and has 1 currently"
    );
    t.admin()
        .get(&format!("{pods}/{name}"))
        .await?
        .status(200)?;
    Ok(())
}

async fn a_pod_is_bound_by_hand_once(t: &Context) -> Result<()> {
    let pods = t.workload("v1", "pods").await?;
    let mut body = pod("a");
    body["spec"]["schedulerName"] = json!("nobody");
    t.create(&pods, &body).await?;
    let nodes = t.admin().get("/api/v1/nodes").await?.status(200)?;
    let node = nodes["items"][0]["metadata"]["name"]
        .as_str()
        .context("no node")?;
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": "a"}, "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    t.admin()
        .post(&format!("{pods}/a/binding"), &binding)
        .await?
        .status(201)?;
    let bound = t
        .admin()
        .until(&format!("{pods}/a"), "the pod runs", |pod| {
            pod["status"]["phase"] == "Running"
        })
        .await?;
    same!(bound["spec"]["nodeName"], node);
    t.admin()
        .post(&format!("{pods}/a/binding"), &binding)
        .await?
        .failure(409, "Conflict")?;
    Ok(())
}

async fn a_namespace_is_finalized_by_its_subresource(t: &Context) -> Result<()> {
    // A finalizer in the spec keeps a namespace as one in the metadata keeps other objects.
    let name = t.unique();
    let body = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {"finalizers": ["kubernetes", "example.com/hold"]},
    });
    t.create("/api/v1/namespaces", &body).await?;
    let path = format!("/api/v1/namespaces/{name}");
    t.remove_later(&path);
    t.admin().delete(&path).await?.status(200)?;
    let held = t
        .admin()
        .until(&path, "only the other finalizer is left", |namespace| {
            namespace["spec"]["finalizers"] == json!(["example.com/hold"])
        });
    let mut held = held.await?;
    ensure!(held["status"]["phase"] == "Terminating", "{held}");
    held["spec"]["finalizers"] = json!([]);
    held["metadata"]["resourceVersion"] = Value::Null;
    t.admin()
        .put(&format!("{path}/finalize"), &held)
        .await?
        .status(200)?;
    t.admin().until_gone(&path).await
}
