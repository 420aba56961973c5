//! Desired state of a file or a directory, on this machine or another: compare, change atomically, take back.
//!
//! Functions over plain values and a place that has files (`files`); knows nothing of steps. A change never leaves half a file: the new content stands beside the
//! old one, synced, before it takes its place. Owner and mode of what was there are kept unless the wish names others.

mod error;
mod files;
mod here;
mod there;

use std::path::{Path, PathBuf};

pub use error::FileError;
pub use files::{Files, Place};
pub use here::{Here, look};
pub use there::There;

use super::accounts::Account;
use super::difference;
use crate::whole_file::Owned;

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

/// Compares what is there with the wish; changes nothing.
///
/// # Errors
///
/// When it cannot be looked at, or cannot become what is wished.
pub async fn compare(files: &impl Files, wish: &Wish) -> Result<Comparison, FileError> {
    let found = files.look(&wish.path).await?;
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
        owned_lines(files, wish, is, &path, &mut lines).await?;
    }
    Ok(Comparison {
        found,
        diff: (!lines.is_empty()).then(|| lines.join("\n")),
    })
}

async fn owned_lines(
    files: &impl Files,
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
        let number = files.number(kind, name).await?;
        if is != Some(number) {
            let from = match is {
                Some(is) => format!("{} → ", files.name(kind, is).await?),
                None => String::new(),
            };
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
pub async fn change(files: &impl Files, wish: &Wish, found: &Found) -> Result<Former, FileError> {
    if files.look(&wish.path).await? != *found {
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
        (State::Absent, Found::Directory(..)) => files.remove(&wish.path).await?,
        (State::Absent, Found::File(content, owned)) => {
            former.backup = back_up(files, wish, content, *owned).await?;
            files.remove(&wish.path).await?;
        }
        (State::Absent, Found::Absent) => {}
        (State::Directory, Found::Absent) => {
            former.made = files.make(&wish.path).await?;
            files.mode(&wish.path, NEW_DIRECTORY_MODE).await?;
        }
        (State::Present(Some(content)), Found::File(is, owned)) if content != is => {
            former.backup = back_up(files, wish, is, *owned).await?;
            files.write(&wish.path, content, Some(*owned)).await?;
        }
        (State::Present(content), Found::Absent) => {
            let content = content.as_deref().unwrap_or_default();
            files.write(&wish.path, content, None).await?;
        }
        _ => {}
    }
    if wish.state != State::Absent {
        set_owned(files, wish).await?;
    }
    Ok(former)
}

async fn set_owned(files: &impl Files, wish: &Wish) -> Result<(), FileError> {
    let user = match &wish.owner {
        Some(name) => Some(files.number(Account::User, name).await?),
        None => None,
    };
    let group = match &wish.group {
        Some(name) => Some(files.number(Account::Group, name).await?),
        None => None,
    };
    if user.is_some() || group.is_some() {
        let is = match files.look(&wish.path).await? {
            Found::File(_, owned) | Found::Directory(_, owned) => Some(owned),
            Found::Absent => None,
        };
        let user = user.filter(|user| is.is_none_or(|is| is.uid != *user));
        let group = group.filter(|group| is.is_none_or(|is| is.gid != *group));
        if user.is_some() || group.is_some() {
            files.own(&wish.path, user, group).await?;
        }
    }
    // After the owner: changing that takes set-uid bits away.
    match wish.mode {
        Some(mode) => files.mode(&wish.path, mode).await,
        None => Ok(()),
    }
}

async fn back_up(
    files: &impl Files,
    wish: &Wish,
    content: &[u8],
    owned: Owned,
) -> Result<Option<PathBuf>, FileError> {
    if !wish.backup {
        return Ok(None);
    }
    let mut name = wish.path.as_os_str().to_owned();
    name.push(BACKUP_SUFFIX);
    let path = PathBuf::from(name);
    files.write(&path, content, Some(owned)).await?;
    Ok(Some(path))
}

/// Takes a change back.
///
/// # Errors
///
/// When the system refuses.
pub async fn restore(files: &impl Files, former: &Former) -> Result<(), FileError> {
    let path = &former.path;
    match &former.found {
        Found::Absent => files.remove(path).await?,
        Found::File(content, owned) => files.write(path, content, Some(*owned)).await?,
        Found::Directory(_, owned) => {
            files.make(path).await?;
            files.own(path, Some(owned.uid), Some(owned.gid)).await?;
            files.mode(path, owned.mode).await?;
        }
    }
    if let Some(made) = &former.made {
        // From the innermost up to the first that was made; one that is in use by now stays and is told.
        let above: Vec<&Path> = path
            .ancestors()
            .skip(1)
            .take_while(|directory| directory.starts_with(made))
            .collect();
        for directory in above {
            files.remove(directory).await?;
        }
    }
    if let Some(backup) = &former.backup {
        files.remove(backup).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
