//! A fixture made into the first state.

use serde_json::{Map, Value};

use super::seed_access::access;
use super::{Config, Guest, Iface, Node, Snapshot, State, Status, Storage, Volume, volume_parts};
use crate::fixture::{Bridge, Fixture, GuestSeed, NodeSeed, StorageSeed};
use crate::pve::params::{plain, split_list};

const MEMORY_BYTES: u64 = 16 << 30;
const STORAGE_BYTES: u64 = 100 << 30;
const TEMPLATE_BYTES: u64 = 126_515_062;
const CPUS: u32 = 4;
/// How long a node was up when the lab starts.
const UPTIME_SECONDS: i64 = 86_400;

/// The state a fixture describes.
pub(crate) fn seed(fixture: &Fixture, now: i64) -> State {
    let mut state = State {
        nodes: nodes(fixture, now),
        access: access(fixture),
        ..State::default()
    };
    if state.nodes.len() > 1 {
        state.cluster_name = Some("lab".into());
    }
    let first = state.nodes[0].name.clone();
    state.appliances = fixture.appliances.clone();
    state.storages = storages(fixture);
    for template in &fixture.templates {
        let size = match template {
            crate::fixture::TemplateSeed::Sized { size, .. } => *size,
            crate::fixture::TemplateSeed::Id(_) => TEMPLATE_BYTES,
        };
        for node in state
            .nodes
            .iter()
            .map(|node| node.name.clone())
            .collect::<Vec<_>>()
        {
            let volume = file_volume(&state, &node, template.volid(), size, now);
            if volume.node.is_some() || state.volume(&node, &volume.volid).is_none() {
                state.volumes.push(volume);
            }
        }
    }
    for guest in &fixture.guests {
        add_guest(&mut state, guest, &first, now);
    }
    for mapping in &fixture.mappings {
        let mut config = Config::new();
        config.insert("map".into(), mapping.map.clone().into());
        if let Some(text) = &mapping.description {
            config.insert("description".into(), text.clone().into());
        }
        state
            .mappings
            .insert(("pci".into(), mapping.id.clone()), config);
    }
    for (at, job) in fixture.backup_jobs.iter().enumerate() {
        let id = job
            .get("id")
            .and_then(plain)
            .unwrap_or_else(|| format!("backup-{at}"));
        state.backup_jobs.insert(id, job.clone());
    }
    for resource in &fixture.ha.resources {
        if let Some(sid) = resource.get("sid").and_then(plain) {
            state.ha_resources.insert(sid, resource.clone());
        }
    }
    state
}

fn nodes(fixture: &Fixture, now: i64) -> Vec<Node> {
    let single = [NodeSeed {
        name: "pve1".into(),
        ..NodeSeed::default()
    }];
    let seeds = if fixture.nodes.is_empty() {
        &single[..]
    } else {
        &fixture.nodes[..]
    };
    seeds
        .iter()
        .map(|seed| {
            let bridges = if seed.bridges.is_empty() {
                &fixture.bridges
            } else {
                &seed.bridges
            };
            let fresh = [Bridge {
                iface: "vmbr0".into(),
                ..Bridge::default()
            }];
            let bridges = if bridges.is_empty() {
                &fresh[..]
            } else {
                &bridges[..]
            };
            let ip = seed.ip.clone().unwrap_or_else(|| "127.0.0.1".into());
            let dns = &fixture.dns;
            Node {
                hosts: fixture
                    .hosts
                    .clone()
                    .unwrap_or_else(|| format!("127.0.0.1 localhost\n{ip} {}\n", seed.name)),
                name: seed.name.clone(),
                ip,
                online: seed.status.as_deref() != Some("offline"),
                cpus: seed.cpus.unwrap_or(CPUS),
                memory: seed.memory.unwrap_or(MEMORY_BYTES),
                booted: now - UPTIME_SECONDS,
                search: dns.search.clone(),
                dns: [dns.dns1.clone(), dns.dns2.clone(), dns.dns3.clone()],
                timezone: fixture.timezone.clone().unwrap_or_else(|| "Etc/UTC".into()),
                ifaces: bridges.iter().map(iface).collect(),
                devices: seed.devices.clone(),
                ..Node::default()
            }
        })
        .collect()
}

fn iface(bridge: &Bridge) -> Iface {
    let mut keys = Map::new();
    keys.insert("type".into(), "bridge".into());
    keys.insert("autostart".into(), 1.into());
    keys.insert("active".into(), 1.into());
    if let Some((address, prefix)) = bridge.cidr.as_deref().and_then(|cidr| cidr.split_once('/')) {
        keys.insert("address".into(), address.into());
        keys.insert("netmask".into(), prefix.into());
        keys.insert("cidr".into(), format!("{address}/{prefix}").into());
    }
    if let Some(gateway) = &bridge.gateway {
        keys.insert("gateway".into(), gateway.clone().into());
    }
    let ports = bridge
        .bridge_ports
        .clone()
        .filter(|ports| ports != "none")
        .unwrap_or_default();
    keys.insert("bridge_ports".into(), ports.into());
    let method = if bridge.cidr.is_some() {
        "static"
    } else {
        "manual"
    };
    for (key, value) in [
        ("bridge_stp", "off"),
        ("bridge_fd", "0"),
        ("method", method),
        ("method6", "manual"),
    ] {
        keys.insert(key.into(), value.into());
    }
    keys.insert("families".into(), vec!["inet"].into());
    Iface {
        name: bridge.iface.clone(),
        keys,
    }
}

fn storages(fixture: &Fixture) -> Vec<Storage> {
    let fresh = [
        StorageSeed {
            id: "local".into(),
            kind: "dir".into(),
            path: Some("/var/lib/vz".into()),
            content: Some("iso,vztmpl,backup,import".into()),
            ..StorageSeed::default()
        },
        StorageSeed {
            id: "local-lvm".into(),
            kind: "lvmthin".into(),
            content: Some("rootdir,images".into()),
            options: Map::from_iter([
                ("vgname".to_owned(), "pve".into()),
                ("thinpool".to_owned(), "data".into()),
            ]),
            ..StorageSeed::default()
        },
    ];
    let seeds = if fixture.storages.is_empty() {
        &fresh[..]
    } else {
        &fixture.storages[..]
    };
    seeds
        .iter()
        .map(|seed| Storage {
            id: seed.id.clone(),
            kind: if seed.kind.is_empty() {
                "dir".into()
            } else {
                seed.kind.clone()
            },
            path: seed.path.clone(),
            content: split_list(seed.content.as_deref().unwrap_or("images,rootdir")),
            shared: seed.shared
                || matches!(
                    seed.kind.as_str(),
                    "nfs" | "cifs" | "cephfs" | "rbd" | "pbs" | "iscsi"
                ),
            disabled: false,
            nodes: seed.nodes.clone(),
            options: seed.options.clone(),
            size: seed.size.unwrap_or(STORAGE_BYTES),
        })
        .collect()
}

/// A volume of a file: its content and format from its name.
pub(crate) fn file_volume(state: &State, node: &str, volid: &str, size: u64, now: i64) -> Volume {
    let (storage, name) = volume_parts(volid).unwrap_or((volid, ""));
    let shared = state.storage(storage).is_some_and(|storage| storage.shared);
    let (content, file) = name.split_once('/').unwrap_or(("images", name));
    let format = match content {
        "vztmpl" => ["zst", "gz", "xz", "bz2"]
            .iter()
            .find(|end| file.ends_with(&format!(".{end}")))
            .map_or("tar", |end| match *end {
                "zst" => "tzst",
                "gz" => "tgz",
                "xz" => "txz",
                _ => "tbz2",
            }),
        "iso" => "iso",
        "snippets" => "snippet",
        "backup" => file
            .rsplit_once(".tar.")
            .or_else(|| file.rsplit_once(".vma."))
            .map_or("tar", |_| {
                if file.contains(".vma") {
                    "vma.zst"
                } else {
                    "tar.zst"
                }
            }),
        _ => file.rsplit_once('.').map_or(
            "raw",
            |(_, end)| if end == "qcow2" { "qcow2" } else { "raw" },
        ),
    };
    let content = match content {
        "vztmpl" | "iso" | "snippets" | "backup" | "import" => content,
        _ => "images",
    };
    Volume {
        volid: volid.to_owned(),
        node: (!shared).then(|| node.to_owned()),
        content: content.to_owned(),
        format: format.to_owned(),
        size,
        used: size,
        ctime: now,
        ..Volume::default()
    }
}

fn add_guest(state: &mut State, seed: &GuestSeed, first: &str, now: i64) {
    let node = seed.node.clone().unwrap_or_else(|| first.to_owned());
    let mut guest = Guest::new(seed.kind, seed.vmid, &node, seed.config.clone());
    if seed.status.as_deref() == Some("running") {
        guest.status = Status::Running {
            pid: 1000 + seed.vmid,
            since: now,
            paused: false,
        };
    }
    for snapshot in &seed.snapshots {
        guest.snapshots.push(Snapshot {
            name: snapshot.name.clone(),
            parent: snapshot.parent.clone(),
            snaptime: snapshot.snaptime,
            description: snapshot.description.clone(),
            vmstate: false,
            state: None,
            config: snapshot
                .config
                .clone()
                .unwrap_or_else(|| seed.config.clone()),
        });
    }
    for value in seed.config.values().filter_map(Value::as_str) {
        let volid = value.split(',').next().unwrap_or_default();
        let Some((storage, name)) = volume_parts(volid) else {
            continue;
        };
        let Some(shared) = state.storage(storage).map(|storage| storage.shared) else {
            continue;
        };
        if !name.contains(&format!("{}", seed.vmid)) || state.volume(&node, volid).is_some() {
            continue;
        }
        let size = value
            .split(',')
            .find_map(|part| part.strip_prefix("size="))
            .and_then(parse_size)
            .unwrap_or(0);
        state.volumes.push(Volume {
            volid: volid.to_owned(),
            node: (!shared).then(|| node.clone()),
            content: if seed.kind == crate::fixture::GuestKind::Lxc {
                "rootdir"
            } else {
                "images"
            }
            .into(),
            format: name
                .rsplit_once('.')
                .map_or(
                    "raw",
                    |(_, end)| if end == "qcow2" { "qcow2" } else { "raw" },
                )
                .into(),
            size,
            used: size / 32,
            ctime: now,
            vmid: Some(seed.vmid),
            ..Volume::default()
        });
    }
    state.guests.insert(seed.vmid, guest);
}

/// `8G` in bytes.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 1u64 << 10),
        b'M' => (&text[..text.len() - 1], 1 << 20),
        b'G' => (&text[..text.len() - 1], 1 << 30),
        b'T' => (&text[..text.len() - 1], 1 << 40),
        _ => (text, 1),
    };
    let value: f64 = number.parse().ok()?;
    (value >= 0.0).then_some((value * unit as f64) as u64)
}
