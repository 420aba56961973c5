//! Turning a guest into a template, from which linked copies are made.

use super::{Act, Route};
use crate::fixture::GuestKind::{self, Lxc, Qemu};
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::Call;
use crate::pve::guest::{Naming, check_lock, disk, find, find_mut, is_indexed, of};
use crate::pve::params::plain;
use crate::pve::state::State;

pub(super) const ROUTES: &[Route] = &[
    (
        "POST",
        "/nodes/{node}/lxc/{vmid}/template",
        Act::Now(|call, state| template(call, state, Lxc)),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/template",
        Act::Now(|call, state| template(call, state, Qemu)),
    ),
];

fn template(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let (node, vmid) = (call.node(), call.vmid());
    let guest = of(call, state, kind)?;
    check_lock(guest)?;
    let what = if kind == Lxc { "CT" } else { "VM" };
    if !guest.snapshots.is_empty() {
        return Err(Fail::die(format!(
            "unable to create template, because {what} contains snapshots"
        )));
    }
    if guest.is_template() && !call.params.has("disk") {
        return Err(Fail::die("you can't convert a template to a template"));
    }
    if guest.is_running() {
        return Err(Fail::die(match kind {
            Lxc => "you can't convert a CT to template if the CT is running",
            Qemu => "you can't convert a VM to template if VM is running",
        }));
    }
    let only = call.params.text("disk");
    let answer = call.task(
        state,
        &kind.task("template"),
        &vmid.to_string(),
        move |worker| async move {
            {
                let _held = worker.cluster.guest_lock(kind, vmid).await?;
                let mut state = worker.cluster.lock();
                let guest = find(&state, kind, &node, vmid)?;
                check_lock(guest)?;
                let mut config = guest.config.clone();
                for (option, volid) in disk::disks(kind, &config.clone()) {
                    let chosen = only.as_ref().is_none_or(|only| *only == option)
                        && !is_indexed(&option, "unused")
                        && !volid.contains("cloudinit");
                    if !chosen {
                        continue;
                    }
                    let base = disk::to_base(&mut state, &volid);
                    let text = config.get(&option).and_then(plain).unwrap_or_default();
                    config.insert(option, text.replacen(&volid, &base, 1).into());
                }
                config.insert("template".into(), 1.into());
                find_mut(&mut state, kind, &node, vmid)?.config = config;
            }
            worker.cluster.hooks.templated(vmid).await;
            Ok(())
        },
    );
    // A container's conversion goes on behind an empty answer.
    if kind == Lxc {
        answer.map(|_| Reply::null())
    } else {
        answer
    }
}
