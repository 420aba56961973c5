//! A guest agent as the Proxmox VE API offers it, for a guest that is this machine.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use runbook_runner::action::file::{self as files, There, Wish};
use runbook_runner::process::{Cancel, End, Limits, Record};
use runbook_runner::remote::{
    Agent, AgentError, AgentFuture, AgentStatus, Connections, INPUT_BYTES_MAX, Remote, RemoteError,
    SshSettings, Way,
};

use crate::endpoint::{run, script, unique};

/// How often a call fails for no reason that lasts.
const PASSING_EVERY: usize = 3;

#[derive(Default)]
struct Guest {
    programs: Mutex<HashMap<u64, Program>>,
    calls: AtomicUsize,
    longest: AtomicUsize,
}

/// A program and the files that it prints to.
struct Program {
    child: Child,
    stdout: File,
    stderr: File,
}

impl Agent for Guest {
    fn exec<'a>(&'a self, argv: &'a [String], input: &'a [u8]) -> AgentFuture<'a, u64> {
        self.longest.fetch_max(input.len(), Ordering::SeqCst);
        let (stdout, stderr) = (file(), file());
        let mut command = Command::new(&argv[0]);
        // As an agent: no home, a root that is nobody's, no terminal.
        command
            .args(&argv[1..])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(stdout.try_clone().expect("a file"))
            .stderr(stderr.try_clone().expect("a file"))
            .process_group(0);
        let mut child = command.spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("an input");
        let input = input.to_vec();
        std::thread::spawn(move || stdin.write_all(&input));
        let pid = u64::from(child.id());
        let program = Program {
            child,
            stdout,
            stderr,
        };
        self.programs
            .lock()
            .expect("not poisoned")
            .insert(pid, program);
        Box::pin(std::future::ready(Ok(pid)))
    }

    fn status(&self, pid: u64) -> AgentFuture<'_, AgentStatus> {
        let passing = self.calls.fetch_add(1, Ordering::SeqCst) % PASSING_EVERY == 1;
        Box::pin(std::future::ready(self.look(pid, passing)))
    }
}

impl Guest {
    fn look(&self, pid: u64, passing: bool) -> Result<AgentStatus, AgentError> {
        let failed = |message: &str, passing| AgentError {
            message: message.to_owned(),
            passing,
        };
        if passing {
            return Err(failed("got timeout", true));
        }
        let mut programs = self.programs.lock().expect("not poisoned");
        let Some(program) = programs.get_mut(&pid) else {
            return Err(failed("Agent error: Invalid parameter 'pid'", false));
        };
        let Some(status) = program.child.try_wait().expect("a child") else {
            return Ok(AgentStatus::default());
        };
        let program = programs.remove(&pid).expect("it is there");
        Ok(AgentStatus {
            exited: true,
            code: status.code(),
            signal: status.signal(),
            stdout: content(program.stdout),
            stderr: content(program.stderr),
            truncated: false,
        })
    }
}

fn file() -> File {
    tempfile::tempfile().expect("a file")
}

fn content(mut file: File) -> Vec<u8> {
    let mut content = Vec::new();
    file.seek(SeekFrom::Start(0)).expect("its beginning");
    file.read_to_end(&mut content).expect("its content");
    content
}

fn guest() -> (Remote, Arc<Guest>) {
    let guest = Arc::new(Guest::default());
    let connections = Connections::new(SshSettings::default()).expect("a directory");
    let way = Way::Agent(Arc::clone(&guest) as Arc<dyn Agent>);
    (Remote::new("vm/guest", way, Arc::new(connections)), guest)
}

#[tokio::test]
async fn a_script_runs_by_the_agent_as_anywhere() {
    let (remote, _) = guest();
    let text = "cat; echo \"$X\"; echo $HOME $PWD >&2; exit 255";
    let finished = run(&remote, "bash", text, &[("X", "it's\n$HOME")], 30.0)
        .await
        .expect("ran");
    assert_eq!(finished.code, Some(255));
    assert_eq!(finished.output.stdout.text(), "it's\n$HOME\n");
    assert_eq!(finished.output.stderr.text(), "/root /root\n");
    let finished = run(&remote, "sh", "setsid sleep 300.75 & exit 0", &[], 30.0)
        .await
        .expect("ran");
    assert_eq!((finished.code, finished.leftovers), (Some(0), 1));
}

#[tokio::test]
async fn a_long_script_goes_over_in_parts_and_leaves_nothing() {
    let (remote, guest) = guest();
    let line = "x='it'\\''s a line'\n";
    let lines = (1 << 20) / line.len();
    let text = format!("{}echo \"$x\" $LINENO\n", line.repeat(lines));
    let finished = run(&remote, "bash", &text, &[], 60.0).await.expect("ran");
    assert_eq!(
        finished.output.stdout.text(),
        format!("it's a line {}\n", lines + 1)
    );
    assert!(guest.longest.load(Ordering::SeqCst) <= INPUT_BYTES_MAX);
    let left = run(
        &remote,
        "sh",
        "ls -d /tmp/runbook-????????/input 2>/dev/null || :",
        &[],
        30.0,
    )
    .await
    .expect("ran");
    assert_eq!(left.output.stdout.text(), "");
}

#[tokio::test]
async fn a_hang_is_ended_by_a_second_program() {
    let (remote, _) = guest();
    let number = unique();
    let text = format!("echo up; trap '' TERM; setsid sleep {number} & sleep {number}");
    let started = Instant::now();
    let finished = run(&remote, "bash", &text, &[], 1.0)
        .await
        .expect("it began");
    assert_eq!(finished.end, End::TimedOut);
    assert_eq!(finished.output.stdout.text(), "up\n");
    assert!(
        started.elapsed() < Duration::from_secs(6),
        "{:?}",
        started.elapsed()
    );
    let look = format!(
        "n={}; grep -ls \"sleep.$n{}\" /proc/[0-9]*/cmdline || :",
        &number[..4],
        &number[4..]
    );
    let left = run(&remote, "sh", &look, &[], 30.0).await.expect("ran");
    // The look itself holds it only in parts.
    assert_eq!(left.output.stdout.text(), "");
}

#[tokio::test]
async fn files_pass_by_the_agent() {
    let (remote, _) = guest();
    let folder = tempfile::tempdir().expect("a folder");
    let content: Vec<u8> = (0..200_000u32).map(|at| (at % 256) as u8).collect();
    let there = There {
        remote,
        deadline: Instant::now() + Duration::from_secs(60),
        cancel: Cancel::new(),
    };
    let wish = Wish {
        path: folder.path().join("file"),
        state: files::State::Present(Some(content.clone())),
        mode: Some(0o600),
        owner: None,
        group: None,
        backup: true,
    };
    let found = files::compare(&there, &wish).await.expect("compared");
    files::change(&there, &wish, &found.found)
        .await
        .expect("changed");
    assert!(std::fs::read(&wish.path).expect("a file") == content);
    assert_eq!(
        files::compare(&there, &wish).await.expect("compared").diff,
        None
    );
}

/// An agent that does not run.
struct Nobody;

impl Agent for Nobody {
    fn exec<'a>(&'a self, _: &'a [String], _: &'a [u8]) -> AgentFuture<'a, u64> {
        let message = "QEMU guest agent is not running".to_owned();
        Box::pin(std::future::ready(Err(AgentError {
            message,
            passing: false,
        })))
    }

    fn status(&self, _: u64) -> AgentFuture<'_, AgentStatus> {
        unreachable!("nothing was started")
    }
}

#[tokio::test]
async fn an_agent_that_does_not_run_is_told() {
    let connections = Connections::new(SshSettings::default()).expect("a directory");
    let remote = Remote::new(
        "vm/guest",
        Way::Agent(Arc::new(Nobody)),
        Arc::new(connections),
    );
    let limits = Limits::new(Duration::from_secs(5), Cancel::new());
    let error = remote
        .run(&script("sh", "true", &[]), limits, Record::default())
        .await
        .expect_err("nobody is there");
    assert!(matches!(error, RemoteError::Unavailable { .. }));
    assert_eq!(
        error.to_string(),
        "vm/guest cannot be used: QEMU guest agent is not running"
    );
}
