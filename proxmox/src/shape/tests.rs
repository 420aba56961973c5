use proptest::prelude::*;

use super::*;

fn differs(kind: Kind, option: &str, wish: &str, is: &str) -> Vec<String> {
    let shape = Shape::of(kind, option).expect("a shape");
    let (wish, is) = (
        shape.parse(wish).expect("a wish"),
        shape.parse(is).expect("a value"),
    );
    shape
        .differences(&wish, &is)
        .into_iter()
        .map(|one| one.key)
        .collect()
}

#[test]
fn what_the_server_made_of_a_wish_is_the_wish() {
    use Kind::{Lxc, Qemu};
    for (kind, option, wish, is) in [
        (
            Lxc,
            "net0",
            "name=eth0,bridge=vmbr0,ip=dhcp",
            "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth",
        ),
        (
            Lxc,
            "rootfs",
            "local:8",
            "local:130/vm-130-disk-0.raw,size=8G",
        ),
        (
            Lxc,
            "mp0",
            "local:0.5,mp=/data,ro=no",
            "local:130/vm-130-disk-1.raw,mp=/data,size=512M",
        ),
        (Lxc, "features", "nesting=on,fuse=0", "nesting=1"),
        (Lxc, "tags", "b;A;b", "a;b"),
        (
            Qemu,
            "net0",
            "virtio,bridge=vmbr0",
            "virtio=BC:24:11:00:00:01,bridge=vmbr0",
        ),
        (
            Qemu,
            "net0",
            "virtio=bc:24:11:00:00:01,bridge=vmbr0,firewall=0",
            "virtio=BC:24:11:00:00:01,bridge=vmbr0",
        ),
        (
            Qemu,
            "scsi0",
            "local:32,iothread=1",
            "local:200/vm-200-disk-0.qcow2,iothread=1,size=32G",
        ),
        (
            Qemu,
            "scsi0",
            "local:0,import-from=local:import/a.qcow2",
            "local:200/vm-200-disk-0.qcow2,size=3G",
        ),
        (
            Qemu,
            "ide2",
            "local:cloudinit",
            "local:200/vm-200-cloudinit.qcow2,media=cdrom,size=4M",
        ),
        (Qemu, "hostpci0", "01:00.0,pcie=1", "0000:01:00.0,pcie=1"),
        (Qemu, "agent", "1", "enabled=1,fstrim_cloned_disks=0"),
        (Qemu, "startup", "1,up=30", "order=1,up=30"),
        (Qemu, "description", "x", "x\n"),
    ] {
        assert!(
            same_option(kind, option, wish, is),
            "{option}: {wish} / {is}"
        );
    }
}

#[test]
fn another_value_and_one_too_many_are_differences() {
    use Kind::{Lxc, Qemu};
    let net = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,firewall=1,type=veth";
    assert_eq!(
        differs(Lxc, "net0", "name=eth0,bridge=vmbr1,ip=dhcp", net),
        ["bridge", "firewall"]
    );
    assert_eq!(
        differs(
            Lxc,
            "rootfs",
            "local:9",
            "local:130/vm-130-disk-0.raw,size=8G"
        ),
        ["volume"]
    );
    assert_eq!(
        differs(
            Lxc,
            "rootfs",
            "zfs:8",
            "local:130/vm-130-disk-0.raw,size=8G"
        ),
        ["volume"]
    );
    assert_eq!(
        differs(Lxc, "features", "nesting=0", "nesting=1,keyctl=1"),
        ["nesting", "keyctl"]
    );
    assert_eq!(
        differs(
            Qemu,
            "net0",
            "e1000,bridge=vmbr0",
            "virtio=BC:24:11:00:00:01,bridge=vmbr0"
        ),
        ["model"]
    );
    assert_eq!(
        differs(
            Qemu,
            "hostpci0",
            "mapping=gpu0,pcie=1",
            "mapping=gpu1,pcie=1"
        ),
        ["mapping"]
    );
    assert_eq!(differs(Qemu, "agent", "0", "1"), ["enabled"]);
    assert!(!same_option(Qemu, "memory", "512", "1024"));
    assert!(same_option(Qemu, "onboot", "yes", "1"));
}

#[test]
fn a_change_keeps_the_address_and_the_volume() {
    let shape = Shape::of(Kind::Qemu, "net0").expect("a shape");
    let wish = shape.parse("virtio,bridge=vmbr1").expect("a wish");
    let there = shape
        .parse("virtio=BC:24:11:00:00:01,bridge=vmbr0")
        .expect("a value");
    let whole = shape.complete(&wish, &there);
    assert_eq!(shape.print(&whole), "virtio=BC:24:11:00:00:01,bridge=vmbr1");
    let shape = Shape::of(Kind::Lxc, "mp0").expect("a shape");
    let wish = shape.parse("local:8,mp=/new").expect("a wish");
    let there = shape
        .parse("local:130/vm-130-disk-1.raw,mp=/old,size=8G")
        .expect("a value");
    let whole = shape.complete(&wish, &there);
    assert_eq!(
        shape.print(&whole),
        "local:130/vm-130-disk-1.raw,mp=/new,size=8G"
    );
}

const OPTIONS: [(Kind, &str); 7] = [
    (Kind::Lxc, "net0"),
    (Kind::Lxc, "mp3"),
    (Kind::Lxc, "features"),
    (Kind::Qemu, "net1"),
    (Kind::Qemu, "scsi2"),
    (Kind::Qemu, "hostpci0"),
    (Kind::Qemu, "ipconfig0"),
];

proptest! {
    #[test]
    fn printed_and_parsed_again_it_is_the_same_and_differs_from_itself_in_nothing(
        pick in 0..OPTIONS.len(),
        nth in 0..options::MODELS.len(),
        pairs in prop::collection::btree_map("(bridge|firewall|ip|mtu|ro|backup|size|mp|macaddr)", "[a-zA-Z0-9/._-]{1,10}", 0..6),
    ) {
        let (kind, option) = OPTIONS[pick];
        let shape = Shape::of(kind, option).expect("a shape");
        let mut value = PropertyString::of(pairs);
        match shape.default_key {
            Some("model") => value.set("model", options::MODELS[nth]),
            Some(key) => value.set(key, format!("local:{nth}")),
            None => {}
        }
        let again = shape.parse(&shape.print(&value)).expect("parses");
        prop_assert_eq!(shape.differences(&value, &again), []);
        prop_assert_eq!(shape.differences(&again, &value), []);
        prop_assert_eq!(shape.complete(&value, &again), value);
    }
}
