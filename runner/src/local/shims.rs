//! Programs that come first on the `PATH` of the lab's local scripts: `ssh`, `scp` and `kubectl` that use the lab's
//! configuration only.
//!
//! The lab serves no hosts yet, so its `ssh` configuration reaches none. A program that this machine does not have is not
//! made up: a script that calls it learns that it is not there.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The configuration of `ssh` in the lab: no host, no key, no agent, nobody is asked.
const SSH_CONFIGURATION: &str = "\
Host *
    ProxyCommand sh -c 'echo \"the lab serves no such host\" >&2; exit 1'
    BatchMode yes
    IdentityAgent none
    IdentityFile none
    GlobalKnownHostsFile none
    UserKnownHostsFile none
    ControlPath none
";

/// Writes the programs; returns their directory.
pub(super) fn write(directory: &Path, path: &OsStr, kubeconfig: &OsStr) -> io::Result<PathBuf> {
    let programs = directory.join("bin");
    fs::create_dir(&programs)?;
    let configuration = directory.join("ssh_config");
    fs::write(&configuration, SSH_CONFIGURATION)?;
    for name in ["ssh", "scp", "sftp"] {
        if let Some(program) = find(path, name) {
            let text = format!(
                "#!/bin/sh\nexec {} -F {} \"$@\"\n",
                quoted(&program),
                quoted(&configuration)
            );
            write_program(&programs.join(name), &text)?;
        }
    }
    if let Some(program) = find(path, "kubectl") {
        let kubeconfig = quoted(Path::new(kubeconfig));
        let text = format!(
            "#!/bin/sh\nKUBECONFIG={kubeconfig}\nexport KUBECONFIG\nexec {} \"$@\"\n",
            quoted(&program)
        );
        write_program(&programs.join("kubectl"), &text)?;
    }
    Ok(programs)
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

fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}
