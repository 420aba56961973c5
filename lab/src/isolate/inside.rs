//! The first process of a host: it makes the host's view of its tree, then starts and ends its commands.
//!
//! What runs on a host may do as root does with its files, and nothing to the machine: no device, no mount, no kernel
//! setting. When this process ends the kernel ends everything on the host.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Resource, Rlimit, setrlimit, umask};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

use super::error::Failure;
use super::message::{Answer, ExecWish, HostSetup, HostWish};
use super::reaper::Reaper;
use super::{session, view, wire};

/// The longest file that a command can write.
const FILE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// What root may do on a host. Everything else could change the machine, or the network that all hosts share.
const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::SETFCAP);

/// Serves one host until the lab hangs up.
pub(super) fn serve(socket: &UnixStream) -> i32 {
    let Ok(Some((HostWish::Setup(setup), descriptors))) = wire::receive(socket) else {
        return 1;
    };
    let Some(client) = descriptors.into_iter().next().map(UnixStream::from) else {
        return 1;
    };
    let made = make(&setup);
    let failed = made.is_err();
    let answer = made.map_or_else(Answer::Failed, |()| Answer::Done);
    if wire::send(&client, &answer, &[]).is_err() || failed {
        return 1;
    }
    drop(client);
    let host = Host {
        reaper: Reaper::start(),
        running: Arc::default(),
    };
    let mut number = 0;
    while let Ok(Some((wish, descriptors))) = wire::receive::<HostWish>(socket) {
        let mut descriptors = descriptors.into_iter();
        let Some(client) = descriptors.next().map(UnixStream::from) else {
            return 1;
        };
        match wish {
            HostWish::Exec(wish) => {
                number += 1;
                host.exec(number, wish, client, descriptors.collect());
            }
            HostWish::Kill(number) => host.kill(number, client),
            HostWish::Setup(_) => return 1,
        }
    }
    0
}

fn make(setup: &HostSetup) -> Result<(), Failure> {
    view::make(setup)?;
    let failed = |what: &'static str| {
        move |error: rustix::io::Errno| Failure::new(what, &io::Error::from(error))
    };
    rustix::system::sethostname(setup.hostname.as_bytes())
        .map_err(failed("cannot set the host's name"))?;
    umask(rustix::fs::Mode::from_raw_mode(0o022));
    let limit = |bytes| Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    setrlimit(Resource::Fsize, limit(FILE_BYTES_MAX)).map_err(failed("cannot limit files"))?;
    setrlimit(Resource::Core, limit(0)).map_err(failed("cannot limit dumps"))?;
    for capability in CapabilitySet::all().difference(CAPABILITIES).iter() {
        match remove_capability_from_bounding_set(capability) {
            // A kernel does not know those that are newer.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(failed("cannot give up privileges")(error)),
        }
    }
    Ok(())
}

struct Host {
    reaper: Arc<Reaper>,
    /// The leaders of the commands that run, by number.
    running: Arc<Mutex<HashMap<u64, i32>>>,
}

impl Host {
    fn exec(&self, number: u64, wish: ExecWish, client: UnixStream, streams: Vec<OwnedFd>) {
        let answer = match self.start(number, wish, &client, streams) {
            Ok(()) => return,
            Err(failure) => Answer::Failed(failure),
        };
        let _ = wire::send(&client, &answer, &[]);
    }

    fn start(
        &self,
        number: u64,
        wish: ExecWish,
        client: &UnixStream,
        streams: Vec<OwnedFd>,
    ) -> Result<(), Failure> {
        let invalid = || io::Error::from(rustix::io::Errno::INVAL);
        let Ok([input, output, error]) = <[OwnedFd; 3]>::try_from(streams) else {
            return Err(Failure::new("a command without its streams", &invalid()));
        };
        let mut argv = wish.argv.into_iter().map(super::message::Text::os);
        let Some(program) = argv.next() else {
            return Err(Failure::new("a command without a program", &invalid()));
        };
        let cwd = wish.cwd.path();
        let env: Vec<_> = wish
            .env
            .into_iter()
            .map(|(name, value)| (name.os(), value.os()))
            .collect();
        let place = session::locate(&program, &cwd, &env)
            .map_err(|error| Failure::new(program.display(), &error))?;
        let mut command = Command::new(place);
        command
            .arg0(&program)
            .args(argv)
            .current_dir(&cwd)
            .env_clear()
            .envs(env)
            .env(session::MARK, number.to_string())
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(output))
            .stderr(Stdio::from(error))
            .process_group(0);
        if let Some((uid, gid)) = wish.user {
            command.uid(uid).gid(gid);
        }
        let other = client
            .try_clone()
            .map_err(|error| Failure::new("too many open files", &error))?;
        let running = Arc::clone(&self.running);
        // Held until the number is told: the end must not come before it.
        let mut known = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let started = self.reaper.spawn(&mut command, move |end| {
            running
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&number);
            let ended = Answer::Ended {
                code: end.code,
                signal: end.signal,
            };
            let _ = wire::send(&other, &ended, &[]);
        });
        let pid = started.map_err(|error| explain(&program, &cwd, &error))?;
        known.insert(number, pid);
        let _ = wire::send(client, &Answer::Started(number), &[]);
        Ok(())
    }

    /// Ends a command with everything that came of it; says so when nothing is left.
    fn kill(&self, number: u64, client: UnixStream) {
        let running = Arc::clone(&self.running);
        std::thread::spawn(move || {
            let left = session::kill(number, || {
                running
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get(&number)
                    .copied()
            });
            let answer = if left == 0 {
                Answer::Done
            } else {
                let error = io::Error::from(rustix::io::Errno::BUSY);
                Answer::Failed(Failure::new(
                    format_args!("{left} processes cannot be ended"),
                    &error,
                ))
            };
            let _ = wire::send(&client, &answer, &[]);
        });
    }
}

fn explain(program: &std::ffi::OsStr, cwd: &Path, error: &io::Error) -> Failure {
    if cwd.is_dir() {
        Failure::new(program.display(), error)
    } else {
        let error = io::Error::from(rustix::io::Errno::NOTDIR);
        Failure::new(format_args!("cannot start in `{}`", cwd.display()), &error)
    }
}
