//! The real kubectl: what a person types, and what it says.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::case::{cases, same};
use crate::context::Context;
use crate::kubectl::Kubectl;
use crate::manifest::{configmap, deployment, pod, service};

cases![
    version_tells_the_server,
    api_resources_are_listed,
    explain_knows_the_schema,
    get_is_a_table,
    get_wide_has_more_columns,
    get_json_is_the_object,
    get_jsonpath_picks,
    get_by_name_and_label,
    get_of_nothing_says_so,
    get_of_what_is_missing_is_an_error,
    get_of_an_unknown_kind_is_an_error,
    describe_a_pod,
    describe_a_deployment,
    auth_can_i,
    events_are_listed,
    get_watches,
];

pub(super) async fn made(t: &Context, body: &Value) -> Result<Kubectl> {
    t.namespace_for_pods().await?;
    let kubectl = t.kubectl().await?;
    kubectl.apply(&[body]).await?.ok()?;
    Ok(kubectl)
}

async fn version_tells_the_server(t: &Context) -> Result<()> {
    let version: Value = serde_json::from_str(
        &t.kubectl()
            .await?
            .run(&["version", "-o", "json"])
            .await?
            .ok()?,
    )?;
    let server = t.admin().get("/version").await?.status(200)?;
    same!(version["serverVersion"]["gitVersion"], server["gitVersion"]);
    ensure!(
        version["clientVersion"]["gitVersion"]
            .as_str()
            .is_some_and(|text| text.starts_with("v1.")),
        "{version}"
    );
    Ok(())
}

async fn api_resources_are_listed(t: &Context) -> Result<()> {
    let text = t
        .kubectl()
        .await?
        .run(&["api-resources", "--namespaced=true"])
        .await?
        .ok()?;
    for (name, rest) in [
        ("configmaps", "cm"),
        ("deployments", "deploy"),
        ("jobs", "batch/v1"),
    ] {
        let line = text
            .lines()
            .find(|line| line.split_whitespace().next() == Some(name));
        ensure!(
            line.is_some_and(|line| line.contains(rest)),
            "no {name} in {text}"
        );
    }
    Ok(())
}

async fn explain_knows_the_schema(t: &Context) -> Result<()> {
    let text = t
        .kubectl()
        .await?
        .run(&["explain", "deployment.spec.replicas"])
        .await?
        .ok()?;
    ensure!(
        text.contains("KIND:       Deployment") && text.contains("FIELD: replicas <integer>"),
        "{text}"
    );
    Ok(())
}

async fn get_is_a_table(t: &Context) -> Result<()> {
    let kubectl = made(t, &configmap("a", "k", "v")).await?;
    let text = kubectl.run(&["get", "configmap", "a"]).await?.ok()?;
    let mut lines = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    same!(lines.next(), Some(vec!["NAME", "DATA", "AGE"]));
    same!(
        lines.next().map(|cells| cells[..2].to_vec()),
        Some(vec!["a", "1"])
    );
    Ok(())
}

async fn get_wide_has_more_columns(t: &Context) -> Result<()> {
    let kubectl = made(t, &pod("a")).await?;
    kubectl
        .run(&["wait", "--for=condition=Ready", "pod/a", "--timeout=60s"])
        .await?
        .ok()?;
    let text = kubectl.run(&["get", "pods", "-o", "wide"]).await?.ok()?;
    let header: Vec<_> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    same!(
        header,
        vec![
            "NAME",
            "READY",
            "STATUS",
            "RESTARTS",
            "AGE",
            "IP",
            "NODE",
            "NOMINATED",
            "NODE",
            "READINESS",
            "GATES"
        ]
    );
    let cells: Vec<_> = text
        .lines()
        .nth(1)
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    same!(cells[..4], ["a", "1/1", "Running", "0"]);
    Ok(())
}

async fn get_json_is_the_object(t: &Context) -> Result<()> {
    let kubectl = made(t, &configmap("a", "k", "v")).await?;
    let object: Value =
        serde_json::from_str(&kubectl.run(&["get", "cm", "a", "-o", "json"]).await?.ok()?)?;
    same!(object["data"], json!({"k": "v"}));
    let list: Value =
        serde_json::from_str(&kubectl.run(&["get", "cm", "-o", "json"]).await?.ok()?)?;
    same!(list["kind"], "List");
    let text = kubectl.run(&["get", "cm", "a", "-o", "yaml"]).await?.ok()?;
    ensure!(
        text.starts_with("apiVersion: v1\ndata:\n  k: v\nkind: ConfigMap\n"),
        "{text}"
    );
    Ok(())
}

async fn get_jsonpath_picks(t: &Context) -> Result<()> {
    let kubectl = made(t, &service("web", "web")).await?;
    same!(
        kubectl
            .run(&[
                "get",
                "service",
                "web",
                "-o",
                "jsonpath={.spec.ports[0].port}"
            ])
            .await?
            .ok()?,
        "80"
    );
    let path = "jsonpath={range .items[*]}{.metadata.name}={.spec.type}{end}";
    same!(
        kubectl.run(&["get", "services", "-o", path]).await?.ok()?,
        "web=ClusterIP"
    );
    let columns = "custom-columns=N:.metadata.name,T:.spec.type";
    let text = kubectl
        .run(&["get", "services", "-o", columns, "--no-headers"])
        .await?
        .ok()?;
    same!(
        text.split_whitespace().collect::<Vec<_>>(),
        vec!["web", "ClusterIP"]
    );
    Ok(())
}

async fn get_by_name_and_label(t: &Context) -> Result<()> {
    t.namespace_for_pods().await?;
    let kubectl = t.kubectl().await?;
    let mut labelled = configmap("b", "k", "v");
    labelled["metadata"]["labels"] = json!({"app": "x"});
    kubectl
        .apply(&[&configmap("a", "k", "v"), &labelled])
        .await?
        .ok()?;
    same!(
        kubectl
            .run(&["get", "cm", "-l", "app=x", "-o", "name"])
            .await?
            .ok()?,
        "configmap/b\n"
    );
    same!(
        kubectl
            .run(&["get", "cm/a", "cm/b", "-o", "name"])
            .await?
            .ok()?,
        "configmap/a\nconfigmap/b\n"
    );
    Ok(())
}

async fn get_of_nothing_says_so(t: &Context) -> Result<()> {
    let kubectl = t.kubectl().await?;
    let printed = kubectl.run(&["get", "deployments"]).await?;
    same!(
        printed.stderr,
        format!(
            "No resources found in {} namespace.\n",
            t.namespace().await?
        )
    );
    same!(printed.ok()?, "");
    Ok(())
}

async fn get_of_what_is_missing_is_an_error(t: &Context) -> Result<()> {
    let error = t
        .kubectl()
        .await?
        .run(&["get", "configmap", "none"])
        .await?
        .fails(1)?;
    same!(
        error,
        "Error from server (NotFound): configmaps \"none\" not found\n"
    );
    Ok(())
}

async fn get_of_an_unknown_kind_is_an_error(t: &Context) -> Result<()> {
    let error = t.kubectl().await?.run(&["get", "gizmos"]).await?.fails(1)?;
    same!(
        error,
        "error: the server doesn't have a resource type \"gizmos\"\n"
    );
    Ok(())
}

async fn describe_a_pod(t: &Context) -> Result<()> {
    let kubectl = made(t, &pod("a")).await?;
    kubectl
        .run(&["wait", "--for=condition=Ready", "pod/a", "--timeout=60s"])
        .await?
        .ok()?;
    let text = kubectl.run(&["describe", "pod", "a"]).await?.ok()?;
    for (key, value) in [
        ("Name:", "a"),
        ("Namespace:", t.namespace().await?),
        ("Status:", "Running"),
        ("Service Account:", "default"),
    ] {
        let found = text
            .lines()
            .any(|line| line.starts_with(key) && line.ends_with(value));
        ensure!(found, "no `{key} {value}` in {text}");
    }
    for part in [
        "Containers:\n  c:\n",
        "Conditions:\n",
        "Events:",
        "Successfully assigned",
    ] {
        ensure!(text.contains(part), "no `{part}` in {text}");
    }
    Ok(())
}

async fn describe_a_deployment(t: &Context) -> Result<()> {
    let kubectl = made(t, &deployment("web", 1)).await?;
    kubectl
        .run(&["rollout", "status", "deployment/web", "--timeout=60s"])
        .await?
        .ok()?;
    let text = kubectl
        .run(&["describe", "deployment", "web"])
        .await?
        .ok()?;
    for part in [
        "1 desired | 1 updated | 1 total | 1 available | 0 unavailable",
        "MinimumReplicasAvailable",
        "NewReplicaSet:   web-",
        "ScalingReplicaSet",
    ] {
        ensure!(text.contains(part), "no `{part}` in {text}");
    }
    Ok(())
}

async fn auth_can_i(t: &Context) -> Result<()> {
    let kubectl = t.kubectl().await?;
    same!(
        kubectl
            .run(&["auth", "can-i", "create", "deployments"])
            .await?
            .ok()?,
        "yes\n"
    );
    let account = format!(
        "--as=system:serviceaccount:{}:default",
        t.namespace().await?
    );
    let printed = kubectl
        .run(&["auth", "can-i", "create", "deployments", &account])
        .await?;
    same!((printed.code, printed.stdout.as_str()), (1, "no\n"));
    Ok(())
}

async fn events_are_listed(t: &Context) -> Result<()> {
    let kubectl = made(t, &deployment("web", 1)).await?;
    kubectl
        .run(&["rollout", "status", "deployment/web", "--timeout=60s"])
        .await?
        .ok()?;
    let text = kubectl.run(&["events"]).await?.ok()?;
    ensure!(
        text.contains("ScalingReplicaSet") && text.contains("Scheduled"),
        "{text}"
    );
    let text = kubectl
        .run(&[
            "get",
            "events",
            "--field-selector",
            "reason=ScalingReplicaSet",
        ])
        .await?
        .ok()?;
    ensure!(
        text.contains("deployment/web") && !text.contains("pod/web"),
        "{text}"
    );
    Ok(())
}

async fn get_watches(t: &Context) -> Result<()> {
    let kubectl = made(t, &configmap("a", "k", "v")).await?;
    let mut child = kubectl
        .command(&[
            "get",
            "cm",
            "-w",
            "-o",
            "name",
            "--field-selector",
            "metadata.name=late",
        ])
        .spawn()?;
    let stdout = child.stdout.take().context("no output")?;
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(stdout));
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    t.create(&t.configmaps().await?, &configmap("late", "k", "v"))
        .await?;
    let line = tokio::time::timeout(std::time::Duration::from_secs(60), lines.next_line())
        .await
        .context("nothing was printed")??;
    same!(line.as_deref(), Some("configmap/late"));
    Ok(())
}
