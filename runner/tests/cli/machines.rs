//! Scripts on the lab's machines, by the real program: on a node, in a container, in a virtual machine, on a host.

use runbook_lab::isolate;

use crate::book::{TestBook, states, step};
use crate::helper::{ended, told, typed};

const INVENTORY: &str = "\
nodes:
  pve1: {address: 192.168.4.11}
guests:
  dns1: {kind: lxc, vmid: 101, node: pve1, address: 192.168.4.53}
  k3s1: {kind: vm, vmid: 201, node: pve1, exec: agent, address: 192.168.4.201}
  off: {kind: lxc, vmid: 102, node: pve1, facts: {lab: {state: stopped}}}
hosts:
  nas: {address: 192.168.4.20, user: admin, port: 2222, become: sudo}
";

#[test]
fn scripts_run_on_the_machines_they_name() {
    if let Err(why) = isolate::available_with(env!("CARGO_BIN_EXE_runbook").as_ref()) {
        eprintln!("skipped: {why}");
        return;
    }
    let on = |id: &str, target: &str, name: &str, script: &str| {
        let options = format!("id: {id}\non: {target}\neffect: read\nexpect: {{stdout: {name}}}");
        step(&options, script)
    };
    let chapter = [
        on("node", "node/pve1", "pve1", "hostname"),
        on("container", "lxc/dns1", "dns1", "hostname"),
        on("machine", "vm/k3s1", "k3s1", "hostname"),
        on("host", "host/nas", "nas-0", "echo $(hostname)-$(id -u)"),
        on(
            "list",
            "node/pve1",
            "running",
            "pct status 101 | cut -d' ' -f2",
        ),
        on("own", "node/pve1", "brought", "own-tool"),
        on("second", "node/pve2", "pve2", "hostname"),
        on("far", "lxc/far", "far", "hostname"),
        typed(
            "id: moves\non: node/pve2\nproxmox: {path: /nodes/pve2/lxc/301/migrate, method: POST, params: {target: pve1, restart: 1}}",
        ),
        on("moved", "lxc/far", "far", "hostname"),
        on("other", "node/pve1", "x", "sgdisk -p /dev/sda"),
        on("wrong", "node/pve1", "x", "hostname"),
    ];
    let book = TestBook::new(&chapter.concat());
    let second =
        "  pve2: {address: 192.168.4.12}\nguests:\n  far: {kind: lxc, vmid: 301, node: pve2}\n";
    book.write("inventory.yaml", INVENTORY.replace("guests:\n", second));
    book.write(
        "lab/pve1/usr/local/bin/own-tool",
        "#!/bin/sh\necho brought\n",
    );
    let tool = book.path("lab/pve1/usr/local/bin/own-tool");
    std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (code, events) = book.events(&["verify", "--json"]);
    let ended: Vec<(String, String)> = states(&events)
        .into_iter()
        .map(|(id, state)| (id.rsplit('/').next().unwrap_or_default().to_owned(), state))
        .collect();
    let expected = [
        ("node", "passed"),
        ("container", "passed"),
        ("machine", "passed"),
        ("host", "passed"),
        ("list", "passed"),
        ("own", "passed"),
        ("second", "passed"),
        ("far", "passed"),
        ("moves", "passed"),
        ("moved", "passed"),
        ("other", "skipped"),
        ("wrong", "failed"),
    ];
    let expected: Vec<(String, String)> =
        expected.map(|(id, state)| (id.into(), state.into())).into();
    assert_eq!(ended, expected, "{events:#?}");
    assert_eq!(code, 1);
    // A result says which node it is of, whichever answers for all of them.
    let finished = crate::helper::ended(&events);
    let is_of = |id: &str| finished[id]["identity"]["node"].as_str();
    assert_eq!(
        ["node", "container", "second", "far"].map(is_of),
        [Some("pve1"), Some("pve1"), Some("pve2"), Some("pve2")]
    );
    // A program that the book brings is a stand-in for the real one.
    let by_stand_in: Vec<&str> = events
        .iter()
        .filter(|event| event["stand_in"] == true)
        .filter_map(|event| event["id"].as_str()?.rsplit('/').next())
        .collect();
    assert_eq!(by_stand_in, ["own"]);
}

#[test]
fn a_container_that_stops_under_a_script_fails_it_and_starts_again() {
    if let Err(why) = isolate::available_with(env!("CARGO_BIN_EXE_runbook").as_ref()) {
        eprintln!("skipped: {why}");
        return;
    }
    let chapter = [
        "# Guide\n\n## S\n\n".to_owned(),
        typed(
            "id: stops\non: lxc/dns1\ntimeout: 30s\nbash: echo kept >/root/kept; systemctl poweroff; sleep 300",
        ),
        typed(
            "id: stopped\non: lxc/dns1\nneeds: []\nretry: 20s\nlxc: {}\nexpect: {state: stopped}",
        ),
        typed("id: down\non: lxc/dns1\nneeds: []\ntimeout: 20s\nbash: 'true'"),
        typed(
            "id: start\non: lxc/dns1\nneeds: []\nlxc: {state: running}\nexpect: {state: running}",
        ),
        typed(
            "id: again\non: lxc/dns1\nneeds: start\nretry: 20s\nbash: cat /root/kept\nexpect: {stdout: kept}",
        ),
    ];
    let book = TestBook::new(&chapter.concat());
    book.write("inventory.yaml", INVENTORY);
    let (code, events) = book.events(&["verify", "--json"]);
    let ended = ended(&events);
    for (id, state) in [
        ("stops", "failed"),
        ("stopped", "passed"),
        ("down", "failed"),
        ("start", "passed"),
        ("again", "passed"),
    ] {
        assert_eq!(ended[id]["state"], state, "{id}: {}", told(&ended[id]));
    }
    let why = told(&ended["down"]);
    assert!(why.contains("not running"), "{why}");
    assert_eq!(code, 4, "both could not be used");
}

#[test]
fn a_connection_that_is_lost_during_a_restart_is_no_failure_of_it() {
    if let Err(why) = isolate::available_with(env!("CARGO_BIN_EXE_runbook").as_ref()) {
        eprintln!("skipped: {why}");
        return;
    }
    let restart = |id: &str, target: &str, more: &str| {
        typed(&format!(
            "id: {id}\non: {target}\nneeds: []\nreboot: {{}}\n{more}"
        ))
    };
    let boot = |id: &str, more: &str| {
        typed(&format!(
            "id: {id}\non: host/nas\neffect: read\nneeds: []\nbash: cat /proc/sys/kernel/random/boot_id\n{more}"
        ))
    };
    let chapter = [
        "# Guide\n\n## S\n\n".to_owned(),
        boot("before", "capture: {boot: {stdout: '\\S+'}}"),
        restart(
            "restart",
            "host/nas",
            "expect: {boot-id: {not: {equals: '{{ steps.before.boot }}'}}, uptime: {at-least: 0}}\ncapture: {boot: boot-id}",
        ),
        // What a run goes on with has another connection, to the new boot.
        boot("after", "expect: {stdout: '{{ steps.restart.boot }}'}"),
        restart("node", "node/pve1", ""),
        // A script that takes its own connection away does not know how far it came; what comes next is not touched by it.
        typed(
            "id: script\non: host/nas\nneeds: []\ntimeout: 60s\nbash: echo begins; sudo -n systemctl reboot; sleep 300",
        ),
        typed(
            "id: next\non: host/nas\nneeds: []\nretry: 30s\nbash: echo back\nexpect: {stdout: back}",
        ),
        // One that does not come back: its time ends the wait, and says what was seen last.
        typed("id: silence\non: host/nas\nneeds: []\nbash: sudo -n systemctl disable ssh"),
        restart("gone", "host/nas", "timeout: 6s"),
    ];
    let book = TestBook::new(&chapter.concat());
    book.write("inventory.yaml", INVENTORY);
    let (code, events) = book.events(&["verify", "--json"]);
    let ended = ended(&events);
    for (id, state) in [
        ("before", "passed"),
        ("restart", "passed"),
        ("after", "passed"),
        ("node", "passed"),
        ("script", "failed"),
        ("next", "passed"),
        ("silence", "passed"),
        ("gone", "timed-out"),
    ] {
        assert_eq!(ended[id]["state"], state, "{id}: {}", told(&ended[id]));
    }
    assert_eq!(ended["restart"]["changed"], true);
    let why = told(&ended["script"]);
    assert!(
        why.contains("the connection to host/nas was lost while it ran"),
        "{why}"
    );
    let why = told(&ended["gone"]);
    assert!(
        why.contains("not back within 6s: host/nas cannot be used"),
        "{why}"
    );
    assert!(why.contains("Connection refused"), "{why}");
    assert_eq!(code, 1, "a machine that is not back has failed its step");
}
