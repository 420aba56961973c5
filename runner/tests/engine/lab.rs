//! `local` in the lab: a scratch directory, and kept from the real homelab (LANGUAGE sections 6 and 7).

use std::process::Command;

use runbook::outcome::State;

use crate::book_test::{BookTest, bash, step};

const MACHINES: &str = "nodes: {pve1: {address: 10.99.0.1}}\nhosts: {nas: {address: 10.99.0.2}}\n";

#[test]
fn each_guide_has_a_scratch_directory_and_a_home_of_its_own_removed_afterwards() {
    let look = "echo \"$PWD $HOME\"; test \"$PWD\" != \"$HOME\"; ls -A; touch here";
    let book = BookTest::new(&bash("id: x\ncapture: {place: {stdout: '^(\\S+) '}}", look)).chapter(
        "b",
        &bash("id: x\ncapture: {place: {stdout: '^(\\S+) '}}", look),
    );
    let ran = book.run();
    let (a, b) = (
        &ran.step("x").captures["place"],
        &ran.step("b#s/x").captures["place"],
    );
    assert_ne!(a, b);
    for place in [a, b] {
        assert!(
            !std::path::Path::new(place.as_str().unwrap()).exists(),
            "{place} is left"
        );
    }
    assert!(!book.root().join("here").exists());
}

#[test]
fn a_script_that_names_a_machine_of_the_inventory_is_skipped() {
    let steps = bash("id: a\neffect: read", "ping -c1 pve1")
        + &bash("id: b\neffect: read\nneeds: []", "curl http://10.99.0.2/")
        + &bash(
            "id: c\nneeds: []",
            "echo {{ inventory.nodes.pve1.address }}",
        )
        + &bash("id: d\nneeds: []\nunless: ssh nas true", "true")
        + &bash(
            "id: e\nneeds: []\ncleanup: always\nundo: 'true'",
            "ssh nas reboot",
        )
        + &bash("id: f\nneeds: e", "true")
        + &bash("id: g\nneeds: a", "true");
    let ran = BookTest::new(&steps).inventory(MACHINES).run();
    for (id, state) in [
        ("a", State::Skipped),
        ("b", State::Skipped),
        ("c", State::Passed),
        ("d", State::Skipped),
        ("e", State::Skipped),
        ("f", State::Skipped),
        ("g", State::Passed),
    ] {
        assert_eq!(ran.state(id), state, "{id}: {}", ran.why(id));
    }
    assert!(ran.why("a").contains("it names `pve1`"), "{}", ran.why("a"));
    assert!(
        ran.why("f")
            .contains("needs `a#s/e`, which the lab skipped"),
        "{}",
        ran.why("f")
    );
    assert!(ran.undone().is_empty());
    let real = BookTest::new(&bash("id: c", "echo pve1"))
        .home()
        .inventory(&format!("profiles: {{home: {{vars: {{}}}}}}\n{MACHINES}"))
        .run();
    assert_eq!(real.state("c"), State::Passed);
}

#[test]
fn a_probe_of_an_inventory_machine_never_leaves() {
    let steps = step("id: a\ntcp: {host: pve1, port: 22}")
        + &step("id: b\nneeds: []\nhttp: {url: 'https://10.99.0.1:8006/'}")
        + &step("id: c\nneeds: []\ndns: {name: nas.lan}")
        + &step("id: d\nneeds: []\ntls: {host: 'nas', port: 443}")
        + &step("id: e\nneeds: []\ntcp: {host: 127.0.0.1, port: 9}\nexpect: {open: false}");
    let ran = BookTest::new(&steps).inventory(MACHINES).run();
    for id in ["a", "b", "c", "d"] {
        assert_eq!(ran.state(id), State::Skipped, "{id}: {}", ran.why(id));
        // The tests' own program cannot isolate; with the real one the lab answers (`tests/cli/stand_ins.rs`).
        assert!(
            ran.why(id).contains("isolation is not possible here"),
            "{}",
            ran.why(id)
        );
    }
    assert_eq!(ran.state("e"), State::Passed, "{}", ran.why("e"));
}

#[test]
fn a_command_that_is_not_there_is_skipped_with_what_needs_it() {
    let steps = bash(
        "id: a\ncleanup: always\nundo: 'true'",
        "sgdisk-of-another-machine -p /dev/sda",
    ) + &bash("id: b\neffect: read", "true")
        + &bash("id: c", "true")
        + &bash("id: d\nneeds: []\neffect: read", "no-such-program")
        + &bash("id: e\nneeds: d", "true")
        + &bash("id: f\nneeds: []", "exit 127");
    let ran = BookTest::new(&steps).run();
    assert_eq!(ran.state("a"), State::Skipped);
    assert_eq!(
        ran.why("a"),
        "this machine has no `sgdisk-of-another-machine`"
    );
    assert_eq!(
        (ran.state("b"), ran.state("c")),
        (State::Skipped, State::Skipped)
    );
    assert!(
        ran.why("c").contains("which the lab skipped"),
        "{}",
        ran.why("c")
    );
    assert_eq!(
        (ran.state("d"), ran.state("e"), ran.state("f")),
        (State::Skipped, State::Passed, State::Failed)
    );
    assert!(ran.undone().is_empty());
    let real = BookTest::new(&bash("id: a", "no-such-program"))
        .home()
        .run();
    assert_eq!(real.state("a"), State::Failed);
}

#[test]
fn files_are_changed_below_the_scratch_directory_only() {
    let outside = tempfile::tempdir().unwrap();
    let path = outside.path().join("x");
    let steps = step("id: a\nfile: {path: conf, content: x}")
        + &step(&format!(
            "id: b\nneeds: []\nfile: {{path: '{}', content: x}}",
            path.display()
        ))
        + &step("id: c\nneeds: []\nline: {path: ../../up, line: x, create: true}")
        + &bash("id: d\neffect: read\nneeds: a", "test \"$(cat conf)\" = x");
    let ran = BookTest::new(&steps).run();
    assert_eq!(ran.state("a"), State::Passed, "{}", ran.why("a"));
    for id in ["b", "c"] {
        assert_eq!(ran.state(id), State::Skipped, "{id}");
        assert!(
            ran.why(id).contains("outside its scratch directory"),
            "{}",
            ran.why(id)
        );
    }
    assert_eq!(ran.state("d"), State::Passed, "{}", ran.why("d"));
    assert!(!path.exists());
}

#[test]
fn kubectl_knows_the_lab_only() {
    let steps = bash(
        "id: a\neffect: read",
        "test -s \"$KUBECONFIG\"; grep -q '\"contexts\":\\[\\]' \"$KUBECONFIG\"",
    );
    let ran = BookTest::new(&steps).run();
    assert_eq!(ran.state("a"), State::Passed, "{}", ran.why("a"));
    // Who reads it by itself finds the clusters of the inventory.
    let steps = bash(
        "id: a\neffect: read",
        "grep -o '\"current-context\":\"[a-z]*\"' \"$KUBECONFIG\" | grep -q home",
    );
    let ran = BookTest::new(&steps)
        .inventory("clusters: {home: {}}\n")
        .run();
    assert_eq!(ran.state("a"), State::Passed, "{}", ran.why("a"));
}

#[test]
fn a_step_that_needs_the_repository_gets_a_clone_with_an_origin_of_the_labs() {
    let steps = step(
        "id: a\ngit: {path: apps/a.yaml, content: \"a: 1\\n\", commit: add a, push: true}\ncleanup: always",
    ) + &bash(
        "id: b\neffect: read",
        "git log --format=%s origin/HEAD -1 | grep -q 'add a' && test -e README",
    ) + &step(
        "id: c\ngit: {path: apps/a.yaml}\nexpect: {state: clean, revision: {matches: '^[0-9a-f]{40}$'}}",
    );
    let book = BookTest::new(&steps).file("README", "x");
    let git = |args: &[&str]| {
        let done = Command::new("git")
            .args(args)
            .current_dir(book.root())
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    git(&["init", "-q", "."]);
    git(&["add", "."]);
    git(&[
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "commit",
        "-qm",
        "first",
    ]);
    let ran = book.run();
    for id in ["a", "b", "c"] {
        assert_eq!(ran.state(id), State::Passed, "{id}: {}", ran.why(id));
    }
    assert_eq!(ran.undone(), ["a passed"], "{:?}", ran.result);
    assert_eq!(
        git(&["log", "--format=%s"]).trim(),
        "first",
        "the real repository is as it was"
    );
}
