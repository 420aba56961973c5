//! One key of a guest's configuration: what is wished for it, whether that is so, and what it is set to.

pub use runbook::read::is_numbered;

use super::super::pairs::{self, FIRST, Pairs};

/// What is wished for a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// One value.
    Value(String),
    /// A boolean that is false where nothing is said.
    Flag(bool),
    /// Pairs; those that are not named stay as they are.
    Pairs {
        /// What is named.
        pairs: Pairs,
        /// What the value without a key stands for.
        first: Option<&'static str>,
    },
    /// A network card of a virtual machine.
    Card(Pairs),
    /// These tags are among it.
    Tags(Vec<String>),
    /// These public keys, as the server wants them encoded.
    PublicKeys(Vec<String>),
    /// A volume on a storage, at least so large.
    Volume(Volume),
    /// It is not there.
    Absent,
}

/// A volume that is made when it is not there, and grows when it is too small.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    /// The storage.
    pub storage: String,
    /// Its size; `None` where the server decides.
    pub bytes: Option<u64>,
    /// What else is wished of it.
    pub pairs: Pairs,
}

/// How a key is compared with its wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is so.
    Same,
    /// It is set to this.
    Set(String),
    /// It is taken out.
    Remove,
    /// The volume grows to this size, in bytes; and is set to this too where more than its size differs.
    Grow(u64, Option<String>),
    /// It cannot become so: why, and what to do.
    Impossible(String, String),
}

impl Wanted {
    /// A raw value as somebody writes it: a volume, a network card, pairs or one value.
    pub fn raw(key: &str, text: &str, is_vm: bool) -> Self {
        if is_vm && is_numbered(key, "net") {
            return Self::Card(Pairs::parse_card(text));
        }
        let pairs = Pairs::parse(text);
        if is_disk(key)
            && let Some(volume) = Volume::raw(key, &pairs)
        {
            return Self::Volume(volume);
        }
        if key == "tags" {
            return Self::Tags(tags(text));
        }
        if text.contains('=') && !text.contains(char::is_whitespace) {
            return Self::Pairs { pairs, first: None };
        }
        Self::Value(text.to_owned())
    }

    /// Compares with what is there.
    pub fn compare(&self, key: &str, actual: Option<&str>) -> Verdict {
        if let (Self::Volume(volume), Some(actual)) = (self, actual) {
            return volume.compare(key, actual);
        }
        if self.holds(actual) {
            return Verdict::Same;
        }
        match self {
            Self::Absent => Verdict::Remove,
            _ => Verdict::Set(self.text(actual)),
        }
    }

    fn holds(&self, actual: Option<&str>) -> bool {
        let Some(actual) = actual else {
            return matches!(self, Self::Absent | Self::Flag(false))
                || matches!(self, Self::Tags(tags) if tags.is_empty())
                || matches!(self, Self::PublicKeys(keys) if keys.is_empty());
        };
        match self {
            Self::Absent => false,
            Self::Flag(on) => pairs::same(if *on { "1" } else { "0" }, actual),
            // A description reads back with a line end, a key that was raised to a property string as its first pair.
            Self::Value(value) => pairs::same(value.trim_end(), actual.trim_end()),
            Self::Pairs { pairs, first } => pairs.holds_in(&parsed(actual, *first)),
            Self::Card(card) => card.holds_in(&Pairs::parse_card(actual)),
            Self::Tags(wished) => {
                let actual = tags(actual);
                wished.iter().all(|tag| actual.contains(tag))
            }
            Self::PublicKeys(keys) => {
                let is = decoded(actual);
                let lines = |text: &str| -> Vec<String> {
                    let lines = text.lines().map(str::trim);
                    let mut lines: Vec<String> = lines
                        .filter(|line| !line.is_empty())
                        .map(str::to_owned)
                        .collect();
                    lines.sort();
                    lines
                };
                lines(&keys.join("\n")) == lines(&is)
            }
            Self::Volume(_) => false,
        }
    }

    /// What the key is set to; what is there keeps what the wish does not name.
    pub fn text(&self, actual: Option<&str>) -> String {
        match self {
            Self::Value(value) => value.clone(),
            Self::Flag(on) => if *on { "1" } else { "0" }.to_owned(),
            Self::Pairs { pairs, first } => {
                let actual = actual.map(|actual| parsed(actual, *first));
                let mut merged = pairs.over(&actual.unwrap_or_default());
                if let Some(first) = first
                    && let Some(value) = merged.take(first)
                {
                    merged.set(FIRST, value);
                }
                merged.print()
            }
            Self::Card(card) => card
                .over(&actual.map(Pairs::parse_card).unwrap_or_default())
                .print_card(),
            Self::Tags(wished) => {
                let mut all = actual.map(tags).unwrap_or_default();
                all.extend(wished.iter().cloned());
                all.sort();
                all.dedup();
                all.join(";")
            }
            Self::PublicKeys(keys) => encoded(&format!("{}\n", keys.join("\n"))),
            Self::Volume(volume) => volume.fresh(),
            Self::Absent => String::new(),
        }
    }
}

impl Volume {
    /// A volume of `STORE:SIZE` as the server writes it, size in GiB; `STORE:cloudinit` too.
    fn raw(key: &str, pairs: &Pairs) -> Option<Self> {
        let (storage, size) = pairs.get(FIRST)?.split_once(':')?;
        let bytes = match size.parse::<f64>() {
            Ok(gib) if gib > 0.0 => Some((gib * GIB as f64) as u64),
            Ok(_) => None,
            Err(_) if size == "cloudinit" => None,
            Err(_) => return None,
        };
        // The server makes these as large as they must be.
        let fixed = is_numbered(key, "efidisk") || is_numbered(key, "tpmstate");
        let mut others = pairs.clone();
        others.take(FIRST);
        Some(Self {
            storage: storage.to_owned(),
            bytes: bytes.filter(|_| !fixed),
            pairs: others,
        })
    }

    /// The text that makes it.
    pub fn fresh(&self) -> String {
        let mut pairs = self.pairs.clone();
        let size = match self.bytes {
            Some(bytes) => gib(bytes),
            None if pairs.get("media") == Some("cdrom") => "cloudinit".into(),
            None => "1".into(),
        };
        pairs.set(FIRST, format!("{}:{size}", self.storage));
        pairs.print()
    }

    fn compare(&self, key: &str, actual: &str) -> Verdict {
        let is = Pairs::parse(actual);
        let volume = is.get(FIRST).or(is.get("volume")).or(is.get("file"));
        let storage = volume.and_then(|volume| volume.split_once(':'));
        let storage = storage.map_or("", |(storage, _)| storage);
        if storage != self.storage {
            return Verdict::Impossible(
                format!(
                    "`{key}` lies on `{storage}`, not on `{}`: a disk is not moved",
                    self.storage
                ),
                "move it by hand or with a `proxmox` step, or write the storage where it lies"
                    .into(),
            );
        }
        let mut wished = self.pairs.clone();
        wished.take("import-from");
        let set = (!wished.holds_in(&is)).then(|| wished.over(&is).print());
        let size = is.get("size").and_then(pairs::size);
        match (self.bytes, size) {
            (Some(bytes), Some(is)) if bytes < is => Verdict::Impossible(
                format!(
                    "`{key}` has {}, which does not shrink to {}",
                    runbook::value::print_size(is),
                    runbook::value::print_size(bytes)
                ),
                format!(
                    "write `{}:{}`",
                    self.storage,
                    runbook::value::print_size(is)
                ),
            ),
            (Some(bytes), Some(is)) if bytes > is => Verdict::Grow(bytes, set),
            _ => set.map_or(Verdict::Same, Verdict::Set),
        }
    }
}

const GIB: u64 = 1 << 30;

/// A size in GiB, as a disk is made.
pub fn gib(bytes: u64) -> String {
    if bytes.is_multiple_of(GIB) {
        (bytes / GIB).to_string()
    } else {
        let text = format!("{:.6}", bytes as f64 / GIB as f64);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

fn parsed(text: &str, first: Option<&'static str>) -> Pairs {
    let mut pairs = Pairs::parse(text);
    if let Some(first) = first {
        pairs.name_first(first);
    }
    pairs
}

/// Tags as a configuration has them: lower case, sorted, each once.
pub fn tags(text: &str) -> Vec<String> {
    let mut tags: Vec<String> = text
        .split([';', ',', ' '])
        .filter(|tag| !tag.is_empty())
        .map(str::to_lowercase)
        .collect();
    tags.sort();
    tags.dedup();
    tags
}

/// Whether a key holds a volume.
pub fn is_disk(key: &str) -> bool {
    key == "rootfs"
        || [
            "mp", "scsi", "virtio", "sata", "ide", "efidisk", "tpmstate", "unused",
        ]
        .iter()
        .any(|word| is_numbered(key, word))
}

/// Everything but letters, digits and `-_.~` as `%XX`.
pub fn encoded(text: &str) -> String {
    let mut all = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            all.push(char::from(byte));
        } else {
            all.push_str(&format!("%{byte:02X}"));
        }
    }
    all
}

/// The same back.
pub fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut all = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text
            .get(at + 1..at + 3)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                all.push(byte);
                at += 3;
            }
            (byte, _) => {
                all.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Verdict {
        Verdict::Set(text.into())
    }

    #[test]
    fn values_and_flags_hold_by_meaning() {
        let cores = Wanted::Value("2".into());
        assert_eq!(cores.compare("cores", Some("2")), Verdict::Same);
        assert_eq!(cores.compare("cores", Some("4")), set("2"));
        assert_eq!(cores.compare("cores", None), set("2"));
        assert_eq!(Wanted::Flag(false).compare("onboot", None), Verdict::Same);
        assert_eq!(Wanted::Flag(true).compare("onboot", Some("0")), set("1"));
        assert_eq!(Wanted::Absent.compare("x", Some("1")), Verdict::Remove);
        assert_eq!(Wanted::Absent.compare("x", None), Verdict::Same);
    }

    #[test]
    fn pairs_keep_what_they_do_not_name() {
        let features = Wanted::Pairs {
            pairs: Pairs::parse("nesting=1"),
            first: None,
        };
        assert_eq!(
            features.compare("features", Some("keyctl=1,nesting=1")),
            Verdict::Same
        );
        assert_eq!(
            features.compare("features", Some("keyctl=1")),
            set("keyctl=1,nesting=1")
        );
        let agent = Wanted::Pairs {
            pairs: Pairs::parse("enabled=1"),
            first: Some("enabled"),
        };
        assert_eq!(
            agent.compare("agent", Some("1,fstrim_cloned_disks=1")),
            Verdict::Same
        );
        assert_eq!(agent.compare("agent", Some("0")), set("1"));
        assert_eq!(agent.compare("agent", None), set("1"));
    }

    #[test]
    fn a_volume_is_made_grows_and_never_shrinks_or_moves() {
        let wished = |size: u64| {
            Wanted::Volume(Volume {
                storage: "local-lvm".into(),
                bytes: Some(size << 30),
                pairs: Pairs::default(),
            })
        };
        let is = "local-lvm:vm-130-disk-0,size=8G";
        assert_eq!(wished(8).compare("rootfs", Some(is)), Verdict::Same);
        assert_eq!(
            wished(16).compare("rootfs", Some(is)),
            Verdict::Grow(16 << 30, None)
        );
        assert_eq!(wished(4).compare("rootfs", None), set("local-lvm:4"));
        let Verdict::Impossible(why, hint) = wished(4).compare("rootfs", Some(is)) else {
            panic!("it shrank");
        };
        assert_eq!(why, "`rootfs` has 8GiB, which does not shrink to 4GiB");
        assert_eq!(hint, "write `local-lvm:8GiB`");
        let moved = wished(8).compare("rootfs", Some("local:130/vm-130-disk-0.raw,size=8G"));
        assert!(matches!(moved, Verdict::Impossible(..)), "{moved:?}");
    }

    #[test]
    fn raw_values_are_read_as_the_server_would() {
        let disk = Wanted::raw("scsi1", "local-lvm:32,ssd=1", true);
        assert_eq!(disk.text(None), "local-lvm:32,ssd=1");
        assert_eq!(
            disk.compare("scsi1", Some("local-lvm:vm-200-disk-1,size=32G,ssd=1")),
            Verdict::Same
        );
        let efi = Wanted::raw("efidisk0", "local-lvm:1,efitype=4m", true);
        assert_eq!(
            efi.compare(
                "efidisk0",
                Some("local-lvm:vm-200-disk-1,efitype=4m,size=4M")
            ),
            Verdict::Same
        );
        assert_eq!(efi.text(None), "local-lvm:1,efitype=4m");
        let drive = Wanted::raw("ide2", "local-lvm:cloudinit,media=cdrom", true);
        assert_eq!(drive.text(None), "local-lvm:cloudinit,media=cdrom");
        assert_eq!(
            drive.compare("ide2", Some("local-lvm:vm-200-cloudinit,media=cdrom")),
            Verdict::Same
        );
        let iso = Wanted::raw("ide2", "local:iso/x.iso,media=cdrom", true);
        assert_eq!(
            iso.compare("ide2", Some("local:iso/x.iso,media=cdrom,size=4M")),
            Verdict::Same
        );
        let card = Wanted::raw("net0", "virtio,bridge=vmbr0", true);
        assert_eq!(
            card.compare("net0", Some("virtio=BC:24:11:00:00:01,bridge=vmbr0")),
            Verdict::Same
        );
        assert_eq!(
            Wanted::raw("args", "-cpu host,+x=1", true).text(None),
            "-cpu host,+x=1"
        );
    }

    #[test]
    fn tags_are_among_others() {
        let tags = Wanted::raw("tags", "Web;runbook", false);
        assert_eq!(tags.compare("tags", Some("a;runbook;web")), Verdict::Same);
        assert_eq!(tags.compare("tags", Some("a;b")), set("a;b;runbook;web"));
    }

    #[test]
    fn public_keys_are_compared_as_they_were_before_they_were_encoded() {
        let keys = Wanted::PublicKeys(vec!["ssh-ed25519 AAAA a@b".into()]);
        let text = keys.text(None);
        assert_eq!(text, "ssh-ed25519%20AAAA%20a%40b%0A");
        assert_eq!(keys.compare("sshkeys", Some(&text)), Verdict::Same);
        assert_eq!(
            keys.compare("sshkeys", Some("ssh-ed25519%20AAAA%20a%40b")),
            Verdict::Same
        );
    }

    #[test]
    fn sizes_of_disks_are_in_gib() {
        assert_eq!(gib(32 << 30), "32");
        assert_eq!(gib(512 << 20), "0.5");
    }
}
