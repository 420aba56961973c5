//! Creating a virtual machine, or restoring one from a backup.

use serde_json::Value;

use super::guest_begin::{begin, finish, free_disks, or_no_volumes};
use super::guest_options::{Place, fill};
use super::{Act, Route};
use crate::fixture::GuestKind::Qemu;
use crate::pve::answer::{Fail, Outcome};
use crate::pve::auth::uuid;
use crate::pve::cluster::Call;
use crate::pve::guest::disk::{self, new_disk};
use crate::pve::guest::rights::{self, Wish, may_create};
use crate::pve::guest::{check_unused, is_indexed, parse};
use crate::pve::params::{Params, plain};
use crate::pve::state::{Config, State};
use crate::pve::worker::{Begun, Worker};

pub(super) const ROUTES: &[Route] = &[("POST", "/nodes/{node}/qemu", Act::Now(create))];

/// Parameters of the call that are no options of the machine.
const NOT_OPTIONS: [&str; 13] = [
    "node",
    "vmid",
    "archive",
    "storage",
    "force",
    "unique",
    "bwlimit",
    "pool",
    "start",
    "live-restore",
    "import-working-storage",
    "ha-managed",
    "skiplock",
];
/// The QEMU the lab answers as.
const QEMU: &str = "10.1.2";

struct Plan {
    node: String,
    vmid: u32,
    archive: Option<String>,
    storage: Option<String>,
    set: Params,
    pool: Option<String>,
    start: bool,
    force: bool,
}

fn create(call: &Call, state: &mut State) -> Outcome {
    let params = &call.params;
    let (node, vmid) = (call.node(), call.vmid());
    let (pool, archive) = (params.text("pool"), params.text("archive"));
    may_create(call, state, vmid, pool.as_deref())?;
    let mut set = Params::new();
    for (option, value) in params
        .iter()
        .filter(|(option, _)| !NOT_OPTIONS.contains(option))
    {
        set.set(option, value.clone());
    }
    let wish = Wish {
        kind: Qemu,
        vmid,
        pool: pool.as_deref(),
        set: &set,
        delete: &[],
        before: None,
        unprivileged: false,
    };
    rights::check(call, state, &wish)?;
    let force = params.flag("force");
    let failed = |fail: Fail| {
        Fail::die(format!(
            "unable to {} VM {vmid} - {}",
            if archive.is_some() {
                "restore"
            } else {
                "create"
            },
            fail.line()
        ))
    };
    for (option, value) in set.iter().filter(|(option, _)| disk::is_disk(Qemu, option)) {
        let volume =
            disk::volume_of(Qemu, option, &plain(value).unwrap_or_default()).unwrap_or_default();
        let storage = match new_disk(&volume) {
            Some((storage, _)) => storage,
            None => volume.split_once(':').map_or("", |(storage, _)| storage),
        };
        if !storage.is_empty() && state.storage(storage).is_none() {
            return Err(Fail::die(format!("storage '{storage}' does not exist")));
        }
    }
    match state.guests.get(&vmid) {
        Some(guest) if force && archive.is_some() && guest.kind == Qemu => {
            if guest.is_running() {
                return Err(Fail::die(format!(
                    "unable to restore VM {vmid} - vm is running"
                )));
            }
        }
        _ => check_unused(state, vmid).map_err(failed)?,
    }
    for (option, value) in set.iter().filter(|(option, _)| disk::is_disk(Qemu, option)) {
        let volume =
            disk::volume_of(Qemu, option, &plain(value).unwrap_or_default()).unwrap_or_default();
        if let Some((storage, _)) = new_disk(&volume) {
            disk::check_storage(state, &node, storage, "images")?;
        }
    }
    let begun = begin(&call.cluster, state, Qemu, &node, vmid).map_err(failed)?;
    let kind = if archive.is_some() {
        "qmrestore"
    } else {
        "qmcreate"
    };
    let plan = Plan {
        node,
        vmid,
        archive,
        storage: params.text("storage"),
        set,
        pool,
        start: params.flag("start"),
        force,
    };
    call.seen_task(state, kind, &vmid.to_string(), move |worker| {
        make(worker, plan, begun)
    })
}

async fn make(worker: Worker, plan: Plan, begun: Begun) -> Result<(), Fail> {
    let what = if plan.archive.is_some() {
        "restore"
    } else {
        "create"
    };
    let failed = |fail: Fail| {
        Fail::die(format!(
            "unable to {what} VM {} - {}",
            plan.vmid,
            fail.line()
        ))
    };
    let (begun, cluster) = (begun.of(&worker), worker.cluster.clone());
    worker.pace().await.map_err(failed)?;
    {
        let _held = cluster.guest_lock(Qemu, plan.vmid).await?;
        let now = cluster.now();
        let mut state = cluster.lock();
        if plan.force {
            free_disks(&mut state, Qemu, plan.vmid).map_err(failed)?;
        }
        let place = Place {
            kind: Qemu,
            node: &plan.node,
            vmid: plan.vmid,
            now,
        };
        let config = or_no_volumes(&mut state, plan.vmid, |state| config(state, &place, &plan))
            .map_err(failed)?;
        let disks = disk::disks(Qemu, &config);
        finish(&mut state, &place, config, plan.pool.as_deref());
        drop(state);
        for (option, volid) in disks {
            worker.log(format!("{option}: successfully created disk '{volid}'"));
        }
    }
    begun.done();
    cluster.hooks.created(plan.vmid, Qemu).await;
    if let Some(archive) = &plan.archive {
        cluster.hooks.restored(plan.vmid, archive).await;
    }
    if plan.start {
        super::guest_power::boot(&cluster, Qemu, &plan.node, plan.vmid, false).await?;
    }
    Ok(())
}

/// The machine's configuration, its volumes made.
fn config(state: &mut State, place: &Place<'_>, plan: &Plan) -> Result<Config, Fail> {
    let mut config = Config::new();
    let mut set = plan.set.clone();
    if let Some(archive) = &plan.archive {
        let saved = state
            .volume(&plan.node, archive)
            .ok_or_else(|| Fail::die(format!("volume '{archive}' does not exist")))?;
        let payload = saved
            .payload
            .as_ref()
            .and_then(|payload| payload.get("config"))
            .and_then(Value::as_object)
            .cloned();
        for (option, value) in payload.unwrap_or_default() {
            if matches!(option.as_str(), "lock" | "parent") || set.has(&option) {
                continue;
            }
            let text = plain(&value)
                .filter(|text| disk::is_disk(Qemu, &option) && !text.contains("media=cdrom"));
            match text {
                Some(text) => set.set(&option, anew(&option, &text, plan.storage.as_deref())),
                None => {
                    config.insert(option, value);
                }
            }
        }
        // A copy beside its original has addresses of its own only when asked; what was saved stays.
    }
    fill(state, place, &set, &mut config)?;
    if plan.archive.is_none() {
        let mut boot: Vec<&String> = config
            .keys()
            .filter(|option| disk::is_disk(Qemu, option) || is_indexed(option, "net"))
            .collect();
        boot.sort();
        let order = boot_order(&config, &boot);
        config.entry("boot").or_insert(order.into());
        config.entry("vmgenid").or_insert(uuid().into());
        config
            .entry("smbios1")
            .or_insert(format!("uuid={}", uuid()).into());
        config.insert(
            "meta".into(),
            format!("creation-qemu={QEMU},ctime={}", place.now).into(),
        );
    }
    if config.get("vmgenid").and_then(plain).as_deref() == Some("1") {
        config.insert("vmgenid".into(), uuid().into());
    }
    config.shift_remove("lock");
    Ok(config)
}

/// What a machine boots from when nothing was said: its first disk, then its drives, then the network.
fn boot_order(config: &Config, options: &[&String]) -> String {
    let text = |option: &&&String| {
        config
            .get(option.as_str())
            .and_then(plain)
            .unwrap_or_default()
    };
    let disk_option = |option: &&&String| {
        disk::is_disk(Qemu, option) && !matches!(option.as_str(), "efidisk0" | "tpmstate0")
    };
    let first = options
        .iter()
        .filter(disk_option)
        .find(|option| !text(option).contains("media=cdrom"));
    let drive = options
        .iter()
        .filter(disk_option)
        .find(|option| text(option).contains("media=cdrom") && !text(option).contains("cloudinit"));
    let net = options.iter().find(|option| is_indexed(option, "net"));
    let order: Vec<&str> = [first, drive, net]
        .into_iter()
        .flatten()
        .map(|option| option.as_str())
        .collect();
    if order.is_empty() {
        " ".into()
    } else {
        format!("order={}", order.join(";"))
    }
}

/// A disk of a backup as a request for a new one of its size.
fn anew(option: &str, text: &str, storage: Option<&str>) -> String {
    let mut values = parse(Qemu, option, text);
    let file = values.text("file").unwrap_or_default();
    let storage = storage
        .unwrap_or_else(|| file.split(':').next().unwrap_or_default())
        .to_owned();
    let bytes = values
        .text("size")
        .and_then(|size| crate::pve::state::parse_size(&size))
        .unwrap_or(1 << 30);
    values.set(
        "file",
        format!("{storage}:{}", bytes as f64 / f64::from(1u32 << 30)),
    );
    values.remove("size");
    if file.ends_with(".qcow2") {
        values.set("format", "qcow2");
    }
    crate::pve::guest::print(Qemu, option, &values)
}
