//! A host's view of the files: its own tree, the machine's programs and libraries for reading, a `/proc` of its own.

use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, unmount};
use rustix::process::pivot_root;

use super::SHARED;
use super::error::Failure;
use super::message::HostSetup;
use super::mounts::{self, tried};

/// Devices that every program may use.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
/// Links of `/dev`.
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];
/// Parts of `/proc` that are the machine's: root of the machine could change it through them.
const PROC_READABLE: &[&str] = &["bus", "fs", "irq", "sys", "sysrq-trigger"];
/// Parts of `/proc` that tell of the machine.
const PROC_HIDDEN: &[&str] = &[
    "kcore",
    "keys",
    "key-users",
    "kmsg",
    "latency_stats",
    "sched_debug",
    "timer_list",
];

/// Makes the view; afterwards nothing else is there.
pub(super) fn make(setup: &HostSetup) -> Result<(), Failure> {
    let root = setup.root.clone().path();
    mounts::bind_itself(&root)?;
    programs(setup, &root)?;
    devices(&root)?;
    processes(&root)?;
    for (outside, inside) in &setup.binds {
        let inside = inside.clone().path();
        let at = root.join(inside.strip_prefix("/").unwrap_or(&inside));
        mounts::bind_for_reading(&outside.clone().path(), &at)?;
    }
    enter(&root)
}

fn programs(setup: &HostSetup, root: &Path) -> Result<(), Failure> {
    let shared = setup.shared.clone().path();
    let (usr, local) = (root.join("usr"), root.join("usr/local"));
    for directory in [&local, &root.join(SHARED)] {
        mounts::directory(directory)?;
    }
    mounts::bind_itself(&usr)?;
    mounts::bind_itself(&local)?;
    mounts::bind(&shared.join("lab"), &root.join(SHARED))?;
    for name in &setup.machine.directories {
        let at = root.join(name);
        mounts::directory(&at)?;
        mounts::bind(&shared.join("machine").join(name), &at)?;
    }
    mounts::make_readable_only(&usr)
}

fn devices(root: &Path) -> Result<(), Failure> {
    let dev = root.join("dev");
    mounts::directory(&dev)?;
    for name in DEVICES {
        let at = dev.join(name);
        mounts::file(&at)?;
        mounts::bind(&Path::new("/dev").join(name), &at)?;
    }
    for (name, target) in LINKS {
        let at = dev.join(name);
        if at.symlink_metadata().is_err() {
            tried("cannot make", &at, symlink(target, &at))?;
        }
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let (memory, terminals) = (dev.join("shm"), dev.join("pts"));
    mounts::directory(&memory)?;
    mounts::filesystem(c"tmpfs", &memory, flags, c"mode=1777,size=64m")?;
    mounts::directory(&terminals)?;
    let options = c"newinstance,ptmxmode=0666,mode=0620";
    mounts::filesystem(
        c"devpts",
        &terminals,
        MountFlags::NOSUID | MountFlags::NOEXEC,
        options,
    )
}

fn processes(root: &Path) -> Result<(), Failure> {
    let proc = root.join("proc");
    mounts::directory(&proc)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mounts::filesystem(c"proc", &proc, flags, c"")?;
    for name in PROC_READABLE {
        let at = proc.join(name);
        if at.exists() {
            mounts::bind_for_reading(&at, &at)?;
        }
    }
    for name in PROC_HIDDEN {
        let at = proc.join(name);
        if at.exists() {
            mounts::bind_for_reading(Path::new("/dev/null"), &at)?;
        }
    }
    Ok(())
}

/// Makes the tree the root and lets go of the machine's.
fn enter(root: &Path) -> Result<(), Failure> {
    tried("cannot enter", root, std::env::set_current_dir(root))?;
    tried("cannot enter", root, pivot_root(".", "."))?;
    tried(
        "cannot leave",
        Path::new("/"),
        unmount(".", UnmountFlags::DETACH),
    )?;
    tried(
        "cannot enter",
        Path::new("/"),
        std::env::set_current_dir("/"),
    )
}
