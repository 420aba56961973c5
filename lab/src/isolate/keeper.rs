//! The process that leaves the machine's namespaces: everything isolated descends from it, and ends with it.
//!
//! It has one thread: the kernel gives a new user namespace to no other.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use rustix::thread::UnshareFlags;

use super::error::Failure;
use super::message::{Hello, Identities};
use super::stage::Stage;
use super::wire;

/// Leaves, starts the first process inside and waits for its end.
pub(super) fn keep(socket: &UnixStream) -> i32 {
    match leave(socket) {
        Ok(()) => {}
        Err(failure) => {
            let _ = wire::send(socket, &Hello::Failed(failure), &[]);
            return 1;
        }
    }
    // Its standard input is ours: the socket.
    let place = Stage::Place.again().stdin(Stdio::inherit()).status();
    match place {
        Ok(status) => status.code().unwrap_or(1),
        Err(error) => {
            let failure = Failure::new("cannot start the first process inside", &error);
            let _ = wire::send(socket, &Hello::Failed(failure), &[]);
            1
        }
    }
}

fn leave(socket: &UnixStream) -> Result<(), Failure> {
    let failed = |what: &'static str| move |error: io::Error| Failure::new(what, &error);
    unshare(UnshareFlags::NEWUSER).map_err(failed(USER_REFUSED))?;
    wire::send(socket, &Hello::Unshared, &[]).map_err(failed("nobody listens"))?;
    let (identities, _) = wire::receive(socket)
        .and_then(|received| received.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()))
        .map_err(failed("nobody answers"))?;
    if let Identities::Own { uid, gid } = identities {
        map_own(uid, gid, 0, 0).map_err(failed("cannot map the own identity"))?;
    }
    let flags = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS;
    unshare(flags).map_err(failed(
        "the kernel refuses mount, process or network namespaces",
    ))
}

/// What a refused user namespace is called: the lab looks for why.
pub(super) const USER_REFUSED: &str = "the kernel refuses user namespaces";

/// Leaves namespaces.
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    #[expect(
        deprecated,
        reason = "only UnshareFlags::FILES is a danger to memory, and unsafe code is forbidden here"
    )]
    rustix::thread::unshare(flags).map_err(io::Error::from)
}

/// Maps this process's own identity, which needs no privilege.
pub(super) fn map_own(uid: u32, gid: u32, uid_inside: u32, gid_inside: u32) -> io::Result<()> {
    // Without it the kernel refuses the map of groups: a dropped group could open what it was there to forbid.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{uid_inside} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{gid_inside} {gid} 1"))
}
