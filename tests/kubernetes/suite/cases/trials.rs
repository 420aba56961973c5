//! Flux: the tests of a HelmRelease, its hooks, and what its spec changes in what the chart gives.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::flux::{HELM, REQUESTED, World, ready};
use super::helm::deployed;
use super::workloads::condition;
use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;

cases![
    a_release_is_tested_when_asked for 300,
    a_test_that_fails_is_no_success for 300,
    a_test_that_fails_may_be_ignored for 300,
    a_test_that_is_filtered_out_is_not_run for 300,
    tests_that_are_not_asked_for_are_not_run for 300,
    a_hook_is_not_of_the_release for 300,
    a_release_is_changed_by_its_post_renderers for 300,
    other_post_renderers_are_an_upgrade for 300,
    a_namespace_is_made_when_asked for 300,
];

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: \"{{ .Release.Name }}-text\"\ndata:\n  text: \"{{ .Values.text }}\"\n";

/// A pod that is a test, and ends as its command does.
fn test(name: &str, command: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: \"{{{{ .Release.Name }}}}-{name}\"\n  annotations: {{helm.sh/hook: test}}\nspec:\n  restartPolicy: Never\n  containers: [{{name: main, image: registry.lab/test, command: [{command}]}}]\n"
    )
}

/// A world with the chart `tested` of these manifests; the collection of releases and a release of it.
async fn release(t: &Context, manifests: &str) -> Result<(World, String, Value)> {
    t.namespace_for_pods().await?;
    let world = World::new(t).await?;
    // One name for each case: a server that renders no charts finds its stand-in by it.
    let name = t.unique();
    let chart = format!("apiVersion: v2\nname: {name}\nversion: 0.1.0\n");
    let commit = world
        .repository
        .commit(&[
            ("chart/Chart.yaml", &chart),
            ("chart/values.yaml", "text: default\n"),
            ("chart/templates/all.yaml", manifests),
        ])
        .await?;
    if let Some(charts) = t.git().await?.charts {
        std::fs::write(charts.join(format!("{name}-0.1.0.yaml")), manifests)?;
    }
    world.fetch(t, &commit).await?;
    let releases = t.resource(HELM, "helmreleases").await?;
    let body = json!({
        "apiVersion": HELM, "kind": "HelmRelease", "metadata": {"name": "web"},
        "spec": {
            "interval": "10m", "timeout": "60s", "values": {"text": "from values"},
            "chart": {"spec": {
                "chart": "./chart", "interval": "10m", "sourceRef": {"kind": "GitRepository", "name": "source"},
            }},
        },
    });
    Ok((world, releases, body))
}

fn tested(status: &'static str) -> impl Fn(&Value) -> bool {
    move |object| {
        condition(object, "TestSuccess")["status"] == status
            && object["status"]["observedGeneration"] == object["metadata"]["generation"]
            && condition(object, "Reconciling").is_null()
    }
}

async fn a_release_is_tested_when_asked(t: &Context) -> Result<()> {
    let manifests = format!("{MAP}{}", test("good", "'true'"));
    let (_world, releases, mut body) = release(t, &manifests).await?;
    body["spec"]["test"] = json!({"enable": true});
    t.create(&releases, &body).await?;
    let path = format!("{releases}/web");
    let object = t
        .admin()
        .until(&path, "it is tested", tested("True"))
        .await?;
    let (namespace, chart) = (t.namespace().await?, t.unique());
    let message = format!(
        "Helm test succeeded for release {namespace}/web.v1 with chart {chart}@0.1.0: 1 test hook completed successfully"
    );
    for kind in ["TestSuccess", "Ready"] {
        same!(condition(&object, kind)["status"], "True");
        same!(condition(&object, kind)["reason"], "TestSucceeded");
        same!(condition(&object, kind)["message"], message);
    }
    let hook = &object["status"]["history"][0]["testHooks"]["web-good"];
    same!(hook["phase"], "Succeeded");
    ensure!(
        hook["lastStarted"].is_string() && hook["lastCompleted"].is_string(),
        "{hook}"
    );
    Ok(())
}

async fn a_test_that_fails_is_no_success(t: &Context) -> Result<()> {
    let manifests = format!("{MAP}{}", test("bad", "'false'"));
    let (_world, releases, mut body) = release(t, &manifests).await?;
    body["spec"]["test"] = json!({"enable": true, "timeout": "30s"});
    t.create(&releases, &body).await?;
    let path = format!("{releases}/web");
    let object = t
        .admin()
        .until(&path, "it has failed", tested("False"))
        .await?;
    let (namespace, chart) = (t.namespace().await?, t.unique());
    let start =
        format!("Helm test failed for release {namespace}/web.v1 with chart {chart}@0.1.0: ");
    for kind in ["TestSuccess", "Ready"] {
        same!(condition(&object, kind)["status"], "False");
        same!(condition(&object, kind)["reason"], "TestFailed");
        let text = condition(&object, kind)["message"]
            .as_str()
            .unwrap_or_default();
        ensure!(text.starts_with(&start), "{text}");
    }
    same!(condition(&object, "Released")["status"], "True");
    same!(condition(&object, "Stalled")["reason"], "RetriesExceeded");
    same!(
        condition(&object, "Stalled")["message"],
        "Failed to install after 1 attempt(s)"
    );
    same!(
        object["status"]["history"][0]["testHooks"]["web-bad"]["phase"],
        "Failed"
    );
    same!(object["status"]["installFailures"], 1);
    Ok(())
}

async fn a_test_that_fails_may_be_ignored(t: &Context) -> Result<()> {
    let manifests = format!("{MAP}{}", test("bad", "'false'"));
    let (_world, releases, mut body) = release(t, &manifests).await?;
    body["spec"]["test"] = json!({"enable": true, "ignoreFailures": true, "timeout": "30s"});
    t.create(&releases, &body).await?;
    let path = format!("{releases}/web");
    let object = t
        .admin()
        .until(&path, "it has failed", tested("False"))
        .await?;
    same!(condition(&object, "TestSuccess")["reason"], "TestFailed");
    same!(condition(&object, "Ready")["status"], "True");
    same!(condition(&object, "Ready")["reason"], "InstallSucceeded");
    Ok(())
}

async fn a_test_that_is_filtered_out_is_not_run(t: &Context) -> Result<()> {
    let manifests = format!("{MAP}{}{}", test("good", "'true'"), test("bad", "'false'"));
    let (_world, releases, mut body) = release(t, &manifests).await?;
    body["spec"]["test"] =
        json!({"enable": true, "filters": [{"name": "web-bad", "exclude": true}]});
    t.create(&releases, &body).await?;
    let path = format!("{releases}/web");
    let object = t
        .admin()
        .until(&path, "it is tested", tested("True"))
        .await?;
    let hooks = &object["status"]["history"][0]["testHooks"];
    same!(hooks["web-good"]["phase"], "Succeeded");
    ensure!(hooks["web-bad"].is_null(), "{hooks}");
    let pods = t.resource("v1", "pods").await?;
    t.admin()
        .get(&format!("{pods}/web-bad"))
        .await?
        .failure(404, "NotFound")?;
    Ok(())
}

async fn tests_that_are_not_asked_for_are_not_run(t: &Context) -> Result<()> {
    let manifests = format!("{MAP}{}", test("bad", "'false'"));
    let (_world, releases, body) = release(t, &manifests).await?;
    t.create(&releases, &body).await?;
    let path = format!("{releases}/web");
    let object = t
        .admin()
        .until(&path, "it is installed", deployed(1))
        .await?;
    same!(condition(&object, "Ready")["reason"], "InstallSucceeded");
    ensure!(condition(&object, "TestSuccess").is_null(), "{object}");
    let pods = t.resource("v1", "pods").await?;
    t.admin()
        .get(&format!("{pods}/web-bad"))
        .await?
        .failure(404, "NotFound")?;
    // Asked for later, it is made up for, without another release.
    let more = json!({"spec": {"test": {"enable": true}}, "metadata": {"annotations": {REQUESTED: "now"}}});
    t.admin().patch(&path, MERGE, &more).await?.status(200)?;
    let object = t
        .admin()
        .until(&path, "it has failed", tested("False"))
        .await?;
    same!(object["status"]["history"][0]["version"], 1);
    same!(condition(&object, "Ready")["status"], "False");
    Ok(())
}

async fn a_hook_is_not_of_the_release(t: &Context) -> Result<()> {
    let hook = "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hooked\n  annotations: {helm.sh/hook: pre-rollback}\n";
    let (_world, releases, body) = release(t, &format!("{MAP}{hook}")).await?;
    t.create(&releases, &body).await?;
    let path = format!("{releases}/web");
    let object = t
        .admin()
        .until(&path, "it is installed", deployed(1))
        .await?;
    let namespace = t.namespace().await?;
    same!(
        object["status"]["inventory"]["entries"],
        json!([{"id": format!("{namespace}_web-text__ConfigMap"), "v": "v1"}])
    );
    t.admin()
        .get(&format!("{}/hooked", t.configmaps().await?))
        .await?
        .failure(404, "NotFound")?;
    Ok(())
}

async fn a_release_is_changed_by_its_post_renderers(t: &Context) -> Result<()> {
    let web = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: main, image: 'registry.lab/web:1'}]}\n";
    let (_world, releases, mut body) = release(t, &format!("{MAP}{web}")).await?;
    body["spec"]["postRenderers"] = json!([
        {"kustomize": {"patches": [{"target": {"kind": "ConfigMap"}, "patch": "- {op: replace, path: /data/text, value: patched}"}]}},
        {"kustomize": {"images": [{"name": "registry.lab/web", "newTag": "2"}]}},
    ]);
    body["spec"]["commonMetadata"] =
        json!({"labels": {"team": "home"}, "annotations": {"note": "all"}});
    t.create(&releases, &body).await?;
    let path = format!("{releases}/web");
    let object = t
        .admin()
        .until(&path, "it is installed", deployed(1))
        .await?;
    ensure!(
        object["status"]["observedPostRenderersDigest"].is_string(),
        "{object}"
    );
    ensure!(
        object["status"]["observedCommonMetadataDigest"].is_string(),
        "{object}"
    );
    let map = t
        .admin()
        .get(&format!("{}/web-text", t.configmaps().await?))
        .await?
        .status(200)?;
    same!(map["data"]["text"], "patched");
    same!(map["metadata"]["labels"]["team"], "home");
    same!(map["metadata"]["annotations"]["note"], "all");
    let deployments = t.resource("apps/v1", "deployments").await?;
    let web = t
        .admin()
        .get(&format!("{deployments}/web"))
        .await?
        .status(200)?;
    same!(
        web["spec"]["template"]["spec"]["containers"][0]["image"],
        "registry.lab/web:2"
    );
    Ok(())
}

async fn other_post_renderers_are_an_upgrade(t: &Context) -> Result<()> {
    let (_world, releases, body) = release(t, MAP).await?;
    t.create(&releases, &body).await?;
    let path = format!("{releases}/web");
    t.admin()
        .until(&path, "it is installed", deployed(1))
        .await?;
    let more = json!({"spec": {"commonMetadata": {"labels": {"team": "home"}}}});
    t.admin().patch(&path, MERGE, &more).await?.status(200)?;
    t.admin()
        .until(&path, "it is upgraded", deployed(2))
        .await?;
    let map = t
        .admin()
        .get(&format!("{}/web-text", t.configmaps().await?))
        .await?
        .status(200)?;
    same!(map["metadata"]["labels"]["team"], "home");
    Ok(())
}

async fn a_namespace_is_made_when_asked(t: &Context) -> Result<()> {
    let (_world, releases, mut body) = release(t, MAP).await?;
    let target = format!("{}-target", t.unique());
    t.remove_later(format!("/api/v1/namespaces/{target}"));
    body["spec"]["targetNamespace"] = json!(target);
    body["spec"]["releaseName"] = json!("web");
    t.create(&releases, &body).await?;
    let path = format!("{releases}/web");
    let failed = |object: &Value| condition(object, "Ready")["reason"] == "InstallFailed";
    let object = t
        .admin()
        .until(&path, "there is no such namespace", failed)
        .await?;
    let text = condition(&object, "Ready")["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let expected = format!(
        ": server-side apply failed for object {target}/web-text /v1, Kind=ConfigMap: namespaces \"{target}\" not found"
    );
    ensure!(text.ends_with(&expected), "{text}");
    t.admin().delete(&path).await?.status(200)?;
    t.admin().until_gone(&path).await?;
    body["spec"]["install"] = json!({"createNamespace": true});
    t.create(&releases, &body).await?;
    t.admin()
        .until(&path, "it is installed", |object| ready(object, "True"))
        .await?;
    t.admin()
        .get(&format!("/api/v1/namespaces/{target}/configmaps/web-text"))
        .await?
        .status(200)?;
    Ok(())
}
