//! Custom resources: from a definition to what is served, and its conditions.

use serde_json::{Value, json};

use super::admit::Write;
use super::object;
use super::resource::{Custom, Resource, Source};
use super::schema::{Schema, Sub};
use super::state::State;

pub(crate) const TABLE: &str = "customresourcedefinitions.apiextensions.k8s.io";
pub(crate) const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
const VERBS: [&str; 8] = [
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];

impl State {
    /// Serves what a definition defines and says so in its status.
    pub(crate) fn establish(&mut self, name: &str) {
        let Some(live) = self.get(TABLE, "", name) else {
            return;
        };
        let spec = &live.value["spec"];
        let (group, plural) = (
            object::text(spec, &["group"]).to_owned(),
            object::text(spec, &["names", "plural"]).to_owned(),
        );
        let taken = self.taken(spec, &group, &plural);
        self.registry.forget(&group, &plural);
        let accepted = taken.is_none();
        if accepted && !object::is_deleting(&live.value) || self.registry_keeps(&live.value) {
            for version in object::items(spec, &["versions"]) {
                if version["served"] == true {
                    let resource = self::resource(spec, version);
                    self.store.begin(&resource.qualified());
                    self.registry.add(resource);
                }
            }
        }
        self.note(&live.value, taken);
    }

    /// The first name that another resource of the group has already, with the reason for it.
    fn taken(&self, spec: &Value, group: &str, plural: &str) -> Option<(&'static str, String)> {
        let text = |key: &str| object::text(spec, &["names", key]).to_owned();
        let short = texts(spec, &["names", "shortNames"]);
        let others: Vec<_> = self
            .registry
            .all()
            .filter(|one| one.group == group && one.plural != plural)
            .collect();
        let is_name = |name: &str| {
            others.iter().any(|one| {
                one.plural == name
                    || one.singular == name
                    || one.short.iter().any(|own| own == name)
            })
        };
        let is_kind = |name: &str| {
            others
                .iter()
                .any(|one| one.kind == name || one.list_kind == name)
        };
        if is_name(plural) {
            return Some(("PluralConflict", plural.to_owned()));
        }
        if is_name(&text("singular")) {
            return Some(("SingularConflict", text("singular")));
        }
        if let Some(name) = short.into_iter().find(|name| is_name(name)) {
            return Some(("ShortNamesConflict", name));
        }
        if is_kind(&text("kind")) {
            return Some(("KindConflict", text("kind")));
        }
        is_kind(&text("listKind")).then(|| ("ListKindConflict", text("listKind")))
    }

    /// While a definition ends its objects are still there to be deleted.
    fn registry_keeps(&self, definition: &Value) -> bool {
        object::is_deleting(definition)
    }

    fn note(&mut self, live: &Value, taken: Option<(&'static str, String)>) {
        let accepted = taken.is_none();
        let spec = &live["spec"];
        let since = |name: &str, status: &str| {
            object::items(live, &["status", "conditions"])
                .iter()
                .find(|one| one["type"] == name && one["status"] == status)
                .and_then(|one| one["lastTransitionTime"].as_str().map(str::to_owned))
                .unwrap_or_else(object::now)
        };
        let condition = |name: &str, good: bool, reason: &str, message: &str| {
            let status = if good { "True" } else { "False" };
            json!({"type": name, "status": status, "lastTransitionTime": since(name, status), "reason": reason, "message": message})
        };
        let (reason, name) = taken.unwrap_or_default();
        let mut conditions = if accepted {
            vec![
                condition("NamesAccepted", true, "NoConflicts", "no conflicts found"),
                condition(
                    "Established",
                    true,
                    "InitialNamesAccepted",
                    "the initial names have been accepted",
                ),
            ]
        } else {
            vec![
                condition(
                    "NamesAccepted",
                    false,
                    reason,
                    &format!("\"{name}\" is already in use"),
                ),
                condition(
                    "Established",
                    false,
                    "NotAccepted",
                    "not all names are accepted",
                ),
            ]
        };
        if object::is_deleting(live) {
            conditions.push(condition(
                "Terminating",
                true,
                "InstanceDeletionInProgress",
                "CustomResource deletion is in progress",
            ));
        }
        let mut value = live.clone();
        value["status"]["conditions"] = conditions.into();
        if accepted {
            value["status"]["acceptedNames"] = spec["names"].clone();
        }
        let storage = object::items(spec, &["versions"])
            .iter()
            .find(|one| one["storage"] == true)
            .map(|one| one["name"].clone());
        let mut stored = object::items(live, &["status", "storedVersions"]).to_vec();
        if let Some(storage) = storage.filter(|one| !stored.contains(one)) {
            stored.push(storage);
        }
        value["status"]["storedVersions"] = stored.into();
        let Ok(resource) = self.kind("apiextensions.k8s.io/v1", "CustomResourceDefinition") else {
            return;
        };
        let name = object::name(live).to_owned();
        let mut write = Write::by("kube-apiserver").subresource("status");
        // Someone else's change in between is followed by another look.
        let _ = self.update(&resource, "", &name, value, &mut write);
    }
}

fn texts(value: &Value, path: &[&str]) -> Vec<String> {
    object::items(value, path)
        .iter()
        .filter_map(|one| one.as_str().map(str::to_owned))
        .collect()
}

fn resource(spec: &Value, version: &Value) -> Resource {
    let text = |path: &[&str]| object::text(spec, path).to_owned();
    let document = version["schema"]["openAPIV3Schema"].clone();
    let mut schema: Schema = serde_json::from_value(document.clone()).unwrap_or_default();
    for name in ["apiVersion", "kind"] {
        schema.properties.insert(
            name.into(),
            Schema {
                kind: Some("string".into()),
                ..Schema::default()
            },
        );
    }
    schema.properties.insert(
        "metadata".into(),
        Schema {
            reference: Some("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta".into()),
            ..Schema::default()
        },
    );
    let kind = text(&["names", "kind"]);
    let sub = |name: &str, verbs: &[&str], kind: &str, group: &str, version: &str| Sub {
        name: name.into(),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        kind: kind.into(),
        group: group.into(),
        version: version.into(),
    };
    let mut subs = Vec::new();
    if version["subresources"].get("status").is_some() {
        subs.push(sub("status", &["get", "patch", "update"], &kind, "", ""));
    }
    let scale = version["subresources"].get("scale").cloned();
    if scale.is_some() {
        subs.push(sub(
            "scale",
            &["get", "patch", "update"],
            "Scale",
            "autoscaling",
            "v1",
        ));
    }
    Resource {
        group: text(&["group"]),
        version: version["name"].as_str().unwrap_or_default().to_owned(),
        plural: text(&["names", "plural"]),
        singular: text(&["names", "singular"]),
        list_kind: text(&["names", "listKind"]),
        kind,
        namespaced: spec["scope"] == "Namespaced",
        verbs: VERBS.iter().map(|verb| (*verb).to_owned()).collect(),
        short: texts(spec, &["names", "shortNames"]),
        categories: texts(spec, &["names", "categories"]),
        subs,
        schema: Source::Own(Box::new(schema)),
        custom: Some(Custom {
            columns: object::items(version, &["additionalPrinterColumns"]).to_vec(),
            scale,
            document,
            preferred: version["storage"] == true,
        }),
    }
}
