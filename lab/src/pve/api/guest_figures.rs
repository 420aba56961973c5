//! The figures of a guest that lists and its status show.

use serde_json::{Map, Value};

use crate::fixture::GuestKind::{Lxc, Qemu};
use crate::pve::guest::{disk, is_indexed, number};
use crate::pve::params::plain;
use crate::pve::state::{Guest, State, Status};

/// What a running container or machine uses at least.
const USED_BYTES: u64 = 30 << 20;

/// A guest's figures. A stopped one's counters are zero.
pub(super) fn status(state: &State, guest: &Guest, now: i64, full: bool) -> Map<String, Value> {
    let mut row = Map::new();
    let mut put = |key: &str, value: Value| {
        row.insert(key.to_owned(), value);
    };
    let node_cpus = state
        .node(&guest.node)
        .map_or(1, |node| u64::from(node.cpus));
    let memory = guest_memory(guest);
    let running = match guest.status {
        Status::Running { pid, since, .. } => Some((pid, (now - since).max(0))),
        Status::Stopped => None,
    };
    put("vmid", guest.vmid.into());
    put(
        "status",
        if running.is_some() {
            "running"
        } else {
            "stopped"
        }
        .into(),
    );
    put("name", guest.name().into());
    put("cpu", 0.into());
    put(
        "mem",
        if running.is_some() {
            (memory / 8).max(USED_BYTES).min(memory.max(USED_BYTES))
        } else {
            0
        }
        .into(),
    );
    put("maxmem", memory.into());
    put("uptime", running.map_or(0, |(_, uptime)| uptime).into());
    for key in ["netin", "netout", "disk"] {
        put(key, 0.into());
    }
    let maxdisk = match guest.kind {
        Lxc => disk::size_of(&guest.config, "rootfs"),
        Qemu => boot_disk(guest).and_then(|option| disk::size_of(&guest.config, &option)),
    };
    put("maxdisk", maxdisk.unwrap_or(0).into());
    match guest.kind {
        Lxc => {
            put("type", "lxc".into());
            put(
                "cpus",
                match number(guest, "cores", number(guest, "cpulimit", 0)) {
                    0 => node_cpus,
                    cores => cores,
                }
                .into(),
            );
            put("swap", 0.into());
            put("maxswap", (number(guest, "swap", 512) << 20).into());
            put("diskread", 0.into());
            put("diskwrite", 0.into());
            if running.is_some() {
                for key in [
                    "cpusome",
                    "cpufull",
                    "memorysome",
                    "memoryfull",
                    "iosome",
                    "iofull",
                ] {
                    put(&format!("pressure{key}"), "0.00".into());
                }
            }
        }
        Qemu => {
            put(
                "cpus",
                (number(guest, "cores", 1) * number(guest, "sockets", 1)).into(),
            );
            put(
                "memhost",
                if running.is_some() {
                    (memory / 6).max(USED_BYTES)
                } else {
                    0
                }
                .into(),
            );
            if guest.config.contains_key("serial0") {
                put("serial", 1.into());
            }
            if running.is_some() {
                put("diskread", 0.into());
                put("diskwrite", 0.into());
                if full {
                    put("running-machine", "pc-i440fx-10.1+pve0".into());
                    put("running-qemu", "10.1.2".into());
                }
            }
        }
    }
    if let Some((pid, _)) = running {
        put("pid", pid.into());
    }
    if let Some(tags) = guest.config.get("tags") {
        put("tags", tags.clone());
    }
    if let Some(lock) = guest.lock() {
        put("lock", lock.into());
    }
    if guest.is_template() {
        put("template", 1.into());
    }
    row
}

fn guest_memory(guest: &Guest) -> u64 {
    let text = guest
        .config
        .get("memory")
        .and_then(plain)
        .unwrap_or_default();
    let text = text
        .split(',')
        .next()
        .unwrap_or_default()
        .trim_start_matches("current=");
    text.parse::<u64>().unwrap_or(512) << 20
}

/// The disk a machine boots from.
fn boot_disk(guest: &Guest) -> Option<String> {
    let boot = guest.config.get("boot").and_then(plain).unwrap_or_default();
    let order = boot
        .split(',')
        .find_map(|part| part.strip_prefix("order="))
        .unwrap_or_default()
        .to_owned();
    let named = order
        .split(';')
        .find(|option| disk::size_of(&guest.config, option).is_some())
        .map(str::to_owned);
    let first = || {
        disk::disks(guest.kind, &guest.config)
            .into_iter()
            .map(|(option, _)| option)
            .find(|option| !is_indexed(option, "unused"))
    };
    named.or_else(|| {
        if boot.contains("order=") || boot.trim().is_empty() && guest.config.contains_key("boot") {
            None
        } else {
            first()
        }
    })
}
