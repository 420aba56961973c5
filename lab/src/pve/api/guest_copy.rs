//! Copies of guests: clones, full and linked, and turning a guest into a template.

use super::{Act, Route};
use crate::fixture::GuestKind::{self, Lxc, Qemu};
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::auth::uuid;
use crate::pve::cluster::{Call, Cluster};
use crate::pve::guest::disk::{self, Wanted};
use crate::pve::guest::{
    Naming, check_lock, check_unused, find, find_mut, is_indexed, mac, of, parse, print, snapshot,
};
use crate::pve::params::plain;
use crate::pve::state::{Config, Guest, State};

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

/// What a clone is to be.
struct Plan {
    kind: GuestKind,
    node: String,
    target: String,
    from: u32,
    to: u32,
    snapshot: Option<String>,
    full: bool,
    storage: Option<String>,
    format: Option<String>,
    name: Option<String>,
    description: Option<String>,
    pool: Option<String>,
}

fn clone(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let params = &call.params;
    let (node, from) = (call.node(), call.vmid());
    let to = params
        .int("newid")
        .and_then(|to| u32::try_from(to).ok())
        .unwrap_or_default();
    let target = params.text("target").unwrap_or_else(|| node.clone());
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
    let name = params.text("snapname").filter(|name| name != "current");
    let config = match &name {
        Some(name) => &snapshot(guest, name)?.config,
        None => &guest.config,
    };
    let full = params.flag_or("full", !guest.is_template());
    if !full && !guest.is_template() && name.is_none() {
        return Err(Fail::die(
            "Linked clone feature is not supported for this guest: it is no template",
        ));
    }
    if !full && params.has("storage") {
        return Err(Fail::die(
            "parameter 'storage' not allowed for linked clones",
        ));
    }
    if kind == Lxc && full && guest.is_running() && name.is_none() {
        return Err(Fail::die(
            "Full clone of a running container is only possible from a snapshot",
        ));
    }
    if let Some(storage) = params.text("storage") {
        call.check(
            state,
            &format!("/storage/{storage}"),
            &["Datastore.AllocateSpace"],
        )?;
        disk::check_storage(state, &target, &storage, disk::content(kind))?;
    } else {
        for (_, volid) in disk::disks(kind, config) {
            let storage = volid.split(':').next().unwrap_or_default();
            call.check(
                state,
                &format!("/storage/{storage}"),
                &["Datastore.AllocateSpace"],
            )?;
        }
    }
    check_unused(state, to).map_err(|fail| match kind {
        Lxc => fail,
        Qemu => Fail::die(format!(
            "unable to create VM {to}: config file already exists"
        )),
    })?;
    let plan = Plan {
        kind,
        node,
        target,
        from,
        to,
        snapshot: name,
        full,
        storage: params.text("storage"),
        format: params.text("format"),
        name: params.text(if kind == Lxc { "hostname" } else { "name" }),
        description: params.text("description"),
        pool: params.text("pool"),
    };
    call.task(
        state,
        &kind.task("clone"),
        &from.to_string(),
        move |worker| async move {
            let held = worker.cluster.guest_lock(kind, from).await?;
            worker.log(if plan.full {
                "create full clone"
            } else {
                "create linked clone"
            });
            copy(&worker.cluster, &plan)?;
            drop(held);
            worker.cluster.hooks.cloned(from, plan.to).await;
            Ok(())
        },
    )
}

fn copy(cluster: &Cluster, plan: &Plan) -> Result<(), Fail> {
    let now = cluster.now();
    let mut state = cluster.lock();
    let source = find(&state, plan.kind, &plan.node, plan.from)?.clone();
    check_unused(&state, plan.to)?;
    let mut config = match &plan.snapshot {
        Some(name) => snapshot(&source, name)?.config.clone(),
        None => source.config.clone(),
    };
    config.retain(|option, _| {
        !matches!(
            option.as_str(),
            "parent" | "lock" | "template" | "description" | "snaptime"
        ) && !is_indexed(option, "unused")
    });
    let mut made = Vec::new();
    for (option, volid) in disk::disks(plan.kind, &config.clone()) {
        match copy_disk(&mut state, plan, &config, &option, &volid, now) {
            Ok((value, new)) => {
                made.push(new);
                config.insert(option, value.into());
            }
            Err(fail) => {
                state.volumes.retain(|volume| !made.contains(&volume.volid));
                return Err(Fail::die(format!("clone failed: {}", fail.line())));
            }
        }
    }
    fresh_identity(plan.kind, &mut config);
    match (plan.kind, &plan.name) {
        (Lxc, Some(name)) => config.insert("hostname".into(), name.clone().into()),
        (Lxc, None) => config.insert(
            "hostname".into(),
            format!("Copy-of-CT-{}", source.name()).into(),
        ),
        (Qemu, Some(name)) => config.insert("name".into(), name.clone().into()),
        (Qemu, None) => config.insert(
            "name".into(),
            format!("Copy-of-VM-{}", source.name()).into(),
        ),
    };
    if let Some(text) = &plan.description {
        config.insert(
            "description".into(),
            super::guest_config::described(plan.kind, text).into(),
        );
    }
    let mut guest = Guest::new(plan.kind, plan.to, &plan.target, config);
    guest.created = now;
    state.guests.insert(plan.to, guest);
    if let Some(pool) = plan
        .pool
        .as_ref()
        .and_then(|pool| state.access.pools.get_mut(pool))
    {
        pool.vms.insert(plan.to);
    }
    Ok(())
}

/// A disk of the copy: linked to the template's base, or a volume of its own. Returns the option's value and the volume.
fn copy_disk(
    state: &mut State,
    plan: &Plan,
    config: &Config,
    option: &str,
    volid: &str,
    now: i64,
) -> Result<(String, String), Fail> {
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
    let base = volid.contains("base-") || volid.contains("basevol-");
    let new = match (plan.full || !base, cloudinit) {
        (_, true) => super::guest_config::cloudinit_volume(state, &wanted)?,
        (true, false) => disk::alloc(state, &wanted)?,
        (false, false) => disk::link(state, volid, &wanted)?,
    };
    let mut values = parse(plan.kind, option, &text);
    values.set(
        if plan.kind == Lxc { "volume" } else { "file" },
        new.clone(),
    );
    if plan.kind == Qemu || values.has("size") {
        let bytes = if cloudinit { 4 << 20 } else { source.size };
        values.set("size", disk::size_text(bytes));
    }
    Ok((print(plan.kind, option, &values), new))
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
    if guest.is_template() {
        return Err(Fail::die("you can't convert a template to a template"));
    }
    if guest.is_running() {
        return Err(Fail::die(match kind {
            Lxc => format!("you can't convert a container to a template if it's running ({vmid})"),
            Qemu => "you can't convert a VM to template if VM is running vm".to_owned(),
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
