//! Changing a guest's configuration: what is sent is checked, completed and queued; what can be applied is applied.

use super::guest_options::{Place, complete, ordered};
use super::{Act, Route};
use crate::fixture::GuestKind::{self, Lxc, Qemu};
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::{Call, Cluster};
use crate::pve::guest::disk::{self, new_disk};
use crate::pve::guest::rights::{self, Wish};
use crate::pve::guest::{Naming, change, check_lock, check_skiplock, find_mut, is_indexed, of};
use crate::pve::params::{Params, plain};
use crate::pve::schema::method;
use crate::pve::state::{Pending, State};

pub(super) const ROUTES: &[Route] = &[
    (
        "PUT",
        "/nodes/{node}/lxc/{vmid}/config",
        Act::Now(|call, state| put(call, state, Lxc)),
    ),
    (
        "PUT",
        "/nodes/{node}/qemu/{vmid}/config",
        Act::Now(|call, state| put(call, state, Qemu)),
    ),
    ("POST", "/nodes/{node}/qemu/{vmid}/config", Act::Now(post)),
];

/// Parameters of the call that are no options of the guest.
const NOT_OPTIONS: [&str; 9] = [
    "node",
    "vmid",
    "delete",
    "revert",
    "digest",
    "skiplock",
    "force",
    "background_delay",
    "import-working-storage",
];

/// What a call wants.
struct Change {
    kind: GuestKind,
    node: String,
    vmid: u32,
    set: Params,
    delete: Vec<String>,
    revert: Vec<String>,
    force: bool,
    skip_lock: bool,
}

fn change_of(call: &Call, kind: GuestKind) -> Result<Change, Fail> {
    let mut set = Params::new();
    for (option, value) in call
        .params
        .iter()
        .filter(|(option, _)| !NOT_OPTIONS.contains(option))
    {
        set.set(option, value.clone());
    }
    let change = Change {
        kind,
        node: call.node(),
        vmid: call.vmid(),
        set,
        delete: call.params.list("delete"),
        revert: call.params.list("revert"),
        force: call.params.flag("force"),
        skip_lock: check_skiplock(call)?,
    };
    if change.set.is_empty() && change.delete.is_empty() && change.revert.is_empty() {
        return Err(Fail::die("no options specified"));
    }
    for (name, options) in [("delete", &change.delete), ("revert", &change.revert)] {
        for option in options {
            let known = method(kind.template(), "POST")
                .is_some_and(|table| table.parameter(option).is_some())
                || is_indexed(option, "unused")
                || option == "parent";
            let own = !matches!(
                option.as_str(),
                "vmid"
                    | "node"
                    | "ostemplate"
                    | "password"
                    | "force"
                    | "start"
                    | "storage"
                    | "pool"
                    | "archive"
            );
            if !(known && own) {
                return Err(Fail::param(name, format!("unknown option '{option}'")));
            }
            if name == "delete" && change.set.has(option) {
                return Err(Fail::param(
                    "delete",
                    format!("you can't use '-{option}' and -delete {option}' at the same time"),
                ));
            }
        }
    }
    Ok(change)
}

/// All that is refused before anything changes.
fn verify(call: &Call, state: &State, change: &Change) -> Result<(), Fail> {
    let guest = of(call, state, change.kind)?;
    let pool = state.pool_of(change.vmid).map(str::to_owned);
    let unprivileged = guest.config.get("unprivileged").and_then(plain).as_deref() == Some("1");
    let wish = Wish {
        kind: change.kind,
        vmid: change.vmid,
        pool: pool.as_deref(),
        set: &change.set,
        delete: &change.delete,
        before: Some(guest),
        unprivileged,
    };
    rights::check(call, state, &wish)?;
    if call
        .params
        .text("digest")
        .is_some_and(|digest| digest != guest.digest())
    {
        return Err(Fail::die(match change.kind {
            Lxc => "detected modified configuration - file changed by other user? Try again.",
            Qemu => "checksum mismatch (file change by other user?)",
        }));
    }
    if !change.skip_lock {
        check_lock(guest)?;
    }
    for option in &change.delete {
        let protected = guest.config.get("protection").and_then(plain).as_deref() == Some("1");
        if protected && (disk::is_disk(change.kind, option) || is_indexed(option, "unused")) {
            let what = change.kind.word();
            return Err(Fail::die(format!(
                "can't remove {what} {} drive '{option}' - protection mode enabled",
                change.vmid
            )));
        }
        if change.kind == Lxc
            && matches!(
                option.as_str(),
                "rootfs" | "ostype" | "arch" | "unprivileged"
            )
        {
            return Err(Fail::die(format!(
                "unable to delete required option '{option}'"
            )));
        }
    }
    for (option, value) in change
        .set
        .iter()
        .filter(|(option, _)| disk::is_disk(change.kind, option))
    {
        let volume = disk::volume_of(change.kind, option, &plain(value).unwrap_or_default())
            .unwrap_or_default();
        if let Some((storage, _)) = new_disk(&volume) {
            disk::check_storage(state, &change.node, storage, disk::content(change.kind))?;
        } else if let Some((storage, _)) =
            volume.split_once(':').filter(|_| !volume.starts_with('/'))
            && state.storage(storage).is_none()
        {
            return Err(Fail::die(format!("storage '{storage}' does not exist")));
        }
    }
    Ok(())
}

/// Queues what was sent and applies what can be.
fn perform(cluster: &Cluster, state: &mut State, change: &Change) -> Result<(), Fail> {
    let now = cluster.now();
    let guest = find_mut(state, change.kind, &change.node, change.vmid)?;
    guest
        .pending
        .retain(|(option, _)| !change.revert.contains(option));
    for option in &change.delete {
        let known = guest.config.contains_key(option);
        if known {
            change::queue(
                guest,
                option,
                Pending::Delete {
                    force: change.force,
                },
            );
        }
    }
    for (option, value) in ordered(change.kind, &change.set) {
        let place = Place {
            kind: change.kind,
            node: &change.node,
            vmid: change.vmid,
            now,
        };
        let value = complete(state, &place, &option, &value)?;
        let guest = find_mut(state, change.kind, &change.node, change.vmid)?;
        // Setting what is so already takes a waiting change back.
        change::queue(guest, &option, Pending::Set(value));
    }
    change::report(change::apply(state, change.vmid))
}

fn put(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let change = change_of(call, kind)?;
    verify(call, state, &change)?;
    perform(&call.cluster, state, &change)?;
    Ok(Reply::null())
}

fn post(call: &Call, state: &mut State) -> Outcome {
    let change = change_of(call, Qemu)?;
    verify(call, state, &change)?;
    let vmid = change.vmid;
    call.task(
        state,
        "qmconfig",
        &vmid.to_string(),
        move |worker| async move {
            let _held = worker.cluster.guest_lock(Qemu, vmid).await?;
            let mut words: Vec<String> = change
                .set
                .iter()
                .map(|(option, value)| {
                    let text = if matches!(option, "cipassword" | "sshkeys") {
                        "<hidden>".into()
                    } else {
                        plain(value).unwrap_or_default()
                    };
                    format!("-{option} {text}")
                })
                .collect();
            if !change.delete.is_empty() {
                words.push(format!("-delete {}", change.delete.join(",")));
            }
            worker.log(format!("update VM {vmid}: {}", words.join(" ")));
            let mut state = worker.cluster.lock();
            perform(&worker.cluster, &mut state, &change)
        },
    )
}
