//! Scratch directories: removed when their owner drops them, and by a later run when their owner was killed.
//!
//! Whether an owner lives says a lock that it holds on a file in the directory, and that the system takes away with it: a process ID
//! would mean another process after a while, and another one in another container. Knows nothing of what is in them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use tempfile::TempDir;

/// What the names of our directories begin with.
const PREFIX: &str = "runbook-";
/// The file that its owner holds a lock on.
const OWNER: &str = ".owner";
/// How many directories one sweep looks at: a folder for temporary files may have very many entries.
const SWEPT_MAX: usize = 1_000;

/// A directory of ours among the system's temporary files.
#[derive(Debug)]
pub struct Scratch {
    // The directory goes first, while the lock still says that it is owned.
    directory: TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// When the folder for temporary files cannot be written.
    pub fn new() -> io::Result<Self> {
        Self::in_folder(&std::env::temp_dir())
    }

    fn in_folder(folder: &Path) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(folder)?;
        // Locked before it has its name: a sweep never sees it without its owner.
        let unnamed = directory.path().join(".owner-");
        let lock = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unnamed)?;
        lock.lock()?;
        fs::rename(&unnamed, directory.path().join(OWNER))?;
        Ok(Self {
            directory,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What a script made unwritable would keep its directory from being removed.
        make_writable(self.path());
    }
}

/// Removes the scratch directories of ours whose owner is gone. What cannot be removed is left for the next sweep.
pub fn sweep() {
    sweep_folder(&std::env::temp_dir());
}

fn sweep_folder(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let ours = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
        .take(SWEPT_MAX);
    for entry in ours {
        let path = entry.path();
        if is_abandoned(&path) {
            make_writable(&path);
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// Whether it is a directory of this user's with a lock that nobody holds. Any doubt is a no: others write to this folder too.
fn is_abandoned(path: &Path) -> bool {
    let user = rustix::process::geteuid().as_raw();
    let is_ours = |path: &Path, is_dir: bool| {
        fs::symlink_metadata(path).is_ok_and(|data| {
            data.uid() == user && data.is_dir() == is_dir && data.is_file() != is_dir
        })
    };
    let owner = path.join(OWNER);
    is_ours(path, true)
        && is_ours(&owner, false)
        && File::open(&owner).is_ok_and(|file| file.try_lock().is_ok())
}

/// Makes every directory below writable for us; what cannot be stays.
fn make_writable(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o700));
            make_writable(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_script_made_unwritable_is_removed_too() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::in_folder(folder.path()).unwrap();
        let inner = scratch.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("x"), "").unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o500)).unwrap();
        drop(scratch);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_what_has_lost_its_owner_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let owned = Scratch::in_folder(folder.path()).unwrap();
        let abandoned = folder.path().join("runbook-killed");
        let inner = abandoned.join("work/closed");
        fs::create_dir_all(&inner).unwrap();
        fs::write(abandoned.join(OWNER), "").unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o500)).unwrap();
        let others = ["runbook-notes", "other"].map(|name| folder.path().join(name));
        others.iter().for_each(|path| fs::create_dir(path).unwrap());
        fs::write(others[1].join(OWNER), "").unwrap();
        std::os::unix::fs::symlink(&others[1], folder.path().join("runbook-link")).unwrap();
        sweep_folder(folder.path());
        assert!(!abandoned.exists());
        assert!(owned.path().join(OWNER).exists());
        assert!(others[0].exists() && others[1].join(OWNER).exists());
    }
}
