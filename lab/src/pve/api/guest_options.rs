//! Options of guests as their files keep them: property strings completed and in their order, new volumes made.

use serde_json::Value;

use crate::fixture::GuestKind::{self, Lxc, Qemu};
use crate::pve::answer::Fail;
use crate::pve::guest::disk::{self, Wanted, gib, new_disk, size_text};
use crate::pve::guest::{is_indexed, mac, parse, print, tags, typed};
use crate::pve::params::{Params, plain, split_list};
use crate::pve::state::{Config, State, Volume};

/// Bytes of a cloud-init drive.
const CLOUDINIT_BYTES: u64 = 4 << 20;

/// A description as the file keeps it: a container's ends with a line break.
pub(super) fn described(kind: GuestKind, text: &str) -> String {
    match kind {
        Lxc if !text.is_empty() => format!("{}\n", text.trim_end_matches('\n')),
        Lxc => text.to_owned(),
        // A machine's loses the blanks at its end.
        Qemu => text.trim_end().to_owned(),
    }
}

/// Whose option is completed, and when.
pub(super) struct Place<'a> {
    pub(super) kind: GuestKind,
    pub(super) node: &'a str,
    pub(super) vmid: u32,
    pub(super) now: i64,
}

/// A value as the file keeps it: property strings completed and in their order, new volumes made.
pub(super) fn complete(
    state: &mut State,
    place: &Place<'_>,
    option: &str,
    value: &Value,
) -> Result<Value, Fail> {
    let kind = place.kind;
    // A null reads back as a blank.
    let text = plain(value).unwrap_or_else(|| " ".into());
    Ok(match option {
        "tags" => tags(&text).into(),
        "description" => described(kind, &text).into(),
        "nameserver" | "searchdomain" => split_list(&text).join(" ").into(),
        _ if is_indexed(option, "net") => net(kind, option, &text).into(),
        _ if disk::is_disk(kind, option) => drive(state, place, option, &text)?.into(),
        "memory" if kind == Qemu => text.into(),
        _ => typed(kind, option, &text),
    })
}

/// A network device with its address; a container's with its type.
fn net(kind: GuestKind, option: &str, text: &str) -> String {
    let mut values = parse(kind, option, text);
    let key = if kind == Lxc { "hwaddr" } else { "macaddr" };
    match values.text(key) {
        Some(own) => values.set(key, own.to_uppercase()),
        None => values.set(key, mac()),
    }
    if kind == Lxc && !values.has("type") {
        values.set("type", "veth");
    }
    print(kind, option, &values)
}

/// A disk: `STORAGE:SIZE` becomes a new volume, `STORAGE:cloudinit` a drive of its own.
fn drive(state: &mut State, place: &Place<'_>, option: &str, text: &str) -> Result<String, Fail> {
    let kind = place.kind;
    let mut values = parse(kind, option, text);
    let key = if kind == Lxc { "volume" } else { "file" };
    let volume = values.text(key).unwrap_or_default();
    let format = values.text("format");
    if let Some((storage, "cloudinit")) = volume.split_once(':') {
        let directory = state
            .storage(storage)
            .is_some_and(|storage| storage.is_directory());
        let format = if directory { "qcow2" } else { "raw" };
        let wanted = Wanted {
            node: place.node,
            storage,
            kind,
            vmid: place.vmid,
            bytes: CLOUDINIT_BYTES,
            format: Some(format),
            now: place.now,
        };
        values.set(key, cloudinit_volume(state, &wanted)?);
        values.set("media", "cdrom");
        values.remove("format");
        return Ok(print(kind, option, &values));
    }
    if let Some((storage, size)) = new_disk(&volume) {
        let (storage, from) = (
            storage.to_owned(),
            values.remove("import-from").and_then(|from| plain(&from)),
        );
        let bytes = match &from {
            Some(from) => import_size(state, place.node, from)?,
            None => gib(size),
        };
        let bytes = if option == "efidisk0" {
            528 << 10
        } else if option == "tpmstate0" {
            4 << 20
        } else {
            bytes
        };
        let wanted = Wanted {
            node: place.node,
            storage: &storage,
            kind,
            vmid: place.vmid,
            bytes,
            format: format.as_deref(),
            now: place.now,
        };
        values.set(key, disk::alloc(state, &wanted)?);
        values.set("size", size_text(bytes));
        values.remove("format");
        return Ok(print(kind, option, &values));
    }
    // An existing volume shows its size.
    let known = state.volume(place.node, &volume).map(|volume| volume.size);
    let cdrom = values.text("media").as_deref() == Some("cdrom");
    match known {
        Some(bytes) if !values.has("size") => values.set("size", size_text(bytes)),
        None if volume.contains(':') && !volume.starts_with('/') && !cdrom => {
            return Err(Fail::die(format!("volume '{volume}' does not exist")));
        }
        _ => {}
    }
    Ok(print(kind, option, &values))
}

/// What an imported disk has: the size of the volume it comes from.
fn import_size(state: &State, node: &str, from: &str) -> Result<u64, Fail> {
    match state.volume(node, from) {
        Some(volume) => Ok(volume.size.next_multiple_of(1 << 30)),
        None if from.starts_with('/') => Ok(2 << 30),
        None => Err(Fail::die(format!(
            "cannot import from '{from}' - volume '{from}' does not exist"
        ))),
    }
}

/// The cloud-init drive of a machine; there is one per storage.
pub(super) fn cloudinit_volume(state: &mut State, wanted: &Wanted<'_>) -> Result<String, Fail> {
    disk::check_storage(state, wanted.node, wanted.storage, "images")?;
    let directory = state
        .storage(wanted.storage)
        .is_some_and(|storage| storage.is_directory());
    let vmid = wanted.vmid;
    let name = if directory {
        format!("{vmid}/vm-{vmid}-cloudinit.qcow2")
    } else {
        format!("vm-{vmid}-cloudinit")
    };
    let volid = format!("{}:{name}", wanted.storage);
    let shared = state
        .storage(wanted.storage)
        .is_some_and(|storage| storage.shared);
    state.volumes.retain(|volume| volume.volid != volid);
    state.volumes.push(Volume {
        volid: volid.clone(),
        node: (!shared).then(|| wanted.node.to_owned()),
        content: "images".into(),
        format: if directory { "qcow2" } else { "raw" }.into(),
        size: CLOUDINIT_BYTES,
        used: CLOUDINIT_BYTES,
        ctime: wanted.now,
        vmid: Some(vmid),
        ..Volume::default()
    });
    Ok(volid)
}

/// The options in the order in which their volumes are numbered: the root file system, then the buses and their places.
pub(super) fn ordered(kind: GuestKind, set: &Params) -> Vec<(String, Value)> {
    const BUSES: [&str; 7] = ["rootfs", "mp", "ide", "scsi", "virtio", "sata", "efidisk"];
    let rank = |option: &str| {
        let stem = option.trim_end_matches(|c: char| c.is_ascii_digit());
        let bus = BUSES
            .iter()
            .position(|bus| *bus == stem)
            .unwrap_or(BUSES.len());
        (
            disk::is_disk(kind, option),
            bus,
            option[stem.len()..].parse::<u32>().unwrap_or(0),
        )
    };
    let mut all: Vec<(String, Value)> = set
        .iter()
        .map(|(option, value)| (option.to_owned(), value.clone()))
        .collect();
    all.sort_by_key(|(option, _)| rank(option));
    all
}

/// Completes every option of a new guest into its configuration.
pub(super) fn fill(
    state: &mut State,
    place: &Place<'_>,
    set: &Params,
    config: &mut Config,
) -> Result<(), Fail> {
    for (option, value) in ordered(place.kind, set) {
        let value = complete(state, place, &option, &value)?;
        config.insert(option, value);
    }
    Ok(())
}
