//! `/`, `/version`, `/cluster/…`: what is asked about the whole cluster.

use serde_json::{Value, json};

use super::{Act, Route, index, object};
use crate::fixture::GuestKind;
use crate::pve::answer::{Fail, Outcome};
use crate::pve::cluster::Call;
use crate::pve::params::plain;
use crate::pve::state::{Guest, State, sha1_hex};

/// The version the lab answers as.
pub(crate) const VERSION: &str = "9.2.11";
pub(crate) const RELEASE: &str = "9.2";
pub(crate) const REPOID: &str = "b6ea3b3a4b6a5a1c";
const NEXT_ID_LOWEST: u32 = 100;
const NEXT_ID_HIGHEST: u32 = 1_000_000;

pub(super) const ROUTES: &[Route] = &[
    ("GET", "/", Act::Now(root_index)),
    ("GET", "/version", Act::Now(version)),
    ("GET", "/nodes/{node}/version", Act::Now(version)),
    ("GET", "/cluster", Act::Now(cluster_index)),
    ("GET", "/cluster/nextid", Act::Now(nextid)),
    ("GET", "/cluster/resources", Act::Now(resources)),
    ("GET", "/cluster/status", Act::Now(status)),
    ("GET", "/cluster/log", Act::Now(log)),
    ("GET", "/cluster/options", Act::Now(options)),
    ("PUT", "/cluster/options", Act::Now(set_options)),
];

fn root_index(_: &Call, _: &mut State) -> Outcome {
    index(
        "subdir",
        &["version", "cluster", "nodes", "storage", "access", "pools"],
    )
}

fn version(_: &Call, _: &mut State) -> Outcome {
    Ok(json!({"version": VERSION, "release": RELEASE, "repoid": REPOID}).into())
}

fn cluster_index(_: &Call, _: &mut State) -> Outcome {
    let names = [
        "acme",
        "backup",
        "backup-info",
        "bulk-action",
        "ceph",
        "config",
        "firewall",
        "ha",
        "jobs",
        "log",
        "mapping",
        "metrics",
        "nextid",
        "notifications",
        "options",
        "qemu",
        "replication",
        "resources",
        "sdn",
        "status",
        "tasks",
    ];
    index("name", &names)
}

fn nextid(call: &Call, state: &mut State) -> Outcome {
    if let Some(vmid) = call.params.int("vmid") {
        let taken = u32::try_from(vmid).is_ok_and(|vmid| state.guests.contains_key(&vmid));
        return match taken {
            true => Err(Fail::param("vmid", format!("VM {vmid} already exists"))),
            false => Ok(vmid.to_string().into()),
        };
    }
    let range = state
        .options
        .get("next-id")
        .and_then(plain)
        .unwrap_or_default();
    let bound = |name: &str| {
        range
            .split(',')
            .find_map(|part| part.strip_prefix(name))
            .and_then(|text| text.parse::<u32>().ok())
    };
    let (lowest, highest) = (
        bound("lower=").unwrap_or(NEXT_ID_LOWEST),
        bound("upper=").unwrap_or(NEXT_ID_HIGHEST),
    );
    match (lowest..highest).find(|vmid| !state.guests.contains_key(vmid)) {
        Some(vmid) => Ok(vmid.to_string().into()),
        None => Err(Fail::die(format!(
            "unable to get any free VMID in range [{lowest}, {}]",
            highest.saturating_sub(1)
        ))),
    }
}

fn resources(call: &Call, state: &mut State) -> Outcome {
    let only = call.params.text("type");
    let wanted = |kind: &str| only.as_deref().is_none_or(|only| only == kind);
    let mut rows = Vec::new();
    let now = call.cluster.now();
    let measured = now - call.cluster.since >= STATS_SECONDS;
    if only.is_none() {
        for (name, _) in state
            .access
            .pools
            .iter()
            .filter(|(name, _)| call.may(state, &format!("/pool/{name}"), &["Pool.Audit"]))
        {
            rows.push(json!({"id": format!("/pool/{name}"), "pool": name, "type": "pool"}));
        }
    }
    if wanted("vm") {
        for guest in state
            .guests
            .values()
            .filter(|guest| call.may(state, &format!("/vms/{}", guest.vmid), &["VM.Audit"]))
        {
            rows.push(guest_row(state, guest, now, true));
        }
    }
    if wanted("node") {
        for node in &state.nodes {
            let full = measured
                && node.online
                && call.may(state, &format!("/nodes/{}", node.name), &["Sys.Audit"]);
            rows.push(Value::Object(super::nodes::row(node, now, full, None)));
        }
    }
    if wanted("storage") {
        for node in &state.nodes {
            for storage in state
                .storages
                .iter()
                .filter(|storage| storage.on(&node.name) && !storage.disabled)
            {
                let path = format!("/storage/{}", storage.id);
                if call.may(
                    state,
                    &path,
                    &["Datastore.Audit", "Datastore.AllocateSpace"],
                ) {
                    let mut row = object([
                        ("id", format!("storage/{}/{}", node.name, storage.id).into()),
                        ("type", "storage".into()),
                        ("node", node.name.clone().into()),
                        ("storage", storage.id.clone().into()),
                        (
                            "status",
                            if measured { "available" } else { "unknown" }.into(),
                        ),
                        ("shared", u8::from(storage.shared).into()),
                        ("plugintype", storage.kind.clone().into()),
                        ("content", storage.content.join(",").into()),
                    ]);
                    if measured {
                        let (used, _) = super::storages::space(state, &node.name, storage);
                        row.insert("disk".into(), used.into());
                        row.insert("maxdisk".into(), storage.size.into());
                    }
                    rows.push(Value::Object(row));
                }
            }
        }
    }
    if wanted("sdn") {
        for node in &state.nodes {
            if call.may(
                state,
                "/sdn/zones/localnetwork",
                &["SDN.Audit", "SDN.Use", "SDN.Allocate"],
            ) {
                rows.push(json!({
                    "id": format!("network/{}/zone/localnetwork", node.name), "type": "network", "network-type": "zone",
                    "network": "localnetwork", "node": node.name, "status": "ok",
                }));
            }
        }
    }
    Ok(rows.into())
}

/// How often a real cluster's nodes tell each other their figures: what is younger shows as `unknown`.
pub(crate) const STATS_SECONDS: i64 = 10;

/// A guest as the resource lists show it: its place alone until the first figures are there.
pub(crate) fn guest_row(state: &State, guest: &Guest, now: i64, with_pool: bool) -> Value {
    let kind = match guest.kind {
        GuestKind::Lxc => "lxc",
        GuestKind::Qemu => "qemu",
    };
    if now - guest.created < STATS_SECONDS {
        let mut row = object([
            ("id", format!("{kind}/{}", guest.vmid).into()),
            ("type", kind.into()),
            ("status", "unknown".into()),
        ]);
        row.insert("node".into(), guest.node.clone().into());
        row.insert("vmid".into(), guest.vmid.into());
        if let Some(pool) = state.pool_of(guest.vmid).filter(|_| with_pool) {
            row.insert("pool".into(), pool.into());
        }
        return Value::Object(row);
    }
    let mut row = object([
        ("id", format!("{kind}/{}", guest.vmid).into()),
        ("type", kind.into()),
        ("node", guest.node.clone().into()),
        ("vmid", guest.vmid.into()),
        ("name", guest.name().into()),
        (
            "status",
            if guest.is_running() {
                "running"
            } else {
                "stopped"
            }
            .into(),
        ),
        ("template", u8::from(guest.is_template()).into()),
        (
            "tags",
            guest.config.get("tags").cloned().unwrap_or_default(),
        ),
        ("lock", guest.lock().map(Value::from).unwrap_or_default()),
        (
            "pool",
            state
                .pool_of(guest.vmid)
                .map(Value::from)
                .unwrap_or_default(),
        ),
    ]);
    let uptime = match guest.status {
        crate::pve::state::Status::Running { since, .. } => (now - since).max(0),
        crate::pve::state::Status::Stopped => 0,
    };
    row.insert("uptime".into(), uptime.into());
    for key in [
        "cpu",
        "mem",
        "disk",
        "diskread",
        "diskwrite",
        "netin",
        "netout",
    ] {
        row.insert(key.into(), 0.into());
    }
    let memory = guest
        .config
        .get("memory")
        .and_then(plain)
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or(512);
    row.insert("maxmem".into(), (memory << 20).into());
    let cores = guest
        .config
        .get("cores")
        .and_then(plain)
        .and_then(|text| text.parse::<u32>().ok());
    let all = state.node(&guest.node).map_or(1, |node| node.cpus);
    row.insert(
        "maxcpu".into(),
        cores
            .unwrap_or(if guest.kind == GuestKind::Lxc { all } else { 1 })
            .into(),
    );
    let size = |key: &str| {
        let text = guest.config.get(key).and_then(plain)?;
        let size = text
            .split(',')
            .find_map(|part| part.strip_prefix("size="))?;
        crate::pve::state::parse_size(size)
    };
    row.insert(
        "maxdisk".into(),
        size("rootfs")
            .or_else(|| size("scsi0"))
            .or_else(|| size("virtio0"))
            .unwrap_or(0)
            .into(),
    );
    Value::Object(row)
}

fn status(_: &Call, state: &mut State) -> Outcome {
    let mut rows = Vec::new();
    if let Some(name) = &state.cluster_name {
        let online = state.nodes.iter().filter(|node| node.online).count();
        rows.push(json!({
            "id": "cluster", "type": "cluster", "name": name, "nodes": state.nodes.len(),
            "quorate": u8::from(online * 2 > state.nodes.len()), "version": state.nodes.len(),
        }));
    }
    for (at, node) in state.nodes.iter().enumerate() {
        let nodeid = if state.cluster_name.is_some() {
            at + 1
        } else {
            0
        };
        rows.push(json!({
            "id": format!("node/{}", node.name), "type": "node", "name": node.name, "ip": node.ip, "nodeid": nodeid,
            "online": u8::from(node.online), "local": u8::from(at == 0), "level": "",
        }));
    }
    Ok(rows.into())
}

/// The cluster's log is kept by a service the lab has not: it is empty.
fn log(_: &Call, _: &mut State) -> Outcome {
    Ok(Vec::<Value>::new().into())
}

fn options(_: &Call, state: &mut State) -> Outcome {
    Ok(Value::Object(state.options.clone()).into())
}

fn set_options(call: &Call, state: &mut State) -> Outcome {
    for key in call.params.list("delete") {
        state.options.shift_remove(&key);
    }
    for (key, value) in call
        .params
        .iter()
        .filter(|(key, _)| !matches!(*key, "delete" | "digest"))
    {
        state.options.insert(
            key.to_owned(),
            plain(value).map_or_else(|| value.clone(), Value::from),
        );
    }
    Ok(crate::pve::answer::Reply::null())
}

/// The digest of a configuration file that holds these keys.
#[allow(dead_code)]
pub(crate) fn digest_of(config: &crate::pve::state::Config) -> String {
    sha1_hex(
        &config
            .iter()
            .map(|(key, value)| format!("{key}: {}\n", plain(value).unwrap_or_default()))
            .collect::<String>(),
    )
}
