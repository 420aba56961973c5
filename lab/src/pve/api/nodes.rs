//! `/nodes` and what a node says about itself: status, time, name service, its configuration.

use serde_json::{Map, Value, json};

use super::{Act, Route, index, object, same_digest};
use crate::pve::answer::{Outcome, Reply};
use crate::pve::cluster::Call;
use crate::pve::hooks::HookFuture;
use crate::pve::state::{Node, State, sha1_hex};

const DISK_BYTES: u64 = 100 << 30;

pub(super) const ROUTES: &[Route] = &[
    ("GET", "/nodes", Act::Now(list)),
    ("GET", "/nodes/{node}", Act::Now(node_index)),
    ("GET", "/nodes/{node}/status", Act::Now(status)),
    ("POST", "/nodes/{node}/status", Act::Later(power)),
    ("GET", "/nodes/{node}/time", Act::Now(time)),
    ("PUT", "/nodes/{node}/time", Act::Now(set_time)),
    ("GET", "/nodes/{node}/dns", Act::Now(dns)),
    ("PUT", "/nodes/{node}/dns", Act::Now(set_dns)),
    ("GET", "/nodes/{node}/hosts", Act::Now(hosts)),
    ("POST", "/nodes/{node}/hosts", Act::Now(set_hosts)),
    ("GET", "/nodes/{node}/config", Act::Now(config)),
    ("PUT", "/nodes/{node}/config", Act::Now(set_config)),
];

fn list(call: &Call, state: &mut State) -> Outcome {
    let now = call.cluster.now();
    let fingerprint = call.cluster.fingerprint();
    let rows = state.nodes.iter().map(|node| {
        let full = node.online && call.may(state, &format!("/nodes/{}", node.name), &["Sys.Audit"]);
        Value::Object(row(node, now, full, Some(&fingerprint)))
    });
    Ok(rows.collect::<Vec<_>>().into())
}

/// A node as lists show it; only its name and state without the right to more.
pub(super) fn row(
    node: &Node,
    now: i64,
    full: bool,
    fingerprint: Option<&Option<String>>,
) -> Map<String, Value> {
    let mut row = object([
        ("id", format!("node/{}", node.name).into()),
        ("type", "node".into()),
        ("node", node.name.clone().into()),
        (
            "status",
            if node.online { "online" } else { "offline" }.into(),
        ),
    ]);
    if let Some(fingerprint) = fingerprint {
        row.insert("ssl_fingerprint".into(), fingerprint.clone().into());
    }
    if full {
        row.insert("level".into(), "".into());
        row.insert("cpu".into(), 0.02.into());
        row.insert("maxcpu".into(), node.cpus.into());
        row.insert("mem".into(), (node.memory / 4).into());
        row.insert("maxmem".into(), node.memory.into());
        row.insert("disk".into(), (DISK_BYTES / 10).into());
        row.insert("maxdisk".into(), DISK_BYTES.into());
        row.insert("uptime".into(), (now - node.booted).into());
    }
    row
}

fn node_index(_: &Call, _: &mut State) -> Outcome {
    let names = [
        "aplinfo",
        "apt",
        "capabilities",
        "ceph",
        "certificates",
        "config",
        "disks",
        "dns",
        "firewall",
        "hardware",
        "hosts",
        "journal",
        "lxc",
        "migrateall",
        "netstat",
        "network",
        "qemu",
        "query-oci-repo-tags",
        "query-url-metadata",
        "replication",
        "report",
        "rrd",
        "rrddata",
        "scan",
        "sdn",
        "services",
        "spiceshell",
        "startall",
        "status",
        "stopall",
        "storage",
        "subscription",
        "suspendall",
        "syslog",
        "tasks",
        "termproxy",
        "time",
        "version",
        "vncshell",
        "vzdump",
        "wakeonlan",
    ];
    index("name", &names)
}

fn status(call: &Call, state: &mut State) -> Outcome {
    let Some(node) = state.node(&call.node()) else {
        return Ok(Reply::null());
    };
    let (used, memory) = (node.memory / 4, node.memory);
    Ok(json!({
        "uptime": call.cluster.now() - node.booted, "cpu": 0.02, "wait": 0, "idle": 0,
        "loadavg": ["0.10", "0.08", "0.05"],
        "cpuinfo": {
            "model": "Lab CPU", "cpus": node.cpus, "cores": node.cpus, "sockets": 1, "flags": "lm vmx", "mhz": "2400.000",
            "hvm": "1", "user_hz": 100,
        },
        "memory": {"total": memory, "used": used, "free": memory - used, "available": memory - used},
        "swap": {"total": 0, "used": 0, "free": 0},
        "rootfs": {"total": DISK_BYTES, "used": DISK_BYTES / 10, "free": DISK_BYTES - DISK_BYTES / 10, "avail": DISK_BYTES - DISK_BYTES / 10},
        "ksm": {"shared": 0},
        "kversion": "Linux 6.17.4-2-pve #1 SMP PREEMPT_DYNAMIC",
        "current-kernel": {"sysname": "Linux", "release": "6.17.4-2-pve", "version": "#1 SMP PREEMPT_DYNAMIC", "machine": "x86_64"},
        "pveversion": format!("pve-manager/{}/{}", super::cluster::VERSION, super::cluster::REPOID),
        "boot-info": {"mode": "efi", "secureboot": 0},
    })
    .into())
}

/// A reboot; a shutdown takes the node away.
fn power(call: Call) -> HookFuture<'static, Outcome> {
    Box::pin(async move {
        let node = call.node();
        let (stopped, started) = call.cluster.node_restarted(&node);
        for vmid in stopped {
            call.cluster.hooks.stopped(vmid).await;
        }
        if call.text("command") == "shutdown" {
            call.cluster.set_online(&node, false);
            return Ok(Reply::null());
        }
        for vmid in started {
            call.cluster.hooks.started(vmid).await;
        }
        call.cluster.hooks.node_rebooted(&node).await;
        Ok(Reply::null())
    })
}

fn time(call: &Call, state: &mut State) -> Outcome {
    let now = call.cluster.now();
    let zone = state
        .node(&call.node())
        .map_or("Etc/UTC", |node| node.timezone.as_str());
    let offset = jiff::tz::TimeZone::get(zone).map_or(0, |zone| {
        jiff::Timestamp::from_second(now)
            .map_or(0, |stamp| i64::from(zone.to_offset(stamp).seconds()))
    });
    Ok(json!({"timezone": zone, "time": now, "localtime": now + offset}).into())
}

fn set_time(call: &Call, state: &mut State) -> Outcome {
    let zone = call.text("timezone");
    if jiff::tz::TimeZone::get(&zone).is_err() {
        return Err(crate::pve::answer::Fail::die(format!(
            "No such timezone: '{zone}'"
        )));
    }
    if let Some(node) = state.node_mut(&call.node()) {
        node.timezone = zone;
    }
    Ok(Reply::null())
}

fn dns(call: &Call, state: &mut State) -> Outcome {
    let Some(node) = state.node(&call.node()) else {
        return Ok(Reply::null());
    };
    let mut row = object([("search", node.search.clone().into())]);
    for (at, server) in node.dns.iter().enumerate() {
        if let Some(server) = server {
            row.insert(format!("dns{}", at + 1), server.clone().into());
        }
    }
    Ok(Value::Object(row).into())
}

fn set_dns(call: &Call, state: &mut State) -> Outcome {
    let dns = ["dns1", "dns2", "dns3"].map(|name| call.params.text(name));
    if let Some(node) = state.node_mut(&call.node()) {
        node.search = call.params.text("search");
        node.dns = dns;
    }
    Ok(Reply::null())
}

fn hosts(call: &Call, state: &mut State) -> Outcome {
    let text = state
        .node(&call.node())
        .map(|node| node.hosts.clone())
        .unwrap_or_default();
    Ok(json!({"data": text, "digest": sha1_hex(&text)}).into())
}

fn set_hosts(call: &Call, state: &mut State) -> Outcome {
    let Some(node) = state.node_mut(&call.node()) else {
        return Ok(Reply::null());
    };
    same_digest(call, &sha1_hex(&node.hosts))?;
    node.hosts = call.text("data");
    Ok(Reply::null())
}

fn config(call: &Call, state: &mut State) -> Outcome {
    let Some(node) = state.node(&call.node()) else {
        return Ok(Reply::null());
    };
    let mut row = node.config.clone();
    let text: String = row
        .iter()
        .map(|(key, value)| format!("{key}: {value}\n"))
        .collect();
    row.insert("digest".into(), sha1_hex(&text).into());
    if let Some(only) = call.params.text("property") {
        row.retain(|key, _| *key == only || key == "digest");
    }
    Ok(Value::Object(row).into())
}

fn set_config(call: &Call, state: &mut State) -> Outcome {
    let Some(node) = state.node_mut(&call.node()) else {
        return Ok(Reply::null());
    };
    for key in call.params.list("delete") {
        node.config.shift_remove(&key);
    }
    for (key, value) in call
        .params
        .iter()
        .filter(|(key, _)| !matches!(*key, "node" | "delete" | "digest"))
    {
        node.config.insert(key.to_owned(), value.clone());
    }
    Ok(Reply::null())
}
