//! Disks to other storages, disks off the configuration, guests to other nodes.

use super::guest_begin::{mark, unmark};
use super::{Act, Route};
use crate::fixture::GuestKind::{self, Lxc, Qemu};
use crate::pve::answer::{Fail, Outcome};
use crate::pve::cluster::{Call, Cluster};
use crate::pve::guest::disk::{self, Wanted};
use crate::pve::guest::{Naming, check_lock, find, find_mut, of, parse, print};
use crate::pve::params::plain;
use crate::pve::state::State;
use crate::pve::worker::Worker;

pub(super) const ROUTES: &[Route] = &[
    (
        "POST",
        "/nodes/{node}/lxc/{vmid}/move_volume",
        Act::Now(|call, state| move_disk(call, state, Lxc)),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/move_disk",
        Act::Now(|call, state| move_disk(call, state, Qemu)),
    ),
    (
        "POST",
        "/nodes/{node}/lxc/{vmid}/migrate",
        Act::Now(|call, state| migrate(call, state, Lxc)),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/migrate",
        Act::Now(|call, state| migrate(call, state, Qemu)),
    ),
];

/// A disk's way.
struct Way {
    kind: GuestKind,
    node: String,
    vmid: u32,
    option: String,
    storage: String,
    format: Option<String>,
    delete: bool,
}

fn move_disk(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let params = &call.params;
    let (node, vmid) = (call.node(), call.vmid());
    let option = call.text(if kind == Lxc { "volume" } else { "disk" });
    if params.has("target-vmid") {
        // Between guests: not served.
        return Err(Fail::die(
            "moving a disk to another guest is not supported here",
        ));
    }
    let Some(storage) = params.text("storage") else {
        return Err(Fail::die(
            "Either target storage or target vmid needs to be provided",
        ));
    };
    let guest = of(call, state, kind)?;
    if params
        .text("digest")
        .is_some_and(|digest| digest != guest.digest())
    {
        return Err(Fail::die(match kind {
            Lxc => "detected modified configuration - file changed by other user? Try again.",
            Qemu => "checksum mismatch (file change by other user?)",
        }));
    }
    check_lock(guest)?;
    if kind == Lxc && guest.is_running() {
        return Err(Fail::die("cannot move volumes of a running container"));
    }
    let missing = || {
        Fail::die(format!(
            "{} '{option}' does not exist",
            if kind == Lxc { "mount point" } else { "disk" }
        ))
    };
    let text = guest
        .config
        .get(&option)
        .and_then(plain)
        .ok_or_else(missing)?;
    let volid = disk::volume_of(kind, &option, &text).unwrap_or_default();
    let Some(volume) = state.volume(&node, &volid) else {
        return Err(Fail::die(format!(
            "you can't move a volume that is not on a storage ('{option}')"
        )));
    };
    let format = params.text("format");
    if volume.storage() == storage
        && format
            .as_ref()
            .is_none_or(|format| *format == volume.format)
    {
        return Err(Fail::die(match kind {
            Lxc => format!("source and target storage are the same '{storage}'"),
            Qemu => "you can't move to the same storage with same format".to_owned(),
        }));
    }
    call.check(
        state,
        &format!("/storage/{storage}"),
        &["Datastore.AllocateSpace"],
    )?;
    disk::check_storage(state, &node, &storage, disk::content(kind))?;
    let way = Way {
        kind,
        node,
        vmid,
        option,
        storage,
        format,
        delete: params.flag("delete"),
    };
    let task = if kind == Lxc { "move_volume" } else { "qmmove" };
    call.seen_task(state, task, &vmid.to_string(), move |worker| async move {
        carry(&worker, &way).await
    })
}

async fn carry(worker: &Worker, way: &Way) -> Result<(), Fail> {
    // A container says so while its volume is moved; a machine holds its file's lock (pve-container, `API2/LXC.pm`).
    let begun = match way.kind {
        Lxc => {
            let mut state = worker.cluster.lock();
            let begun = mark(
                &worker.cluster,
                &mut state,
                Lxc,
                &way.node,
                way.vmid,
                "disk",
            )?;
            Some(begun.of(worker))
        }
        Qemu => None,
    };
    let held = worker.cluster.guest_lock(way.kind, way.vmid).await?;
    worker.pace().await?;
    move_now(&worker.cluster, way)?;
    drop(held);
    if let Some(begun) = begun {
        unmark(&mut worker.cluster.lock(), way.vmid, "disk");
        begun.done();
    }
    Ok(())
}

fn move_now(cluster: &Cluster, way: &Way) -> Result<(), Fail> {
    let now = cluster.now();
    let mut state = cluster.lock();
    let guest = find(&state, way.kind, &way.node, way.vmid)?;
    if way.kind == Qemu {
        check_lock(guest)?;
    }
    let text = guest
        .config
        .get(&way.option)
        .and_then(plain)
        .unwrap_or_default();
    let old = disk::volume_of(way.kind, &way.option, &text).unwrap_or_default();
    let source = state
        .volume(&way.node, &old)
        .cloned()
        .ok_or_else(|| Fail::die(format!("volume '{old}' does not exist")))?;
    let format = way.format.clone().unwrap_or(source.format);
    let (node, storage, vmid, bytes) = (&way.node, &way.storage, way.vmid, source.size);
    let wanted = Wanted {
        node,
        storage,
        kind: way.kind,
        vmid,
        bytes,
        format: Some(&format),
        now,
    };
    let new = disk::alloc(&mut state, &wanted)?;
    let mut values = parse(way.kind, &way.option, &text);
    values.set(if way.kind == Lxc { "volume" } else { "file" }, new);
    values.set("size", disk::size_text(source.size));
    let value = print(way.kind, &way.option, &values);
    let freed = if way.delete {
        disk::free(&mut state, &way.node, &old)
    } else {
        Ok(())
    };
    let guest = find_mut(&mut state, way.kind, &way.node, way.vmid)?;
    guest.config.insert(way.option.clone(), value.into());
    if !way.delete || freed.is_err() {
        disk::keep_unused(&mut guest.config, &old);
    }
    Ok(())
}

fn migrate(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let (node, vmid, target) = (call.node(), call.vmid(), call.text("target"));
    if target == node {
        return Err(Fail::param("target", "target is local node."));
    }
    match state.node(&target) {
        Some(node) if node.online => {}
        Some(_) => return Err(Fail::die(format!("node '{target}' is not online"))),
        None => return Err(Fail::die(format!("no such cluster node '{target}'"))),
    }
    let guest = of(call, state, kind)?;
    check_lock(guest)?;
    let restart = call.params.flag("restart");
    if guest.is_running() && kind == Lxc && !restart {
        return Err(Fail::die(
            "can't migrate running container without --online or --restart",
        ));
    }
    if guest.is_running() && kind == Qemu && !call.params.flag("online") {
        return Err(Fail::die("can't migrate running VM without --online"));
    }
    call.seen_task(
        state,
        &kind.task("migrate"),
        &vmid.to_string(),
        move |worker| async move {
            let begun = {
                let _held = worker.cluster.guest_lock(kind, vmid).await?;
                let mut state = worker.cluster.lock();
                mark(&worker.cluster, &mut state, kind, &node, vmid, "migrate")?.of(&worker)
            };
            worker.log(format!(
                "starting migration of {} {vmid} to node '{target}'",
                kind.word()
            ));
            worker.pace().await?;
            let mut state = worker.cluster.lock();
            let volumes = disk::disks(kind, &find(&state, kind, &node, vmid)?.config);
            for (_, volid) in &volumes {
                let storage = volid.split(':').next().unwrap_or_default();
                disk::check_storage(&state, &target, storage, disk::content(kind))?;
            }
            for volume in state
                .volumes
                .iter_mut()
                .filter(|volume| volumes.iter().any(|(_, volid)| *volid == volume.volid))
            {
                if volume.node.is_some() {
                    volume.node = Some(target.clone());
                }
            }
            find_mut(&mut state, kind, &node, vmid)?
                .node
                .clone_from(&target);
            unmark(&mut state, vmid, "migrate");
            drop(state);
            begun.done();
            worker.log("migration finished successfully (duration 00:00:01)");
            Ok(())
        },
    )
}
