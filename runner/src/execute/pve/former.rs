//! What a change is taken back from, in a line for people and as data for another process.

use serde_json::{Value, json};

use crate::action::pve::{ha, life, snapshot};

/// What a change is taken back from.
#[derive(Debug, Clone)]
pub(in crate::execute) enum Former {
    Guest(life::Former),
    Snapshot(snapshot::Former),
    Ha(ha::Former),
    /// The node, and the volume as soon as it is there.
    Image(String, Option<String>),
}

impl Former {
    /// One line for people.
    pub(in crate::execute) fn summary(&self) -> String {
        match self {
            Self::Guest(former) => former.summary(),
            Self::Snapshot(former) if former.present => {
                format!("snapshot `{}` of {} as it was", former.name, former.guest)
            }
            Self::Snapshot(former) => {
                format!("remove snapshot `{}` of {}", former.name, former.guest)
            }
            Self::Ha(former) => format!("high availability of {} as it was", former.guest),
            Self::Image(_, Some(volume)) => format!("remove `{volume}`"),
            Self::Image(..) => "remove what is downloaded".to_owned(),
        }
    }

    /// The content that another process needs.
    pub(in crate::execute) fn content(&self) -> Option<&[u8]> {
        match self {
            Self::Guest(former) => Some(former.snippet_before.as_ref()?.text.as_bytes()),
            _ => None,
        }
    }

    /// What another process needs to do it, without contents: those lie in `kept`.
    pub(in crate::execute) fn data(&self, kept: Option<&str>) -> Value {
        match self {
            Self::Guest(former) => former.data(kept),
            Self::Snapshot(former) => json!({
                "action": "snapshot", "node": former.guest.node, "vmid": former.guest.vmid,
                "name": former.name, "present": former.present, "description": former.description,
            }),
            Self::Ha(former) => json!({
                "action": "ha", "node": former.guest.node, "vmid": former.guest.vmid,
                "was": former.was.as_ref().map(|was| json!({
                    "state": was.state, "group": was.group,
                    "max-restart": was.max_restart, "max-relocate": was.max_relocate,
                })),
            }),
            Self::Image(node, volume) => json!({"action": "image", "node": node, "volume": volume}),
        }
    }
}
