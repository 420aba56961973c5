//! What the keys of a guest's options mean: which key may be left out, what is so without being said, and what the server
//! completes by itself. With it a wish is compared with what is there by meaning and in both directions.
//!
//! Facts: pve-container 6.1 (`net[n]`, `rootfs`, `mp[n]`, `features`, `dev[n]`), qemu-server 9.2 (the others). The server writes
//! `virtio=MAC,bridge=…` for what was sent as `virtio,bridge=…`, `local:130/vm-130-disk-0.raw,size=8G` for `local:8`.

use crate::guest::Kind;
use crate::property::{NoProperty, PropertyString, disk_size, same_value};

/// The meaning of one family of options.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    /// The key that may be left out.
    default_key: Option<&'static str>,
    /// What is so without being said.
    defaults: &'static [(&'static str, &'static str)],
    /// What the server adds by itself, and keeps only when it is sent again.
    completed: &'static [&'static str],
}

/// One key that is not as wished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub key: String,
    /// The wish; `None`: that it is not there.
    pub wished: Option<String>,
    /// What is there.
    pub is: Option<String>,
}

const LXC_NET: Shape = Shape {
    default_key: None,
    defaults: &[
        ("firewall", "0"),
        ("link_down", "0"),
        ("type", "veth"),
        ("ip", "manual"),
        ("ip6", "manual"),
    ],
    completed: &["hwaddr"],
};
const LXC_VOLUME: Shape = Shape {
    default_key: Some("volume"),
    defaults: &[
        ("ro", "0"),
        ("backup", "0"),
        ("quota", "0"),
        ("shared", "0"),
        ("replicate", "1"),
    ],
    completed: &["size"],
};
const LXC_FEATURES: Shape = Shape {
    default_key: None,
    defaults: &[
        ("nesting", "0"),
        ("keyctl", "0"),
        ("fuse", "0"),
        ("mknod", "0"),
        ("force_rw_sys", "0"),
    ],
    completed: &[],
};
const LXC_DEVICE: Shape = Shape {
    default_key: Some("path"),
    defaults: &[
        ("mode", "0660"),
        ("deny-write", "0"),
        ("uid", "0"),
        ("gid", "0"),
    ],
    completed: &[],
};
const QEMU_NET: Shape = Shape {
    default_key: Some("model"),
    defaults: &[("firewall", "0"), ("link_down", "0")],
    completed: &["macaddr"],
};
const QEMU_DISK: Shape = Shape {
    default_key: Some("file"),
    defaults: &[
        ("media", "disk"),
        ("backup", "1"),
        ("cache", "none"),
        ("discard", "ignore"),
        ("iothread", "0"),
        ("replicate", "1"),
        ("ro", "0"),
        ("shared", "0"),
        ("snapshot", "0"),
        ("ssd", "0"),
    ],
    completed: &["size", "format"],
};
const QEMU_STATE: Shape = Shape {
    default_key: Some("file"),
    defaults: &[("efitype", "2m"), ("pre-enrolled-keys", "0")],
    completed: &["size", "format", "version", "ms-cert"],
};
const QEMU_PCI: Shape = Shape {
    default_key: Some("host"),
    defaults: &[
        ("pcie", "0"),
        ("rombar", "1"),
        ("x-vga", "0"),
        ("legacy-igd", "0"),
    ],
    completed: &[],
};
const QEMU_USB: Shape = Shape {
    default_key: Some("host"),
    defaults: &[("usb3", "0")],
    completed: &[],
};
const QEMU_AGENT: Shape = Shape {
    default_key: Some("enabled"),
    defaults: &[
        ("enabled", "0"),
        ("fstrim_cloned_disks", "0"),
        ("freeze-fs-on-backup", "1"),
        ("type", "virtio"),
    ],
    completed: &[],
};
const QEMU_CPU: Shape = Shape {
    default_key: Some("cputype"),
    defaults: &[("hidden", "0")],
    completed: &[],
};
const QEMU_VGA: Shape = Shape {
    default_key: Some("type"),
    defaults: &[],
    completed: &[],
};
const ORDER: Shape = Shape {
    default_key: Some("order"),
    defaults: &[],
    completed: &[],
};
const PLAIN: Shape = Shape {
    default_key: None,
    defaults: &[],
    completed: &[],
};

/// The models of network cards, which stand as keys before their hardware address.
const MODELS: [&str; 5] = ["virtio", "e1000", "e1000e", "rtl8139", "vmxnet3"];

impl Shape {
    /// The meaning of an option; `None` where its value is one text and no property string.
    pub fn of(kind: Kind, option: &str) -> Option<&'static Self> {
        let family = option.trim_end_matches(|c: char| c.is_ascii_digit());
        Some(match (kind, family) {
            (_, "startup") => &ORDER,
            (Kind::Lxc, "net") => &LXC_NET,
            (Kind::Lxc, "rootfs" | "mp" | "unused") => &LXC_VOLUME,
            (Kind::Lxc, "features") => &LXC_FEATURES,
            (Kind::Lxc, "dev") => &LXC_DEVICE,
            (Kind::Qemu, "net") => &QEMU_NET,
            (Kind::Qemu, "scsi" | "virtio" | "sata" | "ide" | "unused") => &QEMU_DISK,
            (Kind::Qemu, "efidisk" | "tpmstate") => &QEMU_STATE,
            (Kind::Qemu, "hostpci") => &QEMU_PCI,
            (Kind::Qemu, "usb") => &QEMU_USB,
            (Kind::Qemu, "agent") => &QEMU_AGENT,
            (Kind::Qemu, "cpu") => &QEMU_CPU,
            (Kind::Qemu, "vga") => &QEMU_VGA,
            (Kind::Qemu, "ipconfig" | "boot" | "smbios" | "audio" | "numa") => &PLAIN,
            _ => return None,
        })
    }

    /// Parses a value; a network card's model and hardware address are two keys, however they are written.
    ///
    /// # Errors
    ///
    /// As [`PropertyString::parse`].
    pub fn parse(&self, text: &str) -> Result<PropertyString, NoProperty> {
        let mut parsed = PropertyString::parse(text, self.default_key)?;
        if self.default_key == Some("model") {
            for model in MODELS {
                if let Some(address) = parsed.remove(model) {
                    let mut pairs = vec![("model", model), ("macaddr", address.as_str())];
                    pairs.extend(parsed.pairs());
                    parsed = PropertyString::of(pairs);
                    break;
                }
            }
        }
        Ok(parsed)
    }

    /// Prints a value as the server does: the key that may be left out first and without its name.
    pub fn print(&self, value: &PropertyString) -> String {
        let mut rest = value.clone();
        let first = self.default_key.and_then(|key| rest.remove(key));
        let first = match (self.default_key, first) {
            (Some("model"), Some(model)) => match rest.remove("macaddr") {
                Some(address) => Some(format!("{model}={address}")),
                None => Some(model),
            },
            (_, first) => first,
        };
        let mut parts: Vec<String> = first.into_iter().collect();
        parts.extend(rest.pairs().map(|(key, value)| format!("{key}={value}")));
        parts.join(",")
    }

    /// Keys that are not as wished: other values, and what is there beyond the wish. What the server completed and what is so
    /// without being said is no difference.
    pub fn differences(&self, wish: &PropertyString, there: &PropertyString) -> Vec<Difference> {
        let mut found = Vec::new();
        for (key, wished) in wish.pairs() {
            let is = there.get(key).or_else(|| self.default(key));
            let same = match is {
                Some(is) if self.is_volume(key) => same_volume(wished, is, there.get("size")),
                Some(is) if key == "host" => same_device(wished, is),
                Some(is) => same_value(wished, is),
                // Without a default, what is switched off is not written.
                None => matches!(wished, "0" | "no" | "off" | "false"),
            };
            // An import is carried out once and then forgotten.
            if !same && key != "import-from" {
                found.push(difference(key, Some(wished), is));
            }
        }
        let allocated = self.default_key.and_then(|key| wish.get(key));
        let cloud_init = allocated.is_some_and(|volume| volume.ends_with(":cloudinit"));
        for (key, is) in there.pairs() {
            let usual = self.default(key).is_some_and(|usual| same_value(usual, is));
            let completed = self.completed.contains(&key) || cloud_init && key == "media";
            if wish.get(key).is_none() && !usual && !completed {
                found.push(difference(key, None, Some(is)));
            }
        }
        found
    }

    /// The wish with what is to be kept of what is there: a hardware address, the volume that exists. Without it, setting one
    /// key of a network card would give it another address, and one of a disk another disk.
    pub fn complete(&self, wish: &PropertyString, there: &PropertyString) -> PropertyString {
        let mut whole = wish.clone();
        for key in self.completed {
            if let (None, Some(is)) = (wish.get(key), there.get(key)) {
                whole.set(key, is);
            }
        }
        let volume = self.default_key.filter(|key| self.is_volume(key));
        if let Some((key, is)) = volume.and_then(|key| Some((key, there.get(key)?))) {
            let wished = wish.get(key).unwrap_or(is);
            if is_new(wished) && store(wished) == store(is) {
                whole.set(key, is);
            }
        }
        whole
    }

    fn default(&self, key: &str) -> Option<&'static str> {
        let found = self.defaults.iter().find(|(known, _)| *known == key);
        found.map(|(_, value)| *value)
    }

    fn is_volume(&self, key: &str) -> bool {
        self.default_key == Some(key) && matches!(key, "volume" | "file")
    }
}

/// Whether an option means the same as wished: property strings by their shape, tags as a set, other values as such.
pub fn same_option(kind: Kind, option: &str, wish: &str, is: &str) -> bool {
    if wish == is {
        return true;
    }
    if option == "tags" {
        return set(wish) == set(is);
    }
    if option == "description" {
        // A container's comes back with a line end.
        return wish.trim_end() == is.trim_end();
    }
    let Some(shape) = Shape::of(kind, option) else {
        return same_value(wish, is);
    };
    match (shape.parse(wish), shape.parse(is)) {
        (Ok(wish), Ok(is)) => shape.differences(&wish, &is).is_empty(),
        _ => false,
    }
}

fn difference(key: &str, wished: Option<&str>, is: Option<&str>) -> Difference {
    Difference {
        key: key.to_owned(),
        wished: wished.map(str::to_owned),
        is: is.map(str::to_owned),
    }
}

fn set(text: &str) -> std::collections::BTreeSet<String> {
    let parts = text.split([';', ',', ' ']).filter(|tag| !tag.is_empty());
    parts.map(str::to_lowercase).collect()
}

fn store(volume: &str) -> Option<&str> {
    volume.split_once(':').map(|(store, _)| store)
}

/// `STORE:SIZE` in GiB, and `STORE:cloudinit`, make a volume.
fn is_new(volume: &str) -> bool {
    let size = volume.split_once(':').map(|(_, size)| size);
    size.is_some_and(|size| size == "cloudinit" || size.parse::<f64>().is_ok())
}

/// A wish for a new volume is met by one on that storage with that size.
fn same_volume(wish: &str, is: &str, size: Option<&str>) -> bool {
    if wish == is {
        return true;
    }
    let (Some((store_wished, wished)), Some((store, name))) =
        (wish.split_once(':'), is.split_once(':'))
    else {
        return false;
    };
    if store_wished != store || !is_new(wish) {
        return false;
    }
    if wished == "cloudinit" {
        return name.contains("cloudinit");
    }
    let bytes = wished
        .parse::<f64>()
        .ok()
        .map(|gib| (gib * f64::from(1 << 30)) as u64);
    // An import says 0 and takes the size of what it imports.
    bytes == Some(0) || bytes.is_some() && bytes == size.and_then(disk_size)
}

/// `01:00.0` is `0000:01:00.0`; several stand between semicolons, in any order.
fn same_device(wish: &str, is: &str) -> bool {
    let whole = |text: &str| {
        let mut devices: Vec<String> = text
            .split(';')
            .map(|device| match device.matches(':').count() {
                1 if device.contains('.') => format!("0000:{}", device.to_ascii_lowercase()),
                _ => device.to_ascii_lowercase(),
            })
            .collect();
        devices.sort();
        devices
    };
    whole(wish) == whole(is)
}

#[cfg(test)]
mod tests {
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
            nth in 0..MODELS.len(),
            pairs in prop::collection::btree_map("(bridge|firewall|ip|mtu|ro|backup|size|mp|macaddr)", "[a-zA-Z0-9/._-]{1,10}", 0..6),
        ) {
            let (kind, option) = OPTIONS[pick];
            let shape = Shape::of(kind, option).expect("a shape");
            let mut value = PropertyString::of(pairs);
            match shape.default_key {
                Some("model") => value.set("model", MODELS[nth]),
                Some(key) => value.set(key, format!("local:{nth}")),
                None => {}
            }
            let again = shape.parse(&shape.print(&value)).expect("parses");
            prop_assert_eq!(shape.differences(&value, &again), []);
            prop_assert_eq!(shape.differences(&again, &value), []);
            prop_assert_eq!(shape.complete(&value, &again), value);
        }
    }
}
