//! Reading guests: lists, status, configuration, pending changes, a container's interfaces.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::{Act, Route, index};
use crate::fixture::GuestKind::{self, Lxc, Qemu};
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::Call;
use crate::pve::guest::{change, disk, is_indexed, number, of, parse, snapshot};
use crate::pve::hooks::Interface;
use crate::pve::params::plain;
use crate::pve::state::{Guest, Pending, State, Status};

pub(super) const ROUTES: &[Route] = &[
    (
        "GET",
        "/nodes/{node}/lxc",
        Act::Now(|call, state| list(call, state, Lxc)),
    ),
    (
        "GET",
        "/nodes/{node}/qemu",
        Act::Now(|call, state| list(call, state, Qemu)),
    ),
    ("GET", "/nodes/{node}/lxc/{vmid}", Act::Now(lxc_index)),
    ("GET", "/nodes/{node}/qemu/{vmid}", Act::Now(qemu_index)),
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/status",
        Act::Now(|call, state| status_index(call, state, Lxc)),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/status",
        Act::Now(|call, state| status_index(call, state, Qemu)),
    ),
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/status/current",
        Act::Now(|call, state| current(call, state, Lxc)),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/status/current",
        Act::Now(|call, state| current(call, state, Qemu)),
    ),
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/config",
        Act::Now(|call, state| config(call, state, Lxc)),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/config",
        Act::Now(|call, state| config(call, state, Qemu)),
    ),
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/pending",
        Act::Now(|call, state| pending(call, state, Lxc)),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/pending",
        Act::Now(|call, state| pending(call, state, Qemu)),
    ),
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/interfaces",
        Act::Now(interfaces),
    ),
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/feature",
        Act::Now(|call, state| feature(call, state, Lxc)),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/feature",
        Act::Now(|call, state| feature(call, state, Qemu)),
    ),
];

/// What a hidden value reads as.
const HIDDEN: &str = "**********";
/// What a running container or machine uses at least.
const USED_BYTES: u64 = 30 << 20;

fn list(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let (node, now) = (call.node(), call.cluster.now());
    let mine = state
        .guests
        .values()
        .filter(|guest| guest.kind == kind && guest.node == node);
    let seen = mine.filter(|guest| call.may(state, &format!("/vms/{}", guest.vmid), &["VM.Audit"]));
    Ok(seen
        .map(|guest| Value::Object(status(state, guest, now, call.params.flag("full"))))
        .collect::<Vec<_>>()
        .into())
}

fn lxc_index(call: &Call, state: &mut State) -> Outcome {
    of(call, state, Lxc)?;
    let names = [
        "config",
        "pending",
        "status",
        "vncproxy",
        "termproxy",
        "vncwebsocket",
        "spiceproxy",
        "migrate",
        "clone",
        "rrd",
        "rrddata",
        "firewall",
        "snapshot",
        "resize",
        "interfaces",
    ];
    index("subdir", &names)
}

fn qemu_index(call: &Call, state: &mut State) -> Outcome {
    of(call, state, Qemu)?;
    let names = [
        "config",
        "cloudinit",
        "pending",
        "status",
        "unlink",
        "vncproxy",
        "termproxy",
        "migrate",
        "resize",
        "move",
        "rrd",
        "rrddata",
        "monitor",
        "agent",
        "snapshot",
        "spiceproxy",
        "sendkey",
        "firewall",
        "mtunnel",
        "remote_migrate",
    ];
    index("subdir", &names)
}

fn status_index(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    of(call, state, kind)?;
    match kind {
        Lxc => index(
            "subdir",
            &["current", "start", "stop", "shutdown", "migrate"],
        ),
        Qemu => index(
            "subdir",
            &[
                "current", "start", "stop", "reset", "shutdown", "suspend", "reboot",
            ],
        ),
    }
}

/// A guest's figures. A stopped one's counters are zero.
fn status(state: &State, guest: &Guest, now: i64, full: bool) -> Map<String, Value> {
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

fn current(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let guest = of(call, state, kind)?;
    let mut row = status(state, guest, call.cluster.now(), true);
    let sid = format!("{}:{}", if kind == Lxc { "ct" } else { "vm" }, guest.vmid);
    let ha = match state.ha_resources.get(&sid) {
        Some(config) => {
            json!({"managed": 1, "state": config.get("state").cloned().unwrap_or("started".into())})
        }
        None => json!({"managed": 0}),
    };
    row.insert("ha".into(), ha);
    if kind == Qemu {
        let paused = matches!(guest.status, Status::Running { paused: true, .. });
        let shown = if paused {
            "paused"
        } else if guest.is_running() {
            "running"
        } else {
            "stopped"
        };
        row.insert("qmpstatus".into(), shown.into());
        let agent = guest
            .config
            .get("agent")
            .and_then(plain)
            .unwrap_or_default();
        if parse(Qemu, "agent", &agent).flag("enabled") {
            row.insert("agent".into(), 1.into());
        }
    }
    Ok(Value::Object(row).into())
}

/// What is never shown, hidden.
fn shown(option: &str, value: &Value) -> Value {
    if option == "cipassword" {
        HIDDEN.into()
    } else {
        value.clone()
    }
}

fn config(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let guest = of(call, state, kind)?;
    let config = match call.params.text("snapshot") {
        Some(_) if call.params.flag("current") => {
            return Err(Fail::param(
                "snapshot",
                "cannot use 'snapshot' parameter with 'current'",
            ));
        }
        Some(name) => super::guest_snapshot::config_of(guest, snapshot(guest, &name)?),
        None if call.params.flag("current") => guest.config.clone(),
        None => change::upcoming(guest),
    };
    let mut row: Map<String, Value> = config
        .iter()
        .map(|(option, value)| (option.clone(), shown(option, value)))
        .collect();
    row.insert("digest".into(), guest.digest().into());
    Ok(Value::Object(row).into())
}

fn pending(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let guest = of(call, state, kind)?;
    let mut rows = Vec::new();
    for (option, value) in &guest.config {
        let mut row = Map::from_iter([
            ("key".to_owned(), option.clone().into()),
            ("value".to_owned(), shown(option, value)),
        ]);
        match guest.pending.iter().find(|(own, _)| own == option) {
            Some((_, Pending::Set(value))) => {
                row.insert("pending".into(), shown(option, value));
            }
            Some((_, Pending::Delete { force })) => {
                row.insert("delete".into(), if *force { 2 } else { 1 }.into());
            }
            None => {}
        }
        rows.push(Value::Object(row));
    }
    for (option, change) in guest
        .pending
        .iter()
        .filter(|(option, _)| !guest.config.contains_key(option))
    {
        match change {
            Pending::Set(value) => {
                rows.push(json!({"key": option, "pending": shown(option, value)}))
            }
            Pending::Delete { force } => {
                rows.push(json!({"key": option, "delete": if *force { 2 } else { 1 }}))
            }
        }
    }
    rows.push(json!({"key": "digest", "value": guest.digest()}));
    Ok(rows.into())
}

/// A running guest's interfaces: what the hooks know, or what its configuration says.
pub(super) fn interfaces_of(call: &Call, guest: &Guest) -> Vec<Interface> {
    call.cluster.hooks.address(guest.vmid).unwrap_or_else(|| {
        let mut found = Vec::new();
        for (option, value) in guest
            .config
            .iter()
            .filter(|(option, _)| is_indexed(option, "net"))
        {
            let net = parse(guest.kind, option, &plain(value).unwrap_or_default());
            let number = option.trim_start_matches("net");
            let (mut addresses, name, mac) = match guest.kind {
                Lxc => (
                    vec![net.text("ip"), net.text("ip6")],
                    net.text("name"),
                    net.text("hwaddr"),
                ),
                Qemu => {
                    let ip = guest
                        .config
                        .get(&format!("ipconfig{number}"))
                        .and_then(plain)
                        .unwrap_or_default();
                    let ip = parse(Qemu, "ipconfig0", &ip);
                    (
                        vec![ip.text("ip"), ip.text("ip6")],
                        Some(format!("eth{number}")),
                        net.text("macaddr"),
                    )
                }
            };
            let cidr = |text: String| {
                if text == "dhcp" {
                    return call.cluster.hooks.lease(guest.vmid);
                }
                text.split_once('/').and_then(|(ip, prefix)| {
                    Some((ip.parse::<IpAddr>().ok()?, prefix.parse().ok()?))
                })
            };
            found.push(Interface {
                name: name.unwrap_or_else(|| format!("eth{number}")),
                hwaddr: mac.unwrap_or_default().to_lowercase(),
                addresses: addresses.drain(..).flatten().filter_map(cidr).collect(),
            });
        }
        found
    })
}

fn interfaces(call: &Call, state: &mut State) -> Outcome {
    let guest = of(call, state, Lxc)?;
    if !guest.is_running() {
        return Ok(Reply::null());
    }
    let lo = Interface {
        name: "lo".into(),
        hwaddr: "00:00:00:00:00:00".into(),
        addresses: vec![
            (IpAddr::from([127, 0, 0, 1]), 8),
            (IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1u16]), 128),
        ],
    };
    let all = std::iter::once(lo).chain(
        interfaces_of(call, guest)
            .into_iter()
            .filter(|own| own.name != "lo"),
    );
    let row = |own: Interface| {
        let mut row = Map::new();
        row.insert("name".into(), own.name.into());
        row.insert("hwaddr".into(), own.hwaddr.clone().into());
        row.insert("hardware-address".into(), own.hwaddr.into());
        let family = |v6: bool| {
            own.addresses
                .iter()
                .find(|(ip, _)| ip.is_ipv6() == v6)
                .map(|(ip, prefix)| format!("{ip}/{prefix}"))
        };
        for (key, address) in [("inet", family(false)), ("inet6", family(true))] {
            if let Some(address) = address {
                row.insert(key.into(), address.into());
            }
        }
        let list = own.addresses.iter().map(|(ip, prefix)| {
            let kind = if ip.is_ipv6() { "inet6" } else { "inet" };
            json!({"ip-address": ip.to_string(), "ip-address-type": kind, "prefix": prefix.to_string()})
        });
        row.insert("ip-addresses".into(), list.collect::<Vec<_>>().into());
        Value::Object(row)
    };
    Ok(all.map(row).collect::<Vec<_>>().into())
}

fn feature(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let guest = of(call, state, kind)?;
    let has = match call.text("feature").as_str() {
        "snapshot" => super::guest_snapshot::supported(state, guest),
        "clone" => guest.is_template() || super::guest_snapshot::supported(state, guest),
        _ => true,
    };
    let mut row = Map::from_iter([("hasFeature".to_owned(), Value::from(u8::from(has)))]);
    if kind == Qemu {
        row.insert("nodes".into(), vec![guest.node.clone()].into());
    }
    Ok(Value::Object(row).into())
}
