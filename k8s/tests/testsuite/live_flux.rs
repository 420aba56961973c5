//! Flux where its controllers run, or the lab's, and a place for git repositories is beside them: `env` beside the kubeconfig names it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use runbook_k8s::{Error, flux};

use crate::live::{Place, kubeconfig, skip};

const LIMIT: Duration = Duration::from_secs(120);

/// A repository that the cluster's Flux can read, and a checkout of it.
struct Repository {
    url: String,
    checkout: tempfile::TempDir,
    /// Where files stand in for charts, on a cluster that renders none.
    charts: Option<PathBuf>,
}

impl Repository {
    fn new(kubeconfig: &Path, name: &str) -> Option<Self> {
        let text = std::fs::read_to_string(kubeconfig.parent()?.join("env")).ok()?;
        let value = |key: &str| {
            text.lines().find_map(|line| {
                line.strip_prefix(key)?
                    .strip_prefix('=')
                    .map(|value| value.trim_matches(['"', '\'']).to_owned())
            })
        };
        let (root, url) = (value("GIT_ROOT")?, value("GIT_URL")?);
        let bare = PathBuf::from(root).join(format!("{name}.git"));
        git(
            Path::new("/"),
            &["init", "-q", "--bare", "-b", "main", bare.to_str()?],
        );
        let checkout = tempfile::tempdir().ok()?;
        git(checkout.path(), &["init", "-q", "-b", "main", "."]);
        git(
            checkout.path(),
            &["remote", "add", "origin", bare.to_str()?],
        );
        Some(Self {
            url: format!("{url}/{name}.git"),
            checkout,
            charts: value("CHARTS").map(PathBuf::from),
        })
    }

    /// Commits a file and gives the revision as Flux writes it.
    fn commit(&self, file: &str, text: &str) -> String {
        let path = self.checkout.path().join(file);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        std::fs::write(path, text).expect("written");
        git(self.checkout.path(), &["add", "-A"]);
        git(
            self.checkout.path(),
            &[
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.com",
                "commit",
                "-q",
                "-m",
                "a change",
            ],
        );
        git(self.checkout.path(), &["push", "-q", "origin", "main"]);
        format!(
            "main@sha1:{}",
            git(self.checkout.path(), &["rev-parse", "HEAD"]).trim()
        )
    }
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("git runs");
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn a_commit_is_reconciled_suspended_resumed_and_a_bad_one_told() {
    let path = kubeconfig();
    let place = Place::new().await;
    if let Err(error) = flux::all(&place.client, "flux-system").await {
        assert!(matches!(error, Error::NoSuchKind { .. }), "{error:?}");
        skip("Flux is not installed there");
        return place.end().await;
    }
    let Some(repository) = Repository::new(&path, &place.namespace) else {
        skip("no git server is beside the kubeconfig");
        return place.end().await;
    };
    let namespace = place.namespace.clone();
    let map = |value: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: from-git, namespace: {namespace}}}\ndata: {{value: \"{value}\"}}\n"
        )
    };
    let first = repository.commit("apps/map.yaml", &map("one"));
    let text = format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: home}}\nspec: {{interval: 10m, url: \"{}\", ref: {{branch: main}}}}\n---\n\
         apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: apps}}\nspec: {{interval: 10m, path: ./apps, prune: true, wait: true, timeout: 1m, sourceRef: {{kind: GitRepository, name: home}}}}\n",
        repository.url
    );
    let apps = flux::object(&place.client, "Kustomization/apps", &namespace)
        .await
        .expect("a kind of Flux");
    // It is waited for before it is there, as that of a cluster that is only being bootstrapped.
    let error = flux::ready(
        &place.client,
        std::slice::from_ref(&apps),
        Duration::from_millis(300),
    )
    .await
    .expect_err("it is not there");
    assert!(
        matches!(&error, Error::Deadline { pending, .. } if pending[0].standing.state == "NotFound"),
        "{error:?}"
    );
    let (applied, found) = tokio::join!(
        place.apply(&text),
        flux::ready(&place.client, std::slice::from_ref(&apps), LIMIT)
    );
    applied.expect("ready");
    assert_eq!(found.expect("ready").len(), 1);
    let all = flux::all(&place.client, &namespace).await.expect("listed");
    assert_eq!(all.len(), 2);
    let found = flux::ready(&place.client, &all, LIMIT)
        .await
        .expect("ready");
    let revisions: Vec<_> = found
        .iter()
        .filter_map(|object| flux::read(object).revision)
        .collect();
    assert_eq!(revisions, [first.clone(), first]);

    let second = repository.commit("apps/map.yaml", &map("two"));
    let request = flux::Request {
        with_source: true,
        ..flux::Request::default()
    };
    let object = flux::reconcile(&place.client, &apps, request, LIMIT)
        .await
        .expect("reconciled");
    assert_eq!(flux::read(&object).revision, Some(second));
    assert_eq!(
        place
            .client
            .get(&place.query("cm", "from-git"))
            .await
            .expect("there")["data"]["value"],
        "two"
    );

    let (object, changed) = flux::suspend(&place.client, &apps, true)
        .await
        .expect("suspended");
    assert!(changed && flux::read(&object).suspended && !flux::read(&object).ready);
    assert!(
        !flux::suspend(&place.client, &apps, true)
            .await
            .expect("suspended")
            .1
    );
    for error in [
        flux::ready(&place.client, std::slice::from_ref(&apps), LIMIT)
            .await
            .expect_err("suspended"),
        flux::reconcile(&place.client, &apps, request, LIMIT)
            .await
            .expect_err("suspended"),
    ] {
        assert!(
            matches!(&error, Error::Failed(evidence) if evidence[0].standing.state == "Suspended"),
            "{error:?}"
        );
    }
    assert!(
        flux::suspend(&place.client, &apps, false)
            .await
            .expect("resumed")
            .1
    );
    flux::ready(&place.client, std::slice::from_ref(&apps), LIMIT)
        .await
        .expect("ready");

    repository.commit(
        "apps/map.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from-git}\ndta: [\n",
    );
    let error = flux::reconcile(&place.client, &apps, request, Duration::from_secs(20))
        .await
        .expect_err("a bad commit");
    let Error::Deadline { pending, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(
        pending[0]
            .standing
            .condition
            .as_ref()
            .is_some_and(|condition| condition.starts_with("Ready=False (BuildFailed)")),
        "{error}"
    );
    // What Flux has applied goes with it: a namespace cannot end before.
    let query = runbook_k8s::change::absent(
        &place.client,
        &[apps],
        runbook_k8s::change::Propagation::Foreground,
        LIMIT,
    )
    .await;
    query.expect("gone");
    place.end().await;
}

/// A chart whose Deployment has its image only when a value says so.
const CHART: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: \"{{ .Release.Name }}-web\"}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
      annotations: {lab/image-pull: \"{{ .Values.pull }}\"}
    spec: {containers: [{name: main, image: registry.lab/web, command: [sleep, infinity]}]}
";

#[tokio::test]
async fn a_release_is_forced_reset_suspended_and_resumed() {
    let path = kubeconfig();
    let place = Place::new().await;
    let namespace = place.namespace.clone();
    if let Err(error) = flux::object(&place.client, "hr/web", &namespace).await {
        assert!(matches!(error, Error::NoSuchKind { .. }), "{error:?}");
        skip("Flux is not installed there");
        return place.end().await;
    }
    let Some(repository) = Repository::new(&path, &namespace) else {
        skip("no git server is beside the kubeconfig");
        return place.end().await;
    };
    let chart = format!("{namespace}-web");
    let meta = format!("apiVersion: v2\nname: {chart}\nversion: 0.1.0\n");
    repository.commit("chart/Chart.yaml", &meta);
    repository.commit("chart/values.yaml", "pull: works\n");
    repository.commit("chart/templates/all.yaml", CHART);
    if let Some(charts) = &repository.charts {
        std::fs::write(charts.join(format!("{chart}-0.1.0.yaml")), CHART).expect("written");
    }
    let release = |pull: &str, timeout: &str| {
        format!(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: home}}\nspec: {{interval: 10m, url: \"{}\", ref: {{branch: main}}}}\n---\n\
             apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: web}}\nspec: {{interval: 10m, timeout: {timeout}, values: {{pull: {pull}}}, chart: {{spec: {{chart: ./chart, sourceRef: {{kind: GitRepository, name: home}}}}}}}}\n",
            repository.url
        )
    };
    place.apply(&release("works", "1m")).await.expect("ready");
    let web = flux::object(&place.client, "HelmRelease/web", &namespace)
        .await
        .expect("a kind of Flux");
    let number = |object: &serde_json::Value| object["status"]["history"][0]["version"].clone();
    let asked = |force, reset| flux::Request {
        with_source: true,
        force,
        reset,
    };
    let object = flux::reconcile(&place.client, &web, asked(false, false), LIMIT)
        .await
        .expect("reconciled");
    assert_eq!(number(&object), 1, "there was nothing to do");
    assert_eq!(flux::read(&object).revision.as_deref(), Some("0.1.0"));
    let object = flux::reconcile(&place.client, &web, asked(true, false), LIMIT)
        .await
        .expect("upgraded");
    assert_eq!(number(&object), 2, "it was upgraded whatever its state");

    let (object, changed) = flux::suspend(&place.client, &web, true)
        .await
        .expect("suspended");
    assert!(changed && flux::read(&object).suspended && !flux::read(&object).ready);
    let error = flux::reconcile(&place.client, &web, asked(true, false), LIMIT)
        .await
        .expect_err("suspended");
    assert!(
        matches!(&error, Error::Failed(evidence) if evidence[0].standing.state == "Suspended"),
        "{error:?}"
    );
    assert!(
        flux::suspend(&place.client, &web, false)
            .await
            .expect("resumed")
            .1
    );
    flux::ready(&place.client, std::slice::from_ref(&web), LIMIT)
        .await
        .expect("ready");

    // An upgrade that fails is at its end: the wait stops at once, with the controller's words.
    let plan = place.plan(&release("fail", "4s")).await.expect("a plan");
    plan.run(&place.client, LIMIT, |_| {})
        .await
        .expect("applied");
    for (request, number) in [(asked(false, false), 3), (asked(false, true), 4)] {
        let error = flux::reconcile(&place.client, &web, request, LIMIT)
            .await
            .expect_err("it is stalled");
        let Error::Failed(evidence) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(evidence[0].standing.state, "Stalled");
        assert_eq!(
            evidence[0].standing.message,
            "Failed to upgrade after 1 attempt(s)"
        );
        let object = place.client.get(&web).await.expect("there");
        assert_eq!(object["status"]["history"][0]["version"], number);
    }
    let query = runbook_k8s::change::absent(
        &place.client,
        &[web],
        runbook_k8s::change::Propagation::Foreground,
        LIMIT,
    )
    .await;
    query.expect("gone");
    place.end().await;
}
