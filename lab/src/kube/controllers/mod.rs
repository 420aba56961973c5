//! The controllers: one queue over all changes, each object brought to where it should be by the function of its kind.
//!
//! A function sees one object under the state's lock, changes the store by the same way as every client, and may ask to be
//! called again after a time. It never waits.

mod budget;
mod claim;
mod common;
mod cron;
mod daemon;
mod deployment;
mod deployment_notes;
mod gc;
mod job;
mod job_verdict;
mod namespace;
mod nodes;
mod pod;
mod pod_status;
mod pool;
mod program;
mod replicas;
mod revision;
mod rollout;
mod schedule;
mod service;
mod stateful;
mod timers;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::object::{self, Object};
use super::state::{Cluster, State};
use super::store::{Change, Key};
use super::{crd, flux};

pub(crate) use common::{Marks, condition, set_condition};

pub(crate) use pool::Pool;
pub(crate) use program::environment;
pub(crate) use schedule::node;
use timers::Timers;

/// Objects that are looked at before others get the lock.
const BATCH: usize = 64;
/// The longest sleep without a look at the clock.
const IDLE: Duration = Duration::from_secs(3600);

/// An object to look at.
type Item = (Arc<str>, Key);

/// When an object wants to be looked at again.
pub(crate) type Again = Option<Duration>;

/// Brings one object of a table to where it should be.
type Reaction = fn(&mut State, &Arc<Object>) -> Again;

/// The function of each table.
const REACTIONS: [(&str, Reaction); 15] = [
    ("namespaces", namespace::react),
    ("pods", pod::react),
    ("deployments.apps", deployment::react),
    ("replicasets.apps", replicas::react),
    ("statefulsets.apps", stateful::react),
    ("daemonsets.apps", daemon::react),
    ("jobs.batch", job::react),
    ("cronjobs.batch", cron::react),
    ("services", service::react),
    ("persistentvolumeclaims", claim::react),
    ("persistentvolumes", claim::react_volume),
    ("poddisruptionbudgets.policy", budget::react),
    ("resourcequotas", budget::react_quota),
    ("nodes", nodes::react),
    (crd::TABLE, namespace::react_definition),
];

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    known: HashSet<Item>,
    timers: Timers<Item>,
}

impl Queue {
    fn push(&mut self, item: Item) {
        if self.known.insert(item.clone()) {
            self.items.push_back(item);
        }
    }

    /// Everything that a change concerns.
    fn note(&mut self, state: &mut State, change: &Change) {
        self.push((change.table.clone(), change.key.clone()));
        for object in change.now.iter().chain(&change.before) {
            for owner in object::items(&object.value, &["metadata", "ownerReferences"]) {
                let api_version = owner["apiVersion"].as_str().unwrap_or_default();
                let kind = owner["kind"].as_str().unwrap_or_default();
                if let Some(resource) = state.registry.of_kind(api_version, kind) {
                    let namespace = if resource.namespaced {
                        change.key.0.clone()
                    } else {
                        String::new()
                    };
                    let name = owner["name"].as_str().unwrap_or_default().to_owned();
                    self.push((resource.qualified().into(), (namespace, name)));
                }
            }
        }
        if change.now.is_none() {
            self.note_end(state, change);
        }
        let table = &*change.table;
        let namespace = change.key.0.clone();
        let all = |queue: &mut Self, table: &str, namespace: &str| {
            for (key, _) in state.store.list(table, namespace) {
                queue.push((table.into(), key.clone()));
            }
        };
        match table {
            "pods" => {
                all(self, "services", &namespace);
                all(self, "poddisruptionbudgets.policy", &namespace);
            }
            "nodes" => {
                all(self, "daemonsets.apps", "");
                all(self, "pods", "");
            }
            // What a pod waits for.
            "configmaps" | "secrets" | "persistentvolumeclaims"
                if change.before.is_none() || table.starts_with('p') =>
            {
                all(self, "pods", &namespace);
            }
            _ => {}
        }
        if !namespace.is_empty()
            && (change.now.is_none() || change.before.is_none() || table == "pods")
        {
            all(self, "resourcequotas", &namespace);
        }
    }

    /// What an object leaves behind.
    fn note_end(&mut self, state: &mut State, change: &Change) {
        let Some(last) = &change.before else { return };
        let uid = object::uid(&last.value).to_owned();
        state.marks.forget(&uid);
        for (table, key) in state.store.owned_by(&uid) {
            self.push((table, key));
        }
        let namespace = &change.key.0;
        let ending = |object: Option<&Arc<Object>>| {
            object.is_some_and(|object| object::is_deleting(&object.value))
        };
        if !namespace.is_empty() && ending(state.store.get("namespaces", "", namespace)) {
            self.push(("namespaces".into(), (String::new(), namespace.clone())));
        }
        if ending(state.store.get(crd::TABLE, "", &change.table)) {
            self.push((crd::TABLE.into(), (String::new(), change.table.to_string())));
        }
        match &*change.table {
            "services" => {
                state.pool.release(&last.value);
                service::forget(state, &last.value);
            }
            crd::TABLE => {
                let (group, plural) = (
                    object::text(&last.value, &["spec", "group"]),
                    object::text(&last.value, &["spec", "names", "plural"]),
                );
                state.registry.forget(group, plural);
            }
            "serviceaccounts" | "configmaps"
                if matches!(change.key.1.as_str(), "default" | "kube-root-ca.crt")
                    && state
                        .store
                        .get("namespaces", "", namespace)
                        .is_some_and(|own| !object::is_deleting(&own.value)) =>
            {
                // Every namespace has them; a refusal would be told to nobody.
                let _ = state.furnish(namespace);
            }
            "pods" => {
                state.logs.retain(|(own, _), _| *own != uid);
            }
            _ => {}
        }
    }

    /// Looks at some objects; when the next look is due.
    fn work(&mut self, state: &mut State) -> Option<Instant> {
        while let Some(change) = state.store.next_change() {
            self.note(state, &change);
        }
        let now = Instant::now();
        while let Some(item) = self.timers.pop(now) {
            self.push(item);
        }
        for _ in 0..BATCH {
            let Some(item) = self.items.pop_front() else {
                break;
            };
            self.known.remove(&item);
            let again = look(state, &item).map(|after| Instant::now() + after);
            self.timers.set(&item, again);
            while let Some(change) = state.store.next_change() {
                self.note(state, &change);
            }
            for item in std::mem::take(&mut state.nudged) {
                self.push(item);
            }
        }
        if self.items.is_empty() {
            self.timers.next()
        } else {
            Some(now)
        }
    }
}

fn look(state: &mut State, (table, (namespace, name)): &Item) -> Again {
    let live = state.get(table, namespace, name)?;
    if gc::collect(state, table, &live) {
        return None;
    }
    let live = state.get(table, namespace, name)?;
    match REACTIONS.iter().find(|(own, _)| *own == &**table) {
        Some((_, reaction)) => reaction(state, &live),
        None => flux::react(state, table, &live),
    }
}

/// Runs the controllers until they are stopped.
pub(crate) async fn run(
    cluster: Arc<Cluster>,
    mut stopped: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
) {
    let _alive = alive;
    let mut changed = cluster.lock().store.changed();
    let mut queue = Queue::default();
    loop {
        changed.mark_unchanged();
        let due = {
            let mut state = cluster.lock();
            let due = queue.work(&mut state);
            let orders = std::mem::take(&mut state.orders);
            let fetches = std::mem::take(&mut state.flux.fetches);
            drop(state);
            for fetch in fetches {
                flux::fetch(&cluster, fetch, stopped.clone());
            }
            for order in orders {
                program::run_program(&cluster, order, stopped.clone());
            }
            due
        };
        let now = Instant::now();
        if due.is_some_and(|due| due <= now) {
            tokio::task::yield_now().await;
            if *stopped.borrow() {
                return;
            }
            continue;
        }
        let wait = due.map_or(IDLE, |due| due - now);
        tokio::select! {
            _ = stopped.changed() => return,
            _ = changed.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// An owner reference to a controller.
pub(crate) fn owner(resource_kind: (&str, &str), owner: &Value) -> Value {
    serde_json::json!({
        "apiVersion": resource_kind.0, "kind": resource_kind.1, "name": object::name(owner), "uid": object::uid(owner),
        "controller": true, "blockOwnerDeletion": true,
    })
}
