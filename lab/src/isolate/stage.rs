//! This executable, started again by itself: the first argument says as what.
//!
//! A process can leave the machine's namespaces only while it has one thread, so the lab starts itself again and turns off
//! the usual way before anything else happens.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// How the first argument of such a start begins. An option that nobody has: a program that does not know it refuses it.
const MARK: &str = "--runbook-lab-isolate=";

/// As what this executable is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Leaves the namespaces and keeps what is in the new ones.
    Keeper,
    /// The first process of the isolated place.
    Place,
    /// The first process of a host.
    Host,
    /// Hides directories and becomes another program.
    Hide,
}

impl Stage {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Keeper, "keeper"),
        (Self::Place, "place"),
        (Self::Host, "host"),
        (Self::Hide, "hide"),
    ];

    /// The first argument of a start as this.
    pub(super) fn argument(self) -> String {
        let name = Self::ALL
            .iter()
            .find(|(stage, _)| *stage == self)
            .map_or("", |(_, name)| name);
        format!("{MARK}{name}")
    }

    /// How this executable is started as this, by a process that is one of them already.
    #[cfg(target_os = "linux")]
    pub(super) fn again(self) -> Command {
        // The link and not the path: the file may have been replaced meanwhile.
        self.command(PathBuf::from("/proc/self/exe"))
    }

    /// How an executable is started as this.
    pub(super) fn command(self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        command
            .arg(self.argument())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

/// Call this first thing in `main`, before there is any other thread: when this process was started by the lab for its
/// isolated place it does that and never returns.
pub fn main_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    let Some(first) = arguments.next() else {
        return;
    };
    let Some(stage) = first
        .to_str()
        .and_then(|first| first.strip_prefix(MARK))
        .and_then(|name| Stage::ALL.iter().find(|(_, other)| *other == name))
        .map(|(stage, _)| *stage)
    else {
        return;
    };
    std::process::exit(run(stage, arguments));
}

#[cfg(target_os = "linux")]
fn run(stage: Stage, arguments: impl Iterator<Item = std::ffi::OsString>) -> i32 {
    if stage == Stage::Hide {
        return super::hide::become_hidden(arguments);
    }
    // The socket is standard input: a descriptor can be passed on safely that way only.
    let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned() else {
        return 1;
    };
    let socket = UnixStream::from(socket);
    match stage {
        Stage::Keeper => super::keeper::keep(&socket),
        Stage::Place => super::place::serve(&socket),
        Stage::Host => super::inside::serve(&socket),
        Stage::Hide => 1,
    }
}

#[cfg(not(target_os = "linux"))]
fn run(_: Stage, _: impl Iterator<Item = std::ffi::OsString>) -> i32 {
    1
}
