//! The configuration of a guest, key by key, from the fields of a step.

use runbook::read::{self, Args, ReadError};
use runbook::value::print_size;
use serde_json::Value;

use super::super::super::pairs::{FIRST, Pairs};
use super::super::keys::{self, Wanted, encoded};
use super::super::{Source, Subject};
use super::{Wrong, required, volume, wrong};

const MIB: u64 = 1 << 20;

/// Reads fields, and collects the keys.
pub(super) struct Reader<'a> {
    pub(super) args: &'a Args<'a>,
    pub(super) is_vm: bool,
    pub(super) keys: Vec<(String, Wanted)>,
    /// What cloud-init reads, where it is no volume.
    pub(super) user_data: Option<String>,
}

impl Reader<'_> {
    fn key(&mut self, key: impl Into<String>, wanted: Wanted) {
        self.keys.push((key.into(), wanted));
    }

    fn value(&mut self, field: &str, key: &str) -> Result<(), Wrong> {
        if let Some(value) = self.args.opt_text(field)? {
            self.key(key, Wanted::Value(value));
        }
        Ok(())
    }

    pub(super) fn source(&self) -> Result<Option<Source>, Wrong> {
        if let Some(template) = self.args.opt_text("template")? {
            return Ok(Some(Source::Template(template)));
        }
        if let Some(backup) = self.args.opt_text("backup")? {
            return Ok(Some(Source::Backup(backup)));
        }
        if let Some(clone) = self.args.get("clone") {
            return Ok(Some(Source::Clone {
                from: required(clone, "from")?,
                full: clone.get("full").map(read::bool).transpose()?,
                snapshot: clone.get("snapshot").map(read::text).transpose()?,
            }));
        }
        if let Some(image) = self.args.get("image") {
            return Ok(Some(Source::Image {
                from: required(image, "from")?,
                storage: image.get("storage").map(read::text).transpose()?,
            }));
        }
        Ok(None)
    }

    /// Every configured key; the number of network interfaces where it is said.
    pub(super) fn all(&mut self, subject: &Subject) -> Result<Option<usize>, Wrong> {
        if let Some(hostname) = self.args.opt_text("hostname")?
            && subject.vmid.is_some()
            && effective(self.args)
        {
            let key = if self.is_vm { "name" } else { "hostname" };
            self.key(key, Wanted::Value(hostname));
        }
        self.value("cores", "cores")?;
        self.memory()?;
        let nets = self.nets()?;
        self.mounts()?;
        self.features()?;
        if self.is_vm {
            self.cloud_init()?;
            self.devices()?;
            for field in ["bios", "machine", "cpu"] {
                self.typed(field)?;
            }
            if self.args.has("agent") {
                let on = self.args.bool("agent", false)?;
                let pairs = Pairs::new([("enabled".to_owned(), on.to_string())]);
                self.key(
                    "agent",
                    Wanted::Pairs {
                        pairs,
                        first: Some("enabled"),
                    },
                );
            }
        }
        if self.args.has("onboot") {
            let on = self.args.bool("onboot", false)?;
            self.key("onboot", Wanted::Flag(on));
        }
        if self.args.has("nameserver") && self.keys.iter().any(|(key, _)| key == "nameserver") {
            return Err(wrong(
                "`nameserver` and `cloud-init.dns` say the same twice",
                "keep one of them",
            ));
        }
        self.value("nameserver", "nameserver")?;
        if self.args.has("tags") {
            let tags = self.args.list("tags")?;
            let tags = keys::tags(&tags.join(";"));
            self.key("tags", Wanted::Tags(tags));
        }
        self.raw()?;
        Ok(nets)
    }

    fn typed(&mut self, field: &'static str) -> Result<(), Wrong> {
        let Some(text) = self.args.opt_text(field)? else {
            return Ok(());
        };
        let first = match field {
            "cpu" => Some("cputype"),
            "machine" => Some("type"),
            _ => None,
        };
        let wanted = match first {
            Some(first) => {
                let mut pairs = Pairs::parse(&text);
                pairs.name_first(first);
                Wanted::Pairs {
                    pairs,
                    first: Some(first),
                }
            }
            None => Wanted::Value(text),
        };
        self.key(field, wanted);
        Ok(())
    }

    fn memory(&mut self) -> Result<(), Wrong> {
        for field in ["memory", "swap"] {
            let Some(bytes) = self.args.opt_size(field)? else {
                continue;
            };
            if field == "swap" && self.is_vm {
                return Err(wrong(
                    "a virtual machine has no `swap` of its own",
                    "take it out; swap is made inside the guest",
                ));
            }
            if !bytes.is_multiple_of(MIB) || (bytes == 0 && field == "memory") {
                return Err(wrong(
                    format!("`{field}: {}` is no whole number of MiB", print_size(bytes)),
                    "write `512MiB`, `8GiB`",
                ));
            }
            let value = (bytes / MIB).to_string();
            let wanted = if self.is_vm {
                Wanted::Pairs {
                    pairs: Pairs::new([("current".to_owned(), value)]),
                    first: Some("current"),
                }
            } else {
                Wanted::Value(value)
            };
            self.key(field, wanted);
        }
        Ok(())
    }

    fn nets(&mut self) -> Result<Option<usize>, Wrong> {
        let Some(node) = self.args.get("net") else {
            return Ok(None);
        };
        if node.as_text() == Some("none") {
            return Ok(Some(0));
        }
        let nets = read::items(node);
        for (number, net) in nets.iter().enumerate() {
            let mut pairs = Pairs::new(read::map_of_text(net)?);
            let wanted = if self.is_vm {
                Wanted::Card(pairs)
            } else {
                if pairs.get("name").is_none() {
                    pairs.set("name", format!("eth{number}"));
                }
                Wanted::Pairs { pairs, first: None }
            };
            self.key(format!("net{number}"), wanted);
        }
        Ok(Some(nets.len()))
    }

    fn mounts(&mut self) -> Result<(), Wrong> {
        let Some(node) = self.args.get("mounts") else {
            return Ok(());
        };
        for mount in read::entries(node)?.iter() {
            if read::is_null(&mount.value) {
                self.key(mount.key.clone(), Wanted::Absent);
                continue;
            }
            let mut pairs = Pairs::new([("mp".to_owned(), required(&mount.value, "path")?)]);
            if let Some(read_only) = mount.value.get("read-only") {
                pairs.set("ro", u8::from(read::bool(read_only)?).to_string());
            }
            let wanted = match mount.value.get("source").map(read::text).transpose()? {
                Some(source) => {
                    pairs.set(FIRST, source);
                    Wanted::Pairs { pairs, first: None }
                }
                None => Wanted::Volume(volume(&required(&mount.value, "disk")?, pairs)?),
            };
            self.key(mount.key.clone(), wanted);
        }
        Ok(())
    }

    fn features(&mut self) -> Result<(), Wrong> {
        let Some(node) = self.args.get("features") else {
            return Ok(());
        };
        let mut pairs = Pairs::default();
        for feature in read::entries(node)?.iter() {
            let value = match feature.value.to_json() {
                Value::Bool(on) => u8::from(on).to_string(),
                Value::Array(items) => {
                    let items = items.iter().map(|item| match item {
                        Value::String(text) => text.clone(),
                        other => other.to_string(),
                    });
                    items.collect::<Vec<_>>().join(";")
                }
                _ => read::text(&feature.value)?,
            };
            pairs.set(&feature.key, value);
        }
        self.key("features", Wanted::Pairs { pairs, first: None });
        Ok(())
    }

    fn cloud_init(&mut self) -> Result<(), Wrong> {
        let args = self.args;
        let (given, root_keys) = (args.get("cloud-init"), args.list("ssh-keys")?);
        let text = |field: &str| -> Result<Option<String>, ReadError> {
            let node = given.and_then(|node| node.get(field));
            node.map(read::text).transpose()
        };
        let keys = given.and_then(|node| node.get("ssh-keys"));
        let keys = keys
            .map(read::list_of_text)
            .transpose()?
            .unwrap_or(root_keys);
        if let Some(user) = text("user")? {
            self.key("ciuser", Wanted::Value(user));
        }
        if !keys.is_empty() {
            self.key("sshkeys", Wanted::PublicKeys(keys));
        }
        let mut ip = Pairs::default();
        if let Some(address) = text("ip")? {
            ip.set("ip", address);
        }
        if let Some(gateway) = text("gateway")? {
            ip.set("gw", gateway);
        }
        if ip != Pairs::default() {
            self.key(
                "ipconfig0",
                Wanted::Pairs {
                    pairs: ip,
                    first: None,
                },
            );
        }
        if let Some(dns) = text("dns")? {
            self.key("nameserver", Wanted::Value(dns));
        }
        if let Some(data) = text("user-data")? {
            // A volume that is there is one line; a text begins with `#cloud-config` or `#!`.
            if data.lines().count() != 1 || !data.contains(":snippets/") {
                self.user_data = Some(data);
                return Ok(());
            }
            let pairs = Pairs::new([("user".to_owned(), data)]);
            self.key("cicustom", Wanted::Pairs { pairs, first: None });
        }
        Ok(())
    }

    fn devices(&mut self) -> Result<(), Wrong> {
        let Some(node) = self.args.get("pci") else {
            return Ok(());
        };
        for device in read::entries(node)?.iter() {
            if read::is_null(&device.value) {
                self.key(device.key.clone(), Wanted::Absent);
                continue;
            }
            let mut pairs = Pairs::default();
            match device.value.get("mapping").map(read::text).transpose()? {
                Some(mapping) => pairs.set("mapping", mapping),
                None => pairs.set("host", required(&device.value, "id")?),
            }
            if let Some(pcie) = device.value.get("pcie") {
                pairs.set("pcie", u8::from(read::bool(pcie)?).to_string());
            }
            self.key(
                device.key.clone(),
                Wanted::Pairs {
                    pairs,
                    first: Some("host"),
                },
            );
        }
        Ok(())
    }

    fn raw(&mut self) -> Result<(), Wrong> {
        let Some(node) = self.args.get("config") else {
            return Ok(());
        };
        for entry in read::entries(node)?.iter() {
            if self.keys.iter().any(|(key, _)| *key == entry.key) {
                return Err(wrong(
                    format!("`config.{}` says again what a field says", entry.key),
                    "keep one of them",
                ));
            }
            let wanted = if read::is_null(&entry.value) {
                Wanted::Absent
            } else {
                let text = read::text(&entry.value)?;
                let text = match text.as_str() {
                    "true" => "1".to_owned(),
                    "false" => "0".to_owned(),
                    _ => text,
                };
                // Where keys are given raw, these are too: the server has them encoded.
                let text = if entry.key == "sshkeys" && text.contains(' ') {
                    encoded(&text)
                } else {
                    text
                };
                Wanted::raw(&entry.key, &text, self.is_vm)
            };
            self.key(entry.key.clone(), wanted);
        }
        Ok(())
    }
}

/// Whether there is a wish beyond naming the guest.
fn effective(args: &Args<'_>) -> bool {
    (args.spec().kind)(args.node()) == runbook::spec::ActionKind::Desired
}
