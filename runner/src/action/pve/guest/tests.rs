use runbook::read::Args;
use runbook::source::Span;
use runbook::spec;
use serde_json::{Value, json};

use super::compare::{Changes, Config, Power, changes, config, fresh, power, root_disk};
use super::*;

fn node(value: Value) -> runbook::node::Node {
    runbook::node::Node {
        span: Span::default(),
        kind: runbook::node::Kind::Value(value),
    }
}

fn entries(value: Value) -> runbook::node::Node {
    // As a chapter has it: maps that were written, values by their own types.
    let mut tree = node(value);
    if let runbook::node::Kind::Value(Value::Object(map)) = &tree.kind {
        let entries = map.iter().map(|(key, value)| runbook::node::Entry {
            key: key.clone(),
            key_span: Span::default(),
            value: entries(value.clone()),
        });
        tree.kind = runbook::node::Kind::Map(entries.collect());
    }
    tree
}

fn known() -> Known {
    Known {
        vmid: Some(130),
        node: Some("pve1".into()),
        name: Some("web".into()),
        address: None,
        claimed: true,
    }
}

fn try_wish(kind: GuestKind, fields: Value) -> Result<Wish, String> {
    let node = entries(fields);
    let action = spec::action(kind.as_str()).unwrap();
    let args = Args::new(action, &node).map_err(|error| error.to_string())?;
    Wish::read(kind, &args, known()).map_err(|wrong| match wrong {
        Wrong::Read(error) => error.to_string(),
        Wrong::Failure(failure) => failure.message,
    })
}

fn lxc(fields: Value) -> Wish {
    try_wish(GuestKind::Lxc, fields).unwrap()
}

fn vm(fields: Value) -> Wish {
    try_wish(GuestKind::Vm, fields).unwrap()
}

fn actual() -> Config {
    config(&json!({
        "digest": "x", "hostname": "web", "cores": 1, "memory": 512, "swap": 512,
        "rootfs": "local-lvm:vm-130-disk-0,size=8G",
        "net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:2C:66:9F,ip=dhcp,type=veth",
        "net1": "name=eth1,bridge=vmbr1,type=veth",
        "features": "nesting=1", "unprivileged": 1, "tags": "runbook;web",
    }))
}

#[test]
fn a_wish_that_is_fulfilled_differs_in_nothing() {
    let wish = lxc(json!({
        "template": "debian-12-standard", "cores": 1, "memory": "512MiB", "disk": "local-lvm:8GiB",
        "net": [{"bridge": "vmbr0", "ip": "dhcp"}, {"bridge": "vmbr1"}], "features": {"nesting": true},
        "unprivileged": false, "tags": ["web"], "onboot": false, "config": {"swap": "512", "mp9": null},
    }));
    assert_eq!(changes(&wish, &actual()).unwrap(), Changes::default());
    assert!(!wish.only_looks());
    assert!(lxc(json!({})).only_looks());
}

#[test]
fn a_difference_is_shown_with_what_was_and_what_will_be() {
    let wish = lxc(json!({
        "cores": 2, "memory": "8GiB", "disk": "local-lvm:32GiB", "net": {"bridge": "vmbr0", "tag": "20"},
        "mounts": {"mp0": {"source": "/srv/x", "path": "/data", "read-only": true}}, "tags": "web",
        "config": {"features": null},
    }));
    let found = changes(&wish, &actual()).unwrap();
    assert_eq!(
        found.lines(&actual()),
        [
            "- cores: 1",
            "+ cores: 2",
            "- memory: 512MiB",
            "+ memory: 8GiB",
            "- net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:2C:66:9F,ip=dhcp,type=veth",
            "+ net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:2C:66:9F,ip=dhcp,type=veth,tag=20",
            "+ mp0: /srv/x,mp=/data,ro=1",
            "- features: nesting=1",
            "- net1: name=eth1,bridge=vmbr1,type=veth",
            "- rootfs: size 8GiB",
            "+ rootfs: size 32GiB",
        ]
    );
}

#[test]
fn a_disk_does_not_shrink() {
    let wish = lxc(json!({"disk": "local-lvm:4GiB"}));
    let failure = changes(&wish, &actual()).unwrap_err();
    assert_eq!(
        failure.message,
        "lxc/130: `rootfs` has 8GiB, which does not shrink to 4GiB"
    );
    assert!(failure.refused);
}

#[test]
fn fields_that_do_not_go_together_are_told() {
    for (fields, message) in [
        (
            json!({"vmid": 131, "cores": 1}),
            "`vmid` is `130` for this target, not `131`",
        ),
        (
            json!({"hostname": "other"}),
            "`hostname` is `web` in the inventory, not `other`",
        ),
        (json!({"disk": "local-lvm:8"}), "`local-lvm:8` has 8 bytes"),
        (json!({"disk": "8GiB"}), "`8GiB` is no disk"),
        (
            json!({"memory": 1000}),
            "`memory: 1000` is no whole number of MiB",
        ),
        (
            json!({"cores": 2, "config": {"cores": "4"}}),
            "`config.cores` says again what a field says",
        ),
        (
            json!({"mounts": {"data": {"source": "/x", "path": "/y"}}}),
            "`mounts` has no key `data`",
        ),
    ] {
        let message = message.replace("1000` is", "1kB` is");
        assert_eq!(try_wish(GuestKind::Lxc, fields).unwrap_err(), message);
    }
    assert_eq!(
        try_wish(GuestKind::Vm, json!({"swap": "1GiB"})).unwrap_err(),
        "a virtual machine has no `swap` of its own"
    );
}

#[test]
fn a_virtual_machine_is_compared_by_its_own_keys() {
    let wish = vm(json!({
        "cores": 2, "memory": "512MiB", "disk": "local-lvm:16GiB", "agent": true, "cpu": "host", "machine": "q35",
        "net": {"bridge": "vmbr0"}, "pci": {"hostpci0": {"mapping": "gpu0", "pcie": true}, "hostpci1": null},
        "cloud-init": {"user": "debian", "ip": "10.0.0.5/24", "gateway": "10.0.0.1", "dns": "10.0.0.1"},
        "ssh-keys": ["ssh-ed25519 AAAA a@b"],
    }));
    let is = config(&json!({
        "cores": 2, "memory": "512", "agent": "1,fstrim_cloned_disks=1", "cpu": "host", "machine": "q35",
        "net0": "virtio=BC:24:11:2C:66:9F,bridge=vmbr0", "hostpci0": "mapping=gpu0,pcie=1",
        "ciuser": "debian", "ipconfig0": "gw=10.0.0.1,ip=10.0.0.5/24", "nameserver": "10.0.0.1",
        "sshkeys": "ssh-ed25519%20AAAA%20a%40b%0A", "ide2": "local-lvm:vm-130-cloudinit,media=cdrom",
        "scsi0": "local-lvm:vm-130-disk-0,size=16G", "boot": "order=ide2;scsi0",
    }));
    assert_eq!(changes(&wish, &is).unwrap(), Changes::default());
    let new: Vec<String> = fresh(&wish)
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    assert_eq!(
        new,
        [
            "cores=2",
            "memory=512",
            "net0=virtio,bridge=vmbr0",
            "ciuser=debian",
            "sshkeys=ssh-ed25519%20AAAA%20a%40b%0A",
            "ipconfig0=ip=10.0.0.5/24,gw=10.0.0.1",
            "nameserver=10.0.0.1",
            "hostpci0=mapping=gpu0,pcie=1",
            "machine=q35",
            "cpu=host",
            "agent=1",
        ]
    );
    let bare = config(&json!({"virtio0": "local:200/vm-200-disk-0.qcow2,size=8G"}));
    assert_eq!(root_disk(true, &bare), "virtio0");
    let drive = changes(&vm(json!({"cloud-init": {"user": "x"}})), &bare).unwrap();
    assert!(
        drive
            .set
            .contains(&("ide2".into(), "local:cloudinit".into()))
    );
}

#[test]
fn the_state_decides_about_power_and_a_stopped_guest_is_only_started() {
    let running = lxc(json!({"template": "x", "state": "running"}));
    assert_eq!(power(&running, false, false), Ok(Some(Power::Start)));
    assert_eq!(power(&running, true, false), Ok(None));
    assert!(power(&running, false, true).is_err());
    let stopped = lxc(json!({"state": "stopped"}));
    assert_eq!(power(&stopped, true, false), Ok(Some(Power::Stop)));
    assert_eq!(power(&stopped, false, true), Ok(None));
    let template = lxc(json!({"state": "template"}));
    assert_eq!(power(&template, true, false), Ok(Some(Power::Template)));
    assert_eq!(power(&template, false, true), Ok(None));
    assert_eq!(power(&lxc(json!({"cores": 1})), false, false), Ok(None));
}

#[test]
fn public_keys_are_shown_as_they_are_written() {
    let wish =
        vm(json!({"cloud-init": {"ssh-keys": ["ssh-ed25519 AAAA a@b"]}, "state": "stopped"}));
    let found = changes(
        &wish,
        &config(&json!({"ide2": "x:vm-1-cloudinit,media=cdrom"})),
    )
    .unwrap();
    assert_eq!(
        found.lines(&Config::new()),
        ["+ sshkeys: ssh-ed25519 AAAA a@b"]
    );
}

#[test]
fn passwords_are_never_shown() {
    let wish = vm(json!({"config": {"cipassword": "hunter2-hunter2"}}));
    let found = changes(&wish, &config(&json!({"cipassword": "**********"}))).unwrap();
    assert_eq!(found.lines(&Config::new()), ["+ cipassword: (secret)"]);
}
