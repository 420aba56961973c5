//! Writes a file whole: beside it, synced, then renamed over it. All of the new content is there, or what was before.
//!
//! The one way in which this program replaces a file. Knows nothing of what is in it.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

/// The mode of a file that was not there.
pub const NEW_FILE_MODE: u32 = 0o644;
/// The bits of a mode that count.
const MODE_BITS: u32 = 0o7777;

/// Mode and owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// The permission bits.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

impl Owned {
    /// What a file's metadata say.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            mode: metadata.mode() & MODE_BITS,
            uid: metadata.uid(),
            gid: metadata.gid(),
        }
    }

    /// Those of what is at the path; `None` when nothing is there.
    pub fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::of(&metadata))
    }
}

/// What the system refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} it")]
pub struct WriteError {
    /// What was tried: `write`, `keep the owner of`.
    pub what: &'static str,
    /// What the system says.
    #[source]
    pub source: io::Error,
}

impl WriteError {
    /// As what the system says, with what was tried where that was not plainly to write.
    pub fn into_io(self) -> io::Error {
        if self.what == WRITE {
            self.source
        } else {
            io::Error::new(
                self.source.kind(),
                format!("cannot {} it: {}", self.what, self.source),
            )
        }
    }
}

const WRITE: &str = "write";

fn failed(source: io::Error) -> WriteError {
    WriteError {
        what: WRITE,
        source,
    }
}

/// Writes a file whose owner and mode are to be these; without them it is as any new file of ours, `NEW_FILE_MODE`.
///
/// # Errors
///
/// When the system refuses; the file is then as it was.
pub fn write(path: &Path, content: &[u8], owned: Option<Owned>) -> Result<(), WriteError> {
    write_with(path, owned, |out| out.write_all(content))
}

/// As [`write()`], with owner and mode of what is there.
///
/// # Errors
///
/// When the system refuses; the file is then as it was.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), WriteError> {
    write(path, content, Owned::at(path))
}

/// As [`write()`], of a content that is made while it is written.
///
/// # Errors
///
/// When the system or whoever makes the content refuses; the file is then as it was.
pub fn write_with(
    path: &Path,
    owned: Option<Owned>,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), WriteError> {
    // A link stays a link: what it points to is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = match target.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".runbook-")
        .tempfile_in(directory)
        .map_err(failed)?;
    {
        let mut out = io::BufWriter::new(file.as_file_mut());
        content(&mut out).map_err(failed)?;
        out.flush().map_err(failed)?;
    }
    let metadata = file.as_file().metadata().map_err(failed)?;
    if let Some(owned) = owned
        && (owned.uid, owned.gid) != (metadata.uid(), metadata.gid())
    {
        chown(file.path(), Some(owned.uid), Some(owned.gid)).map_err(|source| WriteError {
            what: "keep the owner of",
            source,
        })?;
    }
    // After the owner: changing that takes set-uid bits away.
    let mode = owned.map_or(NEW_FILE_MODE, |owned| owned.mode);
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))
        .map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&target).map_err(|error| failed(error.error))?;
    // The rename lies in the directory; a file system that cannot sync one is not an error.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_keeps_its_mode_and_a_link_stays_one() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        replace(&file, b"one").unwrap();
        assert_eq!(Owned::at(&file).unwrap().mode, NEW_FILE_MODE);
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert!(link.is_symlink());
        assert_eq!(Owned::at(&file).unwrap().mode, 0o600);
    }

    #[test]
    fn a_content_that_cannot_be_made_leaves_the_file_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        replace(&file, b"one").unwrap();
        let error = write_with(&file, None, |out| {
            out.write_all(b"tw")?;
            Err(io::Error::other("no more"))
        })
        .unwrap_err();
        assert_eq!(error.into_io().to_string(), "no more");
        assert_eq!(fs::read(&file).unwrap(), b"one");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
