//! Files of this machine. Nothing here waits: each operation is a system call or two.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use super::error::{FileError, system};
use super::files::Files;
use super::{FILE_BYTES_MAX, Found};
use crate::action::accounts::{self, Account};
use crate::whole_file::{self, Owned};

/// This machine.
#[derive(Debug, Clone, Copy)]
pub struct Here;

/// Looks at a path.
///
/// # Errors
///
/// When it cannot be read, or is neither file nor directory.
pub fn look(path: &Path) -> Result<Found, FileError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
        Err(source) => return Err(system("look at", path)(source)),
    };
    if metadata.is_dir() {
        let entries = fs::read_dir(path).map_err(system("read", path))?.count();
        return Ok(Found::Directory(entries, Owned::of(&metadata)));
    }
    if !metadata.is_file() {
        // A pipe would be waited for without end.
        return Err(FileError::Kind {
            path: path.to_owned(),
            is: "a device, pipe or socket",
            wished: "a file",
        });
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
            bytes: metadata.len(),
        });
    }
    let mut content = Vec::new();
    let file = File::open(path).map_err(system("read", path))?;
    file.take(FILE_BYTES_MAX)
        .read_to_end(&mut content)
        .map_err(system("read", path))?;
    Ok(Found::File(content, Owned::of(&metadata)))
}

impl Files for Here {
    async fn look(&self, path: &Path) -> Result<Found, FileError> {
        look(path)
    }

    async fn write(
        &self,
        path: &Path,
        content: &[u8],
        owned: Option<Owned>,
    ) -> Result<(), FileError> {
        whole_file::write(path, content, owned)
            .map_err(|error| system(error.what, path)(error.source))
    }

    async fn remove(&self, path: &Path) -> Result<(), FileError> {
        let result = match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir(path),
            Ok(_) => fs::remove_file(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => Err(error),
        };
        result.map_err(system("remove", path))
    }

    async fn make(&self, path: &Path) -> Result<Option<PathBuf>, FileError> {
        let missing = path
            .ancestors()
            .take_while(|ancestor| !ancestor.exists())
            .last()
            .map(Path::to_owned);
        fs::create_dir_all(path).map_err(system("make", path))?;
        Ok(missing)
    }

    async fn own(
        &self,
        path: &Path,
        user: Option<u32>,
        group: Option<u32>,
    ) -> Result<(), FileError> {
        chown(path, user, group).map_err(system("change the owner of", path))
    }

    async fn mode(&self, path: &Path, mode: u32) -> Result<(), FileError> {
        fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(system("change the mode of", path))
    }

    async fn number(&self, kind: Account, name: &str) -> Result<u32, FileError> {
        accounts::number(kind, name).ok_or_else(|| FileError::NoAccount {
            place: "this machine".to_owned(),
            kind: kind.user_word(),
            name: name.to_owned(),
        })
    }

    async fn name(&self, kind: Account, number: u32) -> Result<String, FileError> {
        Ok(accounts::name(kind, number))
    }
}
