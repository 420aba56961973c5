//! Desired state of a file or a directory on this machine: compare, change atomically, take back.
//!
//! Functions over plain values; knows nothing of steps. A change never leaves half a file: the new content stands beside the
//! old one, synced, before it takes its place. Owner and mode of what was there are kept unless the wish names others.

mod error;

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

pub use error::FileError;
use error::system;

use super::accounts::{self, Account};
use super::difference;
use crate::whole_file::{self, Owned};

/// The largest file whose content is compared, changed and taken back.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// What a backup's name ends in: `~` is skipped by `run-parts`, cron and sudo, and editors know it.
pub const BACKUP_SUFFIX: &str = ".runbook~";
/// The mode of a directory that was not there, before a wish for another: as that of a file, whatever the umask.
const NEW_DIRECTORY_MODE: u32 = 0o755;

/// What is to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// A file; with this content where one is given.
    Present(Option<Vec<u8>>),
    /// A directory.
    Directory,
    /// Nothing.
    Absent,
}

/// A wish for one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Absolute.
    pub path: PathBuf,
    /// What is to be there.
    pub state: State,
    /// Its mode.
    pub mode: Option<u32>,
    /// Its owner: a name or a number.
    pub owner: Option<String>,
    /// Its group: a name or a number.
    pub group: Option<String>,
    /// Whether the former content is kept beside a changed file.
    pub backup: bool,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Absent,
    /// A file and its content.
    File(Vec<u8>, Owned),
    /// A directory, and how many entries it has.
    Directory(usize, Owned),
}

/// What is there compared with the wish.
#[derive(Debug)]
pub struct Comparison {
    /// What is there.
    pub found: Found,
    /// What differs, for people; `None` when all is as wished.
    pub diff: Option<String>,
}

/// What was there before a change, and what the change made beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// The path.
    pub path: PathBuf,
    /// What was there.
    pub found: Found,
    /// The first directory that had to be made for it.
    pub made: Option<PathBuf>,
    /// The backup that was written.
    pub backup: Option<PathBuf>,
}

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

/// Compares what is there with the wish; changes nothing.
///
/// # Errors
///
/// When it cannot be looked at, or cannot become what is wished.
pub fn compare(wish: &Wish) -> Result<Comparison, FileError> {
    let found = look(&wish.path)?;
    let path = wish.path.display().to_string();
    let mut lines: Vec<String> = Vec::new();
    let mut is = None;
    match (&found, &wish.state) {
        (Found::Absent, State::Absent) => {}
        (Found::Absent, State::Directory) => lines.push(format!("+ directory {path}")),
        (Found::Absent, State::Present(content)) => {
            lines.push(difference::content(
                &path,
                b"",
                content.as_deref().unwrap_or_default(),
                true,
            ));
        }
        (Found::File(..), State::Absent) => lines.push(format!("- file {path}")),
        (Found::Directory(0, _), State::Absent) => lines.push(format!("- directory {path}")),
        (Found::Directory(entries, _), State::Absent) => {
            return Err(FileError::NotEmpty {
                path: wish.path.clone(),
                entries: *entries,
            });
        }
        (Found::File(content, owned), State::Present(wished)) => {
            if let Some(wished) = wished
                && wished != content
            {
                lines.push(difference::content(&path, content, wished, false));
            }
            is = Some(*owned);
        }
        (Found::Directory(_, owned), State::Directory) => is = Some(*owned),
        (Found::Directory(..), State::Present(_)) => {
            return Err(FileError::Kind {
                path: wish.path.clone(),
                is: "a directory",
                wished: "a file",
            });
        }
        (Found::File(..), State::Directory) => {
            return Err(FileError::Kind {
                path: wish.path.clone(),
                is: "a file",
                wished: "a directory",
            });
        }
    }
    if wish.state != State::Absent {
        owned_lines(wish, is, &path, &mut lines)?;
    }
    Ok(Comparison {
        found,
        diff: (!lines.is_empty()).then(|| lines.join("\n")),
    })
}

fn owned_lines(
    wish: &Wish,
    is: Option<Owned>,
    path: &str,
    lines: &mut Vec<String>,
) -> Result<(), FileError> {
    if let Some(mode) = wish.mode {
        match is {
            Some(is) if is.mode == mode => {}
            Some(is) => lines.push(format!("mode of {path}: {:04o} → {mode:04o}", is.mode)),
            None => lines.push(format!("mode of {path}: {mode:04o}")),
        }
    }
    let accounts = [
        (Account::User, &wish.owner, is.map(|is| is.uid)),
        (Account::Group, &wish.group, is.map(|is| is.gid)),
    ];
    for (kind, name, is) in accounts {
        let Some(name) = name else { continue };
        let number = number(kind, name)?;
        if is != Some(number) {
            let from = is
                .map(|is| format!("{} → ", accounts::name(kind, is)))
                .unwrap_or_default();
            lines.push(format!("{} of {path}: {from}{name}", kind.word()));
        }
    }
    Ok(())
}

/// Changes what is there into the wish; `found` is what a comparison found a moment ago.
///
/// # Errors
///
/// When the system refuses, or something else changed the path meanwhile. The path is then as it was, unless only owner or
/// mode of something new could not be set.
pub fn change(wish: &Wish, found: &Found) -> Result<Former, FileError> {
    if look(&wish.path)? != *found {
        return Err(FileError::Changed {
            path: wish.path.clone(),
        });
    }
    let mut former = Former {
        path: wish.path.clone(),
        found: found.clone(),
        made: None,
        backup: None,
    };
    match (&wish.state, found) {
        (State::Absent, Found::Directory(..)) => {
            fs::remove_dir(&wish.path).map_err(system("remove", &wish.path))?
        }
        (State::Absent, Found::File(content, owned)) => {
            former.backup = back_up(wish, content, *owned)?;
            fs::remove_file(&wish.path).map_err(system("remove", &wish.path))?;
        }
        (State::Absent, Found::Absent) => {}
        (State::Directory, Found::Absent) => {
            former.made = first_missing(&wish.path);
            fs::create_dir_all(&wish.path).map_err(system("make", &wish.path))?;
            fs::set_permissions(&wish.path, Permissions::from_mode(NEW_DIRECTORY_MODE))
                .map_err(system("change the mode of", &wish.path))?;
        }
        (State::Present(Some(content)), Found::File(is, owned)) if content != is => {
            former.backup = back_up(wish, is, *owned)?;
            write(&wish.path, content, Some(*owned))?;
        }
        (State::Present(content), Found::Absent) => {
            write(&wish.path, content.as_deref().unwrap_or_default(), None)?
        }
        _ => {}
    }
    if wish.state != State::Absent {
        set_owned(wish)?;
    }
    Ok(former)
}

fn set_owned(wish: &Wish) -> Result<(), FileError> {
    let user = wish
        .owner
        .as_deref()
        .map(|name| number(Account::User, name))
        .transpose()?;
    let group = wish
        .group
        .as_deref()
        .map(|name| number(Account::Group, name))
        .transpose()?;
    let metadata = fs::metadata(&wish.path).map_err(system("look at", &wish.path))?;
    let user = user.filter(|user| *user != metadata.uid());
    let group = group.filter(|group| *group != metadata.gid());
    if user.is_some() || group.is_some() {
        chown(&wish.path, user, group).map_err(system("change the owner of", &wish.path))?;
    }
    // After the owner: changing that takes set-uid bits away.
    if let Some(mode) = wish.mode {
        fs::set_permissions(&wish.path, Permissions::from_mode(mode))
            .map_err(system("change the mode of", &wish.path))?;
    }
    Ok(())
}

fn back_up(wish: &Wish, content: &[u8], owned: Owned) -> Result<Option<PathBuf>, FileError> {
    if !wish.backup {
        return Ok(None);
    }
    let mut name = wish.path.as_os_str().to_owned();
    name.push(BACKUP_SUFFIX);
    let path = PathBuf::from(name);
    write(&path, content, Some(owned))?;
    Ok(Some(path))
}

fn write(path: &Path, content: &[u8], owned: Option<Owned>) -> Result<(), FileError> {
    whole_file::write(path, content, owned).map_err(|error| system(error.what, path)(error.source))
}

/// Takes a change back.
///
/// # Errors
///
/// When the system refuses.
pub fn restore(former: &Former) -> Result<(), FileError> {
    let path = &former.path;
    match &former.found {
        Found::Absent => remove(path)?,
        Found::File(content, owned) => {
            write(path, content, Some(*owned))?;
        }
        Found::Directory(_, owned) => {
            fs::create_dir_all(path).map_err(system("make", path))?;
            chown(path, Some(owned.uid), Some(owned.gid))
                .map_err(system("change the owner of", path))?;
            fs::set_permissions(path, Permissions::from_mode(owned.mode))
                .map_err(system("change the mode of", path))?;
        }
    }
    if let Some(made) = &former.made {
        // From the innermost up to the first that was made; one that is in use by now stays and is told.
        for directory in path
            .ancestors()
            .skip(1)
            .take_while(|directory| directory.starts_with(made))
        {
            fs::remove_dir(directory).map_err(system("remove", directory))?;
        }
    }
    if let Some(backup) = &former.backup {
        remove(backup)?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), FileError> {
    let result = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
    };
    result.map_err(system("remove", path))
}

fn first_missing(path: &Path) -> Option<PathBuf> {
    path.ancestors()
        .take_while(|ancestor| !ancestor.exists())
        .last()
        .map(Path::to_owned)
}

fn number(kind: Account, name: &str) -> Result<u32, FileError> {
    accounts::number(kind, name).ok_or_else(|| FileError::NoAccount {
        kind: kind.user_word(),
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests;
