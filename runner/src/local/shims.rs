//! Programs that come first on the `PATH` of the lab's local scripts: `ssh`, `scp`, `sftp`, `kubectl`, `flux` and `helm` that use
//! the lab's configuration only.
//!
//! A program that this machine does not have is not made up: a script that calls it learns that it is not there.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{kubectl, ssh};

/// Of OpenSSH.
const OPENSSH: [&str; 3] = ["ssh", "scp", "sftp"];

/// Writes the programs for scripts of a world into a directory that does not exist yet.
pub(super) fn write(directory: &Path, path: &OsStr, socket: &Path, world: u32) -> io::Result<()> {
    fs::create_dir(directory)?;
    let own = std::env::current_exe()?;
    for (role, names) in [(ssh::ROLE, OPENSSH), (kubectl::ROLE, kubectl::PROGRAMS)] {
        for name in names {
            if let Some(real) = find(path, name) {
                let text = role.program(&own, socket, world, &real);
                write_program(&directory.join(name), &text)?;
            }
        }
    }
    Ok(())
}

fn find(path: &OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

fn write_program(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}
