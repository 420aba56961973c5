//! The files of a fresh machine: its programs, its account, what a book lays over them.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{Role, Spec, program, sftp};
use crate::isolate::{Fresh, Root};

/// The files of a fresh machine.
pub(super) fn make_root(spec: &Spec, path: &Path, known: &str) -> io::Result<Root> {
    let mut programs: Vec<String> = program::EVERYWHERE
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    if spec.role == Role::Node {
        programs.extend(program::ON_NODES.iter().map(|name| (*name).to_owned()));
    }
    if spec.user.as_deref().is_some_and(|user| user != "root") {
        programs.push("sudo".to_owned());
    }
    let fresh = Fresh {
        hostname: spec.name.clone(),
        hosts: known.to_owned(),
        resolv_conf: "nameserver 127.0.0.1\n".to_owned(),
        machine_id: machine_id(&spec.name),
        programs,
    };
    let root = Root::create(path, &fresh)?;
    fs::create_dir_all(root.path().join(program::RECORDS))?;
    let sftp = Path::new(sftp::PATH);
    fs::create_dir_all(root.path().join(sftp.parent().unwrap_or(sftp)))?;
    root.program(sftp)?;
    for name in program::OF_RECORDS {
        root.program(&Path::new(program::RECORDS).join(name))?;
    }
    if let Some(user) = spec.user.as_deref().filter(|user| *user != "root") {
        account(root.path(), user)?;
    }
    if let Some(overlay) = &spec.overlay {
        root.overlay(overlay)?;
    }
    Ok(root)
}

/// 32 hexadecimal digits that belong to a name.
fn machine_id(name: &str) -> String {
    use sha1::Digest as _;
    sha1::Sha1::digest(name.as_bytes())
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Adds an account that logs in.
fn account(root: &Path, user: &str) -> io::Result<()> {
    const ID: u32 = 1000;
    for (file, line) in [
        (
            "etc/passwd",
            format!("{user}:x:{ID}:{ID}::/home/{user}:/bin/bash\n"),
        ),
        ("etc/group", format!("{user}:x:{ID}:\n")),
    ] {
        let path = root.join(file);
        let text = fs::read_to_string(&path)? + &line;
        fs::write(&path, text)?;
    }
    let home = root.join("home").join(user);
    fs::create_dir(&home)?;
    // Without other identities than root everything belongs to root; where they exist the account must be able to write.
    fs::set_permissions(&home, fs::Permissions::from_mode(0o777))
}
