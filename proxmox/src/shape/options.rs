//! The options, by family.

use super::Shape;

pub(super) const LXC_NET: Shape = Shape {
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
pub(super) const LXC_VOLUME: Shape = Shape {
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
pub(super) const LXC_FEATURES: Shape = Shape {
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
pub(super) const LXC_DEVICE: Shape = Shape {
    default_key: Some("path"),
    defaults: &[
        ("mode", "0660"),
        ("deny-write", "0"),
        ("uid", "0"),
        ("gid", "0"),
    ],
    completed: &[],
};
pub(super) const QEMU_NET: Shape = Shape {
    default_key: Some("model"),
    defaults: &[("firewall", "0"), ("link_down", "0")],
    completed: &["macaddr"],
};
pub(super) const QEMU_DISK: Shape = Shape {
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
pub(super) const QEMU_STATE: Shape = Shape {
    default_key: Some("file"),
    defaults: &[("efitype", "2m"), ("pre-enrolled-keys", "0")],
    completed: &["size", "format", "version", "ms-cert"],
};
pub(super) const QEMU_PCI: Shape = Shape {
    default_key: Some("host"),
    defaults: &[
        ("pcie", "0"),
        ("rombar", "1"),
        ("x-vga", "0"),
        ("legacy-igd", "0"),
    ],
    completed: &[],
};
pub(super) const QEMU_USB: Shape = Shape {
    default_key: Some("host"),
    defaults: &[("usb3", "0")],
    completed: &[],
};
pub(super) const QEMU_AGENT: Shape = Shape {
    default_key: Some("enabled"),
    defaults: &[
        ("enabled", "0"),
        ("fstrim_cloned_disks", "0"),
        ("freeze-fs-on-backup", "1"),
        ("type", "virtio"),
    ],
    completed: &[],
};
pub(super) const QEMU_CPU: Shape = Shape {
    default_key: Some("cputype"),
    defaults: &[("hidden", "0")],
    completed: &[],
};
pub(super) const QEMU_VGA: Shape = Shape {
    default_key: Some("type"),
    defaults: &[],
    completed: &[],
};
pub(super) const ORDER: Shape = Shape {
    default_key: Some("order"),
    defaults: &[],
    completed: &[],
};
pub(super) const PLAIN: Shape = Shape {
    default_key: None,
    defaults: &[],
    completed: &[],
};

/// The models of network cards, which stand as keys before their hardware address.
pub(super) const MODELS: [&str; 5] = ["virtio", "e1000", "e1000e", "rtl8139", "vmxnet3"];
