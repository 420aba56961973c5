//! This executable as a program on a script's PATH: what it is started with, and what becomes of it.
//!
//! Which programs there are and what they do is not known here.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A role of this executable.
pub(super) struct Role {
    /// How the first argument of such a start begins; the socket follows.
    pub(super) mark: &'static str,
    /// What it ends with when it could not do what it was told.
    pub(super) failed: i32,
    /// What is said when it was started without world and program.
    pub(super) lost: &'static str,
}

/// What it was started with.
pub(super) struct Started {
    pub(super) socket: PathBuf,
    pub(super) world: String,
    /// The real program.
    pub(super) program: PathBuf,
    /// Its name.
    pub(super) name: String,
    /// What the script says to it.
    pub(super) arguments: Vec<OsString>,
}

impl Role {
    /// The text of a program for a script's PATH.
    pub(super) fn program(&self, own: &Path, socket: &Path, world: u32, real: &Path) -> String {
        format!(
            "#!/bin/sh\nexec {} {}{} {world} {} \"$@\"\n",
            quoted(own),
            self.mark,
            quoted(socket),
            quoted(real)
        )
    }

    /// When this process was started in this role, it becomes the real program and never returns; `become_real` comes back only
    /// with why it could not.
    pub(super) fn play_if_asked(&self, become_real: impl FnOnce(Started) -> String) {
        let mut arguments = std::env::args_os().skip(1);
        let first = arguments.next();
        let Some(socket) = first
            .as_deref()
            .and_then(|first| first.to_str()?.strip_prefix(self.mark))
        else {
            return;
        };
        let error = match (arguments.next(), arguments.next()) {
            (Some(world), Some(program)) => {
                let program = PathBuf::from(program);
                let name = program.file_name().unwrap_or_default();
                become_real(Started {
                    socket: socket.into(),
                    world: world.to_string_lossy().into_owned(),
                    name: name.to_string_lossy().into_owned(),
                    program,
                    arguments: arguments.collect(),
                })
            }
            _ => self.lost.to_owned(),
        };
        // Nobody may be listening.
        let _ = writeln!(io::stderr(), "{error}");
        std::process::exit(self.failed);
    }
}

/// A path as a word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}
