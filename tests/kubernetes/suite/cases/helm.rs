//! Flux: HelmReleases of charts in git, their ends and their further tries. A server that renders no charts has files that stand in for them.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::flux::{HELM, REQUESTED, World, ready};
use super::workloads::condition;
use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;

cases![
    a_helm_release_is_installed for 300,
    a_chart_that_is_missing_is_not_ready for 240,
    a_release_is_upgraded_by_force for 300,
    an_install_that_fails_is_at_its_end for 300,
    a_reset_allows_another_try for 300,
    an_upgrade_that_fails_is_rolled_back for 300,
    another_chart_is_another_release for 300,
    a_suspended_release_stands_still for 300,
    drift_of_a_release_is_corrected_when_asked for 300,
    values_come_from_elsewhere_too for 300,
    a_release_waits_for_its_dependency for 300,
];

const CHART: &str = "apiVersion: v2\nname: web\nversion: 0.1.0\nappVersion: '1.2'\n";
const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: \"{{ .Release.Name }}-text\"\ndata:\n  text: \"{{ .Values.text }}\"\n";
/// Not healthy while its image cannot be pulled.
const STUCK: &str = "---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: \"{{ .Release.Name }}-stuck\"
spec:
  selector: {matchLabels: {app: stuck}}
  template:
    metadata:
      labels: {app: stuck}
      annotations: {lab/image-pull: \"{{ .Values.pull }}\"}
    spec:
      containers: [{name: main, image: registry.lab/web}]
";

/// A world with the charts `web` and `stuck`; the collection of releases.
pub(super) async fn helm(t: &Context) -> Result<(World, String)> {
    let world = World::new(t).await?;
    let stuck = CHART.replace("name: web", "name: stuck");
    let both = format!("{MAP}{STUCK}");
    let commit = world
        .repository
        .commit(&[
            ("chart/Chart.yaml", CHART),
            ("chart/values.yaml", "text: default\n"),
            ("chart/templates/all.yaml", MAP),
            ("stuck/Chart.yaml", &stuck),
            ("stuck/values.yaml", "text: default\npull: fail\n"),
            ("stuck/templates/all.yaml", &both),
        ])
        .await?;
    if let Some(charts) = t.git().await?.charts {
        std::fs::write(charts.join("web-0.1.0.yaml"), MAP)?;
        std::fs::write(charts.join("stuck-0.1.0.yaml"), both)?;
    }
    world.fetch(t, &commit).await?;
    let releases = t.resource(HELM, "helmreleases").await?;
    Ok((world, releases))
}

pub(super) fn helm_release(chart: &str) -> Value {
    json!({
        "apiVersion": HELM, "kind": "HelmRelease", "metadata": {"name": "web"},
        "spec": {
            "interval": "10m", "timeout": "60s", "values": {"text": "from values", "pull": "fail"},
            "chart": {"spec": {
                "chart": chart, "reconcileStrategy": "Revision", "interval": "10m",
                "sourceRef": {"kind": "GitRepository", "name": "source"},
            }},
        },
    })
}

/// At its end, and the whole status says so: the condition is written a moment before the rest.
fn stalled(object: &Value) -> bool {
    condition(object, "Stalled")["status"] == "True"
        && object["status"]["observedGeneration"] == object["metadata"]["generation"]
}

/// Ready, of the release of this number.
pub(super) fn deployed(number: i64) -> impl Fn(&Value) -> bool {
    move |object| {
        let last = &object["status"]["history"][0];
        ready(object, "True") && last["version"] == number && last["status"] == "deployed"
    }
}

async fn installed(t: &Context, releases: &str, body: &Value) -> Result<(String, Value)> {
    t.create(releases, body).await?;
    let path = format!("{releases}/web");
    let object = t
        .admin()
        .until(&path, "it is installed", deployed(1))
        .await?;
    Ok((path, object))
}

async fn text(t: &Context) -> Result<Value> {
    let map = t
        .admin()
        .get(&format!("{}/web-text", t.configmaps().await?))
        .await?
        .status(200)?;
    Ok(map["data"]["text"].clone())
}

async fn mark(t: &Context, path: &str, keys: &[&str], token: &str) -> Result<()> {
    let mut annotations = json!({ REQUESTED: token });
    for key in keys {
        annotations[format!("reconcile.fluxcd.io/{key}")] = token.into();
    }
    t.admin()
        .patch(
            path,
            MERGE,
            &json!({"metadata": {"annotations": annotations}}),
        )
        .await?
        .status(200)?;
    Ok(())
}

async fn change(t: &Context, path: &str, spec: Value) -> Result<()> {
    t.admin()
        .patch(path, MERGE, &json!({"spec": spec}))
        .await?
        .status(200)?;
    Ok(())
}

async fn a_helm_release_is_installed(t: &Context) -> Result<()> {
    let (world, releases) = helm(t).await?;
    let (path, object) = installed(t, &releases, &helm_release("./chart")).await?;
    let namespace = t.namespace().await?;
    let version = format!("0.1.0+{}", revision(t, &world).await?);
    let message =
        format!("Helm install succeeded for release {namespace}/web.v1 with chart web@{version}");
    same!(condition(&object, "Ready")["reason"], "InstallSucceeded");
    same!(condition(&object, "Ready")["message"], message);
    same!(condition(&object, "Released")["status"], "True");
    same!(condition(&object, "Released")["message"], message);
    let status = &object["status"];
    let kinds: Vec<_> = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| one["type"].clone())
        .collect();
    same!(kinds, ["Ready", "Released"]);
    let release = &status["history"][0];
    same!(release["name"], "web");
    same!(release["namespace"], namespace);
    same!(release["version"], 1);
    same!(release["status"], "deployed");
    same!(release["chartName"], "web");
    same!(release["chartVersion"], version);
    same!(release["appVersion"], "1.2");
    same!(
        status["observedGeneration"],
        object["metadata"]["generation"]
    );
    same!(status["lastAttemptedRevision"], version);
    same!(status["lastAttemptedReleaseAction"], "install");
    same!(status["storageNamespace"], namespace);
    same!(status["helmChart"], format!("{namespace}/{namespace}-web"));
    same!(
        status["inventory"]["entries"],
        json!([{"id": format!("{namespace}_web-text__ConfigMap"), "v": "v1"}])
    );
    let charts = t.resource(super::flux::SOURCE, "helmcharts").await?;
    let chart = t
        .admin()
        .get(&format!("{charts}/{namespace}-web"))
        .await?
        .status(200)?;
    same!(
        condition(&chart, "Ready")["reason"],
        "ChartPackageSucceeded"
    );
    same!(
        condition(&chart, "Ready")["message"],
        format!("packaged 'web' chart with version '{version}'")
    );
    same!(chart["status"]["artifact"]["revision"], version);
    let made = t
        .admin()
        .get(&format!("{}/web-text", world.configmaps))
        .await?
        .status(200)?;
    same!(made["data"]["text"], "from values");
    let labels = &made["metadata"]["labels"];
    same!(labels["helm.toolkit.fluxcd.io/name"], "web");
    same!(labels["app.kubernetes.io/managed-by"], "Helm");
    same!(
        made["metadata"]["annotations"]["meta.helm.sh/release-name"],
        "web"
    );
    change(t, &path, json!({"values": {"text": "changed"}})).await?;
    let object = t
        .admin()
        .until(&path, "it is upgraded", deployed(2))
        .await?;
    same!(condition(&object, "Ready")["reason"], "UpgradeSucceeded");
    same!(
        condition(&object, "Ready")["message"],
        format!("Helm upgrade succeeded for release {namespace}/web.v2 with chart web@{version}")
    );
    same!(object["status"]["history"][1]["status"], "superseded");
    same!(text(t).await?, "changed");
    t.admin().delete(&path).await?.status(200)?;
    t.admin()
        .until_gone(&format!("{}/web-text", world.configmaps))
        .await?;
    t.admin()
        .until_gone(&format!("{charts}/{namespace}-web"))
        .await?;
    t.admin().until_gone(&path).await
}

/// The beginning of the source's commit, as it stands in a chart's version.
async fn revision(t: &Context, world: &World) -> Result<String> {
    let source = t
        .admin()
        .get(&format!("{}/source", world.sources))
        .await?
        .status(200)?;
    let revision = source["status"]["artifact"]["revision"]
        .as_str()
        .unwrap_or_default();
    let commit = revision.rsplit(':').next().context("no commit")?;
    Ok(commit.chars().take(12).collect())
}

async fn a_chart_that_is_missing_is_not_ready(t: &Context) -> Result<()> {
    let (_world, releases) = helm(t).await?;
    let mut nowhere = helm_release("./chart");
    nowhere["metadata"]["name"] = json!("nowhere");
    nowhere["spec"]["chart"]["spec"]["sourceRef"]["name"] = json!("nowhere");
    t.create(&releases, &nowhere).await?;
    t.create(&releases, &helm_release("./no-such-chart"))
        .await?;
    let namespace = t.namespace().await?;
    for (name, start, end) in [
        (
            "web",
            format!(
                "HelmChart '{namespace}/{namespace}-web' is not ready: invalid chart reference: stat "
            ),
            "no-such-chart: no such file or directory",
        ),
        (
            "nowhere",
            format!("HelmChart '{namespace}/{namespace}-nowhere' is not ready: "),
            "failed to get source: GitRepository.source.toolkit.fluxcd.io \"nowhere\" not found",
        ),
    ] {
        let told = |object: &Value| {
            condition(object, "Ready")["status"] == "False"
                && condition(object, "Ready")["message"]
                    .as_str()
                    .is_some_and(|text| text.ends_with(end))
        };
        let object = t
            .admin()
            .until(&format!("{releases}/{name}"), "it says so", told)
            .await?;
        same!(condition(&object, "Ready")["reason"], "SourceNotReady");
        let message = condition(&object, "Ready")["message"]
            .as_str()
            .unwrap_or_default();
        ensure!(message.starts_with(&start), "{message}");
        same!(
            condition(&object, "Reconciling")["message"],
            "Fulfilling prerequisites"
        );
        same!(object["status"]["observedGeneration"], -1);
        ensure!(object["status"]["history"].is_null(), "{object}");
    }
    let charts = t.resource(super::flux::SOURCE, "helmcharts").await?;
    let chart = t
        .admin()
        .get(&format!("{charts}/{namespace}-web"))
        .await?
        .status(200)?;
    same!(
        condition(&chart, "Ready")["reason"],
        "InvalidChartReference"
    );
    same!(condition(&chart, "Stalled")["status"], "True");
    Ok(())
}

async fn a_release_is_upgraded_by_force(t: &Context) -> Result<()> {
    let (_world, releases) = helm(t).await?;
    let (path, _) = installed(t, &releases, &helm_release("./chart")).await?;
    // A request alone finds everything as it should be.
    mark(t, &path, &[], "one").await?;
    let handled = |token: &'static str| {
        move |object: &Value| {
            object["status"]["lastHandledReconcileAt"] == token && ready(object, "True")
        }
    };
    let object = t
        .admin()
        .until(&path, "the request is handled", handled("one"))
        .await?;
    same!(object["status"]["history"][0]["version"], 1);
    mark(t, &path, &["forceAt"], "two").await?;
    let object = t
        .admin()
        .until(&path, "the request is handled", handled("two"))
        .await?;
    let object = match object["status"]["history"][0]["version"].as_i64() {
        Some(2) => object,
        _ => {
            t.admin()
                .until(&path, "it is upgraded", deployed(2))
                .await?
        }
    };
    same!(object["status"]["lastHandledForceAt"], "two");
    same!(condition(&object, "Ready")["reason"], "UpgradeSucceeded");
    Ok(())
}

async fn an_install_that_fails_is_at_its_end(t: &Context) -> Result<()> {
    let (_world, releases) = helm(t).await?;
    let mut body = helm_release("./stuck");
    body["spec"]["timeout"] = json!("4s");
    t.create(&releases, &body).await?;
    let path = format!("{releases}/web");
    let object = t.admin().until(&path, "it is at its end", stalled).await?;
    same!(condition(&object, "Stalled")["reason"], "RetriesExceeded");
    same!(
        condition(&object, "Stalled")["message"],
        "Failed to install after 1 attempt(s)"
    );
    same!(condition(&object, "Ready")["reason"], "InstallFailed");
    same!(condition(&object, "Released")["status"], "False");
    let message = condition(&object, "Ready")["message"]
        .as_str()
        .unwrap_or_default();
    let start = format!(
        "Helm install failed for release {}/web with chart stuck@0.1.0+",
        t.namespace().await?
    );
    ensure!(message.starts_with(&start), "{message}");
    let status = &object["status"];
    same!(status["failures"], 1);
    same!(status["installFailures"], 1);
    same!(status["history"][0]["status"], "failed");
    same!(status["observedGeneration"], 1);
    ensure!(condition(&object, "Reconciling").is_null(), "{status}");
    // Nothing was taken back.
    same!(text(t).await?, "from values");
    Ok(())
}

async fn a_reset_allows_another_try(t: &Context) -> Result<()> {
    let (_world, releases) = helm(t).await?;
    let mut body = helm_release("./stuck");
    body["spec"]["timeout"] = json!("4s");
    t.create(&releases, &body).await?;
    let path = format!("{releases}/web");
    t.admin().until(&path, "it is at its end", stalled).await?;
    // A request alone changes nothing about that.
    mark(t, &path, &[], "one").await?;
    let handled = |object: &Value| object["status"]["lastHandledReconcileAt"] == "one";
    let object = t
        .admin()
        .until(&path, "the request is handled", handled)
        .await?;
    same!(object["status"]["history"][0]["version"], 1);
    mark(t, &path, &["resetAt"], "two").await?;
    let tried = |object: &Value| {
        object["status"]["history"][0]["version"] == 2
            && condition(object, "Stalled")["status"] == "True"
    };
    let object = t.admin().until(&path, "it was tried again", tried).await?;
    same!(object["status"]["lastHandledResetAt"], "two");
    same!(object["status"]["failures"], 1);
    same!(condition(&object, "Ready")["reason"], "UpgradeFailed");
    Ok(())
}

async fn an_upgrade_that_fails_is_rolled_back(t: &Context) -> Result<()> {
    let (_world, releases) = helm(t).await?;
    let mut body = helm_release("./stuck");
    body["spec"]["values"]["pull"] = json!("works");
    body["spec"]["upgrade"] = json!({"timeout": "8s", "remediation": {"retries": 1}});
    let (path, _) = installed(t, &releases, &body).await?;
    change(
        t,
        &path,
        json!({"values": {"text": "changed", "pull": "fail"}}),
    )
    .await?;
    let back =
        |object: &Value| stalled(object) && object["status"]["history"][0]["status"] == "deployed";
    let object = t.admin().until(&path, "it is at its end", back).await?;
    let namespace = t.namespace().await?;
    same!(
        condition(&object, "Stalled")["message"],
        "Failed to upgrade after 2 attempt(s)"
    );
    same!(
        condition(&object, "Remediated")["reason"],
        "RollbackSucceeded"
    );
    same!(condition(&object, "Released")["reason"], "UpgradeFailed");
    same!(condition(&object, "Ready")["reason"], "RollbackSucceeded");
    let message = condition(&object, "Ready")["message"]
        .as_str()
        .unwrap_or_default();
    let start = format!("Helm rollback to previous release {namespace}/web.v");
    ensure!(
        message.starts_with(&start) && message.ends_with(" succeeded"),
        "{message}"
    );
    let last = &object["status"]["history"][0];
    same!(last["status"], "deployed");
    same!(last["chartName"], "stuck");
    same!(last["version"], 5);
    same!(object["status"]["upgradeFailures"], 2);
    same!(text(t).await?, "from values");
    Ok(())
}

async fn another_chart_is_another_release(t: &Context) -> Result<()> {
    let (world, releases) = helm(t).await?;
    let mut body = helm_release("./stuck");
    body["spec"]["values"]["pull"] = json!("works");
    let (path, _) = installed(t, &releases, &body).await?;
    change(t, &path, json!({"chart": {"spec": {"chart": "./chart"}}})).await?;
    let other = |object: &Value| {
        deployed(1)(object) && object["status"]["history"][0]["chartName"] == "web"
    };
    let object = t
        .admin()
        .until(&path, "the other is installed", other)
        .await?;
    same!(condition(&object, "Ready")["reason"], "InstallSucceeded");
    t.admin()
        .get(&format!("{}/web-text", world.configmaps))
        .await?
        .status(200)?;
    let workload = format!("{}/web-stuck", t.resource("apps/v1", "deployments").await?);
    t.admin().until_gone(&workload).await
}

async fn a_suspended_release_stands_still(t: &Context) -> Result<()> {
    let (world, releases) = helm(t).await?;
    let (path, _) = installed(t, &releases, &helm_release("./chart")).await?;
    change(
        t,
        &path,
        json!({"suspend": true, "values": {"text": "changed"}}),
    )
    .await?;
    mark(t, &path, &[], "in vain").await?;
    let handled = |object: &Value| object["status"]["lastHandledReconcileAt"] == "in vain";
    let object = t
        .admin()
        .until(&path, "the request is marked", handled)
        .await?;
    same!(condition(&object, "Ready")["status"], "True");
    same!(object["status"]["history"][0]["version"], 1);
    same!(text(t).await?, "from values");
    change(t, &path, json!({"suspend": false})).await?;
    t.admin().until(&path, "it goes on", deployed(2)).await?;
    same!(text(t).await?, "changed");
    // What is deleted while it is suspended leaves everything behind.
    change(t, &path, json!({"suspend": true})).await?;
    t.admin().delete(&path).await?.status(200)?;
    t.admin().until_gone(&path).await?;
    t.admin()
        .get(&format!("{}/web-text", world.configmaps))
        .await?
        .status(200)?;
    Ok(())
}

async fn drift_of_a_release_is_corrected_when_asked(t: &Context) -> Result<()> {
    let (_world, releases) = helm(t).await?;
    let (path, _) = installed(t, &releases, &helm_release("./chart")).await?;
    let map = format!("{}/web-text", t.configmaps().await?);
    let by_hand = json!({"data": {"text": "by hand"}});
    t.admin().patch(&map, MERGE, &by_hand).await?.status(200)?;
    mark(t, &path, &[], "one").await?;
    let handled = |object: &Value| {
        object["status"]["lastHandledReconcileAt"] == "one" && ready(object, "True")
    };
    t.admin()
        .until(&path, "the request is handled", handled)
        .await?;
    same!(text(t).await?, "by hand");
    change(t, &path, json!({"driftDetection": {"mode": "enabled"}})).await?;
    t.admin()
        .until(&map, "it is corrected", |map| {
            map["data"]["text"] == "from values"
        })
        .await?;
    let object = t
        .admin()
        .until(&path, "it is ready", |object| ready(object, "True"))
        .await?;
    same!(object["status"]["history"][0]["version"], 1);
    Ok(())
}

async fn values_come_from_elsewhere_too(t: &Context) -> Result<()> {
    let (_world, releases) = helm(t).await?;
    let mut body = helm_release("./chart");
    body["spec"]["values"] = json!({});
    body["spec"]["valuesFrom"] = json!([{"kind": "ConfigMap", "name": "values"}, {"kind": "Secret", "name": "none", "optional": true}]);
    t.create(&releases, &body).await?;
    let path = format!("{releases}/web");
    let told = |object: &Value| condition(object, "Ready")["reason"] == "ValuesError";
    let object = t.admin().until(&path, "it says so", told).await?;
    same!(
        condition(&object, "Ready")["message"],
        format!(
            "could not resolve ConfigMap chart values reference '{}/values' with key 'values.yaml': configmaps \"values\" not found",
            t.namespace().await?
        )
    );
    let values = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "values"}, "data": {"values.yaml": "text: from a map\n"}});
    t.create(&t.configmaps().await?, &values).await?;
    mark(t, &path, &[], "now").await?;
    t.admin()
        .until(&path, "it is installed", deployed(1))
        .await?;
    same!(text(t).await?, "from a map");
    Ok(())
}

async fn a_release_waits_for_its_dependency(t: &Context) -> Result<()> {
    let (_world, releases) = helm(t).await?;
    let mut body = helm_release("./chart");
    body["spec"]["dependsOn"] = json!([{"name": "first"}]);
    t.create(&releases, &body).await?;
    let path = format!("{releases}/web");
    let told = |object: &Value| condition(object, "Ready")["reason"] == "DependencyNotReady";
    let object = t.admin().until(&path, "it says so", told).await?;
    same!(
        condition(&object, "Ready")["message"],
        format!(
            "unable to get '{}/first' dependency: helmreleases.helm.toolkit.fluxcd.io \"first\" not found",
            t.namespace().await?
        )
    );
    let mut first = helm_release("./chart");
    first["metadata"]["name"] = json!("first");
    t.create(&releases, &first).await?;
    t.admin()
        .until(&path, "both are installed", deployed(1))
        .await?;
    Ok(())
}
