//! What came of a plan, and waiting for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{Action, Plan, Scope, query_of};
use crate::client::Client;
use crate::error::Error;
use crate::get::without_managed_fields;
use crate::kind::Resource;
use crate::kstatus::State;
use crate::object::Key;
use crate::wait::{self, Awaited, Wish};
use crate::watch::Start;
use crate::watched::Watched;

/// What was done with an object.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Which object.
    pub key: Key,
    /// Its kind.
    pub resource: Resource,
    /// What was sent; null for what was pruned.
    pub wished: Value,
    /// What was done.
    pub action: Action,
    /// How it was, without `managedFields`; none where it was not there.
    pub before: Option<Value>,
    /// How it is, without `managedFields`; none where it was pruned.
    pub after: Option<Value>,
}

/// What came of a plan.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Every object, also those that were as wished, in the order of the manifest, then what was pruned.
    pub applied: Vec<Applied>,
    starts: BTreeMap<Scope, Start>,
    /// The objects as they were last seen, with `managedFields`: they say when something was written.
    states: BTreeMap<Key, Value>,
}

impl Outcome {
    /// Puts together what a plan came to.
    pub(super) fn of(plan: Plan, after: BTreeMap<Key, Value>, pruned: Vec<Applied>) -> Self {
        let is_ours: BTreeSet<&Key> = plan
            .objects
            .iter()
            .filter(|planned| planned.action != Action::Prune)
            .map(|planned| &planned.key)
            .collect();
        let found = plan
            .starts
            .values()
            .flat_map(|start| &start.items)
            .map(|item| (Key::of(item), item.clone()));
        let mut states: BTreeMap<Key, Value> =
            found.filter(|(key, _)| is_ours.contains(key)).collect();
        states.extend(after);
        let mut shown = states.clone();
        shown.values_mut().for_each(without_managed_fields);
        let objects = plan
            .objects
            .into_iter()
            .filter(|planned| planned.action != Action::Prune);
        let mut applied: Vec<Applied> = objects
            .map(|planned| Applied {
                after: shown.remove(&planned.key),
                key: planned.key,
                resource: planned.resource,
                wished: planned.wished,
                action: planned.action,
                before: planned.before,
            })
            .collect();
        applied.extend(pruned);
        Outcome {
            applied,
            starts: plan.starts,
            states,
        }
    }

    /// Whether anything was changed.
    pub fn is_changed(&self) -> bool {
        self.applied
            .iter()
            .any(|applied| applied.action != Action::Same)
    }

    /// The objects that are there, as they were last seen.
    pub fn objects(&self) -> impl Iterator<Item = &Value> {
        self.applied
            .iter()
            .filter_map(|applied| applied.after.as_ref())
    }

    /// Waits until all objects are ready, and gives them as they are then.
    ///
    /// # Errors
    ///
    /// As [`wait::ready`].
    pub async fn ready(
        &self,
        client: &Client,
        wish: Wish,
        limit: Duration,
    ) -> Result<Vec<Value>, Error> {
        let deadline = Instant::now() + limit;
        let keys: BTreeSet<Key> = self.states.keys().cloned().collect();
        let mut ready = await_ready(
            client,
            &self.starts,
            &keys,
            self.states.clone(),
            wish,
            deadline,
            limit,
        )
        .await?;
        let in_order = self
            .applied
            .iter()
            .filter_map(|applied| ready.remove(&applied.key));
        let mut in_order: Vec<Value> = in_order.collect();
        in_order.iter_mut().for_each(without_managed_fields);
        Ok(in_order)
    }

    /// Watches the objects from where they are, for whoever wishes something else of them than to be ready.
    pub fn watch(&self, client: &Client) -> Watched {
        watch(client, &self.starts, self.states.clone(), |_| true)
    }
}

/// Waits for objects whose last state is known; nothing is asked for where that is enough.
pub(super) async fn await_ready(
    client: &Client,
    starts: &BTreeMap<Scope, Start>,
    keys: &BTreeSet<Key>,
    objects: BTreeMap<Key, Value>,
    wish: Wish,
    deadline: Instant,
    limit: Duration,
) -> Result<BTreeMap<Key, Value>, Error> {
    let is_ready = |object: &Value| {
        let status = wish.status(object);
        status.state == State::Current && !status.assumed
    };
    if objects.values().all(is_ready) {
        return Ok(objects);
    }
    let pending: BTreeSet<&Key> = objects
        .iter()
        .filter(|(_, object)| !is_ready(object))
        .map(|(key, _)| key)
        .collect();
    let is_needed = |scope: &Scope| {
        let is_in = |key: &Key| {
            scope.0.group == key.group && scope.0.kind == key.kind && scope.1 == key.namespace
        };
        pending.iter().any(|key| is_in(key))
    };
    let mut watched = watch(client, starts, objects.clone(), is_needed);
    wait::each_ready(
        client,
        &mut watched,
        Awaited::named(keys.clone()),
        wish,
        deadline,
        limit,
    )
    .await
}

/// One watch for each kind and place that is needed, from where its list has ended.
fn watch(
    client: &Client,
    starts: &BTreeMap<Scope, Start>,
    objects: BTreeMap<Key, Value>,
    is_needed: impl Fn(&Scope) -> bool,
) -> Watched {
    let needed = starts.iter().filter(|(scope, _)| is_needed(scope));
    let mut watched = Watched::begin(
        client,
        needed
            .map(|(scope, start)| (query_of(scope), start.clone()))
            .collect(),
    );
    objects
        .into_values()
        .for_each(|object| watched.learn(object));
    watched
}
