//! What comparing and changing needs of a place that has files: this machine, or another one.

use std::future::Future;
use std::path::{Path, PathBuf};

use super::Found;
use super::error::FileError;
use super::here::Here;
use super::there::There;
use crate::action::accounts::Account;
use crate::whole_file::Owned;

/// A place that has files.
pub trait Files: Sync {
    /// What is at a path, links followed.
    fn look(&self, path: &Path) -> impl Future<Output = Result<Found, FileError>> + Send;

    /// Puts a content in a file's place in one go: all of it is there, or what was before.
    fn write(
        &self,
        path: &Path,
        content: &[u8],
        owned: Option<Owned>,
    ) -> impl Future<Output = Result<(), FileError>> + Send;

    /// Removes a file or an empty directory; that nothing is there is as well.
    fn remove(&self, path: &Path) -> impl Future<Output = Result<(), FileError>> + Send;

    /// Makes a directory, with those above it; the first that was not there.
    fn make(&self, path: &Path) -> impl Future<Output = Result<Option<PathBuf>, FileError>> + Send;

    /// Changes owner and group, where they are given.
    fn own(
        &self,
        path: &Path,
        user: Option<u32>,
        group: Option<u32>,
    ) -> impl Future<Output = Result<(), FileError>> + Send;

    /// Changes the mode.
    fn mode(&self, path: &Path, mode: u32) -> impl Future<Output = Result<(), FileError>> + Send;

    /// The number of a user or a group; a number is itself.
    fn number(
        &self,
        kind: Account,
        name: &str,
    ) -> impl Future<Output = Result<u32, FileError>> + Send;

    /// The name of a number; the number itself where it has none.
    fn name(
        &self,
        kind: Account,
        number: u32,
    ) -> impl Future<Output = Result<String, FileError>> + Send;
}

/// Where files are.
#[derive(Clone)]
pub enum Place {
    /// On this machine.
    Here,
    /// On another one.
    There(There),
}

macro_rules! both {
    ($self:ident, $files:ident => $call:expr) => {
        match $self {
            Place::Here => {
                let $files = &Here;
                $call.await
            }
            Place::There($files) => $call.await,
        }
    };
}

impl Files for Place {
    async fn look(&self, path: &Path) -> Result<Found, FileError> {
        both!(self, files => files.look(path))
    }

    async fn write(
        &self,
        path: &Path,
        content: &[u8],
        owned: Option<Owned>,
    ) -> Result<(), FileError> {
        both!(self, files => files.write(path, content, owned))
    }

    async fn remove(&self, path: &Path) -> Result<(), FileError> {
        both!(self, files => files.remove(path))
    }

    async fn make(&self, path: &Path) -> Result<Option<PathBuf>, FileError> {
        both!(self, files => files.make(path))
    }

    async fn own(
        &self,
        path: &Path,
        user: Option<u32>,
        group: Option<u32>,
    ) -> Result<(), FileError> {
        both!(self, files => files.own(path, user, group))
    }

    async fn mode(&self, path: &Path, mode: u32) -> Result<(), FileError> {
        both!(self, files => files.mode(path, mode))
    }

    async fn number(&self, kind: Account, name: &str) -> Result<u32, FileError> {
        both!(self, files => files.number(kind, name))
    }

    async fn name(&self, kind: Account, number: u32) -> Result<String, FileError> {
        both!(self, files => files.name(kind, number))
    }
}
