//! Volumes of guests: allocating with the names their storage gives, copying, basing and freeing.

use serde_json::Value;

use super::{is_indexed, parse};
use crate::fixture::GuestKind;
use crate::pve::answer::Fail;
use crate::pve::params::plain;
use crate::pve::state::{Config, State, Volume, parse_size, volume_parts};

/// What one volume is to be.
pub(crate) struct Wanted<'a> {
    pub(crate) node: &'a str,
    pub(crate) storage: &'a str,
    pub(crate) kind: GuestKind,
    pub(crate) vmid: u32,
    pub(crate) bytes: u64,
    /// `qcow2`, `raw`; the storage's default without.
    pub(crate) format: Option<&'a str>,
    pub(crate) now: i64,
}

/// `STORAGE:SIZE` as a request for a new volume: the storage and its gibibytes.
pub(crate) fn new_disk(volume: &str) -> Option<(&str, f64)> {
    let (storage, size) = volume_parts(volume)?;
    let digits = size
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    size.parse()
        .ok()
        .filter(|_| digits)
        .map(|size| (storage, size))
}

/// Gibibytes in bytes.
pub(crate) fn gib(size: f64) -> u64 {
    (size * f64::from(1u32 << 30)) as u64
}

/// Bytes as a configuration writes them.
pub(crate) fn size_text(bytes: u64) -> String {
    match bytes {
        0 => "0".into(),
        n if n % (1 << 30) == 0 => format!("{}G", n >> 30),
        n if n % (1 << 20) == 0 => format!("{}M", n >> 20),
        n => format!("{}K", n.div_ceil(1 << 10)),
    }
}

/// Refuses a storage that is unknown, off, elsewhere or not for guests of that kind.
pub(crate) fn check_storage(
    state: &State,
    node: &str,
    storage: &str,
    content: &str,
) -> Result<(), Fail> {
    let Some(found) = state.storage(storage) else {
        return Err(Fail::die(format!("storage '{storage}' does not exist")));
    };
    if found.disabled {
        return Err(Fail::die(format!("storage '{storage}' is disabled")));
    }
    if !found.on(node) {
        return Err(Fail::die(format!(
            "storage '{storage}' is not available on node '{node}'"
        )));
    }
    if !found.holds(content) {
        return Err(Fail::die(format!(
            "storage '{storage}' does not support content-type '{content}'"
        )));
    }
    Ok(())
}

/// Makes a volume and returns its id.
pub(crate) fn alloc(state: &mut State, wanted: &Wanted<'_>) -> Result<String, Fail> {
    let content = content(wanted.kind);
    check_storage(state, wanted.node, wanted.storage, content)?;
    let Some(storage) = state.storage(wanted.storage).cloned() else {
        return Err(Fail::die("no storage"));
    };
    let used: u64 = state
        .volumes
        .iter()
        .filter(|volume| volume.storage() == storage.id)
        .map(|volume| volume.used)
        .sum();
    if used >= storage.size {
        return Err(Fail::die(format!(
            "unable to create image: out of space on '{}'",
            storage.id
        )));
    }
    let format = wanted.format.unwrap_or("raw");
    let name = |number: u32| {
        let vmid = wanted.vmid;
        match (storage.is_directory(), storage.kind.as_str(), wanted.kind) {
            (true, ..) => format!("{}:{vmid}/vm-{vmid}-disk-{number}.{format}", storage.id),
            (false, "zfspool", GuestKind::Lxc) => {
                format!("{}:subvol-{vmid}-disk-{number}", storage.id)
            }
            _ => format!("{}:vm-{vmid}-disk-{number}", storage.id),
        }
    };
    // A number is taken by a base volume of the same guest too.
    let stem = |volid: &str| {
        volid
            .rsplit(['/', ':'])
            .next()
            .unwrap_or_default()
            .split('.')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let taken = |number: u32| {
        let end = format!("-{}-disk-{number}", wanted.vmid);
        state
            .volumes
            .iter()
            .any(|volume| volume.storage() == storage.id && stem(&volume.volid).ends_with(&end))
    };
    let number = (0..).find(|number| !taken(*number)).unwrap_or_default();
    let volid = name(number);
    let format = if storage.kind == "zfspool" && wanted.kind == GuestKind::Lxc {
        "subvol"
    } else {
        format
    };
    state.volumes.push(Volume {
        volid: volid.clone(),
        node: (!storage.shared).then(|| wanted.node.to_owned()),
        content: content.into(),
        format: if storage.is_directory() || format == "subvol" {
            format.into()
        } else {
            "raw".into()
        },
        size: wanted.bytes,
        used: wanted.bytes / 32,
        ctime: wanted.now,
        vmid: Some(wanted.vmid),
        ..Volume::default()
    });
    Ok(volid)
}

/// What a storage must hold for guests of that kind.
pub(crate) fn content(kind: GuestKind) -> &'static str {
    match kind {
        GuestKind::Lxc => "rootdir",
        GuestKind::Qemu => "images",
    }
}

/// Whether an option of a configuration is a disk.
pub(crate) fn is_disk(kind: GuestKind, option: &str) -> bool {
    match kind {
        GuestKind::Lxc => option == "rootfs" || is_indexed(option, "mp"),
        GuestKind::Qemu => {
            matches!(option, "efidisk0" | "tpmstate0")
                || ["ide", "sata", "scsi", "virtio"]
                    .iter()
                    .any(|bus| is_indexed(option, bus))
        }
    }
}

/// The volume of a disk option: its id, a path or `none`.
pub(crate) fn volume_of(kind: GuestKind, option: &str, text: &str) -> Option<String> {
    let values = parse(kind, option, text);
    values
        .text(if kind == GuestKind::Lxc {
            "volume"
        } else {
            "file"
        })
        .or_else(|| text.split(',').next().map(str::to_owned))
}

/// The disks of a configuration: option and volume id; `unusedN` too. Bind mounts, drives without a medium and ISO images
/// are no disks.
pub(crate) fn disks(kind: GuestKind, config: &Config) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (option, value) in config {
        let Some(text) = plain(value) else { continue };
        let unused = is_indexed(option, "unused");
        if !unused && !is_disk(kind, option) {
            continue;
        }
        let volume = if unused {
            Some(text)
        } else {
            volume_of(kind, option, &text)
        };
        if let Some(volume) =
            volume.filter(|volume| volume_parts(volume).is_some() && !volume.contains(":iso/"))
        {
            found.push((option.clone(), volume));
        }
    }
    found
}

/// The size an option says, in bytes.
pub(crate) fn size_of(config: &Config, option: &str) -> Option<u64> {
    let text = config.get(option).and_then(plain)?;
    parse_size(
        text.split(',')
            .find_map(|part| part.strip_prefix("size="))?,
    )
}

/// Removes a volume; one that others are based on stays, with the error of the real one.
pub(crate) fn free(state: &mut State, node: &str, volid: &str) -> Result<(), Fail> {
    check_base(state, volid)?;
    state
        .volumes
        .retain(|volume| !(volume.volid == volid && volume.seen_from(node)));
    Ok(())
}

/// Refuses a volume that others are based on.
pub(crate) fn check_base(state: &State, volid: &str) -> Result<(), Fail> {
    if state
        .volumes
        .iter()
        .any(|volume| volume.parent.as_deref() == Some(volid))
    {
        return Err(Fail::die(format!(
            "base volume '{volid}' is still in use by linked cloned"
        )));
    }
    Ok(())
}

/// Gives a volume the name of a base, `base-200-disk-0`; returns the new id.
pub(crate) fn to_base(state: &mut State, volid: &str) -> String {
    let new = volid
        .replacen("/vm-", "/base-", 1)
        .replacen(":vm-", ":base-", 1);
    let new = if new == volid {
        volid.replacen("subvol-", "basevol-", 1)
    } else {
        new
    };
    for volume in state
        .volumes
        .iter_mut()
        .filter(|volume| volume.volid == volid)
    {
        volume.volid.clone_from(&new);
    }
    new
}

/// A copy on the base of a volume. What it is called is its storage's own (`clone_image` of pve-storage): a file
/// `local:200/base-200-disk-0.qcow2/205/vm-205-disk-0.qcow2`, a data set `tank:base-200-disk-0/vm-205-disk-0`; a thin
/// volume is called as any other, and knows no base: that may go before it.
pub(crate) fn link(state: &mut State, base: &str, wanted: &Wanted<'_>) -> Result<String, Fail> {
    let plain_id = alloc(state, wanted)?;
    let storage = state.storage(wanted.storage);
    let kind = storage.map_or("", |storage| storage.kind.as_str());
    let is_file = storage.is_some_and(super::super::state::Storage::is_directory);
    let (id, name) = plain_id.split_once(':').unwrap_or(("", &plain_id));
    let below = match (kind, is_file) {
        ("lvmthin", _) => None,
        // A base that is a copy itself is named without its own base.
        (_, true) => Some(last_parts(base, 2)),
        (_, false) => Some(last_parts(base, 1)),
    };
    let linked = match &below {
        Some(below) => format!("{id}:{below}/{name}"),
        None => plain_id.clone(),
    };
    for volume in state
        .volumes
        .iter_mut()
        .filter(|volume| volume.volid == plain_id)
    {
        volume.volid.clone_from(&linked);
        volume.parent = below.is_some().then(|| base.to_owned());
        volume.used = 0;
    }
    Ok(linked)
}

/// The last parts of a volume's name.
fn last_parts(volid: &str, count: usize) -> String {
    let name = volid.split_once(':').map_or(volid, |(_, name)| name);
    let parts: Vec<&str> = name.split('/').collect();
    parts[parts.len().saturating_sub(count)..].join("/")
}

/// The first free `unusedN`.
pub(crate) fn unused_slot(config: &Config) -> String {
    (0..)
        .map(|number| format!("unused{number}"))
        .find(|slot| !config.contains_key(slot))
        .unwrap_or_default()
}

/// Keeps a volume that an option no longer names as `unusedN`.
pub(crate) fn keep_unused(config: &mut Config, volid: &str) {
    let known = config
        .iter()
        .any(|(option, value)| is_indexed(option, "unused") && value.as_str() == Some(volid));
    if !known {
        let slot = unused_slot(config);
        config.insert(slot, Value::from(volid));
    }
}
