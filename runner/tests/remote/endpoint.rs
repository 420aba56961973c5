//! An OpenSSH server of a test's own, or another one that is given.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use runbook_lab::hosts::{Error, Hosts, Role, Spec};
use runbook_lab::isolate;
use runbook_runner::process::{Cancel, Limits, Record, start_beside};
use runbook_runner::remote::{
    Connections, Finished, Login, Program, Remote, RemoteError, Script, SshSettings, Way,
};
use tempfile::TempDir;

/// How long a server may take to listen.
const LISTEN_MAX: Duration = Duration::from_secs(10);

/// What a login of ours has: bash takes itself for one that is not started by `sshd`, and leaves the user's `.bashrc` alone.
const ENVIRONMENT: &str = "SetEnv SHLVL=3";

/// The lab's machines have no `setsid`; scripts here leave their session by it.
pub(crate) const SETSID: &str = "#!/usr/bin/python3\nimport os, sys\n\
    if os.getpgrp() == os.getpid() and os.fork():\n    os._exit(0)\nos.setsid()\nos.execvp(sys.argv[1], sys.argv[1:])\n";

/// Where programs run in a test.
pub(crate) struct Endpoint {
    pub(crate) config: PathBuf,
    pub(crate) host: String,
    pub(crate) connections: Arc<Connections>,
    /// The server, when it is our own.
    pub(crate) server: Option<Server>,
    /// The lab whose machine it is.
    _lab: Option<Lab>,
    /// The pod it is.
    pub(crate) pod: Option<crate::pod::Pod>,
}

/// A lab with one machine.
struct Lab {
    // What talks to the machine goes first, its files last.
    _ssh: runbook_lab::ssh::Server,
    _hosts: Hosts,
    _directory: TempDir,
}

/// A server of our own.
pub(crate) struct Server {
    pub(crate) directory: TempDir,
    pub(crate) port: u16,
    child: Child,
}

/// The endpoint of a test; `None`, said aloud, where there is no server.
pub(crate) fn endpoint() -> Option<Endpoint> {
    if let Some(config) = std::env::var_os("RUNBOOK_TEST_SSH_CONFIG") {
        let host = std::env::var("RUNBOOK_TEST_SSH_HOST").expect("RUNBOOK_TEST_SSH_HOST");
        return Some(Endpoint::new(config.into(), host, None));
    }
    own_endpoint()
}

/// The same for tests that need the server's files and processes.
pub(crate) fn own_endpoint() -> Option<Endpoint> {
    if std::env::var_os("RUNBOOK_TEST_SSH_CONFIG").is_some() {
        skipped("needs an sshd of its own");
        return None;
    }
    let Some(sshd) = sshd() else {
        skipped("no sshd on this machine (tests/sshd/install installs it)");
        return None;
    };
    let server = Server::start(&sshd);
    let config = server.directory.path().join("config");
    Some(Endpoint::new(config, "target".into(), Some(server)))
}

/// A machine of the lab; `None`, said aloud, where there can be none or another server is given.
pub(crate) async fn in_the_lab() -> Option<Endpoint> {
    if std::env::var_os("RUNBOOK_TEST_SSH_CONFIG").is_some() {
        skipped("another server is given");
        return None;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    for name in ["roots", "ssh", "overlay/usr/local/bin"] {
        fs::create_dir_all(at(name)).expect("a directory");
    }
    let setsid = at("overlay/usr/local/bin/setsid");
    fs::write(&setsid, SETSID).expect("a program");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&setsid, mode).expect("a program");
    let spec = Spec {
        addresses: vec!["192.168.4.20".parse().expect("an address")],
        overlay: Some(at("overlay")),
        ..Spec::new("target", Role::Host)
    };
    let hosts = hosts(directory.path(), vec![spec]).await?;
    let ssh = hosts.ssh(&at("ssh")).await.expect("its SSH");
    let mut endpoint = Endpoint::new(ssh.config().to_owned(), "target".into(), None);
    endpoint._lab = Some(Lab {
        _ssh: ssh,
        _hosts: hosts,
        _directory: directory,
    });
    Some(endpoint)
}

/// The place of a lab's machines below a directory that has `roots`; `None`, said aloud, where the machine allows none.
pub(crate) async fn hosts(directory: &Path, specs: Vec<Spec>) -> Option<Hosts> {
    let program = Path::new(env!("CARGO_BIN_EXE_runbook"));
    let mut place = isolate::SandboxConfig::new(program.to_owned(), Vec::new());
    // What is tested here ends children of this process that it does not know.
    place.spawn = start_beside;
    match Hosts::start(place, &directory.join("roots"), specs, &[]).await {
        Err(Error::Forbidden(why)) => {
            skipped(&format!("{why}; hint: {}", why.hint));
            None
        }
        started => Some(started.expect("a machine")),
    }
}

/// Says so past the harness, which keeps what a test prints that passes.
pub(crate) fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

fn sshd() -> Option<PathBuf> {
    let given = std::env::var_os("RUNBOOK_TEST_SSHD").map(PathBuf::from);
    given
        .into_iter()
        .chain(["/usr/sbin/sshd".into(), "/usr/local/sbin/sshd".into()])
        .find(|path| path.is_file())
}

impl Server {
    fn start(sshd: &Path) -> Self {
        // Where the server drops its rights; made by the system's own service otherwise.
        let _ = fs::create_dir_all("/run/sshd");
        let directory = tempfile::Builder::new()
            .prefix("sshd-")
            .tempdir()
            .expect("a directory");
        let at = |name: &str| directory.path().join(name);
        key(&at("host"));
        key(&at("user"));
        fs::copy(at("user.pub"), at("authorized")).expect("a key");
        // A port that nobody has at this moment.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port")
            .port();
        let text = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\n\
             PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nLogLevel VERBOSE\nMaxStartups 200\n{ENVIRONMENT}\n",
            at("host").display(),
            at("authorized").display()
        );
        fs::write(at("sshd_config"), text).expect("a configuration");
        let host = fs::read_to_string(at("host.pub")).expect("a key");
        let known = format!("[127.0.0.1]:{port} {host}");
        fs::write(at("known_hosts"), known).expect("known hosts");
        let config = format!(
            "Host target\n  HostName 127.0.0.1\n  Port {port}\nHost *\n  IdentityFile {}\n  IdentitiesOnly yes\n  IdentityAgent none\n  \
             UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n",
            at("user").display(),
            at("known_hosts").display()
        );
        fs::write(at("config"), config).expect("a configuration");
        let child = Command::new(sshd)
            .args(["-D", "-f"])
            .arg(at("sshd_config"))
            .arg("-E")
            .arg(at("log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sshd starts");
        let server = Self {
            directory,
            port,
            child,
        };
        let started = Instant::now();
        while !server.log().contains("Server listening") {
            assert!(started.elapsed() < LISTEN_MAX, "{}", server.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// What the server told.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.log().matches("Accepted publickey").count()
    }

    /// Reads its configuration again.
    pub(crate) fn reload(&self) {
        let before = self.log().matches("Server listening").count();
        let done = Command::new("kill")
            .args(["-s", "HUP", &self.child.id().to_string()])
            .status();
        assert!(done.expect("kill").success());
        let started = Instant::now();
        while self.log().matches("Server listening").count() == before {
            assert!(started.elapsed() < LISTEN_MAX, "{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Puts programs first in the path of the login; their folder.
    pub(crate) fn programs(&self, programs: &[(&str, String)]) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = self.directory.path().join("bin");
        fs::create_dir_all(&folder).expect("a folder");
        for (name, text) in programs {
            let path = folder.join(name);
            fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a program");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
        }
        self.configure(&format!(
            "SetEnv PATH={}:/usr/sbin:/usr/bin:/sbin:/bin",
            folder.display()
        ));
        folder
    }

    /// Adds to the configuration.
    pub(crate) fn configure(&self, text: &str) {
        let path = self.directory.path().join("sshd_config");
        let before = fs::read_to_string(&path).expect("a configuration");
        // Only the first `SetEnv` counts.
        let after = match text.strip_prefix("SetEnv ") {
            Some(more) => {
                let line = before.lines().find(|line| line.starts_with("SetEnv"));
                before.replace(
                    line.expect("an environment"),
                    &format!("{ENVIRONMENT} {more}"),
                )
            }
            None => format!("{before}{text}\n"),
        };
        fs::write(&path, after).expect("a configuration");
        self.reload();
    }

    /// The process that listens.
    pub(crate) fn listener(&self) -> u32 {
        self.child.id()
    }

    /// How many connections are served.
    pub(crate) fn serves(&self) -> usize {
        sessions(self.child.id()).len()
    }

    /// Kills the processes that serve connections.
    pub(crate) fn cut(&self) {
        let mut all = sessions(self.child.id());
        assert!(!all.is_empty(), "a connection is served");
        let below: Vec<u32> = all.iter().flat_map(|pid| sessions(*pid)).collect();
        all.extend(below);
        for pid in all {
            kill(pid);
        }
    }
}

/// The children of a process that are `sshd` too.
pub(crate) fn sessions(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    children
        .unwrap_or_default()
        .split_whitespace()
        .filter(|child| {
            let name = fs::read_to_string(format!("/proc/{child}/comm"));
            name.is_ok_and(|name| name.trim() == "sshd")
        })
        .map(|child| child.parse().expect("a process ID"))
        .collect()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Kills a process at once.
pub(crate) fn kill(pid: u32) {
    let status = Command::new("kill")
        .args(["-s", "KILL", &pid.to_string()])
        .status();
    status.expect("kill");
}

/// Makes a key.
pub(crate) fn key(path: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status()
        .expect("ssh-keygen");
    assert!(made.success());
}

impl Endpoint {
    pub(crate) fn new(config: PathBuf, host: String, server: Option<Server>) -> Self {
        let connections = Self::connect(&config);
        Self {
            config,
            host,
            connections,
            server,
            _lab: None,
            pod: None,
        }
    }

    /// Connections by a configuration.
    pub(crate) fn connect(config: &Path) -> Arc<Connections> {
        let settings = SshSettings {
            config: Some(config.to_owned()),
            ..SshSettings::default()
        };
        Arc::new(Connections::new(settings).expect("a directory"))
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().expect("a server of our own")
    }

    pub(crate) fn remote(&self) -> Remote {
        match &self.pod {
            Some(pod) => self.by(pod.way()),
            None => self.by(Way::Ssh(Login::new(&self.host))),
        }
    }

    pub(crate) fn by(&self, way: Way) -> Remote {
        Remote::new("host/target", way, Arc::clone(&self.connections))
    }

    /// Runs a strict script for bash.
    pub(crate) async fn bash(&self, text: &str) -> Finished {
        run(&self.remote(), "bash", text, &[], 30.0)
            .await
            .expect("it ran")
    }

    /// What a script prints.
    pub(crate) async fn says(&self, text: &str) -> String {
        let finished = self.bash(text).await;
        assert_eq!(
            finished.code,
            Some(0),
            "{:?}",
            finished.output.stderr.text()
        );
        finished.output.stdout.text().into_owned()
    }

    /// Waits until no process there has this text in its command line; the last ones that have.
    pub(crate) async fn gone(&self, text: &str, within: Duration) -> String {
        let started = Instant::now();
        loop {
            let left = self.alive(text).await;
            if left.is_empty() || started.elapsed() > within {
                return left;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Processes there with this text in their command line.
    pub(crate) async fn alive(&self, text: &str) -> String {
        // The text is put together there, so that the look does not find itself.
        let (head, tail) = text.split_at(text.len() / 2);
        let look = format!(
            "t='{head}''{tail}'; for p in /proc/[0-9]*; do c=$(tr '\\0' ' ' <$p/cmdline) 2>/dev/null || continue; \
             case $c in *\"$t\"*) echo \"${{p#/proc/}} $c\";; esac; done"
        );
        self.says(&look).await
    }
}

/// Runs a script.
pub(crate) async fn run(
    remote: &Remote,
    language: &str,
    text: &str,
    env: &[(&str, &str)],
    seconds: f32,
) -> Result<Finished, RemoteError> {
    let program = script(language, text, env);
    let limits = Limits::new(Duration::from_secs_f32(seconds), Cancel::new());
    remote.run(&program, limits, Record::default()).await
}

/// A strict script.
pub(crate) fn script(language: &str, text: &str, env: &[(&str, &str)]) -> Program {
    Program::Script(Script {
        language: language.into(),
        text: text.into(),
        strict: true,
        env: env
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
    })
}

/// A duration for `sleep` that no other process has.
pub(crate) fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "400.{}{:03}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}
