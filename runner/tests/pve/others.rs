//! `snapshot`, `rollback`, `ha`, `image` and `proxmox`.

use runbook::outcome::{Mode, State};
use serde_json::json;

use crate::book_test::{BookTest, step};
use crate::cluster::{Home, guest, web};

#[test]
fn a_snapshot_is_made_once_and_taken_back() {
    let home = Home::with(json!([guest(130, "lxc", "web")]));
    let steps = step(
        "id: point\non: lxc/web\nsnapshot: {name: before, description: first}\nexpect: {state: present}",
    );
    let drifted = home.observed(&steps).run();
    assert_eq!(drifted.state("point"), State::Drifted);
    assert_eq!(
        drifted.step("point").diff.as_deref(),
        Some("+ snapshot before of lxc/130")
    );
    for changed in [true, false] {
        let ran = home.book(&steps).run();
        assert_eq!(ran.state("point"), State::Passed, "{}", ran.why("point"));
        assert_eq!(ran.step("point").changed, changed);
    }
    let other = steps
        .replace("before", "second")
        .replace("```\n\n", "cleanup: always\n```\n\n");
    let ran = home.book(&other).run();
    assert_eq!(
        ran.undone(),
        ["point passed"],
        "{:?}",
        ran.result.left_behind
    );
    let list = home.get("/nodes/pve1/lxc/130/snapshot").to_string();
    assert!(
        list.contains("before") && !list.contains("second"),
        "{list}"
    );
}

#[test]
fn a_snapshot_where_the_guest_or_the_feature_is_missing_fails() {
    let home = Home::new();
    let point = step("id: point\non: lxc/web\nsnapshot: {name: before}");
    let ran = home.book(&point).run();
    assert_eq!(ran.state("point"), State::Failed);
    assert!(
        ran.why("point").contains("lxc/130 does not exist"),
        "{}",
        ran.why("point")
    );
    // What a step above would make cannot be looked at yet.
    let ran = home.observed(&(web("web", "") + &point)).run();
    assert_eq!(ran.state("point"), State::Skipped, "{}", ran.why("point"));
    let plain = web("web", "").replace("local-lvm", "plain") + &point;
    let ran = home.book(&plain).run();
    assert_eq!(ran.state("point"), State::Failed);
    assert!(
        ran.why("point")
            .contains("snapshot feature is not available"),
        "{}",
        ran.why("point")
    );
}

#[test]
fn a_rollback_brings_the_former_configuration_back() {
    let steps = step("id: point\non: lxc/web\nsnapshot: {name: before}")
        + &step("id: change\non: lxc/web\nlxc: {cores: 7}")
        + &step("id: back\non: lxc/web\nrollback: {name: before}\nexpect: {state: running}")
        + &step("id: look\non: lxc/web\nlxc: {}\nexpect: {config: {cores: 2}}")
        + &step("id: wrong\non: lxc/web\nrollback: {name: never}");
    let ran = BookTest::new(&steps)
        .mode(Mode::Rehearse)
        .inventory("nodes: {pve1: {}}\nguests: {web: {kind: lxc, vmid: 130, node: pve1}}\n")
        .run();
    for id in ["point", "change", "back", "look"] {
        assert_eq!(ran.state(id), State::Passed, "{id}: {}", ran.why(id));
    }
    assert_eq!(ran.state("wrong"), State::Failed);
    assert_eq!(ran.step("wrong").hint.as_deref(), Some("it has `before`"));
}

#[test]
fn high_availability_is_set_and_taken_back() {
    let home = Home::with(json!([guest(130, "lxc", "web")]));
    let steps = step(
        "id: ha\non: lxc/web\nha: {state: started, max-restart: 2}\nexpect: {state: started}\ncleanup: always",
    );
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("ha"), State::Passed, "{}", ran.why("ha"));
    assert_eq!(ran.undone(), ["ha passed"], "{:?}", ran.result.left_behind);
    assert_eq!(home.get("/cluster/ha/resources"), json!([]));
    // Who wishes nothing only looks; groups are no more.
    let steps = step("id: look\non: lxc/web\nha: {}\nexpect: {state: absent}")
        + &step("id: keep\nneeds: []\non: lxc/web\nha: {state: started}")
        + &step("id: group\nneeds: keep\non: lxc/web\nha: {group: fast}");
    let ran = home.book(&steps).run();
    assert_eq!(
        ran.states(),
        ["look passed", "keep passed", "group failed"],
        "{}",
        ran.why("look")
    );
    assert!(!ran.step("look").changed);
    assert_eq!(
        ran.why("group"),
        "invalid parameter 'group': ha groups have been migrated to rules"
    );
}

#[test]
fn an_image_that_is_there_is_not_fetched_again() {
    let home = Home::new();
    let steps = step(
        "id: there\non: node/pve1\nimage: {storage: local, name: debian-12-standard}\ncapture: {volume: volume}",
    ) + &step(
        "id: unknown\nneeds: []\non: node/pve1\nimage: {storage: local, name: nosuch-1-standard}",
    ) + &step(
        "id: iso\nneeds: []\non: node/pve1\nimage: {storage: local, name: x.iso}",
    );
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("there"), State::Passed, "{}", ran.why("there"));
    assert!(!ran.step("there").changed);
    assert_eq!(
        ran.step("there").captures["volume"],
        "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"
    );
    for id in ["unknown", "iso"] {
        assert_eq!(ran.state(id), State::Failed);
        assert!(ran.step(id).hint.is_some(), "{id}");
    }
}

#[test]
fn any_call_is_made_and_its_task_is_waited_for() {
    let home = Home::with(json!([guest(130, "lxc", "web")]));
    let steps = step(
        "id: version\non: node/pve1\nproxmox: {path: /version}\nexpect: {json: {$.version: {matches: '^9'}}}",
    ) + &step(
        "id: stop\non: node/pve1\nproxmox: {path: /nodes/pve1/lxc/130/status/stop, method: POST}\nexpect: {task: {matches: '^UPID:pve1:'}, log: {contains: TASK OK}}",
    ) + &step(
        "id: bad\nneeds: []\nretry: 30s\non: node/pve1\nproxmox: {path: /nodes/pve1/lxc/130/config, method: PUT, params: {bogus: 1}}",
    ) + &step("id: none\nneeds: []\non: node/pve1\nproxmox: {path: /nosuch}");
    let ran = home.book(&steps).run();
    for id in ["version", "stop"] {
        assert_eq!(ran.state(id), State::Passed, "{id}: {}", ran.why(id));
    }
    assert_eq!(
        home.get("/nodes/pve1/lxc/130/status/current")["status"],
        "stopped"
    );
    assert_eq!(
        (ran.state("bad"), ran.step("bad").attempts),
        (State::Failed, 1)
    );
    assert!(ran.why("bad").contains("bogus"), "{}", ran.why("bad"));
    assert_eq!(ran.state("none"), State::Failed);
}
