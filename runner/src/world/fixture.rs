//! What the lab's Proxmox VE knows at first: the inventory's nodes and guests, and what `facts.lab` adds.
//!
//! A guest that some step of the book can create is absent, every other one runs, unless `facts.lab.state` says otherwise.
//! Pure: nothing is started here.

use std::collections::{BTreeMap, BTreeSet};

use runbook::inventory::{Guest, GuestKind, Inventory};
use runbook::model::{Book, Step};
use runbook::node::Node;
use runbook::read;
use serde_json::{Map, Value, json};

/// The first number of a guest that has none in the inventory.
const VMID_FIRST: i64 = 100;
/// What a guest of the inventory has at first, in MiB and GiB.
const MEMORY_MIB: u64 = 2048;
const DISK_GIB: u64 = 8;
/// What a fresh Proxmox VE has.
const STORAGES: [(&str, &str, &str); 2] = [
    ("local", "dir", "iso,vztmpl,backup,import,snippets"),
    ("local-lvm", "lvmthin", "rootdir,images"),
];

/// Templates that the lab's nodes can download by name.
const APPLIANCES: [&str; 6] = [
    "alpine-3.22-default_20250617_amd64.tar.xz",
    "debian-12-standard_12.7-1_amd64.tar.zst",
    "debian-13-standard_13.1-2_amd64.tar.zst",
    "fedora-42-default_20250428_amd64.tar.xz",
    "ubuntu-22.04-standard_22.04-1_amd64.tar.zst",
    "ubuntu-24.04-standard_24.04-2_amd64.tar.zst",
];

/// Who may call the lab's API: `root@pam` with a password, and a token with the same rights as far as a token has them.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The password of `root@pam`.
    pub password: String,
    /// The secret of the token `root@pam!lab`.
    pub token: String,
}

/// The user of the lab.
pub const USER: &str = "root@pam";
/// The lab's token.
pub const TOKEN: &str = "root@pam!lab";

/// The first state of a world, in the form of a corpus file's `preconditions`.
pub fn preconditions(book: &Book, credentials: &Credentials) -> Value {
    let inventory = &book.inventory;
    let nodes = node_names(inventory);
    json!({
        "nodes": nodes.iter().map(|name| node(inventory, name, nodes.len() == 1)).collect::<Vec<_>>(),
        "storages": storages(inventory),
        "users": [{"userid": USER, "enable": 1, "password": credentials.password}],
        "tokens": [{"id": TOKEN, "privsep": 0, "value": credentials.token}],
        "bridges": [{"iface": "vmbr0", "bridge_ports": "none"}],
        "hosts": hosts_file(inventory),
        "mappings": mappings(inventory),
        "appliances": APPLIANCES,
        "backup-jobs": backup_jobs(inventory),
        "guests": guests(book),
    })
}

/// The names of the nodes; a lab without any has one.
pub fn node_names(inventory: &Inventory) -> Vec<String> {
    if inventory.nodes.is_empty() {
        return vec!["pve1".to_owned()];
    }
    inventory
        .nodes
        .iter()
        .map(|(name, _)| name.clone())
        .collect()
}

/// The number of each guest of the inventory: its own, else the next free one.
pub fn vmids(inventory: &Inventory) -> BTreeMap<String, i64> {
    let mut taken: BTreeSet<i64> = inventory
        .guests
        .iter()
        .filter_map(|guest| guest.vmid)
        .collect();
    let mut next = VMID_FIRST;
    let mut vmids = BTreeMap::new();
    for guest in &inventory.guests {
        let vmid = guest.vmid.unwrap_or_else(|| {
            while taken.contains(&next) {
                next += 1;
            }
            next
        });
        taken.insert(vmid);
        vmids.insert(guest.name.clone(), vmid);
    }
    vmids
}

/// Guests that are not there at first: the inventory says so, or says nothing and a step can create them.
pub fn absent(book: &Book) -> BTreeSet<String> {
    let steps = book.guides.iter().flat_map(|guide| &guide.steps);
    let mut absent: BTreeSet<String> = steps
        .filter(|step| creates(step))
        .filter_map(|step| guest_of(&book.inventory, step))
        .map(|guest| guest.name.clone())
        .collect();
    for guest in &book.inventory.guests {
        // What the inventory says counts, also where a step could make it.
        match lab_text(&guest.node, "state") {
            Some("absent") => absent.insert(guest.name.clone()),
            Some(_) => absent.remove(&guest.name),
            None => false,
        };
    }
    absent
}

/// Whether a step names a source from which a guest is made.
fn creates(step: &Step) -> bool {
    match step.action.name {
        "lxc" | "vm" => ["template", "clone", "backup", "image"]
            .iter()
            .any(|source| step.args.get(source).is_some()),
        "helper-script" => true,
        _ => false,
    }
}

/// The guest of the inventory that a step means: by its target, else by number, else by host name.
fn guest_of<'a>(inventory: &'a Inventory, step: &Step) -> Option<&'a Guest> {
    let target = step.target.as_text().unwrap_or_default();
    if let Some((kind, name)) = target.split_once('/')
        && matches!(kind, "lxc" | "vm")
    {
        return inventory.guest_called(name);
    }
    let vars = step.args.get("vars");
    let number = step
        .args
        .get("vmid")
        .or_else(|| vars.and_then(|vars| vars.get("var_ctid")))
        .and_then(|vmid| read::int(vmid).ok());
    let name = step
        .args
        .get("hostname")
        .or_else(|| vars.and_then(|vars| vars.get("var_hostname")))
        .and_then(Node::as_text);
    inventory.guests.iter().find(|guest| {
        (number.is_some() && guest.vmid == number)
            || (number.is_none() && Some(guest.name.as_str()) == name)
    })
}

fn node(inventory: &Inventory, name: &str, alone: bool) -> Value {
    let written = inventory
        .nodes
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, node)| node);
    let mut map = Map::new();
    map.insert("name".into(), name.into());
    map.insert("standalone".into(), alone.into());
    if let Some(address) = written.and_then(|node| text(node, "address")) {
        map.insert("ip".into(), address.into());
        map.insert(
            "bridges".into(),
            json!([{"iface": "vmbr0", "cidr": format!("{address}/24"), "bridge_ports": "none"}]),
        );
    }
    let lab = written.and_then(lab);
    if let Some(devices) = lab.and_then(|lab| lab.get("devices")) {
        let devices: Vec<Value> = devices
            .as_list()
            .unwrap_or_default()
            .iter()
            .map(device)
            .collect();
        map.insert("devices".into(), devices.into());
    }
    let pools = lab
        .and_then(|lab| lab.get("pools"))
        .and_then(Node::as_map)
        .unwrap_or_default();
    let pools: Vec<Value> = pools
        .iter()
        .map(|entry| json!({"name": entry.key, "type": "zfs", "size": size(&entry.value)}))
        .collect();
    map.insert("pools".into(), pools.into());
    Value::Object(map)
}

fn device(device: &Node) -> Value {
    let mut map = Map::new();
    for key in ["pci", "usb", "name"] {
        if let Some(value) = text(device, key) {
            map.insert(key.into(), value.into());
        }
    }
    for key in ["vendor", "device"] {
        if let Some(value) = text(device, key) {
            let hexadecimal = value.strip_prefix("0x").unwrap_or(value);
            map.insert(key.into(), format!("0x{hexadecimal}").into());
        }
    }
    if let Some(group) = device
        .get("iommu-group")
        .and_then(|group| read::int(group).ok())
    {
        map.insert("iommu-group".into(), group.into());
    }
    Value::Object(map)
}

/// The storages of all nodes by name: one that several nodes have is one entry with their names.
fn storages(inventory: &Inventory) -> Vec<Value> {
    let mut found: Vec<(String, Map<String, Value>, Vec<String>)> = Vec::new();
    for (node_name, node) in &inventory.nodes {
        let storages = lab(node)
            .and_then(|lab| lab.get("storages"))
            .and_then(Node::as_map)
            .unwrap_or_default();
        for entry in storages {
            if let Some((_, _, nodes)) = found.iter_mut().find(|(name, ..)| *name == entry.key) {
                nodes.push(node_name.clone());
                continue;
            }
            found.push((
                entry.key.clone(),
                storage(&entry.value),
                vec![node_name.clone()],
            ));
        }
    }
    let fresh = STORAGES
        .iter()
        .filter(|(name, ..)| !found.iter().any(|(known, ..)| known == name))
        .map(|(name, kind, content)| json!({"id": name, "type": kind, "content": content}));
    let mut storages: Vec<Value> = fresh.collect();
    for (name, mut map, nodes) in found {
        map.insert("id".into(), name.into());
        if nodes.len() < node_names(inventory).len() {
            map.insert("nodes".into(), nodes.into());
        }
        storages.push(Value::Object(map));
    }
    storages
}

fn storage(written: &Node) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("type".into(), text(written, "type").unwrap_or("dir").into());
    let content = written
        .get("content")
        .and_then(|content| read::list_of_text(content).ok())
        .unwrap_or_default();
    map.insert("content".into(), content.join(",").into());
    if let Some(bytes) = written.get("size").and_then(size) {
        map.insert("size".into(), bytes.into());
    }
    map
}

fn hosts_file(inventory: &Inventory) -> String {
    let mut lines = vec!["127.0.0.1 localhost".to_owned()];
    let named = inventory.nodes.iter().chain(&inventory.hosts);
    let named = named.map(|(name, node)| (name, node));
    let guests = inventory
        .guests
        .iter()
        .map(|guest| (&guest.name, &guest.node));
    for (name, node) in named.chain(guests) {
        if let Some(address) = text(node, "address") {
            lines.push(format!("{address} {name}"));
        }
    }
    lines.join("\n") + "\n"
}

fn mappings(inventory: &Inventory) -> Vec<Value> {
    let mut mappings: Vec<(String, Vec<String>)> = Vec::new();
    for (node_name, node) in &inventory.nodes {
        let written = lab(node)
            .and_then(|lab| lab.get("mappings"))
            .and_then(Node::as_map)
            .unwrap_or_default();
        for entry in written {
            let pci = entry.value.as_text().unwrap_or_default();
            let mut place = format!("node={node_name},path={pci}");
            if let Some(id) = device_id(node, pci) {
                place.push_str(&format!(",id={id}"));
            }
            match mappings.iter_mut().find(|(id, _)| *id == entry.key) {
                Some((_, places)) => places.push(place),
                None => mappings.push((entry.key.clone(), vec![place])),
            }
        }
    }
    mappings
        .into_iter()
        .map(|(id, map)| json!({"id": id, "map": map}))
        .collect()
}

/// `VENDOR:DEVICE` of the device at a PCI address.
fn device_id(node: &Node, pci: &str) -> Option<String> {
    let devices = lab(node)?.get("devices")?.as_list()?;
    let device = devices
        .iter()
        .find(|device| text(device, "pci") == Some(pci))?;
    let number = |key| Some(text(device, key)?.trim_start_matches("0x"));
    Some(format!("{}:{}", number("vendor")?, number("device")?))
}

fn backup_jobs(inventory: &Inventory) -> Vec<Value> {
    let lists = inventory
        .nodes
        .iter()
        .filter_map(|(_, node)| lab(node)?.get("backup-jobs")?.as_list());
    lists.flatten().map(Node::to_json).collect()
}

fn guests(book: &Book) -> Vec<Value> {
    let inventory = &book.inventory;
    let absent = absent(book);
    let vmids = vmids(inventory);
    let first = node_names(inventory).swap_remove(0);
    inventory
        .guests
        .iter()
        .filter(|guest| !absent.contains(&guest.name))
        .map(|guest| {
            let status = match lab_text(&guest.node, "state") {
                Some("stopped") => "stopped",
                _ => "running",
            };
            json!({
                "vmid": vmids[&guest.name],
                "type": match guest.kind { GuestKind::Lxc => "lxc", GuestKind::Vm => "qemu" },
                "node": text(&guest.node, "node").unwrap_or(&first),
                "status": status,
                "config": config(guest, vmids[&guest.name]),
            })
        })
        .collect()
}

fn config(guest: &Guest, vmid: i64) -> Value {
    let address = text(&guest.node, "address").map(|address| format!("{address}/24"));
    let ip = address.unwrap_or_else(|| "dhcp".to_owned());
    match guest.kind {
        GuestKind::Lxc => json!({
            "arch": "amd64", "ostype": "debian", "hostname": guest.name, "unprivileged": 1, "cores": 2,
            "memory": MEMORY_MIB, "swap": 512,
            "rootfs": format!("local-lvm:vm-{vmid}-disk-0,size={DISK_GIB}G"),
            "net0": format!("name=eth0,bridge=vmbr0,hwaddr={},ip={ip},type=veth", mac(vmid)),
        }),
        GuestKind::Vm => json!({
            "name": guest.name, "cores": 2, "memory": MEMORY_MIB.to_string(), "agent": "1", "ostype": "l26",
            "scsihw": "virtio-scsi-single", "boot": "order=scsi0",
            "scsi0": format!("local-lvm:vm-{vmid}-disk-0,size={DISK_GIB}G"),
            "net0": format!("virtio={},bridge=vmbr0", mac(vmid)),
            "ipconfig0": format!("ip={ip}"),
        }),
    }
}

/// An address of the network card, in the range that Proxmox VE gives out; the same for the same guest in every run.
fn mac(vmid: i64) -> String {
    let bytes = vmid.to_be_bytes();
    format!(
        "BC:24:11:{:02X}:{:02X}:{:02X}",
        bytes[5], bytes[6], bytes[7]
    )
}

/// `facts.lab` of a machine.
pub fn lab(node: &Node) -> Option<&Node> {
    node.get("facts")?.get("lab")
}

fn lab_text<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    lab(node)?.get(key)?.as_text()
}

/// A text of a map.
pub fn text<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.get(key)?.as_text()
}

fn size(node: &Node) -> Option<u64> {
    read::size(node).ok()
}
