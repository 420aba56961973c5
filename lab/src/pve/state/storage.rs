//! Storages and volumes: what a volume id means, where its file is, and what a storage can do.

use serde_json::{Map, Value};

use crate::fixture::GuestKind;

/// A storage of the cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Storage {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) path: Option<String>,
    pub(crate) content: Vec<String>,
    pub(crate) shared: bool,
    pub(crate) disabled: bool,
    pub(crate) nodes: Vec<String>,
    /// Further options of `storage.cfg`.
    pub(crate) options: Map<String, Value>,
    pub(crate) size: u64,
}

/// A volume.
#[derive(Clone, Debug, Default)]
pub(crate) struct Volume {
    pub(crate) volid: String,
    /// Where it is; none where the storage is shared.
    pub(crate) node: Option<String>,
    /// `images`, `rootdir`, `iso`, `vztmpl`, `backup`, `snippets`, `import`.
    pub(crate) content: String,
    pub(crate) format: String,
    pub(crate) size: u64,
    pub(crate) used: u64,
    pub(crate) ctime: i64,
    pub(crate) vmid: Option<u32>,
    pub(crate) parent: Option<String>,
    pub(crate) notes: Option<String>,
    pub(crate) protected: bool,
    /// A file that was written on the node, not by the API.
    pub(crate) by_hand: bool,
    /// What a backup holds: the guest's configuration file and more, for a restore.
    pub(crate) payload: Option<Value>,
}

/// A volume id in two: storage and name.
pub(crate) fn volume_parts(volid: &str) -> Option<(&str, &str)> {
    volid
        .split_once(':')
        .filter(|(storage, name)| !storage.is_empty() && !name.is_empty())
}

impl Volume {
    /// Whether it is there for that node.
    pub(crate) fn seen_from(&self, node: &str) -> bool {
        self.node.as_deref().is_none_or(|own| own == node)
    }

    /// Its storage's id.
    pub(crate) fn storage(&self) -> &str {
        volume_parts(&self.volid).map_or("", |(storage, _)| storage)
    }
}

impl Storage {
    /// Whether a node has it.
    pub(crate) fn on(&self, node: &str) -> bool {
        self.nodes.is_empty() || self.nodes.iter().any(|name| name == node)
    }

    /// Whether its volumes are files below a directory.
    pub(crate) fn is_directory(&self) -> bool {
        matches!(
            self.kind.as_str(),
            "dir" | "nfs" | "cifs" | "cephfs" | "btrfs"
        ) || self.path.is_some()
    }

    /// Whether every volume can be snapshotted and linked (a directory's raw files cannot).
    pub(crate) fn has_snapshots(&self) -> bool {
        matches!(
            self.kind.as_str(),
            "lvmthin" | "zfspool" | "rbd" | "btrfs" | "fakesnap" | "zfs"
        )
    }

    /// Whether a volume can be the base of a linked clone: a template's base, or (not everywhere) a snapshot. What each
    /// kind of storage can is its `volume_has_feature` in pve-storage; `fakesnap` is the recorded corpus' own kind, for
    /// which everything can.
    pub(crate) fn links(&self, kind: GuestKind, volid: &str, from_snapshot: bool) -> bool {
        let base = volid
            .rsplit(['/', ':'])
            .next()
            .is_some_and(|name| name.starts_with("base-") || name.starts_with("basevol-"));
        match self.kind.as_str() {
            "fakesnap" => true,
            "lvmthin" | "rbd" => base || from_snapshot,
            "btrfs" => base || volid.ends_with(".raw"),
            "zfspool" | "zfs" => base && !from_snapshot,
            // The clone would be a qcow2 file, which no container can have.
            _ if self.is_directory() => base && !from_snapshot && kind == GuestKind::Qemu,
            _ => false,
        }
    }

    /// Whether a volume can be copied: any, but not everywhere as a snapshot has it.
    pub(crate) fn copies(&self, volid: &str, from_snapshot: bool) -> bool {
        !from_snapshot
            || matches!(self.kind.as_str(), "fakesnap" | "lvmthin" | "rbd" | "btrfs")
            || volid.ends_with(".qcow2")
    }

    /// Whether it may hold that kind of content.
    pub(crate) fn holds(&self, content: &str) -> bool {
        self.content.iter().any(|own| own == content)
    }

    /// The file of a volume of this storage: `vztmpl/x.tar.zst` is below `template/cache`.
    pub(crate) fn file(&self, name: &str) -> String {
        let base = self
            .path
            .clone()
            .unwrap_or_else(|| match self.is_directory() {
                true if self.id == "local" => "/var/lib/vz".to_owned(),
                true => format!("/mnt/pve/{}", self.id),
                false => format!("/dev/{}", self.id),
            });
        match name.split_once('/') {
            _ if !self.is_directory() => format!("{base}/{name}"),
            Some(("vztmpl", file)) => format!("{base}/template/cache/{file}"),
            Some(("iso", file)) => format!("{base}/template/iso/{file}"),
            Some(("backup", file)) => format!("{base}/dump/{file}"),
            Some(("snippets", file)) => format!("{base}/snippets/{file}"),
            Some(("import", file)) => format!("{base}/import/{file}"),
            _ => format!(
                "{base}/images/{}",
                name.rsplit_once(".qcow2/").map_or(name, |(_, last)| last)
            ),
        }
    }
}
