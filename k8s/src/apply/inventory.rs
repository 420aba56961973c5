//! What was applied under a name: a ConfigMap, so that what is wished no more can be found and deleted.
//!
//! Only what is in it is ever pruned, and only the very object that was applied: its `uid` is compared. It is written before the first
//! change (so that nothing that is created is forgotten) and after the last.

use serde_json::{Value, json};

use super::{Action, MANAGER, Planned};
use crate::client::Client;
use crate::diff::Difference;
use crate::error::Error;
use crate::get::without_managed_fields;
use crate::kind::Resource;
use crate::object::{Key, Place, text};
use crate::request::{Content, Request};

/// Shape of the record; another is not read.
const VERSION: &str = "1";
/// As Flux has it: an object with this label or annotation is never pruned.
const KEEP: &str = "kustomize.toolkit.fluxcd.io/prune";

/// Where is kept what was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The namespace of the ConfigMap; it must be there.
    pub namespace: String,
    /// The name of the ConfigMap.
    pub name: String,
}

/// An object that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) version: String,
    /// None between the first record and the last.
    pub(crate) uid: Option<String>,
}

impl Inventory {
    /// What it has; nothing where it is not there.
    pub(crate) async fn read(&self, client: &Client) -> Result<Vec<Entry>, Error> {
        let request = Request::get(
            &Resource::config_map(),
            Some(&self.namespace),
            Some(&self.name),
        );
        match client.send(&request).await {
            Ok(map) => parse(&map),
            Err(Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Writes it anew.
    pub(crate) async fn write(&self, client: &Client, entries: &[Entry]) -> Result<(), Error> {
        let objects: Vec<Value> = entries.iter().map(Entry::value).collect();
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": {"app.kubernetes.io/managed-by": MANAGER}},
            "data": {"version": VERSION, "objects": Value::Array(objects).to_string()}});
        let request = Request::patch(
            &Resource::config_map(),
            Some(&self.namespace),
            &self.name,
            Content::Apply,
            map,
        )
        .with("fieldManager", format!("{MANAGER}-inventory"))
        .with("force", true)
        .with("fieldValidation", "Strict");
        client.send(&request).await.map(|_| ())
    }
}

impl Entry {
    pub(crate) fn of(planned: &Planned, uid: Option<&str>) -> Self {
        Self {
            key: planned.key.clone(),
            version: planned.resource.version.clone(),
            uid: uid.filter(|uid| !uid.is_empty()).map(str::to_owned),
        }
    }

    fn value(&self) -> Value {
        json!({"group": self.key.group, "version": self.version, "kind": self.key.kind, "namespace": self.key.namespace,
            "name": self.key.name, "uid": self.uid})
    }
}

fn parse(map: &Value) -> Result<Vec<Entry>, Error> {
    let version = text(map, "/data/version");
    if version != VERSION {
        let name = text(map, "/metadata/name");
        return Err(Error::Answer(format!(
            "ConfigMap `{name}` is no inventory of version {VERSION}, but `{version}`"
        )));
    }
    let objects = serde_json::from_str::<Vec<Value>>(text(map, "/data/objects"));
    let objects =
        objects.map_err(|error| Error::Answer(format!("the inventory cannot be read: {error}")))?;
    let entry = |object: &Value| Entry {
        key: Key::new(
            text(object, "/group"),
            text(object, "/kind"),
            object["namespace"].as_str(),
            text(object, "/name"),
        ),
        version: text(object, "/version").to_owned(),
        uid: object["uid"].as_str().map(str::to_owned),
    };
    Ok(objects.iter().map(entry).collect())
}

/// What the inventory has and the objects have no more, as far as it is still there and still the same.
pub(super) async fn pruned(
    client: &Client,
    recorded: &[Entry],
    objects: &[Planned],
    manager: &str,
) -> Result<Vec<Planned>, Error> {
    let mut pruned = Vec::new();
    for entry in recorded
        .iter()
        .filter(|entry| !objects.iter().any(|planned| planned.key == entry.key))
    {
        let api_version = match entry.key.group.as_str() {
            "" => entry.version.clone(),
            group => format!("{group}/{}", entry.version),
        };
        let resource = match client.resource(&api_version, &entry.key.kind).await {
            Ok(resource) => resource,
            // Its objects went with it.
            Err(Error::NoSuchKind { .. }) => continue,
            Err(error) => return Err(error),
        };
        let request = Request::get(
            &resource,
            entry.key.namespace.as_deref(),
            Some(&entry.key.name),
        );
        let mut live = match client.send(&request).await {
            Ok(live) => live,
            Err(Error::NotFound { .. }) => continue,
            Err(error) => return Err(error),
        };
        if !may_prune(entry, &live, manager) {
            continue;
        }
        without_managed_fields(&mut live);
        pruned.push(Planned {
            key: entry.key.clone(),
            resource,
            place: Place::default(),
            action: Action::Prune,
            differences: vec![Difference {
                path: String::new(),
                before: Some(Value::from(entry.key.to_string())),
                after: None,
            }],
            before: Some(live),
            wished: Value::Null,
            conflict: None,
        });
    }
    Ok(pruned)
}

/// Whether the live object is the very one that was applied, and may go.
fn may_prune(entry: &Entry, live: &Value, manager: &str) -> bool {
    let is_ours = match &entry.uid {
        Some(uid) => text(live, "/metadata/uid") == uid,
        // The run that wrote this did not come to its end: only the object itself can tell.
        None => super::undo::is_applied_by(live, manager),
    };
    let says_keep = ["annotations", "labels"]
        .iter()
        .any(|map| live["metadata"][map][KEEP] == "disabled");
    is_ours && !says_keep
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(uid: Option<&str>) -> Entry {
        Entry {
            key: Key::new("apps", "Deployment", Some("shop"), "web"),
            version: "v1".to_owned(),
            uid: uid.map(str::to_owned),
        }
    }

    #[test]
    fn entries_survive_being_written() {
        let entries = vec![
            entry(Some("u-1")),
            Entry {
                key: Key::new("", "Namespace", None, "shop"),
                version: "v1".into(),
                uid: None,
            },
        ];
        let objects: Vec<Value> = entries.iter().map(Entry::value).collect();
        let map = json!({"metadata": {"name": "i"}, "data": {"version": "1", "objects": Value::Array(objects).to_string()}});
        assert_eq!(parse(&map).expect("readable"), entries);
    }

    #[test]
    fn another_version_or_another_config_map_is_no_inventory() {
        assert!(parse(&json!({"data": {"version": "2", "objects": "[]"}})).is_err());
        assert!(parse(&json!({"data": {"some": "thing"}})).is_err());
        assert!(parse(&json!({"data": {"version": "1", "objects": "no"}})).is_err());
    }

    #[test]
    fn only_the_very_object_is_pruned() {
        let live = json!({"metadata": {"uid": "u-1"}});
        assert!(may_prune(&entry(Some("u-1")), &live, "runbook"));
        assert!(!may_prune(&entry(Some("u-2")), &live, "runbook"));
        assert!(!may_prune(&entry(None), &live, "runbook"));
        let ours = json!({"metadata": {"uid": "u-1", "managedFields": [{"manager": "runbook", "operation": "Apply"}]}});
        assert!(may_prune(&entry(None), &ours, "runbook"));
        assert!(!may_prune(&entry(None), &ours, "other"));
    }

    #[test]
    fn what_says_so_is_kept() {
        for map in ["annotations", "labels"] {
            let live = json!({"metadata": {"uid": "u-1", map: {KEEP: "disabled"}}});
            assert!(!may_prune(&entry(Some("u-1")), &live, "runbook"), "{map}");
        }
    }
}
