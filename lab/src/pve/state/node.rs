//! A node: its name, resources, files the API edits, devices and network.

use serde_json::{Map, Value};

use crate::fixture::Device;

/// A node of the cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) ip: String,
    pub(crate) online: bool,
    pub(crate) cpus: u32,
    pub(crate) memory: u64,
    /// Seconds since 1970 of the last start.
    pub(crate) booted: i64,
    pub(crate) search: Option<String>,
    pub(crate) dns: [Option<String>; 3],
    pub(crate) hosts: String,
    pub(crate) timezone: String,
    pub(crate) config: Map<String, Value>,
    pub(crate) ifaces: Vec<Iface>,
    /// Staged interfaces, as `interfaces.new` holds them; none without changes.
    pub(crate) staged: Option<Vec<Iface>>,
    pub(crate) devices: Vec<Device>,
}

/// A network interface of a node: the keys of `GET /nodes/{node}/network`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Iface {
    pub(crate) name: String,
    pub(crate) keys: Map<String, Value>,
}

impl Node {
    /// Whether a bridge (or any interface) of that name is there now.
    pub(crate) fn has_iface(&self, name: &str) -> bool {
        self.ifaces.iter().any(|iface| iface.name == name)
    }
}
