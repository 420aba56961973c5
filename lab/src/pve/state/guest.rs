//! A guest: its configuration, pending changes, snapshots and whether it runs.
//!
//! The configuration's lock is the key `lock`, as in its file. The digest is that of the file's text, so every change
//! that the real file would see changes it.

use serde_json::Value;
use sha1::{Digest, Sha1};

use super::Config;
use crate::fixture::GuestKind;
use crate::pve::params::plain;

/// A container or virtual machine.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub(crate) kind: GuestKind,
    pub(crate) vmid: u32,
    pub(crate) node: String,
    pub(crate) config: Config,
    /// Changes that wait for the next start, in their order.
    pub(crate) pending: Vec<(String, Pending)>,
    /// Oldest first.
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) status: Status,
    /// When it was made: its figures show later. 0 for long ago.
    pub(crate) created: i64,
}

/// A pending change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pending {
    Set(Value),
    /// To be removed; with force its volume too.
    Delete {
        force: bool,
    },
}

/// A snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) name: String,
    pub(crate) parent: Option<String>,
    pub(crate) snaptime: i64,
    pub(crate) description: Option<String>,
    /// With the memory.
    pub(crate) vmstate: bool,
    /// `prepare` or `delete` while that is so.
    pub(crate) state: Option<&'static str>,
    pub(crate) config: Config,
}

/// Whether a guest runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Stopped,
    Running { pid: u32, since: i64, paused: bool },
}

impl Guest {
    /// A stopped guest without snapshots.
    pub(crate) fn new(kind: GuestKind, vmid: u32, node: &str, config: Config) -> Self {
        let (pending, snapshots) = (Vec::new(), Vec::new());
        Self {
            kind,
            vmid,
            node: node.to_owned(),
            config,
            pending,
            snapshots,
            status: Status::Stopped,
            created: 0,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.status, Status::Running { .. })
    }

    /// What it is locked for.
    pub(crate) fn lock(&self) -> Option<&str> {
        self.config.get("lock").and_then(Value::as_str)
    }

    pub(crate) fn is_template(&self) -> bool {
        self.config
            .get("template")
            .and_then(plain)
            .is_some_and(|text| text == "1")
    }

    /// `hostname` or `name`, with what the API shows without one.
    pub(crate) fn name(&self) -> String {
        let (key, stem) = match self.kind {
            GuestKind::Lxc => ("hostname", "CT"),
            GuestKind::Qemu => ("name", "VM "),
        };
        self.config
            .get(key)
            .and_then(plain)
            .unwrap_or_else(|| format!("{stem}{}", self.vmid))
    }

    /// The path of its configuration in the cluster's file system, as error texts name it.
    pub(crate) fn file(kind: GuestKind, node: &str, vmid: u32) -> String {
        let folder = match kind {
            GuestKind::Lxc => "lxc",
            GuestKind::Qemu => "qemu-server",
        };
        format!("nodes/{node}/{folder}/{vmid}.conf")
    }

    /// The text of its configuration file.
    pub(crate) fn file_text(&self) -> String {
        let mut text = section(&self.config);
        if !self.pending.is_empty() {
            text.push_str("\n[pve:pending]\n");
            for (key, change) in &self.pending {
                match change {
                    Pending::Set(value) => {
                        text.push_str(&format!("{key}: {}\n", plain(value).unwrap_or_default()))
                    }
                    Pending::Delete { force } => {
                        text.push_str(&format!("delete: {}{key}\n", if *force { "!" } else { "" }))
                    }
                }
            }
        }
        for snapshot in &self.snapshots {
            text.push_str(&format!("\n[{}]\n", snapshot.name));
            if let Some(description) = &snapshot.description {
                text.push_str(&format!(
                    "#{}\n",
                    description.trim_end().replace('\n', "\n#")
                ));
            }
            text.push_str(&section(&snapshot.config));
            if let Some(parent) = &snapshot.parent {
                text.push_str(&format!("parent: {parent}\n"));
            }
            if let Some(state) = snapshot.state {
                text.push_str(&format!("snapstate: {state}\n"));
            }
            text.push_str(&format!("snaptime: {}\n", snapshot.snaptime));
        }
        text
    }

    /// The digest of its configuration file.
    pub(crate) fn digest(&self) -> String {
        sha1_hex(&self.file_text())
    }
}

/// SHA-1 in hex: the digest of every configuration file.
pub(crate) fn sha1_hex(text: &str) -> String {
    Sha1::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn section(config: &Config) -> String {
    let mut keys: Vec<_> = config.iter().collect();
    keys.sort_by_key(|(key, _)| key.as_str());
    let mut text = String::new();
    if let Some(description) = config.get("description").and_then(plain) {
        text.push_str(&format!(
            "#{}\n",
            description.trim_end().replace('\n', "\n#")
        ));
    }
    for (key, value) in keys.into_iter().filter(|(key, _)| *key != "description") {
        match value {
            // `lxc`: raw lines, pairs of key and value.
            Value::Array(lines) => {
                for line in lines {
                    let pair: Vec<String> = line
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(plain)
                        .collect();
                    text.push_str(&format!("{}\n", pair.join(": ")));
                }
            }
            other => text.push_str(&format!("{key}: {}\n", plain(other).unwrap_or_default())),
        }
    }
    text
}
