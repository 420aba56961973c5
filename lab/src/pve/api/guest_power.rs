//! Starting, restarting and pausing: all of it tasks; what can be known at once is refused at once, as the API does.

use std::time::Duration;

use super::{Act, Route};
use crate::fixture::GuestKind::{self, Lxc, Qemu};
use crate::pve::answer::{Fail, Outcome};
use crate::pve::cluster::{Call, Cluster};
use crate::pve::guest::{
    Naming, change, check_lock, check_skiplock, find, find_mut, missing_bridge, of, run,
};
use crate::pve::state::{State, Status};

pub(super) const ROUTES: &[Route] = &[
    (
        "POST",
        "/nodes/{node}/lxc/{vmid}/status/start",
        Act::Now(|call, state| start(call, state, Lxc)),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/status/start",
        Act::Now(|call, state| start(call, state, Qemu)),
    ),
    (
        "POST",
        "/nodes/{node}/lxc/{vmid}/status/reboot",
        Act::Now(|call, state| reboot(call, state, Lxc)),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/status/reboot",
        Act::Now(|call, state| reboot(call, state, Qemu)),
    ),
    (
        "POST",
        "/nodes/{node}/lxc/{vmid}/status/suspend",
        Act::Now(|call, state| pause(call, state, Lxc, true)),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/status/suspend",
        Act::Now(|call, state| pause(call, state, Qemu, true)),
    ),
    (
        "POST",
        "/nodes/{node}/lxc/{vmid}/status/resume",
        Act::Now(|call, state| pause(call, state, Lxc, false)),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/status/resume",
        Act::Now(|call, state| pause(call, state, Qemu, false)),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/status/reset",
        Act::Now(reset),
    ),
];

/// How long the manager is given to see a new state.
const MANAGER_WAIT: Duration = Duration::from_millis(50);

/// Whether that guest is managed for high availability and someone else calls.
pub(super) fn managed(call: &Call, state: &State, kind: GuestKind) -> Option<String> {
    let sid = format!("{}:{}", if kind == Lxc { "ct" } else { "vm" }, call.vmid());
    (state.ha_resources.contains_key(&sid) && !call.caller.is_manager()).then_some(sid)
}

/// The task that only tells the manager what is wanted; it ends before the guest has changed.
pub(super) fn ask_manager(
    call: &Call,
    state: &mut State,
    kind: GuestKind,
    sid: String,
    wanted: &'static str,
) -> Outcome {
    let task = if wanted == "started" {
        "hastart"
    } else {
        "hastop"
    };
    let (node, vmid) = (call.node(), call.vmid());
    call.task(state, task, &vmid.to_string(), move |worker| async move {
        worker.log(format!(
            "Requesting HA {} for {} {vmid}",
            if wanted == "started" { "start" } else { "stop" },
            kind.word()
        ));
        if let Some(config) = worker.cluster.lock().ha_resources.get_mut(&sid) {
            config.insert("state".into(), wanted.into());
        }
        let cluster = worker.cluster.clone();
        tokio::spawn(async move {
            tokio::time::sleep(MANAGER_WAIT).await;
            let verb = if wanted == "started" {
                "start"
            } else {
                "shutdown"
            };
            let family = if kind == Lxc { "lxc" } else { "qemu" };
            let path = format!("/nodes/{node}/{family}/{vmid}/status/{verb}");
            let manager = crate::pve::cluster::Caller::manager();
            cluster
                .call("POST", &path, crate::pve::params::Params::new(), &manager)
                .await;
        });
        Ok(())
    })
}

fn start(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let skip = check_skiplock(call)?;
    let (node, vmid) = (call.node(), call.vmid());
    if kind == Lxc && of(call, state, kind).is_ok_and(|guest| guest.is_running()) {
        return Err(Fail::die(format!("CT {vmid} already running")));
    }
    if let Some(sid) = managed(call, state, kind) {
        return ask_manager(call, state, kind, sid, "started");
    }
    call.task(
        state,
        &kind.task("start"),
        &vmid.to_string(),
        move |worker| async move { boot(&worker.cluster, kind, &node, vmid, skip).await },
    )
}

/// Starts a guest under its lock.
pub(super) async fn boot(
    cluster: &Cluster,
    kind: GuestKind,
    node: &str,
    vmid: u32,
    skip_lock: bool,
) -> Result<(), Fail> {
    find(&cluster.lock(), kind, node, vmid)?;
    let held = cluster.guest_lock(kind, vmid).await?;
    if kind == Qemu {
        super::qemu_cloudinit::check(cluster, node, vmid).await?;
    }
    launch(cluster, kind, node, vmid, skip_lock)?;
    drop(held);
    cluster.hooks.started(vmid).await;
    Ok(())
}

/// The start itself, for a caller that holds the lock.
pub(super) fn launch(
    cluster: &Cluster,
    kind: GuestKind,
    node: &str,
    vmid: u32,
    skip_lock: bool,
) -> Result<(), Fail> {
    let now = cluster.now();
    let mut state = cluster.lock();
    let guest = find(&state, kind, node, vmid)?;
    if !skip_lock {
        check_lock(guest)?;
    }
    if guest.is_template() {
        let what = if kind == Lxc { "a CT" } else { "a vm" };
        return Err(Fail::die(format!(
            "you can't start {what} if it's a template"
        )));
    }
    if guest.is_running() {
        return Err(Fail::die(format!("{} {vmid} already running", kind.word())));
    }
    change::apply(&mut state, vmid);
    let guest = find(&state, kind, node, vmid)?;
    if let Some(bridge) = missing_bridge(&state, guest) {
        return Err(Fail::die(format!("bridge '{bridge}' does not exist")));
    }
    for (_, volid) in crate::pve::guest::disk::disks(kind, &guest.config) {
        if state.volume(node, &volid).is_none() {
            return Err(Fail::die(format!("volume '{volid}' does not exist")));
        }
    }
    mapped_devices(&state, node, guest)?;
    run(&mut state, vmid, now);
    Ok(())
}

/// A mapping that names no device of the node stops the start.
fn mapped_devices(state: &State, node: &str, guest: &crate::pve::state::Guest) -> Result<(), Fail> {
    for (option, value) in guest
        .config
        .iter()
        .filter(|(option, _)| crate::pve::guest::is_indexed(option, "hostpci"))
    {
        let text = crate::pve::params::plain(value).unwrap_or_default();
        let device = crate::pve::guest::parse(Qemu, option, &text);
        let Some(name) = device.text("mapping") else {
            continue;
        };
        let Some(config) = state.mappings.get(&("pci".to_owned(), name.clone())) else {
            return Err(Fail::die(format!(
                "PCI device mapping invalid (hardware probably changed): PCI device '{name}' not found"
            )));
        };
        let entries = config
            .get("map")
            .and_then(serde_json::Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(crate::pve::params::plain);
        if !entries
            .into_iter()
            .any(|entry| entry.split(',').any(|part| part == format!("node={node}")))
        {
            return Err(Fail::die(format!(
                "no mapping found for device '{name}' on node '{node}'"
            )));
        }
    }
    Ok(())
}

pub(super) fn not_running(word: &str, vmid: u32) -> Fail {
    Fail::die(format!("{word} {vmid} not running"))
}

fn reboot(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let (node, vmid) = (call.node(), call.vmid());
    if !of(call, state, kind).is_ok_and(|guest| guest.is_running()) {
        return Err(not_running("VM", vmid));
    }
    call.task(
        state,
        &kind.task("reboot"),
        &vmid.to_string(),
        move |worker| async move {
            {
                let _held = worker.cluster.guest_lock(kind, vmid).await?;
                {
                    let mut state = worker.cluster.lock();
                    let guest = find_mut(&mut state, kind, &node, vmid)?;
                    check_lock(guest)?;
                    guest.status = Status::Stopped;
                }
                launch(&worker.cluster, kind, &node, vmid, false)?;
            }
            worker.cluster.hooks.rebooted(vmid).await;
            Ok(())
        },
    )
}

fn pause(call: &Call, state: &mut State, kind: GuestKind, to: bool) -> Outcome {
    let (node, vmid) = (call.node(), call.vmid());
    check_skiplock(call)?;
    if !of(call, state, kind).is_ok_and(|guest| guest.is_running()) {
        return Err(not_running(kind.word(), vmid));
    }
    let task = kind.task(if to { "suspend" } else { "resume" });
    call.task(state, &task, &vmid.to_string(), move |worker| async move {
        let _held = worker.cluster.guest_lock(kind, vmid).await?;
        let mut state = worker.cluster.lock();
        let guest = find_mut(&mut state, kind, &node, vmid)?;
        check_lock(guest)?;
        match &mut guest.status {
            Status::Running { paused, .. } => {
                *paused = to;
                Ok(())
            }
            Status::Stopped => Err(not_running(kind.word(), vmid)),
        }
    })
}

fn reset(call: &Call, state: &mut State) -> Outcome {
    let (node, vmid) = (call.node(), call.vmid());
    check_skiplock(call)?;
    if !of(call, state, Qemu).is_ok_and(|guest| guest.is_running()) {
        return Err(not_running("VM", vmid));
    }
    call.task(
        state,
        "qmreset",
        &vmid.to_string(),
        move |worker| async move {
            {
                let _held = worker.cluster.guest_lock(Qemu, vmid).await?;
                check_lock(find(&worker.cluster.lock(), Qemu, &node, vmid)?)?;
            }
            worker.cluster.hooks.rebooted(vmid).await;
            Ok(())
        },
    )
}
