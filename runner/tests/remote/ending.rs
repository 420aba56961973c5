//! Whatever ends a step here ends everything that it started there.

use std::time::{Duration, Instant};

use runbook_runner::process::{Cancel, End, Limits, Record, Stream};
use runbook_runner::remote::RemoteError;

use crate::endpoint::{Endpoint, endpoint, own_endpoint, run, script, unique};

/// A step over its time is ended within this.
const END_MAX: Duration = Duration::from_secs(5);
/// Tells a child of the tests what to run.
const CHILD: &str = "RUNBOOK_TEST_CHILD_SCRIPT";

/// Children that do not want to end: deaf to TERM, in a session of their own, without our variables, holding the pipe.
const STUBBORN: [&str; 6] = [
    "sleep NUMBER",
    "trap '' TERM; sleep NUMBER & sleep NUMBER; sleep NUMBER",
    "setsid sleep NUMBER & sleep 0.1; sleep NUMBER",
    "setsid sh -c \"trap '' TERM; while :; do sleep NUMBER; done\" & sleep NUMBER",
    "env -i sleep NUMBER",
    "(trap '' TERM HUP INT; setsid setsid sleep NUMBER >/dev/null 2>&1 &) ; sleep NUMBER",
];

crate::everywhere!(a_hang_is_ended_with_all_it_started);

async fn a_hang_is_ended_with_all_it_started(endpoint: Endpoint) {
    endpoint.says("true").await;
    for stubborn in STUBBORN {
        let number = unique();
        let text = stubborn.replace("NUMBER", &number);
        let started = Instant::now();
        let finished = run(&endpoint.remote(), "bash", &text, &[], 1.0)
            .await
            .expect("it began");
        let took = started.elapsed();
        assert_eq!(finished.end, End::TimedOut, "{stubborn}");
        assert!(
            took < Duration::from_secs(1) + END_MAX,
            "{took:?} {stubborn}"
        );
        assert_eq!(
            endpoint.alive(&number).await,
            "",
            "{stubborn} after {took:?}"
        );
    }
}

crate::everywhere!(who_asks_to_stop_ends_it_too);

async fn who_asks_to_stop_ends_it_too(endpoint: Endpoint) {
    for at_once in [false, true] {
        let number = unique();
        let cancel = Cancel::new();
        let limits = Limits::new(Duration::from_secs(60), cancel.clone());
        let remote = endpoint.remote();
        let program = script("bash", &format!("echo up; sleep {number}"), &[]);
        let (told, has_told) = tokio::sync::watch::channel(false);
        let live = move |_: Stream, _: &[u8]| {
            told.send_replace(true);
        };
        let record = Record {
            live: Some(Box::new(live)),
            ..Record::default()
        };
        let running = tokio::spawn(async move { remote.run(&program, limits, record).await });
        // What is still on its way when everything ends at once is lost.
        while endpoint.alive(&number).await.is_empty() || !*has_told.borrow() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let started = Instant::now();
        if at_once {
            cancel.stop_now();
        } else {
            cancel.stop();
        }
        let finished = running.await.expect("no panic").expect("it began");
        assert_eq!(finished.end, End::Cancelled);
        assert_eq!(finished.output.stdout.text(), "up\n");
        assert!(started.elapsed() < END_MAX);
        assert_eq!(endpoint.gone(&number, END_MAX).await, "");
    }
}

crate::everywhere!(what_a_script_leaves_behind_is_ended_and_counted);

async fn what_a_script_leaves_behind_is_ended_and_counted(endpoint: Endpoint) {
    let number = unique();
    let finished = endpoint
        .bash(&format!("setsid sleep {number} >/dev/null 2>&1 & exit 0"))
        .await;
    assert_eq!(finished.code, Some(0));
    assert_eq!(finished.leftovers, 1);
    assert_eq!(endpoint.alive(&number).await, "");
    let finished = endpoint.bash("echo a > >(sleep 0.05; cat); exit 4").await;
    assert_eq!(
        (finished.code, finished.leftovers),
        (Some(4), 0),
        "it just ended"
    );
}

#[tokio::test]
async fn its_own_time_ends_it_when_nobody_else_does() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    // The time of 61 s, the margin, and what rounding adds: no other sleeps so long.
    // On a busy machine it may come a moment later than the program.
    let look = "n=0; while [ $n -lt 50 ]; do for p in /proc/[0-9]*; do \
        [ \"$(tr '\\0' ' ' <$p/cmdline 2>/dev/null)\" = 'sleep 72 ' ] && echo there && exit; done; n=$((n+1)); sleep 0.1; done";
    let remote = endpoint.remote();
    let finished = run(&remote, "sh", look, &[], 61.0).await.expect("ran");
    assert_eq!(finished.output.stdout.text(), "there\n");
    assert_eq!(endpoint.gone("sleep 72", Duration::from_secs(2)).await, "");
}

/// Run by the next test in a process of its own, which is killed.
#[tokio::test]
async fn child_that_is_killed() {
    let Ok(text) = std::env::var(CHILD) else {
        return;
    };
    let Some(endpoint) = endpoint() else { return };
    let _ = run(&endpoint.remote(), "bash", &text, &[], 300.0).await;
}

crate::by_ssh!(a_killed_runner_leaves_nothing_there);

async fn a_killed_runner_leaves_nothing_there(endpoint: Endpoint) {
    for stubborn in [STUBBORN[1], STUBBORN[3]] {
        let number = unique();
        let mut child = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "ending::child_that_is_killed"])
            .env(CHILD, stubborn.replace("NUMBER", &number))
            .env("RUNBOOK_TEST_SSH_CONFIG", &endpoint.config)
            .env("RUNBOOK_TEST_SSH_HOST", &endpoint.host)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("this program starts");
        wait_for(&endpoint, &number).await;
        child.kill().expect("killed");
        child.wait().expect("ended");
        assert_eq!(endpoint.gone(&number, END_MAX).await, "", "{stubborn}");
    }
    if let Some(server) = &endpoint.server {
        // The connections that they shared are gone too: ours is the only one.
        let started = Instant::now();
        while server.serves() != 1 && started.elapsed() < END_MAX {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(server.serves(), 1);
        assert!(server.connections() >= 3);
    }
}

async fn wait_for(endpoint: &Endpoint, number: &str) {
    let started = Instant::now();
    while endpoint.alive(number).await.is_empty() {
        assert!(started.elapsed() < Duration::from_secs(20), "never began");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_lost_connection_ends_the_step_and_what_it_started() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let number = unique();
    let remote = endpoint.remote();
    let text = format!("echo up; trap '' TERM HUP; setsid sleep {number} & sleep {number}");
    let running = tokio::spawn(async move { run(&remote, "bash", &text, &[], 60.0).await });
    wait_for(&endpoint, &number).await;
    endpoint.server().cut();
    let error = running.await.expect("no panic").expect_err("lost");
    assert!(matches!(error, RemoteError::Lost { .. }), "{error}");
    let said = error.to_string();
    assert!(
        said.starts_with("the connection to host/target was lost while it ran"),
        "{said}"
    );
    // The next one connects anew.
    assert_eq!(endpoint.gone(&number, END_MAX).await, "");
}
