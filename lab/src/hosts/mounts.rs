//! Where a container's further disks are mounted: a directory of its files for each mount point, made before it starts.
//!
//! What is on a disk is kept with the container's other files. Snapshots and backups of the lab hold all of them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::machine::Machine;
use super::node::{call, where_is};
use super::{Inner, Role};
use crate::fixture::GuestKind;
use crate::isolate::Root;
use crate::pve::Params;

/// Makes the directories; what cannot be made is said in the log.
pub(super) async fn make(machine: &Arc<Machine>) {
    let (Role::Guest { vmid, kind, .. }, Some(lab)) = (&machine.spec.role, machine.lab.upgrade())
    else {
        return;
    };
    if *kind != GuestKind::Lxc {
        return;
    }
    for path in paths(machine, *vmid, &lab).await {
        if let Err(error) = directory(&machine.root, &path) {
            tracing::warn!(%error, vmid, path, "a lab's container has no mount point");
        }
    }
}

async fn paths(machine: &Machine, vmid: u32, lab: &Inner) -> Vec<String> {
    let Some(node) = where_is(machine, vmid, lab).await else {
        return Vec::new();
    };
    let path = format!("/nodes/{}/lxc/{vmid}/config", node.spec.name);
    let config = call(machine, "GET", &path, Params::new()).await;
    let points = config.data.as_object().into_iter().flatten();
    points
        .filter(|(key, _)| {
            key.strip_prefix("mp")
                .is_some_and(|number| number.parse::<u16>().is_ok())
        })
        .filter_map(|(_, value)| {
            let mut parts = value.as_str()?.split(',');
            parts.find_map(|part| part.strip_prefix("mp=").map(str::to_owned))
        })
        .collect()
}

fn directory(root: &Root, path: &str) -> io::Result<()> {
    let at = root.inside(Path::new(path))?;
    match at.symlink_metadata() {
        Ok(found) if found.is_dir() => Ok(()),
        _ => std::fs::create_dir_all(at),
    }
}
