//! Flux: sources, Kustomizations, HelmReleases; what their status says, and when.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::workloads::condition;
use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;
use crate::repository::Repository;

cases![
    its_kinds_are_served,
    a_git_repository_becomes_ready,
    a_branch_that_is_missing_is_not_ready,
    a_kustomization_applies_and_lists_what_it_made,
    a_path_that_is_missing_fails,
    a_manifest_that_is_refused_fails,
    a_source_that_is_missing_is_waited_for,
    required_fields_are_422,
];

pub(super) const SOURCE: &str = "source.toolkit.fluxcd.io/v1";

pub(super) const KUSTOMIZE: &str = "kustomize.toolkit.fluxcd.io/v1";

pub(super) const HELM: &str = "helm.toolkit.fluxcd.io/v2";

pub(super) const REQUESTED: &str = "reconcile.fluxcd.io/requestedAt";

/// Ready as a client may read it: of this generation. A controller writes the condition a moment before the end of its work, and only then the
/// status' own generation, which is -1 before the first; of a failure it may stay behind.
pub(super) fn ready(object: &Value, status: &str) -> bool {
    let generation = &object["metadata"]["generation"];
    condition(object, "Ready")["status"] == status
        && condition(object, "Ready")["observedGeneration"] == *generation
        && (status != "True" || object["status"]["observedGeneration"] == *generation)
}

pub(super) fn manifest(namespace: &str, name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\ndata: {{k: '{value}'}}\n"
    )
}

/// A repository with one ConfigMap `a` under `app/`, its GitRepository `source` and the collections.
pub(super) struct World {
    pub(super) repository: Repository,
    pub(super) commit: String,
    pub(super) sources: String,
    pub(super) kustomizations: String,
    pub(super) configmaps: String,
}

impl World {
    pub(super) async fn new(t: &Context) -> Result<Self> {
        let repository = Repository::new(&t.git().await?, t.unique()).await?;
        let commit = repository
            .commit(&[("app/a.yaml", &manifest(t.namespace().await?, "a", "1"))])
            .await?;
        let sources = t.resource(SOURCE, "gitrepositories").await?;
        t.create(&sources, &git_repository("source", &repository.url, "main"))
            .await?;
        t.admin()
            .until(
                &format!("{sources}/source"),
                "the source is ready",
                |source| ready(source, "True"),
            )
            .await?;
        Ok(Self {
            repository,
            commit,
            sources,
            kustomizations: t.resource(KUSTOMIZE, "kustomizations").await?,
            configmaps: t.configmaps().await?,
        })
    }

    /// A Kustomization that has applied the repository.
    pub(super) async fn applied(t: &Context) -> Result<(Self, Value)> {
        let world = Self::new(t).await?;
        t.create(&world.kustomizations, &kustomization("app", "./app"))
            .await?;
        let object = t
            .admin()
            .until(&world.path(), "it is applied", |object| {
                ready(object, "True")
            })
            .await?;
        Ok((world, object))
    }

    pub(super) fn path(&self) -> String {
        format!("{}/app", self.kustomizations)
    }

    /// Asks the source to look again, until it has this commit.
    pub(super) async fn fetch(&self, t: &Context, commit: &str) -> Result<()> {
        let revision = format!("main@sha1:{commit}");
        let mark = json!({"metadata": {"annotations": {REQUESTED: commit}}});
        let source = format!("{}/source", self.sources);
        t.admin().patch(&source, MERGE, &mark).await?.status(200)?;
        t.admin()
            .until(&source, "the source has the commit", |source| {
                source["status"]["artifact"]["revision"] == revision.as_str()
            })
            .await?;
        Ok(())
    }

    /// Asks the source and then the Kustomization to look again, and waits until this revision is applied.
    pub(super) async fn reconcile(&self, t: &Context, commit: &str) -> Result<Value> {
        let revision = format!("main@sha1:{commit}");
        let token = format!("{}-{commit}", t.unique());
        let mark = json!({"metadata": {"annotations": {REQUESTED: token}}});
        let source = format!("{}/source", self.sources);
        t.admin().patch(&source, MERGE, &mark).await?.status(200)?;
        t.admin()
            .until(&source, "the source has the commit", |source| {
                source["status"]["artifact"]["revision"] == revision.as_str()
            })
            .await?;
        t.admin()
            .patch(&self.path(), MERGE, &mark)
            .await?
            .status(200)?;
        let done = |object: &Value| {
            object["status"]["lastHandledReconcileAt"] == token.as_str()
                && object["status"]["lastAppliedRevision"] == revision.as_str()
                && ready(object, "True")
        };
        t.admin()
            .until(&self.path(), "the request is handled", done)
            .await
    }
}

fn git_repository(name: &str, url: &str, branch: &str) -> Value {
    json!({
        "apiVersion": SOURCE, "kind": "GitRepository", "metadata": {"name": name},
        "spec": {"interval": "10m", "timeout": "20s", "url": url, "ref": {"branch": branch}},
    })
}

pub(super) fn kustomization(name: &str, path: &str) -> Value {
    json!({
        "apiVersion": KUSTOMIZE, "kind": "Kustomization", "metadata": {"name": name},
        "spec": {
            "interval": "10m", "retryInterval": "5s", "timeout": "30s", "prune": true, "wait": true, "path": path,
            "sourceRef": {"kind": "GitRepository", "name": "source"},
        },
    })
}

async fn its_kinds_are_served(t: &Context) -> Result<()> {
    t.git().await?;
    for (api, plurals) in [
        (
            SOURCE,
            &[
                "gitrepositories",
                "helmrepositories",
                "helmcharts",
                "ocirepositories",
            ][..],
        ),
        (KUSTOMIZE, &["kustomizations"]),
        (HELM, &["helmreleases"]),
    ] {
        let list = t.admin().get(&format!("/apis/{api}")).await?.status(200)?;
        for plural in plurals {
            let served = list["resources"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|entry| entry["name"] == *plural);
            ensure!(served, "{api} does not serve {plural}");
        }
    }
    Ok(())
}

async fn a_git_repository_becomes_ready(t: &Context) -> Result<()> {
    let world = World::new(t).await?;
    let source = t
        .admin()
        .get(&format!("{}/source", world.sources))
        .await?
        .status(200)?;
    same!(
        source["status"]["observedGeneration"],
        source["metadata"]["generation"]
    );
    let condition = condition(&source, "Ready");
    same!(condition["reason"], "Succeeded");
    let revision = format!("main@sha1:{}", world.commit);
    same!(
        condition["message"],
        format!("stored artifact for revision '{revision}'")
    );
    let artifact = &source["status"]["artifact"];
    same!(artifact["revision"], revision);
    ensure!(
        artifact["digest"]
            .as_str()
            .is_some_and(|digest| digest.starts_with("sha256:")),
        "{artifact}"
    );
    ensure!(
        artifact["url"].is_string() && artifact["lastUpdateTime"].is_string(),
        "{artifact}"
    );
    same!(
        source["metadata"]["finalizers"],
        json!(["finalizers.fluxcd.io"])
    );
    Ok(())
}

async fn a_branch_that_is_missing_is_not_ready(t: &Context) -> Result<()> {
    let repository = Repository::new(&t.git().await?, t.unique()).await?;
    repository
        .commit(&[("a.yaml", &manifest("default", "a", "1"))])
        .await?;
    let sources = t.resource(SOURCE, "gitrepositories").await?;
    t.create(
        &sources,
        &git_repository("source", &repository.url, "nowhere"),
    )
    .await?;
    let failed = t
        .admin()
        .until(&format!("{sources}/source"), "it says so", |source| {
            ready(source, "False")
        })
        .await?;
    same!(condition(&failed, "Ready")["reason"], "GitOperationFailed");
    same!(condition(&failed, "FetchFailed")["status"], "True");
    ensure!(failed["status"]["artifact"].is_null(), "{failed}");
    Ok(())
}

async fn a_kustomization_applies_and_lists_what_it_made(t: &Context) -> Result<()> {
    let (world, object) = World::applied(t).await?;
    let revision = format!("main@sha1:{}", world.commit);
    let status = &object["status"];
    same!(status["observedGeneration"], 1);
    same!(status["lastAppliedRevision"], revision);
    same!(status["lastAttemptedRevision"], revision);
    let condition_ready = condition(&object, "Ready");
    same!(condition_ready["reason"], "ReconciliationSucceeded");
    same!(
        condition_ready["message"],
        format!("Applied revision: {revision}")
    );
    same!(condition(&object, "Healthy")["status"], "True");
    ensure!(condition(&object, "Reconciling").is_null(), "{status}");
    let namespace = t.namespace().await?;
    same!(
        status["inventory"]["entries"],
        json!([{"id": format!("{namespace}_a__ConfigMap"), "v": "v1"}])
    );
    let made = t
        .admin()
        .get(&format!("{}/a", world.configmaps))
        .await?
        .status(200)?;
    let labels = &made["metadata"]["labels"];
    same!(labels["kustomize.toolkit.fluxcd.io/name"], "app");
    same!(labels["kustomize.toolkit.fluxcd.io/namespace"], namespace);
    let managers = made["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    same!(managers[0]["manager"], "kustomize-controller");
    same!(managers[0]["operation"], "Apply");
    Ok(())
}

async fn a_path_that_is_missing_fails(t: &Context) -> Result<()> {
    let world = World::new(t).await?;
    t.create(&world.kustomizations, &kustomization("app", "./nowhere"))
        .await?;
    let failed = t
        .admin()
        .until(&world.path(), "it says so", |object| {
            condition(object, "Ready")["status"] == "False"
        })
        .await?;
    same!(condition(&failed, "Ready")["reason"], "ArtifactFailed");
    let message = condition(&failed, "Ready")["message"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        message.contains("kustomization path not found"),
        "{message}"
    );
    ensure!(
        failed["status"]["lastAppliedRevision"].is_null(),
        "{failed}"
    );
    Ok(())
}

async fn a_manifest_that_is_refused_fails(t: &Context) -> Result<()> {
    let world = World::new(t).await?;
    let bad = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: Not_A_Name, namespace: {}}}\n",
        t.namespace().await?
    );
    world
        .repository
        .commit(&[
            ("bad/bad.yaml", &bad),
            (
                "bad/good.yaml",
                &manifest(t.namespace().await?, "good", "1"),
            ),
        ])
        .await?;
    let mark = json!({"metadata": {"annotations": {REQUESTED: "now"}}});
    t.admin()
        .patch(&format!("{}/source", world.sources), MERGE, &mark)
        .await?
        .status(200)?;
    t.create(&world.kustomizations, &kustomization("app", "./bad"))
        .await?;
    let failed = |object: &Value| condition(object, "Ready")["reason"] == "ReconciliationFailed";
    let object = t.admin().until(&world.path(), "it says so", failed).await?;
    same!(condition(&object, "Ready")["status"], "False");
    // What else is in the commit is not applied either: everything is tried dry first.
    t.admin()
        .get(&format!("{}/good", world.configmaps))
        .await?
        .failure(404, "NotFound")?;
    Ok(())
}

async fn a_source_that_is_missing_is_waited_for(t: &Context) -> Result<()> {
    t.git().await?;
    let kustomizations = t.resource(KUSTOMIZE, "kustomizations").await?;
    t.create(&kustomizations, &kustomization("app", "./app"))
        .await?;
    let waits = |object: &Value| condition(object, "Ready")["status"] == "False";
    let object = t
        .admin()
        .until(&format!("{kustomizations}/app"), "it says so", waits)
        .await?;
    same!(condition(&object, "Ready")["reason"], "ArtifactFailed");
    let message = condition(&object, "Ready")["message"]
        .as_str()
        .unwrap_or_default();
    ensure!(message.contains("not found"), "{message}");
    Ok(())
}

async fn required_fields_are_422(t: &Context) -> Result<()> {
    t.git().await?;
    let body = json!({"apiVersion": KUSTOMIZE, "kind": "Kustomization", "metadata": {"name": "app"}, "spec": {"path": "./app"}});
    let status = t
        .admin()
        .post(&t.resource(KUSTOMIZE, "kustomizations").await?, &body)
        .await?
        .failure(422, "Invalid")?;
    let causes = status["details"]["causes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let mut fields: Vec<_> = causes
        .iter()
        .filter_map(|cause| cause["field"].as_str())
        .collect();
    fields.sort_unstable();
    for field in ["spec.interval", "spec.prune", "spec.sourceRef"] {
        ensure!(fields.contains(&field), "{field} is not named: {fields:?}");
    }
    Ok(())
}
