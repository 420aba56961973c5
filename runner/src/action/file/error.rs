//! Why a path cannot be looked at or changed.

use std::io;
use std::path::{Path, PathBuf};

use super::FILE_BYTES_MAX;
use crate::remote::RemoteError;

/// Why a path cannot be looked at or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system refused.
    #[error("cannot {what} `{}`: {source}", path.display())]
    System {
        /// What was tried: `read`.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something else is there than can be changed into the wish.
    #[error("`{}` is {is}, not {wished}", path.display())]
    Kind {
        /// The path.
        path: PathBuf,
        /// What it is.
        is: &'static str,
        /// What was wished.
        wished: &'static str,
    },
    /// A directory that is to be absent has something in it.
    #[error("`{}` has {entries} entries and is not removed", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// How many.
        entries: usize,
    },
    /// Too large.
    #[error("`{}` has {bytes} bytes; the most is {FILE_BYTES_MAX}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// No such owner or group on this machine.
    #[error("{place} has no {kind} `{name}`")]
    NoAccount {
        /// Where: `this machine`.
        place: String,
        /// `user` or `group`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The other machine cannot be used.
    #[error(transparent)]
    Elsewhere(Box<RemoteError>),
    /// Something else changed the path meanwhile.
    #[error("`{}` was changed meanwhile by something else", path.display())]
    Changed {
        /// The path.
        path: PathBuf,
    },
}

impl FileError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotEmpty { .. } => {
                Some("remove a directory with its content by a script with `effect: destroy`")
            }
            Self::System { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("make the directory first, by a step with `file: {path: …, state: directory}`")
            }
            _ => None,
        }
    }
}

/// What the system refused.
pub(super) fn system(
    what: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> FileError + use<> {
    let path = path.to_owned();
    move |source| FileError::System { what, path, source }
}
