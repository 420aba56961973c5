//! What goes wrong on the way to a machine and there, as a step of a book ends by it: state, message, exit code.

use std::fs;

use runbook::outcome::State;

use crate::book_test::bash;
use crate::endpoint::{key, own_endpoint};
use crate::engine::book;

/// What a step prints that prints much.
const MUCH_BYTES: u64 = 1 << 30;
/// What is kept of it on disk.
const ARTIFACT_BYTES_MAX: u64 = 64 << 20;

#[test]
fn a_host_key_that_changed_cannot_be_used_and_says_which_line() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let directory = endpoint.server().directory.path();
    key(&directory.join("other"));
    let other = fs::read_to_string(directory.join("other.pub")).expect("a key");
    let known = directory.join("known_hosts");
    let port = endpoint.server().port;
    fs::write(&known, format!("[127.0.0.1]:{port} {other}")).expect("known hosts");
    let ran = book(&endpoint, &bash("id: x\non: host/nas", "touch never")).run();
    assert_eq!(
        (ran.state("x"), ran.result.exit_code),
        (State::Failed, 4),
        "{}",
        ran.why("x")
    );
    let why = ran.why("x");
    assert!(why.starts_with("host/nas cannot be used"), "{why}");
    assert!(why.contains("host key"), "{why}");
    let hint = ran.step("x").hint.clone().unwrap_or_default();
    assert!(hint.contains("known_hosts"), "{hint}");
}

#[test]
fn what_reads_hangs_or_prints_much_ends_as_its_step() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let steps = [
        bash(
            "id: reads\non: host/nas\ntimeout: 30s\nexpect: {stdout: nobody}",
            "read -r answer || echo nobody",
        ),
        bash(
            "id: hangs\non: host/nas\nneeds: []\ntimeout: 2s",
            "trap '' TERM; echo begins; while :; do sleep 1; done",
        ),
        bash(
            "id: much\non: host/nas\nneeds: []\ntimeout: 10m",
            &format!("head -c {MUCH_BYTES} /dev/zero | tr '\\0' x; echo; echo the end"),
        ),
        bash(
            "id: judged\non: host/nas\nneeds: []\ntimeout: 10m\nexpect: {stdout: {contains: the end}}",
            "head -c 20000000 /dev/zero | tr '\\0' x; echo; echo the end",
        ),
    ];
    let test = book(&endpoint, &steps.concat());
    let ran = test.run();
    ran.assert_complete();
    assert_eq!(
        ran.states(),
        [
            "reads passed",
            "hangs timed-out",
            "much passed",
            "judged failed"
        ],
        "{} {} {}",
        ran.why("reads"),
        ran.why("much"),
        ran.why("judged")
    );
    assert_eq!(ran.result.exit_code, 1);
    assert!(
        ran.why("hangs").contains("ended after its time of 2s"),
        "{}",
        ran.why("hangs")
    );
    assert!(
        ran.why("judged")
            .contains("cannot be judged: it is longer than the 4 MiB"),
        "{}",
        ran.why("judged")
    );
    let kept = ran.step("much").artifacts.first().expect("an artifact");
    let kept = fs::metadata(test.directory().join(kept)).expect("a file");
    assert!(
        kept.len() > 1 << 20 && kept.len() <= ARTIFACT_BYTES_MAX + 4096,
        "{}",
        kept.len()
    );
    assert!(ran.journal().len() < 1 << 20, "output is no event");
}

#[test]
fn a_connection_that_is_lost_ends_the_step_and_the_next_one_has_another() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let listener = endpoint.server().listener();
    let begun = endpoint.server().directory.path().join("begun");
    let steps = [
        bash(
            "id: lost\non: host/nas\ntimeout: 60s",
            &format!("touch {}; sleep 300", begun.display()),
        ),
        bash("id: next\non: host/nas\nneeds: []", "true"),
    ];
    let cutter = std::thread::spawn(move || {
        for _ in 0..3000 {
            if begun.exists() {
                for pid in crate::endpoint::sessions(listener) {
                    crate::endpoint::kill(pid);
                }
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    });
    let ran = book(&endpoint, &steps.concat()).run();
    cutter.join().expect("no panic");
    assert_eq!(
        ran.states(),
        ["lost failed", "next passed"],
        "{}",
        ran.why("lost")
    );
    assert!(
        ran.why("lost")
            .contains("the connection to host/nas was lost while it ran"),
        "{}",
        ran.why("lost")
    );
    assert_eq!(ran.result.exit_code, 4);
}
