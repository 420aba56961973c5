//! Server-side apply of many objects as one step: compared first, validated before anything is changed, in Flux's stages.
//!
//! [`Plan::make`] only reads: one list for each kind and namespace, and a dry run of each object that may differ. Of new objects that
//! are alike but for their names one is tried. What the server would refuse is so known before the first change. [`Plan::run`]
//! applies what differs and tells each object as it is done; [`Outcome::ready`] waits for all of them.

mod compare;
mod inventory;
mod outcome;
mod prepare;
mod run;
mod stage;
mod trial;
mod undo;

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use crate::client::Client;
use crate::diff::{self, Difference};
use crate::error::Error;
use crate::get::{Query, without_managed_fields};
use crate::kind::Resource;
use crate::object::{Key, Object, Place, text};
use crate::request::Request;
use crate::watch::Start;

pub use inventory::Inventory;
pub use outcome::{Applied, Outcome};
pub use stage::Stage;
pub use undo::take_back;

use prepare::Prepared;
use trial::{Tried, trial_of_existing, try_classes};

/// The field manager, where the caller has no other.
pub const MANAGER: &str = "runbook";
/// How many requests are under way at a time.
pub(crate) const AT_ONCE: usize = 8;

/// How objects are applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Who owns the fields.
    pub manager: String,
    /// The namespace of objects that name none; without it that of the kubeconfig's context.
    pub namespace: Option<String>,
    /// Takes over fields that others own.
    pub force: bool,
    /// Kinds (`GROUP/KIND`) that are applied and ready before the rest.
    pub early: Vec<String>,
    /// Where is kept what was applied.
    pub inventory: Option<Inventory>,
    /// Deletes what the inventory has and the objects have no more. Needs an inventory.
    pub prune: bool,
    /// Fields that others own do not end the comparison: they are told beside the difference, and carrying it out is refused.
    pub tell_conflicts: bool,
    /// What is to be made before these objects: namespaces and definitions that may still be missing when they are compared.
    pub coming: Vec<Object>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            manager: MANAGER.to_owned(),
            namespace: None,
            force: false,
            early: Vec::new(),
            inventory: None,
            prune: false,
            tell_conflicts: false,
            coming: Vec::new(),
        }
    }
}

/// What is to be done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is not there.
    Create,
    /// It differs.
    Change,
    /// It is as wished.
    Same,
    /// It is wished no more.
    Prune,
}

/// What is to be done with one object, and why.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Which object.
    pub key: Key,
    /// Its kind.
    pub resource: Resource,
    /// Where it stands in its manifest.
    pub place: Place,
    /// What is to be done.
    pub action: Action,
    /// How it is, without `managedFields`; none where it is not there.
    pub before: Option<Value>,
    /// What is sent; null for what is pruned.
    pub wished: Value,
    /// How what it is differs from what it will be. A Secret's values are hidden.
    pub differences: Vec<Difference>,
    /// Which of its fields belong to others, where that is to be told.
    pub conflict: Option<Error>,
}

/// What is to be done, and how everything stands now.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) options: Options,
    pub(crate) objects: Vec<Planned>,
    /// What the lists found, of our objects only.
    pub(crate) starts: BTreeMap<Scope, Start>,
    /// Kinds of CRDs that are still to be applied: their objects could not be tried.
    pub(crate) unserved: HashSet<Resource>,
    /// What the inventory had.
    pub(crate) recorded: Vec<inventory::Entry>,
}

/// A kind in a place; of one object only where it is the only one there.
pub(crate) type Scope = (Resource, Option<String>, Option<String>);

pub(crate) fn query_of(scope: &Scope) -> Query {
    let query = Query::all(&scope.0, scope.1.as_deref());
    Query {
        name: scope.2.clone(),
        ..query
    }
}

impl Plan {
    /// Compares what is wished with what is there. Changes nothing.
    ///
    /// # Errors
    ///
    /// Whatever the server would refuse: [`Error::Invalid`], [`Error::Conflict`], [`Error::Immutable`], [`Error::Forbidden`],
    /// [`Error::NoSuchKind`], [`Error::NotFound`] for a namespace …; [`Error::Stale`] for an object that is being deleted.
    pub async fn make(
        client: &Client,
        objects: &[Object],
        options: &Options,
    ) -> Result<Self, Error> {
        let Prepared { objects, unserved } = prepare::prepare(client, objects, options).await?;
        let starts = lists(client, &objects, &unserved).await?;
        let mut live: HashMap<Key, Value> = HashMap::new();
        for start in starts.values() {
            live.extend(start.items.iter().map(|item| (Key::of(item), item.clone())));
        }
        let mut plan = Self {
            options: options.clone(),
            objects,
            starts,
            unserved,
            recorded: Vec::new(),
        };
        plan.compare(client, &live).await?;
        plan.try_new(client).await?;
        if let Some(inventory) = &options.inventory {
            plan.recorded = inventory.read(client).await?;
            if options.prune {
                let pruned =
                    inventory::pruned(client, &plan.recorded, &plan.objects, &options.manager)
                        .await?;
                plan.objects.extend(pruned);
            }
        } else if options.prune {
            return Err(Error::Setting(
                "only what an inventory has can be pruned: name one".to_owned(),
            ));
        }
        Ok(plan)
    }

    /// What is to be done with each object, in the order of the manifest, then what is pruned.
    pub fn objects(&self) -> &[Planned] {
        &self.objects
    }

    /// Whether everything is as wished.
    pub fn is_same(&self) -> bool {
        self.objects
            .iter()
            .all(|planned| planned.action == Action::Same)
    }

    /// What keeps it from being carried out: the first object with fields of others.
    pub fn conflict(&self) -> Option<&Error> {
        self.objects
            .iter()
            .find_map(|planned| planned.conflict.as_ref())
    }

    /// Whether the inventory, where there is one, knows of an earlier apply.
    pub fn is_recorded(&self) -> bool {
        self.options.inventory.is_none() || !self.recorded.is_empty()
    }

    /// What there is, to be watched and waited for; none where something is to be done yet.
    pub fn as_is(self) -> Option<Outcome> {
        self.is_same()
            .then(|| Outcome::of(self, BTreeMap::new(), Vec::new()))
    }

    /// Finds out what is to be done with each object.
    async fn compare(&mut self, client: &Client, live: &HashMap<Key, Value>) -> Result<(), Error> {
        let mut doubtful = Vec::new();
        for (position, planned) in self.objects.iter_mut().enumerate() {
            let Some(object) = live.get(&planned.key) else {
                planned.action = Action::Create;
                planned.differences = diff::created(&planned.wished);
                continue;
            };
            if !text(object, "/metadata/deletionTimestamp").is_empty() {
                return Err(Error::Stale {
                    what: planned.key.to_string(),
                    message: format!("{} is being deleted: wait until it is gone", planned.key),
                });
            }
            let mut before = object.clone();
            without_managed_fields(&mut before);
            planned.before = Some(before);
            if !compare::is_same(object, &planned.wished, &self.options.manager) {
                doubtful.push(position);
            }
        }
        let mut trials = Vec::new();
        for &position in &doubtful {
            trials.push(trial_of_existing(
                client,
                &self.objects[position],
                &self.options,
            ));
        }
        let results: Vec<Tried> = stream::iter(trials).buffered(AT_ONCE).try_collect().await?;
        let tried = doubtful.into_iter().zip(results);
        for (position, tried) in tried {
            let planned = &mut self.objects[position];
            planned.conflict = tried.conflict;
            planned.before = tried.moved.or(planned.before.take());
            // Where an admission webhook knows no dry run, the wish itself is the best guess.
            let Some(result) = tried.result else {
                planned.action = Action::Change;
                continue;
            };
            planned.differences =
                diff::differences(planned.before.as_ref().unwrap_or(&Value::Null), &result);
            if !planned.differences.is_empty() {
                planned.action = Action::Change;
            }
        }
        Ok(())
    }

    /// Tries one of each class of new objects.
    async fn try_new(&self, client: &Client) -> Result<(), Error> {
        let is_new = |planned: &&Planned| {
            planned.action == Action::Create && !self.unserved.contains(&planned.resource)
        };
        let new = self.objects.iter().filter(is_new).collect();
        try_classes(client, new, &self.options, &self.new_namespaces()).await
    }

    /// Namespaces that are still to be created.
    pub(crate) fn new_namespaces(&self) -> HashSet<String> {
        let new = self.objects.iter().filter(|planned| {
            planned.action == Action::Create
                && planned.key.group.is_empty()
                && planned.key.kind == "Namespace"
        });
        let coming = self.options.coming.iter().map(Object::key);
        let coming = coming.filter(|key| key.group.is_empty() && key.kind == "Namespace");
        let new = new.map(|planned| planned.key.name.clone());
        new.chain(coming.map(|key| key.name)).collect()
    }
}

/// Lists each kind in each place once; where the right to list is missing each object is read.
async fn lists(
    client: &Client,
    objects: &[Planned],
    unserved: &HashSet<Resource>,
) -> Result<BTreeMap<Scope, Start>, Error> {
    let mut places: BTreeMap<(Resource, Option<String>), Vec<String>> = BTreeMap::new();
    for planned in objects {
        let place = (planned.resource.clone(), planned.key.namespace.clone());
        places
            .entry(place)
            .or_default()
            .push(planned.key.name.clone());
    }
    let mut lists = Vec::new();
    for ((resource, namespace), names) in places {
        let name = if let [name] = &names[..] {
            Some(name.clone())
        } else {
            None
        };
        lists.push(list(client, (resource, namespace, name), names, unserved));
    }
    stream::iter(lists).buffered(AT_ONCE).try_collect().await
}

async fn list(
    client: &Client,
    scope: Scope,
    names: Vec<String>,
    unserved: &HashSet<Resource>,
) -> Result<(Scope, Start), Error> {
    if unserved.contains(&scope.0) {
        return Ok((scope, Start::default()));
    }
    let names: HashSet<String> = names.into_iter().collect();
    let is_ours = |item: &Value| names.contains(text(item, "/metadata/name"));
    let start = match client.list(&query_of(&scope)).await {
        Ok(list) => Start {
            items: list.items.into_iter().filter(is_ours).collect(),
            resource_version: list.resource_version,
        },
        Err(Error::Forbidden(_)) => Start {
            items: one_by_one(client, &scope, &names).await?,
            resource_version: String::new(),
        },
        Err(error) => return Err(error),
    };
    Ok((scope, start))
}

async fn one_by_one(
    client: &Client,
    scope: &Scope,
    names: &HashSet<String>,
) -> Result<Vec<Value>, Error> {
    let mut items = Vec::new();
    for name in names {
        match client
            .send(&Request::get(&scope.0, scope.1.as_deref(), Some(name)))
            .await
        {
            Ok(item) => items.push(item),
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(items)
}
