//! `flux`: reconciled with its source, suspended, resumed, ready, and what it says when it is not.

use std::path::Path;

use runbook::outcome::State;
use runbook_lab::kube::Fail;

use crate::cluster::{Home, on, yaml};

const SOURCE: &str = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: home, namespace: flux-system}\nspec: {interval: 1h, url: 'https://git.lab/home.git', ref: {branch: main}}\n";

fn kustomization(name: &str, path: &str, rest: &str) -> String {
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: {name}, namespace: flux-system}}\n\
         spec: {{interval: 1h, prune: true, path: {path}, sourceRef: {{kind: GitRepository, name: home}}, targetNamespace: default{rest}}}\n"
    )
}

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn map(value: &str) -> String {
    crate::cluster::config_map("applied", value)
}

struct Gitops {
    home: Home,
    root: tempfile::TempDir,
}

impl Gitops {
    fn new(fail: Vec<Fail>, kustomizations: &[String]) -> Self {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "apps/map.yaml", &map("first"));
        let home = Home::with_flux(root.path(), fail);
        home.apply_as(
            "flux",
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: flux-system}",
        );
        home.apply_as(
            "flux",
            &format!("{SOURCE}---\n{}", kustomizations.join("---\n")),
        );
        Self { home, root }
    }
}

#[test]
fn ready_waits_for_what_the_source_has_now() {
    let flux = Gitops::new(Vec::new(), &[kustomization("apps", "./apps", "")]);
    let steps = on(
        "apps",
        "flux: {ready: Kustomization/apps}\nexpect: {ready: true, suspended: false, revision: {matches: '^main@sha1:'}, json: {$.metadata.name: apps}}",
    ) + &on(
        "all",
        "flux: {ready: all}\nexpect: {ready: true}\ncapture: {revision: revision}",
    ) + &on("short", "flux: {ready: [ks/apps, gitrepo/home]}");
    let ran = flux.home.book(&steps).run();
    for step in ["apps", "all", "short"] {
        assert_eq!(ran.state(step), State::Passed, "{step}: {}", ran.why(step));
    }
    assert!(
        ran.step("all").captures["revision"]
            .as_str()
            .unwrap()
            .starts_with("main@sha1:")
    );
}

#[test]
fn a_commit_is_there_after_a_reconciliation_with_its_source() {
    let flux = Gitops::new(Vec::new(), &[kustomization("apps", "./apps", "")]);
    let first = flux
        .home
        .book(&on("apps", "flux: {ready: Kustomization/apps}"))
        .run();
    assert_eq!(first.state("apps"), State::Passed, "{}", first.why("apps"));
    write(flux.root.path(), "apps/map.yaml", &map("second"));
    let steps = on(
        "apps",
        "flux: {reconcile: Kustomization/apps}\nexpect: {ready: true}",
    ) + &on(
        "map",
        "get: {kind: ConfigMap, name: applied}\nexpect: {json: {$.data.text: second}}",
    );
    let ran = flux.home.observed(&steps).run();
    assert_eq!(ran.state("apps"), State::Skipped);
    let ran = flux.home.book(&steps).run();
    assert_eq!(
        (ran.state("apps"), ran.step("apps").changed),
        (State::Passed, true),
        "{}",
        ran.why("apps")
    );
    assert_eq!(ran.state("map"), State::Passed, "{}", ran.why("map"));
}

#[test]
fn suspended_is_a_state_that_is_compared_changed_and_taken_back() {
    let flux = Gitops::new(Vec::new(), &[kustomization("apps", "./apps", "")]);
    flux.home
        .book(&on("apps", "flux: {ready: Kustomization/apps}"))
        .run();
    let steps = on(
        "hold",
        "flux: {suspend: Kustomization/apps}\nexpect: {suspended: true}",
    );
    let ran = flux.home.observed(&steps).run();
    assert_eq!(ran.state("hold"), State::Drifted);
    assert_eq!(
        ran.step("hold").diff.as_deref(),
        Some("~ Kustomization flux-system/apps: active -> suspended")
    );
    let ran = flux.home.book(&steps).run();
    assert_eq!(
        (ran.state("hold"), ran.step("hold").changed),
        (State::Passed, true),
        "{}",
        ran.why("hold")
    );
    let ran = flux.home.book(&steps).run();
    assert_eq!(
        (ran.state("hold"), ran.step("hold").changed),
        (State::Passed, false)
    );

    // It is never ready, and that is told at once.
    let ran = flux
        .home
        .book(&on(
            "ready",
            "flux: {ready: Kustomization/apps}\nexpect: {ready: true}",
        ))
        .run();
    assert_eq!(ran.state("ready"), State::Failed);
    assert!(
        ran.why("ready").contains("is Suspended"),
        "{}",
        ran.why("ready")
    );
    assert_eq!(ran.step("ready").checks[0].actual, "false");
    let ran = flux
        .home
        .book(&on("again", "flux: {reconcile: Kustomization/apps}"))
        .run();
    assert_eq!(ran.state("again"), State::Failed);
    assert!(
        ran.why("again").contains("resume it first"),
        "{}",
        ran.why("again")
    );

    let steps = on(
        "go",
        "flux: {resume: Kustomization/apps}\nexpect: {ready: true}\ncleanup: always",
    );
    let ran = flux.home.book(&steps).run();
    assert_eq!(ran.state("go"), State::Passed, "{}", ran.why("go"));
    assert_eq!(ran.undone(), ["go passed"]);
    let object = flux
        .home
        .object("Kustomization", "flux-system", "apps")
        .unwrap();
    assert_eq!(object["spec"]["suspend"], true);
}

#[test]
fn a_dependency_that_is_not_ready_is_told_at_the_end_of_the_time() {
    let broken = Fail {
        kind: "Kustomization".into(),
        name: "base".into(),
        reason: "HealthCheckFailed".into(),
        ..Fail::default()
    };
    let flux = Gitops::new(
        vec![broken],
        &[
            kustomization("base", "./apps", ""),
            kustomization("apps", "./apps", ", dependsOn: [{name: base}]"),
        ],
    );
    let book = flux.home.book(&on(
        "apps",
        "flux: {ready: Kustomization/apps}\ntimeout: 3s",
    ));
    let ran = book.run();
    assert_eq!(ran.state("apps"), State::TimedOut);
    assert!(
        ran.why("apps")
            .contains("dependency 'flux-system/base' is not ready"),
        "{}",
        ran.why("apps")
    );
    assert!(
        ran.step("apps")
            .artifacts
            .iter()
            .any(|name| name.ends_with("apps.evidence.txt"))
    );
}

#[test]
fn a_path_that_is_not_there_is_told_in_its_controllers_words() {
    let flux = Gitops::new(Vec::new(), &[kustomization("apps", "./nowhere", "")]);
    let ran = flux
        .home
        .book(&on(
            "apps",
            "flux: {ready: Kustomization/apps}\ntimeout: 2s",
        ))
        .run();
    assert!(matches!(ran.state("apps"), State::TimedOut | State::Failed));
    assert!(
        ran.why("apps").contains("kustomization path not found"),
        "{}",
        ran.why("apps")
    );
}

#[test]
fn a_bad_revision_is_told_in_its_controllers_words() {
    let flux = Gitops::new(Vec::new(), &[kustomization("apps", "./apps", "")]);
    flux.home
        .apply_as("flux", &SOURCE.replace("branch: main", "branch: none"));
    let ran = flux
        .home
        .book(&on(
            "source",
            "flux: {reconcile: GitRepository/home}\ntimeout: 3s",
        ))
        .run();
    assert!(
        matches!(ran.state("source"), State::TimedOut | State::Failed),
        "{}",
        ran.why("source")
    );
    assert!(ran.why("source").contains("none"), "{}", ran.why("source"));
}

#[test]
fn what_is_not_there_and_what_is_no_kind_of_flux_fails() {
    let flux = Gitops::new(Vec::new(), &[kustomization("apps", "./apps", "")]);
    let ran = flux
        .home
        .book(&on(
            "none",
            "flux: {ready: Kustomization/none}\ntimeout: 2s",
        ))
        .run();
    // It may still come, as what a parent makes: it is waited for.
    assert_eq!(ran.state("none"), State::TimedOut);
    assert!(
        ran.why("none").contains("it is not there"),
        "{}",
        ran.why("none")
    );
    let ran = flux
        .home
        .book(&on("all", "flux: {ready: all, namespace: elsewhere}"))
        .run();
    assert_eq!(ran.state("all"), State::Failed);
    assert_eq!(ran.why("all"), "there is nothing of Flux in `elsewhere`");

    let bare = Home::new();
    let ran = bare
        .book(&on("apps", "flux: {ready: Kustomization/apps}\nretry: 30s"))
        .run();
    assert_eq!(
        (ran.state("apps"), ran.step("apps").attempts),
        (State::Failed, 1)
    );
    assert!(ran.why("apps").contains("no kind"), "{}", ran.why("apps"));
    assert_eq!(ran.result.exit_code, 1);
}

#[test]
fn what_a_step_above_would_apply_is_not_reconciled_yet() {
    let flux = Gitops::new(Vec::new(), &[kustomization("apps", "./apps", "")]);
    let steps = yaml("more", "", &kustomization("more", "./apps", ""))
        + &on("ready", "flux: {ready: Kustomization/more}")
        + &on("hold", "flux: {suspend: Kustomization/more}");
    let ran = flux.home.observed(&steps).run();
    assert_eq!(ran.state("more"), State::Drifted);
    for step in ["ready", "hold"] {
        assert_eq!(ran.state(step), State::Skipped, "{}", ran.why(step));
        assert!(
            ran.why(step).ends_with("a step above would make it"),
            "{}",
            ran.why(step)
        );
    }
}
