//! `lxc` and `vm`: made, made again, changed, drifted, restarted, taken back, and never another book's.

use runbook::outcome::{Mode, State};
use serde_json::json;

use crate::book_test::{BookTest, step};
use crate::cluster::{Home, guest, web};

#[test]
fn a_container_is_made_once_and_then_only_compared() {
    let home = Home::new();
    let steps = web(
        "web",
        "  cores: 2\n  memory: 1GiB\n  tags: [shop]\n  state: running\nexpect: {state: running, node: pve1}\ncapture: {number: vmid}",
    );
    let drifted = home.observed(&steps).run();
    assert_eq!(
        drifted.state("web"),
        State::Drifted,
        "{}",
        drifted.why("web")
    );
    let diff = drifted.step("web").diff.clone().unwrap();
    assert!(
        diff.starts_with("+ lxc 130 web on pve1, from template debian-12-standard\n"),
        "{diff}"
    );
    assert!(
        diff.contains("+ memory: 1GiB") && diff.ends_with("+ state: running"),
        "{diff}"
    );
    let first = home.book(&steps).run();
    assert_eq!(first.state("web"), State::Passed, "{}", first.why("web"));
    assert!(first.step("web").changed);
    assert_eq!(first.step("web").captures["number"], 130);
    let config = home.config(130);
    assert_eq!(config["tags"], "runbook;runbook-tests;shop");
    assert!(
        config["description"].as_str().unwrap().contains("a#s/web"),
        "{config}"
    );
    assert!(first.journal().contains("wait for task UPID:pve1:"));
    let again = home.book(&steps).run();
    assert_eq!(again.state("web"), State::Passed, "{}", again.why("web"));
    assert!(!again.step("web").changed);
}

#[test]
fn a_difference_is_changed_in_place_and_a_stopped_guest_is_only_started() {
    let home = Home::new();
    let made = home.book(&web("web", "  cores: 1\n  state: stopped")).run();
    assert_eq!(made.state("web"), State::Passed, "{}", made.why("web"));
    let mac = home.config(130)["net0"].clone();
    let steps = web("web", "  cores: 2\n  state: running").replace("8GiB", "12GiB");
    let plan = home.observed(&steps).plan();
    let diff = plan["web"].diff.clone().unwrap();
    assert_eq!(
        diff,
        "- cores: 1\n+ cores: 2\n- rootfs: size 8GiB\n+ rootfs: size 12GiB\n- state: stopped\n+ state: running"
    );
    let changed = home.book(&steps).run();
    assert_eq!(
        changed.state("web"),
        State::Passed,
        "{}",
        changed.why("web")
    );
    let config = home.config(130);
    assert_eq!((&config["cores"], &config["net0"]), (&json!(2), &mac));
    assert!(
        config["rootfs"].as_str().unwrap().contains("size=12G"),
        "{config}"
    );
    let smaller = home.book(&web("web", "  cores: 2")).run();
    assert_eq!(smaller.state("web"), State::Failed);
    assert!(
        smaller.why("web").contains("does not shrink"),
        "{}",
        smaller.why("web")
    );
}

#[test]
fn a_guest_is_taken_back_with_everything_that_was_changed() {
    let home = Home::with(json!([guest(130, "lxc", "web"), guest(200, "lxc", "db")]));
    let before = home.config(130);
    let steps = step(
        "id: set\non: lxc/web\nlxc: {cores: 4, state: stopped, config: {onboot: '1'}}\ncleanup: always",
    );
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("set"), State::Passed, "{}", ran.why("set"));
    assert_eq!(ran.undone(), ["set passed"], "{:?}", ran.result.left_behind);
    let mut after = home.config(130);
    after["digest"] = before["digest"].clone();
    assert_eq!(after, before);
    assert_eq!(
        home.get("/nodes/pve1/lxc/130/status/current")["status"],
        "running"
    );
    let steps = step(
        "id: new\non: node/pve1\nlxc: {hostname: tmp, template: debian-12-standard, disk: 'local-lvm:2GiB', state: running}\ncleanup: always",
    );
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("new"), State::Passed, "{}", ran.why("new"));
    assert_eq!(ran.undone(), ["new passed"], "{:?}", ran.result.left_behind);
    let left = home.get("/nodes/pve1/lxc");
    assert_eq!(left.as_array().unwrap().len(), 2, "{left}");
}

#[test]
fn a_guest_without_a_number_is_found_again_by_its_name_and_tag() {
    let home = Home::with(json!([guest(9000, "lxc", "tmp")]));
    let steps = step(
        "id: new\non: node/pve1\nlxc: {hostname: tmp, template: debian-12-standard}\ncapture: {number: vmid}",
    );
    for changed in [true, false] {
        let ran = home.book(&steps).run();
        assert_eq!(ran.state("new"), State::Passed, "{}", ran.why("new"));
        assert_eq!(ran.step("new").changed, changed);
        assert_eq!(ran.step("new").captures["number"], 9001);
    }
}

#[test]
fn what_is_not_there_is_absent_and_what_has_no_source_is_not_made() {
    let home = Home::new();
    let steps = step("id: look\non: lxc/web\nlxc: {}\nexpect: {state: absent}")
        + &step("id: change\nneeds: []\non: lxc/web\nlxc: {cores: 2}")
        + &step("id: kind\nneeds: []\non: vm/200\nvm: {}")
        + &step("id: node\nneeds: []\non: lxc/misplaced\nlxc: {template: debian-12-standard}")
        + &step("id: template\nneeds: []\non: lxc/web\nlxc: {template: alpine}");
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("look"), State::Passed, "{}", ran.why("look"));
    for (id, why) in [
        ("change", "lxc/130 does not exist"),
        ("kind", "200 is a `lxc`, not a `vm`"),
        ("node", "no node `PVE2`"),
        ("template", "no storage of `pve1` has a template `alpine`"),
    ] {
        assert_eq!(ran.state(id), State::Failed, "{id}");
        assert!(ran.why(id).contains(why), "{id}: {}", ran.why(id));
        assert!(ran.step(id).hint.is_some(), "{id}");
    }
}

#[test]
fn only_a_guest_of_the_book_is_removed() {
    let lab = |steps: &str| {
        BookTest::new(steps).mode(Mode::Rehearse).inventory(
            "nodes: {pve1: {}}\nguests:\n  web: {kind: lxc, vmid: 130, node: pve1}\n  other: {kind: lxc, node: pve1}\n",
        )
    };
    let ran = lab(&step(
        "id: gone\non: lxc/web\nlxc: {state: absent}\nexpect: {state: absent}",
    ))
    .run();
    assert_eq!(ran.state("gone"), State::Passed, "{}", ran.why("gone"));
    assert!(
        ran.step("gone")
            .diff
            .clone()
            .unwrap()
            .starts_with("- lxc 130 web on pve1, running")
    );
    // The lab gives it the number 100; the inventory does not.
    let ran = lab(&step("id: gone\non: lxc/100\nlxc: {state: absent}")).run();
    assert_eq!(ran.state("gone"), State::Failed);
    assert!(
        ran.why("gone").contains("is not of this book"),
        "{}",
        ran.why("gone")
    );
}

#[test]
fn a_virtual_machine_is_compared_and_changed_by_its_own_keys() {
    let home = Home::with(json!([guest(140, "qemu", "box")]));
    let steps = step(
        "id: box\non: vm/box\nvm: {cores: 2, memory: 1GiB, agent: true, disk: 'local-lvm:10GiB', state: stopped, net: {bridge: vmbr0}}\nexpect: {state: stopped}",
    );
    for changed in [true, false] {
        let ran = home.book(&steps).run();
        assert_eq!(ran.state("box"), State::Passed, "{}", ran.why("box"));
        assert_eq!(ran.step("box").changed, changed);
    }
    let config = home.get("/nodes/pve1/qemu/140/config");
    assert_eq!(config["agent"], "1");
    assert!(
        config["scsi0"].as_str().unwrap().contains("size=10G"),
        "{config}"
    );
    assert_eq!(config["net0"], "virtio=BC:24:11:00:00:02,bridge=vmbr0");
}
