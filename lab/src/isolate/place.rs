//! The first process of the isolated place: it owns the lab's network and starts the hosts. When it ends, and it does when
//! the lab hangs up, the kernel ends everything inside.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::MountFlags;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, connect, ipproto, socket_with, sockopt,
};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::UnshareFlags;

use super::error::Failure;
use super::message::{Answer, Setup, Wish};
use super::reaper::Reaper;
use super::stage::Stage;
use super::{keeper, mounts, netlink, wire};

/// How many wishes are served at once.
const WISHES_MAX: usize = 128;

/// Makes the place, then serves the lab until it hangs up.
pub(super) fn serve(socket: &UnixStream) -> i32 {
    // Our parent has one thread, so this cannot come too early.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let Ok(Some((setup, _))) = wire::receive::<Setup>(socket) else {
        return 1;
    };
    let answer = match make(&setup) {
        Ok(()) => Answer::Done,
        Err(failure) => Answer::Failed(failure),
    };
    if wire::send(socket, &answer, &[]).is_err() || matches!(answer, Answer::Failed(_)) {
        return 1;
    }
    let reaper = Reaper::start();
    let serving = Arc::new(AtomicUsize::new(0));
    while let Ok(Some((wish, descriptors))) = wire::receive::<Wish>(socket) {
        let mut descriptors = descriptors.into_iter();
        let Some(client) = descriptors.next().map(UnixStream::from) else {
            return 1;
        };
        if serving.fetch_add(1, Ordering::Relaxed) >= WISHES_MAX {
            serving.fetch_sub(1, Ordering::Relaxed);
            let error = io::Error::from(rustix::io::Errno::AGAIN);
            answer_with(
                &client,
                Err(Failure::new("too many wishes at once", &error)),
            );
            continue;
        }
        let (reaper, serving) = (Arc::clone(&reaper), Arc::clone(&serving));
        std::thread::spawn(move || {
            fulfil(wish, client, descriptors.next(), &reaper);
            serving.fetch_sub(1, Ordering::Relaxed);
        });
    }
    0
}

fn make(setup: &Setup) -> Result<(), Failure> {
    mounts::keep_private()?;
    // In a further user namespace a script would have every privilege again. The setting is this namespace's own, and an
    // older kernel may not have it.
    let _ = std::fs::write("/proc/sys/user/max_user_namespaces", "0");
    netlink::raise_loopback().map_err(|error| Failure::new("cannot raise `lo`", &error))?;
    for address in &setup.addresses {
        add(*address)?;
    }
    gather(setup)
}

/// Gathers what all hosts show: each program alone, so that nothing beside it can be found.
fn gather(setup: &Setup) -> Result<(), Failure> {
    let shared = setup.shared.clone().path();
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mounts::filesystem(c"tmpfs", &shared, flags, c"mode=0755,size=4m")?;
    let lab = shared.join("lab");
    let programs = lab.join("bin");
    mounts::directory(&programs)?;
    for (name, file) in &setup.machine.programs {
        let at = programs.join(name);
        mounts::file(&at)?;
        mounts::bind_for_reading(&file.clone().path(), &at)?;
    }
    let own = lab.join("self");
    mounts::file(&own)?;
    mounts::bind_for_reading(&setup.program.clone().path(), &own)?;
    for name in &setup.machine.directories {
        let at = shared.join("machine").join(name);
        mounts::directory(&at)?;
        mounts::bind_for_reading(&Path::new("/").join(name), &at)?;
    }
    mounts::make_readable_only(&shared)
}

fn add(address: IpAddr) -> Result<(), Failure> {
    netlink::add(address)
        .map_err(|error| Failure::new(format_args!("cannot add the address `{address}`"), &error))
}

fn fulfil(wish: Wish, client: UnixStream, descriptor: Option<OwnedFd>, reaper: &Reaper) {
    match wish {
        Wish::Listen(address) => {
            let listening = TcpListener::bind(address).map(OwnedFd::from);
            answer_with(&client, tried("cannot listen at", address, listening));
        }
        Wish::ListenUdp(address) => {
            let listening = UdpSocket::bind(address).map(OwnedFd::from);
            answer_with(&client, tried("cannot listen at", address, listening));
        }
        Wish::Connect {
            from,
            to,
            milliseconds,
        } => {
            let connected = open(from, to, Duration::from_millis(milliseconds));
            answer_with(&client, tried("cannot connect to", to, connected));
        }
        Wish::AddAddress(address) => answer_without(&client, add(address)),
        Wish::RemoveAddress(address) => {
            let removed = netlink::remove(address);
            answer_without(
                &client,
                tried("cannot remove the address", address, removed),
            );
        }
        Wish::Boot => boot(client, descriptor, reaper),
    }
}

fn tried<T>(
    what: &str,
    value: impl std::fmt::Display,
    result: io::Result<T>,
) -> Result<T, Failure> {
    result.map_err(|error| Failure::new(format_args!("{what} `{value}`"), &error))
}

fn answer_with(client: &UnixStream, result: Result<OwnedFd, Failure>) {
    // Who asked may have stopped waiting.
    let _ = match result {
        Ok(socket) => wire::send(client, &Answer::Done, &[socket.as_fd()]),
        Err(failure) => wire::send(client, &Answer::Failed(failure), &[]),
    };
}

fn answer_without(client: &UnixStream, result: Result<(), Failure>) {
    let answer = result.map_or_else(Answer::Failed, |()| Answer::Done);
    let _ = wire::send(client, &answer, &[]);
}

/// Opens a connection, from an address of the lab's choice, within its time.
fn open(from: Option<IpAddr>, to: SocketAddr, timeout: Duration) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    if let Some(from) = from {
        bind(&socket, &SocketAddr::new(from, 0))?;
    }
    match connect(&socket, &to) {
        Ok(()) => return Ok(socket),
        Err(rustix::io::Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let limit = Timespec::try_from(timeout).ok();
    let ready = poll(&mut [writable(socket.as_fd())], limit.as_ref())?;
    if ready == 0 {
        return Err(io::Error::from(rustix::io::Errno::TIMEDOUT));
    }
    sockopt::socket_error(&socket)??;
    Ok(socket)
}

fn writable(socket: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::from_borrowed_fd(socket, PollFlags::OUT)
}

/// Starts the first process of a host. This thread is used for nothing else afterwards: its next children would belong to
/// that host.
fn boot(client: UnixStream, socket: Option<OwnedFd>, reaper: &Reaper) {
    let failed = |what: &str, error: &io::Error| {
        let _ = wire::send(&client, &Answer::Failed(Failure::new(what, error)), &[]);
    };
    let Some(socket) = socket else {
        return failed(
            "a host without a socket",
            &io::ErrorKind::InvalidInput.into(),
        );
    };
    let flags =
        UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWUTS | UnshareFlags::NEWIPC;
    if let Err(error) = keeper::unshare(flags) {
        return failed("the kernel refuses namespaces for a host", &error);
    }
    let mut command = Stage::Host.again();
    command.stdin(Stdio::from(socket));
    let Ok(other) = client.try_clone() else {
        return failed(
            "too many open files",
            &io::Error::from(rustix::io::Errno::MFILE),
        );
    };
    let started = reaper.spawn(&mut command, move |end| {
        let ended = Answer::Ended {
            code: end.code,
            signal: end.signal,
        };
        let _ = wire::send(&other, &ended, &[]);
    });
    match started {
        Ok(_) => answer_without(&client, Ok(())),
        Err(error) => failed("cannot start the first process of a host", &error),
    }
}
