//! Guests, containers and virtual machines: from a step's fields to what is wished for, and how that differs from what is there.
//!
//! Pure: reading and changing the cluster is [`super::world`]'s and its users'. What a wish does not name stays as it is; a
//! source is used only to create and never compared.

pub mod compare;
pub mod keys;
mod wish;

pub use wish::{Known, Wrong};

use runbook::inventory::GuestKind;

use self::keys::{Volume, Wanted};

/// A wish for a guest.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// Which guest.
    pub subject: Subject,
    /// What it is made from when it is not there.
    pub source: Option<Source>,
    /// Its configuration by key, in the order of the fields.
    pub keys: Vec<(String, Wanted)>,
    /// Its root disk; which key that is, is the guest's.
    pub disk: Option<Volume>,
    /// How many network interfaces it has.
    pub nets: Option<usize>,
    /// Public keys of a new container's root login.
    pub login_keys: Vec<String>,
    /// Whether a new container's root is not the node's.
    pub unprivileged: bool,
    /// Whether it needs a cloud-init drive.
    pub cloud_init: bool,
    /// What cloud-init reads, as a text.
    pub user_data: Option<String>,
    /// What it shall be.
    pub state: Option<State>,
    /// Whether pending changes are a reason for a full stop and start.
    pub restart: bool,
}

/// Which guest is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Container or virtual machine.
    pub kind: GuestKind,
    /// Its number, where it is known.
    pub vmid: Option<u32>,
    /// Where it lives, or is to be made.
    pub node: Option<String>,
    /// Its name.
    pub hostname: Option<String>,
    /// Whether the inventory says that the book has it.
    pub claimed: bool,
    /// Its address, where the inventory says it.
    pub address: Option<String>,
}

/// What a guest is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A container template: a volume, or the beginning of a name.
    Template(String),
    /// Another guest.
    Clone {
        /// Its number or name.
        from: String,
        /// A full copy.
        full: Option<bool>,
        /// Of this snapshot.
        snapshot: Option<String>,
    },
    /// A backup's volume.
    Backup(String),
    /// A cloud image: a volume, or a path of the node.
    Image {
        /// Which.
        from: String,
        /// Where its disk is made.
        storage: Option<String>,
    },
}

/// What a guest shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// It is there and does not run.
    Stopped,
    /// It is not there.
    Absent,
    /// It is a template.
    Template,
}

impl State {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Absent => "absent",
            Self::Template => "template",
        }
    }
}

impl Wish {
    /// Whether nothing is wished for: it is only looked at.
    pub fn only_looks(&self) -> bool {
        self.source.is_none()
            && self.keys.is_empty()
            && self.disk.is_none()
            && self.nets.is_none()
            && self.login_keys.is_empty()
            && self.state.is_none()
            && !self.cloud_init
            && self.user_data.is_none()
            && !self.restart
    }
}

impl Subject {
    /// Whether it is a virtual machine.
    pub fn is_vm(&self) -> bool {
        self.kind == GuestKind::Vm
    }

    /// Its part of an API path.
    pub fn family(&self) -> &'static str {
        match self.kind {
            GuestKind::Lxc => "lxc",
            GuestKind::Vm => "qemu",
        }
    }

    /// As people name it: `lxc/130`, `lxc/ollama`.
    pub fn shown(&self) -> String {
        let name = match self.vmid {
            Some(vmid) => vmid.to_string(),
            None => self.hostname.clone().unwrap_or_default(),
        };
        format!("{}/{name}", self.kind.as_str())
    }
}

#[cfg(test)]
mod tests;
