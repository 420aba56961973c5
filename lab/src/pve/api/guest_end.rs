//! Removing a guest and growing its disks.

use serde_json::Value;

use super::{Act, Route};
use crate::fixture::GuestKind::{self, Lxc, Qemu};
use crate::pve::answer::{Fail, Outcome};
use crate::pve::cluster::Call;
use crate::pve::guest::{
    Naming, check_lock, check_skiplock, disk, find, find_mut, of, parse, print,
};
use crate::pve::params::plain;
use crate::pve::state::{Guest, State, parse_size};
use crate::pve::worker::Worker;

pub(super) const ROUTES: &[Route] = &[
    (
        "DELETE",
        "/nodes/{node}/lxc/{vmid}",
        Act::Now(|call, state| destroy(call, state, Lxc)),
    ),
    (
        "DELETE",
        "/nodes/{node}/qemu/{vmid}",
        Act::Now(|call, state| destroy(call, state, Qemu)),
    ),
    (
        "PUT",
        "/nodes/{node}/lxc/{vmid}/resize",
        Act::Now(resize_lxc),
    ),
    (
        "PUT",
        "/nodes/{node}/qemu/{vmid}/resize",
        Act::Now(resize_qemu),
    ),
];

fn sid(kind: GuestKind, vmid: u32) -> String {
    format!("{}:{vmid}", if kind == Lxc { "ct" } else { "vm" })
}

fn destroy(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    check_skiplock(call)?;
    let (node, vmid, word) = (call.node(), call.vmid(), kind.word());
    let (force, purge) = (call.params.flag("force"), call.params.flag("purge"));
    let guest = of(call, state, kind)?;
    let protected = guest.config.get("protection").and_then(plain).as_deref() == Some("1");
    if protected {
        return Err(Fail::die(format!(
            "can't remove {word} {vmid} - protection mode enabled"
        )));
    }
    if !purge && state.ha_resources.contains_key(&sid(kind, vmid)) {
        return Err(Fail::die(format!(
            "unable to remove {word} {vmid} - used in HA resources and purge parameter not set."
        )));
    }
    match kind {
        Lxc => {
            check_lock(guest)?;
            if guest.is_running() && !force {
                return Err(Fail::die(format!(
                    "unable to destroy CT {vmid} - container is running"
                )));
            }
        }
        Qemu if guest.is_running() => {
            return Err(Fail::die(format!("VM {vmid} is running - destroy failed")));
        }
        Qemu => {}
    }
    let skip = call.params.flag("skiplock");
    call.task(
        state,
        &kind.task("destroy"),
        &vmid.to_string(),
        move |worker| async move {
            if purge {
                worker.log(format!(
                    "purging {word} {vmid} from related configurations.."
                ));
            }
            {
                let _held = worker.cluster.guest_lock(kind, vmid).await?;
                remove(&worker, kind, &node, vmid, force, purge, skip)?;
            }
            worker.cluster.hooks.destroyed(vmid).await;
            Ok(())
        },
    )
}

fn remove(
    worker: &Worker,
    kind: GuestKind,
    node: &str,
    vmid: u32,
    force: bool,
    purge: bool,
    skip: bool,
) -> Result<(), Fail> {
    let mut state = worker.cluster.lock();
    let guest = find(&state, kind, node, vmid)?.clone();
    if !skip {
        check_lock(&guest)?;
    }
    if guest.is_running() && !(force && kind == Lxc) {
        return Err(Fail::die(format!(
            "{} {vmid} is running - destroy failed",
            kind.word()
        )));
    }
    let volumes = owned(&state, &guest);
    volumes
        .iter()
        .try_for_each(|volid| disk::check_base(&state, volid))?;
    for volid in &volumes {
        disk::free(&mut state, node, volid)?;
    }
    state.guests.remove(&vmid);
    state.firewalls.remove(&format!("vm/{vmid}"));
    let path = format!("/vms/{vmid}");
    state.access.grants.retain(|grant| grant.path != path);
    state.access.pools.values_mut().for_each(|pool| {
        pool.vms.remove(&vmid);
    });
    if purge {
        state.ha_resources.remove(&sid(kind, vmid));
        state
            .replication
            .retain(|id, _| !id.starts_with(&format!("{vmid}-")));
        for job in state.backup_jobs.values_mut() {
            let Some(list) = job.get("vmid").and_then(plain) else {
                continue;
            };
            let left: Vec<String> = crate::pve::params::split_list(&list)
                .into_iter()
                .filter(|own| *own != vmid.to_string())
                .collect();
            job.insert("vmid".into(), left.join(",").into());
        }
        state
            .backup_jobs
            .retain(|_, job| job.get("vmid").and_then(Value::as_str) != Some(""));
    }
    Ok(())
}

/// The volumes that go with a guest: those of its configuration, its snapshots and pending changes that are its own.
fn owned(state: &State, guest: &Guest) -> Vec<String> {
    let mut named = disk::disks(guest.kind, &guest.config);
    for snapshot in &guest.snapshots {
        named.extend(disk::disks(guest.kind, &snapshot.config));
    }
    let mut found: Vec<String> = Vec::new();
    for (_, volid) in named {
        let own = state
            .volumes
            .iter()
            .any(|volume| volume.volid == volid && volume.vmid == Some(guest.vmid));
        if own && !found.contains(&volid) {
            found.push(volid);
        }
    }
    found
}

/// The wanted size in bytes: `+1G` is more than now.
fn wanted(text: &str, now: u64) -> u64 {
    match text.strip_prefix('+') {
        Some(more) => now + parse_size(more).unwrap_or(0),
        None => parse_size(text).unwrap_or(0),
    }
}

fn resize_lxc(call: &Call, state: &mut State) -> Outcome {
    let (node, vmid, option) = (call.node(), call.vmid(), call.text("disk"));
    let guest = of(call, state, Lxc)?;
    check_lock(guest)?;
    if call
        .params
        .text("digest")
        .is_some_and(|digest| digest != guest.digest())
    {
        return Err(Fail::die(
            "detected modified configuration - file changed by other user? Try again.",
        ));
    }
    let Some(text) = guest.config.get(&option).and_then(plain) else {
        // The empty option is parsed, and has nothing of what it needs.
        let missing = Value::from("property is missing and it is not optional");
        let errors = [
            ("volume".to_owned(), missing.clone()),
            ("mp".to_owned(), missing),
        ]
        .into_iter()
        .collect();
        return Err(Fail {
            status: 500,
            message: "format error\n".into(),
            errors,
        });
    };
    let volid = disk::volume_of(Lxc, &option, &text).unwrap_or_default();
    if state.volume(&node, &volid).is_none() {
        return Err(Fail::die(
            "can't resize mount point owned by another container or not backed by a volume",
        ));
    }
    let now = disk::size_of(&guest.config, &option).unwrap_or(0);
    let bytes = wanted(&call.text("size"), now);
    if bytes < now {
        return Err(Fail::die("unable to shrink disk size"));
    }
    if bytes == now {
        return Err(Fail::die("disk is already at specified size"));
    }
    call.task(
        state,
        "resize",
        &vmid.to_string(),
        move |worker| async move { grow(&worker, Lxc, &node, vmid, &option, bytes).await },
    )
}

fn resize_qemu(call: &Call, state: &mut State) -> Outcome {
    check_skiplock(call)?;
    let (node, vmid, option, size) = (
        call.node(),
        call.vmid(),
        call.text("disk"),
        call.text("size"),
    );
    let guest = of(call, state, Qemu)?;
    if call
        .params
        .text("digest")
        .is_some_and(|digest| digest != guest.digest())
    {
        return Err(Fail::die("checksum mismatch (file change by other user?)"));
    }
    check_lock(guest)?;
    let Some(text) = guest.config.get(&option).and_then(plain) else {
        return Err(Fail::die(format!("disk '{option}' does not exist")));
    };
    if text.contains("media=cdrom") {
        return Err(Fail::die("you can't resize a cdrom"));
    }
    call.task(
        state,
        "resize",
        &vmid.to_string(),
        move |worker| async move {
            let now = disk::size_of(
                &find(&worker.cluster.lock(), Qemu, &node, vmid)?.config,
                &option,
            )
            .unwrap_or(0);
            let bytes = wanted(&size, now);
            if bytes < now {
                return Err(Fail::die("shrinking disks is not supported"));
            }
            if bytes == now {
                return Ok(());
            }
            worker.log(format!(
                "update VM {vmid}: resize --disk {option} --size {size}"
            ));
            grow(&worker, Qemu, &node, vmid, &option, bytes).await
        },
    )
}

async fn grow(
    worker: &Worker,
    kind: GuestKind,
    node: &str,
    vmid: u32,
    option: &str,
    bytes: u64,
) -> Result<(), Fail> {
    let _held = worker.cluster.guest_lock(kind, vmid).await?;
    let mut state = worker.cluster.lock();
    let guest = find_mut(&mut state, kind, node, vmid)?;
    check_lock(guest)?;
    let text = guest.config.get(option).and_then(plain).unwrap_or_default();
    let volid = disk::volume_of(kind, option, &text).unwrap_or_default();
    let mut values = parse(kind, option, &text);
    values.set("size", disk::size_text(bytes));
    guest
        .config
        .insert(option.to_owned(), print(kind, option, &values).into());
    for volume in state
        .volumes
        .iter_mut()
        .filter(|volume| volume.volid == volid)
    {
        volume.size = bytes;
    }
    Ok(())
}
