//! `apply` in each mode: compared, applied, read back, awaited.

use runbook::event::EventKind;
use runbook::outcome::{Mode, State};

use crate::cluster::{Home, config_map, deployment, on, yaml};

#[test]
fn what_is_not_there_is_drifted_then_made_then_as_wished() {
    let home = Home::new();
    let steps = yaml("motd", "expect: {count: 1}", &config_map("motd", "hello"));
    let ran = home.observed(&steps).run();
    let step = ran.step("motd");
    assert_eq!(step.state, State::Drifted);
    assert_eq!(
        step.diff.as_deref(),
        Some("+ ConfigMap default/motd\n    + data.text: \"hello\"")
    );
    assert_eq!(home.object("ConfigMap", "default", "motd"), None);

    let ran = home.book(&steps).run();
    let step = ran.step("motd");
    assert_eq!(
        (step.state, step.changed),
        (State::Passed, true),
        "{}",
        ran.why("motd")
    );
    assert!(
        step.diff
            .as_deref()
            .unwrap()
            .contains("+ ConfigMap default/motd")
    );
    assert!(
        step.identity.contains_key("cluster/home")
            && step.identity.contains_key("cluster/home uid")
    );

    let ran = home.book(&steps).run();
    assert_eq!(
        (ran.state("motd"), ran.step("motd").changed),
        (State::Passed, false)
    );
    let ran = home.observed(&steps).run();
    assert_eq!(
        (ran.state("motd"), ran.step("motd").changed),
        (State::Passed, false)
    );
    ran.assert_complete();
}

#[test]
fn a_difference_is_told_value_by_value() {
    let home = Home::new();
    home.book(&yaml("motd", "", &config_map("motd", "hello")))
        .run();
    let steps = yaml("motd", "", &config_map("motd", "bye"));
    let plan = home.observed(&steps).plan();
    assert_eq!(
        plan["motd"].diff.as_deref(),
        Some("~ ConfigMap default/motd\n    ~ data.text: \"hello\" -> \"bye\"")
    );
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("motd"), State::Passed);
    let map = home.object("ConfigMap", "default", "motd").unwrap();
    assert_eq!(map["data"]["text"], "bye");
}

#[test]
fn expectations_are_awaited() {
    let home = Home::new();
    let steps = yaml(
        "web",
        "expect:\n  ready: true\n  condition: {Available: True}\n  json: {$.status.readyReplicas: 1}\n  count: 1\ncapture: {image: {json: '$.spec.template.spec.containers[0].image'}}",
        &deployment("web"),
    );
    let ran = home.book(&steps).run();
    let step = ran.step("web");
    assert_eq!(step.state, State::Passed, "{}", ran.why("web"));
    assert_eq!(step.checks.len(), 4);
    assert_eq!(step.captures["image"], "nginx:1.27");
    assert_eq!(step.attempts, 1);
}

#[test]
fn what_does_not_come_true_is_timed_out_with_its_rows() {
    let home = Home::new();
    let steps = yaml(
        "motd",
        "expect: {json: {$.data.other: x}}\ntimeout: 2s",
        &config_map("motd", "hello"),
    );
    let ran = home.book(&steps).run();
    let step = ran.step("motd");
    assert_eq!(step.state, State::TimedOut);
    assert_eq!(step.reason.as_deref(), Some("did not hold within 2s"));
    assert_eq!(step.checks[0].actual, "missing");
    assert!(step.changed);
}

#[test]
fn a_namespace_and_what_is_in_it_come_in_one_step() {
    let home = Home::new();
    let body = format!(
        "{}---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: shop}}\n",
        deployment("web")
    );
    let steps = yaml(
        "shop",
        "apply: {namespace: shop}\nexpect: {ready: true, count: 2}",
        &body,
    );
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("shop"), State::Passed, "{}", ran.why("shop"));
    assert!(home.object("Deployment", "shop", "web").is_some());
    assert_eq!(home.object("Deployment", "default", "web"), None);
}

#[test]
fn of_two_documents_of_which_one_is_invalid_nothing_is_applied() {
    let home = Home::new();
    let body = format!(
        "{}---\napiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{ports: [{{port: 99999}}]}}\n",
        config_map("motd", "hello")
    );
    let ran = home.book(&yaml("both", "", &body)).run();
    assert_eq!(ran.state("both"), State::Failed);
    assert!(ran.why("both").contains("99999"), "{}", ran.why("both"));
    assert_eq!(home.object("ConfigMap", "default", "motd"), None);
    assert!(!ran.step("both").changed);
}

#[test]
fn an_unknown_field_is_refused_by_name() {
    let home = Home::new();
    let body = deployment("web").replace("replicas: 1", "replica: 1");
    let ran = home.book(&yaml("web", "", &body)).run();
    assert_eq!(ran.state("web"), State::Failed);
    assert!(ran.why("web").contains("replica"), "{}", ran.why("web"));
    assert_eq!(home.object("Deployment", "default", "web"), None);
}

#[test]
fn fields_of_another_manager_are_a_conflict_with_owner_and_field_until_they_are_taken_over() {
    let home = Home::new();
    home.apply_as("kubectl", &config_map("motd", "theirs"));
    let ran = home
        .book(&yaml("motd", "retry: 10s", &config_map("motd", "ours")))
        .run();
    let step = ran.step("motd");
    assert_eq!(step.state, State::Failed);
    assert!(
        ran.why("motd")
            .contains("`.data.text` belongs to `kubectl`"),
        "{}",
        ran.why("motd")
    );
    assert_eq!(
        step.hint.as_deref(),
        Some("take the fields out, or take them over with `force`")
    );
    assert_eq!(step.attempts, 1, "a conflict is not asked again");
    assert!(!step.changed);
    let none = ran
        .events
        .iter()
        .all(|event| !matches!(event.kind, EventKind::UndoRegistered(_)));
    assert!(none, "there is nothing to take back");

    // Where nothing is changed it is a difference like any other, with who stands in the way.
    let observed = home.observed(&yaml("motd", "", &config_map("motd", "ours")));
    let diff = "~ ConfigMap default/motd\n    ~ data.text: \"theirs\" -> \"ours\"\n    ! `.data.text` belongs to `kubectl`";
    let ran = observed.run();
    assert_eq!(ran.state("motd"), State::Drifted);
    assert_eq!(ran.step("motd").diff.as_deref(), Some(diff));
    assert_eq!(observed.plan()["motd"].diff.as_deref(), Some(diff));
    let steps = yaml("motd", "apply: {force: true}", &config_map("motd", "ours"));
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("motd"), State::Passed, "{}", ran.why("motd"));
}

#[test]
fn files_are_applied_as_they_stand_and_lie_in_the_repository() {
    let home = Home::new();
    let steps = on(
        "motd",
        "apply: {file: [motd.yaml, other.yaml]}\nexpect: {count: 2}",
    );
    let book = home
        .book(&steps)
        .file("src/motd.yaml", &config_map("motd", "'{{ vars.count }}'"))
        .file("src/other.yaml", &config_map("other", "b"));
    let ran = book.run();
    assert_eq!(ran.state("motd"), State::Passed, "{}", ran.why("motd"));
    let map = home.object("ConfigMap", "default", "motd").unwrap();
    assert_eq!(map["data"]["text"], "{{ vars.count }}");
}

#[test]
fn what_a_step_no_longer_applies_is_pruned_and_nothing_else() {
    let home = Home::new();
    home.apply_as("kubectl", &config_map("theirs", "x"));
    let both = format!("{}---\n{}", config_map("a", "one"), config_map("b", "one"));
    home.book(&yaml("maps", "apply: {prune: true}", &both))
        .run();
    let steps = yaml("maps", "apply: {prune: true}", &config_map("a", "one"));
    let ran = home.observed(&steps).run();
    assert_eq!(
        ran.step("maps").diff.as_deref(),
        Some("- ConfigMap default/b")
    );
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("maps"), State::Passed, "{}", ran.why("maps"));
    assert!(home.object("ConfigMap", "default", "a").is_some());
    assert!(home.object("ConfigMap", "default", "theirs").is_some());
    assert_eq!(home.object("ConfigMap", "default", "b"), None);
    let ran = home.observed(&steps).run();
    assert_eq!(ran.state("maps"), State::Passed);
}

#[test]
fn a_merge_patch_changes_what_is_there() {
    let home = Home::new();
    home.apply_as("kubectl", &deployment("web"));
    let body = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 3}";
    let steps = yaml(
        "scale",
        "apply: {patch: merge}\nexpect: {json: {$.status.readyReplicas: 3}}",
        body,
    );
    let ran = home.observed(&steps).run();
    assert_eq!(
        ran.step("scale").diff.as_deref(),
        Some("~ Deployment default/web\n    ~ spec.replicas: 1 -> 3")
    );
    let ran = home.book(&steps).run();
    assert_eq!(
        (ran.state("scale"), ran.step("scale").changed),
        (State::Passed, true),
        "{}",
        ran.why("scale")
    );
    let ran = home.book(&steps).run();
    assert_eq!(
        (ran.state("scale"), ran.step("scale").changed),
        (State::Passed, false)
    );
}

#[test]
fn a_json_patch_appends_once_and_removes_once() {
    let home = Home::new();
    home.apply_as("kubectl", &config_map("motd", "x"));
    let body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: motd}\npatch:\n- {op: add, path: /data/more, value: y}\n- {op: remove, path: /data/text}";
    let steps = yaml("patch", "apply: {patch: json}", body);
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("patch"), State::Passed, "{}", ran.why("patch"));
    assert_eq!(
        home.object("ConfigMap", "default", "motd").unwrap()["data"],
        serde_json::json!({"more": "y"})
    );
    let ran = home.book(&steps).run();
    assert_eq!(
        (ran.state("patch"), ran.step("patch").changed),
        (State::Passed, false)
    );
}

#[test]
fn a_patch_of_what_is_not_there_fails() {
    let home = Home::new();
    let body = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 3}";
    let ran = home
        .book(&yaml("scale", "apply: {patch: merge}", body))
        .run();
    assert_eq!(ran.state("scale"), State::Failed);
    assert!(
        ran.why("scale").contains("\"web\" not found"),
        "{}",
        ran.why("scale")
    );
}

#[test]
fn what_a_step_above_would_make_is_skipped_below_and_what_goes_into_it_is_to_be_created() {
    let home = Home::new();
    let crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.com}\nspec:\n  group: example.com\n  scope: Namespaced\n  names: {kind: Widget, plural: widgets, singular: widget}\n  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]";
    let steps = [
        yaml("definition", "", crd),
        yaml(
            "space",
            "",
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}",
        ),
        yaml(
            "widget",
            "",
            "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}",
        ),
        yaml(
            "inside",
            "apply: {namespace: shop}",
            &config_map("motd", "x"),
        ),
        on("look", "get: {kind: Namespace, name: shop}"),
        on("ready", "ready: {kind: Namespace, name: shop}"),
        on(
            "look-inside",
            "get: {kind: ConfigMap, name: motd, namespace: shop}",
        ),
        on("other", "get: {kind: Namespace, name: elsewhere}"),
        yaml(
            "wrong",
            "apply: {namespace: shop}",
            "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 99999}]}",
        ),
        yaml(
            "nowhere",
            "apply: {namespace: elsewhere}",
            &config_map("motd", "x"),
        ),
    ]
    .concat();
    let ran = home.observed(&steps).run();
    assert_eq!(ran.state("definition"), State::Drifted);
    assert_eq!(ran.state("space"), State::Drifted);
    let plan = home.observed(&steps).plan();
    for (step, diff) in [
        ("widget", "+ Widget default/w"),
        ("inside", "+ ConfigMap shop/motd\n    + data.text: \"x\""),
    ] {
        assert_eq!(ran.state(step), State::Drifted, "{step}: {}", ran.why(step));
        assert_eq!(ran.step(step).diff.as_deref(), Some(diff));
        assert_eq!(plan[step].diff.as_deref(), Some(diff));
    }
    for step in ["look", "ready", "look-inside"] {
        assert_eq!(ran.state(step), State::Skipped, "{step}: {}", ran.why(step));
        assert!(
            ran.why(step).ends_with("a step above would make it"),
            "{}",
            ran.why(step)
        );
    }
    assert_eq!(ran.state("other"), State::Failed);
    assert!(ran.why("wrong").contains("99999"), "{}", ran.why("wrong"));
    assert!(
        ran.why("nowhere").contains("\"elsewhere\" not found"),
        "{}",
        ran.why("nowhere")
    );
    let ran = home.book(&steps).run();
    for step in ["definition", "space", "widget", "inside", "look", "ready"] {
        assert_eq!(ran.state(step), State::Passed, "{step}: {}", ran.why(step));
    }
}

/// Two guides: a Job in `default` that holds on until something is so, and an `apply` in a namespace that begins after it.
fn beside_a_job(namespace: &str, job: &str, after: &str) -> crate::book_test::Ran {
    let home = crate::programs::home();
    home.apply_as(
        "kubectl",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: other}",
    );
    let folder = tempfile::tempdir().unwrap();
    let at = |script: &str| script.replace("AT", &folder.path().to_string_lossy());
    // No wait is without an end: 30 seconds at most.
    let until = |file: &str| {
        format!(
            "for n in $(seq 300); do test -e AT/{file} && break; sleep 0.1; done; test -e AT/{file}"
        )
    };
    let job = job.replace("UNTIL_APPLIED", &until("applied"));
    let holds = on(
        "holds",
        &format!(
            "job: {{image: busybox, command: [sh, -c, '{}'], namespace: default}}\ntimeout: 1m",
            at(&format!("touch AT/begun; {job}"))
        ),
    );
    let bash = |id: &str, script: &str| {
        crate::book_test::bash(&format!("id: {id}\ntimeout: 1m"), &at(script))
    };
    let applies = bash("begun", &until("begun"))
        + &yaml(
            "map",
            &format!("apply: {{namespace: {namespace}}}"),
            &config_map("map", "x"),
        )
        + &bash("after", after);
    let book = home.book(&holds).chapter("b", &applies);
    book.ask(|request| request.jobs = 2).run()
}

#[test]
fn steps_that_touch_the_same_namespace_do_not_overlap() {
    // The Job has ended before the apply has begun.
    let ran = beside_a_job("default", "sleep 2; touch AT/ended", "test -e AT/ended");
    for step in ["holds", "b#s/map", "b#s/after"] {
        assert_eq!(ran.state(step), State::Passed, "{step}: {}", ran.why(step));
    }
}

#[test]
fn steps_that_touch_different_namespaces_run_beside_each_other() {
    // The Job ends only when the apply is done.
    let ran = beside_a_job("other", "UNTIL_APPLIED", "touch AT/applied");
    for step in ["holds", "b#s/map", "b#s/after"] {
        assert_eq!(ran.state(step), State::Passed, "{step}: {}", ran.why(step));
    }
}

#[test]
fn in_the_lab_it_runs_too() {
    let steps = yaml("web", "expect: {ready: true}", &deployment("web"));
    let ran = crate::book_test::BookTest::new(&steps)
        .inventory("clusters: {home: {}}\n")
        .mode(Mode::Rehearse)
        .run();
    assert_eq!(ran.state("web"), State::Passed, "{}", ran.why("web"));
}
