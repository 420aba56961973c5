//! Small steps of mounting, each with what was tried in its error.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_bind_recursive, mount_change,
    mount_remount,
};

use super::error::Failure;

pub(super) fn tried<T, E: Into<io::Error>>(
    what: &str,
    path: &Path,
    result: Result<T, E>,
) -> Result<T, Failure> {
    result.map_err(|error| Failure::new(format_args!("{what} `{}`", path.display()), &error.into()))
}

/// What is mounted from now on stays in this mount namespace.
pub(super) fn keep_private() -> Result<(), Failure> {
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    tried(
        "cannot keep mounts private",
        Path::new("/"),
        mount_change("/", flags),
    )
}

/// Lays a file or a directory over another, with what is mounted below it.
pub(super) fn bind(from: &Path, to: &Path) -> Result<(), Failure> {
    tried("cannot show", to, mount_bind_recursive(from, to))
}

/// The same, for reading.
pub(super) fn bind_for_reading(from: &Path, to: &Path) -> Result<(), Failure> {
    bind(from, to)?;
    make_readable_only(to)
}

/// Lays a directory over itself, so that it can be changed apart.
pub(super) fn bind_itself(path: &Path) -> Result<(), Failure> {
    tried("cannot show", path, mount_bind(path, path))
}

/// Makes what is mounted at a path readable only. What else the mount forbids must stay: the kernel refuses otherwise.
pub(super) fn make_readable_only(path: &Path) -> Result<(), Failure> {
    let found = tried("cannot look at", path, statvfs(path))?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    for (has, flag) in [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ] {
        if found.contains(has) {
            flags |= flag;
        }
    }
    tried(
        "cannot make readable only",
        path,
        mount_remount(path, flags, c""),
    )
}

/// Mounts a filesystem of the kernel's.
pub(super) fn filesystem(
    kind: &CStr,
    path: &Path,
    flags: MountFlags,
    data: &CStr,
) -> Result<(), Failure> {
    let what = format!("cannot mount {} at", kind.to_string_lossy());
    tried(&what, path, mount(kind, path, kind, flags, Some(data)))
}

/// Makes a directory, also above.
pub(super) fn directory(path: &Path) -> Result<(), Failure> {
    tried("cannot make", path, fs::create_dir_all(path))
}

/// Makes an empty file to mount on.
pub(super) fn file(path: &Path) -> Result<(), Failure> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    tried("cannot make", path, fs::write(path, ""))
}
