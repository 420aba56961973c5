//! Flux: what the references of a GitRepository lead to, and the words for those that lead nowhere.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::flux::{REQUESTED, SOURCE, World, manifest, ready};
use super::workloads::condition;
use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;

cases![
    references_lead_to_commits,
    references_that_lead_nowhere_are_told,
    a_reference_that_breaks_keeps_its_artifact,
    an_unchanged_source_keeps_its_artifact,
    a_suspended_source_stands_still,
    what_is_ignored_is_not_in_the_artifact,
];

fn source(name: &str, url: &str, reference: &Value) -> Value {
    json!({
        "apiVersion": SOURCE, "kind": "GitRepository", "metadata": {"name": name},
        "spec": {"interval": "10m", "timeout": "20s", "url": url, "ref": reference},
    })
}

fn mark(token: &str) -> Value {
    json!({"metadata": {"annotations": {REQUESTED: token}}})
}

async fn references_lead_to_commits(t: &Context) -> Result<()> {
    let world = World::new(t).await?;
    let first = world.commit.clone();
    world.repository.tag("v1.0.0", false).await?;
    let text = manifest(t.namespace().await?, "a", "2");
    let second = world.repository.commit(&[("app/a.yaml", &text)]).await?;
    world.repository.tag("v1.1.0", true).await?;
    let url = &world.repository.url;
    for (name, reference, revision) in [
        (
            "tag",
            json!({"tag": "v1.0.0"}),
            format!("v1.0.0@sha1:{first}"),
        ),
        (
            "annotated",
            json!({"tag": "v1.1.0"}),
            format!("v1.1.0@sha1:{second}"),
        ),
        ("commit", json!({"commit": first}), format!("sha1:{first}")),
        (
            "branch-commit",
            json!({"branch": "main", "commit": first}),
            format!("main@sha1:{first}"),
        ),
        (
            "semver",
            json!({"semver": ">=1.0.0 <2.0.0"}),
            format!("v1.1.0@sha1:{second}"),
        ),
        (
            "semver-x",
            json!({"semver": "1.0.x"}),
            format!("v1.0.0@sha1:{first}"),
        ),
        (
            "name",
            json!({"name": "refs/heads/main"}),
            format!("refs/heads/main@sha1:{second}"),
        ),
        (
            "tag-over-branch",
            json!({"branch": "main", "tag": "v1.0.0"}),
            format!("v1.0.0@sha1:{first}"),
        ),
    ] {
        t.create(&world.sources, &source(name, url, &reference))
            .await?;
        let path = format!("{}/{name}", world.sources);
        let found = t
            .admin()
            .until(&path, "it is ready", |one| ready(one, "True"))
            .await?;
        same!(found["status"]["artifact"]["revision"], revision);
        let commit = revision.rsplit(':').next().unwrap_or_default();
        let file = found["status"]["artifact"]["path"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        ensure!(
            file == format!(
                "gitrepository/{}/{name}/{commit}.tar.gz",
                t.namespace().await?
            ),
            "{file}"
        );
        let kinds: Vec<_> = found["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| one["type"].clone())
            .collect();
        same!(kinds, [json!("Ready"), json!("ArtifactInStorage")]);
        same!(
            condition(&found, "ArtifactInStorage")["message"],
            condition(&found, "Ready")["message"]
        );
    }
    Ok(())
}

async fn references_that_lead_nowhere_are_told(t: &Context) -> Result<()> {
    let world = World::new(t).await?;
    let url = &world.repository.url;
    let nowhere = "1".repeat(40);
    let missing = url.replace(".git", "-not-there.git");
    for (name, url, reference, text) in [
        (
            "branch",
            url,
            json!({"branch": "nowhere"}),
            format!("unable to clone '{url}': couldn't find remote ref \"refs/heads/nowhere\""),
        ),
        (
            "nothing",
            url,
            json!({}),
            format!("unable to clone '{url}': couldn't find remote ref \"refs/heads/master\""),
        ),
        (
            "tag",
            url,
            json!({"tag": "v9"}),
            format!("unable to clone '{url}': couldn't find remote ref \"refs/tags/v9\""),
        ),
        (
            "commit",
            url,
            json!({"branch": "main", "commit": nowhere}),
            format!("unable to resolve commit object for '{nowhere}': object not found"),
        ),
        (
            "semver",
            url,
            json!({"semver": ">=3.0.0"}),
            "no match found for semver: >=3.0.0".to_owned(),
        ),
        (
            "no-semver",
            url,
            json!({"semver": "x y"}),
            "semver parse error: improper constraint: \"x y\"".to_owned(),
        ),
        (
            "name",
            url,
            json!({"name": "refs/heads/x"}),
            "unable to resolve ref 'refs/heads/x' to a specific commit".to_owned(),
        ),
        (
            "url",
            &missing,
            json!({"branch": "main"}),
            format!("unable to clone '{missing}': repository not found: "),
        ),
    ] {
        t.create(&world.sources, &source(name, url, &reference))
            .await?;
        let path = format!("{}/{name}", world.sources);
        let told = |one: &Value| {
            ready(one, "False") && condition(one, "Reconciling")["reason"] == "ProgressingWithRetry"
        };
        let found = t.admin().until(&path, "it says so", told).await?;
        let expected = format!("failed to checkout and determine revision: {text}");
        same!(condition(&found, "Ready")["message"], expected);
        same!(condition(&found, "Ready")["reason"], "GitOperationFailed");
        same!(condition(&found, "FetchFailed")["message"], expected);
        same!(
            condition(&found, "Reconciling")["message"],
            "building artifact"
        );
        same!(found["status"]["observedGeneration"], -1);
        ensure!(found["status"]["artifact"].is_null(), "{found}");
    }
    Ok(())
}

async fn a_reference_that_breaks_keeps_its_artifact(t: &Context) -> Result<()> {
    let world = World::new(t).await?;
    let path = format!("{}/source", world.sources);
    let branch = |name: &str| json!({"spec": {"ref": {"branch": name}}});
    t.admin()
        .patch(&path, MERGE, &branch("gone"))
        .await?
        .status(200)?;
    let told = |one: &Value| {
        ready(one, "False") && condition(one, "Reconciling")["reason"] == "ProgressingWithRetry"
    };
    let broken = t.admin().until(&path, "it says so", told).await?;
    same!(
        condition(&broken, "Reconciling")["message"],
        "processing object: new generation 1 -> 2"
    );
    same!(condition(&broken, "ArtifactInStorage")["status"], "True");
    same!(broken["status"]["observedGeneration"], 1);
    same!(
        broken["status"]["artifact"]["revision"],
        format!("main@sha1:{}", world.commit)
    );
    t.admin()
        .patch(&path, MERGE, &branch("main"))
        .await?
        .status(200)?;
    let mended = t
        .admin()
        .until(&path, "it is ready again", |one| ready(one, "True"))
        .await?;
    ensure!(condition(&mended, "FetchFailed").is_null(), "{mended}");
    same!(mended["status"]["observedGeneration"], 3);
    Ok(())
}

async fn an_unchanged_source_keeps_its_artifact(t: &Context) -> Result<()> {
    let world = World::new(t).await?;
    let path = format!("{}/source", world.sources);
    let before = t.admin().get(&path).await?.status(200)?;
    t.admin()
        .patch(&path, MERGE, &mark("again"))
        .await?
        .status(200)?;
    let handled =
        |one: &Value| one["status"]["lastHandledReconcileAt"] == "again" && ready(one, "True");
    let after = t
        .admin()
        .until(&path, "the request is handled", handled)
        .await?;
    same!(after["status"]["artifact"], before["status"]["artifact"]);
    same!(
        condition(&after, "Ready")["lastTransitionTime"],
        condition(&before, "Ready")["lastTransitionTime"]
    );
    Ok(())
}

async fn a_suspended_source_stands_still(t: &Context) -> Result<()> {
    let world = World::new(t).await?;
    let path = format!("{}/source", world.sources);
    t.admin()
        .patch(&path, MERGE, &json!({"spec": {"suspend": true}}))
        .await?
        .status(200)?;
    let text = manifest(t.namespace().await?, "a", "2");
    let commit = world.repository.commit(&[("app/a.yaml", &text)]).await?;
    t.admin()
        .patch(&path, MERGE, &mark("in vain"))
        .await?
        .status(200)?;
    // The request counts as handled, and the generation as seen: neither says that anything was looked at.
    let handled = |one: &Value| {
        one["status"]["lastHandledReconcileAt"] == "in vain"
            && one["status"]["observedGeneration"] == 2
    };
    let still = t
        .admin()
        .until(&path, "the request is marked", handled)
        .await?;
    same!(
        still["status"]["artifact"]["revision"],
        format!("main@sha1:{}", world.commit)
    );
    same!(condition(&still, "Ready")["status"], "True");
    t.admin()
        .patch(&path, MERGE, &json!({"spec": {"suspend": false}}))
        .await?
        .status(200)?;
    let revision = format!("main@sha1:{commit}");
    t.admin()
        .until(&path, "it goes on", |one| {
            ready(one, "True") && one["status"]["artifact"]["revision"] == revision.as_str()
        })
        .await?;
    Ok(())
}

async fn what_is_ignored_is_not_in_the_artifact(t: &Context) -> Result<()> {
    let world = World::new(t).await?;
    let namespace = t.namespace().await?;
    world
        .repository
        .commit(&[
            ("app/draft/b.yaml", &manifest(namespace, "b", "1")),
            ("app/.sourceignore", "draft/\n"),
        ])
        .await?;
    let path = format!("{}/source", world.sources);
    t.admin()
        .patch(&path, MERGE, &mark("now"))
        .await?
        .status(200)?;
    let handled =
        |one: &Value| one["status"]["lastHandledReconcileAt"] == "now" && ready(one, "True");
    t.admin()
        .until(&path, "the commit is there", handled)
        .await?;
    let kustomization = super::flux::kustomization("app", "./app");
    t.create(&world.kustomizations, &kustomization).await?;
    let applied = t
        .admin()
        .until(&world.path(), "it is applied", |one| ready(one, "True"))
        .await?;
    same!(
        applied["status"]["inventory"]["entries"],
        json!([{"id": format!("{namespace}_a__ConfigMap"), "v": "v1"}])
    );
    Ok(())
}
