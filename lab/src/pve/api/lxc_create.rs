//! Creating a container from a template or a backup.

use serde_json::Value;

use super::guest_begin::{begin, finish, free_disks, or_no_volumes};
use super::guest_options::{Place, fill};
use super::{Act, Route};
use crate::fixture::GuestKind::Lxc;
use crate::pve::answer::{Fail, Outcome};
use crate::pve::cluster::Call;
use crate::pve::guest::disk::{self, new_disk};
use crate::pve::guest::rights::{self, Wish, may_create};
use crate::pve::guest::{check_unused, is_indexed, parse};
use crate::pve::params::{Params, plain};
use crate::pve::state::{Config, State};
use crate::pve::worker::{Begun, Worker};

pub(super) const ROUTES: &[Route] = &[("POST", "/nodes/{node}/lxc", Act::Now(create))];

/// Parameters of the call that are no options of the container.
const NOT_OPTIONS: [&str; 16] = [
    "node",
    "vmid",
    "ostemplate",
    "storage",
    "password",
    "ssh-public-keys",
    "force",
    "restore",
    "start",
    "pool",
    "bwlimit",
    "unique",
    "ignore-unpack-errors",
    "unprivileged",
    "ha-managed",
    "arch",
];
/// The size of a root file system that nobody asked for, in gibibytes.
const ROOTFS_GIB: &str = "4";
const KEY_TYPES: [&str; 9] = [
    "ssh-rsa",
    "ssh-dss",
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-ed25519-cert-v01@openssh.com",
];
const SYSTEMS: [&str; 11] = [
    "debian",
    "devuan",
    "ubuntu",
    "centos",
    "fedora",
    "opensuse",
    "archlinux",
    "alpine",
    "gentoo",
    "nixos",
    "rockylinux",
];

/// What is to be made.
struct Plan {
    node: String,
    vmid: u32,
    template: String,
    storage: String,
    set: Params,
    unprivileged: bool,
    arch: String,
    pool: Option<String>,
    start: bool,
    restore: bool,
    force: bool,
}

/// Refuses what is no list of public keys.
pub(super) fn check_keys(text: &str) -> Result<(), Fail> {
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let mut words = line
            .split_whitespace()
            .skip_while(|word| !KEY_TYPES.contains(word));
        let (kind, key) = (words.next(), words.next());
        let decoded = key.and_then(|key| {
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, key).ok()
        });
        if kind.is_none() || decoded.is_none_or(|bytes| bytes.len() < 16) {
            return Err(Fail::die("SSH public key validation error"));
        }
    }
    Ok(())
}

fn create(call: &Call, state: &mut State) -> Outcome {
    let params = &call.params;
    let (node, vmid) = (call.node(), call.vmid());
    let pool = params.text("pool");
    may_create(call, state, vmid, pool.as_deref())?;
    if let Some(keys) = params.text("ssh-public-keys") {
        check_keys(&keys)?;
    }
    let (restore, force) = (params.flag("restore"), params.flag("force"));
    let unprivileged = params.flag_or("unprivileged", true);
    let mut set = Params::new();
    for (option, value) in params
        .iter()
        .filter(|(option, _)| !NOT_OPTIONS.contains(option))
    {
        set.set(option, value.clone());
    }
    let wish = Wish {
        kind: Lxc,
        vmid,
        pool: pool.as_deref(),
        set: &set,
        delete: &[],
        before: None,
        unprivileged,
    };
    rights::check(call, state, &wish)?;
    if !unprivileged && !call.caller.is_root() && !restore {
        call.check(state, "/", &["Sys.Modify"])?;
    }
    let template = call.text("ostemplate");
    let storage = params.text("storage").unwrap_or_else(|| "local".into());
    // Only a restore may overwrite (pve-container, `API2/LXC.pm`, `create_vm`).
    match (state.guests.get(&vmid), force && restore) {
        (Some(guest), true) if guest.kind == Lxc && guest.is_running() => {
            return Err(Fail::die("can't overwrite running container"));
        }
        (Some(guest), true) if guest.kind == Lxc => {}
        _ => check_unused(state, vmid)?,
    }
    check_storages(call, state, &node, &template, &storage, &set)?;
    let arch = params.text("arch").unwrap_or_else(|| "amd64".into());
    let start = params.flag("start");
    let plan = Plan {
        node,
        vmid,
        template,
        storage,
        set,
        unprivileged,
        arch,
        pool,
        start,
        restore,
        force,
    };
    let begun =
        begin(&call.cluster, state, Lxc, &plan.node, vmid).map_err(|fail| plan.failed(fail))?;
    let kind = if restore { "vzrestore" } else { "vzcreate" };
    call.seen_task(state, kind, &vmid.to_string(), move |worker| {
        make(worker, plan, begun)
    })
}

fn check_storages(
    call: &Call,
    state: &State,
    node: &str,
    template: &str,
    storage: &str,
    set: &Params,
) -> Result<(), Fail> {
    if let Some((own, _)) = template.split_once(':') {
        if state.storage(own).is_none() {
            return Err(Fail::die(format!("storage '{own}' does not exist")));
        }
        call.check_any(
            state,
            &format!("/storage/{own}"),
            &["Datastore.AllocateSpace", "Datastore.Audit"],
        )?;
    } else if !template.starts_with('/') || !call.caller.is_root() {
        return Err(Fail::die(format!("unable to parse volume ID '{template}'")));
    }
    let volume = |option: &str, value: &Value| {
        parse(Lxc, option, &plain(value).unwrap_or_default())
            .text("volume")
            .unwrap_or_default()
    };
    if !set.has("rootfs") {
        disk::check_storage(state, node, storage, "rootdir")?;
        call.check(
            state,
            &format!("/storage/{storage}"),
            &["Datastore.AllocateSpace"],
        )?;
    }
    for (option, value) in set.iter().filter(|(option, _)| disk::is_disk(Lxc, option)) {
        let volume = volume(option, value);
        match new_disk(&volume) {
            Some((storage, _)) => disk::check_storage(state, node, storage, "rootdir")?,
            None if volume.starts_with('/') => {}
            None => {
                let own = volume.split(':').next().unwrap_or_default();
                if state.storage(own).is_none() {
                    return Err(Fail::die(format!("storage '{own}' does not exist")));
                }
            }
        }
    }
    Ok(())
}

impl Plan {
    /// The API says `create` or `restore` of the container before the reason (pve-container, `API2/LXC.pm`, `create_vm`).
    fn failed(&self, fail: Fail) -> Fail {
        let what = if self.restore { "restore" } else { "create" };
        Fail::die(format!(
            "unable to {what} CT {} - {}",
            self.vmid,
            fail.line()
        ))
    }
}

async fn make(worker: Worker, plan: Plan, begun: Begun) -> Result<(), Fail> {
    let (begun, cluster) = (begun.of(&worker), worker.cluster.clone());
    worker.pace().await.map_err(|fail| plan.failed(fail))?;
    {
        let _held = cluster.guest_lock(Lxc, plan.vmid).await?;
        let now = cluster.now();
        let mut state = cluster.lock();
        if plan.force {
            free_disks(&mut state, Lxc, plan.vmid).map_err(|fail| plan.failed(fail))?;
        }
        let place = Place {
            kind: Lxc,
            node: &plan.node,
            vmid: plan.vmid,
            now,
        };
        let config = or_no_volumes(&mut state, plan.vmid, |state| config(state, &place, &plan))
            .map_err(|fail| plan.failed(fail))?;
        finish(&mut state, &place, config, plan.pool.as_deref());
        drop(state);
        say(&worker, &plan);
    }
    begun.done();
    cluster.hooks.created(plan.vmid, Lxc).await;
    if plan.restore {
        cluster.hooks.restored(plan.vmid, &plan.template).await;
    }
    if plan.start {
        super::guest_power::boot(&cluster, Lxc, &plan.node, plan.vmid, false).await?;
    }
    Ok(())
}

/// What the real one's tools say meanwhile.
fn say(worker: &Worker, plan: &Plan) {
    worker.log(format!("extracting archive '{}'", plan.template));
    worker.log("Total bytes read: 524288000 (500MiB, 500MiB/s)");
    worker.log(format!("Detected container architecture: {}", plan.arch));
    let nesting = plan
        .set
        .text("features")
        .is_some_and(|text| text.contains("nesting=1"));
    if let Some(version) = systemd_version(&plan.template).filter(|_| !nesting && !plan.restore) {
        worker.warn(format!(
            "Systemd {version} detected. You may need to enable nesting."
        ));
    }
    for kind in [
        "ssh_host_rsa_key",
        "ssh_host_ecdsa_key",
        "ssh_host_ed25519_key",
    ] {
        worker.log(format!(
            "Creating SSH host key '{kind}' - this may take some time ..."
        ));
    }
}

/// The systemd of releases that need nesting; older ones start without.
fn systemd_version(template: &str) -> Option<u32> {
    let file = template.rsplit('/').next().unwrap_or_default();
    let known = [
        ("debian-13", 257),
        ("ubuntu-24.10", 256),
        ("ubuntu-25", 257),
        ("fedora-42", 257),
        ("fedora-43", 258),
        ("archlinux", 258),
    ];
    known
        .iter()
        .find(|(stem, _)| file.starts_with(stem))
        .map(|(_, version)| *version)
}

/// The container's configuration, its volumes made.
fn config(state: &mut State, place: &Place<'_>, plan: &Plan) -> Result<Config, Fail> {
    let archive = state.volume(&plan.node, &plan.template).cloned();
    let Some(archive) = archive else {
        return Err(Fail::die(format!(
            "volume '{}' does not exist",
            plan.template
        )));
    };
    let mut config = Config::new();
    let mut set = plan.set.clone();
    if plan.restore {
        restored(&archive.payload, &mut config, &mut set, plan);
    } else {
        let file = plan.template.rsplit('/').next().unwrap_or_default();
        let system = SYSTEMS
            .iter()
            .find(|system| file.starts_with(**system))
            .copied()
            .unwrap_or("unmanaged");
        let system = if system == "rockylinux" {
            "centos"
        } else {
            system
        };
        config.insert("arch".into(), plan.arch.clone().into());
        config.insert("ostype".into(), system.into());
        config.insert("memory".into(), 512.into());
        config.insert("swap".into(), 512.into());
        config.insert("hostname".into(), format!("CT{}", plan.vmid).into());
    }
    if plan.unprivileged {
        config.insert("unprivileged".into(), 1.into());
    }
    if !set.has("rootfs") {
        set.set("rootfs", format!("{}:{ROOTFS_GIB}", plan.storage));
    }
    fill(state, place, &set, &mut config)?;
    if config
        .get("hostname")
        .and_then(plain)
        .is_some_and(|name| name.is_empty())
    {
        config.insert("hostname".into(), format!("CT{}", plan.vmid).into());
    }
    // Mount points of another guest's numbering keep their order; the lock ends with the work.
    config.retain(|option, _| option != "lock" && !(is_indexed(option, "unused") && plan.restore));
    Ok(config)
}

/// What a backup says about the container; what the call says wins. Disks are made anew.
fn restored(payload: &Option<Value>, config: &mut Config, set: &mut Params, plan: &Plan) {
    let saved = payload
        .as_ref()
        .and_then(|payload| payload.get("config"))
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    for (option, value) in saved {
        if matches!(option.as_str(), "lock" | "parent") || set.has(&option) {
            continue;
        }
        let Some(text) = plain(&value).filter(|_| disk::is_disk(Lxc, &option)) else {
            config.insert(option, value);
            continue;
        };
        let mut values = parse(Lxc, &option, &text);
        let bytes = values
            .text("size")
            .and_then(|size| crate::pve::state::parse_size(&size))
            .unwrap_or(4 << 30);
        values.set(
            "volume",
            format!("{}:{}", plan.storage, bytes as f64 / f64::from(1u32 << 30)),
        );
        values.remove("size");
        set.set(&option, crate::pve::guest::print(Lxc, &option, &values));
    }
}
