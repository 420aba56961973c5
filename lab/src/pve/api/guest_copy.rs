//! Copies of guests: clones, full and linked.

use std::sync::Arc;

use super::guest_begin::{begin, finish, mark, unmark};
use super::guest_options::Place;
use super::{Act, Route};
use crate::fixture::GuestKind::{self, Lxc, Qemu};
use crate::pve::answer::{Fail, Outcome};
use crate::pve::auth::uuid;
use crate::pve::cluster::{Call, Cluster};
use crate::pve::guest::disk::{self, Wanted};
use crate::pve::guest::{
    Naming, check_lock, check_unused, find, is_indexed, mac, of, parse, print, snapshot,
};
use crate::pve::params::plain;
use crate::pve::state::{Config, Guest, State};
use crate::pve::worker::{Begun, Worker};

pub(super) const ROUTES: &[Route] = &[
    (
        "POST",
        "/nodes/{node}/lxc/{vmid}/clone",
        Act::Now(|call, state| clone(call, state, Lxc)),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/clone",
        Act::Now(|call, state| clone(call, state, Qemu)),
    ),
];

/// What a clone is to be.
struct Plan {
    kind: GuestKind,
    node: String,
    target: String,
    from: u32,
    to: u32,
    snapshot: Option<String>,
    full: bool,
    running: bool,
    storage: Option<String>,
    format: Option<String>,
    name: Option<String>,
    description: Option<String>,
    pool: Option<String>,
}

fn plan(call: &Call, guest: &Guest, kind: GuestKind) -> Plan {
    let params = &call.params;
    Plan {
        kind,
        node: call.node(),
        target: params.text("target").unwrap_or_else(|| call.node()),
        from: call.vmid(),
        to: params
            .int("newid")
            .and_then(|to| u32::try_from(to).ok())
            .unwrap_or_default(),
        snapshot: params.text("snapname").filter(|name| name != "current"),
        full: params.flag_or("full", !guest.is_template()),
        running: guest.is_running(),
        storage: params.text("storage"),
        format: params.text("format"),
        name: params.text(if kind == Lxc { "hostname" } else { "name" }),
        description: params.text("description"),
        pool: params.text("pool"),
    }
}

fn clone(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let params = &call.params;
    let target = params.text("target").unwrap_or_else(|| call.node());
    if state.node(&target).is_none() {
        return Err(Fail::die(format!("node '{target}' does not exist")));
    }
    if let Some(pool) = params
        .text("pool")
        .filter(|pool| !state.access.pools.contains_key(pool))
    {
        return Err(Fail::forbidden(&format!("pool '{pool}' does not exist")));
    }
    let guest = of(call, state, kind)?;
    check_lock(guest)?;
    let plan = plan(call, guest, kind);
    if kind == Lxc {
        check_unused(state, plan.to)?;
    }
    refuse(call, state, guest, &plan)?;
    if kind == Qemu {
        check_unused(state, plan.to).map_err(|_| {
            let to = plan.to;
            Fail::die(format!(
                "unable to create VM {to}: config file already exists"
            ))
        })?;
    }
    let from = plan.from;
    // The containers are marked when the call returns (pve-container, `API2/LXC.pm`, `clone_vm`), a new machine by the
    // worker (qemu-server, `API2/Qemu.pm`, `clone_vm`).
    let begun = match kind {
        Lxc => Some(begin_copy(&call.cluster, state, &plan)?),
        Qemu => None,
    };
    call.seen_task(
        state,
        &kind.task("clone"),
        &from.to_string(),
        move |worker| async move { make(&worker, &plan, begun).await },
    )
}

/// What can be known before anything is copied. The texts and their order are those of the two `clone_vm`.
fn refuse(call: &Call, state: &State, guest: &Guest, plan: &Plan) -> Result<(), Fail> {
    let config = match &plan.snapshot {
        Some(name) => &snapshot(guest, name)?.config,
        None => &guest.config,
    };
    for (name, given) in [("storage", &plan.storage), ("format", &plan.format)] {
        if !plan.full && given.is_some() {
            return Err(Fail::die(format!(
                "parameter '{name}' not allowed for linked clones"
            )));
        }
    }
    if let Some(storage) = &plan.storage {
        let path = format!("/storage/{storage}");
        call.check(state, &path, &["Datastore.AllocateSpace"])?;
        disk::check_storage(state, &plan.target, storage, disk::content(plan.kind))?;
    }
    for (option, volid) in disk::disks(plan.kind, config) {
        if is_indexed(&option, "unused") {
            continue;
        }
        let own = volid.split(':').next().unwrap_or_default();
        if plan.storage.is_none() {
            let path = format!("/storage/{own}");
            call.check(state, &path, &["Datastore.AllocateSpace"])?;
        }
        copyable(state, plan, &option, &volid)?;
    }
    let bind = config.iter().find(|(option, value)| {
        plan.kind == Lxc
            && is_indexed(option, "mp")
            && plain(value).is_some_and(|text| text.starts_with('/'))
    });
    match bind {
        Some((option, value)) => {
            let text = plain(value).unwrap_or_default();
            let kind = if text.starts_with("/dev/") {
                "device"
            } else {
                "bind"
            };
            Err(Fail::die(format!(
                "unable to clone mountpoint '{option}' (type {kind})"
            )))
        }
        None => Ok(()),
    }
}

/// Whether a disk can be copied, or linked, from where it is.
fn copyable(state: &State, plan: &Plan, option: &str, volid: &str) -> Result<(), Fail> {
    if plan.kind == Lxc && plan.full && plan.running && plan.snapshot.is_none() {
        return Err(Fail::die(
            "Full clone of a running container is only possible from a snapshot",
        ));
    }
    let Some(storage) = volid
        .split_once(':')
        .and_then(|(storage, _)| state.storage(storage))
    else {
        return Ok(());
    };
    let from_snapshot = plan.snapshot.is_some();
    let drawn = volid.contains("cloudinit") || option == "tpmstate0";
    let can = if plan.full || plan.kind == Qemu && drawn {
        storage.copies(volid, from_snapshot)
    } else {
        storage.links(plan.kind, volid, from_snapshot)
    };
    if can {
        return Ok(());
    }
    Err(Fail::die(match plan.kind {
        Lxc if plan.full => return Ok(()),
        Lxc => format!("Linked clone feature for '{volid}' is not available"),
        Qemu => format!(
            "{} clone feature is not supported for{} '{volid}' ({option})",
            if plan.full || drawn { "Full" } else { "Linked" },
            if from_snapshot { " a snapshot of" } else { "" },
        ),
    }))
}

/// The source and the copy of a container, marked.
fn begin_copy(cluster: &Arc<Cluster>, state: &mut State, plan: &Plan) -> Result<[Begun; 2], Fail> {
    let source = mark(cluster, state, plan.kind, &plan.node, plan.from, "disk")?;
    let copy = begin(cluster, state, plan.kind, &plan.target, plan.to)?;
    let mut config = bare(state, plan)?;
    config.retain(|option, _| !disk::is_disk(plan.kind, option));
    config.insert("lock".into(), "create".into());
    if let Some(guest) = state.guests.get_mut(&plan.to) {
        guest.config = config;
    }
    Ok([source, copy])
}

/// What the copy keeps of its source, with its own identity. Without a name a container has its source's, a machine is
/// called a copy (the two `clone_vm`).
fn bare(state: &State, plan: &Plan) -> Result<Config, Fail> {
    let source = find(state, plan.kind, &plan.node, plan.from)?;
    let mut config = match &plan.snapshot {
        Some(name) => snapshot(source, name)?.config.clone(),
        None => source.config.clone(),
    };
    config.retain(|option, _| {
        !matches!(option.as_str(), "parent" | "lock" | "template" | "snaptime")
            && !is_indexed(option, "unused")
    });
    fresh_identity(plan.kind, &mut config);
    match (plan.kind, &plan.name) {
        (Lxc, Some(name)) => drop(config.insert("hostname".into(), name.clone().into())),
        (Lxc, None) => {}
        (Qemu, Some(name)) => drop(config.insert("name".into(), name.clone().into())),
        (Qemu, None) => {
            let name = config.get("name").and_then(plain);
            let name = name.unwrap_or_else(|| plan.from.to_string());
            config.insert("name".into(), format!("Copy-of-VM-{name}").into());
        }
    }
    if let Some(text) = &plan.description {
        let text = super::guest_options::described(plan.kind, text);
        config.insert("description".into(), text.into());
    }
    Ok(config)
}

async fn make(worker: &Worker, plan: &Plan, begun: Option<[Begun; 2]>) -> Result<(), Fail> {
    let cluster = &worker.cluster;
    let mut begun: Vec<Begun> = begun
        .into_iter()
        .flatten()
        .map(|begun| begun.of(worker))
        .collect();
    let what = if plan.kind == Lxc { "container" } else { "VM" };
    // A machine's file is locked while it is copied, a container has its mark.
    let held = match plan.kind {
        Qemu => Some(cluster.guest_lock(Qemu, plan.from).await?),
        Lxc => None,
    };
    if plan.kind == Qemu {
        let mut state = cluster.lock();
        check_lock(find(&state, Qemu, &plan.node, plan.from)?)?;
        check_unused(&state, plan.to)?;
        let copy = begin(cluster, &mut state, Qemu, &plan.target, plan.to)?;
        if let Some(guest) = state.guests.get_mut(&plan.to) {
            guest.config.insert("lock".into(), "clone".into());
        }
        begun.push(copy.of(worker));
    }
    worker.log(format!(
        "creating a clone of {what} {} with ID {}",
        plan.from, plan.to
    ));
    let failed = |fail: Fail| Fail::die(format!("clone failed: {}", fail.line()));
    worker.pace().await.map_err(failed)?;
    let copied = {
        let mut state = cluster.lock();
        let is_running = find(&state, plan.kind, &plan.node, plan.from)?.is_running();
        if is_running != plan.running {
            return Err(Fail::die("unexpected state change"));
        }
        copy(&mut state, plan, cluster.now()).map_err(failed)
    };
    for line in copied? {
        worker.log(line);
    }
    begun.into_iter().for_each(Begun::done);
    drop(held);
    cluster.hooks.cloned(plan.from, plan.to).await;
    Ok(())
}

/// Makes the copy's disks and takes the marks away. Returns what the log says of them.
fn copy(state: &mut State, plan: &Plan, now: i64) -> Result<Vec<String>, Fail> {
    let mut config = bare(state, plan)?;
    let mut lines = Vec::new();
    for (option, volid) in disk::disks(plan.kind, &config.clone()) {
        let (value, linked) = copy_disk(state, plan, &config, &option, &volid, now)?;
        config.insert(option.clone(), value.into());
        lines.push(match (plan.kind, linked) {
            (Lxc, false) => format!("create full clone of mountpoint {option} ({volid})"),
            (Lxc, true) => format!("create linked clone of mount point {option} ({volid})"),
            (Qemu, false) => format!("create full clone of drive {option} ({volid})"),
            (Qemu, true) => format!("create linked clone of drive {option} ({volid})"),
        });
    }
    let place = Place {
        kind: plan.kind,
        node: &plan.target,
        vmid: plan.to,
        now,
    };
    finish(state, &place, config, plan.pool.as_deref());
    unmark(state, plan.from, "disk");
    Ok(lines)
}

/// A disk of the copy: linked to the base or snapshot, or a volume of its own. Returns the option's value and whether it
/// is linked.
fn copy_disk(
    state: &mut State,
    plan: &Plan,
    config: &Config,
    option: &str,
    volid: &str,
    now: i64,
) -> Result<(String, bool), Fail> {
    let text = config.get(option).and_then(plain).unwrap_or_default();
    let source = state
        .volumes
        .iter()
        .find(|volume| volume.volid == volid)
        .cloned();
    let source = source.ok_or_else(|| Fail::die(format!("volume '{volid}' does not exist")))?;
    let own = volid.split(':').next().unwrap_or_default().to_owned();
    let storage = plan.storage.clone().unwrap_or(own);
    let cloudinit = volid.contains("cloudinit");
    let format = plan.format.clone().unwrap_or_else(|| source.format.clone());
    let wanted = Wanted {
        node: &plan.target,
        storage: &storage,
        kind: plan.kind,
        vmid: plan.to,
        bytes: source.size,
        format: Some(&format),
        now,
    };
    let linked = !plan.full && !cloudinit && option != "tpmstate0";
    let new = match (linked, cloudinit) {
        (_, true) => super::guest_options::cloudinit_volume(state, &wanted)?,
        (false, false) => disk::alloc(state, &wanted)?,
        (true, false) => disk::link(state, volid, &wanted)?,
    };
    let mut values = parse(plan.kind, option, &text);
    values.set(if plan.kind == Lxc { "volume" } else { "file" }, new);
    if plan.kind == Qemu || values.has("size") {
        let bytes = if cloudinit { 4 << 20 } else { source.size };
        values.set("size", disk::size_text(bytes));
    }
    Ok((print(plan.kind, option, &values), linked))
}

/// New addresses and identifiers, as a copy must not share them.
fn fresh_identity(kind: GuestKind, config: &mut Config) {
    let nets: Vec<String> = config
        .keys()
        .filter(|option| is_indexed(option, "net"))
        .cloned()
        .collect();
    for option in nets {
        let mut net = parse(
            kind,
            &option,
            &config.get(&option).and_then(plain).unwrap_or_default(),
        );
        net.set(if kind == Lxc { "hwaddr" } else { "macaddr" }, mac());
        config.insert(option.clone(), print(kind, &option, &net).into());
    }
    if kind == Qemu {
        if config.contains_key("vmgenid") {
            config.insert("vmgenid".into(), uuid().into());
        }
        let mut smbios = parse(
            Qemu,
            "smbios1",
            &config.get("smbios1").and_then(plain).unwrap_or_default(),
        );
        smbios.set("uuid", uuid());
        config.insert("smbios1".into(), print(Qemu, "smbios1", &smbios).into());
    }
}
