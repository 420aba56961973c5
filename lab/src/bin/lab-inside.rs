//! The executable that the lab's own tests start again inside of an isolated place; with `available` it tells whether one can be made, with
//! `hold DIRECTORY SECONDS` it is a lab
//! itself, with one host that sleeps, until it is killed.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use runbook_lab::isolate::{Exec, Fresh, HostConfig, Root, Sandbox, SandboxConfig};

/// Told apart from success by whoever starts it as anything else.
const USAGE: i32 = 64;
/// The exit code when the lab cannot be made.
const FAILED: i32 = 1;

fn main() {
    runbook_lab::isolate::main_if_asked();
    runbook_lab::hosts::program::main_if_asked();
    runbook_lab::ssh::main_if_asked();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["available"] {
        std::process::exit(available());
    }
    let [word, directory, seconds] = arguments.as_slice() else {
        std::process::exit(USAGE);
    };
    if word != "hold" {
        std::process::exit(USAGE);
    }
    std::process::exit(hold(Path::new(directory), seconds).map_or(FAILED, |()| 0));
}

/// Says on standard error why isolation is forbidden.
fn available() -> i32 {
    use std::io::Write as _;
    let Err(forbidden) = runbook_lab::isolate::available() else {
        return 0;
    };
    // Nobody may be listening.
    let _ = writeln!(std::io::stderr(), "{forbidden}\n{}", forbidden.hint);
    FAILED
}

fn hold(directory: &Path, seconds: &str) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let root = Root::create(directory.join("held"), &Fresh::default())?;
        let config = SandboxConfig::new(std::env::current_exe()?, Vec::new());
        let sandbox = Sandbox::start(config).await?;
        let host = HostConfig {
            hostname: "held".into(),
            root: root.path().into(),
            binds: Vec::new(),
        };
        let host = sandbox.boot(host).await?;
        let null = || {
            Ok::<OwnedFd, std::io::Error>(
                File::options()
                    .read(true)
                    .write(true)
                    .open("/dev/null")?
                    .into(),
            )
        };
        let exec = Exec {
            argv: ["sleep", seconds].map(Into::into).to_vec(),
            env: Vec::new(),
            cwd: "/".into(),
            user: None,
            stdin: null()?,
            stdout: null()?,
            stderr: null()?,
        };
        host.exec(exec).await?.wait().await?;
        Ok(())
    })
}
