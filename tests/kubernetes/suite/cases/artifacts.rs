//! Flux: OCIRepositories, which artifact of a registry a reference leads to, and the words for those that lead nowhere.

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::flux::{HELM, KUSTOMIZE, REQUESTED, SOURCE, kustomization, manifest, ready};
use super::workloads::condition;
use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;
use crate::registry::{CONTENT, Registry, packed};

cases![
    references_lead_to_artifacts for 240,
    references_that_lead_nowhere_are_told for 240,
    a_url_with_a_tag_is_at_its_end for 240,
    a_kustomization_applies_an_artifact for 240,
    a_tag_that_moves_is_another_revision for 240,
    a_digest_stays_where_it_is for 240,
    a_layer_is_chosen_by_its_type for 240,
    a_layer_that_is_not_its_digest_is_refused for 240,
    a_layer_that_is_no_archive_is_refused for 240,
    what_is_ignored_is_not_in_the_artifact for 240,
    a_registry_asks_who_it_is for 240,
    a_signature_that_is_not_there_is_not_ready for 240,
    a_suspended_artifact_stands_still for 240,
    a_chart_of_a_registry_is_installed for 300,
];

const CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

async fn repositories(t: &Context) -> Result<String> {
    t.git().await?;
    t.resource(SOURCE, "ocirepositories").await
}

fn repository(name: &str, url: &str, reference: Value) -> Value {
    json!({
        "apiVersion": SOURCE, "kind": "OCIRepository", "metadata": {"name": name},
        "spec": {"interval": "10m", "timeout": "20s", "url": url, "insecure": true, "ref": reference},
    })
}

fn mark(token: &str) -> Value {
    json!({"metadata": {"annotations": {REQUESTED: token}}})
}

async fn until_ready(t: &Context, path: &str) -> Result<Value> {
    t.admin()
        .until(path, "it is ready", |one| ready(one, "True"))
        .await
}

/// The source once it says that it failed and will try again.
async fn until_told(t: &Context, path: &str) -> Result<Value> {
    let told = |one: &Value| {
        ready(one, "False") && condition(one, "Reconciling")["reason"] == "ProgressingWithRetry"
    };
    t.admin().until(path, "it says so", told).await
}

fn kinds(object: &Value) -> Vec<Value> {
    object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| one["type"].clone())
        .collect()
}

async fn references_lead_to_artifacts(t: &Context) -> Result<()> {
    let all = repositories(t).await?;
    let registry = Registry::start().await?;
    let push = |tag: &str| registry.push("team/app", tag, &[("a.yaml", tag)]);
    let (first, second) = (push("v1.0.0")?, push("v1.1.0")?);
    let (candidate, latest) = (push("2.0.0-rc.1")?, push("latest")?);
    let url = registry.url("team/app");
    for (name, reference, tag, digest) in [
        ("tag", json!({"tag": "v1.0.0"}), "v1.0.0", &first),
        ("nothing", Value::Null, "latest", &latest),
        (
            "semver",
            json!({"semver": ">=1.0.0 <2.0.0"}),
            "v1.1.0",
            &second,
        ),
        ("semver-x", json!({"semver": "1.0.x"}), "v1.0.0", &first),
        (
            "semver-over-tag",
            json!({"semver": "1.x", "tag": "latest"}),
            "v1.1.0",
            &second,
        ),
        (
            "candidate",
            json!({"semver": ">=1.0.0-0", "semverFilter": ".*-rc.*"}),
            "2.0.0-rc.1",
            &candidate,
        ),
        ("digest", json!({"digest": first}), "", &first),
        (
            "digest-over-tag",
            json!({"digest": first, "tag": "latest"}),
            "",
            &first,
        ),
    ] {
        let mut body = repository(name, &url, reference);
        if body["spec"]["ref"].is_null() {
            body["spec"]
                .as_object_mut()
                .map(|spec| spec.shift_remove("ref"));
        }
        t.create(&all, &body).await?;
        let found = until_ready(t, &format!("{all}/{name}")).await?;
        let revision = match tag {
            "" => digest.clone(),
            tag => format!("{tag}@{digest}"),
        };
        let artifact = &found["status"]["artifact"];
        same!(artifact["revision"], revision, "{name}");
        let file = format!(
            "ocirepository/{}/{name}/{digest}.tar.gz",
            t.namespace().await?
        );
        same!(artifact["path"], file);
        same!(
            artifact["metadata"]["org.opencontainers.image.source"],
            "https://git.lab/book"
        );
        same!(kinds(&found), [json!("Ready"), json!("ArtifactInStorage")]);
        same!(condition(&found, "Ready")["reason"], "Succeeded");
        let message = format!("stored artifact for digest '{revision}'");
        same!(condition(&found, "Ready")["message"], message);
        same!(condition(&found, "ArtifactInStorage")["message"], message);
        same!(found["status"]["observedGeneration"], 1);
    }
    Ok(())
}

async fn references_that_lead_nowhere_are_told(t: &Context) -> Result<()> {
    let all = repositories(t).await?;
    let registry = Registry::start().await?;
    registry.push("app", "v1.0.0", &[("a.yaml", "a")])?;
    let (host, url) = (registry.host(), registry.url("app"));
    let nowhere = format!("sha256:{}", "1".repeat(64));
    let pull = "OCIArtifactPullFailed";
    let read = "ReadOperationFailed";
    let missing = registry.url("other");
    for (name, url, reference, reason, message) in [
        (
            "tag",
            &url,
            json!({"tag": "v9"}),
            pull,
            format!(
                "failed to determine artifact digest: GET http://{host}/v2/app/manifests/v9: MANIFEST_UNKNOWN: manifest unknown"
            ),
        ),
        (
            "nothing",
            &url,
            json!({}),
            pull,
            format!(
                "failed to determine artifact digest: GET http://{host}/v2/app/manifests/latest: MANIFEST_UNKNOWN: manifest unknown"
            ),
        ),
        (
            "digest",
            &url,
            json!({"digest": nowhere}),
            pull,
            format!(
                "failed to pull artifact from '{url}': GET http://{host}/v2/app/manifests/{nowhere}: MANIFEST_UNKNOWN: manifest unknown"
            ),
        ),
        (
            "semver",
            &url,
            json!({"semver": ">=3.0.0"}),
            read,
            format!(
                "failed to determine the artifact tag for '{url}': no match found for semver: >=3.0.0"
            ),
        ),
        (
            "no-semver",
            &url,
            json!({"semver": "x y"}),
            read,
            format!(
                "failed to determine the artifact tag for '{url}': semver 'x y' parse error: improper constraint: \"x y\""
            ),
        ),
        (
            "name",
            &missing,
            json!({"tag": "v1.0.0"}),
            pull,
            format!(
                "failed to determine artifact digest: GET http://{host}/v2/other/manifests/v1.0.0: MANIFEST_UNKNOWN: manifest unknown"
            ),
        ),
    ] {
        t.create(&all, &repository(name, url, reference)).await?;
        let found = until_told(t, &format!("{all}/{name}")).await?;
        same!(condition(&found, "Ready")["message"], message, "{name}");
        same!(condition(&found, "Ready")["reason"], reason);
        same!(condition(&found, "FetchFailed")["message"], message);
        same!(found["status"]["observedGeneration"], -1);
        ensure!(found["status"]["artifact"].is_null(), "{found}");
    }
    Ok(())
}

async fn a_url_with_a_tag_is_at_its_end(t: &Context) -> Result<()> {
    let all = repositories(t).await?;
    let registry = Registry::start().await?;
    let url = format!("{}:v1", registry.url("app"));
    t.create(&all, &repository("app", &url, json!({"tag": "v1"})))
        .await?;
    let stalled = |one: &Value| {
        condition(one, "Stalled")["status"] == "True" && one["status"]["observedGeneration"] == 1
    };
    let found = t
        .admin()
        .until(&format!("{all}/app"), "it is at its end", stalled)
        .await?;
    let message = format!(
        "URL validation failed for '{url}': repository can only contain the characters `abcdefghijklmnopqrstuvwxyz0123456789_-./`: app:v1"
    );
    for kind in ["Stalled", "Ready", "FetchFailed"] {
        same!(condition(&found, kind)["reason"], "URLInvalid");
        same!(condition(&found, kind)["message"], message);
    }
    same!(condition(&found, "Ready")["status"], "False");
    ensure!(condition(&found, "Reconciling").is_null(), "{found}");
    Ok(())
}

/// A Kustomization of the OCIRepository `app`.
async fn consumer(t: &Context) -> Result<String> {
    let all = t.resource(KUSTOMIZE, "kustomizations").await?;
    let mut body = kustomization("app", "./");
    body["spec"]["sourceRef"] = json!({"kind": "OCIRepository", "name": "app"});
    t.create(&all, &body).await?;
    Ok(format!("{all}/app"))
}

async fn a_kustomization_applies_an_artifact(t: &Context) -> Result<()> {
    let all = repositories(t).await?;
    let registry = Registry::start().await?;
    let namespace = t.namespace().await?;
    let digest = registry.push(
        "app",
        "v1",
        &[("app/a.yaml", &manifest(namespace, "a", "1"))],
    )?;
    t.create(
        &all,
        &repository("app", &registry.url("app"), json!({"tag": "v1"})),
    )
    .await?;
    let applied = until_ready(t, &consumer(t).await?).await?;
    let revision = format!("v1@{digest}");
    same!(
        condition(&applied, "Ready")["message"],
        format!("Applied revision: {revision}")
    );
    same!(applied["status"]["lastAppliedRevision"], revision);
    same!(
        applied["status"]["inventory"]["entries"],
        json!([{"id": format!("{namespace}_a__ConfigMap"), "v": "v1"}])
    );
    same!(applied["status"]["lastAppliedOriginRevision"], "v1");
    let map = t
        .admin()
        .get(&format!("{}/a", t.configmaps().await?))
        .await?
        .status(200)?;
    same!(map["data"]["k"], "1");
    Ok(())
}

async fn a_tag_that_moves_is_another_revision(t: &Context) -> Result<()> {
    let all = repositories(t).await?;
    let registry = Registry::start().await?;
    let namespace = t.namespace().await?;
    let file = |value: &str| manifest(namespace, "a", value);
    registry.push("app", "v1", &[("a.yaml", &file("1"))])?;
    t.create(
        &all,
        &repository("app", &registry.url("app"), json!({"tag": "v1"})),
    )
    .await?;
    let path = format!("{all}/app");
    let consumer = consumer(t).await?;
    let before = until_ready(t, &path).await?;
    until_ready(t, &consumer).await?;
    let digest = registry.push("app", "v1", &[("a.yaml", &file("2"))])?;
    t.admin()
        .patch(&path, MERGE, &mark("now"))
        .await?
        .status(200)?;
    let revision = format!("v1@{digest}");
    let moved = |one: &Value| {
        ready(one, "True") && one["status"]["artifact"]["revision"] == revision.as_str()
    };
    let after = t.admin().until(&path, "it has moved", moved).await?;
    ensure!(
        after["status"]["artifact"]["digest"] != before["status"]["artifact"]["digest"],
        "{after}"
    );
    same!(after["status"]["lastHandledReconcileAt"], "now");
    let applied = |one: &Value| {
        ready(one, "True") && one["status"]["lastAppliedRevision"] == revision.as_str()
    };
    t.admin().until(&consumer, "it is applied", applied).await?;
    let map = t
        .admin()
        .get(&format!("{}/a", t.configmaps().await?))
        .await?
        .status(200)?;
    same!(map["data"]["k"], "2");
    Ok(())
}

async fn a_digest_stays_where_it_is(t: &Context) -> Result<()> {
    let all = repositories(t).await?;
    let registry = Registry::start().await?;
    let digest = registry.push("app", "v1", &[("a.yaml", "1")])?;
    t.create(
        &all,
        &repository("app", &registry.url("app"), json!({"digest": digest})),
    )
    .await?;
    let path = format!("{all}/app");
    let before = until_ready(t, &path).await?;
    registry.push("app", "v1", &[("a.yaml", "2")])?;
    t.admin()
        .patch(&path, MERGE, &mark("now"))
        .await?
        .status(200)?;
    let handled =
        |one: &Value| ready(one, "True") && one["status"]["lastHandledReconcileAt"] == "now";
    let after = t
        .admin()
        .until(&path, "the request is handled", handled)
        .await?;
    same!(after["status"]["artifact"], before["status"]["artifact"]);
    Ok(())
}

async fn a_layer_is_chosen_by_its_type(t: &Context) -> Result<()> {
    let all = repositories(t).await?;
    let registry = Registry::start().await?;
    let namespace = t.namespace().await?;
    let file = |value: &str| packed(&[("a.yaml", &manifest(namespace, "a", value))]);
    let layers = [
        (CONTENT, file("first")?),
        ("application/x-other.tar+gzip", file("second")?),
    ];
    registry.push_layers("app", "v1", &layers)?;
    let mut body = repository("app", &registry.url("app"), json!({"tag": "v1"}));
    body["spec"]["layerSelector"] =
        json!({"mediaType": "application/x-other.tar+gzip", "operation": "extract"});
    t.create(&all, &body).await?;
    let path = format!("{all}/app");
    let found = until_ready(t, &path).await?;
    same!(
        found["status"]["observedLayerSelector"],
        body["spec"]["layerSelector"]
    );
    until_ready(t, &consumer(t).await?).await?;
    let map = t
        .admin()
        .get(&format!("{}/a", t.configmaps().await?))
        .await?
        .status(200)?;
    same!(map["data"]["k"], "second");
    let other = json!({"spec": {"layerSelector": {"mediaType": "application/x-nowhere"}}});
    t.admin().patch(&path, MERGE, &other).await?.status(200)?;
    let told = until_told(t, &path).await?;
    same!(
        condition(&told, "Ready")["reason"],
        "OCIArtifactLayerOperationFailed"
    );
    same!(
        condition(&told, "Ready")["message"],
        "failed to find layer with media type 'application/x-nowhere' in artifact"
    );
    // What was stored stays stored.
    same!(told["status"]["artifact"], found["status"]["artifact"]);
    Ok(())
}

async fn a_layer_that_is_not_its_digest_is_refused(t: &Context) -> Result<()> {
    let all = repositories(t).await?;
    let registry = Registry::start().await?;
    let layer = packed(&[("a.yaml", "a")])?;
    registry.push_layers("app", "v1", &[(CONTENT, layer.clone())])?;
    registry.spoil(&layer);
    t.create(
        &all,
        &repository("app", &registry.url("app"), json!({"tag": "v1"})),
    )
    .await?;
    let told = until_told(t, &format!("{all}/app")).await?;
    same!(
        condition(&told, "Ready")["reason"],
        "OCIArtifactLayerOperationFailed"
    );
    let text = condition(&told, "Ready")["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    ensure!(
        text.starts_with("failed to extract layer contents from artifact: "),
        "{text}"
    );
    ensure!(told["status"]["artifact"].is_null(), "{told}");
    Ok(())
}

async fn a_layer_that_is_no_archive_is_refused(t: &Context) -> Result<()> {
    let all = repositories(t).await?;
    let registry = Registry::start().await?;
    registry.push_layers("app", "v1", &[(CONTENT, b"kind: ConfigMap\n".to_vec())])?;
    registry.push_layers("app", "v2", &[])?;
    for (tag, message) in [
        (
            "v1",
            "failed to extract layer contents from artifact: requires gzip-compressed body: gzip: invalid header",
        ),
        ("v2", "no layers found in artifact"),
    ] {
        t.create(
            &all,
            &repository(tag, &registry.url("app"), json!({"tag": tag})),
        )
        .await?;
        let told = until_told(t, &format!("{all}/{tag}")).await?;
        same!(
            condition(&told, "Ready")["reason"],
            "OCIArtifactLayerOperationFailed"
        );
        same!(condition(&told, "Ready")["message"], message);
    }
    Ok(())
}

async fn what_is_ignored_is_not_in_the_artifact(t: &Context) -> Result<()> {
    let all = repositories(t).await?;
    let registry = Registry::start().await?;
    let namespace = t.namespace().await?;
    let files = [
        ("a.yaml", manifest(namespace, "a", "1")),
        ("draft/b.yaml", manifest(namespace, "b", "1")),
    ];
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (*path, text.as_str()))
        .collect();
    registry.push("app", "v1", &files)?;
    t.create(
        &all,
        &repository("app", &registry.url("app"), json!({"tag": "v1"})),
    )
    .await?;
    let path = format!("{all}/app");
    let before = until_ready(t, &path).await?;
    let ignore = json!({"spec": {"ignore": "draft/\n"}});
    t.admin().patch(&path, MERGE, &ignore).await?.status(200)?;
    // The revision is the same, the content is not.
    let after = until_ready(t, &path).await?;
    same!(
        after["status"]["artifact"]["revision"],
        before["status"]["artifact"]["revision"]
    );
    ensure!(
        after["status"]["artifact"]["digest"] != before["status"]["artifact"]["digest"],
        "{after}"
    );
    same!(after["status"]["observedIgnore"], "draft/\n");
    let applied = until_ready(t, &consumer(t).await?).await?;
    same!(
        applied["status"]["inventory"]["entries"],
        json!([{"id": format!("{namespace}_a__ConfigMap"), "v": "v1"}])
    );
    Ok(())
}

async fn a_registry_asks_who_it_is(t: &Context) -> Result<()> {
    let all = repositories(t).await?;
    let registry = Registry::start().await?;
    let namespace = t.namespace().await?;
    registry.push("app", "v1", &[("a.yaml", "a")])?;
    registry.lock("reader", "secret");
    let url = registry.url("app");
    t.create(&all, &repository("nobody", &url, json!({"tag": "v1"})))
        .await?;
    let told = until_told(t, &format!("{all}/nobody")).await?;
    same!(condition(&told, "Ready")["reason"], "OCIArtifactPullFailed");
    let text = condition(&told, "Ready")["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    ensure!(
        text.contains("UNAUTHORIZED: authentication required"),
        "{text}"
    );

    let mut body = repository("somebody", &url, json!({"tag": "v1"}));
    body["spec"]["secretRef"] = json!({"name": "login"});
    t.create(&all, &body).await?;
    let path = format!("{all}/somebody");
    let told = until_told(t, &path).await?;
    same!(condition(&told, "Ready")["reason"], "AuthenticationFailed");
    same!(
        condition(&told, "Ready")["message"],
        format!(
            "failed to get credential: failed to get secret '{namespace}/login': secrets \"login\" not found"
        )
    );
    let config = json!({"auths": {registry.host(): {"username": "reader", "password": "secret"}}})
        .to_string();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": STANDARD.encode(config)},
    });
    t.create(&t.resource("v1", "secrets").await?, &secret)
        .await?;
    t.admin()
        .patch(&path, MERGE, &mark("now"))
        .await?
        .status(200)?;
    until_ready(t, &path).await?;
    Ok(())
}

async fn a_signature_that_is_not_there_is_not_ready(t: &Context) -> Result<()> {
    let all = repositories(t).await?;
    let registry = Registry::start().await?;
    registry.push("app", "v1", &[("a.yaml", "a")])?;
    let mut body = repository("app", &registry.url("app"), json!({"tag": "v1"}));
    body["spec"]["verify"] = json!({"provider": "cosign", "secretRef": {"name": "keys"}});
    t.create(&all, &body).await?;
    let told = until_told(t, &format!("{all}/app")).await?;
    same!(condition(&told, "Ready")["reason"], "VerificationError");
    let text = condition(&told, "Ready")["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    ensure!(
        text.starts_with("failed to verify the signature using provider 'cosign': "),
        "{text}"
    );
    same!(condition(&told, "SourceVerified")["status"], "False");
    ensure!(told["status"]["artifact"].is_null(), "{told}");
    Ok(())
}

async fn a_suspended_artifact_stands_still(t: &Context) -> Result<()> {
    let all = repositories(t).await?;
    let registry = Registry::start().await?;
    registry.push("app", "v1", &[("a.yaml", "1")])?;
    t.create(
        &all,
        &repository("app", &registry.url("app"), json!({"tag": "v1"})),
    )
    .await?;
    let path = format!("{all}/app");
    let before = until_ready(t, &path).await?;
    let suspend = |on: bool| json!({"spec": {"suspend": on}});
    t.admin()
        .patch(&path, MERGE, &suspend(true))
        .await?
        .status(200)?;
    let digest = registry.push("app", "v1", &[("a.yaml", "2")])?;
    t.admin()
        .patch(&path, MERGE, &mark("in vain"))
        .await?
        .status(200)?;
    let handled = |one: &Value| {
        one["status"]["lastHandledReconcileAt"] == "in vain"
            && one["status"]["observedGeneration"] == 2
    };
    let still = t
        .admin()
        .until(&path, "the request is marked", handled)
        .await?;
    same!(still["status"]["artifact"], before["status"]["artifact"]);
    t.admin()
        .patch(&path, MERGE, &suspend(false))
        .await?
        .status(200)?;
    let revision = format!("v1@{digest}");
    let moved = |one: &Value| {
        ready(one, "True") && one["status"]["artifact"]["revision"] == revision.as_str()
    };
    t.admin().until(&path, "it goes on", moved).await?;
    Ok(())
}

async fn a_chart_of_a_registry_is_installed(t: &Context) -> Result<()> {
    let all = repositories(t).await?;
    let registry = Registry::start().await?;
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: \"{{ .Release.Name }}-text\"\ndata:\n  text: \"{{ .Values.text }}\"\n";
    let chart = packed(&[
        (
            "pulled/Chart.yaml",
            "apiVersion: v2\nname: pulled\nversion: 0.3.0\nappVersion: '1.2'\n",
        ),
        ("pulled/values.yaml", "text: default\n"),
        ("pulled/templates/all.yaml", map),
    ])?;
    if let Some(charts) = t.git().await?.charts {
        std::fs::write(charts.join("pulled-0.3.0.yaml"), map)?;
    }
    let digest = registry.push_layers("charts/pulled", "0.3.0", &[(CHART, chart)])?;
    let mut body = repository(
        "app",
        &registry.url("charts/pulled"),
        json!({"semver": "0.x"}),
    );
    body["spec"]["layerSelector"] = json!({"mediaType": CHART, "operation": "copy"});
    t.create(&all, &body).await?;
    until_ready(t, &format!("{all}/app")).await?;
    let releases = t.resource(HELM, "helmreleases").await?;
    let release = json!({
        "apiVersion": HELM, "kind": "HelmRelease", "metadata": {"name": "web"},
        "spec": {"interval": "10m", "timeout": "60s", "values": {"text": "pulled"}, "chartRef": {"kind": "OCIRepository", "name": "app"}},
    });
    t.create(&releases, &release).await?;
    let installed = until_ready(t, &format!("{releases}/web")).await?;
    let short: String = digest
        .trim_start_matches("sha256:")
        .chars()
        .take(12)
        .collect();
    let version = format!("0.3.0+{short}");
    same!(installed["status"]["lastAttemptedRevision"], version);
    same!(installed["status"]["lastAttemptedRevisionDigest"], digest);
    let last = &installed["status"]["history"][0];
    same!(last["chartName"], "pulled");
    same!(last["chartVersion"], version);
    same!(last["ociDigest"], digest);
    let map = t
        .admin()
        .get(&format!("{}/web-text", t.configmaps().await?))
        .await?
        .status(200)?;
    same!(map["data"]["text"], "pulled");
    Ok(())
}
