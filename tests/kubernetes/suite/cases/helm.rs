//! Flux: HelmReleases of charts in git.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::flux::{HELM, helm, ready};
use super::workloads::condition;
use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;

cases![
    a_helm_release_is_installed for 300,
    a_chart_that_is_missing_is_not_ready for 240,
];

fn helm_release(chart: &str) -> Value {
    json!({
        "apiVersion": HELM, "kind": "HelmRelease", "metadata": {"name": "web"},
        "spec": {
            "interval": "10m", "timeout": "60s", "values": {"text": "from values"},
            "chart": {"spec": {
                "chart": chart, "reconcileStrategy": "Revision", "interval": "10m",
                "sourceRef": {"kind": "GitRepository", "name": "source"},
            }},
        },
    })
}

async fn a_helm_release_is_installed(t: &Context) -> Result<()> {
    let (world, releases) = helm(t).await?;
    t.create(&releases, &helm_release("./chart")).await?;
    let path = format!("{releases}/web");
    let installed = |object: &Value| {
        ready(object, "True") && object["status"]["history"][0]["status"] == "deployed"
    };
    let object = t.admin().until(&path, "it is installed", installed).await?;
    same!(condition(&object, "Ready")["reason"], "InstallSucceeded");
    same!(condition(&object, "Released")["status"], "True");
    let release = &object["status"]["history"][0];
    same!(release["name"], "web");
    same!(release["namespace"], t.namespace().await?);
    same!(release["version"], 1);
    same!(release["status"], "deployed");
    same!(
        object["status"]["observedGeneration"],
        object["metadata"]["generation"]
    );
    let made = t
        .admin()
        .get(&format!("{}/web-text", world.configmaps))
        .await?
        .status(200)?;
    same!(made["data"]["text"], "from values");
    let label = made["metadata"]["labels"]["helm.toolkit.fluxcd.io/name"]
        .as_str()
        .context("no label")?;
    same!(label, "web");
    t.admin()
        .patch(
            &path,
            MERGE,
            &json!({"spec": {"values": {"text": "changed"}}}),
        )
        .await?
        .status(200)?;
    let upgraded =
        |object: &Value| object["status"]["history"][0]["version"] == 2 && ready(object, "True");
    let object = t.admin().until(&path, "it is upgraded", upgraded).await?;
    same!(condition(&object, "Ready")["reason"], "UpgradeSucceeded");
    same!(
        t.admin()
            .get(&format!("{}/web-text", world.configmaps))
            .await?
            .status(200)?["data"]["text"],
        "changed"
    );
    t.admin().delete(&path).await?.status(200)?;
    t.admin()
        .until_gone(&format!("{}/web-text", world.configmaps))
        .await
}

async fn a_chart_that_is_missing_is_not_ready(t: &Context) -> Result<()> {
    let (_world, releases) = helm(t).await?;
    t.create(&releases, &helm_release("./no-such-chart"))
        .await?;
    let failed = |object: &Value| condition(object, "Ready")["status"] == "False";
    let object = t
        .admin()
        .until(&format!("{releases}/web"), "it says so", failed)
        .await?;
    let reason = condition(&object, "Ready")["reason"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        reason == "HelmChartNotReady" || reason == "SourceNotReady" || reason == "ArtifactFailed",
        "{reason}"
    );
    ensure!(object["status"]["history"].is_null(), "{object}");
    Ok(())
}
