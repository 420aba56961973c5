//! `job`: run to its end, its log kept, and never taken for run where the lab could not.

use runbook::outcome::{Mode, State};

use crate::book_test::BookTest;
use crate::cluster::{Home, on, yaml};
use crate::programs::home;

fn job(name: &str, script: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec:\n  backoffLimit: 0\n  template:\n    spec:\n      restartPolicy: Never\n      \
         containers: [{{name: main, image: busybox, command: [sh, -c, '{script}']}}]\n"
    )
}

#[test]
fn a_job_made_from_an_image_runs_and_its_log_is_kept() {
    let home = home();
    let steps = on(
        "smoke",
        "job: {image: busybox, command: [sh, -c, 'echo hello; echo world']}\nexpect: {log: {contains: world}, phase: Complete}\ncapture: {word: {log: '(h\\w+)'}}",
    );
    let ran = home.book(&steps).run();
    let step = ran.step("smoke");
    assert_eq!(
        (step.state, step.changed),
        (State::Passed, true),
        "{}",
        ran.why("smoke")
    );
    assert_eq!(step.captures["word"], "hello");
    assert_eq!(step.output.as_ref().unwrap().stdout.head, "hello\nworld\n");
    let jobs = home.names("Job", "default");
    assert!(jobs[0].starts_with("smoke-"), "{jobs:?}");
    // Another one each time: it is done once more.
    home.book(&steps).run();
    assert_eq!(home.names("Job", "default").len(), 2);
}

#[test]
fn a_failed_job_has_failed_with_its_exit_its_events_and_its_log() {
    let home = home();
    let ran = home
        .book(&yaml(
            "smoke",
            "job: {}",
            &job("smoke", "echo no luck; exit 3"),
        ))
        .run();
    let step = ran.step("smoke");
    assert_eq!(step.state, State::Failed);
    let why = ran.why("smoke");
    assert!(
        why.starts_with("Job default/smoke has failed with exit 3: "),
        "{why}"
    );
    assert!(
        why.contains("log: no luck") && why.contains("event: "),
        "{why}"
    );
    assert_eq!(step.output.as_ref().unwrap().stdout.head, "no luck\n");
}

#[test]
fn an_exit_that_is_expected_is_no_failure() {
    let home = home();
    let ran = home
        .book(&yaml(
            "smoke",
            "job: {}\nexpect: {exit: 3, phase: Failed}",
            &job("smoke", "exit 3"),
        ))
        .run();
    assert_eq!(ran.state("smoke"), State::Passed, "{}", ran.why("smoke"));
}

#[test]
fn a_job_of_the_same_name_makes_way_only_when_it_is_of_this_book_and_has_ended() {
    let home = home();
    let steps = yaml("smoke", "job: {}", &job("smoke", "echo a"));
    assert_eq!(home.book(&steps).run().state("smoke"), State::Passed);
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("smoke"), State::Passed, "{}", ran.why("smoke"));

    home.apply_as("kubectl", &job("theirs", "echo a"));
    let ran = home
        .book(&yaml("theirs", "job: {}", &job("theirs", "echo b")))
        .run();
    assert_eq!(ran.state("theirs"), State::Failed);
    assert_eq!(
        ran.why("theirs"),
        "Job default/theirs is there already, and is not of this book"
    );
}

#[test]
fn a_pod_runs_to_its_end_too() {
    let home = home();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {generateName: once-}\nspec: {restartPolicy: Never, containers: [{name: a, image: a, command: [sh, -c, echo there]}]}";
    let ran = home
        .book(&yaml(
            "once",
            "job: {}\nexpect: {log: there, phase: Succeeded, exit: 0}",
            pod,
        ))
        .run();
    assert_eq!(ran.state("once"), State::Passed, "{}", ran.why("once"));
}

#[test]
fn one_that_is_not_made_has_changed_nothing() {
    let home = home();
    let steps = on(
        "smoke",
        "job: {image: busybox, command: [sh, -c, 'true'], namespace: nowhere}\ncleanup: always",
    );
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("smoke"), State::Failed);
    assert!(
        ran.why("smoke").contains("\"nowhere\" not found"),
        "{}",
        ran.why("smoke")
    );
    assert!(!ran.step("smoke").changed);
    assert_eq!(ran.undone(), Vec::<String>::new());
}

#[test]
fn what_has_no_end_is_refused() {
    let home = Home::new();
    let ran = home
        .book(&yaml("web", "job: {}", &crate::cluster::deployment("web")))
        .run();
    assert_eq!(ran.state("web"), State::Failed);
    assert!(
        ran.why("web")
            .contains("a Deployment has no end: give a Job or a Pod"),
        "{}",
        ran.why("web")
    );
}

#[test]
fn observe_does_not_run_it() {
    let home = home();
    let steps = on("smoke", "job: {image: busybox, command: [sh, -c, 'true']}");
    let ran = home.observed(&steps).run();
    assert_eq!(ran.state("smoke"), State::Skipped);
    assert_eq!(home.names("Job", "default"), Vec::<String>::new());
}

#[test]
fn one_that_takes_too_long_is_timed_out() {
    let home = home();
    let ran = home
        .book(&yaml(
            "smoke",
            "job: {}\ntimeout: 2s",
            &job("smoke", "echo begun; exec sleep 60"),
        ))
        .run();
    assert_eq!(ran.state("smoke"), State::TimedOut);
    assert!(
        ran.why("smoke")
            .contains("not ready within 2 s: Job default/smoke is InProgress"),
        "{}",
        ran.why("smoke")
    );
}

#[test]
fn a_node_that_is_not_there_ends_by_the_timeout_and_is_named() {
    let home = home();
    let steps = on(
        "smoke",
        "job: {image: busybox, command: [sh, -c, 'true'], node: nowhere}\ntimeout: 2s",
    );
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("smoke"), State::TimedOut);
    let why = ran.why("smoke");
    assert!(why.contains("there is no node `nowhere`"), "{why}");

    let steps = on(
        "smoke",
        "job: {image: busybox, command: [sh, -c, 'true'], node: lab-1}",
    );
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("smoke"), State::Passed, "{}", ran.why("smoke"));
}

/// The same in the lab.
fn lab(steps: &str) -> crate::book_test::Ran {
    let book = BookTest::new(steps).inventory("clusters: {home: {}}\n");
    book.mode(Mode::Rehearse).run()
}

#[test]
fn a_command_that_the_lab_does_not_have_is_skipped_by_name_never_succeeded() {
    let steps = on("smoke", "job: {image: curl, command: [no-such-program]}")
        + &on("after", "get: {kind: Namespace, name: default}");
    let ran = lab(&steps);
    assert_eq!(ran.state("smoke"), State::Skipped, "{}", ran.why("smoke"));
    let why = ran.why("smoke");
    assert!(
        why.contains("no-such-program") || why.contains("the lab runs no commands here"),
        "{why}"
    );
    assert_eq!(
        ran.state("after"),
        State::Skipped,
        "what needs it is skipped too"
    );
    assert!(!ran.step("smoke").changed);
}

#[test]
fn what_an_image_runs_by_itself_is_not_in_the_lab() {
    let ran = lab(&on("smoke", "job: {image: busybox}"));
    assert_eq!(ran.state("smoke"), State::Skipped);
    assert_eq!(
        ran.why("smoke"),
        "the lab does not have what image `busybox` runs: only a `command` can run there"
    );
}

#[test]
fn an_applied_job_whose_command_is_not_there_is_not_ready_but_skipped() {
    let body =
        job("smoke", "true").replace("command: [sh, -c, 'true']", "command: [no-such-program]");
    let ran = lab(&yaml("smoke", "expect: {ready: true}", &body));
    assert_eq!(ran.state("smoke"), State::Skipped, "{}", ran.why("smoke"));
}
