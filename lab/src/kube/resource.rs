//! What is served: the built-in resources and those that custom resource definitions add.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::schema::{self, Schema, Sub};

/// A served version of a resource.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) namespaced: bool,
    pub(crate) verbs: Vec<String>,
    pub(crate) short: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) subs: Vec<Sub>,
    pub(crate) schema: Source,
    /// What only custom resources have.
    pub(crate) custom: Option<Custom>,
}

/// Where the schema stands.
#[derive(Debug)]
pub(crate) enum Source {
    Builtin(&'static str),
    Own(Box<Schema>),
}

/// The rest of a custom resource's definition.
#[derive(Debug, Clone)]
pub(crate) struct Custom {
    pub(crate) columns: Vec<Value>,
    pub(crate) scale: Option<Value>,
    /// The `openAPIV3Schema` as it was given, for the served documents.
    pub(crate) document: Value,
    pub(crate) preferred: bool,
}

impl Resource {
    pub(crate) fn schema(&self) -> &Schema {
        match &self.schema {
            Source::Builtin(name) => &schema::table().types[*name],
            Source::Own(schema) => schema,
        }
    }

    pub(crate) fn is_custom(&self) -> bool {
        self.custom.is_some()
    }

    pub(crate) fn sub(&self, name: &str) -> Option<&Sub> {
        self.subs.iter().find(|sub| sub.name == name)
    }

    /// `GROUP/VERSION`, and `/VERSION` of the core, as Go shows it.
    pub(crate) fn version_shown(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }

    /// `apps/v1`, `v1`.
    pub(crate) fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// `deployments.apps`: also the key of its table in the store.
    pub(crate) fn qualified(&self) -> String {
        qualified(&self.group, &self.plural)
    }

    /// `Deployment.apps`.
    pub(crate) fn qualified_kind(&self) -> String {
        qualified(&self.group, &self.kind)
    }
}

pub(crate) fn qualified(group: &str, plural: &str) -> String {
    match group {
        "" => plural.to_owned(),
        group => format!("{plural}.{group}"),
    }
}

/// All that is served, by group, version and plural.
#[derive(Debug)]
pub(crate) struct Registry {
    served: BTreeMap<(String, String, String), Arc<Resource>>,
}

impl Registry {
    /// The built-in resources.
    pub(crate) fn builtin() -> Self {
        let mut served = BTreeMap::new();
        for one in &schema::table().resources {
            let Some(name) = schema::type_of(&one.group, &one.version, &one.kind) else {
                continue;
            };
            let resource = Resource {
                group: one.group.clone(),
                version: one.version.clone(),
                plural: one.plural.clone(),
                singular: one.singular.clone(),
                kind: one.kind.clone(),
                list_kind: format!("{}List", one.kind),
                namespaced: one.namespaced,
                verbs: one.verbs.clone(),
                short: one.short.clone(),
                categories: one.categories.clone(),
                subs: one.subresources.clone(),
                schema: Source::Builtin(name),
                custom: None,
            };
            served.insert(key(&resource), Arc::new(resource));
        }
        Self { served }
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.served
            .get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
            .cloned()
    }

    /// The resource of a kind.
    pub(crate) fn of_kind(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.all()
            .find(|one| one.group == group && one.version == version && one.kind == kind)
            .cloned()
    }

    /// Any version of a resource, as the store keeps it: `deployments.apps`.
    pub(crate) fn stored(&self, qualified: &str) -> Option<Arc<Resource>> {
        let (plural, group) = qualified.split_once('.').unwrap_or((qualified, ""));
        let mut found = self
            .all()
            .filter(|one| one.group == group && one.plural == plural);
        let first = found.next()?;
        let preferred = |one: &&Arc<Resource>| one.custom.as_ref().is_some_and(|c| c.preferred);
        Some(if preferred(&first) {
            first.clone()
        } else {
            found.find(preferred).unwrap_or(first).clone()
        })
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.served.values()
    }

    pub(crate) fn add(&mut self, resource: Resource) {
        self.served.insert(key(&resource), Arc::new(resource));
    }

    /// Forgets all versions of a resource.
    pub(crate) fn forget(&mut self, group: &str, plural: &str) {
        self.served
            .retain(|(own, _, name), _| own != group || name != plural);
    }

    pub(crate) fn has_group(&self, group: &str) -> bool {
        self.all().any(|one| one.group == group)
    }
}

fn key(resource: &Resource) -> (String, String, String) {
    (
        resource.group.clone(),
        resource.version.clone(),
        resource.plural.clone(),
    )
}
