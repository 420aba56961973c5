//! What goes wrong, each with its outcome: who cannot be asked, who says no, and what never becomes ready.

use runbook::outcome::State;
use runbook_lab::kube::{Delays, Fault, Rule, Settings, TokenRule, When};

use crate::cluster::{Home, book_with, config_map, deployment, on, yaml};

fn motd() -> String {
    yaml("motd", "retry: 30s", &config_map("motd", "x"))
}

#[test]
fn a_server_that_cannot_be_reached_is_a_target_that_cannot_be_used() {
    let home = Home::new();
    let kubeconfig = home
        .server
        .kubeconfig()
        .replace(&home.server.addr.port().to_string(), "1");
    let ran = book_with(&yaml("motd", "", &config_map("motd", "x")), &kubeconfig).run();
    assert_eq!(ran.state("motd"), State::Failed);
    assert!(
        ran.why("motd").contains("cannot be reached"),
        "{}",
        ran.why("motd")
    );
    assert_eq!(ran.result.exit_code, 4);
}

#[test]
fn an_expired_token_is_told_and_not_tried_again() {
    let home = Home::new();
    let ran = home.book_as(&motd(), "old").run();
    let step = ran.step("motd");
    assert_eq!((step.state, step.attempts), (State::Failed, 1));
    assert!(
        ran.why("motd").contains("does not accept the credentials"),
        "{}",
        ran.why("motd")
    );
    assert!(
        step.hint
            .as_deref()
            .unwrap()
            .starts_with("get new credentials")
    );
    assert_eq!(ran.result.exit_code, 4);
}

#[test]
fn a_context_that_is_not_there_is_told_with_its_place_and_not_tried_again() {
    let home = Home::new();
    let book = home.book(&motd()).inventory(
        "profiles:\n  home:\n    clusters: {home: {kubeconfig: kubeconfig, context: none}}\nclusters: {home: {}}\n",
    );
    let ran = book.run();
    let step = ran.step("motd");
    assert_eq!((step.state, step.attempts), (State::Failed, 1));
    assert!(
        ran.why("motd").contains("inventory.yaml:3: ") && ran.why("motd").contains("`none`"),
        "{}",
        ran.why("motd")
    );
    assert_eq!(ran.result.exit_code, 4);
}

#[test]
fn a_certificate_of_another_authority_is_not_trusted() {
    let (home, other) = (Home::new(), Home::new());
    let ca = |kubeconfig: &str| {
        let line = kubeconfig
            .lines()
            .find(|line| line.contains("certificate-authority-data"));
        line.unwrap().trim().to_owned()
    };
    let kubeconfig = home.server.kubeconfig();
    let wrong = kubeconfig.replace(&ca(&kubeconfig), &ca(&other.server.kubeconfig()));
    let ran = book_with(&motd(), &wrong).run();
    let step = ran.step("motd");
    assert_eq!((step.state, step.attempts), (State::Failed, 1));
    assert!(
        ran.why("motd").contains("is not trusted"),
        "{}",
        ran.why("motd")
    );
    assert_eq!(
        step.hint.as_deref(),
        Some("check `certificate-authority` of this cluster in the kubeconfig")
    );
    assert_eq!(ran.result.exit_code, 4);
}

#[test]
fn a_missing_right_is_named_with_who_lacks_it() {
    let home = Home::new();
    let ran = home.book_as(&motd(), "reader").run();
    let step = ran.step("motd");
    assert_eq!((step.state, step.attempts), (State::Failed, 1));
    assert!(
        ran.why("motd")
            .contains("cannot patch resource \"configmaps\""),
        "{}",
        ran.why("motd")
    );
    assert_eq!(
        step.hint.as_deref(),
        Some("give `reader` the verb `patch` on `configmaps` in `default`")
    );
    assert_eq!(ran.result.exit_code, 1);
}

#[test]
fn a_kind_without_its_definition_is_refused() {
    let home = Home::new();
    let body = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}";
    let ran = home.book(&yaml("widget", "retry: 30s", body)).run();
    let step = ran.step("widget");
    assert_eq!((step.state, step.attempts), (State::Failed, 1));
    assert!(
        ran.why("widget")
            .contains("no kind `example.com/v1 Widget`"),
        "{}",
        ran.why("widget")
    );
    assert_eq!(
        step.hint.as_deref(),
        Some("install what brings this kind, or check `apiVersion` and `kind`")
    );
}

#[test]
fn a_field_that_cannot_change_is_named() {
    let home = Home::new();
    home.book(&yaml("web", "", &deployment("web"))).run();
    let other = deployment("web").replace("app: web", "app: other");
    let ran = home.book(&yaml("web", "retry: 30s", &other)).run();
    let step = ran.step("web");
    assert_eq!((step.state, step.attempts), (State::Failed, 1));
    assert!(
        ran.why("web").contains("field is immutable"),
        "{}",
        ran.why("web")
    );
    assert_eq!(
        step.hint.as_deref(),
        Some("spec.selector cannot be changed: delete the object and create it anew")
    );
}

#[test]
fn a_quota_that_is_used_up_is_told_once() {
    let home = Home::new();
    home.apply_as("kubectl", "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: few}\nspec: {hard: {count/configmaps: '1'}}");
    let ran = home.book(&motd()).run();
    let step = ran.step("motd");
    assert_eq!(
        (step.state, step.attempts),
        (State::Failed, 1),
        "{}",
        ran.why("motd")
    );
    assert!(
        ran.why("motd").contains("exceeded quota: few"),
        "{}",
        ran.why("motd")
    );
    assert_eq!(
        step.hint.as_deref(),
        Some("raise the quota, or ask for less")
    );
}

/// A Deployment that does not become ready for this reason: the outcome's message and what is kept beside it.
fn not_ready(reason: &str) -> (String, String) {
    let home = Home::failing("Deployment", "web", reason);
    let book = home.book(&yaml(
        "web",
        "expect: {ready: true}\ntimeout: 4s",
        &deployment("web"),
    ));
    let ran = book.run();
    let step = ran.step("web");
    assert_eq!(step.state, State::TimedOut, "{reason}: {}", ran.why("web"));
    assert_eq!(step.checks.len(), 1, "{reason}");
    let evidence = step
        .artifacts
        .iter()
        .find(|name| name.ends_with("web.evidence.txt"));
    let evidence = std::fs::read_to_string(book.directory().join(evidence.unwrap())).unwrap();
    (ran.why("web"), evidence)
}

#[test]
fn a_bad_image_is_told_by_its_events() {
    let (why, evidence) = not_ready("image-pull");
    assert!(
        why.contains("Deployment default/web is InProgress") && why.contains("nginx:1.27"),
        "{why}"
    );
    assert!(
        evidence.contains("# Deployment default/web") && evidence.contains("ImagePullBackOff"),
        "{evidence}"
    );
}

#[test]
fn a_crash_loop_is_told_by_its_events() {
    let (why, evidence) = not_ready("crash-loop");
    assert!(why.contains("event:") && why.contains("BackOff"), "{why}");
    assert!(evidence.contains("CrashLoopBackOff"), "{evidence}");
}

#[test]
fn what_no_node_takes_is_told_by_its_events() {
    let (why, evidence) = not_ready("unschedulable");
    assert!(why.contains("FailedScheduling"), "{why}");
    assert!(evidence.contains("FailedScheduling"), "{evidence}");
}

#[test]
fn a_namespace_that_a_finalizer_holds_names_what_is_left_in_it() {
    let home = Home::new();
    let body = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: motd, namespace: shop, finalizers: [example.com/hold]}";
    home.apply_as("kubectl", body);
    home.delete("Namespace", "", "shop");
    let steps = yaml(
        "motd",
        "apply: {namespace: shop}",
        &config_map("other", "x"),
    );
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("motd"), State::Failed);
    assert!(
        ran.why("motd").contains("because it is being terminated"),
        "{}",
        ran.why("motd")
    );
    assert_eq!(
        ran.step("motd").hint.as_deref(),
        Some("wait until namespace `shop` is gone")
    );
    let steps = on(
        "gone",
        "absent: {objects: [{kind: Namespace, name: shop}]}\ntimeout: 2s",
    );
    let ran = home.observed(&steps).run();
    assert_eq!(ran.state("gone"), State::Drifted);
}

#[test]
fn what_is_deleted_while_it_is_awaited_is_told() {
    let home = Home::new();
    home.apply_as("kubectl", &config_map("motd", "x"));
    let book = home.book(&on(
        "motd",
        "ready: {kind: ConfigMap, name: motd}\nexpect: {json: {$.data.text: never}}\ntimeout: 30s",
    ));
    let ran = std::thread::scope(|scope| {
        let running = scope.spawn(|| book.run());
        // The step watches from its first request on: whenever it goes, it is seen.
        let before = home.server.cluster().faults.requests();
        while home.server.cluster().faults.requests() < before + 5 && !running.is_finished() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
        home.delete("ConfigMap", "default", "motd");
        running.join().unwrap()
    });
    assert_eq!(ran.state("motd"), State::Failed);
    assert_eq!(
        ran.why("motd"),
        "ConfigMap default/motd was deleted while it was awaited"
    );
}

#[test]
fn a_server_that_throttles_is_asked_again_after_its_time() {
    let home = Home::new();
    let when = When {
        path: Some("configmaps".into()),
        ..When::default()
    };
    home.server.cluster().faults.plan(
        When { times: 1, ..when },
        Fault::Status {
            status: 429,
            retry_after: Some(1),
        },
    );
    let ran = home.book(&yaml("motd", "", &config_map("motd", "x"))).run();
    assert_eq!(ran.state("motd"), State::Passed, "{}", ran.why("motd"));
}

#[test]
fn watches_that_are_cut_each_second_or_expire_see_the_end_all_the_same() {
    for (fault, times) in [
        (Fault::WatchCut(std::time::Duration::from_secs(1)), 0),
        (Fault::WatchExpired, 3),
    ] {
        let home = Home::with(Settings {
            delays: Delays {
                pod_start_ms: 3500,
                ..Delays::default()
            },
            ..Settings::default()
        });
        let when = When {
            watch: Some(true),
            times,
            ..When::default()
        };
        home.server.cluster().faults.plan(when, fault.clone());
        let steps = yaml("web", "expect: {ready: true}", &deployment("web"))
            + &on("ready", "ready: {kind: Deployment, name: web}")
            + &on(
                "gone",
                "needs: []\ntimeout: 3s\nready: {kind: Pod, selector: app=none}",
            );
        let ran = home.book(&steps).run();
        for step in ["web", "ready"] {
            assert_eq!(
                ran.state(step),
                State::Passed,
                "{fault:?}: {}",
                ran.why(step)
            );
        }
        assert_eq!(ran.state("gone"), State::TimedOut, "{}", ran.why("gone"));
        assert!(home.server.cluster().faults.struck() > 0);
    }
}

#[test]
fn rights_on_one_namespace_are_enough_for_it() {
    let home = Home::with(Settings {
        tokens: vec![TokenRule {
            token: "shop".into(),
            user: "shop".into(),
            allow: vec![Rule {
                namespaces: vec!["default".into()],
                ..Rule::default()
            }],
            ..TokenRule::default()
        }],
        ..Settings::default()
    });
    let ran = home
        .book_as(
            &yaml("web", "expect: {ready: true}", &deployment("web")),
            "shop",
        )
        .run();
    assert_eq!(ran.state("web"), State::Passed, "{}", ran.why("web"));
    assert!(!ran.step("web").identity.contains_key("cluster/home uid"));
}

#[test]
fn a_condition_that_finds_nothing_does_not_hold() {
    let home = Home::new();
    let steps = on(
        "motd",
        "when: {get: {kind: ConfigMap, name: none}, on: cluster/home}\nget: {kind: Namespace, name: default}",
    );
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("motd"), State::Skipped);
    assert!(ran.why("motd").contains("not found"), "{}", ran.why("motd"));
}

#[test]
fn a_run_that_is_stopped_ends_the_wait() {
    let home = Home::new();
    let cancel = runbook_runner::execute::Cancel::new();
    let book = home.book(&on(
        "never",
        "ready: {kind: Deployment, name: none}\ntimeout: 10m",
    ));
    let stop = cancel.clone();
    let ran = book.run_with(cancel, move |event| {
        if let runbook::event::EventKind::StepStarted(_) = &event.kind {
            stop.stop();
        }
    });
    assert_eq!(ran.state("never"), State::Aborted);
}
