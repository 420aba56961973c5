//! Guests that are being made or worked on: their configurations say so, for everyone to see, until the work is done.
//!
//! The names of the locks and when they are set are those of pve-guest-common (`AbstractConfig.pm`: `create_and_lock_config`,
//! `set_lock`, `remove_lock`), pve-container and qemu-server.

use std::sync::Arc;

use super::guest_options::Place;
use crate::fixture::GuestKind;
use crate::pve::answer::Fail;
use crate::pve::cluster::Cluster;
use crate::pve::guest::{check_lock, disk, find_mut};
use crate::pve::state::{Config, Guest, State};
use crate::pve::worker::Begun;

/// Takes the number of a guest that is to be made. One that is to be made over keeps its configuration until then.
pub(super) fn begin(
    cluster: &Arc<Cluster>,
    state: &mut State,
    kind: GuestKind,
    node: &str,
    vmid: u32,
) -> Result<Begun, Fail> {
    if state.guests.contains_key(&vmid) {
        return mark(cluster, state, kind, node, vmid, "create");
    }
    let mut guest = Guest::new(kind, vmid, node, Config::new());
    guest.created = cluster.now();
    guest.config.insert("lock".into(), "create".into());
    state.guests.insert(vmid, guest);
    Ok(Begun::new(cluster, move |state| {
        state.guests.remove(&vmid);
        state.volumes.retain(|volume| volume.vmid != Some(vmid));
    }))
}

/// Sets a guest's lock, unless it has one.
pub(super) fn mark(
    cluster: &Arc<Cluster>,
    state: &mut State,
    kind: GuestKind,
    node: &str,
    vmid: u32,
    lock: &'static str,
) -> Result<Begun, Fail> {
    let guest = find_mut(state, kind, node, vmid)?;
    check_lock(guest)?;
    guest.config.insert("lock".into(), lock.into());
    Ok(Begun::new(cluster, move |state| unmark(state, vmid, lock)))
}

/// Takes a guest's lock away, if it is that one.
pub(super) fn unmark(state: &mut State, vmid: u32, lock: &str) {
    if let Some(guest) = state
        .guests
        .get_mut(&vmid)
        .filter(|guest| guest.lock() == Some(lock))
    {
        guest.config.shift_remove("lock");
    }
}

/// The guest that was begun has its configuration; nothing of an earlier one is left.
pub(super) fn finish(state: &mut State, place: &Place<'_>, config: Config, pool: Option<&str>) {
    let mut guest = Guest::new(place.kind, place.vmid, place.node, config);
    guest.config.shift_remove("lock");
    guest.created = place.now;
    state.guests.insert(place.vmid, guest);
    if let Some(pool) = pool.and_then(|pool| state.access.pools.get_mut(pool)) {
        pool.vms.insert(place.vmid);
    }
}

/// Frees the disks of a guest that is made over.
pub(super) fn free_disks(state: &mut State, kind: GuestKind, vmid: u32) -> Result<(), Fail> {
    let Some(guest) = state.guests.get(&vmid) else {
        return Ok(());
    };
    let (node, disks) = (guest.node.clone(), disk::disks(kind, &guest.config));
    for (_, volid) in disks {
        disk::free(state, &node, &volid)?;
    }
    Ok(())
}

/// Makes something with new volumes; when that fails they are gone again.
pub(super) fn or_no_volumes<T>(
    state: &mut State,
    vmid: u32,
    make: impl FnOnce(&mut State) -> Result<T, Fail>,
) -> Result<T, Fail> {
    let mine = |state: &State| -> Vec<String> {
        let own = state
            .volumes
            .iter()
            .filter(|volume| volume.vmid == Some(vmid));
        own.map(|volume| volume.volid.clone()).collect()
    };
    let before = mine(state);
    let made = make(state);
    if made.is_err() {
        state
            .volumes
            .retain(|volume| volume.vmid != Some(vmid) || before.contains(&volume.volid));
    }
    made
}
