//! How the due steps of a run ended so far, for the steps that wait for them or use their values.

use std::sync::{Arc, OnceLock};

use runbook::id::Id;
use runbook::outcome::State;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

/// How a step ended, as far as later steps care.
#[derive(Debug, Clone)]
pub(super) struct Done {
    /// Its state.
    pub(super) state: State,
    /// Whether something was changed.
    pub(super) changed: bool,
    /// How long it took, in seconds.
    pub(super) duration: f64,
    /// Its captures, secrets as they are.
    pub(super) captures: Map<String, Value>,
    /// Of a step with `each`: each item and its result.
    pub(super) items: Vec<(String, Done)>,
    /// The step for which those that need this one are blocked: itself, or what it needs where `when` did not hold.
    pub(super) blocks: Option<Id>,
    /// The step without which what needs this one is skipped: the lab does not have what it takes.
    pub(super) hollow: Option<Id>,
}

impl Done {
    /// What `steps.ID` is: of a step with `each` by item.
    pub(super) fn value(&self) -> Value {
        let mut value = self.captures.clone();
        if !self.items.is_empty() {
            let names: Vec<&String> = self
                .items
                .iter()
                .flat_map(|(_, done)| done.captures.keys())
                .collect();
            for name in names {
                let by_item = self.items.iter().filter_map(|(item, done)| {
                    Some((item.clone(), done.captures.get(name)?.clone()))
                });
                value.insert(name.clone(), Value::Object(by_item.collect()));
            }
        }
        value.insert("state".into(), json!(self.state.as_str()));
        value.insert("changed".into(), json!(self.changed));
        value.insert("duration".into(), json!(self.duration));
        Value::Object(value)
    }

    /// The result of one item.
    pub(super) fn item(&self, item: &str) -> Option<&Done> {
        self.items
            .iter()
            .find(|(known, _)| known == item)
            .map(|(_, done)| done)
    }

    /// Whether a capture of that name is there; `_` may stand for `-`.
    pub(super) fn has(&self, name: &str) -> bool {
        let matches = |known: &String| known == name || known.replace('-', "_") == name;
        self.captures.keys().any(matches)
            || self
                .items
                .iter()
                .any(|(_, done)| done.captures.keys().any(matches))
    }
}

/// The results of a run's due steps.
pub(super) struct Results {
    done: Vec<OnceLock<Arc<Done>>>,
    count: watch::Sender<usize>,
}

impl Results {
    pub(super) fn new(steps: usize) -> Self {
        Self {
            done: (0..steps).map(|_| OnceLock::new()).collect(),
            count: watch::Sender::new(0),
        }
    }

    /// The result of a step, once it has ended.
    pub(super) fn get(&self, step: u32) -> Option<&Arc<Done>> {
        self.done.get(step as usize)?.get()
    }

    /// Takes the result of a step.
    pub(super) fn set(&self, step: u32, done: Done) {
        if let Some(place) = self.done.get(step as usize)
            && place.set(Arc::new(done)).is_ok()
        {
            self.count.send_modify(|count| *count += 1);
        }
    }

    /// Whether all of these have ended.
    pub(super) fn have(&self, steps: &[u32]) -> bool {
        steps.iter().all(|step| self.get(*step).is_some())
    }

    /// Waits until all of these have ended.
    pub(super) async fn wait(&self, steps: &[u32]) {
        let mut count = self.count.subscribe();
        while !self.have(steps) {
            // The sender lives as long as `self`.
            if count.changed().await.is_err() {
                return;
            }
        }
    }
}
