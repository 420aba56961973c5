//! `sftp-server` on a lab's machine: this executable under that name, started by the machine's SSH. It reads and writes the
//! machine's own files, as whom the login is, and knows nothing of the lab.
//!
//! SFTP version 3, as OpenSSH's `scp` and `sftp` speak it.

mod wire;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions, ReadDir};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use wire::{Answer, Attributes, Request};

/// Where it lies; the SSH of a machine starts it there.
pub(super) const PATH: &str = "usr/libexec/openssh/sftp-server";
/// What it is called.
pub(super) const NAME: &str = "sftp-server";

/// The version that is spoken.
const VERSION: u32 = 3;
/// Open files and directories at a time.
const HANDLES_MAX: usize = 256;
/// The longest piece that is read at once.
const READ_BYTES_MAX: u32 = 128 * 1024;
/// Names of a directory in one answer.
const NAMES_MAX: usize = 64;

/// Kinds of packets.
const INIT: u8 = 1;
const IS_VERSION: u8 = 2;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const NAMES: u8 = 104;
const ATTRIBUTES: u8 = 105;

/// Codes of a status.
const OK: u32 = 0;
const END: u32 = 1;
const NO_SUCH_FILE: u32 = 2;
const DENIED: u32 = 3;
const FAILURE: u32 = 4;
const UNSUPPORTED: u32 = 8;

/// How a file is opened.
const OPEN_READ: u32 = 1;
const OPEN_WRITE: u32 = 2;
const OPEN_APPEND: u32 = 4;
const OPEN_CREATE: u32 = 8;
const OPEN_TRUNCATE: u32 = 16;
const OPEN_EXCLUSIVE: u32 = 32;
/// The mode of a file for which none is given.
const MODE: u32 = 0o666;

/// What is open.
enum Open {
    File(File),
    Directory(PathBuf, ReadDir),
}

/// Serves standard input and output to their end.
pub(super) fn serve() -> io::Result<()> {
    let (mut from, mut to) = (io::stdin().lock(), io::stdout().lock());
    let mut server = Server::default();
    while let Some(request) = Request::read(&mut from)? {
        to.write_all(&server.answer(request)?)?;
        to.flush()?;
    }
    Ok(())
}

/// Files and directories that are open, by number.
#[derive(Default)]
struct Server {
    open: HashMap<u32, Open>,
    next: u32,
}

impl Server {
    fn answer(&mut self, mut request: Request) -> io::Result<Vec<u8>> {
        if request.kind == INIT {
            return Ok(Answer::new(IS_VERSION).number(VERSION).packet());
        }
        let id = request.number()?;
        let answer = match self.serve(id, &mut request) {
            Ok(answer) => answer,
            Err(error) => {
                let code = match error.kind() {
                    io::ErrorKind::NotFound => NO_SUCH_FILE,
                    io::ErrorKind::PermissionDenied => DENIED,
                    io::ErrorKind::Unsupported => UNSUPPORTED,
                    _ => FAILURE,
                };
                status(id, code, &error.to_string())
            }
        };
        Ok(answer.packet())
    }

    fn serve(&mut self, id: u32, request: &mut Request) -> io::Result<Answer> {
        Ok(match request.kind {
            3 => {
                let (path, flags) = (path(request)?, request.number()?);
                let wished = request.attributes()?;
                let file = open(&path, flags, wished.mode)?;
                self.keep(id, Open::File(file))?
            }
            4 => {
                let number = handle(request)?;
                self.open.remove(&number).ok_or_else(no_handle)?;
                done(id)
            }
            5 => {
                let (number, offset) = (handle(request)?, request.long()?);
                let length = request.number()?.min(READ_BYTES_MAX);
                let mut bytes = vec![0; length as usize];
                let read = self.file(number)?.read_at(&mut bytes, offset)?;
                match read {
                    0 => status(id, END, "end of file"),
                    read => Answer::new(DATA).number(id).bytes(&bytes[..read]),
                }
            }
            6 => {
                let (number, offset) = (handle(request)?, request.long()?);
                let bytes = request.bytes()?;
                self.file(number)?.write_all_at(&bytes, offset)?;
                done(id)
            }
            7 => attributes(id, &fs::symlink_metadata(path(request)?)?),
            8 => {
                let number = handle(request)?;
                attributes(id, &self.file(number)?.metadata()?)
            }
            9 => {
                let path = path(request)?;
                set(&path, &request.attributes()?)?;
                done(id)
            }
            10 => {
                let number = handle(request)?;
                let wished = request.attributes()?;
                set_open(self.file(number)?, &wished)?;
                done(id)
            }
            11 => {
                let path = path(request)?;
                let entries = fs::read_dir(&path)?;
                self.keep(id, Open::Directory(path, entries))?
            }
            12 => {
                let number = handle(request)?;
                self.names(id, number)?
            }
            13 => {
                fs::remove_file(path(request)?)?;
                done(id)
            }
            14 => {
                let path = path(request)?;
                let wished = request.attributes()?;
                fs::create_dir(&path)?;
                set(&path, &wished)?;
                done(id)
            }
            15 => {
                fs::remove_dir(path(request)?)?;
                done(id)
            }
            16 => {
                let path = real(&path(request)?)?;
                named(id, path.as_os_str())
            }
            17 => attributes(id, &fs::metadata(path(request)?)?),
            18 => {
                let (from, to) = (path(request)?, path(request)?);
                if to.symlink_metadata().is_ok() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                fs::rename(from, to)?;
                done(id)
            }
            19 => named(id, fs::read_link(path(request)?)?.as_os_str()),
            20 => {
                // OpenSSH has them the other way round than the draft.
                let (target, link) = (path(request)?, path(request)?);
                std::os::unix::fs::symlink(target, link)?;
                done(id)
            }
            _ => status(id, UNSUPPORTED, "not served"),
        })
    }

    fn keep(&mut self, id: u32, what: Open) -> io::Result<Answer> {
        if self.open.len() >= HANDLES_MAX {
            return Err(io::Error::other("too many open files"));
        }
        self.next = self.next.wrapping_add(1);
        self.open.insert(self.next, what);
        let number = self.next.to_be_bytes();
        Ok(Answer::new(HANDLE).number(id).bytes(&number))
    }

    fn file(&self, number: u32) -> io::Result<&File> {
        match self.open.get(&number) {
            Some(Open::File(file)) => Ok(file),
            _ => Err(no_handle()),
        }
    }

    fn names(&mut self, id: u32, number: u32) -> io::Result<Answer> {
        let Some(Open::Directory(path, entries)) = self.open.get_mut(&number) else {
            return Err(no_handle());
        };
        let mut found = Vec::new();
        for entry in entries.by_ref().take(NAMES_MAX) {
            let name = entry?.file_name();
            let metadata = fs::symlink_metadata(path.join(&name)).ok();
            found.push((name, metadata));
        }
        if found.is_empty() {
            return Ok(status(id, END, "end of directory"));
        }
        let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
        let mut answer = Answer::new(NAMES).number(id).number(count);
        for (name, metadata) in found {
            answer = answer
                .bytes(name.as_bytes())
                .bytes(line(&name, metadata.as_ref()).as_bytes())
                .attributes(metadata.as_ref());
        }
        Ok(answer)
    }
}

fn no_handle() -> io::Error {
    io::Error::other("no such handle")
}

fn path(request: &mut Request) -> io::Result<PathBuf> {
    let bytes = request.bytes()?;
    let path = Path::new(OsStr::from_bytes(&bytes));
    // An empty path is where the login is.
    Ok(if bytes.is_empty() {
        ".".into()
    } else {
        path.into()
    })
}

fn handle(request: &mut Request) -> io::Result<u32> {
    let bytes = request.bytes()?;
    let bytes = bytes.try_into().map_err(|_| no_handle())?;
    Ok(u32::from_be_bytes(bytes))
}

fn status(id: u32, code: u32, text: &str) -> Answer {
    Answer::new(STATUS)
        .number(id)
        .number(code)
        .bytes(text.as_bytes())
        .bytes(b"en")
}

fn done(id: u32) -> Answer {
    status(id, OK, "done")
}

fn attributes(id: u32, found: &Metadata) -> Answer {
    Answer::new(ATTRIBUTES).number(id).attributes(Some(found))
}

fn named(id: u32, name: &OsStr) -> Answer {
    Answer::new(NAMES)
        .number(id)
        .number(1)
        .bytes(name.as_bytes())
        .bytes(name.as_bytes())
        .attributes(None)
}

/// A line as `ls -l` has it; clients show it.
fn line(name: &OsStr, metadata: Option<&Metadata>) -> String {
    let name = name.to_string_lossy();
    match metadata {
        Some(found) => format!(
            "{:o} {} {} {} {} {name}",
            found.mode(),
            found.nlink(),
            found.uid(),
            found.gid(),
            found.size()
        ),
        None => name.into_owned(),
    }
}

/// The path without links, as far as it exists: clients ask for what they are about to make, too.
fn real(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::path::absolute(path),
        found => found,
    }
}

fn open(path: &Path, flags: u32, mode: Option<u32>) -> io::Result<File> {
    let has = |flag: u32| flags & flag != 0;
    OpenOptions::new()
        .read(has(OPEN_READ))
        .write(has(OPEN_WRITE))
        .append(has(OPEN_APPEND))
        .truncate(has(OPEN_TRUNCATE) && !has(OPEN_EXCLUSIVE))
        .create(has(OPEN_CREATE))
        .create_new(has(OPEN_CREATE) && has(OPEN_EXCLUSIVE))
        .mode(mode.unwrap_or(MODE) & 0o7777)
        .open(path)
}

fn set(path: &Path, wished: &Attributes) -> io::Result<()> {
    if let Some(size) = wished.size {
        OpenOptions::new().write(true).open(path)?.set_len(size)?;
    }
    if let Some((uid, gid)) = wished.owner {
        std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
    }
    if let Some(mode) = wished.mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777))?;
    }
    if let Some(times) = wished.times {
        File::open(path)?.set_times(file_times(times))?;
    }
    Ok(())
}

fn set_open(file: &File, wished: &Attributes) -> io::Result<()> {
    if let Some(size) = wished.size {
        file.set_len(size)?;
    }
    if let Some((uid, gid)) = wished.owner {
        std::os::unix::fs::fchown(file, Some(uid), Some(gid))?;
    }
    if let Some(mode) = wished.mode {
        file.set_permissions(fs::Permissions::from_mode(mode & 0o7777))?;
    }
    if let Some(times) = wished.times {
        file.set_times(file_times(times))?;
    }
    Ok(())
}

fn file_times((access, modification): (u32, u32)) -> fs::FileTimes {
    let at = |seconds: u32| UNIX_EPOCH + Duration::from_secs(seconds.into());
    fs::FileTimes::new()
        .set_accessed(at(access))
        .set_modified(at(modification))
}

#[cfg(test)]
mod tests;
