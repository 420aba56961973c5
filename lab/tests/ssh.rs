//! The lab's SSH server under the machine's own OpenSSH client. Without `ssh` here the tests say so and prove nothing.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runbook_lab::ssh::{Control, End, Host, Later, Machine, Process, Server, Start};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::watch;

const DEADLINE: Duration = Duration::from_secs(60);

/// A machine whose commands are this machine's, without isolation: the protocol is what is tested here.
struct Plain {
    up: watch::Sender<bool>,
}

impl Plain {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            up: watch::Sender::new(true),
        })
    }
}

struct Group(rustix::process::Pid);

impl Control for Group {
    fn signal(&self, name: &str) {
        let signal = match name {
            "TERM" => rustix::process::Signal::TERM,
            "INT" => rustix::process::Signal::INT,
            _ => return,
        };
        let _ = rustix::process::kill_process_group(self.0, signal);
    }

    fn end(&self) {
        let _ = rustix::process::kill_process_group(self.0, rustix::process::Signal::KILL);
    }
}

impl Machine for Plain {
    fn up(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }

    fn has_user(&self, user: &str) -> bool {
        user != "nobody-here"
    }

    fn start(self: Arc<Self>, start: Start) -> Later<Result<Process, String>> {
        Box::pin(async move {
            if start.user == "locked" {
                return Err("this account is currently not available".to_owned());
            }
            let mut command = Command::new("/bin/bash");
            if let Some(line) = &start.command {
                command.arg("-c").arg(std::str::from_utf8(line).unwrap());
            }
            command
                .env_clear()
                .envs(start.env)
                .env("PATH", std::env::var_os("PATH").unwrap());
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .process_group(0);
            let mut child = command.spawn().map_err(|error| error.to_string())?;
            let pid =
                rustix::process::Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
            let (stdin, stdout, stderr) =
                (child.stdin.take(), child.stdout.take(), child.stderr.take());
            Ok(Process {
                stdin: Box::new(stdin.unwrap()),
                stdout: Box::new(stdout.unwrap()),
                stderr: Box::new(stderr.unwrap()),
                ended: Box::pin(async move {
                    use std::os::unix::process::ExitStatusExt;
                    let status = child.wait().await.unwrap();
                    match (status.code(), status.signal()) {
                        (Some(code), _) => End::Code(code.try_into().unwrap()),
                        (None, Some(15)) => End::Signal("TERM".to_owned()),
                        (None, other) => End::Signal(format!("{other:?}")),
                    }
                }),
                control: Arc::new(Group(pid)),
            })
        })
    }
}

struct Lab {
    server: Server,
    machine: Arc<Plain>,
    dir: tempfile::TempDir,
}

impl Lab {
    async fn start() -> Option<Self> {
        let there = std::process::Command::new("ssh").arg("-V").output().is_ok();
        if !there {
            eprintln!("SKIPPED: no `ssh` on this machine");
            return None;
        }
        // A hostile directory name: blanks, quotes and expansions are nothing to the configuration.
        let dir = tempfile::Builder::new()
            .prefix("lab %h \"x\" ")
            .tempdir()
            .unwrap();
        let machine = Plain::new();
        let host = |name: &str, address: &str| Host {
            name: name.to_owned(),
            aliases: vec![format!("{name}.home.arpa")],
            addresses: vec![address.parse().unwrap()],
            user: None,
            machine: machine.clone(),
        };
        let hosts = vec![host("pve1", "192.168.4.11"), host("still-fawn", "fd00::17")];
        let server = Server::start(dir.path(), hosts, None).await.unwrap();
        Some(Self {
            server,
            machine,
            dir,
        })
    }

    fn ssh(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        command
            .arg("-F")
            .arg(self.server.config())
            .args(["-o", "BatchMode=yes"])
            .args(args);
        command
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        finish(self.ssh(args).spawn().unwrap()).await
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

async fn finish(child: tokio::process::Child) -> (Option<i32>, String, String) {
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output())
        .await
        .expect("ssh ends")
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn alive(pid_file: &Path) -> bool {
    let pid = std::fs::read_to_string(pid_file).unwrap_or_default();
    !pid.trim().is_empty() && Path::new("/proc").join(pid.trim()).join("cwd").exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_stay_apart_and_the_status_is_the_commands() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    assert_eq!(
        lab.run(&["pve1", "echo out; echo err >&2; exit 7"]).await,
        (Some(7), "out\n".to_owned(), "err\n".to_owned())
    );
    assert_eq!(
        lab.run(&["192.168.4.11", "echo by address"]).await.1,
        "by address\n"
    );
    assert_eq!(
        lab.run(&["fd00::17", "echo by address"]).await.1,
        "by address\n"
    );
    assert_eq!(lab.run(&["pve1", "exit 255"]).await.0, Some(255));
    let (code, _, err) = lab.run(&["pve1", "kill -TERM $$"]).await;
    assert_eq!(
        code,
        Some(255),
        "a signal is no status of the command: {err}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn input_reaches_the_command_and_its_end_too() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    let mut child = lab
        .ssh(&["pve1", "cat; echo end"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"a\0b\n").await.unwrap();
    drop(stdin);
    assert_eq!(finish(child).await.1, "a\0b\nend\n");
    assert_eq!(lab.run(&["pve1", "cat; echo closed"]).await.1, "closed\n");
    let mut shell = lab.ssh(&["pve1"]).stdin(Stdio::piped()).spawn().unwrap();
    shell
        .stdin
        .take()
        .unwrap()
        .write_all(b"echo from a shell\nexit 3\n")
        .await
        .unwrap();
    let (code, out, _) = finish(shell).await;
    assert_eq!((code, out.as_str()), (Some(3), "from a shell\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_locale_variables_are_taken_from_the_client() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    let sent = [
        "-o",
        "SetEnv=LC_ALL=C.UTF-8 SECRET=x",
        "pve1",
        "echo $LC_ALL-$SECRET",
    ];
    assert_eq!(lab.run(&sent).await.1, "C.UTF-8-\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_the_labs_key_or_no_account_is_refused() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    let (code, _, err) = lab.run(&["-l", "nobody-here", "pve1", "true"]).await;
    assert_eq!(code, Some(255));
    assert!(err.contains("Permission denied (publickey)"), "{err}");
    let (code, _, err) = lab
        .run(&[
            "-o",
            "IdentityFile=/dev/null",
            "-o",
            "PasswordAuthentication=yes",
            "-i",
            "/nonexistent",
            "-l",
            "nobody-here",
            "pve1",
            "true",
        ])
        .await;
    assert_eq!(
        (code, err.contains("Permission denied")),
        (Some(255), true),
        "{err}"
    );
    let other = tempfile::tempdir().unwrap();
    let stranger = Server::start(other.path(), Vec::new(), None).await.unwrap();
    std::fs::copy(stranger.identity(), lab.server.identity()).unwrap();
    let (code, _, err) = lab.run(&["pve1", "true"]).await;
    assert_eq!(
        (code, err.contains("Permission denied (publickey)")),
        (Some(255), true),
        "{err}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_says_why() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    let (code, _, err) = lab.run(&["-l", "locked", "pve1", "true"]).await;
    assert_eq!(
        (code, err.as_str()),
        (Some(255), "this account is currently not available\n")
    );
    let (code, _, err) = lab.run(&["other.example", "true"]).await;
    assert_eq!(code, Some(255));
    assert!(
        err.contains("the lab serves no such host: other.example"),
        "{err}"
    );
    let (code, _, _) = lab.run(&["-s", "pve1", "sftp"]).await;
    assert_ne!(code, Some(0), "sftp is not served");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_host_key_is_refused_by_the_client() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    assert_eq!(lab.run(&["pve1", "true"]).await.0, Some(0));
    assert!(lab.server.change_key("pve1").unwrap());
    assert!(!lab.server.change_key("nope").unwrap());
    let (code, _, err) = lab.run(&["pve1", "true"]).await;
    assert_eq!(code, Some(255));
    assert!(
        err.contains("REMOTE HOST IDENTIFICATION HAS CHANGED"),
        "{err}"
    );
    assert_eq!(
        lab.run(&["still-fawn", "true"]).await.0,
        Some(0),
        "the others keep theirs"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_goes_down_loses_its_connections_and_takes_no_new_ones() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    let started = lab.file("started");
    let script = format!("echo $$ > '{}'; exec sleep 4000", started.display());
    let child = lab.ssh(&["pve1", &script]).spawn().unwrap();
    until("the command runs", || alive(&started)).await;
    lab.machine.up.send_replace(false);
    assert_eq!(finish(child).await.0, Some(255));
    until("the command is ended", || !alive(&started)).await;
    let begun = Instant::now();
    assert_eq!(lab.run(&["pve1", "true"]).await.0, Some(255));
    assert!(begun.elapsed() < Duration::from_secs(5));
    lab.machine.up.send_replace(true);
    assert_eq!(lab.run(&["pve1", "true"]).await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_client_takes_its_command_along() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    let started = lab.file("started");
    let script = format!(
        "trap '' TERM HUP; echo $$ > '{}'; while :; do sleep 1; done",
        started.display()
    );
    let mut child = lab.ssh(&["pve1", &script]).spawn().unwrap();
    until("the command runs", || alive(&started)).await;
    child.kill().await.unwrap();
    until("the command is ended", || !alive(&started)).await;
    let mut child = lab.ssh(&["pve1", &script]).spawn().unwrap();
    until("the command runs", || alive(&started)).await;
    lab.server.reset("pve1");
    until("the command is ended", || !alive(&started)).await;
    assert_eq!(child.wait().await.unwrap().code(), Some(255));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_closes_its_output_before_its_end_has_its_status() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    let path = std::env::temp_dir().join(format!("lab-cs-{}", std::process::id()));
    let control = format!("ControlPath={}", path.display());
    let shared = async |args: &[&str]| {
        let mut all = vec!["-o", "ControlMaster=auto", "-o", "ControlPersist=60"];
        all.extend_from_slice(&["-o", control.as_str()]);
        all.extend_from_slice(args);
        let mut client = lab.ssh(&all);
        // The master stays: it must not hold what this test is read by.
        client
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        client.status().await.unwrap().code()
    };
    assert_eq!(shared(&["pve1", "exit 0"]).await, Some(0));
    let script = "exec >&- 2>&-; sleep 0.3; exit 3";
    assert_eq!(shared(&["pve1", script]).await, Some(3));
    assert_eq!(shared(&["-O", "exit", "pve1"]).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_carries_many_commands_and_one_that_is_killed_ends_alone() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    let path = std::env::temp_dir().join(format!("lab-cm-{}", std::process::id()));
    let control = format!("ControlPath={}", path.display());
    let shared = |args: &[&str]| {
        let mut all = vec![
            "-o",
            "ControlMaster=auto",
            "-o",
            "ControlPersist=60",
            "-o",
            control.as_str(),
        ];
        all.extend_from_slice(args);
        lab.ssh(&all)
    };
    // The first becomes the master, in the background; its standard error stays open there.
    let status = shared(&["pve1", "true"])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .await
        .unwrap();
    assert!(status.success());
    let started = lab.file("started");
    let script = format!("echo $$ > '{}'; exec sleep 4000", started.display());
    let mut long = shared(&["pve1", &script]).spawn().unwrap();
    until("the command runs", || alive(&started)).await;
    // Input that nobody reads must not stop the others on the connection.
    let mut deaf = shared(&["pve1", "exec sleep 4000"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut flood = deaf.stdin.take().unwrap();
    let flooding = tokio::spawn(async move {
        let block = vec![b'x'; 1 << 20];
        for _ in 0..16 {
            if flood.write_all(&block).await.is_err() {
                break;
            }
        }
    });
    let mut running = Vec::new();
    for n in 0..6 {
        running.push((
            n,
            shared(&["pve1", &format!("echo {n}; exit {n}")])
                .spawn()
                .unwrap(),
        ));
    }
    for (n, child) in running {
        assert_eq!(
            finish(child).await,
            (Some(n), format!("{n}\n"), String::new())
        );
    }
    tokio::time::timeout(DEADLINE, flooding)
        .await
        .expect("the input is taken")
        .unwrap();
    long.kill().await.unwrap();
    until("the killed client's command is ended", || !alive(&started)).await;
    assert_eq!(
        finish(shared(&["pve1", "echo still here"]).spawn().unwrap())
            .await
            .1,
        "still here\n"
    );
    assert_eq!(lab.server.opened("pve1"), 1);
    drop(deaf);
    let _ = shared(&["-O", "exit", "pve1"]).status().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_costs_no_memory() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    let mut child = lab
        .ssh(&["pve1", "head -c 200000000 /dev/zero"])
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let resident = resident_bytes();
    let mut sink = tokio::io::sink();
    let bytes = tokio::time::timeout(DEADLINE, tokio::io::copy(&mut stdout, &mut sink))
        .await
        .expect("all arrives")
        .unwrap();
    assert_eq!(bytes, 200_000_000);
    assert!(child.wait().await.unwrap().success());
    let grown = resident_bytes().saturating_sub(resident);
    assert!(grown < 64 << 20, "{grown} bytes more");
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}
