//! What goes wrong at a server, and how the step that meets it ends.

use std::time::Duration;

use runbook::outcome::State;
use runbook_lab::pve::Fault;
use runbook_lab::pve::faults::{Death, When};
use serde_json::json;

use crate::book_test::step;
use crate::cluster::{Home, guest, web};

pub(crate) fn when(method: &str, path: &str, times: u32) -> When {
    When {
        method: (!method.is_empty()).then(|| method.to_owned()),
        path: Some(path.to_owned()),
        times,
        ..When::default()
    }
}

#[test]
fn who_is_not_let_in_or_not_trusted_cannot_be_used() {
    let home = Home::new();
    let look = step("id: look\non: lxc/db\nlxc: {}").replace("lxc/db", "lxc/200");
    let wrong = "root@pam!lab=99999999-2222-3333-4444-555555555555";
    let fingerprint = ["AA"; 32].join(":");
    let token = "root@pam!lab=11111111-2222-3333-4444-555555555555";
    let refused = home.book_as(&look, wrong, home.fingerprint()).run();
    let untrusted = home.book_as(&look, token, &fingerprint).run();
    for ran in [&refused, &untrusted] {
        assert_eq!(ran.state("look"), State::Failed, "{}", ran.why("look"));
        assert_eq!(ran.result.exit_code, 4, "{}", ran.why("look"));
        assert!(ran.step("look").hint.is_some());
        assert!(!ran.step("look").changed);
        assert!(!ran.journal().contains("99999999-2222"));
    }
    assert!(
        untrusted.why("look").contains("is not trusted"),
        "{}",
        untrusted.why("look")
    );
    // Who was not let in at first asks once and not for each step: a node shuts out who guesses.
    home.cluster
        .faults()
        .plan(when("", "", 1), Fault::Unauthorized);
    let more = look.clone() + &look.replace("id: look", "id: again\nneeds: []");
    let ran = home.book(&more).run();
    assert_eq!(ran.states(), ["look failed", "again failed"]);
    assert_eq!(ran.result.exit_code, 4, "{}", ran.why("again"));
    assert!(
        ran.why("again").contains("does not accept the credentials"),
        "{}",
        ran.why("again")
    );
}

#[test]
fn a_template_that_is_missing_fails_in_its_task_and_leaves_nothing() {
    let home = Home::new();
    let steps = web("web", "").replace(
        "template: debian-12-standard",
        "template: 'local:vztmpl/no.tar.zst'",
    );
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("web"), State::Failed);
    assert!(
        ran.why("web").contains("the task failed"),
        "{}",
        ran.why("web")
    );
    assert_eq!(home.get("/nodes/pve1/lxc").as_array().unwrap().len(), 1);
}

#[test]
fn a_bridge_that_is_missing_fails_the_start_of_what_was_made() {
    let home = Home::new();
    let steps = web("web", "  state: running").replace("vmbr0", "vmbr9");
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("web"), State::Failed);
    assert!(
        ran.why("web").contains("bridge 'vmbr9' does not exist"),
        "{}",
        ran.why("web")
    );
    // The next run does not make it again.
    let ran = home.book(&web("web", "  state: running")).run();
    assert_eq!(ran.state("web"), State::Passed, "{}", ran.why("web"));
}

#[test]
fn a_creation_whose_answer_was_lost_is_found_again() {
    let home = Home::new();
    home.cluster.faults().plan(
        when("POST", "/nodes/pve1/lxc", 1),
        Fault::Status {
            status: 596,
            text: "Connection timed out".into(),
            done: true,
        },
    );
    let ran = home.book(&web("web", "  state: stopped")).run();
    assert_eq!(ran.state("web"), State::Passed, "{}", ran.why("web"));
    assert_eq!(home.get("/nodes/pve1/lxc").as_array().unwrap().len(), 2);
}

#[test]
fn a_node_that_is_down_cannot_be_used() {
    let home = Home::with(json!([guest(130, "lxc", "web")]));
    home.cluster.faults().plan(
        when("", "/nodes/pve1/lxc/130", 0),
        Fault::Status {
            status: 595,
            text: "No route to host".into(),
            done: false,
        },
    );
    let ran = home
        .book(&step("id: look\non: lxc/web\nlxc: {}\ntimeout: 20s"))
        .run();
    assert_eq!(ran.state("look"), State::Failed, "{}", ran.why("look"));
    assert_eq!(ran.result.exit_code, 4);
}

#[test]
fn a_task_that_dies_fails_the_step_and_its_time_ends_it() {
    let home = Home::with(json!([guest(130, "lxc", "web")]));
    home.cluster
        .faults()
        .plan(when("", "vzshutdown", 1), Fault::Task(Death::Vanished));
    let stop = "id: stop\non: lxc/web\nlxc: {state: stopped}\n";
    let ran = home.book(&step(stop)).run();
    assert_eq!(ran.state("stop"), State::Failed);
    assert!(
        ran.why("stop").contains("unexpected status"),
        "{}",
        ran.why("stop")
    );
    let home = Home::with(json!([guest(130, "lxc", "web")]));
    home.cluster.set_task_duration(Duration::from_secs(30));
    let ran = home.book(&step(&format!("{stop}timeout: 2s"))).run();
    assert_eq!(ran.state("stop"), State::TimedOut, "{}", ran.why("stop"));
    let note = ran.step("stop").note.clone().unwrap_or_default();
    assert!(note.contains("goes on at the server"), "{note}");
}
