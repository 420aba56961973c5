//! The files a client needs: configuration, known hosts, the identity. Nothing of the user's own is read or named in them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};

use super::Error;

/// Who may read the identity.
const IDENTITY_MODE: u32 = 0o600;

/// What one host has in the files.
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) aliases: &'a [String],
    pub(super) addresses: &'a [IpAddr],
    pub(super) user: Option<&'a str>,
    pub(super) port: u16,
    pub(super) public_key: String,
}

/// Where the files are.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) config: PathBuf,
    pub(super) known_hosts: PathBuf,
    pub(super) identity: PathBuf,
    /// The executable that connects for OpenSSH.
    via: Option<PathBuf>,
}

impl Files {
    pub(super) fn at(dir: &Path, via: Option<PathBuf>) -> Self {
        Self {
            via,
            config: dir.join("config"),
            known_hosts: dir.join("known_hosts"),
            identity: dir.join("identity"),
        }
    }

    /// Writes the private key, readable by its owner only.
    pub(super) fn write_identity(&self, key: &PrivateKey) -> Result<(), Error> {
        let text = key
            .to_openssh(LineEnding::LF)
            .map_err(|error| Error::Key(error.to_string()))?;
        write_new(&self.identity, text.as_bytes(), IDENTITY_MODE)
    }

    /// Writes configuration and known hosts anew, each replaced as a whole.
    pub(super) fn write(&self, entries: &[Entry<'_>]) -> Result<(), Error> {
        let mut config = String::from(
            "# Written by the lab. Other hosts than its own are not reached through this file.\n",
        );
        let mut known = String::new();
        for entry in entries {
            config.push_str(&block(self, entry));
            known.push_str(&format!("{} {}\n", entry.name, entry.public_key));
        }
        config.push_str(
            "\nHost *\n  ProxyCommand /bin/sh -c 'echo \"the lab serves no such host: %h\" >&2; exit 255'\n  \
             ControlMaster no\n  ControlPath none\n",
        );
        replace(&self.known_hosts, known.as_bytes())?;
        replace(&self.config, config.as_bytes())
    }
}

fn block(files: &Files, entry: &Entry<'_>) -> String {
    let names: Vec<String> = std::iter::once(entry.name.to_owned())
        .chain(entry.aliases.iter().cloned())
        .chain(entry.addresses.iter().map(ToString::to_string))
        .collect();
    format!(
        "\nHost {names}\n  HostName 127.0.0.1\n  Port {port}\n  User {user}\n  HostKeyAlias {name}\n  {way}\n  \
         IdentityFile {identity}\n  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {known}\n  \
         GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  UpdateHostKeys no\n  \
         PreferredAuthentications publickey\n  ForwardAgent no\n  CheckHostIP no\n",
        names = names.join(" "),
        way = match &files.via {
            Some(program) => format!(
                "ProxyCommand {}\n  ProxyUseFdpass yes",
                super::connect::command(program, entry.port).to_string_lossy()
            ),
            None => "ProxyCommand none".to_owned(),
        },
        port = entry.port,
        user = entry.user.unwrap_or("root"),
        name = entry.name,
        identity = quoted(&files.identity),
        known = quoted(&files.known_hosts),
    )
}

/// A path as an argument in the configuration: quoted for blanks, with `%` and `$` kept from being expanded.
fn quoted(path: &Path) -> String {
    let text = path
        .display()
        .to_string()
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%");
    format!("\"{text}\"")
}

/// A key of the kind that everything here uses.
pub(super) fn new_key() -> Result<PrivateKey, Error> {
    PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519)
        .map_err(|error| Error::Key(error.to_string()))
}

/// The line of known hosts, without the name.
pub(super) fn public(key: &PrivateKey) -> Result<String, Error> {
    key.public_key()
        .to_openssh()
        .map_err(|error| Error::Key(error.to_string()))
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let failed = |source: io::Error| Error::Write {
        path: path.to_owned(),
        source,
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source: io::Error| Error::Write {
        path: path.to_owned(),
        source,
    };
    let new = path.with_extension("new");
    fs::write(&new, bytes).map_err(failed)?;
    fs::rename(&new, path).map_err(failed)
}
