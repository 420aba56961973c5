//! Scripts in pods that stay up, on a cluster whose containers' commands run on this machine: they end with their guide, with a
//! stop, and with a runner that is killed. What ends them is the guard beside them, which sees its input end.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use runbook::outcome::State;
use runbook_lab::command::{End, Later, Process};
use runbook_lab::kube::{Missing, Order, Programs, Settings};
use tokio::io::AsyncWrite;

use crate::book_test::step;
use crate::cluster::{Home, yaml};
use crate::programs::{Ends, home};

/// How long what was ended may still be seen.
const END_DEADLINE: Duration = Duration::from_secs(20);

/// Commands of a cluster that neither passes the end of standard input on nor ends what has lost its connection (KWOK 0.8.0).
struct Deaf;

/// Standard input that never ends.
struct Endless(Option<tokio::process::ChildStdin>);

impl Programs for Deaf {
    fn start(&self, order: Order) -> Later<Result<Process, Missing>> {
        Box::pin(async move {
            let mut child = tokio::process::Command::new(&order.command[0])
                .args(&order.command[1..])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|error| Missing::Program(error.to_string()))?;
            let stdin = Endless(child.stdin.take());
            let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
            // Nobody ends it by looking away.
            let ended = tokio::spawn(async move { child.wait().await.ok()?.code() });
            Ok(Process {
                stdin: Box::new(stdin),
                stdout: Box::new(stdout),
                stderr: Box::new(stderr),
                ended: Box::pin(async move {
                    let code = ended.await.ok().flatten().unwrap_or(137);
                    End::Code(u32::try_from(code).unwrap_or(255))
                }),
                control: Arc::new(Ends),
            })
        })
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.0.as_mut().unwrap()).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.as_mut().unwrap()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        std::mem::forget(self.0.take());
    }
}

#[test]
fn where_the_end_of_the_input_is_not_passed_on_a_second_program_ends_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::with_programs(Settings::default(), Arc::new(Deaf));
    let late = format!("echo $$ >{}/late; sleep 300", folder.path().display());
    let steps = pod() + &server(folder.path()) + &script("id: late\ntimeout: 1s", &late);
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("server"), State::Passed, "{}", ran.why("server"));
    assert_eq!(ran.state("late"), State::TimedOut, "{}", ran.why("late"));
    assert!(is_ended(folder.path()), "the server was not ended");
    std::fs::copy(folder.path().join("late"), folder.path().join("pid")).unwrap();
    assert!(is_ended(folder.path()), "the late one was not ended");
}

/// A pod that runs and is ready.
fn pod() -> String {
    yaml(
        "pod",
        "expect: {ready: true}",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: main, image: busybox, command: [sh, -c, 'exec sleep 300']}]}",
    )
}

fn script(options: &str, text: &str) -> String {
    step(&format!(
        "{options}\non: pod/default/web\nsh: |\n  {}",
        text.replace('\n', "\n  ")
    ))
}

/// A server with a child that left its session; both their numbers are written down before it is ready.
fn server(at: &Path) -> String {
    let at = at.display();
    script(
        &format!("id: server\nbackground: test -e {at}/ready"),
        &format!(
            "echo $$ >{at}/pid; setsid sh -c 'trap \"\" HUP; echo $$ >{at}/child; exec sleep 300' & \n\
             sleep 0.3; echo up; touch {at}/ready; sleep 300"
        ),
    )
}

/// A step that takes its time.
fn long(at: &Path) -> String {
    let text = format!("touch {}/long; sleep 300", at.display());
    script("id: long\ntimeout: 5m", &text)
}

/// Waits until neither the server nor its child is there.
fn is_ended(at: &Path) -> bool {
    let runs = |file: &str| {
        let pid = std::fs::read_to_string(at.join(file)).expect("a number");
        // One that has ended and that nobody has asked for has no command line any more.
        std::fs::read(format!("/proc/{}/cmdline", pid.trim())).is_ok_and(|line| !line.is_empty())
    };
    let until = Instant::now() + END_DEADLINE;
    while runs("pid") || runs("child") {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

#[test]
fn a_server_stays_up_for_the_guide_and_not_longer() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display();
    let steps = [
        pod(),
        server(folder.path()),
        script(
            "id: uses\neffect: read",
            &format!("kill -0 $(cat {at}/pid) $(cat {at}/child)"),
        ),
        script("id: dies\nbackground: 'false'", "echo why >&2; exit 3"),
        script(
            "id: late\nneeds: []\nbackground: 'false'\ntimeout: 1s",
            "sleep 300",
        ),
        step("id: nowhere\nneeds: []\non: pod/default/none\nbackground: true\nsh: sleep 300"),
    ];
    let ran = home().book(&steps.concat()).run();
    for (step, state) in [
        ("server", State::Passed),
        ("uses", State::Passed),
        ("dies", State::Failed),
        ("late", State::TimedOut),
        ("nowhere", State::Failed),
    ] {
        assert_eq!(ran.state(step), state, "{step}: {}", ran.why(step));
    }
    assert_eq!(
        ran.why("dies"),
        "ended with exit code 3 before it was ready: why"
    );
    assert!(
        ran.step("server")
            .artifacts
            .iter()
            .any(|one| one.contains("server"))
    );
    assert!(is_ended(folder.path()), "it was not ended");
}

#[test]
fn a_server_ends_when_the_run_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let home = home();
    let steps = pod() + &server(folder.path()) + &long(folder.path());
    let cancel = runbook_runner::execute::Cancel::new();
    let (book, stop) = (home.book(&steps), cancel.clone());
    let ran = std::thread::scope(|scope| {
        let running = scope.spawn(|| book.run_with(cancel, |_| {}));
        begun(folder.path());
        stop.stop();
        running.join().unwrap()
    });
    assert_eq!(ran.state("server"), State::Passed, "{}", ran.why("server"));
    assert!(is_ended(folder.path()), "it was not ended");
}

#[test]
fn a_pod_that_a_step_above_would_make_is_skipped_where_nothing_is_changed() {
    let home = home();
    let look = |id: &str, on: &str| step(&format!("id: {id}\non: {on}\neffect: read\nsh: id"));
    let steps = [
        pod(),
        look("inside", "pod/default/web"),
        look("other", "pod/default/other"),
    ];
    let ran = home.observed(&steps.concat()).run();
    assert_eq!(ran.state("pod"), State::Drifted);
    assert_eq!(ran.state("inside"), State::Skipped, "{}", ran.why("inside"));
    assert!(
        ran.why("inside").ends_with("a step above would make it"),
        "{}",
        ran.why("inside")
    );
    assert_eq!(ran.state("other"), State::Failed);
}

/// Waits until the step after the server runs.
fn begun(at: &Path) {
    let until = Instant::now() + Duration::from_secs(60);
    while !at.join("long").exists() {
        assert!(Instant::now() < until, "the server does not stay up");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_ends_when_the_runner_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let home: Home = home();
    let steps = pod() + &server(folder.path()) + &long(folder.path());
    let book = home
        .book(&steps)
        .file("book.toml", "[book]\ntitle = \"t\"\n")
        .file("src/SUMMARY.md", "- [A](a.md)\n");
    let mut runner = std::process::Command::new(env!("CARGO_BIN_EXE_runbook"))
        .args(["run", "a", "--profile", "home", "--book"])
        .arg(book.root())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    begun(folder.path());
    runner.kill().unwrap();
    runner.wait().unwrap();
    assert!(is_ended(folder.path()), "it was not ended");
}
