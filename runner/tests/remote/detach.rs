//! Scripts that go on without us.

use std::time::{Duration, Instant};

use runbook_runner::process::{Cancel, End, Limits, Record};
use runbook_runner::remote::{Detached, RemoteError, Script};

use crate::book_test::bash;
use crate::endpoint::{Endpoint, endpoint, own_endpoint, unique};
use crate::engine::book;

/// What was started there may take until it runs.
const START_MAX: Duration = Duration::from_secs(20);
const CHILD: &str = "RUNBOOK_TEST_DETACHED_SCRIPT";

fn detached(key: &str, run: &str, text: &str) -> Detached {
    Detached {
        script: Script {
            language: "bash".into(),
            text: text.into(),
            strict: true,
            env: vec![("X".into(), "it's\n$x".into())],
        },
        key: key.into(),
        run: run.into(),
    }
}

/// A key that no other test has.
fn key() -> String {
    unique().replace('.', "d")
}

fn limits(seconds: f32) -> Limits {
    Limits::new(Duration::from_secs_f32(seconds), Cancel::new())
}

async fn folder(endpoint: &Endpoint, key: &str) -> String {
    endpoint
        .says(&format!("ls -d ~/.runbook/{key} 2>/dev/null || true"))
        .await
}

crate::everywhere!(it_gives_the_same_result_and_leaves_nothing);

async fn it_gives_the_same_result_and_leaves_nothing(endpoint: Endpoint) {
    let key = key();
    let text = "cat; echo \"$X\"; echo err >&2; head -c 3000000 /dev/zero | tr '\\0' x; setsid sleep 300 & exit 255";
    let (finished, note) = detached(&key, "r1", text)
        .run(&endpoint.remote(), limits(60.0), Record::default())
        .await
        .expect("ran");
    assert_eq!(
        (finished.end, finished.code, note),
        (End::Itself, Some(255), None)
    );
    assert_eq!(finished.output.stdout.total(), 3_000_000 + 8);
    assert!(finished.output.stdout.text().starts_with("it's\n$x\nxxx"));
    assert_eq!(finished.output.stderr.text(), "err\n");
    assert_eq!(folder(&endpoint, &key).await, "");
}

crate::everywhere!(its_time_and_a_stop_end_it_there);

async fn its_time_and_a_stop_end_it_there(endpoint: Endpoint) {
    for stops in [false, true] {
        let (key, number) = (key(), unique());
        let text = format!("echo up; trap '' TERM; setsid sleep {number} & sleep {number}");
        let limits = limits(if stops { 60.0 } else { 2.0 });
        let cancel = limits.cancel.clone();
        let remote = endpoint.remote();
        let script = detached(&key, "r1", &text);
        let running =
            tokio::spawn(async move { script.run(&remote, limits, Record::default()).await });
        if stops {
            wait_for(&endpoint, &number).await;
            cancel.stop();
        }
        let (finished, _) = running.await.expect("no panic").expect("it began");
        assert_eq!(
            finished.end,
            if stops { End::Cancelled } else { End::TimedOut }
        );
        assert_eq!(endpoint.gone(&number, Duration::from_secs(5)).await, "");
        assert_eq!(folder(&endpoint, &key).await, "");
    }
}

async fn wait_for(endpoint: &Endpoint, number: &str) {
    let started = Instant::now();
    while endpoint.alive(number).await.is_empty() {
        assert!(started.elapsed() < START_MAX, "never began");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_lost_connection_does_not_matter() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let (key, number) = (key(), unique());
    let text = format!("echo first; sleep {number} & p=$!; sleep 4; kill $p; echo last");
    let remote = endpoint.remote();
    let script = detached(&key, "r1", &text);
    let running =
        tokio::spawn(async move { script.run(&remote, limits(60.0), Record::default()).await });
    wait_for(&endpoint, &number).await;
    endpoint.server().cut();
    let (finished, _) = running.await.expect("no panic").expect("ran");
    assert_eq!(finished.code, Some(0));
    assert_eq!(finished.output.stdout.text(), "first\nlast\n");
}

/// Run by the next test in a process of its own, which is killed.
#[tokio::test]
async fn child_that_is_killed() {
    let Ok(text) = std::env::var(CHILD) else {
        return;
    };
    let Some(endpoint) = endpoint() else { return };
    let (key, text) = text.split_once(' ').expect("a key and a script");
    let script = detached(key, "r1", text);
    let _ = script
        .run(&endpoint.remote(), limits(300.0), Record::default())
        .await;
}

crate::by_ssh!(a_killed_runner_finds_it_again_running_or_ended);

async fn a_killed_runner_finds_it_again_running_or_ended(endpoint: Endpoint) {
    for ends_first in [false, true] {
        let (key, number) = (key(), unique());
        // There, wherever that is.
        let file = format!("/tmp/runbook-test-{key}");
        let text = format!(
            "echo once >>{file}; sleep {number} & p=$!; sleep 8; kill $p; echo done; exit 7"
        );
        let mut child = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "detach::child_that_is_killed"])
            .env(CHILD, format!("{key} {text}"))
            .env("RUNBOOK_TEST_SSH_CONFIG", &endpoint.config)
            .env("RUNBOOK_TEST_SSH_HOST", &endpoint.host)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("this program starts");
        wait_for(&endpoint, &number).await;
        child.kill().expect("killed");
        child.wait().expect("ended");
        assert_ne!(endpoint.alive(&number).await, "", "it goes on without us");
        if ends_first {
            assert_eq!(endpoint.gone(&number, Duration::from_secs(20)).await, "");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let (finished, note) = detached(&key, "r2", &text)
            .run(&endpoint.remote(), limits(60.0), Record::default())
            .await
            .expect("ran");
        assert_eq!(finished.code, Some(7));
        assert_eq!(finished.output.stdout.text(), "done\n");
        let expected = "found again: run r1 began it and did not see its end";
        assert_eq!(note.as_deref(), Some(expected));
        let ran = endpoint.says(&format!("cat {file}; rm {file}")).await;
        assert_eq!(ran, "once\n", "it was not begun twice");
        assert_eq!(folder(&endpoint, &key).await, "");
    }
}

crate::everywhere!(one_that_was_killed_there_is_lost_and_the_next_begins_anew);

async fn one_that_was_killed_there_is_lost_and_the_next_begins_anew(endpoint: Endpoint) {
    let (key, number) = (key(), unique());
    let remote = endpoint.remote();
    let script = detached(&key, "r1", &format!("sleep {number}"));
    let running =
        tokio::spawn(async move { script.run(&remote, limits(60.0), Record::default()).await });
    wait_for(&endpoint, &number).await;
    let all = endpoint.says(&format!("cat ~/.runbook/{key}/pid")).await;
    let pid = all.split(' ').next().expect("a number").to_owned();
    endpoint.says(&format!("kill -s KILL {pid}")).await;
    let error = running.await.expect("no panic").expect_err("lost");
    assert!(matches!(error, RemoteError::Lost { .. }), "{error}");
    let (finished, note) = detached(&key, "r2", "echo new")
        .run(&endpoint.remote(), limits(60.0), Record::default())
        .await
        .expect("ran");
    assert_eq!(
        (finished.output.stdout.text().as_ref(), note),
        ("new\n", None)
    );
}

#[test]
fn a_step_is_detached() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let steps = [
        bash(
            "id: there\non: host/nas\ndetach: true\nexpect: {stdout: a1}\ncapture: {x: {stdout: a}}",
            "sleep 1; echo a1",
        ),
        bash("id: here\ndetach: true", "echo here"),
    ];
    let ran = book(&endpoint, &steps.concat()).run();
    assert_eq!(
        ran.states(),
        ["there passed", "here passed"],
        "{}",
        ran.journal()
    );
    let note = ran.step("here").note.clone().unwrap_or_default();
    assert!(note.contains("`detach` did nothing"), "{note}");
}
