//! Reading guests: lists, status, a container's interfaces.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::guest_figures::status;
use super::{Act, Route, index};
use crate::fixture::GuestKind::{self, Lxc, Qemu};
use crate::pve::answer::{Outcome, Reply};
use crate::pve::cluster::Call;
use crate::pve::guest::{is_indexed, of, parse};
use crate::pve::hooks::Interface;
use crate::pve::params::plain;
use crate::pve::state::{Guest, State, Status};

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

/// A running guest's interfaces, as its configuration says and DHCP gives them.
pub(super) fn interfaces_of(call: &Call, guest: &Guest) -> Vec<Interface> {
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
            text.split_once('/')
                .and_then(|(ip, prefix)| Some((ip.parse::<IpAddr>().ok()?, prefix.parse().ok()?)))
        };
        found.push(Interface {
            name: name.unwrap_or_else(|| format!("eth{number}")),
            hwaddr: mac.unwrap_or_default().to_lowercase(),
            addresses: addresses.drain(..).flatten().filter_map(cidr).collect(),
        });
    }
    found
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
