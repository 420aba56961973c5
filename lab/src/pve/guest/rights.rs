//! Which privilege an option of a guest's configuration needs, and what only root@pam may set.

use super::disk::{is_disk, new_disk};
use super::{is_indexed, parse};
use crate::fixture::GuestKind;
use crate::pve::answer::Fail;
use crate::pve::cluster::Call;
use crate::pve::params::{Params, plain};
use crate::pve::permission::check_all;
use crate::pve::state::{Guest, State};

/// The options a call wants to set and to delete, with what is there before.
pub(crate) struct Wish<'a> {
    pub(crate) kind: GuestKind,
    pub(crate) vmid: u32,
    /// A pool whose rights count as well.
    pub(crate) pool: Option<&'a str>,
    pub(crate) set: &'a Params,
    pub(crate) delete: &'a [String],
    pub(crate) before: Option<&'a Guest>,
    pub(crate) unprivileged: bool,
}

/// Refuses unless the caller may change all of it.
pub(crate) fn check(call: &Call, state: &State, wish: &Wish<'_>) -> Result<(), Fail> {
    if call.caller.is_root() {
        return Ok(());
    }
    for (option, value) in wish.set.iter() {
        one(
            call,
            state,
            wish,
            option,
            Some(&plain(value).unwrap_or_default()),
        )?;
    }
    wish.delete
        .iter()
        .try_for_each(|option| one(call, state, wish, option, None))
}

fn one(
    call: &Call,
    state: &State,
    wish: &Wish<'_>,
    option: &str,
    value: Option<&str>,
) -> Result<(), Fail> {
    let privilege = match wish.kind {
        GuestKind::Lxc => lxc(call, state, wish, option, value)?,
        GuestKind::Qemu => qemu(call, state, wish, option, value)?,
    };
    guest_right(call, state, wish, privilege)
}

/// A privilege on the guest or on the pool it is to be in.
fn guest_right(call: &Call, state: &State, wish: &Wish<'_>, privilege: &str) -> Result<(), Fail> {
    let path = format!("/vms/{}", wish.vmid);
    if wish
        .pool
        .is_some_and(|pool| call.may(state, &format!("/pool/{pool}"), &[privilege]))
    {
        return Ok(());
    }
    check_all(&state.access, call.caller.authid(), &path, &[privilege])
}

fn root_only(what: &str) -> Fail {
    Fail::forbidden(&format!("{what} is only allowed for root@pam"))
}

fn lxc(
    call: &Call,
    state: &State,
    wish: &Wish<'_>,
    option: &str,
    value: Option<&str>,
) -> Result<&'static str, Fail> {
    Ok(match option {
        "cores" | "cpuunits" | "cpulimit" => "VM.Config.CPU",
        "memory" | "swap" => "VM.Config.Memory",
        "nameserver" | "searchdomain" | "hostname" => "VM.Config.Network",
        "features" => {
            features(wish, value)?;
            "VM.Allocate"
        }
        "hookscript" => return Err(root_only("changing the hookscript")),
        _ if is_indexed(option, "dev") => return Err(root_only("configuring device passthrough")),
        _ if is_disk(GuestKind::Lxc, option) || is_indexed(option, "unused") => {
            if let Some(value) = value {
                let volume = parse(GuestKind::Lxc, option, value)
                    .text("volume")
                    .unwrap_or_default();
                match volume.as_str() {
                    path if path.starts_with("/dev/") => {
                        return Err(root_only("mount point type device"));
                    }
                    path if path.starts_with('/') => {
                        return Err(root_only("mount point type bind"));
                    }
                    volume => space(call, state, volume)?,
                }
            }
            "VM.Config.Disk"
        }
        _ if is_indexed(option, "net") => {
            bridge(call, state, wish.kind, option, value)?;
            "VM.Config.Network"
        }
        _ => "VM.Config.Options",
    })
}

/// Features other than nesting, and any feature of a privileged container, are root's.
fn features(wish: &Wish<'_>, value: Option<&str>) -> Result<(), Fail> {
    if !wish.unprivileged {
        return Err(root_only("changing feature flags for privileged container"));
    }
    let before = wish
        .before
        .and_then(|guest| guest.config.get("features"))
        .and_then(plain)
        .unwrap_or_default();
    let (before, after) = (
        parse(GuestKind::Lxc, "features", &before),
        parse(GuestKind::Lxc, "features", value.unwrap_or_default()),
    );
    let on = |params: &Params, key: &str| params.text(key).filter(|text| text != "0");
    let all = ["force_rw_sys", "fuse", "keyctl", "mknod", "mount"];
    if all.iter().any(|key| on(&before, key) != on(&after, key)) {
        return Err(root_only("changing feature flags (except nesting)"));
    }
    Ok(())
}

/// Space on the storage of a new volume; an existing one needs more.
fn space(call: &Call, state: &State, volume: &str) -> Result<(), Fail> {
    match new_disk(volume) {
        Some((storage, _)) => call.check(
            state,
            &format!("/storage/{storage}"),
            &["Datastore.AllocateSpace"],
        ),
        None => match volume.split_once(':') {
            Some((storage, "cloudinit")) => call.check(
                state,
                &format!("/storage/{storage}"),
                &["Datastore.AllocateSpace"],
            ),
            Some((storage, name)) if name.starts_with("iso/") || name.starts_with("vztmpl/") => {
                call.check_any(
                    state,
                    &format!("/storage/{storage}"),
                    &["Datastore.AllocateSpace", "Datastore.Audit"],
                )
            }
            _ => Ok(()),
        },
    }
}

/// The use of a bridge.
fn bridge(
    call: &Call,
    state: &State,
    kind: GuestKind,
    option: &str,
    value: Option<&str>,
) -> Result<(), Fail> {
    let Some(name) = value.and_then(|value| parse(kind, option, value).text("bridge")) else {
        return Ok(());
    };
    call.check_any(
        state,
        &format!("/sdn/zones/localnetwork/{name}"),
        &["SDN.Use"],
    )
}

const QEMU_CPU: [&str; 11] = [
    "affinity",
    "cores",
    "cpu",
    "cpulimit",
    "cpuunits",
    "numa",
    "smp",
    "sockets",
    "vcpus",
    "hugepages",
    "keephugepages",
];
const QEMU_HARDWARE: [&str; 13] = [
    "acpi", "hotplug", "kvm", "machine", "scsihw", "smbios1", "tablet", "vga", "watchdog",
    "audio0", "vmgenid", "bios", "rng0",
];
const QEMU_CLOUDINIT: [&str; 7] = [
    "cicustom",
    "cipassword",
    "citype",
    "ciuser",
    "ciupgrade",
    "sshkeys",
    "ciupgrade",
];

fn qemu(
    call: &Call,
    state: &State,
    wish: &Wish<'_>,
    option: &str,
    value: Option<&str>,
) -> Result<&'static str, Fail> {
    let mapped = |family: &str| {
        let before = wish
            .before
            .and_then(|guest| guest.config.get(option))
            .and_then(plain);
        let values: Vec<Params> = [value.map(str::to_owned), before]
            .into_iter()
            .flatten()
            .map(|text| parse(GuestKind::Qemu, option, &text))
            .collect();
        let allowed = |params: &Params| {
            params.has("mapping")
                || family == "usb" && params.text("host").as_deref() == Some("spice")
        };
        let all = values.iter().all(allowed);
        if !all {
            let what = if value.is_some() { "set" } else { "delete" };
            return Err(Fail::die(format!(
                "only root can {what} '{option}' config for non-mapped devices"
            )));
        }
        let kind = if family == "usb" { "usb" } else { "pci" };
        let names = values.iter().filter_map(|params| params.text("mapping"));
        names.into_iter().try_for_each(|name| {
            call.check(state, &format!("/mapping/{kind}/{name}"), &["Mapping.Use"])
        })
    };
    Ok(match option {
        "args" => return Err(Fail::die("only root can set 'args' config")),
        "hookscript" => return Err(Fail::die("only root can set 'hookscript' config")),
        "lock" => return Err(Fail::die("only root can set 'lock' config")),
        "memory" | "balloon" | "shares" => "VM.Config.Memory",
        "nameserver" | "searchdomain" => "VM.Config.Network",
        _ if QEMU_CPU.contains(&option) || is_indexed(option, "numa") => "VM.Config.CPU",
        _ if QEMU_HARDWARE.contains(&option) => "VM.Config.HWType",
        _ if QEMU_CLOUDINIT.contains(&option) => "VM.Config.Cloudinit",
        _ if is_indexed(option, "ipconfig") => "VM.Config.Network",
        _ if is_indexed(option, "hostpci") => {
            mapped("hostpci")?;
            "VM.Config.HWType"
        }
        _ if is_indexed(option, "usb") => {
            mapped("usb")?;
            "VM.Config.HWType"
        }
        _ if is_indexed(option, "serial") => match value {
            Some(text) if text != "socket" => {
                return Err(Fail::die(format!(
                    "only root can set '{option}' config for real devices"
                )));
            }
            _ => "VM.Config.HWType",
        },
        _ if is_indexed(option, "parallel") => {
            return Err(Fail::die(format!("only root can set '{option}' config")));
        }
        _ if is_indexed(option, "net") => {
            bridge(call, state, wish.kind, option, value)?;
            "VM.Config.Network"
        }
        _ if is_disk(GuestKind::Qemu, option) || is_indexed(option, "unused") => {
            disk(call, state, option, value)?
        }
        _ => "VM.Config.Options",
    })
}

fn disk(
    call: &Call,
    state: &State,
    option: &str,
    value: Option<&str>,
) -> Result<&'static str, Fail> {
    let Some(value) = value else {
        return Ok("VM.Config.Disk");
    };
    let values = parse(GuestKind::Qemu, option, value);
    let file = values.text("file").unwrap_or_else(|| value.to_owned());
    let cdrom = values.text("media").as_deref() == Some("cdrom");
    if file.starts_with('/')
        || values
            .text("import-from")
            .is_some_and(|from| from.starts_with('/'))
    {
        return Err(Fail::die("Only root can pass arbitrary filesystem paths."));
    }
    space(call, state, &file)?;
    Ok(if cdrom && !file.ends_with(":cloudinit") {
        "VM.Config.CDROM"
    } else {
        "VM.Config.Disk"
    })
}

/// The rights to make a guest at all: on its number or on its pool.
pub(crate) fn may_create(
    call: &Call,
    state: &State,
    vmid: u32,
    pool: Option<&str>,
) -> Result<(), Fail> {
    if let Some(pool) = pool
        && !state.access.pools.contains_key(pool)
    {
        return Err(Fail::forbidden(&format!("pool '{pool}' does not exist")));
    }
    let own = call.may(state, &format!("/vms/{vmid}"), &["VM.Allocate"]);
    let by_pool =
        pool.is_some_and(|pool| call.may(state, &format!("/pool/{pool}"), &["VM.Allocate"]));
    if own || by_pool {
        Ok(())
    } else {
        Err(Fail::forbidden(""))
    }
}
