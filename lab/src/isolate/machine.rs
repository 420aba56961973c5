//! What a host of the lab sees of this machine: a fixed list of programs, and the libraries they need.
//!
//! Looks at the machine only. LANGUAGE's list is complete: what is not in it is not there, even where the machine has it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::message::Text;

/// The programs besides those of coreutils.
const PROGRAMS: &[&str] = &[
    "sh", "bash", "grep", "sed", "awk", "find", "tar", "curl", "openssl", "ip", "python3",
];

/// The programs of coreutils.
const COREUTILS: &[&str] = &[
    "[",
    "arch",
    "b2sum",
    "base32",
    "base64",
    "basename",
    "basenc",
    "cat",
    "chcon",
    "chgrp",
    "chmod",
    "chown",
    "chroot",
    "cksum",
    "comm",
    "cp",
    "csplit",
    "cut",
    "date",
    "dd",
    "df",
    "dir",
    "dircolors",
    "dirname",
    "du",
    "echo",
    "env",
    "expand",
    "expr",
    "factor",
    "false",
    "fmt",
    "fold",
    "groups",
    "head",
    "hostid",
    "id",
    "install",
    "join",
    "link",
    "ln",
    "logname",
    "ls",
    "md5sum",
    "mkdir",
    "mkfifo",
    "mknod",
    "mktemp",
    "mv",
    "nice",
    "nl",
    "nohup",
    "nproc",
    "numfmt",
    "od",
    "paste",
    "pathchk",
    "pinky",
    "pr",
    "printenv",
    "printf",
    "ptx",
    "pwd",
    "readlink",
    "realpath",
    "rm",
    "rmdir",
    "runcon",
    "seq",
    "sha1sum",
    "sha224sum",
    "sha256sum",
    "sha384sum",
    "sha512sum",
    "shred",
    "shuf",
    "sleep",
    "sort",
    "split",
    "stat",
    "stdbuf",
    "stty",
    "sum",
    "sync",
    "tac",
    "tail",
    "tee",
    "test",
    "timeout",
    "touch",
    "tr",
    "true",
    "truncate",
    "tsort",
    "tty",
    "uname",
    "unexpand",
    "uniq",
    "unlink",
    "users",
    "vdir",
    "wc",
    "who",
    "whoami",
    "yes",
];

/// Where this machine's own programs are; not where a user keeps more of them.
const PLACES: &[&str] = &["/usr/bin", "/bin", "/usr/sbin", "/sbin"];

/// Where libraries are, and what they read.
const LIBRARIES: &[&str] = &[
    "usr/lib",
    "usr/lib32",
    "usr/lib64",
    "usr/libx32",
    "lib",
    "lib32",
    "lib64",
    "libx32",
];

/// What programs of the list read besides.
const SHARED: &[&str] = &[
    "usr/share/awk",
    "usr/share/ca-certificates",
    "usr/share/i18n",
    "usr/share/locale",
    "usr/share/terminfo",
    "usr/share/zoneinfo",
];

/// Directories at the top that are links on machines where `/usr` holds everything.
const TOP: &[&str] = &["lib", "lib32", "lib64", "libx32"];

/// What of this machine is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Names of programs, and the files that they are.
    pub(super) programs: Vec<(String, Text)>,
    /// Directories, relative to the root here and there.
    pub(super) directories: Vec<String>,
    /// Links at the top, and where they lead.
    pub(super) links: Vec<(String, Text)>,
}

impl Machine {
    /// Looks at this machine.
    pub(crate) fn look() -> Self {
        let programs = PROGRAMS
            .iter()
            .chain(COREUTILS)
            .filter_map(|name| Some(((*name).to_owned(), Text::from(program(name)?.as_path()))))
            .collect();
        let root = Path::new("/");
        let directories = LIBRARIES
            .iter()
            .chain(SHARED)
            .filter(|name| fs::symlink_metadata(root.join(name)).is_ok_and(|found| found.is_dir()))
            .map(|name| (*name).to_owned())
            .collect();
        let links = TOP
            .iter()
            .filter_map(|name| {
                let target = fs::read_link(root.join(name)).ok()?;
                Some(((*name).to_owned(), Text::from(target.as_path())))
            })
            .collect();
        Self {
            programs,
            directories,
            links,
        }
    }

    /// The names of the programs that are there.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.programs.iter().map(|(name, _)| name.as_str())
    }

    /// The links at the top, and where they lead.
    pub(crate) fn links(&self) -> impl Iterator<Item = (&str, PathBuf)> {
        self.links
            .iter()
            .map(|(name, target)| (name.as_str(), target.clone().path()))
    }

    /// The directories that must be there to be mounted on.
    pub(crate) fn directories(&self) -> impl Iterator<Item = &str> {
        self.directories.iter().map(String::as_str)
    }
}

/// The file that a program is on this machine, links followed (`awk` is an alternative on Debian).
fn program(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    PLACES.iter().find_map(|place| {
        let file = fs::canonicalize(Path::new(place).join(name)).ok()?;
        let found = fs::metadata(&file).ok()?;
        (found.is_file() && found.permissions().mode() & 0o111 != 0).then_some(file)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_fixed_one_and_the_shell_is_there() {
        let machine = Machine::look();
        let names: Vec<_> = machine.names().collect();
        assert!(names.contains(&"sh") && names.contains(&"cat"), "{names:?}");
        for other in ["perl", "ssh", "mount", "gcc", "apt-get", "systemctl"] {
            assert!(!names.contains(&other), "{other}");
        }
    }
}
