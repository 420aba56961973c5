//! Tables of kinds around workloads: their columns, and what stands in them.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::case::{cases, same};
use crate::context::Context;
use crate::manifest::deployment;

cases![
    every_kind_has_its_columns,
    cells_of_policies_and_limits,
    cells_of_rights,
    cells_of_classes,
    cells_of_a_cron_job,
    cells_of_endpoints for 240,
];

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

async fn table(t: &Context, path: &str) -> Result<Value> {
    t.admin().get_as(path, TABLE).await?.status(200)
}

/// The cells of the row whose first is this, by their columns.
fn cells(table: &Value, name: &str) -> Result<Value> {
    let rows = table["rows"].as_array().into_iter().flatten();
    let row = rows
        .map(|row| &row["cells"])
        .find(|cells| cells[0] == name)
        .with_context(|| format!("no row `{name}`: {table}"))?;
    let mut out = json!({});
    let columns = table["columnDefinitions"].as_array().into_iter().flatten();
    for (number, column) in columns.enumerate() {
        out[column["name"].as_str().unwrap_or_default()] = row[number].clone();
    }
    Ok(out)
}

async fn every_kind_has_its_columns(t: &Context) -> Result<()> {
    let namespace = t.namespace().await?;
    for (api, plural, columns) in [
        (
            "/apis/autoscaling/v2",
            "horizontalpodautoscalers",
            "Name Reference Targets MinPods MaxPods Replicas Age",
        ),
        ("/api/v1", "endpoints", "Name Endpoints Age"),
        (
            "/apis/discovery.k8s.io/v1",
            "endpointslices",
            "Name AddressType Ports Endpoints Age",
        ),
        (
            "/apis/networking.k8s.io/v1",
            "networkpolicies",
            "Name Pod-Selector Age",
        ),
        (
            "/apis/networking.k8s.io/v1",
            "ingressclasses",
            "Name Controller Parameters Age",
        ),
        (
            "/apis/networking.k8s.io/v1",
            "ingresses",
            "Name Class Hosts Address Ports Age",
        ),
        (
            "/apis/policy/v1",
            "poddisruptionbudgets",
            "Name Min_Available Max_Unavailable Allowed_Disruptions Age",
        ),
        (
            "/apis/scheduling.k8s.io/v1",
            "priorityclasses",
            "Name Value Global-Default Age PreemptionPolicy",
        ),
        (
            "/apis/storage.k8s.io/v1",
            "storageclasses",
            "Name Provisioner ReclaimPolicy VolumeBindingMode AllowVolumeExpansion Age",
        ),
        (
            "/api/v1",
            "persistentvolumes",
            "Name Capacity Access_Modes Reclaim_Policy Status Claim StorageClass VolumeAttributesClass Reason Age VolumeMode",
        ),
        (
            "/api/v1",
            "nodes",
            "Name Status Roles Age Version Internal-IP External-IP OS-Image Kernel-Version Container-Runtime",
        ),
        (
            "/apis/batch/v1",
            "cronjobs",
            "Name Schedule Timezone Suspend Active Last_Schedule Age Containers Images Selector",
        ),
        ("/apis/coordination.k8s.io/v1", "leases", "Name Holder Age"),
        ("/api/v1", "limitranges", "Name Created_At"),
        ("/api/v1", "resourcequotas", "Name Request Limit Age"),
        (
            "/apis/rbac.authorization.k8s.io/v1",
            "clusterroles",
            "Name Created_At",
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1",
            "roles",
            "Name Created_At",
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1",
            "rolebindings",
            "Name Role Age Users Groups ServiceAccounts",
        ),
        (
            "/apis/apps/v1",
            "controllerrevisions",
            "Name Controller Revision Age",
        ),
        ("/apis/node.k8s.io/v1", "runtimeclasses", "Name Handler Age"),
    ] {
        let whole = [
            "ingressclasses",
            "priorityclasses",
            "storageclasses",
            "persistentvolumes",
            "nodes",
            "clusterroles",
            "runtimeclasses",
        ];
        let path = if whole.contains(&plural) {
            format!("{api}/{plural}")
        } else {
            format!("{api}/namespaces/{namespace}/{plural}")
        };
        let found = table(t, &path).await?;
        let names: Vec<String> = found["columnDefinitions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|column| column["name"].as_str().map(|name| name.replace(' ', "_")))
            .collect();
        same!(names.join(" "), columns, "{plural}");
    }
    Ok(())
}

async fn cells_of_policies_and_limits(t: &Context) -> Result<()> {
    let budgets = t.resource("policy/v1", "poddisruptionbudgets").await?;
    let body = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "a"},
        "spec": {"minAvailable": "50%", "selector": {"matchLabels": {"app": "a"}}},
    });
    t.create(&budgets, &body).await?;
    let row = cells(&table(t, &budgets).await?, "a")?;
    same!(row["Min Available"], "50%");
    same!(row["Max Unavailable"], "N/A");
    same!(row["Allowed Disruptions"], 0);

    let policies = t
        .resource("networking.k8s.io/v1", "networkpolicies")
        .await?;
    let body = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "a"},
        "spec": {"podSelector": {"matchLabels": {"app": "a"}}},
    });
    t.create(&policies, &body).await?;
    same!(
        cells(&table(t, &policies).await?, "a")?["Pod-Selector"],
        "app=a"
    );

    let scalers = t
        .resource("autoscaling/v2", "horizontalpodautoscalers")
        .await?;
    let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}});
    let body = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "minReplicas": 2, "maxReplicas": 4, "metrics": [metric],
        },
    });
    t.create(&scalers, &body).await?;
    let row = cells(&table(t, &scalers).await?, "a")?;
    same!(row["Reference"], "Deployment/web");
    same!(row["Targets"], "cpu: <unknown>/80%");
    same!(row["MinPods"], "2");
    same!(row["MaxPods"], 4);
    same!(row["Replicas"], 0);

    let quotas = t.resource("v1", "resourcequotas").await?;
    let body = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "a"}, "spec": {"hard": {"limits.cpu": "4", "services": "3"}},
    });
    t.create(&quotas, &body).await?;
    t.admin()
        .until(&format!("{quotas}/a"), "it is counted", |one| {
            one["status"]["used"]["services"] == "0"
        })
        .await?;
    let row = cells(&table(t, &quotas).await?, "a")?;
    same!(row["Request"], "services: 0/3");
    same!(row["Limit"], "limits.cpu: 0/4");
    Ok(())
}

async fn cells_of_rights(t: &Context) -> Result<()> {
    let api = "rbac.authorization.k8s.io/v1";
    let bindings = t.resource(api, "rolebindings").await?;
    let namespace = t.namespace().await?;
    let subjects = json!([
        {"kind": "ServiceAccount", "name": "web", "namespace": namespace},
        {"kind": "User", "name": "ann", "apiGroup": "rbac.authorization.k8s.io"},
        {"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"},
        {"kind": "Group", "name": "team", "apiGroup": "rbac.authorization.k8s.io"},
    ]);
    let body = json!({
        "apiVersion": api, "kind": "RoleBinding", "metadata": {"name": "a"}, "subjects": subjects,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
    });
    t.create(&bindings, &body).await?;
    let row = cells(&table(t, &bindings).await?, "a")?;
    same!(row["Role"], "Role/reader");
    same!(row["Users"], "ann, bob");
    same!(row["Groups"], "team");
    same!(row["ServiceAccounts"], format!("{namespace}/web"));
    Ok(())
}

async fn cells_of_classes(t: &Context) -> Result<()> {
    let name = t.unique();
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    let body = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": 1000});
    t.create(classes, &body).await?;
    t.remove_later(format!("{classes}/{name}"));
    let row = cells(&table(t, classes).await?, name)?;
    same!(row["Value"], 1000);
    same!(row["Global-Default"], false);
    same!(row["PreemptionPolicy"], "PreemptLowerPriority");

    let classes = "/apis/storage.k8s.io/v1/storageclasses";
    let body = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}, "provisioner": "lab/none"});
    t.create(classes, &body).await?;
    t.remove_later(format!("{classes}/{name}"));
    let all = table(t, classes).await?;
    let row = cells(&all, name)?;
    same!(row["Provisioner"], "lab/none");
    same!(row["ReclaimPolicy"], "Delete");
    same!(row["VolumeBindingMode"], "Immediate");
    same!(row["AllowVolumeExpansion"], false);
    // The one that claims get without asking is told from others.
    let names = all["rows"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|row| row["cells"][0].as_str());
    ensure!(
        names.into_iter().any(|name| name.ends_with(" (default)")),
        "{all}"
    );
    Ok(())
}

async fn cells_of_a_cron_job(t: &Context) -> Result<()> {
    let all = t.resource("batch/v1", "cronjobs").await?;
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "main", "image": "registry.lab/a:1"}]});
    let body = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "a"},
        "spec": {"schedule": "0 3 1 1 *", "suspend": true, "jobTemplate": {"spec": {"template": {"spec": pod}}}},
    });
    t.create(&all, &body).await?;
    let row = cells(&table(t, &all).await?, "a")?;
    same!(row["Schedule"], "0 3 1 1 *");
    same!(row["Suspend"], "True");
    same!(row["Last Schedule"], "<none>");
    same!(row["Containers"], "main");
    same!(row["Images"], "registry.lab/a:1");
    same!(row["Selector"], "<none>");
    Ok(())
}

async fn cells_of_endpoints(t: &Context) -> Result<()> {
    let deployments = t.workload("apps/v1", "deployments").await?;
    t.create(&deployments, &deployment("web", 1)).await?;
    let services = t.resource("v1", "services").await?;
    let pods = t.resource("v1", "pods").await?;
    let made = t
        .admin()
        .get(&format!("{deployments}/web"))
        .await?
        .status(200)?;
    let selector = &made["spec"]["selector"]["matchLabels"];
    let body = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "labels": {"team": "home"}},
        "spec": {"selector": selector, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    t.create(&services, &body).await?;
    let endpoints = t.resource("v1", "endpoints").await?;
    let path = format!("{endpoints}/web");
    let own = t
        .admin()
        .until(&path, "it has an address", |one| {
            one["subsets"][0]["addresses"][0]["ip"].is_string()
        })
        .await?;
    same!(
        own["metadata"]["labels"],
        json!({"team": "home", "endpoints.kubernetes.io/managed-by": "endpoint-controller"})
    );
    same!(
        own["subsets"][0]["ports"],
        json!([{"port": 8080, "protocol": "TCP"}])
    );
    let address = &own["subsets"][0]["addresses"][0];
    let ip = address["ip"].as_str().unwrap_or_default().to_owned();
    let pod = address["targetRef"]["name"].as_str().unwrap_or_default();
    let pod = t.admin().get(&format!("{pods}/{pod}")).await?.status(200)?;
    same!(pod["status"]["podIP"], ip.as_str());
    let reply = t.admin().get_as(&endpoints, TABLE).await?;
    ensure!(
        reply
            .header("warning")
            .contains("v1 Endpoints is deprecated in v1.33+"),
        "{}",
        reply.header("warning")
    );
    same!(
        cells(&reply.status(200)?, "web")?["Endpoints"],
        format!("{ip}:8080")
    );
    let slices = t.resource("discovery.k8s.io/v1", "endpointslices").await?;
    let all = table(t, &slices).await?;
    let cells = &all["rows"][0]["cells"];
    same!(cells[1], "IPv4");
    same!(cells[2], "8080");
    same!(cells[3], ip);
    t.admin()
        .delete(&format!("{services}/web"))
        .await?
        .status(200)?;
    t.admin().until_gone(&path).await
}
