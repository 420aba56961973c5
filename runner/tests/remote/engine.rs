//! Steps of a book on another machine, by the engine.

use std::fs;
use std::sync::Arc;

use runbook::outcome::{Mode, State};
use runbook_runner::reach::{Reach, ReachFuture};
use runbook_runner::remote::{Guests, SshSettings};

use crate::book_test::{BookTest, bash, step};
use crate::endpoint::{Endpoint, own_endpoint};

pub(crate) fn book(endpoint: &Endpoint, steps: &str) -> BookTest {
    let config = endpoint.config.display();
    let inventory = format!(
        "profiles:\n  home:\n    ssh: {{config: {config}}}\nhosts:\n  nas: {{address: target}}\n  nowhere: {{address: 127.0.0.1, port: 1}}\n\
         guests:\n  web: {{kind: lxc, vmid: 104, node: pve1}}\nnodes:\n  pve1: {{address: target}}\nsecrets:\n  token: {{env: RUNBOOK_TEST_TOKEN_OF_NOBODY}}\n"
    );
    BookTest::empty()
        .inventory(&inventory)
        .chapter("a", steps)
        .home()
        .mode(Mode::Converge)
}

/// Machines that are reached so.
pub(crate) struct Given(pub(crate) SshSettings);

impl Reach for Given {
    fn ssh(&self, _: u32) -> ReachFuture<'_, Result<SshSettings, String>> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }

    fn guests(&self, _: u32) -> ReachFuture<'_, Option<Arc<dyn Guests>>> {
        Box::pin(std::future::ready(None))
    }
}

#[test]
fn scripts_run_where_they_are_told() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let steps = [
        bash(
            "id: greet\non: host/nas\nenv: {WHO: \"it's\\nme\"}\nexpect: {stdout: {contains: me}}\ncapture: {pid: {stdout: 'pid (\\d+)'}}",
            "echo \"$WHO\"; echo pid $$; echo \"run $RUNBOOK_RUN\"; [ -d \"$HOME\" ]",
        ),
        bash(
            "id: pass-on\non: node/pve1\nexpect: {stdout: 'got {{ steps.greet.pid }}'}",
            "echo got {{ steps.greet.pid }}",
        ),
        bash(
            "id: fails\non: host/nas\nneeds: []",
            "echo why >&2; exit 255",
        ),
        bash(
            "id: hangs\non: host/nas\nneeds: []\ntimeout: 1s",
            "sleep 300",
        ),
        bash("id: nobody\non: host/nowhere\nneeds: []", "true"),
        bash(
            "id: already\non: host/nas\nneeds: []\nunless: test -d /",
            "exit 1",
        ),
        bash("id: container\non: lxc/web\nneeds: []", "true"),
    ];
    let ran = book(&endpoint, &steps.concat()).run();
    ran.assert_complete();
    assert_eq!(
        ran.states(),
        [
            "greet passed",
            "pass-on passed",
            "fails failed",
            "hangs timed-out",
            "nobody failed",
            "already passed",
            "container failed"
        ]
    );
    assert!(
        ran.output.contains("run 20261124T000000Z-0000"),
        "{}",
        ran.output
    );
    assert!(
        ran.why("fails").contains("exit: expected 0, got 255"),
        "{}",
        ran.why("fails")
    );
    assert!(ran.why("fails").contains("why"));
    assert!(
        ran.why("nobody")
            .starts_with("host/nowhere cannot be used: it is not reachable"),
        "{}",
        ran.why("nobody")
    );
    // No `pct` is here.
    assert!(
        ran.why("container").contains("pct: not found"),
        "{}",
        ran.why("container")
    );
    assert_eq!(
        endpoint.server().connections(),
        1,
        "node and host are the same login"
    );
}

#[test]
fn a_machine_that_is_not_there_is_its_own_exit_code() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let ran = book(&endpoint, &bash("id: nobody\non: host/nowhere", "true")).run();
    assert_eq!(ran.result.exit_code, 4);
}

#[test]
fn files_and_lines_are_changed_once_and_taken_back() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().display();
    fs::write(folder.path().join("conf"), "a=1\nb=2\n").expect("a file");
    let steps = [
        step(&format!(
            "id: file\non: host/nas\nfile: {{path: {at}/new, content: \"hello\\n\", mode: \"0600\"}}\nexpect: {{state: present}}\ncleanup: always"
        )),
        step(&format!(
            "id: line\non: host/nas\nline: {{path: {at}/conf, line: b=3, match: '^b='}}\ncleanup: always"
        )),
        bash(
            "id: look\non: host/nas\neffect: read",
            &format!("cat {at}/new {at}/conf; stat -c %a {at}/new"),
        ),
    ];
    let book = book(&endpoint, &steps.concat());
    let ran = book.run();
    assert_eq!(
        ran.states(),
        ["file passed", "line passed", "look passed"],
        "{}",
        ran.journal()
    );
    assert!(
        ran.output.contains("hello\na=1\nb=3\n600\n"),
        "{}",
        ran.output
    );
    assert!(ran.step("line").changed);
    assert!(
        ran.step("line")
            .diff
            .as_deref()
            .is_some_and(|diff| diff.contains("-b=2\n+b=3"))
    );
    assert_eq!(ran.undone(), ["line passed", "file passed"]);
    assert_eq!(
        fs::read_to_string(folder.path().join("conf")).expect("a file"),
        "a=1\nb=2\n"
    );
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    let observed = book.mode(Mode::Observe).run();
    assert_eq!(observed.state("file"), State::Drifted);
    assert_eq!(observed.state("line"), State::Drifted);
}

#[test]
fn a_server_there_stays_up_for_the_guide_and_not_longer() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().display();
    let steps = [
        bash(
            &format!("id: server\non: host/nas\nbackground: test -e {at}/ready"),
            &format!("echo $$ >{at}/pid; sleep 0.3; touch {at}/ready; sleep 300"),
        ),
        bash(
            "id: uses\non: host/nas\neffect: read",
            &format!("kill -0 $(cat {at}/pid)"),
        ),
        bash(
            "id: dies\non: host/nas\nbackground: 'false'",
            "echo why >&2; exit 3",
        ),
    ];
    let ran = book(&endpoint, &steps.concat()).run();
    assert_eq!(
        ran.states(),
        ["server passed", "uses passed", "dies failed"]
    );
    assert_eq!(
        ran.why("dies"),
        "ended with exit code 3 before it was ready: why"
    );
    let pid = fs::read_to_string(folder.path().join("pid")).expect("a number");
    assert!(!std::path::Path::new(&format!("/proc/{}", pid.trim())).exists());
}

#[test]
fn probes_are_asked_from_where_they_are_told_by_what_is_there() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let port = endpoint.server().port;
    let steps = [
        step(&format!(
            "id: open\non: host/nas\ntcp: {{host: 127.0.0.1, port: {port}}}"
        )),
        step("id: closed\non: host/nas\nneeds: []\ntcp: {host: 127.0.0.1, port: 1}"),
        step(
            "id: not-open\non: host/nas\nneeds: []\ntcp: {host: 127.0.0.1, port: 1}\nexpect: {open: false}",
        ),
        step(
            "id: http\non: host/nas\nneeds: []\nhttp: {url: 'http://127.0.0.1:1/', headers: {X-Token: s3cret}}",
        ),
    ];
    let ran = book(&endpoint, &steps.concat()).run();
    assert_eq!(
        ran.states(),
        [
            "open passed",
            "closed failed",
            "not-open passed",
            "http failed"
        ]
    );
    assert_eq!(ran.step("open").note.as_deref(), Some("asked by `bash`"));
    let why = ran.why("closed");
    assert!(why.contains("open: expected true, got false"), "{why}");
    let note = ran.step("not-open").note.clone().unwrap_or_default();
    assert!(note.contains("refused"), "{note}");
}
