//! What guests are made from, templates, restarts, addresses, and the login beside a token.

use std::time::{Duration, Instant};

use runbook::event::EventKind;
use runbook::outcome::State;
use runbook_runner::execute::Cancel;
use serde_json::json;

use crate::book_test::step;
use crate::cluster::{Home, guest, web};

#[test]
fn a_container_is_copied_and_the_copy_is_the_books() {
    let mut db = guest(200, "lxc", "db");
    db["status"] = json!("stopped");
    let home = Home::with(json!([db]));
    let steps = step(
        "id: copy\non: lxc/web\nlxc: {clone: {from: db, full: true}, cores: 3, state: running}\nexpect: {state: running, config: {hostname: web, cores: 3}}\ncleanup: always",
    );
    let plan = home.observed(&steps).plan();
    let diff = plan["copy"].diff.clone().unwrap();
    assert!(
        diff.starts_with("+ lxc 130 web on pve1, a copy of db"),
        "{diff}"
    );
    let ran = home.book(&steps.replace("cleanup: always", "")).run();
    assert_eq!(ran.states(), ["copy passed"], "{}", ran.why("copy"));
    let config = home.config(130);
    assert_eq!(config["tags"], "runbook;runbook-tests");
    assert_ne!(
        config["net0"],
        home.config(200)["net0"],
        "an address of its own"
    );
    let again = home.book(&steps).run();
    assert!(!again.step("copy").changed, "{}", again.why("copy"));
    // A running one cannot be copied whole but from a snapshot.
    let home = Home::with(json!([guest(200, "lxc", "db")]));
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("copy"), State::Failed);
    assert!(
        ran.why("copy").contains("only possible from a snapshot"),
        "{}",
        ran.why("copy")
    );
    let steps = step("id: point\non: lxc/200\nsnapshot: {name: now}")
        + &steps.replace("full: true", "full: true, snapshot: now");
    let ran = home.book(&steps).run();
    assert_eq!(
        ran.states(),
        ["point passed", "copy passed"],
        "{}",
        ran.why("copy")
    );
    assert_eq!(
        ran.undone(),
        ["copy passed"],
        "{:?}",
        ran.result.left_behind
    );
    let nobody = steps.replace("from: db", "from: nobody");
    let ran = home.book(&nobody).run();
    assert_eq!(
        ran.why("copy"),
        "`nobody`, which is to be copied, does not exist"
    );
}

#[test]
fn what_was_made_a_moment_ago_is_copied_by_its_name() {
    let home = Home::with(json!([]));
    // The list of all guests has no names of new ones for some seconds.
    let steps = step(
        "id: first\non: node/pve1\nlxc: {vmid: 150, hostname: first, template: debian-12-standard, state: stopped}",
    ) + &step("id: copy\non: lxc/web\nlxc: {clone: {from: first, full: true}}");
    let ran = home.book(&steps).run();
    assert_eq!(
        ran.states(),
        ["first passed", "copy passed"],
        "{} {}",
        ran.why("first"),
        ran.why("copy")
    );
}

#[test]
fn a_machine_becomes_a_template_which_is_copied() {
    let home = Home::with(json!([guest(300, "qemu", "golden")]));
    let template =
        step("id: template\non: vm/300\nvm: {state: template}\nexpect: {state: template}");
    for changed in [true, false] {
        let ran = home.book(&template).run();
        assert_eq!(ran.states(), ["template passed"], "{}", ran.why("template"));
        assert_eq!(ran.step("template").changed, changed);
    }
    let copy = step(
        "id: copy\non: vm/box\nvm: {clone: {from: golden}, cores: 2, state: running}\nexpect: {state: running, config: {name: box}}",
    );
    let started = step("id: start\nneeds: []\non: vm/300\nvm: {state: running}");
    let ran = home.book(&(copy + &started)).run();
    assert_eq!(ran.state("copy"), State::Passed, "{}", ran.why("copy"));
    assert_eq!(ran.state("start"), State::Failed);
    assert!(
        ran.why("start").contains("template"),
        "{}",
        ran.why("start")
    );
    // Taking it back is not possible, and is said.
    let home = Home::with(json!([guest(300, "qemu", "golden")]));
    let back = template.replace("```\n\n", "cleanup: always\n```\n\n");
    let ran = home.book(&back).run();
    assert_eq!(ran.undone(), ["template failed"]);
    assert!(
        ran.result.left_behind[0].contains("became a template"),
        "{:?}",
        ran.result.left_behind
    );
    assert_eq!(ran.result.exit_code, 1);
}

#[test]
fn a_backup_is_restored_as_another_guest() {
    let home = Home::with(json!([
        guest(200, "lxc", "db"),
        guest(300, "qemu", "golden")
    ]));
    let backup = |vmid: u32| {
        step(&format!(
            "id: backup-{vmid}\non: node/pve1\nproxmox:\n  path: /nodes/pve1/vzdump\n  method: POST\n  params: {{vmid: {vmid}, storage: local, mode: snapshot, compress: zstd}}"
        ))
    };
    let find = |vmid: u32, kind: &str| {
        step(&format!(
            "id: find-{vmid}\non: node/pve1\nproxmox: {{path: /nodes/pve1/storage/local/content, params: {{content: backup, vmid: {vmid}}}}}\ncapture: {{volume: {{json: '$[0].volid'}}}}\nexpect: {{volume: {{contains: vzdump-{kind}-{vmid}}}}}"
        ))
    };
    let steps = backup(200)
        + &find(200, "lxc")
        + &step(
            "id: restore\non: lxc/web\nlxc: {backup: '{{ steps[\"find-200\"].volume }}', disk: 'local-lvm:8GiB', state: running}\nexpect: {state: running, config: {hostname: web}}\ncleanup: always",
        )
        + &backup(300)
        + &find(300, "qemu")
        + &step(
            "id: machine\non: vm/box\nvm: {backup: '{{ steps[\"find-300\"].volume }}', disk: 'local-lvm:8GiB', state: stopped}\nexpect: {state: stopped}\ncleanup: always",
        );
    let ran = home.book(&steps).run();
    for id in ["backup-200", "find-200", "restore", "backup-300", "machine"] {
        assert_eq!(ran.state(id), State::Passed, "{id}: {}", ran.why(id));
    }
    assert_eq!(
        ran.undone(),
        ["machine passed", "restore passed"],
        "{:?}",
        ran.result.left_behind
    );
    assert_eq!(home.get("/nodes/pve1/lxc").as_array().unwrap().len(), 1);
    let missing = step(
        "id: restore\non: lxc/web\nlxc: {backup: 'local:backup/vzdump-lxc-9-2020_01_01-00_00_00.tar.zst', disk: 'local-lvm:8GiB'}",
    );
    let ran = home.book(&missing).run();
    assert_eq!(
        (ran.state("restore"), ran.result.exit_code),
        (State::Failed, 1)
    );
    assert_eq!(home.get("/nodes/pve1/lxc").as_array().unwrap().len(), 1);
}

#[test]
fn a_machine_is_made_from_an_image_with_cloud_init() {
    let home = Home::new();
    let make = "id: box\non: vm/box\nvm:\n  image: {from: debian-13-genericcloud-amd64, storage: local-lvm}\n  memory: 1GiB\n  \
                net: {bridge: vmbr0}\n  agent: true\n  cloud-init: {user: admin, ssh-keys: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGeRq2M8Vb7hGVQ0kTz0Sn7O3r9g5lX8r0m0d2vQw3fK me@here', ip: 192.168.4.40/24, gateway: 192.168.4.1}\n  \
                state: running\nexpect: {state: running, config: {ciuser: admin, ipconfig0: {contains: 192.168.4.40/24}, ide2: {contains: cloudinit}}}";
    let other = make.replace("debian-13-generic", "debian-11-generic");
    let ran = home.book(&step(&other)).run();
    assert_eq!(ran.state("box"), State::Failed);
    assert_eq!(
        ran.why("box"),
        "no storage of `pve1` has an image `debian-11-genericcloud-amd64`"
    );
    for changed in [true, false] {
        let ran = home.book(&step(make)).run();
        assert_eq!(ran.states(), ["box passed"], "{}", ran.why("box"));
        assert_eq!(ran.step("box").changed, changed);
    }
}

#[test]
fn what_waits_for_a_restart_is_told_and_restarted_only_when_asked() {
    let home = Home::with(json!([guest(140, "qemu", "box")]));
    let set = "id: set\non: vm/box\nvm: {cores: 2, cpu: host, state: running}\n";
    let ran = home.book(&step(set)).run();
    assert_eq!(ran.states(), ["set passed"], "{}", ran.why("set"));
    let note = ran.step("set").note.clone().unwrap_or_default();
    assert!(note.contains("not in force before a restart"), "{note}");
    let restart = step(
        "id: set\non: vm/box\nvm: {cores: 2, cpu: host, state: running, restart: when-pending}\n",
    );
    // It disrupts: a person approves it.
    let ran = home.book(&restart).run();
    assert_eq!(
        (ran.state("set"), ran.result.exit_code),
        (State::Pending, 5)
    );
    let diff = ran.step("set").diff.clone().unwrap_or_default();
    assert!(diff.starts_with("restart: "), "{diff}");
    let lab = crate::book_test::BookTest::new(
        &(step(set)
            + &restart.replace("id: set", "id: restart")
            + &step(
                "id: after\non: vm/box\nvm: {}\nexpect: {state: running, config: {cpu: host}}",
            )),
    )
    .mode(runbook::outcome::Mode::Rehearse)
    .inventory("nodes: {pve1: {}}\nguests: {box: {kind: vm, vmid: 140, node: pve1}}\n");
    let ran = lab.run();
    for id in ["set", "restart", "after"] {
        assert_eq!(ran.state(id), State::Passed, "{id}: {}", ran.why(id));
    }
    assert!(ran.step("restart").changed);
    let note = ran.step("restart").note.clone().unwrap_or_default();
    assert!(!note.contains("not in force"), "{note}");
}

#[test]
fn an_address_is_waited_for_after_a_start_and_looked_at_once_otherwise() {
    let home = Home::new();
    let make = web(
        "web",
        "  state: running\ncapture: {ip: address}\nexpect: {address: {in-range: 192.168.4.77}, addresses: {contains: 192.168.4.77}}",
    )
    .replace("ip: dhcp", "ip: 192.168.4.77/24");
    let ran = home.book(&make).run();
    assert_eq!(ran.states(), ["web passed"], "{}", ran.why("web"));
    assert_eq!(ran.step("web").captures["ip"], "192.168.4.77");
    let stop =
        step("id: stop\non: lxc/web\nlxc: {state: stopped}\nexpect: {address: {exists: false}}");
    let ran = home.book(&stop).run();
    assert_eq!(ran.states(), ["stop passed"], "{}", ran.why("stop"));
}

#[test]
fn a_stop_during_a_task_says_that_it_goes_on_and_leaves_no_step_running() {
    let home = Home::with(json!([guest(130, "lxc", "web")]));
    home.cluster.set_task_duration(Duration::from_secs(20));
    let steps = step("id: stop\non: lxc/web\ntimeout: 2m\nlxc: {state: stopped}")
        + &step("id: next\non: lxc/web\nlxc: {}");
    let cancel = Cancel::new();
    let stop = cancel.clone();
    let begun = Instant::now();
    let ran = home.book(&steps).run_with(cancel, move |event| {
        if let EventKind::UndoRegistered(registered) = &event.kind
            && registered.summary.starts_with("wait for task ")
        {
            stop.stop();
        }
    });
    ran.assert_complete();
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "it was waited for"
    );
    assert_eq!(ran.state("stop"), State::Aborted);
    let note = ran.step("stop").note.clone().unwrap_or_default();
    assert!(
        note.starts_with("task `UPID:pve1:") && note.ends_with("goes on at the server"),
        "{note}"
    );
    assert_eq!(ran.result.exit_code, 130);
    assert!(!ran.steps.contains_key("next"), "{:?}", ran.states());
}

#[test]
fn what_a_token_may_not_do_the_login_does() {
    let steps = web(
        "web",
        "  features: {nesting: true, keyctl: true}\n  state: stopped",
    );
    let home = Home::new();
    let ran = home.book(&steps).run();
    assert_eq!((ran.state("web"), ran.result.exit_code), (State::Failed, 1));
    assert!(
        ran.why("web").contains("only allowed for root@pam"),
        "{}",
        ran.why("web")
    );
    let hint = ran.step("web").hint.clone().unwrap_or_default();
    assert!(hint.contains("login"), "{hint}");
    assert_eq!(home.get("/nodes/pve1/lxc").as_array().unwrap().len(), 1);
    let ran = home.book_with_login(&steps, true).run();
    assert_eq!(ran.states(), ["web passed"], "{}", ran.why("web"));
    assert_eq!(home.config(130)["features"], "nesting=1,keyctl=1");
    // A change in place, too; and the token is who is asked first.
    let home = Home::with(json!([guest(130, "lxc", "web")]));
    let bind =
        step("id: bind\non: lxc/web\nlxc: {mounts: {mp0: {source: /srv/data, path: /data}}}");
    let ran = home.book(&bind).run();
    assert_eq!(ran.state("bind"), State::Failed, "{}", ran.why("bind"));
    let ran = home.book_with_login(&bind, true).run();
    assert_eq!(ran.states(), ["bind passed"], "{}", ran.why("bind"));
    assert!(
        home.config(130)["mp0"]
            .as_str()
            .unwrap()
            .starts_with("/srv/data,")
    );
}
