//! What the keys of a guest's options mean: which key may be left out, what is so without being said, and what the server
//! completes by itself. With it a wish is compared with what is there by meaning and in both directions.
//!
//! Facts: pve-container 6.1 (`net[n]`, `rootfs`, `mp[n]`, `features`, `dev[n]`), qemu-server 9.2 (the others). The server writes
//! `virtio=MAC,bridge=…` for what was sent as `virtio,bridge=…`, `local:130/vm-130-disk-0.raw,size=8G` for `local:8`.

mod options;

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

impl Shape {
    /// The meaning of an option; `None` where its value is one text and no property string.
    pub fn of(kind: Kind, option: &str) -> Option<&'static Self> {
        let family = option.trim_end_matches(|c: char| c.is_ascii_digit());
        Some(match (kind, family) {
            (_, "startup") => &options::ORDER,
            (Kind::Lxc, "net") => &options::LXC_NET,
            (Kind::Lxc, "rootfs" | "mp" | "unused") => &options::LXC_VOLUME,
            (Kind::Lxc, "features") => &options::LXC_FEATURES,
            (Kind::Lxc, "dev") => &options::LXC_DEVICE,
            (Kind::Qemu, "net") => &options::QEMU_NET,
            (Kind::Qemu, "scsi" | "virtio" | "sata" | "ide" | "unused") => &options::QEMU_DISK,
            (Kind::Qemu, "efidisk" | "tpmstate") => &options::QEMU_STATE,
            (Kind::Qemu, "hostpci") => &options::QEMU_PCI,
            (Kind::Qemu, "usb") => &options::QEMU_USB,
            (Kind::Qemu, "agent") => &options::QEMU_AGENT,
            (Kind::Qemu, "cpu") => &options::QEMU_CPU,
            (Kind::Qemu, "vga") => &options::QEMU_VGA,
            (Kind::Qemu, "ipconfig" | "boot" | "smbios" | "audio" | "numa") => &options::PLAIN,
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
            for model in options::MODELS {
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
mod tests;
