//! What a server refuses, and what it does not say: each with the state, the message and the exit code of its step.

use std::time::Duration;

use runbook::outcome::State;
use runbook_lab::pve::Fault;
use runbook_lab::pve::faults::Death;
use serde_json::json;

use crate::book_test::{bash, step};
use crate::cluster::{Home, guest};
use crate::faults::when;

const STOP: &str = "id: stop\non: lxc/web\nlxc: {state: stopped}\nexpect: {state: stopped}\n";

#[test]
fn a_ticket_that_expires_while_a_task_is_waited_for_is_renewed() {
    let home = Home::with(json!([guest(130, "lxc", "web")]));
    home.cluster.set_task_duration(Duration::from_millis(800));
    home.cluster
        .faults()
        .plan(when("GET", "/tasks/", 1), Fault::Unauthorized);
    let ran = home.book_with_login(&step(STOP), false).run();
    assert_eq!(ran.states(), ["stop passed"], "{}", ran.why("stop"));
    // One that is refused for good.
    let home = Home::with(json!([guest(130, "lxc", "web")]));
    home.cluster.set_task_duration(Duration::from_millis(800));
    home.cluster
        .faults()
        .plan(when("GET", "/tasks/", 0), Fault::Unauthorized);
    let ran = home.book_with_login(&step(STOP), false).run();
    assert_eq!(
        (ran.state("stop"), ran.result.exit_code),
        (State::Failed, 4),
        "{}",
        ran.why("stop")
    );
    assert!(
        ran.why("stop").contains("does not accept the credentials"),
        "{}",
        ran.why("stop")
    );
    assert!(!ran.journal().contains("lab-password"));
}

#[test]
fn a_node_that_is_written_in_other_letters_is_named() {
    let home = Home::new();
    let steps = step(
        "id: make\non: lxc/miscased\nlxc: {template: debian-12-standard, state: running}",
    ) + &step(
        "id: image\nneeds: []\non: node/PVE1\nimage: {storage: local, name: debian-12-standard}",
    );
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("make"), State::Failed);
    assert_eq!(ran.why("make"), "no node `PVE1`");
    assert_eq!(
        ran.step("make").hint.as_deref(),
        Some("did you mean `pve1`?")
    );
    assert_eq!(ran.state("image"), State::Failed, "{}", ran.why("image"));
    assert_eq!(ran.result.exit_code, 1);
    assert_eq!(home.get("/nodes/pve1/lxc").as_array().unwrap().len(), 1);
}

#[test]
fn a_number_that_is_taken_stays_who_has_it() {
    let home = Home::with(json!([
        guest(200, "lxc", "db"),
        guest(141, "qemu", "other")
    ]));
    let before = home.config(200);
    let make = |id: &str, vmid: u32| {
        step(&format!(
            "id: {id}\nneeds: []\non: node/pve1\nlxc: {{vmid: {vmid}, hostname: mine, template: debian-12-standard, disk: 'local-lvm:2GiB'}}"
        ))
    };
    let ran = home
        .book(&(make("foreign", 200) + &make("kind", 141)))
        .run();
    assert_eq!(ran.result.exit_code, 1);
    assert_eq!(
        ran.why("foreign"),
        "number 200 is taken by `db`, which is not of this book"
    );
    assert_eq!(ran.why("kind"), "141 is a `vm`, not a `lxc`");
    assert_eq!(home.config(200), before);
    // Taken by somebody else between the look and the request.
    let race = |times| {
        home.cluster.faults().plan(
            when("POST", "/nodes/pve1/lxc", times),
            Fault::Status {
                status: 500,
                text: "CT 150 already exists on node 'pve1'".into(),
                done: false,
            },
        );
    };
    race(1);
    let ran = home.book(&make("race", 150)).run();
    assert_eq!(
        (ran.state("race"), ran.result.exit_code),
        (State::Failed, 1)
    );
    assert_eq!(
        ran.why("race"),
        "number 150 was taken by another guest meanwhile"
    );
    // Between the request and its task: it is the same, and nothing of the other's is taken back.
    let late = || {
        let died = "unable to create CT 9000 - CT 9000 already exists on node 'pve1'";
        home.cluster.faults().plan(
            when("", "vzcreate", 1),
            Fault::Task(Death::Failed(died.into())),
        );
    };
    late();
    let ran = home
        .book(&make("late", 150).replace("needs: []", "needs: []\ncleanup: always"))
        .run();
    assert_eq!(
        ran.why("late"),
        "number 150 was taken by another guest meanwhile"
    );
    assert_eq!(
        ran.undone(),
        ["late passed"],
        "{:?}",
        ran.result.left_behind
    );
    // A number of the profile's own: the next one.
    race(1);
    let free = "id: free\non: node/pve1\nlxc: {hostname: mine, template: debian-12-standard, disk: 'local-lvm:2GiB'}\nexpect: {vmid: 9001}\ncleanup: always";
    let ran = home.book(&step(free)).run();
    assert_eq!(ran.states(), ["free passed"], "{}", ran.why("free"));
    assert_eq!(
        ran.undone(),
        ["free passed"],
        "{:?}",
        ran.result.left_behind
    );
    late();
    let ran = home.book(&step(free)).run();
    assert_eq!(ran.states(), ["free passed"], "{}", ran.why("free"));
}

#[test]
fn a_guest_that_is_locked_is_told_with_what_holds_it() {
    let mut locked = guest(130, "lxc", "web");
    locked["config"]["lock"] = json!("backup");
    let home = Home::with(json!([locked]));
    let ran = home
        .book(&step("id: set\non: lxc/web\nlxc: {cores: 2}"))
        .run();
    assert_eq!((ran.state("set"), ran.result.exit_code), (State::Failed, 1));
    assert_eq!(ran.why("set"), "CT is locked (backup)");
    let hint = ran.step("set").hint.clone().unwrap_or_default();
    assert!(hint.contains("pct unlock"), "{hint}");
    // A lock that somebody holds for a moment is waited for.
    let home = Home::with(json!([guest(130, "lxc", "web")]));
    home.cluster.faults().plan(when("", "", 1), Fault::Locked);
    let ran = home
        .book(&step("id: set\non: lxc/web\nlxc: {cores: 2}"))
        .run();
    assert_eq!(ran.states(), ["set passed"], "{}", ran.why("set"));
    assert_eq!(home.config(130)["cores"], 2);
    // One that is held for good fails the task that wants it.
    home.cluster.faults().plan(when("", "", 0), Fault::Locked);
    let ran = home.book(&step(&format!("{STOP}timeout: 60s"))).run();
    assert_eq!(
        (ran.state("stop"), ran.result.exit_code),
        (State::Failed, 1)
    );
    assert!(
        ran.why("stop").contains("can't lock file"),
        "{}",
        ran.why("stop")
    );
}

#[test]
fn an_agent_that_does_not_run_is_told_and_is_a_field() {
    let mut with = guest(140, "qemu", "box");
    with["config"]["agent"] = json!("1");
    let home = Home::with(json!([with]));
    home.cluster
        .faults()
        .plan(when("", "", 0), Fault::AgentDown);
    let steps = step("id: look\non: vm/box\nvm: {}\nexpect: {agent: false, state: running}")
        + &bash("id: script\non: vm/box\nneeds: []\ntimeout: 20s", "true");
    let ran = home.book(&steps).run();
    assert_eq!(
        ran.states(),
        ["look passed", "script failed"],
        "{}",
        ran.why("look")
    );
    assert!(
        ran.why("script").starts_with("vm/box cannot be used"),
        "{}",
        ran.why("script")
    );
    assert!(ran.why("script").contains("agent"), "{}", ran.why("script"));
    assert_eq!(ran.result.exit_code, 4);
}

#[test]
fn work_that_was_done_though_its_answer_was_lost_is_not_done_again() {
    let home = Home::with(json!([guest(130, "lxc", "web")]));
    let lost = |path: &str| {
        home.cluster.faults().plan(
            when("POST", path, 1),
            Fault::Status {
                status: 596,
                text: "Connection timed out".into(),
                done: true,
            },
        );
    };
    lost("/status/shutdown");
    let ran = home.book(&step(STOP)).run();
    assert_eq!(ran.states(), ["stop passed"], "{}", ran.why("stop"));
    assert!(ran.step("stop").changed);
    let tasks = home.get("/nodes/pve1/tasks").to_string();
    assert_eq!(tasks.matches("UPID:").count(), 1, "{tasks}");
    lost("/snapshot");
    let point = "id: point\non: lxc/web\nsnapshot: {name: before}\nexpect: {state: present}";
    let ran = home.book(&step(point)).run();
    assert_eq!(ran.states(), ["point passed"], "{}", ran.why("point"));
    let tasks = home.get("/nodes/pve1/tasks").to_string();
    assert_eq!(tasks.matches("UPID:").count(), 2, "{tasks}");
    // Where nothing was done, nothing is made up.
    home.cluster.faults().plan(
        when("POST", "/status/start", 1),
        Fault::Status {
            status: 596,
            text: "Connection timed out".into(),
            done: false,
        },
    );
    let start = "id: start\non: lxc/web\nlxc: {state: running}\nexpect: {state: running}";
    let ran = home.book(&step(start)).run();
    assert_eq!(
        (ran.state("start"), ran.result.exit_code),
        (State::Failed, 4),
        "{}",
        ran.why("start")
    );
    assert!(
        ran.why("start").contains("may have been done"),
        "{}",
        ran.why("start")
    );
}

#[test]
fn a_container_that_stops_while_a_step_waits_for_it_is_not_running() {
    let home = Home::with(json!([guest(130, "lxc", "web")]));
    home.cluster.faults().plan(
        when("", "vzreboot", 1),
        Fault::Task(Death::Failed("container did not come up".into())),
    );
    let steps = step(
        "id: again\non: node/pve1\nproxmox: {path: /nodes/pve1/lxc/130/status/reboot, method: POST}",
    );
    let ran = home.book(&steps).run();
    assert_eq!(
        (ran.state("again"), ran.result.exit_code),
        (State::Failed, 1)
    );
    assert!(
        ran.why("again").contains("container did not come up"),
        "{}",
        ran.why("again")
    );
}
