//! `absent`: compared, deleted behind its gate, waited for.

use runbook::outcome::{Mode, State};

use crate::book_test::BookTest;
use crate::cluster::{Home, config_map, on, yaml};

#[test]
fn what_is_there_is_drifted_and_waits_for_approval() {
    let home = Home::new();
    home.apply_as("kubectl", &config_map("motd", "x"));
    let steps = on(
        "gone",
        "absent: {objects: [{kind: ConfigMap, name: motd}, {kind: Nonsense, name: a}]}",
    );
    let ran = home.observed(&steps).run();
    assert_eq!(ran.state("gone"), State::Drifted);
    assert_eq!(
        ran.step("gone").diff.as_deref(),
        Some("- ConfigMap default/motd")
    );
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("gone"), State::Pending);
    assert!(home.object("ConfigMap", "default", "motd").is_some());
}

#[test]
fn nothing_there_is_as_wished() {
    let home = Home::new();
    let steps = on(
        "gone",
        "absent: {objects: [{kind: Pod, selector: app=web}]}\nexpect: {count: 0}",
    ) + &yaml("manifest", "absent: {}", &config_map("motd", "x"));
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("gone"), State::Passed, "{}", ran.why("gone"));
    assert_eq!(
        ran.state("manifest"),
        State::Passed,
        "{}",
        ran.why("manifest")
    );
}

/// A lab's book in which gates are open.
fn lab(steps: &str) -> BookTest {
    BookTest::new(steps)
        .inventory("clusters: {home: {}}\n")
        .mode(Mode::Rehearse)
}

#[test]
fn it_is_deleted_with_what_it_owns_and_waited_for() {
    let steps = [
        yaml(
            "web",
            "expect: {ready: true}",
            &crate::cluster::deployment("web"),
        ),
        on(
            "gone",
            "absent: {objects: [{kind: Deployment, name: web}]}\nexpect: {count: 0}",
        ),
        on("pods", "get: {kind: Pod}\nexpect: {count: 0}"),
    ]
    .concat();
    let ran = lab(&steps).run();
    assert_eq!(
        (ran.state("gone"), ran.step("gone").changed),
        (State::Passed, true),
        "{}",
        ran.why("gone")
    );
    assert_eq!(ran.state("pods"), State::Passed, "{}", ran.why("pods"));
}

#[test]
fn a_finalizer_that_holds_an_object_is_named() {
    let body =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: motd, finalizers: [example.com/hold]}";
    let steps = yaml("motd", "", body)
        + &on(
            "gone",
            "absent: {objects: [{kind: ConfigMap, name: motd}]}\ntimeout: 2s",
        );
    let ran = lab(&steps).run();
    assert_eq!(ran.state("gone"), State::TimedOut);
    let why = ran.why("gone");
    assert!(
        why.contains("ConfigMap default/motd is still there after")
            && why.contains("example.com/hold"),
        "{why}"
    );
    assert_eq!(
        ran.step("gone").hint.as_deref(),
        Some("see whether the controller of the finalizer runs")
    );
}
