//! What a client learns before it asks for anything: versions, groups, resources, schemas, health.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::case::{cases, same};
use crate::context::Context;

cases![
    version_names_the_release,
    health_endpoints_say_ok,
    api_lists_the_core_version,
    apis_lists_groups_with_their_preferred_versions,
    one_group_is_an_api_group,
    core_resources_have_names_verbs_and_kinds,
    subresources_are_listed,
    scale_is_of_another_group,
    aggregated_core_discovery,
    aggregated_group_discovery,
    aggregated_discovery_has_subresources,
    plain_discovery_where_aggregated_is_not_accepted,
    openapi_v3_index_has_addresses_with_hashes,
    openapi_v3_schemas_name_their_kinds,
    openapi_v3_covers_the_kinds_of_guides,
    openapi_v2_names_kinds,
    an_unknown_group_is_404,
    an_unknown_resource_is_404,
];

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

async fn version_names_the_release(t: &Context) -> Result<()> {
    let version = t.admin().get("/version").await?.status(200)?;
    same!(version["major"], "1");
    same!(version["minor"], "36");
    let text = version["gitVersion"].as_str().unwrap_or_default();
    ensure!(text.starts_with("v1.36."), "gitVersion is `{text}`");
    ensure!(
        version["platform"]
            .as_str()
            .is_some_and(|text| text.contains('/')),
        "no platform: {version}"
    );
    Ok(())
}

async fn health_endpoints_say_ok(t: &Context) -> Result<()> {
    for path in ["/healthz", "/livez", "/readyz"] {
        let reply = t.admin().get(path).await?;
        same!((reply.status, reply.text.as_str()), (200, "ok"), "{path}");
    }
    Ok(())
}

async fn api_lists_the_core_version(t: &Context) -> Result<()> {
    let versions = t.admin().get("/api").await?.status(200)?;
    same!(versions["kind"], "APIVersions");
    same!(versions["versions"], serde_json::json!(["v1"]));
    Ok(())
}

async fn apis_lists_groups_with_their_preferred_versions(t: &Context) -> Result<()> {
    let list = t.admin().get("/apis").await?.status(200)?;
    same!(list["kind"], "APIGroupList");
    same!(list["apiVersion"], "v1");
    let preferred = |name: &str| {
        let group = list["groups"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|group| group["name"] == name);
        group
            .map(|group| group["preferredVersion"]["groupVersion"].clone())
            .unwrap_or_default()
    };
    for (group, version) in [
        ("apps", "apps/v1"),
        ("batch", "batch/v1"),
        ("autoscaling", "autoscaling/v2"),
        ("policy", "policy/v1"),
        ("networking.k8s.io", "networking.k8s.io/v1"),
        ("rbac.authorization.k8s.io", "rbac.authorization.k8s.io/v1"),
        ("storage.k8s.io", "storage.k8s.io/v1"),
        ("discovery.k8s.io", "discovery.k8s.io/v1"),
        ("apiextensions.k8s.io", "apiextensions.k8s.io/v1"),
        ("authorization.k8s.io", "authorization.k8s.io/v1"),
        ("coordination.k8s.io", "coordination.k8s.io/v1"),
    ] {
        same!(preferred(group), version, "{group}");
    }
    Ok(())
}

async fn one_group_is_an_api_group(t: &Context) -> Result<()> {
    let group = t.admin().get("/apis/apps").await?.status(200)?;
    same!(group["kind"], "APIGroup");
    same!(group["apiVersion"], "v1");
    same!(group["name"], "apps");
    same!(
        group["versions"],
        serde_json::json!([{"groupVersion": "apps/v1", "version": "v1"}])
    );
    same!(group["preferredVersion"]["version"], "v1");
    Ok(())
}

/// The entry of a resource in an APIResourceList.
async fn resource(t: &Context, path: &str, name: &str) -> Result<Value> {
    let list = t.admin().get(path).await?.status(200)?;
    same!(list["kind"], "APIResourceList");
    let mut entries = list["resources"].as_array().into_iter().flatten();
    entries
        .find(|entry| entry["name"] == name)
        .cloned()
        .with_context(|| format!("{path} does not list `{name}`"))
}

async fn core_resources_have_names_verbs_and_kinds(t: &Context) -> Result<()> {
    let pods = resource(t, "/api/v1", "pods").await?;
    same!(pods["kind"], "Pod");
    same!(pods["singularName"], "pod");
    same!(pods["namespaced"], true);
    same!(pods["shortNames"], serde_json::json!(["po"]));
    same!(pods["categories"], serde_json::json!(["all"]));
    let verbs = pods["verbs"].as_array().cloned().unwrap_or_default();
    for verb in [
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch",
    ] {
        ensure!(
            verbs.iter().any(|have| have == verb),
            "pods cannot be asked to {verb}: {pods}"
        );
    }
    let namespaces = resource(t, "/api/v1", "namespaces").await?;
    same!(namespaces["namespaced"], false);
    same!(namespaces["shortNames"], serde_json::json!(["ns"]));
    ensure!(
        !namespaces["verbs"]
            .as_array()
            .is_some_and(|verbs| verbs.iter().any(|verb| verb == "deletecollection")),
        "namespaces cannot be deleted as a collection: {namespaces}"
    );
    Ok(())
}

async fn subresources_are_listed(t: &Context) -> Result<()> {
    for name in [
        "pods/status",
        "pods/log",
        "pods/exec",
        "pods/attach",
        "pods/portforward",
        "pods/eviction",
        "pods/binding",
    ] {
        resource(t, "/api/v1", name).await?;
    }
    for name in [
        "namespaces/status",
        "namespaces/finalize",
        "serviceaccounts/token",
        "services/status",
    ] {
        resource(t, "/api/v1", name).await?;
    }
    for name in [
        "deployments/status",
        "deployments/scale",
        "statefulsets/scale",
        "replicasets/scale",
        "daemonsets/status",
    ] {
        resource(t, "/apis/apps/v1", name).await?;
    }
    for name in ["jobs/status", "cronjobs/status"] {
        resource(t, "/apis/batch/v1", name).await?;
    }
    Ok(())
}

async fn scale_is_of_another_group(t: &Context) -> Result<()> {
    let scale = resource(t, "/apis/apps/v1", "deployments/scale").await?;
    same!(scale["group"], "autoscaling");
    same!(scale["version"], "v1");
    same!(scale["kind"], "Scale");
    let eviction = resource(t, "/api/v1", "pods/eviction").await?;
    same!(eviction["group"], "policy");
    same!(eviction["kind"], "Eviction");
    Ok(())
}

async fn aggregated_core_discovery(t: &Context) -> Result<()> {
    let reply = t.admin().get_as("/api", AGGREGATED).await?;
    same!(reply.header("content-type"), AGGREGATED);
    let list = reply.status(200)?;
    same!(list["kind"], "APIGroupDiscoveryList");
    same!(list["apiVersion"], "apidiscovery.k8s.io/v2");
    let version = &list["items"][0]["versions"][0];
    same!(version["version"], "v1");
    same!(version["freshness"], "Current");
    let mut resources = version["resources"].as_array().into_iter().flatten();
    let configmaps = resources
        .find(|entry| entry["resource"] == "configmaps")
        .context("no configmaps")?;
    same!(
        configmaps["responseKind"],
        serde_json::json!({"group": "", "version": "", "kind": "ConfigMap"})
    );
    same!(configmaps["scope"], "Namespaced");
    same!(configmaps["singularResource"], "configmap");
    same!(configmaps["shortNames"], serde_json::json!(["cm"]));
    Ok(())
}

/// The entry of `apps/v1 deployments` in aggregated discovery.
async fn aggregated_deployments(t: &Context) -> Result<Value> {
    let list = t.admin().get_as("/apis", AGGREGATED).await?.status(200)?;
    let mut groups = list["items"].as_array().into_iter().flatten();
    let apps = groups
        .find(|group| group["metadata"]["name"] == "apps")
        .context("no group `apps`")?;
    let mut resources = apps["versions"][0]["resources"]
        .as_array()
        .into_iter()
        .flatten();
    resources
        .find(|entry| entry["resource"] == "deployments")
        .cloned()
        .context("no deployments")
}

async fn aggregated_group_discovery(t: &Context) -> Result<()> {
    let deployments = aggregated_deployments(t).await?;
    same!(deployments["responseKind"]["kind"], "Deployment");
    same!(deployments["shortNames"], serde_json::json!(["deploy"]));
    same!(deployments["categories"], serde_json::json!(["all"]));
    Ok(())
}

async fn aggregated_discovery_has_subresources(t: &Context) -> Result<()> {
    let deployments = aggregated_deployments(t).await?;
    let subresources = deployments["subresources"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let scale = subresources
        .iter()
        .find(|entry| entry["subresource"] == "scale")
        .context("no scale")?;
    same!(
        scale["responseKind"],
        serde_json::json!({"group": "autoscaling", "version": "v1", "kind": "Scale"})
    );
    ensure!(
        subresources
            .iter()
            .any(|entry| entry["subresource"] == "status"),
        "no status: {deployments}"
    );
    Ok(())
}

async fn plain_discovery_where_aggregated_is_not_accepted(t: &Context) -> Result<()> {
    // kubectl's own list: the newest first, plain JSON last.
    let accept = format!("{AGGREGATED},application/json");
    let reply = t.admin().get_as("/apis", &accept).await?;
    same!(reply.header("content-type"), AGGREGATED);
    let reply = t.admin().get_as("/apis", "application/json").await?;
    same!(reply.header("content-type"), "application/json");
    same!(reply.body["kind"], "APIGroupList");
    Ok(())
}

async fn openapi_v3_index_has_addresses_with_hashes(t: &Context) -> Result<()> {
    let index = t.admin().get("/openapi/v3").await?.status(200)?;
    for path in [
        "api/v1",
        "apis/apps/v1",
        "apis/batch/v1",
        "apis/apiextensions.k8s.io/v1",
    ] {
        let address = index["paths"][path]["serverRelativeURL"]
            .as_str()
            .unwrap_or_default();
        ensure!(
            address.starts_with(&format!("/openapi/v3/{path}?hash=")),
            "{path}: `{address}`"
        );
        t.admin().get(address).await?.status(200)?;
    }
    Ok(())
}

/// The kinds that the schemas of a group's document say they are.
async fn kinds(t: &Context, path: &str) -> Result<Vec<String>> {
    let document = t
        .admin()
        .get(&format!("/openapi/v3/{path}"))
        .await?
        .status(200)?;
    ensure!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.")),
        "not OpenAPI 3"
    );
    let schemas = document["components"]["schemas"]
        .as_object()
        .context("no schemas")?;
    let kinds = schemas.values().flat_map(|schema| {
        schema["x-kubernetes-group-version-kind"]
            .as_array()
            .into_iter()
            .flatten()
    });
    Ok(kinds
        .filter_map(|kind| kind["kind"].as_str().map(str::to_owned))
        .collect())
}

async fn openapi_v3_schemas_name_their_kinds(t: &Context) -> Result<()> {
    let document = t
        .admin()
        .get("/openapi/v3/apis/apps/v1")
        .await?
        .status(200)?;
    let schema = &document["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"];
    same!(
        schema["x-kubernetes-group-version-kind"],
        serde_json::json!([{"group": "apps", "kind": "Deployment", "version": "v1"}])
    );
    ensure!(
        schema["properties"]["spec"].is_object(),
        "a Deployment's spec has no schema"
    );
    Ok(())
}

async fn openapi_v3_covers_the_kinds_of_guides(t: &Context) -> Result<()> {
    for (path, expected) in [
        (
            "api/v1",
            &[
                "Pod",
                "Service",
                "ConfigMap",
                "Secret",
                "Namespace",
                "PersistentVolumeClaim",
                "Node",
            ][..],
        ),
        (
            "apis/apps/v1",
            &["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"],
        ),
        ("apis/batch/v1", &["Job", "CronJob"]),
    ] {
        let kinds = kinds(t, path).await?;
        for kind in expected {
            ensure!(
                kinds.iter().any(|have| have == kind),
                "{path} has no schema of {kind}"
            );
        }
    }
    Ok(())
}

async fn openapi_v2_names_kinds(t: &Context) -> Result<()> {
    let document = t.admin().get("/openapi/v2").await?.status(200)?;
    same!(document["swagger"], "2.0");
    let deployment = &document["definitions"]["io.k8s.api.apps.v1.Deployment"];
    same!(
        deployment["x-kubernetes-group-version-kind"][0]["kind"],
        "Deployment"
    );
    Ok(())
}

async fn an_unknown_group_is_404(t: &Context) -> Result<()> {
    for path in ["/apis/none.example", "/apis/none.example/v1"] {
        let reply = t.admin().get(path).await?;
        same!(
            (reply.status, reply.text.trim()),
            (404, "404 page not found"),
            "{path}"
        );
    }
    let text = "the server could not find the requested resource";
    t.admin()
        .get("/apis/apps/v9")
        .await?
        .refused(404, "NotFound", text)?;
    Ok(())
}

async fn an_unknown_resource_is_404(t: &Context) -> Result<()> {
    let status = t
        .admin()
        .get("/api/v1/namespaces/default/gadgets")
        .await?
        .refused(
            404,
            "NotFound",
            "the server could not find the requested resource",
        )?;
    same!(status["details"], serde_json::json!({}));
    Ok(())
}
