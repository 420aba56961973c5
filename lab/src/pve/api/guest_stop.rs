//! Stopping: hard by `stop`, by asking the guest with `shutdown`, which waits for it and may stop it hard in the end.
//!
//! Texts and waits are those of pve-container (`API2/LXC/Status.pm`, `LXC.pm`: `vm_stop`) and qemu-server
//! (`API2/Qemu.pm`, `QemuServer.pm`: `_do_vm_stop`).

use std::time::Duration;

use super::guest_power::{ask_manager, managed, not_running};
use super::{Act, Route};
use crate::fixture::GuestKind::{self, Lxc, Qemu};
use crate::pve::access::split_token;
use crate::pve::answer::{Fail, Outcome};
use crate::pve::cluster::{Call, Caller, Cluster};
use crate::pve::guest::{Naming, change, check_lock, check_skiplock, find, find_mut, of, parse};
use crate::pve::params::plain;
use crate::pve::state::{Guest, State, Status};
use crate::pve::worker::Worker;

/// How long a shutdown waits when nothing is said.
const SHUTDOWN_SECONDS: u64 = 60;
/// How long the node waits for a container after its tool gave up, beyond the time limit.
const CONTAINER_GRACE: Duration = Duration::from_secs(5);

pub(super) const ROUTES: &[Route] = &[
    (
        "POST",
        "/nodes/{node}/lxc/{vmid}/status/stop",
        Act::Now(|call, state| stop(call, state, Lxc)),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/status/stop",
        Act::Now(|call, state| stop(call, state, Qemu)),
    ),
    (
        "POST",
        "/nodes/{node}/lxc/{vmid}/status/shutdown",
        Act::Now(|call, state| shutdown(call, state, Lxc)),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/status/shutdown",
        Act::Now(|call, state| shutdown(call, state, Qemu)),
    ),
];

/// How a guest is stopped.
#[derive(Clone, Copy)]
enum How {
    /// At once.
    Hard,
    /// By asking it.
    Asked {
        /// How long it has.
        wait: Duration,
        /// Whether it is stopped hard after that.
        force: bool,
    },
}

/// Who is stopped.
struct Who {
    kind: GuestKind,
    node: String,
    vmid: u32,
    skip_lock: bool,
}

fn who(call: &Call, kind: GuestKind) -> Result<Who, Fail> {
    Ok(Who {
        kind,
        node: call.node(),
        vmid: call.vmid(),
        skip_lock: check_skiplock(call)?,
    })
}

fn stop(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let who = who(call, kind)?;
    let running = of(call, state, kind).is_ok_and(Guest::is_running);
    if kind == Lxc && !running {
        return Err(not_running("CT", who.vmid));
    }
    let overrule = call.params.flag("overrule-shutdown");
    if let Some(sid) = managed(call, state, kind).filter(|_| running) {
        if overrule {
            return Err(Fail::param(
                "overrule-shutdown",
                "Not applicable for HA resources.",
            ));
        }
        return ask_manager(call, state, kind, sid, "stopped");
    }
    let (task, id, caller) = (kind.task("stop"), who.vmid.to_string(), call.caller.clone());
    call.task(state, &task, &id, move |worker| async move {
        if overrule {
            end_shutdowns(&worker, &who, &caller);
        }
        halt(&worker, &who, How::Hard).await
    })
}

fn shutdown(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let who = who(call, kind)?;
    let found = of(call, state, kind).ok();
    let running = found.is_some_and(Guest::is_running);
    if kind == Lxc && !running {
        return Err(not_running("CT", who.vmid));
    }
    let paused =
        found.is_some_and(|guest| matches!(guest.status, Status::Running { paused: true, .. }));
    let force = call.params.flag("forceStop");
    if kind == Qemu && paused && !force {
        return Err(Fail::die("VM is paused - cannot shutdown"));
    }
    let wait = match call.params.int("timeout") {
        Some(seconds) => u64::try_from(seconds).unwrap_or(0),
        None => found
            .filter(|_| kind == Qemu)
            .and_then(own_time)
            .unwrap_or(SHUTDOWN_SECONDS),
    };
    if let Some(sid) = managed(call, state, kind).filter(|_| running) {
        return ask_manager(call, state, kind, sid, "stopped");
    }
    let how = match kind {
        Qemu if paused => How::Hard,
        _ => How::Asked {
            wait: Duration::from_secs(wait),
            force,
        },
    };
    let (task, id) = (kind.task("shutdown"), who.vmid.to_string());
    call.task(state, &task, &id, move |worker| async move {
        halt(&worker, &who, how).await
    })
}

/// The time that a machine's `startup` gives it.
fn own_time(guest: &Guest) -> Option<u64> {
    let startup = guest.config.get("startup").and_then(plain)?;
    startup
        .split(',')
        .find_map(|part| part.strip_prefix("down="))?
        .parse()
        .ok()
}

/// Ends the shutdowns of a guest that still wait, those that the caller may end.
fn end_shutdowns(worker: &Worker, who: &Who, caller: &Caller) {
    let task = who.kind.task("shutdown");
    let now = worker.cluster.now();
    let mut state = worker.cluster.lock();
    let all = state.access.has(
        caller.authid(),
        &format!("/nodes/{}", who.node),
        &["Sys.Modify"],
        true,
    );
    let own = |user: &str| {
        user == caller.authid()
            || split_token(user).is_some_and(|(owner, _)| owner == caller.authid())
    };
    let waiting: Vec<String> = state
        .tasks
        .newest()
        .filter(|own_task| own_task.end.is_none())
        .map(|own_task| &own_task.upid)
        .filter(|upid| {
            upid.kind == task && upid.id == who.vmid.to_string() && (all || own(&upid.user))
        })
        .map(ToString::to_string)
        .collect();
    for upid in &waiting {
        state.tasks.interrupt(upid, now);
    }
    drop(state);
    if !waiting.is_empty() {
        worker.log(format!("overruled {task} tasks: {}", waiting.join(", ")));
    }
}

/// Stops a guest under its lock, which is held while it is waited for. A machine that is stopped is no error, a container
/// that is stopped is.
async fn halt(worker: &Worker, who: &Who, how: How) -> Result<(), Fail> {
    let (cluster, kind, vmid) = (&worker.cluster, who.kind, who.vmid);
    find(&cluster.lock(), kind, &who.node, vmid)?;
    let held = cluster.guest_lock(kind, vmid).await?;
    let ends = {
        let state = cluster.lock();
        let guest = find(&state, kind, &who.node, vmid)?;
        if !who.skip_lock {
            check_lock(guest)?;
        }
        if !guest.is_running() {
            return match kind {
                Lxc => Err(not_running("CT", vmid)),
                Qemu => Ok(()),
            };
        }
        matches!(how, How::Hard) || hears(cluster, guest)
    };
    if let (How::Asked { wait, force }, false) = (how, ends) {
        tokio::time::sleep(wait).await;
        give_up(worker, who, wait, force).await?;
    }
    find_mut(&mut cluster.lock(), kind, &who.node, vmid)?.status = Status::Stopped;
    drop(held);
    cluster.hooks.stopped(vmid).await;
    // What waited for a stop is applied by the next start; a container's at once.
    if kind == Lxc {
        change::apply(&mut cluster.lock(), vmid);
    }
    Ok(())
}

/// Whether a guest ends itself when it is asked: a machine by its agent or by ACPI, a container always.
fn hears(cluster: &Cluster, guest: &Guest) -> bool {
    if cluster.faults.deaf(guest.vmid) {
        return false;
    }
    let option = |name: &str| guest.config.get(name).and_then(plain).unwrap_or_default();
    guest.kind == Lxc
        || option("acpi") != "0"
        || parse(Qemu, "agent", &option("agent")).flag("enabled")
            && !cluster.faults.agent_down(guest.vmid)
}

/// The time is over and the guest still runs: it is an error unless it is to be stopped hard.
async fn give_up(worker: &Worker, who: &Who, wait: Duration, force: bool) -> Result<(), Fail> {
    match (who.kind, force) {
        // The container's tool has killed it.
        (Lxc, true) => Ok(()),
        (Lxc, false) => {
            worker.log(format!(
                "command 'lxc-stop -n {} --nokill --timeout {}' failed: exit code 1",
                who.vmid,
                wait.as_secs()
            ));
            tokio::time::sleep(wait + CONTAINER_GRACE).await;
            Err(Fail::die("container did not stop"))
        }
        (Qemu, true) => {
            worker.log("VM still running - terminating now with SIGTERM");
            Ok(())
        }
        (Qemu, false) => Err(Fail::die("VM quit/powerdown failed - got timeout")),
    }
}
