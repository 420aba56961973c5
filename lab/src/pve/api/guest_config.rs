//! Changing a guest's configuration: what is sent is checked, completed and queued; what can be applied is applied.

use serde_json::Value;

use super::{Act, Route};
use crate::fixture::GuestKind::{self, Lxc, Qemu};
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::{Call, Cluster};
use crate::pve::guest::disk::{self, Wanted, gib, new_disk, size_text};
use crate::pve::guest::rights::{self, Wish};
use crate::pve::guest::{
    Naming, change, check_lock, check_skiplock, find_mut, is_indexed, mac, of, parse, print, tags,
    typed,
};
use crate::pve::params::{Params, plain, split_list};
use crate::pve::schema::method;
use crate::pve::state::{Config, Pending, State, Volume};

pub(super) const ROUTES: &[Route] = &[
    (
        "PUT",
        "/nodes/{node}/lxc/{vmid}/config",
        Act::Now(|call, state| put(call, state, Lxc)),
    ),
    (
        "PUT",
        "/nodes/{node}/qemu/{vmid}/config",
        Act::Now(|call, state| put(call, state, Qemu)),
    ),
    ("POST", "/nodes/{node}/qemu/{vmid}/config", Act::Now(post)),
];

/// Bytes of a cloud-init drive.
const CLOUDINIT_BYTES: u64 = 4 << 20;
/// Parameters of the call that are no options of the guest.
const NOT_OPTIONS: [&str; 9] = [
    "node",
    "vmid",
    "delete",
    "revert",
    "digest",
    "skiplock",
    "force",
    "background_delay",
    "import-working-storage",
];

/// A description as the file keeps it: a container's ends with a line break.
pub(super) fn described(kind: GuestKind, text: &str) -> String {
    match kind {
        Lxc if !text.is_empty() => format!("{}\n", text.trim_end_matches('\n')),
        Lxc => text.to_owned(),
        // A machine's loses the blanks at its end.
        Qemu => text.trim_end().to_owned(),
    }
}

/// What a call wants.
struct Change {
    kind: GuestKind,
    node: String,
    vmid: u32,
    set: Params,
    delete: Vec<String>,
    revert: Vec<String>,
    force: bool,
    skip_lock: bool,
}

fn change_of(call: &Call, kind: GuestKind) -> Result<Change, Fail> {
    let mut set = Params::new();
    for (option, value) in call
        .params
        .iter()
        .filter(|(option, _)| !NOT_OPTIONS.contains(option))
    {
        set.set(option, value.clone());
    }
    let change = Change {
        kind,
        node: call.node(),
        vmid: call.vmid(),
        set,
        delete: call.params.list("delete"),
        revert: call.params.list("revert"),
        force: call.params.flag("force"),
        skip_lock: check_skiplock(call)?,
    };
    if change.set.is_empty() && change.delete.is_empty() && change.revert.is_empty() {
        return Err(Fail::die("no options specified"));
    }
    for (name, options) in [("delete", &change.delete), ("revert", &change.revert)] {
        for option in options {
            let known = method(kind.template(), "POST")
                .is_some_and(|table| table.parameter(option).is_some())
                || is_indexed(option, "unused")
                || option == "parent";
            let own = !matches!(
                option.as_str(),
                "vmid"
                    | "node"
                    | "ostemplate"
                    | "password"
                    | "force"
                    | "start"
                    | "storage"
                    | "pool"
                    | "archive"
            );
            if !(known && own) {
                return Err(Fail::param(name, format!("unknown option '{option}'")));
            }
            if name == "delete" && change.set.has(option) {
                return Err(Fail::param(
                    "delete",
                    format!("you can't use '-{option}' and -delete {option}' at the same time"),
                ));
            }
        }
    }
    Ok(change)
}

/// All that is refused before anything changes.
fn verify(call: &Call, state: &State, change: &Change) -> Result<(), Fail> {
    let guest = of(call, state, change.kind)?;
    let pool = state.pool_of(change.vmid).map(str::to_owned);
    let unprivileged = guest.config.get("unprivileged").and_then(plain).as_deref() == Some("1");
    let wish = Wish {
        kind: change.kind,
        vmid: change.vmid,
        pool: pool.as_deref(),
        set: &change.set,
        delete: &change.delete,
        before: Some(guest),
        unprivileged,
    };
    rights::check(call, state, &wish)?;
    if call
        .params
        .text("digest")
        .is_some_and(|digest| digest != guest.digest())
    {
        return Err(Fail::die(match change.kind {
            Lxc => "detected modified configuration - file changed by other user? Try again.",
            Qemu => "checksum mismatch (file change by other user?)",
        }));
    }
    if !change.skip_lock {
        check_lock(guest)?;
    }
    for option in &change.delete {
        let protected = guest.config.get("protection").and_then(plain).as_deref() == Some("1");
        if protected && (disk::is_disk(change.kind, option) || is_indexed(option, "unused")) {
            let what = change.kind.word();
            return Err(Fail::die(format!(
                "can't remove {what} {} drive '{option}' - protection mode enabled",
                change.vmid
            )));
        }
        if change.kind == Lxc
            && matches!(
                option.as_str(),
                "rootfs" | "ostype" | "arch" | "unprivileged"
            )
        {
            return Err(Fail::die(format!(
                "unable to delete required option '{option}'"
            )));
        }
    }
    for (option, value) in change
        .set
        .iter()
        .filter(|(option, _)| disk::is_disk(change.kind, option))
    {
        let volume = disk::volume_of(change.kind, option, &plain(value).unwrap_or_default())
            .unwrap_or_default();
        if let Some((storage, _)) = new_disk(&volume) {
            disk::check_storage(state, &change.node, storage, disk::content(change.kind))?;
        } else if let Some((storage, _)) =
            volume.split_once(':').filter(|_| !volume.starts_with('/'))
            && state.storage(storage).is_none()
        {
            return Err(Fail::die(format!("storage '{storage}' does not exist")));
        }
    }
    Ok(())
}

/// Queues what was sent and applies what can be.
fn perform(cluster: &Cluster, state: &mut State, change: &Change) -> Result<(), Fail> {
    let now = cluster.now();
    let guest = find_mut(state, change.kind, &change.node, change.vmid)?;
    guest
        .pending
        .retain(|(option, _)| !change.revert.contains(option));
    for option in &change.delete {
        let known = guest.config.contains_key(option);
        if known {
            change::queue(
                guest,
                option,
                Pending::Delete {
                    force: change.force,
                },
            );
        }
    }
    for (option, value) in ordered(change.kind, &change.set) {
        let place = Place {
            kind: change.kind,
            node: &change.node,
            vmid: change.vmid,
            now,
        };
        let value = complete(state, &place, &option, &value)?;
        let guest = find_mut(state, change.kind, &change.node, change.vmid)?;
        // Setting what is so already takes a waiting change back.
        change::queue(guest, &option, Pending::Set(value));
    }
    change::report(change::apply(state, change.vmid))
}

fn put(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let change = change_of(call, kind)?;
    verify(call, state, &change)?;
    perform(&call.cluster, state, &change)?;
    Ok(Reply::null())
}

fn post(call: &Call, state: &mut State) -> Outcome {
    let change = change_of(call, Qemu)?;
    verify(call, state, &change)?;
    let vmid = change.vmid;
    call.task(
        state,
        "qmconfig",
        &vmid.to_string(),
        move |worker| async move {
            let _held = worker.cluster.guest_lock(Qemu, vmid).await?;
            let mut words: Vec<String> = change
                .set
                .iter()
                .map(|(option, value)| {
                    let text = if matches!(option, "cipassword" | "sshkeys") {
                        "<hidden>".into()
                    } else {
                        plain(value).unwrap_or_default()
                    };
                    format!("-{option} {text}")
                })
                .collect();
            if !change.delete.is_empty() {
                words.push(format!("-delete {}", change.delete.join(",")));
            }
            worker.log(format!("update VM {vmid}: {}", words.join(" ")));
            let mut state = worker.cluster.lock();
            perform(&worker.cluster, &mut state, &change)
        },
    )
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
fn ordered(kind: GuestKind, set: &Params) -> Vec<(String, Value)> {
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
