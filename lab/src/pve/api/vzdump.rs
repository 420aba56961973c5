//! One-off backups: each guest's configuration goes into a volume, its files follow through the hooks.

use serde_json::{Value, json};

use super::guest_begin::{mark, unmark};
use super::prune::{self, Keep, Scope};
use super::{Act, Route};
use crate::fixture::GuestKind::{self, Lxc};
use crate::pve::answer::{Fail, Outcome};
use crate::pve::cluster::Call;
use crate::pve::guest::{Naming, disk};
use crate::pve::params::{Params, plain, split_list};
use crate::pve::state::{Guest, State, Volume};
use crate::pve::worker::Worker;

pub(super) const ROUTES: &[Route] = &[
    ("POST", "/nodes/{node}/vzdump", Act::Now(vzdump)),
    (
        "GET",
        "/nodes/{node}/vzdump/extractconfig",
        Act::Now(extract),
    ),
];

/// What is to be backed up, and how.
struct Plan {
    node: String,
    storage: String,
    guests: Vec<u32>,
    compress: String,
    mode: String,
    notes: Option<String>,
    protected: bool,
    /// Older backups are pruned by this; none where nothing is said.
    keep: Option<Keep>,
}

fn vzdump(call: &Call, state: &mut State) -> Outcome {
    let params = &call.params;
    let node = call.node();
    if params.flag("stop") {
        return Ok(Value::Null.into());
    }
    let conflict = |key: &str, with: &str| {
        Err(Fail::param(
            key,
            format!("option conflicts with option '{with}'"),
        ))
    };
    let by_list = params.has("vmid");
    match () {
        () if params.flag("all") && by_list => return conflict("all", "vmid"),
        () if params.has("exclude") && by_list => return conflict("exclude", "vmid"),
        () if params.has("pool") && by_list => return conflict("pool", "vmid"),
        () if !(by_list || params.flag("all") || params.has("pool") || params.has("exclude")) => {
            return Err(Fail::param("vmid", "property is missing"));
        }
        () => {}
    }
    for option in ["tmpdir", "dumpdir", "script"] {
        if params.has(option) && !call.caller.is_root() {
            return Err(Fail::param(option, "Only root may set this option."));
        }
    }
    let storage = params.text("storage").unwrap_or_else(|| "local".into());
    call.check(
        state,
        &format!("/storage/{storage}"),
        &["Datastore.AllocateSpace"],
    )?;
    match state.storage(&storage) {
        None => {
            return Err(Fail::die(format!(
                "could not get storage information for '{storage}': storage '{storage}' does not exist"
            )));
        }
        Some(found) if !found.holds("backup") => {
            return Err(Fail::die(
                "can't use storage for backups - wrong content type",
            ));
        }
        // It is looked at as a whole before a worker is begun.
        Some(_) => disk::check_storage(state, &node, &storage, "backup").map_err(|fail| {
            let why = fail.line();
            Fail::die(format!(
                "could not get storage information for '{storage}': {why}"
            ))
        })?,
    }
    let guests = chosen(call, state, params, &node)?;
    let remove = !params.has("remove") || params.flag("remove");
    let plan = Plan {
        node,
        storage,
        guests: guests.clone(),
        compress: params.text("compress").unwrap_or_else(|| "0".into()),
        mode: params.text("mode").unwrap_or_else(|| "snapshot".into()),
        notes: params.text("notes-template"),
        protected: params.flag("protected"),
        keep: params
            .text("prune-backups")
            .filter(|_| remove)
            .map(|text| Keep::parse(&text)),
    };
    let id = if guests.len() == 1 {
        guests[0].to_string()
    } else {
        String::new()
    };
    call.seen_task(state, "vzdump", &id, move |worker| async move {
        run(&worker, &plan).await
    })
}

/// The guests a call means: those it names must be the caller's to back up, of all others only those are taken.
fn chosen(call: &Call, state: &State, params: &Params, node: &str) -> Result<Vec<u32>, Fail> {
    if params.has("vmid") {
        let mut all = Vec::new();
        for vmid in params
            .list("vmid")
            .iter()
            .filter_map(|vmid| vmid.parse::<u32>().ok())
        {
            call.check(state, &format!("/vms/{vmid}"), &["VM.Backup"])?;
            all.push(vmid);
        }
        return Ok(all);
    }
    let excluded = split_list(&params.text("exclude").unwrap_or_default());
    let pool = params.text("pool");
    let mine = state.guests.values().filter(|guest| {
        guest.node == node
            && !excluded.contains(&guest.vmid.to_string())
            && pool
                .as_deref()
                .is_none_or(|pool| state.pool_of(guest.vmid) == Some(pool))
            && call.may(state, &format!("/vms/{}", guest.vmid), &["VM.Backup"])
    });
    Ok(mine.map(|guest| guest.vmid).collect())
}

async fn run(worker: &Worker, plan: &Plan) -> Result<(), Fail> {
    let list: Vec<String> = plan.guests.iter().map(u32::to_string).collect();
    worker.log(format!(
        "INFO: starting new backup job: vzdump {} --mode {} --storage {}",
        list.join(" "),
        plan.mode,
        plan.storage
    ));
    let mut failed = false;
    for vmid in &plan.guests {
        match one(worker, plan, *vmid).await {
            Ok(volid) => worker.cluster.hooks.backed_up(*vmid, &volid).await,
            Err(fail) => {
                failed = true;
                worker.log(format!(
                    "ERROR: Backup of VM {vmid} failed - {}",
                    fail.line()
                ));
            }
        }
    }
    if failed {
        worker.log("INFO: Backup job finished with errors");
        return Err(Fail::die("job errors"));
    }
    worker.log("INFO: Backup job finished successfully");
    Ok(())
}

fn kind_name(kind: GuestKind) -> &'static str {
    if kind == Lxc { "lxc" } else { "qemu" }
}

async fn one(worker: &Worker, plan: &Plan, vmid: u32) -> Result<String, Fail> {
    let cluster = &worker.cluster;
    let found = cluster
        .lock()
        .guests
        .get(&vmid)
        .filter(|guest| guest.node == plan.node)
        .map(|guest| (guest.kind, guest.is_running()));
    let (kind, running) = found.ok_or_else(|| Fail::die(format!("unable to find VM '{vmid}'")))?;
    worker.log(format!(
        "INFO: Starting Backup of VM {vmid} ({})",
        kind_name(kind)
    ));
    worker.log(format!(
        "INFO: status = {}",
        if running { "running" } else { "stopped" }
    ));
    let guest = {
        let _held = cluster.guest_lock(kind, vmid).await?;
        let guest = cluster.lock().guests.get(&vmid).cloned();
        guest.ok_or_else(|| Fail::die(format!("unable to find VM '{vmid}'")))?
    };
    let begun = mark(
        cluster,
        &mut cluster.lock(),
        kind,
        &plan.node,
        vmid,
        "backup",
    )?
    .of(worker);
    worker.pace().await?;
    let now = cluster.now();
    let (file, volid) = {
        let mut state = cluster.lock();
        let (file, volid, time) = archive(&state, plan, &guest, now);
        let volume = volume(&state, plan, &guest, &volid, time);
        state.volumes.push(volume);
        (file, volid)
    };
    let mode = if running { plan.mode.as_str() } else { "stop" };
    worker.log(format!("INFO: backup mode: {mode}"));
    worker.log("INFO: ionice priority: 7");
    worker.log(format!("INFO: {} Name: {}", kind.word(), guest.name()));
    worker.log(format!("INFO: creating vzdump archive '{file}'"));
    if let Some(keep) = &plan.keep {
        prune_older(worker, plan, keep, kind, vmid).await;
    }
    unmark(&mut cluster.lock(), vmid, "backup");
    begun.done();
    worker.log(format!("INFO: Finished Backup of VM {vmid} (00:00:00)"));
    Ok(volid)
}

/// Prunes the guest's backups, the one that was just made among them.
async fn prune_older(worker: &Worker, plan: &Plan, keep: &Keep, kind: GuestKind, vmid: u32) {
    worker.log(format!(
        "INFO: prune older backups with retention: {}",
        keep.shown()
    ));
    let scope = Scope {
        node: plan.node.clone(),
        storage: plan.storage.clone(),
        kind: Some(kind_name(kind).to_owned()),
        vmid: Some(vmid),
    };
    let gone = prune::remove(&worker.cluster, &scope, keep).await;
    for volid in &gone {
        worker.log(format!("INFO: removing backup '{volid}'"));
    }
    let why = if gone.is_empty() {
        ""
    } else {
        " not covered by keep-retention policy"
    };
    worker.log(format!("INFO: pruned {} backup(s){why}", gone.len()));
}

/// The archive's file and volume id, and the time in its name.
fn archive(state: &State, plan: &Plan, guest: &Guest, now: i64) -> (String, String, i64) {
    let zone = state
        .node(&plan.node)
        .map_or("Etc/UTC", |node| node.timezone.as_str());
    let zone = jiff::tz::TimeZone::get(zone).unwrap_or(jiff::tz::TimeZone::UTC);
    let end = match (guest.kind, plan.compress.as_str()) {
        (Lxc, "zstd" | "1") => "tar.zst",
        (Lxc, "gzip") => "tar.gz",
        (Lxc, "lzo") => "tar.lzo",
        (Lxc, _) => "tar",
        (_, "zstd" | "1") => "vma.zst",
        (_, "gzip") => "vma.gz",
        (_, "lzo") => "vma.lzo",
        _ => "vma",
    };
    let mut at = now;
    loop {
        // Two backups in one second get different names, as their own lock would make them wait.
        let stamp = jiff::Timestamp::from_second(at)
            .unwrap_or_default()
            .to_zoned(zone.clone())
            .strftime("%Y_%m_%d-%H_%M_%S")
            .to_string();
        let name = format!(
            "backup/vzdump-{}-{}-{stamp}.{end}",
            kind_name(guest.kind),
            guest.vmid
        );
        let volid = format!("{}:{name}", plan.storage);
        if state.volume(&plan.node, &volid).is_none() {
            let file = state
                .storage(&plan.storage)
                .map(|storage| storage.file(&name))
                .unwrap_or_default();
            return (file, volid, at);
        }
        at += 1;
    }
}

fn volume(state: &State, plan: &Plan, guest: &Guest, volid: &str, now: i64) -> Volume {
    let notes = plan.notes.as_ref().map(|template| {
        let cluster = state
            .cluster_name
            .clone()
            .unwrap_or_else(|| "standalone node".into());
        let values = [
            ("guestname", guest.name()),
            ("vmid", guest.vmid.to_string()),
            ("node", plan.node.clone()),
            ("cluster", cluster),
        ];
        values
            .iter()
            .fold(template.replace("\\n", "\n"), |text, (key, value)| {
                text.replace(&format!("{{{{{key}}}}}"), value)
            })
    });
    let shared = state
        .storage(&plan.storage)
        .is_some_and(|storage| storage.shared);
    let size: u64 = disk::disks(guest.kind, &guest.config)
        .iter()
        .filter_map(|(option, _)| disk::size_of(&guest.config, option))
        .sum();
    let mut config = guest.config.clone();
    config.shift_remove("parent");
    Volume {
        volid: volid.to_owned(),
        node: (!shared).then(|| plan.node.clone()),
        content: "backup".into(),
        format: volid
            .rsplit('/')
            .next()
            .and_then(|file| file.split_once('.'))
            .map_or("tar", |(_, end)| end)
            .to_owned(),
        size: size / 16,
        used: size / 16,
        ctime: now,
        vmid: Some(guest.vmid),
        notes,
        protected: plan.protected,
        payload: Some(
            json!({"config": config, "text": guest.file_text(), "kind": kind_name(guest.kind)}),
        ),
        ..Volume::default()
    }
}

fn extract(call: &Call, state: &mut State) -> Outcome {
    let volid = call.text("volume");
    let volume = state
        .volume(&call.node(), &volid)
        .ok_or_else(|| Fail::die(format!("volume '{volid}' does not exist")))?;
    let storage = volume.storage().to_owned();
    if let Some(vmid) = volume.vmid {
        call.check(state, &format!("/vms/{vmid}"), &["VM.Backup"])?;
    }
    call.check_any(
        state,
        &format!("/storage/{storage}"),
        &["Datastore.AllocateSpace", "Datastore.Audit"],
    )?;
    let text = volume
        .payload
        .as_ref()
        .and_then(|payload| payload.get("text"))
        .and_then(plain);
    text.map(Into::into)
        .ok_or_else(|| Fail::die(format!("unable to extract configuration from '{volid}'")))
}
