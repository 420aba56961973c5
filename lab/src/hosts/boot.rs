//! What a machine knows since its last start: boot id, time, kernel command line, and which driver holds a device.
//!
//! A changed file takes effect at the next start only, as on a real machine.

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::fixture::Device;

/// The kernel of a fresh installation.
pub(super) const KERNEL: &str = "6.17.2-1-pve";
/// The most that is read of a configuration file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The facts of one start.
#[derive(Debug, Clone)]
pub(super) struct Boot {
    pub(super) id: String,
    pub(super) since: Instant,
    pub(super) cmdline: String,
    /// `vendor:device` of what `vfio-pci` takes.
    vfio: Vec<String>,
    blacklist: Vec<String>,
}

impl Boot {
    /// Reads the files of a root as a machine's start does.
    pub(super) fn of(root: &Path) -> Self {
        let cmdline = cmdline(root);
        let modprobe = directory(root, "etc/modprobe.d", "conf");
        let words = |text: &str| -> Vec<Vec<String>> {
            text.lines()
                .map(|line| {
                    line.split('#')
                        .next()
                        .unwrap_or_default()
                        .split_whitespace()
                        .map(str::to_owned)
                        .collect()
                })
                .collect()
        };
        let (mut vfio, mut blacklist, mut loaded) = (Vec::new(), Vec::new(), false);
        for line in words(&modprobe) {
            match line
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .as_slice()
            {
                ["blacklist", module] => blacklist.push((*module).to_owned()),
                ["options", "vfio-pci" | "vfio_pci", options @ ..] => {
                    vfio.extend(
                        options
                            .iter()
                            .filter_map(|option| option.strip_prefix("ids="))
                            .flat_map(ids),
                    );
                }
                ["softdep", _, "pre:", modules @ ..] => loaded |= modules.contains(&"vfio-pci"),
                _ => {}
            }
        }
        let modules = read(root, "etc/modules") + &directory(root, "etc/modules-load.d", "conf");
        loaded |= words(&modules).iter().any(|line| {
            line.first()
                .is_some_and(|module| module == "vfio-pci" || module == "vfio_pci")
        });
        vfio.extend(
            cmdline
                .split_whitespace()
                .filter_map(|word| word.strip_prefix("vfio-pci.ids="))
                .flat_map(ids),
        );
        if !loaded {
            vfio.clear();
        }
        Self {
            id: uuid(),
            since: Instant::now(),
            cmdline,
            vfio,
            blacklist,
        }
    }

    /// Whether there are IOMMU groups.
    pub(super) fn iommu(&self) -> bool {
        !self
            .cmdline
            .split_whitespace()
            .any(|word| matches!(word, "iommu=off" | "intel_iommu=off" | "amd_iommu=off"))
    }

    /// The driver that holds a device, and the modules that could.
    pub(super) fn driver(&self, device: &Device) -> (Option<String>, Option<&'static str>) {
        let module = usual(device);
        let id = format!(
            "{}:{}",
            hex(device.vendor.as_deref()),
            hex(device.device.as_deref())
        );
        if self.vfio.contains(&id) {
            return (Some("vfio-pci".to_owned()), module);
        }
        let free = |module: &&str| !self.blacklist.iter().any(|name| name == module);
        (module.filter(free).map(str::to_owned), module)
    }
}

fn ids(list: &str) -> Vec<String> {
    list.split(',').map(str::to_ascii_lowercase).collect()
}

/// A number of a device without `0x`, in lower case.
pub(super) fn hex(text: Option<&str>) -> String {
    text.unwrap_or_default()
        .trim_start_matches("0x")
        .to_ascii_lowercase()
}

/// What drives such a device when nothing else is said.
fn usual(device: &Device) -> Option<&'static str> {
    let audio = class(device) == "0403";
    match (hex(device.vendor.as_deref()).as_str(), audio) {
        (_, true) => Some("snd_hda_intel"),
        ("10de", _) => Some("nouveau"),
        ("1002", _) => Some("amdgpu"),
        ("8086", _) if class(device) == "0300" => Some("i915"),
        _ => None,
    }
}

/// The class of a device in four digits: as given, else by its vendor and name.
pub(super) fn class(device: &Device) -> String {
    if let Some(class) = &device.class {
        return hex(Some(class)).chars().take(4).collect();
    }
    let name = device
        .name
        .as_deref()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let vendor = hex(device.vendor.as_deref());
    let class = if has(&["audio"]) {
        "0403"
    } else if has(&["nvme", "ssd"]) {
        "0108"
    } else if has(&["ethernet", "network", "i225", "i226", "rtl8"]) {
        "0200"
    } else if has(&["usb", "xhci"]) {
        "0c03"
    } else if vendor == "10de" || has(&["geforce", "radeon", "graphics", "arc ", "gpu"]) {
        "0300"
    } else {
        "ff00"
    };
    class.to_owned()
}

fn cmdline(root: &Path) -> String {
    let own = read(root, "etc/kernel/cmdline");
    if !own.trim().is_empty() {
        return format!(
            "initrd=\\EFI\\proxmox\\{KERNEL}\\initrd.img-{KERNEL} {}\n",
            own.trim()
        );
    }
    let grub = read(root, "etc/default/grub");
    let value = |name: &str| {
        let line = grub
            .lines()
            .rev()
            .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
        line.map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
            .unwrap_or_default()
    };
    let parts = [
        format!("BOOT_IMAGE=/boot/vmlinuz-{KERNEL} root=/dev/mapper/pve-root ro"),
        value("GRUB_CMDLINE_LINUX"),
        value("GRUB_CMDLINE_LINUX_DEFAULT"),
    ];
    let parts: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    format!("{}\n", parts.join(" "))
}

/// A file of a root. A link is not followed: it would lead to this machine.
pub(super) fn read(root: &Path, name: &str) -> String {
    let path = root.join(name);
    match fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_file() && meta.len() <= FILE_BYTES_MAX => {
            fs::read_to_string(&path).unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// All files of a directory with that extension, in the order of their names.
fn directory(root: &Path, name: &str, extension: &str) -> String {
    let Ok(entries) = fs::read_dir(root.join(name)) else {
        return String::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|file| {
            Path::new(file)
                .extension()
                .is_some_and(|other| other == extension)
        })
        .collect();
    names.sort();
    names
        .iter()
        .map(|file| read(root, &format!("{name}/{file}")) + "\n")
        .collect()
}

/// A new boot id, from the kernel's own source of such.
fn uuid() -> String {
    fs::read_to_string("/proc/sys/kernel/random/uuid").map_or_else(
        |_| "00000000-0000-4000-8000-000000000000".to_owned(),
        |text| text.trim().to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu() -> Device {
        Device {
            pci: Some("0000:01:00.0".into()),
            vendor: Some("10de".into()),
            device: Some("2484".into()),
            name: Some("GeForce RTX 3070".into()),
            iommu_group: Some(14),
            ..Device::default()
        }
    }

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn vfio_takes_what_is_named_when_its_module_is_loaded() {
        let ids = (
            "etc/modprobe.d/vfio.conf",
            "options vfio-pci ids=10DE:2484,10de:228b disable_vga=1\n",
        );
        let loaded = ("etc/modules", "# modules\nvfio\nvfio-pci\n");
        let driver = |files: &[(&str, &str)]| Boot::of(root(files).path()).driver(&gpu()).0;
        assert_eq!(driver(&[]).as_deref(), Some("nouveau"));
        assert_eq!(
            driver(&[ids]).as_deref(),
            Some("nouveau"),
            "the module is not loaded"
        );
        assert_eq!(driver(&[ids, loaded]).as_deref(), Some("vfio-pci"));
        assert_eq!(
            driver(&[
                ids,
                ("etc/modprobe.d/a.conf", "softdep nouveau pre: vfio-pci")
            ])
            .as_deref(),
            Some("vfio-pci")
        );
        assert_eq!(
            driver(&[("etc/modprobe.d/b.conf", "blacklist nouveau # never")]),
            None
        );
        assert_eq!(
            driver(&[("etc/modprobe.d/b.txt", "blacklist nouveau")]).as_deref(),
            Some("nouveau"),
            "not a .conf"
        );
    }

    #[test]
    fn the_command_line_is_that_of_its_file() {
        let grub = (
            "etc/default/grub",
            "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet intel_iommu=off\"\nGRUB_CMDLINE_LINUX=\"\"\n",
        );
        let boot = Boot::of(root(&[grub]).path());
        assert!(
            boot.cmdline.ends_with("ro quiet intel_iommu=off\n"),
            "{}",
            boot.cmdline
        );
        assert!(!boot.iommu());
        let own = (
            "etc/kernel/cmdline",
            "root=ZFS=rpool/ROOT/pve-1 boot=zfs iommu=pt\n",
        );
        let boot = Boot::of(root(&[grub, own]).path());
        assert!(boot.cmdline.ends_with("boot=zfs iommu=pt\n") && boot.iommu());
    }
}
