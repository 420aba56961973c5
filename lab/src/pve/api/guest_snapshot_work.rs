//! Work on snapshots: taking, going back, removing. The guest is locked meanwhile, for everyone to see.

use serde_json::Value;

use super::guest_begin::unmark;
use super::guest_snapshot::supported;
use super::{Act, Route};
use crate::fixture::GuestKind::{self, Lxc, Qemu};
use crate::pve::answer::{Fail, Outcome};
use crate::pve::auth::uuid;
use crate::pve::cluster::Call;
use crate::pve::guest::{Naming, check_lock, disk, find, find_mut, is_indexed, snapshot};
use crate::pve::params::plain;
use crate::pve::state::{Config, Guest, Snapshot, State, Status};
use crate::pve::worker::{Begun, Worker};

pub(super) const ROUTES: &[Route] = &[
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
    call.seen_task(
        state,
        &kind.task("snapshot"),
        &vmid.to_string(),
        move |worker| async move {
            let cluster = &worker.cluster;
            let begun = {
                let _held = cluster.guest_lock(kind, vmid).await?;
                let snapshot = Snapshot {
                    name: name.clone(),
                    parent: None,
                    snaptime: cluster.now(),
                    description: Some(text.unwrap_or_default()),
                    vmstate,
                    state: Some("prepare"),
                    config: Config::new(),
                };
                prepare(&worker, kind, &node, vmid, snapshot)?
            };
            worker.pace().await?;
            {
                let _held = cluster.guest_lock(kind, vmid).await?;
                let mut state = cluster.lock();
                let guest = find_mut(&mut state, kind, &node, vmid)?;
                for own in guest.snapshots.iter_mut().filter(|own| own.name == name) {
                    own.state = None;
                }
                guest.config.insert("parent".into(), name.clone().into());
                unmark(&mut state, vmid, "snapshot");
            }
            begun.done();
            cluster.hooks.snapshot(vmid, &name).await;
            Ok(())
        },
    )
}

/// The first half: the guest is locked and its configuration kept, as pve-guest-common's `__snapshot_prepare` does it.
fn prepare(
    worker: &Worker,
    kind: GuestKind,
    node: &str,
    vmid: u32,
    mut snapshot: Snapshot,
) -> Result<Begun, Fail> {
    let mut state = worker.cluster.lock();
    let guest = find(&state, kind, node, vmid)?;
    if guest.is_template() {
        return Err(Fail::die("you can't take a snapshot if it's a template"));
    }
    check_lock(guest)?;
    let name = snapshot.name.clone();
    if guest.snapshots.iter().any(|own| own.name == name) {
        return Err(Fail::die(format!("snapshot name '{name}' already used")));
    }
    if !supported(&state, guest) {
        return Err(Fail::die("snapshot feature is not available"));
    }
    let guest = find_mut(&mut state, kind, node, vmid)?;
    snapshot.config = guest.config.clone();
    snapshot.parent = snapshot
        .config
        .shift_remove("parent")
        .and_then(|parent| plain(&parent));
    snapshot.config.retain(|option, _| {
        option != "description" && option != "lock" && !is_indexed(option, "unused")
    });
    snapshot.vmstate = snapshot.vmstate && guest.is_running();
    guest.snapshots.push(snapshot);
    guest.config.insert("lock".into(), "snapshot".into());
    let begun = Begun::new(&worker.cluster, move |state| {
        if let Some(guest) = state.guests.get_mut(&vmid) {
            guest.snapshots.retain(|own| own.name != name);
        }
        unmark(state, vmid, "snapshot");
    });
    Ok(begun.of(worker))
}

fn rollback(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let (node, vmid, name, start) = (
        call.node(),
        call.vmid(),
        call.text("snapname"),
        call.params.flag("start"),
    );
    call.seen_task(
        state,
        &kind.task("rollback"),
        &vmid.to_string(),
        move |worker| async move {
            let cluster = &worker.cluster;
            let ran = {
                let _held = cluster.guest_lock(kind, vmid).await?;
                let mut state = cluster.lock();
                may_go_back(&state, find(&state, kind, &node, vmid)?, &name)?;
                let guest = find_mut(&mut state, kind, &node, vmid)?;
                let ran = guest.is_running();
                guest.status = Status::Stopped;
                guest.config.insert("lock".into(), "rollback".into());
                ran
            };
            if ran {
                cluster.hooks.stopped(vmid).await;
            }
            // What fails or is ended here leaves the lock, as pve-guest-common's `snapshot_rollback` does.
            worker.pace().await?;
            let with_memory = {
                let _held = cluster.guest_lock(kind, vmid).await?;
                let mut state = cluster.lock();
                go_back(find_mut(&mut state, kind, &node, vmid)?, &name)?
            };
            cluster.hooks.rolled_back(vmid, &name).await;
            if start || with_memory {
                super::guest_power::boot(cluster, kind, &node, vmid, false).await?;
            }
            Ok(())
        },
    )
}

/// What is refused before anything changes, in the order of pve-guest-common's `snapshot_rollback`.
fn may_go_back(state: &State, guest: &Guest, name: &str) -> Result<(), Fail> {
    if guest.is_template() {
        return Err(Fail::die("you can't rollback if vm is a template"));
    }
    let back = snapshot(guest, name)?;
    newest_only(state, guest, name)?;
    if let Some(state) = back.state {
        return Err(Fail::die(format!(
            "unable to rollback to incomplete snapshot (snapstate = {state})"
        )));
    }
    check_lock(guest)
}

/// Puts a guest back; says whether its memory was kept too.
fn go_back(guest: &mut Guest, name: &str) -> Result<bool, Fail> {
    let back = snapshot(guest, name)?.clone();
    let kind = guest.kind;
    let kept = guest.config.get("description").cloned();
    let mut config = back.config.clone();
    if let Some(text) = kept {
        config.insert("description".into(), text);
    }
    config.insert("parent".into(), name.into());
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
    guest.config = config;
    guest.pending.clear();
    Ok(back.vmstate)
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
    call.seen_task(
        state,
        &kind.task("delsnapshot"),
        &vmid.to_string(),
        move |worker| async move {
            let cluster = &worker.cluster;
            {
                let _held = cluster.guest_lock(kind, vmid).await?;
                let mut state = cluster.lock();
                let guest = find_mut(&mut state, kind, &node, vmid)?;
                snapshot(guest, &name)?;
                check_lock(guest)?;
                if guest.is_template() {
                    return Err(Fail::die("you can't delete a snapshot if vm is a template"));
                }
                guest.config.insert("lock".into(), "snapshot-delete".into());
                for own in guest.snapshots.iter_mut().filter(|own| own.name == name) {
                    own.state = Some("delete");
                }
            }
            // What fails or is ended here leaves the lock, as pve-guest-common's `snapshot_delete` does.
            worker.pace().await?;
            {
                let _held = cluster.guest_lock(kind, vmid).await?;
                let mut state = cluster.lock();
                forget(find_mut(&mut state, kind, &node, vmid)?, &name)?;
                unmark(&mut state, vmid, "snapshot-delete");
            }
            cluster.hooks.snapshot_removed(vmid, &name).await;
            Ok(())
        },
    )
}

/// Takes a snapshot out of the tree; what came after it hangs on what was before it.
fn forget(guest: &mut Guest, name: &str) -> Result<(), Fail> {
    let gone = snapshot(guest, name)?.clone();
    guest.snapshots.retain(|own| own.name != name);
    for own in guest
        .snapshots
        .iter_mut()
        .filter(|own| own.parent.as_deref() == Some(name))
    {
        own.parent.clone_from(&gone.parent);
    }
    if guest.config.get("parent").and_then(Value::as_str) == Some(name) {
        match gone.parent {
            Some(parent) => {
                guest.config.insert("parent".into(), parent.into());
            }
            None => {
                guest.config.shift_remove("parent");
            }
        }
    }
    Ok(())
}
