//! What differs between a wish and a guest: difference by difference, as text for people and as parameters of requests.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::pairs::{FIRST, Pairs};
use super::keys::{self, Verdict, is_numbered};
use super::{State, Wish};
use crate::action::Failure;

/// Keys whose values are shown to nobody.
const SECRET_KEYS: &[&str] = &["password", "cipassword"];
/// A value longer than this is cut where a difference is shown.
const SHOWN_CHARACTERS_MAX: usize = 200;

/// A guest's configuration as texts.
pub type Config = BTreeMap<String, String>;

/// A configuration as the API gives it.
pub fn config(data: &Value) -> Config {
    let empty = Map::new();
    let map = data.as_object().unwrap_or(&empty);
    map.iter()
        .filter(|(key, _)| key.as_str() != "digest")
        .filter_map(|(key, value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(on) => u8::from(*on).to_string(),
                _ => return None,
            };
            Some((key.clone(), text))
        })
        .collect()
}

/// What differs in a guest's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Keys to be set, with their values.
    pub set: Vec<(String, String)>,
    /// Keys to be taken out.
    pub remove: Vec<String>,
    /// Disks that grow: the key and the size in bytes.
    pub grow: Vec<(String, u64)>,
}

impl Changes {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty() && self.grow.is_empty()
    }

    /// The lines of a difference.
    pub fn lines(&self, config: &Config) -> Vec<String> {
        let mut lines = Vec::new();
        let was = |key: &str| config.get(key).map(|was| shown(key, was));
        for (key, to) in &self.set {
            lines.extend(was(key).map(|was| format!("- {key}: {was}")));
            lines.push(format!("+ {key}: {}", shown(key, to)));
        }
        for key in &self.remove {
            lines.extend(was(key).map(|was| format!("- {key}: {was}")));
        }
        for (key, bytes) in &self.grow {
            let is = config.get(key).map(|text| Pairs::parse(text));
            let is = is.and_then(|pairs| pairs.get("size").map(str::to_owned));
            let is = is.and_then(|size| super::super::pairs::size(&size));
            lines.extend(is.map(|is| format!("- {key}: size {}", runbook::value::print_size(is))));
            lines.push(format!(
                "+ {key}: size {}",
                runbook::value::print_size(*bytes)
            ));
        }
        lines
    }
}

/// A value as it is shown.
pub fn shown(key: &str, value: &str) -> String {
    if SECRET_KEYS.contains(&key) {
        return "(secret)".into();
    }
    let plain = match key {
        "sshkeys" => keys::decoded(value),
        _ => value.to_owned(),
    };
    let value = plain.trim_end();
    let value = if key == "memory" || key == "swap" {
        match value.parse::<u64>() {
            Ok(mib) => runbook::value::print_size(mib << 20),
            Err(_) => value.to_owned(),
        }
    } else {
        value.replace('\n', "\\n")
    };
    match value.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

/// Compares a wish with a configuration.
///
/// # Errors
///
/// What cannot become so: a disk that would shrink or move.
pub fn changes(wish: &Wish, config: &Config) -> Result<Changes, Failure> {
    let mut changes = Changes::default();
    let disk = wish.disk.as_ref().map(|disk| {
        let key = root_disk(wish.subject.is_vm(), config);
        (key, super::Wanted::Volume(disk.clone()))
    });
    let keys = wish.keys.iter().map(|(key, wanted)| (key.clone(), wanted));
    let disk = disk.iter().map(|(key, wanted)| (key.clone(), wanted));
    for (key, wanted) in keys.chain(disk) {
        match wanted.compare(&key, config.get(&key).map(String::as_str)) {
            Verdict::Same => {}
            Verdict::Set(text) => changes.set.push((key, text)),
            Verdict::Remove => changes.remove.push(key),
            Verdict::Grow(bytes, set) => {
                changes.set.extend(set.map(|text| (key.clone(), text)));
                changes.grow.push((key, bytes));
            }
            Verdict::Impossible(why, hint) => {
                let mut failure =
                    Failure::new(format!("{}: {why}", wish.subject.shown())).hint(Some(hint));
                failure.refused = true;
                return Err(failure);
            }
        }
    }
    if let Some(count) = wish.nets {
        let more = config.keys().filter(|key| {
            is_numbered(key, "net") && key[3..].parse::<usize>().is_ok_and(|net| net >= count)
        });
        changes.remove.extend(more.cloned());
    }
    if wish.cloud_init && !has_drive(config) {
        let storage = drive_storage(wish, config);
        changes
            .set
            .push(("ide2".into(), format!("{storage}:cloudinit")));
    }
    Ok(changes)
}

/// The key of a guest's root disk.
pub fn root_disk(is_vm: bool, config: &Config) -> String {
    if !is_vm {
        return "rootfs".into();
    }
    let is_disk = |key: &str| {
        config
            .get(key)
            .is_some_and(|value| !value.contains("media=cdrom") && !value.contains("cloudinit"))
    };
    let boot = config.get("boot").map(|boot| Pairs::parse(boot));
    let order = boot
        .as_ref()
        .and_then(|boot| boot.get("order"))
        .unwrap_or_default();
    let old = config.get("bootdisk").map(String::as_str);
    order
        .split(';')
        .chain(old)
        .find(|key| is_disk(key))
        .or_else(|| {
            ["scsi0", "virtio0", "sata0", "ide0"]
                .into_iter()
                .find(|key| is_disk(key))
        })
        .unwrap_or("scsi0")
        .to_owned()
}

/// Whether a configuration has a cloud-init drive.
pub fn has_drive(config: &Config) -> bool {
    config
        .iter()
        .any(|(key, value)| super::keys::is_disk(key) && value.contains("cloudinit"))
}

/// Where a cloud-init drive is made: beside the root disk.
pub fn drive_storage(wish: &Wish, config: &Config) -> String {
    let image = match &wish.source {
        Some(super::Source::Image { storage, .. }) => storage.clone(),
        _ => None,
    };
    let root = config
        .get(&root_disk(true, config))
        .map(|value| Pairs::parse(value))
        .and_then(|pairs| pairs.get(FIRST).map(str::to_owned))
        .and_then(|volume| Some(volume.split_once(':')?.0.to_owned()));
    root.or(image)
        .or(wish.disk.as_ref().map(|disk| disk.storage.clone()))
        .unwrap_or_else(|| "local-lvm".into())
}

/// What has to be done about whether a guest runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It is started.
    Start,
    /// It is shut down.
    Stop,
    /// It is made a template, after it was shut down where it runs.
    Template,
}

/// What has to be done about whether a guest runs.
///
/// # Errors
///
/// A template never runs again.
pub fn power(wish: &Wish, running: bool, template: bool) -> Result<Option<Power>, Failure> {
    match wish.state {
        Some(State::Running) if template => {
            let mut failure = Failure::new(format!(
                "{} is a template, which does not run",
                wish.subject.shown()
            ))
            .hint(Some("clone it: `clone: {from: …}`"));
            failure.refused = true;
            Err(failure)
        }
        Some(State::Running) if !running => Ok(Some(Power::Start)),
        Some(State::Stopped) if running => Ok(Some(Power::Stop)),
        Some(State::Template) if !template => Ok(Some(Power::Template)),
        _ => Ok(None),
    }
}

/// The parameters of a new guest's configuration: everything that is wished.
pub fn fresh(wish: &Wish) -> Vec<(String, String)> {
    wish.keys
        .iter()
        .filter(|(_, wanted)| *wanted != super::Wanted::Absent)
        .map(|(key, wanted)| (key.clone(), wanted.text(None)))
        .collect()
}
