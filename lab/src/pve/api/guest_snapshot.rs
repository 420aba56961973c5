//! Snapshots: their tree, taking, going back, removing.

use serde_json::{Map, Value};

use super::{Act, Route, index};
use crate::fixture::GuestKind::{self, Lxc, Qemu};
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::auth::uuid;
use crate::pve::cluster::Call;
use crate::pve::guest::{Naming, check_lock, disk, find, find_mut, is_indexed, of, snapshot};
use crate::pve::params::plain;
use crate::pve::state::{Config, Guest, Snapshot, State, Status};

pub(super) const ROUTES: &[Route] = &[
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/snapshot",
        Act::Now(|call, state| list(call, state, Lxc)),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/snapshot",
        Act::Now(|call, state| list(call, state, Qemu)),
    ),
    (
        "POST",
        "/nodes/{node}/lxc/{vmid}/snapshot",
        Act::Now(|call, state| take(call, state, Lxc)),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/snapshot",
        Act::Now(|call, state| take(call, state, Qemu)),
    ),
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}",
        Act::Now(|_, _| index("cmd", &["rollback", "config"])),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}",
        Act::Now(|_, _| index("cmd", &["rollback", "config"])),
    ),
    (
        "DELETE",
        "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}",
        Act::Now(|call, state| remove(call, state, Lxc)),
    ),
    (
        "DELETE",
        "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}",
        Act::Now(|call, state| remove(call, state, Qemu)),
    ),
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}/config",
        Act::Now(|call, state| read(call, state, Lxc)),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config",
        Act::Now(|call, state| read(call, state, Qemu)),
    ),
    (
        "PUT",
        "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}/config",
        Act::Now(|call, state| describe(call, state, Lxc)),
    ),
    (
        "PUT",
        "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config",
        Act::Now(|call, state| describe(call, state, Qemu)),
    ),
    (
        "POST",
        "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}/rollback",
        Act::Now(|call, state| rollback(call, state, Lxc)),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/rollback",
        Act::Now(|call, state| rollback(call, state, Qemu)),
    ),
];

/// Whether every disk of a guest can be snapshotted: a container's raw file in a directory cannot, a machine's qcow2 can.
pub(super) fn supported(state: &State, guest: &Guest) -> bool {
    let bind = guest.kind == Lxc
        && guest.config.iter().any(|(option, value)| {
            is_indexed(option, "mp") && plain(value).is_some_and(|text| text.starts_with('/'))
        });
    !bind
        && disk::disks(guest.kind, &guest.config)
            .iter()
            .filter(|(option, _)| !is_indexed(option, "unused"))
            .all(|(_, volid)| {
                let cloudinit = volid.contains("cloudinit");
                let storage = volid
                    .split_once(':')
                    .and_then(|(storage, _)| state.storage(storage));
                cloudinit
                    || storage
                        .is_some_and(|storage| storage.has_snapshots() || volid.ends_with(".qcow2"))
            })
}

/// A description as it reads back: a container's ends with a line break.
fn description(kind: GuestKind, snapshot: &Snapshot) -> String {
    match &snapshot.description {
        Some(text) if kind == Lxc && !text.is_empty() => format!("{text}\n"),
        Some(text) => text.clone(),
        None => String::new(),
    }
}

fn list(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let guest = of(call, state, kind)?;
    let mut rows = Vec::new();
    for snapshot in &guest.snapshots {
        let mut row = Map::new();
        row.insert("name".into(), snapshot.name.clone().into());
        row.insert("snaptime".into(), snapshot.snaptime.into());
        row.insert("description".into(), description(kind, snapshot).into());
        if let Some(parent) = &snapshot.parent {
            row.insert("parent".into(), parent.clone().into());
        }
        if kind == Qemu {
            row.insert("vmstate".into(), u8::from(snapshot.vmstate).into());
        }
        rows.push(Value::Object(row));
    }
    let mut now = Map::from_iter([
        ("name".to_owned(), Value::from("current")),
        ("description".to_owned(), "You are here!".into()),
        ("running".to_owned(), u8::from(guest.is_running()).into()),
        ("digest".to_owned(), guest.digest().into()),
    ]);
    if let Some(parent) = guest.config.get("parent") {
        now.insert("parent".into(), parent.clone());
    }
    rows.push(Value::Object(now));
    Ok(rows.into())
}

/// The configuration of a snapshot as it is shown.
pub(super) fn config_of(guest: &Guest, snapshot: &Snapshot) -> Config {
    let mut config = snapshot.config.clone();
    config.insert("snaptime".into(), snapshot.snaptime.into());
    if let Some(parent) = &snapshot.parent {
        config.insert("parent".into(), parent.clone().into());
    }
    if snapshot
        .description
        .as_ref()
        .is_some_and(|text| !text.is_empty())
    {
        config.insert(
            "description".into(),
            description(guest.kind, snapshot).into(),
        );
    }
    config
}

fn read(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let guest = of(call, state, kind)?;
    let mut config = config_of(guest, snapshot(guest, &call.text("snapname"))?);
    if config.contains_key("cipassword") {
        config.insert("cipassword".into(), "**********".into());
    }
    Ok(Value::Object(config).into())
}

fn describe(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let name = call.text("snapname");
    let guest = find_mut(state, kind, &call.node(), call.vmid())?;
    check_lock(guest)?;
    snapshot(guest, &name)?;
    for snapshot in guest
        .snapshots
        .iter_mut()
        .filter(|snapshot| snapshot.name == name)
    {
        if let Some(text) = call.params.text("description") {
            snapshot.description = Some(text);
        }
    }
    Ok(Reply::null())
}

fn take(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let (node, vmid, name) = (call.node(), call.vmid(), call.text("snapname"));
    if name == "current" {
        return Err(Fail::die(
            "unable to use snapshot name 'current' (reserved name)",
        ));
    }
    if kind == Lxc && name == "vzdump" {
        return Err(Fail::die(
            "unable to use snapshot name 'vzdump' (reserved name)",
        ));
    }
    if kind == Qemu && name.eq_ignore_ascii_case("pending") {
        return Err(Fail::die(format!(
            "unable to use snapshot name '{name}' (reserved name)"
        )));
    }
    let text = call
        .params
        .text("description")
        .map(|text| text.trim_end().to_owned());
    let vmstate = call.params.flag("vmstate");
    call.task(
        state,
        &kind.task("snapshot"),
        &vmid.to_string(),
        move |worker| async move {
            {
                let _held = worker.cluster.guest_lock(kind, vmid).await?;
                let now = worker.cluster.now();
                let mut state = worker.cluster.lock();
                let guest = find(&state, kind, &node, vmid)?;
                check_lock(guest)?;
                if guest.is_template() {
                    return Err(Fail::die("you can't take a snapshot if it's a template"));
                }
                if guest.snapshots.iter().any(|snapshot| snapshot.name == name) {
                    return Err(Fail::die(format!("snapshot name '{name}' already used")));
                }
                if !supported(&state, guest) {
                    return Err(Fail::die("snapshot feature is not available"));
                }
                let guest = find_mut(&mut state, kind, &node, vmid)?;
                let mut config = guest.config.clone();
                let parent = config
                    .shift_remove("parent")
                    .and_then(|parent| plain(&parent));
                config.retain(|option, _| {
                    option != "description" && option != "lock" && !is_indexed(option, "unused")
                });
                let vmstate = vmstate && guest.is_running();
                let text = Some(text.unwrap_or_default());
                guest.snapshots.push(Snapshot {
                    name: name.clone(),
                    parent,
                    snaptime: now,
                    description: text,
                    vmstate,
                    config,
                });
                guest.config.insert("parent".into(), name.clone().into());
            }
            worker.cluster.hooks.snapshot(vmid, &name).await;
            Ok(())
        },
    )
}

fn rollback(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let (node, vmid, name, start) = (
        call.node(),
        call.vmid(),
        call.text("snapname"),
        call.params.flag("start"),
    );
    call.task(
        state,
        &kind.task("rollback"),
        &vmid.to_string(),
        move |worker| async move {
            let running = {
                let _held = worker.cluster.guest_lock(kind, vmid).await?;
                let mut state = worker.cluster.lock();
                let guest = find(&state, kind, &node, vmid)?;
                let back = snapshot(guest, &name)?.clone();
                check_lock(guest)?;
                if guest.is_template() {
                    return Err(Fail::die("you can't rollback if vm is a template"));
                }
                newest_only(&state, guest, &name)?;
                let guest = find_mut(&mut state, kind, &node, vmid)?;
                let kept = guest.config.get("description").cloned();
                let mut config = back.config.clone();
                if let Some(text) = kept {
                    config.insert("description".into(), text);
                }
                config.insert("parent".into(), name.clone().into());
                // A machine that goes back in time tells its guest so.
                if config.contains_key("vmgenid") {
                    config.insert("vmgenid".into(), uuid().into());
                }
                // Volumes that came later are not lost.
                let named: Vec<String> = disk::disks(kind, &config)
                    .into_iter()
                    .map(|(_, volid)| volid)
                    .collect();
                let later: Vec<String> = disk::disks(kind, &guest.config)
                    .into_iter()
                    .map(|(_, volid)| volid)
                    .filter(|volid| !named.contains(volid))
                    .collect();
                later
                    .iter()
                    .for_each(|volid| disk::keep_unused(&mut config, volid));
                let running = guest.is_running();
                guest.config = config;
                guest.pending.clear();
                guest.status = Status::Stopped;
                (running, back.vmstate)
            };
            if running.0 {
                worker.cluster.hooks.stopped(vmid).await;
            }
            worker.cluster.hooks.rolled_back(vmid, &name).await;
            if start || running.1 {
                super::guest_power::boot(&worker.cluster, kind, &node, vmid, false).await?;
            }
            Ok(())
        },
    )
}

/// ZFS goes back to the newest snapshot only.
fn newest_only(state: &State, guest: &Guest, name: &str) -> Result<(), Fail> {
    let newest = guest
        .snapshots
        .last()
        .is_some_and(|snapshot| snapshot.name == name);
    for (_, volid) in disk::disks(guest.kind, &guest.config) {
        let zfs = volid
            .split_once(':')
            .and_then(|(storage, _)| state.storage(storage))
            .is_some_and(|storage| storage.kind == "zfspool");
        if zfs && !newest {
            return Err(Fail::die(format!(
                "can't rollback, '{name}' is not most recent snapshot on '{volid}'"
            )));
        }
    }
    Ok(())
}

fn remove(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let (node, vmid, name) = (call.node(), call.vmid(), call.text("snapname"));
    call.task(
        state,
        &kind.task("delsnapshot"),
        &vmid.to_string(),
        move |worker| async move {
            {
                let _held = worker.cluster.guest_lock(kind, vmid).await?;
                let mut state = worker.cluster.lock();
                let guest = find_mut(&mut state, kind, &node, vmid)?;
                let gone = snapshot(guest, &name)?.clone();
                check_lock(guest)?;
                guest.snapshots.retain(|snapshot| snapshot.name != name);
                for snapshot in guest
                    .snapshots
                    .iter_mut()
                    .filter(|snapshot| snapshot.parent.as_deref() == Some(&name))
                {
                    snapshot.parent.clone_from(&gone.parent);
                }
                if guest.config.get("parent").and_then(Value::as_str) == Some(&name) {
                    match gone.parent {
                        Some(parent) => {
                            guest.config.insert("parent".into(), parent.into());
                        }
                        None => {
                            guest.config.shift_remove("parent");
                        }
                    }
                }
            }
            worker.cluster.hooks.snapshot_removed(vmid, &name).await;
            Ok(())
        },
    )
}
