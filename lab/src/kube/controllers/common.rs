//! What controllers share: conditions, status writes, events, and how long ago something began.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kube::admit::Write;
use crate::kube::object::{self, Object};
use crate::kube::resource::Resource;
use crate::kube::settings::Fail;
use crate::kube::state::State;

/// When something about an object began, and numbers kept about it.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    times: HashMap<String, BTreeMap<String, Instant>>,
    /// What was last, of each object.
    last: HashMap<String, BTreeMap<&'static str, String>>,
    /// The name of the event of an object, reason and message.
    events: HashMap<(String, String, String), (String, String)>,
}

impl Marks {
    /// How long ago that began; it begins with the first question.
    pub(crate) fn since(&mut self, uid: &str, what: &str) -> Duration {
        let times = self.times.entry(uid.to_owned()).or_default();
        times
            .entry(what.to_owned())
            .or_insert_with(Instant::now)
            .elapsed()
    }

    /// It begins again.
    pub(crate) fn restart(&mut self, uid: &str, what: &str) {
        self.times
            .entry(uid.to_owned())
            .or_default()
            .insert(what.to_owned(), Instant::now());
    }

    /// Whether that has begun.
    pub(crate) fn has(&self, uid: &str, what: &str) -> bool {
        self.times
            .get(uid)
            .is_some_and(|times| times.contains_key(what))
    }

    /// It has not begun.
    pub(crate) fn clear(&mut self, uid: &str, what: &str) {
        if let Some(times) = self.times.get_mut(uid) {
            times.remove(what);
        }
    }

    /// Remembers what was last.
    pub(crate) fn remember(&mut self, uid: &str, what: &'static str, value: &str) {
        let last = self.last.entry(uid.to_owned()).or_default();
        last.insert(what, value.to_owned());
    }

    /// Whether that was last.
    pub(crate) fn was_last(&self, uid: &str, what: &'static str, value: &str) -> bool {
        self.last
            .get(uid)
            .and_then(|last| last.get(what))
            .is_some_and(|last| last == value)
    }

    pub(crate) fn forget(&mut self, uid: &str) {
        self.times.remove(uid);
        self.last.remove(uid);
        self.events.retain(|(own, _, _), _| own != uid);
    }

    /// What is left of a delay that began with the first question; none when it is over.
    pub(crate) fn left(&mut self, uid: &str, what: &str, delay: Duration) -> Option<Duration> {
        let gone = self.since(uid, what);
        (gone < delay).then(|| delay - gone)
    }
}

/// A condition of a status.
pub(crate) fn condition<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    object::items(value, &["status", "conditions"])
        .iter()
        .find(|one| one["type"] == name)
}

/// Puts a condition among others; its transition is now when its status changes.
pub(crate) fn set_condition(conditions: &mut Vec<Value>, mut fresh: Value) {
    let now = object::now();
    match conditions
        .iter_mut()
        .find(|one| one["type"] == fresh["type"])
    {
        Some(own) => {
            let time = if own["status"] == fresh["status"] {
                own["lastTransitionTime"].clone()
            } else {
                now.into()
            };
            fresh["lastTransitionTime"] = time;
            *own = fresh;
        }
        None => {
            fresh["lastTransitionTime"] = now.into();
            conditions.push(fresh);
        }
    }
}

impl State {
    /// Writes a status as the controller manager does; nothing when it is the same.
    pub(crate) fn write_status(&mut self, live: &Arc<Object>, status: Value, manager: &str) {
        if live.value.get("status") == Some(&status) {
            return;
        }
        let Some(resource) = self.resource_of(&live.value) else {
            return;
        };
        let mut value = live.value.clone();
        value["status"] = status;
        let mut write = Write::by(manager).subresource("status");
        let _ = self.replace(&resource, live, value, &mut write, false);
    }

    /// The resource that an object is of.
    pub(crate) fn resource_of(&self, value: &Value) -> Option<Arc<Resource>> {
        self.registry
            .of_kind(value["apiVersion"].as_str()?, value["kind"].as_str()?)
    }

    /// Writes an object with one more change by a controller; what it refuses is told.
    pub(crate) fn change(
        &mut self,
        live: &Arc<Object>,
        manager: &str,
        edit: impl FnOnce(&mut Value),
    ) -> Result<Arc<Object>, String> {
        let resource = self
            .resource_of(&live.value)
            .ok_or("its resource is not served")?;
        let mut value = live.value.clone();
        edit(&mut value);
        let mut write = Write::by(manager);
        self.replace(&resource, live, value, &mut write, false)
            .map_err(|refusal| refusal.message)
    }

    /// Creates an object as a controller.
    pub(crate) fn make(
        &mut self,
        namespace: &str,
        value: Value,
        manager: &str,
    ) -> Result<Arc<Object>, String> {
        let resource = self
            .resource_of(&value)
            .ok_or("its resource is not served")?;
        let mut write = Write::by(manager);
        self.create(&resource, namespace, value, &mut write)
            .map_err(|refusal| refusal.message)
    }

    /// Deletes an object as a controller.
    pub(crate) fn end(&mut self, object: &Value) {
        let Some(resource) = self.resource_of(object) else {
            return;
        };
        let how = crate::kube::admit::Deletion {
            propagation: Some("Background".into()),
            ..Default::default()
        };
        let _ = self.delete(
            &resource,
            object::namespace(object),
            object::name(object),
            &how,
        );
    }

    /// Notes an event; the same one again is counted.
    pub(crate) fn event(
        &mut self,
        about: &Value,
        kind: &str,
        reason: &str,
        message: &str,
        source: &str,
    ) {
        let namespace = match object::namespace(about) {
            "" => "default",
            own => own,
        }
        .to_owned();
        let key = (
            object::uid(about).to_owned(),
            reason.to_owned(),
            message.to_owned(),
        );
        let now = object::now();
        if let Some((namespace, name)) = self.marks.events.get(&key).cloned()
            && let Some(live) = self.get("events", &namespace, &name)
        {
            let count = live.value["count"].as_i64().unwrap_or(1) + 1;
            let _ = self.change(&live, source, |value| {
                value["count"] = count.into();
                value["lastTimestamp"] = now.into();
            });
            return;
        }
        let name = format!("{}.{:016x}", object::name(about), object::random());
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": about["apiVersion"], "kind": about["kind"], "name": object::name(about),
                "namespace": object::namespace(about), "uid": object::uid(about),
                "resourceVersion": about["metadata"]["resourceVersion"],
            },
            "reason": reason, "message": message, "type": kind, "count": 1,
            "firstTimestamp": now, "lastTimestamp": now, "eventTime": null,
            "source": {"component": source}, "reportingComponent": source, "reportingInstance": "",
        });
        if self.make(&namespace, event, source).is_ok() {
            self.marks.events.insert(key, (namespace, name));
        }
    }

    /// The scripted failure of this kind that an object or its owners have, by settings or annotation.
    pub(crate) fn failure(&self, value: &Value, reason: &str) -> Option<Fail> {
        let key = match reason {
            "image-pull" => "lab/image-pull",
            "crash-loop" => "lab/crash-loop",
            "unschedulable" => "lab/unschedulable",
            _ => "lab/quota",
        };
        if object::annotation(value, key) == "fail" {
            return Some(Fail {
                name: "lab".into(),
                reason: reason.into(),
                ..Fail::default()
            });
        }
        if self.settings.fail.is_empty() {
            return None;
        }
        let chain = self.chain(value);
        self.settings
            .fail
            .iter()
            .find(|fail| {
                fail.reason == reason
                    && chain.iter().any(|(kind, namespace, name)| {
                        (fail.kind.is_empty() || fail.kind == *kind)
                            && (fail.namespace.is_empty() || fail.namespace == *namespace)
                            && (fail.name.is_empty() || fail.name == *name)
                    })
            })
            .cloned()
    }

    /// Kind, namespace and name of an object and of those that control it.
    fn chain(&self, value: &Value) -> Vec<(String, String, String)> {
        const OWNERS_MAX: usize = 8;
        let mut out = Vec::new();
        let mut at = Some(value.clone());
        while let Some(value) = at.take().filter(|_| out.len() < OWNERS_MAX) {
            let kind = value["kind"].as_str().unwrap_or_default().to_owned();
            out.push((
                kind,
                object::namespace(&value).to_owned(),
                object::name(&value).to_owned(),
            ));
            at = object::controller(&value)
                .and_then(|owner| self.store.by_uid(owner["uid"].as_str()?))
                .map(|owner| owner.value.clone());
        }
        out
    }
}
