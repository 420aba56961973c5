//! Flux: from a directory to objects that are there and healthy, and failures that are told.

use std::path::Path;
use std::time::Duration;

use runbook_lab::kube::{FluxSettings, Settings};

use serde_json::{Value, json};

use crate::support::{Lab, condition, lab_with};

const SOURCES: &str = "/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories";
const KUSTOMIZATIONS: &str =
    "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations";
const RELEASES: &str = "/apis/helm.toolkit.fluxcd.io/v2/namespaces/flux-system/helmreleases";

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().expect("a file has a folder"))
        .expect("the folder is made");
    std::fs::write(path, text).expect("the file is written");
}

const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: main, image: 'registry.lab/web:1', envFrom: [{configMapRef: {name: settings}}]}
";

async fn lab(root: &Path) -> Lab {
    let flux = FluxSettings {
        root: root.join("book"),
        charts: root.join("charts"),
        ..FluxSettings::default()
    };
    let lab = lab_with(Settings {
        flux: Some(flux),
        ..Settings::default()
    })
    .await;
    for name in ["flux-system", "apps"] {
        lab.post(
            "/api/v1/namespaces",
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
        )
        .await
        .is(201);
    }
    let source = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": {"name": "book"},
        "spec": {"interval": "1h", "url": "https://git.lab/book.git", "ref": {"branch": "main"}},
    });
    lab.post(SOURCES, source).await.is(201);
    lab
}

fn kustomization(name: &str, spec: Value) -> Value {
    let mut out = json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": name},
        "spec": {"interval": "1h", "retryInterval": "1s", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "book"}},
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        out["spec"][key] = value.clone();
    }
    out
}

#[tokio::test]
async fn a_kustomization_applies_waits_and_prunes() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "book/apps/web.yaml", WEB);
    write(
        root.path(),
        "book/apps/extra.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\n",
    );
    write(
        root.path(),
        "book/apps/kustomization.yaml",
        "
resources: [web.yaml, extra.yaml]
namespace: apps
namePrefix: my-
labels: [{pairs: {team: lab}}]
images: [{name: registry.lab/web, newTag: '2'}]
configMapGenerator: [{name: settings, literals: [A=1, 'B=${WORD}']}]
patches: [{target: {kind: Deployment}, patch: '- {op: replace, path: /spec/replicas, value: 2}'}]
",
    );
    let lab = lab(root.path()).await;
    let source = lab
        .until(&format!("{SOURCES}/book"), |one| {
            condition(one, "Ready")["status"] == "True"
        })
        .await;
    let revision = source["status"]["artifact"]["revision"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(revision.starts_with("main@sha1:"), "{revision}");
    let spec =
        json!({"path": "./apps", "wait": true, "postBuild": {"substitute": {"WORD": "hello"}}});
    lab.post(KUSTOMIZATIONS, kustomization("apps", spec))
        .await
        .is(201);
    let path = format!("{KUSTOMIZATIONS}/apps");
    let ready = lab
        .until(&path, |one| condition(one, "Ready")["status"] == "True")
        .await;
    assert_eq!(
        condition(&ready, "Ready")["message"],
        format!("Applied revision: {revision}")
    );
    assert_eq!(ready["status"]["lastAppliedRevision"], revision);
    assert_eq!(
        ready["status"]["observedGeneration"],
        ready["metadata"]["generation"]
    );
    let web = lab
        .get("/apis/apps/v1/namespaces/apps/deployments/my-web")
        .await
        .is(200);
    assert_eq!(
        (
            web["spec"]["replicas"].as_i64(),
            web["status"]["availableReplicas"].as_i64()
        ),
        (Some(2), Some(2))
    );
    assert_eq!(
        web["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"],
        "apps"
    );
    assert_eq!(web["metadata"]["labels"]["team"], "lab");
    let container = &web["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "registry.lab/web:2");
    let settings = container["envFrom"][0]["configMapRef"]["name"]
        .as_str()
        .unwrap();
    let map = lab
        .get(&format!("/api/v1/namespaces/apps/configmaps/{settings}"))
        .await
        .is(200);
    assert_eq!(map["data"], json!({"A": "1", "B": "hello"}));
    // Drift is corrected, what left the directory is pruned, and the token is handled.
    lab.delete("/apis/apps/v1/namespaces/apps/deployments/my-web")
        .await
        .is(200);
    write(
        root.path(),
        "book/apps/kustomization.yaml",
        "resources: [web.yaml]\nnamespace: apps\nnamePrefix: my-\nconfigMapGenerator: [{name: settings, literals: [A=1]}]\n",
    );
    let token = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "now"}}});
    lab.patch(&format!("{SOURCES}/book"), "merge", token.clone())
        .await
        .is(200);
    lab.until(&format!("{SOURCES}/book"), |one| {
        one["status"]["lastHandledReconcileAt"] == "now"
    })
    .await;
    lab.patch(&path, "merge", token).await.is(200);
    let again = lab
        .until(&path, |one| {
            one["status"]["lastHandledReconcileAt"] == "now"
                && condition(one, "Ready")["status"] == "True"
        })
        .await;
    assert_ne!(again["status"]["lastAppliedRevision"], revision);
    lab.until_gone("/api/v1/namespaces/apps/configmaps/my-extra")
        .await;
    assert_eq!(
        lab.get("/apis/apps/v1/namespaces/apps/deployments/my-web")
            .await
            .status,
        200
    );
    lab.delete(&path).await.is(200);
    lab.until_gone(&path).await;
    lab.until_gone("/apis/apps/v1/namespaces/apps/deployments/my-web")
        .await;
}

#[tokio::test]
async fn what_does_not_work_is_not_ready() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        "book/bad/kustomization.yaml",
        "resources: []\nreplacements: []\n",
    );
    write(
        root.path(),
        "book/invalid/x.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Not_A_Name, namespace: apps}\n",
    );
    write(
        root.path(),
        "book/good/x.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: apps}\n",
    );
    let lab = lab(root.path()).await;
    let fails = [
        (
            "unknown-key",
            json!({"path": "./bad"}),
            "BuildFailed",
            "`replacements` of a kustomization is not known here",
        ),
        (
            "nowhere",
            json!({"path": "./nowhere"}),
            "ArtifactFailed",
            "kustomization path not found",
        ),
        (
            "invalid",
            json!({"path": "./invalid"}),
            "ReconciliationFailed",
            "metadata.name: Invalid value: \"Not_A_Name\"",
        ),
        (
            "waits",
            json!({"path": "./good", "dependsOn": [{"name": "nowhere"}]}),
            "DependencyNotReady",
            "dependency 'flux-system/nowhere' is not ready",
        ),
    ];
    for (name, spec, reason, text) in fails {
        lab.post(KUSTOMIZATIONS, kustomization(name, spec))
            .await
            .is(201);
        let own = lab
            .until(&format!("{KUSTOMIZATIONS}/{name}"), |one| {
                condition(one, "Ready")["status"] == "False"
            })
            .await;
        assert_eq!(condition(&own, "Ready")["reason"], reason, "{own}");
        let message = condition(&own, "Ready")["message"].as_str().unwrap();
        assert!(message.contains(text), "{message}");
        assert_ne!(
            own["status"]["observedGeneration"],
            own["metadata"]["generation"]
        );
    }
    // What has failed is tried again at its time, not at once and for ever.
    let nowhere = format!("{KUSTOMIZATIONS}/nowhere");
    let version = async || {
        let own = lab.get(&nowhere).await.is(200);
        own["metadata"]["resourceVersion"].clone()
    };
    let before = version().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(version().await, before);
    let mut still = kustomization("still", json!({"path": "./good", "suspend": true}));
    still["metadata"]["annotations"] = json!({"reconcile.fluxcd.io/requestedAt": "now"});
    lab.post(KUSTOMIZATIONS, still).await.is(201);
    let mut nope = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": {"name": "nope"},
        "spec": {"interval": "1h", "url": "https://git.lab/book.git", "ref": {"branch": "nope"}},
    });
    lab.post(SOURCES, nope.take()).await.is(201);
    let own = lab
        .until(&format!("{SOURCES}/nope"), |one| {
            condition(one, "Ready")["status"] == "False"
        })
        .await;
    assert_eq!(condition(&own, "Ready")["reason"], "GitOperationFailed");
    let still = lab.get(&format!("{KUSTOMIZATIONS}/still")).await.is(200);
    assert!(
        still["status"]["conditions"].is_null(),
        "what is suspended is not looked at: {still}"
    );
}

#[tokio::test]
async fn a_release_is_what_its_stand_in_says() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "book/x.yaml", "");
    write(
        root.path(),
        "charts/podinfo-6.1.0.yaml",
        &WEB.replace(", envFrom: [{configMapRef: {name: settings}}]", ""),
    );
    let lab = lab(root.path()).await;
    let release = |name: &str, version: &str| {
        json!({
            "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": name},
            "spec": {"interval": "1h", "targetNamespace": "apps", "chart": {"spec": {
                "chart": "podinfo", "version": version, "sourceRef": {"kind": "HelmRepository", "name": "charts"},
            }}},
        })
    };
    let charts = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository", "metadata": {"name": "charts"},
        "spec": {"interval": "1h", "url": "https://charts.lab"},
    });
    lab.post(
        &SOURCES.replace("gitrepositories", "helmrepositories"),
        charts,
    )
    .await
    .is(201);
    lab.post(RELEASES, release("good", "6.x")).await.is(201);
    let own = lab
        .until(&format!("{RELEASES}/good"), |one| {
            condition(one, "Ready")["status"] == "True"
        })
        .await;
    assert_eq!(condition(&own, "Ready")["reason"], "InstallSucceeded");
    assert_eq!(own["status"]["history"][0]["chartVersion"], "6.1.0");
    let web = lab
        .get("/apis/apps/v1/namespaces/apps/deployments/web")
        .await
        .is(200);
    assert_eq!(
        web["metadata"]["labels"]["app.kubernetes.io/managed-by"],
        "Helm"
    );
    lab.post(RELEASES, release("bad", "9.9.9")).await.is(201);
    let own = lab
        .until(&format!("{RELEASES}/bad"), |one| {
            let message = condition(one, "Ready")["message"]
                .as_str()
                .unwrap_or_default();
            condition(one, "Ready")["status"] == "False" && message.contains("is not ready: chart")
        })
        .await;
    assert!(
        condition(&own, "Ready")["message"]
            .as_str()
            .unwrap()
            .contains("chart not in the lab"),
        "{own}"
    );
}
