//! How a guest stands: status, configuration, what is pending, snapshots, read from answers.

use serde_json::{Map, Value};

use crate::loose::{flag_of, integer_of, text, text_of};
use crate::property::PropertyString;

/// How a guest stands now.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// `running` or `stopped`.
    pub status: String,
    /// The host name of a container, the name of a virtual machine.
    pub name: Option<String>,
    /// Seconds since it was started; 0 when stopped.
    pub uptime: i64,
    /// Why it is locked.
    pub lock: Option<String>,
    /// Whether it is a template.
    pub template: bool,
    /// Tags, in order.
    pub tags: Vec<String>,
    /// Whether high availability looks after it: its tasks then end before it changes its state.
    pub managed: bool,
    /// Everything as it came.
    pub raw: Value,
}

impl Status {
    /// Reads `status/current`.
    pub fn read(raw: Value) -> Self {
        Self {
            status: text_of(&raw, "status").unwrap_or_default(),
            name: text_of(&raw, "name"),
            uptime: integer_of(&raw, "uptime").unwrap_or_default(),
            lock: text_of(&raw, "lock"),
            template: flag_of(&raw, "template").unwrap_or(false),
            tags: tags(&text_of(&raw, "tags").unwrap_or_default()),
            managed: raw
                .get("ha")
                .and_then(|ha| flag_of(ha, "managed"))
                .unwrap_or(false),
            raw,
        }
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.status == "running"
    }
}

/// A guest's configuration: the options as texts in the server's order, and the digest under which it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// The options.
    pub options: Vec<(String, String)>,
    /// The digest.
    pub digest: Option<String>,
}

impl Config {
    /// Reads `config`.
    pub fn read(raw: &Value) -> Self {
        let entries = raw.as_object().into_iter().flatten();
        let mut config = Self::default();
        for (name, value) in entries {
            match (name.as_str(), text(value)) {
                ("digest", digest) => config.digest = digest,
                (_, Some(value)) => config.options.push((name.clone(), value)),
                // `lxc` is a list of raw lines.
                _ => {}
            }
        }
        config
    }

    /// An option.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.options
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// An option that is a property string.
    pub fn property(&self, name: &str, default: Option<&str>) -> Option<PropertyString> {
        PropertyString::parse(self.get(name)?, default).ok()
    }

    /// The options as a map, for who looks at them.
    pub fn to_json(&self) -> Value {
        let entries = self
            .options
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        Value::Object(entries.collect::<Map<_, _>>())
    }

    /// The hardware address of a network card of either kind of guest.
    pub fn hardware_address(&self, net: &str) -> Option<String> {
        let net = PropertyString::parse(self.get(net)?, Some("model")).ok()?;
        let models = [
            "hwaddr", "macaddr", "virtio", "e1000", "e1000e", "rtl8139", "vmxnet3",
        ];
        models
            .iter()
            .find_map(|key| net.get(key))
            .map(str::to_ascii_uppercase)
    }

    /// Tags, in order.
    pub fn tags(&self) -> Vec<String> {
        tags(self.get("tags").unwrap_or_default())
    }
}

fn tags(text: &str) -> Vec<String> {
    let parts = text.split([',', ';', ' ']).filter(|tag| !tag.is_empty());
    parts.map(str::to_owned).collect()
}

/// An option that is not in force until the guest is restarted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its name.
    pub key: String,
    /// What is in force.
    pub value: Option<String>,
    /// What will be.
    pub pending: Option<String>,
    /// Whether it will be gone.
    pub delete: bool,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// What was written about it.
    pub description: String,
    /// When it was made, in seconds since 1970.
    pub time: i64,
    /// The one before it.
    pub parent: Option<String>,
    /// Whether it holds the memory.
    pub memory: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn status_and_config_are_read_however_loosely_they_are_typed() {
        let status = Status::read(json!({
            "status": "running", "uptime": "12", "template": 0, "tags": "a;b", "ha": {"managed": 1}, "lock": null,
        }));
        assert!(status.is_running() && status.managed && !status.template);
        assert_eq!(
            (status.uptime, status.tags, status.lock),
            (12, vec!["a".into(), "b".into()], None)
        );
        let config = Config::read(
            &json!({"memory": "512", "cores": 2, "digest": "ab", "lxc": [["a", "b"]]}),
        );
        assert_eq!(
            (config.get("memory"), config.get("cores")),
            (Some("512"), Some("2"))
        );
        assert_eq!(
            (config.digest.as_deref(), config.get("lxc")),
            (Some("ab"), None)
        );
    }

    #[test]
    fn the_hardware_address_of_either_kind_is_found() {
        for net in [
            "name=eth0,bridge=vmbr0,hwaddr=bc:24:11:00:00:01",
            "virtio=BC:24:11:00:00:01,bridge=vmbr0",
        ] {
            let config = Config::read(&json!({"net0": net}));
            assert_eq!(
                config.hardware_address("net0").as_deref(),
                Some("BC:24:11:00:00:01")
            );
        }
    }
}
