//! The program's side: this executable under another name, on a lab's machine. It asks the lab, shows what it says, and
//! hands over its own streams where a command of another machine takes them (`pct exec`).

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::sftp;
use crate::isolate::wire;

/// Where a machine asks its lab.
pub(super) const SOCKET: &str = "run/lab.sock";
/// Programs in `/usr/sbin` of every machine.
pub(super) const EVERYWHERE: &[&str] = &["systemctl", "hostname", "lspci"];
/// Programs in `/usr/sbin` of a node.
pub(super) const ON_NODES: &[&str] = &["pct", "qm", "pvesh", "pvesm", "pveversion", "zfs", "zpool"];
/// Where the programs of records are: not on anybody's `PATH`.
pub(super) const RECORDS: &str = "usr/libexec/lab-records";
/// Programs of records.
pub(super) const OF_RECORDS: &[&str] = &["dpkg-query", "apt-get"];
/// What it ends with when the lab does not answer.
const NO_LAB: u8 = 255;

/// A question to the lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Call {
    pub(super) program: String,
    pub(super) args: Vec<Vec<u8>>,
    pub(super) cwd: Vec<u8>,
    pub(super) uid: u32,
}

impl Call {
    /// The arguments as texts; none when one is no text.
    pub(super) fn texts(&self) -> Option<Vec<String>> {
        self.args
            .iter()
            .map(|arg| String::from_utf8(arg.clone()).ok())
            .collect()
    }
}

/// A piece of the answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Frame {
    Out(String),
    Err(String),
    Exit(u8),
}

/// Ends the process as a lab's program when it was started as one; call it after
/// [`isolate::main_if_asked`](crate::isolate::main_if_asked), before anything else.
pub fn main_if_asked() {
    let mut args = std::env::args_os();
    let Some(name) = args.next().and_then(|path| {
        Path::new(&path)
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
    }) else {
        return;
    };
    let known = [EVERYWHERE, ON_NODES, OF_RECORDS, &["sudo"]]
        .iter()
        .any(|list| list.contains(&name.as_str()));
    let socket = Path::new("/").join(SOCKET);
    if name == sftp::NAME && socket.exists() {
        // The client sees an end too early, and says so.
        std::process::exit(i32::from(sftp::serve().is_err()));
    }
    if !known || !socket.exists() {
        return;
    }
    let call = Call {
        program: name.clone(),
        args: args.map(std::ffi::OsString::into_vec).collect(),
        cwd: std::env::current_dir()
            .map(|path| path.as_os_str().as_bytes().to_vec())
            .unwrap_or_default(),
        uid: rustix::process::getuid().as_raw(),
    };
    let code = ask(&socket, &call).unwrap_or_else(|error| {
        // Standard error is all there is left to say it on.
        let _ = writeln!(io::stderr(), "{name}: the lab does not answer: {error}");
        NO_LAB
    });
    let _ = io::stdout().flush();
    std::process::exit(i32::from(code));
}

fn ask(socket: &Path, call: &Call) -> io::Result<u8> {
    let lab = UnixStream::connect(socket)?;
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    wire::send(&lab, call, &[stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])?;
    loop {
        match wire::receive::<Frame>(&lab)? {
            // Somebody who does not read is no reason to fail: the status tells.
            Some((Frame::Out(text), _)) => drop(stdout.lock().write_all(text.as_bytes())),
            Some((Frame::Err(text), _)) => drop(stderr.lock().write_all(text.as_bytes())),
            Some((Frame::Exit(code), _)) => return Ok(code),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
