//! Which rights an action on Proxmox VE needs, as far as its fields say it.
//!
//! Pure. Facts: the `permissions` of the API's schema and the checks by option of pve-container 6.1 and qemu-server 9.2. What
//! only the server can tell (on which storage a copy comes to lie) is left to the server.

use runbook::inventory::GuestKind;
use runbook_proxmox::access::Need;

use super::guest::keys::{Wanted, is_disk, is_numbered};
use super::guest::{Source, State, Subject, Wish};
use super::pairs::{FIRST, Pairs};
use super::{image, snapshot};

/// The privileges of which one lets a guest agent run programs: of 9.x, and of 8.x.
pub const AGENT_RUNS: [&str; 2] = ["VM.GuestAgent.Unrestricted", "VM.Monitor"];
const AGENT_ANSWERS: [&str; 3] = [
    "VM.GuestAgent.Audit",
    "VM.GuestAgent.Unrestricted",
    "VM.Monitor",
];
const QEMU_CPU: [&str; 9] = [
    "affinity",
    "cores",
    "cpu",
    "cpulimit",
    "cpuunits",
    "numa",
    "sockets",
    "vcpus",
    "hugepages",
];
const QEMU_HARDWARE: [&str; 11] = [
    "acpi", "hotplug", "kvm", "machine", "scsihw", "smbios1", "tablet", "vga", "watchdog",
    "vmgenid", "bios",
];
const QEMU_CLOUD_INIT: [&str; 6] = [
    "cicustom",
    "cipassword",
    "citype",
    "ciuser",
    "ciupgrade",
    "sshkeys",
];

/// What is known before a step begins.
#[derive(Debug, Clone, Copy)]
pub struct Before {
    /// Whether the guest is there.
    pub is_there: bool,
    /// The number that a guest without one would get.
    pub number: Option<u32>,
    /// Whether it may change something, or only looks.
    pub changes: bool,
    /// Whether the guest agent is asked.
    pub agent: bool,
}

/// What `lxc` and `vm` need.
pub fn guest(wish: &Wish, before: Before) -> Vec<Need> {
    let subject = &wish.subject;
    let Some(vmid) = subject.vmid.or(before.number) else {
        return Vec::new();
    };
    let mut needs = Needs::new(format!("/vms/{vmid}"));
    // A list that is empty for lack of rights would say that it is not there.
    match pool(wish) {
        Some(pool) if !before.is_there && subject.vmid.is_none() => {
            needs.on(format!("/pool/{pool}"), &["VM.Audit"]);
        }
        _ => needs.own(&["VM.Audit"]),
    }
    if before.agent && subject.is_vm() {
        needs.own(&AGENT_ANSWERS);
    }
    if !before.changes || wish.only_looks() {
        return needs.list;
    }
    match (wish.state, before.is_there) {
        (Some(State::Absent), false) => return needs.list,
        (Some(State::Absent), true) => {
            needs.own(&["VM.PowerMgmt"]);
            needs.own(&["VM.Allocate"]);
            return needs.list;
        }
        (Some(State::Running | State::Stopped), _) => needs.own(&["VM.PowerMgmt"]),
        (Some(State::Template), _) => {
            needs.own(&["VM.PowerMgmt"]);
            needs.own(&["VM.Allocate"]);
        }
        (None, _) if wish.restart => needs.own(&["VM.PowerMgmt"]),
        (None, _) => {}
    }
    if !before.is_there {
        created(wish, &mut needs);
    }
    for (key, wanted) in &wish.keys {
        one(subject.kind, key, wanted, &mut needs);
    }
    needs.list
}

/// The pool that it is to be in.
fn pool(wish: &Wish) -> Option<&String> {
    wish.keys.iter().find_map(|(key, wanted)| match wanted {
        Wanted::Value(pool) if key == "pool" => Some(pool),
        _ => None,
    })
}

/// What is needed for a guest to be made.
fn created(wish: &Wish, needs: &mut Needs) {
    let subject = &wish.subject;
    if let Some(pool) = pool(wish) {
        // Rights on the pool count for what is made in it.
        needs.object = format!("/pool/{pool}");
    }
    needs.own(&["VM.Allocate"]);
    // Its tags, and what it was made by.
    needs.own(&["VM.Config.Options"]);
    if subject.hostname.is_some() && !subject.is_vm() {
        needs.own(&["VM.Config.Network"]);
    }
    if let Some(disk) = &wish.disk {
        needs.own(&["VM.Config.Disk"]);
        needs.space(&disk.storage);
    }
    match &wish.source {
        Some(Source::Template(volume)) => {
            if let Some((storage, _)) = volume.split_once(':') {
                needs.on(
                    format!("/storage/{storage}"),
                    &["Datastore.AllocateSpace", "Datastore.Audit"],
                );
            }
        }
        Some(Source::Clone { from, .. }) => {
            if let Ok(from) = from.rsplit('/').next().unwrap_or(from).parse::<u32>() {
                needs.on(format!("/vms/{from}"), &["VM.Clone"]);
            }
        }
        Some(Source::Image { storage, .. }) => {
            needs.own(&["VM.Config.Disk"]);
            needs.own(&["VM.Config.HWType"]);
            if let Some(storage) = storage {
                needs.space(storage);
            }
        }
        Some(Source::Backup(_)) | None => {}
    }
}

/// What one key of a guest's configuration needs.
pub(super) fn one(kind: GuestKind, key: &str, wanted: &Wanted, needs: &mut Needs) {
    if key == "pool" {
        return;
    }
    if let Wanted::Volume(volume) = wanted {
        needs.space(&volume.storage);
    }
    let empty = Pairs::default();
    let pairs = match wanted {
        Wanted::Pairs { pairs, .. } | Wanted::Card(pairs) => pairs,
        _ => &empty,
    };
    // A bridge of a node; a virtual network is of a zone that is not told here.
    if is_numbered(key, "net")
        && let Some(bridge) = pairs
            .get("bridge")
            .filter(|bridge| bridge.starts_with("vmbr"))
    {
        needs.on(format!("/sdn/zones/localnetwork/{bridge}"), &["SDN.Use"]);
    }
    if is_numbered(key, "hostpci")
        && let Some(mapping) = pairs.get("mapping")
    {
        needs.on(format!("/mapping/pci/{mapping}"), &["Mapping.Use"]);
    }
    // Directories of the node are root's own.
    if pairs
        .get(FIRST)
        .is_some_and(|volume| volume.starts_with('/'))
    {
        return;
    }
    needs.own(&[privilege(kind, key)]);
}

/// The privilege of an option.
fn privilege(kind: GuestKind, key: &str) -> &'static str {
    match (kind, key) {
        (GuestKind::Lxc, "cores" | "cpuunits" | "cpulimit") => "VM.Config.CPU",
        (GuestKind::Lxc, "memory" | "swap") => "VM.Config.Memory",
        (GuestKind::Lxc, "nameserver" | "searchdomain" | "hostname") => "VM.Config.Network",
        (GuestKind::Lxc, "features") => "VM.Allocate",
        (GuestKind::Vm, "memory" | "balloon" | "shares") => "VM.Config.Memory",
        (GuestKind::Vm, "nameserver" | "searchdomain") => "VM.Config.Network",
        (GuestKind::Vm, key) if QEMU_CPU.contains(&key) => "VM.Config.CPU",
        (GuestKind::Vm, key) if QEMU_HARDWARE.contains(&key) => "VM.Config.HWType",
        (GuestKind::Vm, key) if QEMU_CLOUD_INIT.contains(&key) => "VM.Config.Cloudinit",
        (GuestKind::Vm, key)
            if ["hostpci", "usb", "serial"]
                .iter()
                .any(|word| is_numbered(key, word)) =>
        {
            "VM.Config.HWType"
        }
        (_, key)
            if ["net", "ipconfig"]
                .iter()
                .any(|word| is_numbered(key, word)) =>
        {
            "VM.Config.Network"
        }
        (_, key) if is_disk(key) => "VM.Config.Disk",
        _ => "VM.Config.Options",
    }
}

/// What a guest needs that an installer makes: the installer itself runs as root of the node.
pub fn installed(subject: &Subject, before: Before) -> Vec<Need> {
    let Some(vmid) = subject.vmid.or(before.number) else {
        return Vec::new();
    };
    let mut needs = Needs::new(format!("/vms/{vmid}"));
    needs.own(&["VM.Audit"]);
    if before.changes && !before.is_there {
        // Its tags; and its end, when it is taken back.
        needs.own(&["VM.Config.Options"]);
        needs.own(&["VM.Allocate"]);
    }
    needs.list
}

/// What `snapshot` needs.
pub fn snapshot(wish: &snapshot::Wish, changes: bool) -> Vec<Need> {
    let mut needs = Needs::of(&wish.subject);
    needs.own(&["VM.Audit"]);
    if changes {
        needs.own(&["VM.Snapshot"]);
    }
    needs.list
}

/// What `rollback` needs.
pub fn rollback(subject: &Subject) -> Vec<Need> {
    let mut needs = Needs::of(subject);
    needs.own(&["VM.Audit"]);
    needs.own(&["VM.Snapshot", "VM.Snapshot.Rollback"]);
    needs.list
}

/// What `ha` needs.
pub fn ha(changes: bool) -> Vec<Need> {
    let mut needs = Needs::new("/".to_owned());
    needs.own(&["Sys.Audit"]);
    if changes {
        needs.own(&["Sys.Console"]);
    }
    needs.list
}

/// What `image` needs.
pub fn image(wish: &image::Wish, changes: bool) -> Vec<Need> {
    let mut needs = Needs::new(format!("/storage/{}", wish.storage));
    needs.own(&["Datastore.Audit", "Datastore.AllocateSpace"]);
    if changes {
        needs.own(&["Datastore.AllocateTemplate"]);
        if let image::From::Url { .. } = wish.from {
            needs.on(
                format!("/nodes/{}", wish.node),
                &["Sys.AccessNetwork", "Sys.Modify"],
            );
        }
    }
    needs.list
}

/// What a program needs that a guest agent runs.
pub fn agent(vmid: u32) -> Vec<Need> {
    let mut needs = Needs::new(format!("/vms/{vmid}"));
    needs.own(&["VM.Audit"]);
    needs.own(&AGENT_RUNS);
    needs.list
}

/// Needs as they are found, each once, most of them on one object.
pub(super) struct Needs {
    object: String,
    pub(super) list: Vec<Need>,
}

impl Needs {
    pub(super) fn new(object: String) -> Self {
        Self {
            object,
            list: Vec::new(),
        }
    }

    fn of(subject: &Subject) -> Self {
        // Without a number nothing can be said.
        Self::new(
            subject
                .vmid
                .map_or_else(String::new, |vmid| format!("/vms/{vmid}")),
        )
    }

    pub(super) fn own(&mut self, any_of: &[&str]) {
        self.on(self.object.clone(), any_of);
    }

    pub(super) fn space(&mut self, storage: &str) {
        self.on(format!("/storage/{storage}"), &["Datastore.AllocateSpace"]);
    }

    pub(super) fn on(&mut self, path: String, any_of: &[&str]) {
        let need = Need::new(path, any_of, "");
        if !need.path.is_empty() && !self.list.contains(&need) {
            self.list.push(need);
        }
    }
}

/// A role of the server that has a privilege.
pub fn role_of(privilege: &str) -> &'static str {
    match privilege {
        "Datastore.AllocateSpace" | "Datastore.Audit" => "PVEDatastoreUser",
        _ if privilege.starts_with("Datastore.") => "PVEDatastoreAdmin",
        _ if privilege.starts_with("VM.") => "PVEVMAdmin",
        _ if privilege.starts_with("SDN.") => "PVESDNUser",
        _ if privilege.starts_with("Mapping.") => "PVEMappingUser",
        "Sys.Audit" | "Sys.Console" => "PVESysAdmin",
        _ => "Administrator",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::pve::guest::keys::Volume;

    fn wish(kind: GuestKind) -> Wish {
        Wish {
            subject: Subject {
                kind,
                vmid: Some(130),
                node: None,
                hostname: Some("web".into()),
                claimed: true,
                address: None,
            },
            source: Some(Source::Template("local:vztmpl/x.tar.zst".into())),
            keys: vec![
                ("cores".into(), Wanted::Value("2".into())),
                (
                    "net0".into(),
                    Wanted::Pairs {
                        pairs: Pairs::new([("bridge".to_owned(), "vmbr0".to_owned())]),
                        first: None,
                    },
                ),
            ],
            disk: Some(Volume {
                storage: "fast".into(),
                bytes: Some(1 << 33),
                pairs: Pairs::default(),
            }),
            nets: Some(1),
            login_keys: Vec::new(),
            unprivileged: true,
            cloud_init: false,
            user_data: None,
            state: Some(State::Running),
            restart: false,
        }
    }

    fn shown(needs: &[Need]) -> Vec<String> {
        let mut all: Vec<String> = needs
            .iter()
            .map(|need| format!("{} {}", need.path, need.any_of.join("|")))
            .collect();
        all.sort();
        all
    }

    const BEFORE: Before = Before {
        is_there: false,
        number: Some(9000),
        changes: true,
        agent: false,
    };

    #[test]
    fn what_is_made_needs_more_than_what_is_there() {
        let wish = wish(GuestKind::Lxc);
        assert_eq!(
            shown(&guest(&wish, BEFORE)),
            [
                "/sdn/zones/localnetwork/vmbr0 SDN.Use",
                "/storage/fast Datastore.AllocateSpace",
                "/storage/local Datastore.AllocateSpace|Datastore.Audit",
                "/vms/130 VM.Allocate",
                "/vms/130 VM.Audit",
                "/vms/130 VM.Config.CPU",
                "/vms/130 VM.Config.Disk",
                "/vms/130 VM.Config.Network",
                "/vms/130 VM.Config.Options",
                "/vms/130 VM.PowerMgmt",
            ]
        );
        let there = Before {
            is_there: true,
            ..BEFORE
        };
        assert_eq!(
            shown(&guest(&wish, there)),
            [
                "/sdn/zones/localnetwork/vmbr0 SDN.Use",
                "/vms/130 VM.Audit",
                "/vms/130 VM.Config.CPU",
                "/vms/130 VM.Config.Network",
                "/vms/130 VM.PowerMgmt",
            ]
        );
        let looks = Before {
            changes: false,
            ..BEFORE
        };
        assert_eq!(shown(&guest(&wish, looks)), ["/vms/130 VM.Audit"]);
    }

    #[test]
    fn rights_on_a_pool_count_for_what_is_made_in_it() {
        let mut wish = wish(GuestKind::Vm);
        wish.subject.vmid = None;
        wish.source = Some(Source::Clone {
            from: "vm/200".into(),
            full: None,
            snapshot: None,
        });
        wish.keys = vec![("pool".into(), Wanted::Value("lab".into()))];
        wish.disk = None;
        wish.state = None;
        assert_eq!(
            shown(&guest(&wish, BEFORE)),
            [
                "/pool/lab VM.Allocate",
                "/pool/lab VM.Audit",
                "/pool/lab VM.Config.Options",
                "/vms/200 VM.Clone"
            ]
        );
    }

    #[test]
    fn every_role_that_is_named_has_a_privilege() {
        for (privilege, role) in [
            ("VM.Config.CPU", "PVEVMAdmin"),
            ("Datastore.AllocateTemplate", "PVEDatastoreAdmin"),
            ("Datastore.AllocateSpace", "PVEDatastoreUser"),
            ("SDN.Use", "PVESDNUser"),
            ("Mapping.Use", "PVEMappingUser"),
            ("Sys.AccessNetwork", "Administrator"),
        ] {
            assert_eq!(role_of(privilege), role);
        }
    }
}
