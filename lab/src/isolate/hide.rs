//! Hides directories in a mount namespace of its own: of this process, which becomes another program, or of a thread.
//!
//! The same process, so that who started it still can wait for it and end it.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::MountFlags;
use rustix::process::{getegid, geteuid};
use rustix::thread::UnshareFlags;

use super::error::Failure;
use super::{keeper, mounts};

/// The exit code when nothing was executed: nothing of the program ran.
const REFUSED: i32 = 126;
/// The exit code where there is no such program.
const NOT_FOUND: i32 = 127;

/// Hides, then executes: a count, so many paths, the program, its arguments.
pub(super) fn become_hidden(mut arguments: impl Iterator<Item = OsString>) -> i32 {
    let count = arguments
        .next()
        .and_then(|count| count.to_str()?.parse::<usize>().ok())
        .unwrap_or(0);
    let paths: Vec<PathBuf> = arguments.by_ref().take(count).map(PathBuf::from).collect();
    if let Err(failure) = hide(&paths) {
        say(&told(&failure));
        return REFUSED;
    }
    let Some(program) = arguments.next() else {
        // It was only asked whether it can be done.
        return 0;
    };
    let error = Command::new(&program).args(arguments).exec();
    say(&format!("{}: {error}", program.display()));
    match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => REFUSED,
    }
}

/// Hides from the calling thread only, which needs root.
pub(super) fn hide_from_thread(paths: &[PathBuf]) -> Result<(), String> {
    keeper::unshare(UnshareFlags::NEWNS)
        .map_err(|error| Failure::new("cannot make a mount namespace", &error))
        .and_then(|()| hide_all(paths))
        .map_err(|failure| told(&failure))
}

fn told(failure: &Failure) -> String {
    let error = io::Error::from_raw_os_error(failure.errno);
    format!("{}: {error}", failure.what)
}

fn say(text: &str) {
    // Nobody may be listening.
    let _ = writeln!(io::stderr(), "{text}");
}

fn hide(paths: &[PathBuf]) -> Result<(), Failure> {
    let failed = |what: &'static str| move |error: io::Error| Failure::new(what, &error);
    // Root needs no user namespace, where it may mount at all; anyone else is the same user inside.
    if !geteuid().is_root() || keeper::unshare(UnshareFlags::NEWNS).is_err() {
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        keeper::unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)
            .map_err(failed(keeper::USER_REFUSED))?;
        keeper::map_own(uid, gid, uid, gid).map_err(failed("cannot map the own identity"))?;
    }
    hide_all(paths)
}

/// In a mount namespace that is nobody else's yet.
fn hide_all(paths: &[PathBuf]) -> Result<(), Failure> {
    mounts::keep_private()?;
    paths.iter().try_for_each(|path| hide_one(path))
}

fn hide_one(path: &Path) -> Result<(), Failure> {
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(found) if found.is_dir() => {
            let flags =
                MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            mounts::filesystem(c"tmpfs", path, flags, c"mode=0700,size=4k")
        }
        _ => mounts::bind(Path::new("/dev/null"), path),
    }
}
