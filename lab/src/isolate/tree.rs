//! Trees of files: copied within bounds, put in place of others, removed whatever a script did to them.

use std::fs::{self, FileType, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

/// The most that a tree and its snapshots hold, each: a runaway script must not fill the machine's disk by being copied.
pub const TREE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// The most entries of a tree.
pub const TREE_ENTRIES_MAX: u64 = 500_000;
/// How deep a tree is followed.
const DEPTH_MAX: usize = 256;

/// Makes something in place of what is there.
pub(super) fn replace(at: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    match fs::remove_file(at) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    make(at)
}

/// Removes a tree, also what a script made unwritable.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(path),
        Err(_) => {
            make_writable(path, 0);
            fs::remove_dir_all(path)
        }
    }
}

fn make_writable(directory: &Path, depth: usize) {
    // What stays unwritable is told by the removal.
    let _ = fs::set_permissions(directory, Permissions::from_mode(0o700));
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        if depth < DEPTH_MAX && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path(), depth + 1);
        }
    }
}

/// A copy of a tree, within its bounds.
pub(super) struct Copy {
    /// What is there may be replaced.
    over: bool,
    bytes: u64,
    entries: u64,
    owners: bool,
}

impl Copy {
    pub(super) fn new(over: bool) -> Self {
        Self {
            over,
            bytes: 0,
            entries: 0,
            // What a book brings belongs to root; what a host has belongs to whom it belongs.
            owners: !over && rustix::process::geteuid().is_root(),
        }
    }

    pub(super) fn directory(&mut self, from: &Path, to: &Path, depth: usize) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(too_much());
        }
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            self.entries += 1;
            if self.entries > TREE_ENTRIES_MAX {
                return Err(too_much());
            }
            self.entry(&from, &to, entry.file_type()?, depth)
                .map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", from.display()))
                })?;
        }
        Ok(())
    }

    fn entry(&mut self, from: &Path, to: &Path, kind: FileType, depth: usize) -> io::Result<()> {
        let found = from.symlink_metadata()?;
        if kind.is_dir() {
            let exists = to.symlink_metadata().is_ok_and(|to| to.is_dir());
            if !exists {
                self.make_way(to)?;
                fs::create_dir(to)?;
            }
            self.directory(from, to, depth + 1)?;
            if !exists {
                fs::set_permissions(to, found.permissions())?;
            }
        } else if kind.is_symlink() {
            self.make_way(to)?;
            symlink(fs::read_link(from)?, to)?;
        } else if kind.is_file() {
            self.bytes = self.bytes.saturating_add(found.len());
            if self.bytes > TREE_BYTES_MAX {
                return Err(too_much());
            }
            self.make_way(to)?;
            fs::copy(from, to)?;
        } else if kind.is_socket() || kind.is_fifo() || self.over {
            // They mean nothing without who made them.
            return Ok(());
        }
        if self.owners {
            std::os::unix::fs::lchown(to, Some(found.uid()), Some(found.gid()))?;
            if !kind.is_symlink() {
                // A change of the owner takes bits away.
                fs::set_permissions(to, found.permissions())?;
            }
        }
        Ok(())
    }

    fn make_way(&self, to: &Path) -> io::Result<()> {
        if self.over {
            replace(to, |_| Ok(()))
        } else {
            Ok(())
        }
    }
}

fn too_much() -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!(
            "the host's files are more than {TREE_BYTES_MAX} bytes, {TREE_ENTRIES_MAX} entries or {DEPTH_MAX} levels"
        ),
    )
}
