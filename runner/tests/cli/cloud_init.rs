//! A text for cloud-init: a file of the node that the machine's configuration names.

use runbook_lab::isolate;

use crate::book::{TestBook, text};
use crate::helper::{Homelab, ended, told, typed};

const INVENTORY: &str = "\
nodes:
  pve1: {address: 192.168.4.11}
guests:
  box: {kind: vm, vmid: 140, node: pve1, facts: {lab: {state: absent}}}
";

fn script(id: &str, body: &str, options: &str) -> String {
    let options: String = options.lines().map(|line| format!("#| {line}\n")).collect();
    format!("```bash runbook\n#| id: {id}\n#| on: node/pve1\n{options}{body}\n```\n\n")
}

#[test]
fn a_text_is_written_on_the_node_once_and_taken_back() {
    if let Err(why) = isolate::available_with(env!("CARGO_BIN_EXE_runbook").as_ref()) {
        eprintln!("skipped: {why}");
        return;
    }
    let make = |id: &str, package: &str, more: &str| {
        typed(&format!(
            "id: {id}\non: vm/box\nvm:\n  disk: local-lvm:8GiB\n  net: {{bridge: vmbr0}}\n  cloud-init:\n    user: admin\n    user-data: |\n      #cloud-config\n      packages: [{package}]\n  state: running\n{more}"
        ))
    };
    let dump = |id: &str, package: &str| {
        typed(&format!(
            "id: {id}\non: node/pve1\nproxmox: {{path: /nodes/pve1/qemu/140/cloudinit/dump, params: {{type: user}}}}\nexpect: {{json: {{$: {{contains: 'packages: [{package}]'}}}}}}"
        ))
    };
    let chapter = [
        "# Guide\n\n## S\n\n".to_owned(),
        make(
            "make",
            "nginx",
            "cleanup: always\nexpect: {state: running, config: {ide2: {contains: cloudinit}, cicustom: {matches: '^user=local:snippets/runbook-140-[0-9a-f]{16}\\.yaml$'}}}",
        ),
        make("again", "nginx", ""),
        dump("served", "nginx"),
        script(
            "mode",
            "stat -c %a /var/lib/vz/snippets/runbook-140-*.yaml",
            "effect: read\nexpect: {stdout: '600'}",
        ),
        make("other", "caddy", ""),
        dump("changed", "caddy"),
        // The text before it is nobody's any more.
        script(
            "tidy",
            "ls /var/lib/vz/snippets | wc -l",
            "effect: read\nexpect: {stdout: '1'}",
        ),
        script("lost", "rm /var/lib/vz/snippets/*", "expect: {exit: 0}"),
        make("back", "caddy", ""),
        script(
            "files",
            "ls /var/lib/vz/snippets | wc -l",
            "effect: read\nexpect: {stdout: '1'}",
        ),
        typed(
            "id: gone\non: vm/box\nneeds: []\nvm: {config: {cicustom: 'user=local:snippets/nobody.yaml'}, state: stopped}",
        ),
        typed("id: starts\non: vm/box\nneeds: gone\nvm: {state: running}"),
    ];
    let book = TestBook::new(&chapter.concat());
    book.write("inventory.yaml", INVENTORY);
    let (_, events) = book.events(&["verify", "--json"]);
    let ended = ended(&events);
    for (id, state, changed) in [
        ("make", "passed", true),
        ("again", "passed", false),
        ("served", "passed", false),
        ("mode", "passed", false),
        ("other", "passed", true),
        ("changed", "passed", false),
        ("tidy", "passed", false),
        ("lost", "passed", true),
        ("back", "passed", true),
        ("files", "passed", false),
        ("gone", "passed", true),
        ("starts", "failed", true),
    ] {
        assert_eq!(ended[id]["state"], state, "{id}: {}", told(&ended[id]));
        assert_eq!(ended[id]["changed"], changed, "{id}: {}", told(&ended[id]));
    }
    let diff = text(&ended["make"]["diff"]);
    assert!(
        diff.contains("+ local:snippets/runbook-140-")
            && diff.ends_with("on pve1:\n+   #cloud-config\n+   packages: [nginx]"),
        "{diff}"
    );
    assert!(
        told(&ended["starts"]).contains("can't open '/var/lib/vz/snippets/nobody.yaml'"),
        "{}",
        told(&ended["starts"])
    );
    let undone: Vec<String> = events
        .iter()
        .filter(|event| event["event"] == "undo-finished")
        .map(|event| format!("{} {}", text(&event["state"]), text(&event["summary"])))
        .collect();
    assert_eq!(undone, ["passed remove vm 140"]);
}

#[test]
fn a_text_that_was_replaced_goes_and_comes_back_with_what_named_it() {
    if let Err(why) = isolate::available_with(env!("CARGO_BIN_EXE_runbook").as_ref()) {
        eprintln!("skipped: {why}");
        return;
    }
    let lab = Homelab::start();
    let make = |package: &str, more: &str| {
        typed(&format!(
            "id: make\non: node/pve1\nvm:\n  vmid: 9001\n  hostname: box\n  disk: local-lvm:8GiB\n  cloud-init:\n    user: admin\n    user-data: |\n      #cloud-config\n      packages: [{package}]\n{more}"
        ))
    };
    let lists = |packages: &[&str]| {
        let expect: String = packages
            .iter()
            .map(|package| format!("packages: [{package}]\n"))
            .collect();
        script(
            "look",
            "cat /var/lib/vz/snippets/* | grep packages | sort",
            &format!("effect: read\nneeds: []\nexpect: {{stdout: {expect:?}}}")
                .replace("\\n\"", "\""),
        )
    };
    let good = |steps: &str| {
        let (code, ended, events) = lab.run(steps);
        let all: Vec<String> = ended.values().map(told).collect();
        assert_eq!(code, 0, "{all:?}");
        (ended, events)
    };
    good(&(make("nginx", "") + &lists(&["nginx"])));
    // Replaced, and taken back at the end of the run: the text is there again.
    let (_, events) = good(&(make("caddy", "cleanup: always\n") + &lists(&["caddy"])));
    assert!(
        events
            .iter()
            .any(|event| event["event"] == "undo-finished" && event["state"] == "passed"),
        "{events:?}"
    );
    good(&lists(&["nginx"]));
    // What a snapshot may go back to stays, and that is said.
    let snapshot = "id: point\non: node/pve1\nproxmox: {path: /nodes/pve1/qemu/9001/snapshot, method: POST, params: {snapname: before}}";
    good(&typed(snapshot));
    let (ended, _) = good(&(make("caddy", "") + &lists(&["caddy", "nginx"])));
    let said = told(&ended["make"]);
    assert!(
        said.contains("stays on `pve1`: a machine or a snapshot names it"),
        "{said}"
    );
    // What nobody names goes.
    let (ended, _) = good(&make("httpd", ""));
    assert!(ended["make"]["note"].is_null(), "{:#}", ended["make"]);
    good(&lists(&["httpd", "nginx"]));
    // Created and taken back: also the text that another step gave meanwhile.
    let third = |id: &str, package: &str, more: &str| {
        let step = make(package, more).replace("9001", "9003");
        let step = step.replace("hostname: box", "hostname: third");
        step.replace("id: make", &format!("id: {id}"))
    };
    let steps = [
        third("first", "nginx", "cleanup: always\n"),
        third("again", "caddy", ""),
        lists(&["caddy", "httpd", "nginx"]),
    ];
    good(&steps.concat());
    good(&lists(&["httpd", "nginx"]));
}

#[test]
fn the_texts_of_a_machine_go_with_it_unless_another_one_names_them() {
    if let Err(why) = isolate::available_with(env!("CARGO_BIN_EXE_runbook").as_ref()) {
        eprintln!("skipped: {why}");
        return;
    }
    let make = |id: &str, package: &str| {
        typed(&format!(
            "id: {id}\non: vm/box\nvm:\n  disk: local-lvm:8GiB\n  cloud-init:\n    user: admin\n    user-data: |\n      #cloud-config\n      packages: [{package}]"
        ))
    };
    let lists = |id: &str, packages: &str| {
        script(
            id,
            "cat /var/lib/vz/snippets/* 2>/dev/null | grep -o '\\[.*]' | sort | paste -sd ' '",
            &format!("effect: read\nexpect: {{stdout: '{packages}'}}"),
        )
    };
    let chapter = [
        "# Guide\n\n## S\n\n".to_owned(),
        make("make", "nginx"),
        typed("id: point\non: vm/box\nsnapshot: {name: point}"),
        make("other", "caddy"),
        typed("id: copy\non: vm/copy\nvm: {clone: {from: box, full: true}}"),
        lists("both", "[caddy] [nginx]"),
        // Somebody's own file is nobody's to remove.
        script(
            "own",
            "echo '[own]' >/var/lib/vz/snippets/own.yaml",
            "expect: {exit: 0}",
        ),
        typed("id: gone\non: vm/box\nvm: {state: absent}\nexpect: {state: absent}"),
        lists("left", "[caddy] [own]"),
        typed("id: copy-gone\non: vm/copy\nvm: {state: absent}\nexpect: {state: absent}"),
        lists("none", "[own]"),
    ];
    let book = TestBook::new(&chapter.concat());
    let copy = "  copy: {kind: vm, vmid: 141, node: pve1, facts: {lab: {state: absent}}}\n";
    book.write("inventory.yaml", format!("{INVENTORY}{copy}"));
    let (code, events) = book.events(&["verify", "--json"]);
    let ended = ended(&events);
    for (id, event) in &ended {
        assert_eq!(event["state"], "passed", "{id}: {}", told(event));
    }
    assert_eq!(code, 0, "{events:#?}");
    let goes = |id: &str| {
        let diff = text(&ended[id]["diff"]);
        let lines = diff.lines().filter(|line| line.contains(":snippets/"));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        assert!(
            lines
                .iter()
                .all(|line| line.starts_with("- local:snippets/runbook-140-")
                    && line.ends_with(".yaml on pve1")),
            "{diff}"
        );
        lines.len()
    };
    assert_eq!(goes("gone"), 1, "what the copy names stays");
    let said = told(&ended["gone"]);
    assert!(
        said.contains(" stays on `pve1`: a machine or a snapshot names it"),
        "{said}"
    );
    assert_eq!(goes("copy-gone"), 1);
    assert!(!told(&ended["copy-gone"]).contains(" stays on "));
}
