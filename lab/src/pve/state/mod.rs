//! The cluster's state: what a call reads and changes. Everything is behind the one lock of `Cluster`.
//!
//! Data and small questions about it only; texts of answers and the rules of calls are in `api`.

mod guest;
mod node;
mod seed;
mod seed_access;
mod storage;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::access::Access;
use super::hooks::AgentResult;
use super::task::Tasks;

pub(crate) use guest::{Guest, Pending, Snapshot, Status, sha1_hex};
pub(crate) use node::{Iface, Node};
pub(crate) use seed::{file_volume, parse_size, seed};
pub(crate) use storage::{Storage, Volume, volume_parts};

/// An ordered configuration: key to value, as the API reads it back.
pub(crate) type Config = Map<String, Value>;

/// The whole cluster.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) nodes: Vec<Node>,
    /// A cluster's name; none on a standalone node.
    pub(crate) cluster_name: Option<String>,
    pub(crate) storages: Vec<Storage>,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) guests: BTreeMap<u32, Guest>,
    pub(crate) access: Access,
    pub(crate) tasks: Tasks,
    /// Resource mappings: kind (`pci`, `usb`, `dir`) and id to configuration.
    pub(crate) mappings: BTreeMap<(String, String), Config>,
    pub(crate) backup_jobs: BTreeMap<String, Config>,
    pub(crate) ha_resources: BTreeMap<String, Config>,
    pub(crate) ha_rules: BTreeMap<String, Config>,
    /// Firewalls: `cluster`, `node/pve1`, `vm/130`, `group/web`.
    pub(crate) firewalls: BTreeMap<String, Firewall>,
    pub(crate) replication: BTreeMap<String, Config>,
    /// `datacenter.cfg`.
    pub(crate) options: Config,
    /// Programs started by guest agents, by machine and process; none while they run.
    pub(crate) agent_jobs: BTreeMap<(u32, u32), Option<AgentResult>>,
    /// File names of appliances that can be downloaded.
    pub(crate) appliances: Vec<String>,
    /// The next process number and clock tick of tasks.
    pub(crate) ticks: u64,
}

/// A firewall's configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Firewall {
    pub(crate) options: Config,
    /// In their order; the position is the place.
    pub(crate) rules: Vec<Config>,
    pub(crate) aliases: BTreeMap<String, Config>,
    pub(crate) ipsets: BTreeMap<String, IpSet>,
    pub(crate) comment: Option<String>,
}

/// A set of addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct IpSet {
    pub(crate) comment: Option<String>,
    pub(crate) entries: BTreeMap<String, Config>,
}

impl State {
    /// The node of that name.
    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The node of that name, to change.
    pub(crate) fn node_mut(&mut self, name: &str) -> Option<&mut Node> {
        self.nodes.iter_mut().find(|node| node.name == name)
    }

    /// The storage of that id.
    pub(crate) fn storage(&self, id: &str) -> Option<&Storage> {
        self.storages.iter().find(|storage| storage.id == id)
    }

    /// The volume of that id on a node, or on all where the storage is shared.
    pub(crate) fn volume(&self, node: &str, volid: &str) -> Option<&Volume> {
        self.volumes
            .iter()
            .find(|volume| volume.volid == volid && volume.seen_from(node))
    }

    /// The pool a guest is in.
    pub(crate) fn pool_of(&self, vmid: u32) -> Option<&str> {
        self.access
            .pools
            .iter()
            .find(|(_, pool)| pool.vms.contains(&vmid))
            .map(|(name, _)| name.as_str())
    }
}
