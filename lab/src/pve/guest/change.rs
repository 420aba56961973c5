//! Pending changes: what a running guest takes at once, what waits for its next start, and how a change is applied.

use serde_json::Value;

use super::disk::{self, is_disk, keep_unused, volume_of};
use super::{is_indexed, parse};
use crate::fixture::GuestKind;
use crate::pve::answer::Fail;
use crate::pve::params::plain;
use crate::pve::state::{Config, Guest, Pending, State};

/// The configuration as it will be: pending changes in place.
pub(crate) fn upcoming(guest: &Guest) -> Config {
    let mut config = guest.config.clone();
    for (option, change) in &guest.pending {
        match change {
            Pending::Set(value) => {
                config.insert(option.clone(), value.clone());
            }
            Pending::Delete { .. } => {
                config.shift_remove(option);
            }
        }
    }
    config
}

/// Puts a change on the list, in place of an earlier one for the option.
pub(crate) fn queue(guest: &mut Guest, option: &str, change: Pending) {
    guest.pending.retain(|(own, _)| own != option);
    guest.pending.push((option.to_owned(), change));
}

/// Applies what is pending: all of it on a stopped guest, what can be changed at run time on a running one. The errors
/// are those of changes that should have worked; they stay pending.
pub(crate) fn apply(state: &mut State, vmid: u32) -> Vec<(String, String)> {
    let Some(guest) = state.guests.get(&vmid).cloned() else {
        return Vec::new();
    };
    let (kind, running) = (guest.kind, guest.is_running());
    let mut errors = Vec::new();
    let mut left = Vec::new();
    for (option, change) in guest.pending {
        if running && !at_run_time(kind, &option, &guest.config, &change) {
            left.push((option, change));
            continue;
        }
        match one(state, vmid, &option, &change, running) {
            Ok(()) => {}
            Err(why) => {
                errors.push((option.clone(), why));
                left.push((option, change));
            }
        }
    }
    if let Some(guest) = state.guests.get_mut(&vmid) {
        // What is pending and already so is no change.
        left.retain(|(option, change)| !matches!(change, Pending::Set(value) if guest.config.get(option) == Some(value)));
        guest.pending = left;
    }
    errors
}

/// Whether a running guest takes a change at once.
fn at_run_time(kind: GuestKind, option: &str, before: &Config, change: &Pending) -> bool {
    let same = matches!(change, Pending::Set(value) if before.get(option) == Some(value));
    if same
        || matches!(
            option,
            "onboot" | "startup" | "hookscript" | "description" | "tags" | "protection" | "lock"
        )
    {
        return true;
    }
    match kind {
        GuestKind::Lxc => {
            let plain_option = matches!(
                option,
                "memory"
                    | "swap"
                    | "cores"
                    | "cpulimit"
                    | "cpuunits"
                    | "hostname"
                    | "nameserver"
                    | "searchdomain"
            );
            let new_mount = is_indexed(option, "mp")
                && !before.contains_key(option)
                && matches!(change, Pending::Set(_));
            let gone_mount = is_indexed(option, "mp") && matches!(change, Pending::Delete { .. });
            plain_option
                || is_indexed(option, "net")
                || is_indexed(option, "unused")
                || new_mount
                || gone_mount
        }
        GuestKind::Qemu => {
            let new_disk = is_indexed(option, "scsi") && !before.contains_key(option);
            let cdrom = is_disk(kind, option)
                && before.get(option).and_then(plain).is_some_and(|text| {
                    text.contains("media=cdrom") && !text.contains("cloudinit")
                });
            matches!(
                option,
                "name"
                    | "cpuunits"
                    | "cpulimit"
                    | "balloon"
                    | "shares"
                    | "agent"
                    | "autostart"
                    | "ostype"
                    | "boot"
            ) && !matches!(option, "agent" | "ostype" | "boot")
                || is_indexed(option, "net")
                || is_indexed(option, "unused")
                || is_indexed(option, "ipconfig")
                || matches!(
                    option,
                    "ciuser"
                        | "cipassword"
                        | "sshkeys"
                        | "cicustom"
                        | "citype"
                        | "ciupgrade"
                        | "nameserver"
                        | "searchdomain"
                )
                || new_disk
                || cdrom
        }
    }
}

fn one(
    state: &mut State,
    vmid: u32,
    option: &str,
    change: &Pending,
    running: bool,
) -> Result<(), String> {
    let Some(guest) = state.guests.get(&vmid) else {
        return Ok(());
    };
    let (kind, node) = (guest.kind, guest.node.clone());
    if let (true, Pending::Set(value)) = (running && is_indexed(option, "net"), change) {
        let bridge = parse(kind, option, &plain(value).unwrap_or_default()).text("bridge");
        if let Some(bridge) = bridge.filter(|bridge| {
            state
                .node(&node)
                .is_some_and(|node| !node.has_iface(bridge))
        }) {
            return Err(format!(
                "unable to hotplug {option}: bridge '{bridge}' does not exist\n"
            ));
        }
    }
    let before = guest.config.get(option).and_then(plain);
    let old_volume = before.and_then(|text| {
        if is_disk(kind, option) {
            volume_of(kind, option, &text)
        } else {
            None
        }
    });
    let unused = is_indexed(option, "unused")
        .then(|| guest.config.get(option).and_then(plain))
        .flatten();
    let force = matches!(change, Pending::Delete { force: true });
    if let (Pending::Delete { .. }, Some(volid)) = (change, &unused) {
        disk::free(state, &node, volid).map_err(|fail| fail.message)?;
    }
    if let (true, Some(volid)) = (force, &old_volume) {
        disk::free(state, &node, volid).map_err(|fail| fail.message)?;
    }
    let known = old_volume
        .as_ref()
        .is_some_and(|volid| state.volumes.iter().any(|volume| volume.volid == *volid));
    let Some(guest) = state.guests.get_mut(&vmid) else {
        return Ok(());
    };
    match change {
        Pending::Set(value) => {
            guest.config.insert(option.to_owned(), value.clone());
        }
        Pending::Delete { .. } => {
            guest.config.shift_remove(option);
        }
    }
    // A volume that no option names any more is kept as unused; a cloud-init drive is not.
    if let Some(volid) = old_volume.filter(|volid| known && !force && !volid.contains("cloudinit"))
    {
        let named = disk::disks(kind, &guest.config)
            .iter()
            .any(|(_, own)| *own == volid);
        if !named {
            keep_unused(&mut guest.config, &volid);
        }
    }
    // A volume that is in use again is not unused.
    if let Pending::Set(value) = change {
        let volume = if is_disk(kind, option) {
            volume_of(kind, option, &plain(value).unwrap_or_default())
        } else {
            None
        };
        if let Some(volid) = volume {
            guest.config.retain(|own, value| {
                !(is_indexed(own, "unused") && value.as_str() == Some(&volid))
            });
        }
    }
    Ok(())
}

/// The errors of a change as the answer of the call.
pub(crate) fn report(errors: Vec<(String, String)>) -> Result<(), Fail> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Fail::params(
        errors
            .into_iter()
            .map(|(option, why)| (option, Value::from(why)))
            .collect(),
    ))
}
