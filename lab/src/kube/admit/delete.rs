//! Deleting: grace, finalizers, propagation, preconditions.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Write;
use crate::kube::crd;
use crate::kube::object::{self, Object};
use crate::kube::resource::Resource;
use crate::kube::state::State;
use crate::kube::status::{Refusal, Result, success};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// How something is deleted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deletion {
    pub(crate) grace: Option<i64>,
    pub(crate) propagation: Option<String>,
    pub(crate) uid: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) dry_run: bool,
}

impl Deletion {
    /// From `DeleteOptions`.
    pub(crate) fn read(options: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let propagation = text(&options["propagationPolicy"]).or_else(|| {
            // The older word for it.
            match options["orphanDependents"] {
                Value::Bool(true) => Some("Orphan".to_owned()),
                _ => None,
            }
        });
        Self {
            grace: options["gracePeriodSeconds"].as_i64(),
            propagation,
            uid: text(&options["preconditions"]["uid"]),
            version: text(&options["preconditions"]["resourceVersion"]),
            dry_run: options["dryRun"]
                .as_array()
                .is_some_and(|list| list.iter().any(|one| one == "All")),
        }
    }
}

impl State {
    /// Deletes an object; the answer is its last version, or a `Status` when it is gone at once.
    pub(crate) fn delete(
        &mut self,
        resource: &Arc<Resource>,
        namespace: &str,
        name: &str,
        how: &Deletion,
    ) -> Result<(Value, bool)> {
        let qualified = resource.qualified();
        let Some(live) = self.get(&qualified, namespace, name) else {
            return Err(Refusal::not_found(&qualified, name));
        };
        check_preconditions(&resource.qualified_kind(), name, &live, how)?;
        if qualified == "namespaces" && matches!(name, "default" | "kube-system" | "kube-public") {
            return Err(Refusal::forbidden(
                &qualified,
                name,
                "this namespace may not be deleted",
            ));
        }
        let mut value = live.value.clone();
        let mut finalizers = self.finalizers(&value, how);
        if qualified == crd::TABLE && !object::is_deleting(&value) {
            finalizers.push(crd::FINALIZER.into());
        }
        let grace = grace(&qualified, &value, how);
        let waits = !finalizers.is_empty() || grace > 0 || qualified == "namespaces";
        if !waits {
            if !how.dry_run {
                self.store.take(&qualified, namespace, name);
            }
            // Pods answer with themselves, everything else with a status.
            return Ok(match qualified.as_str() {
                "pods"
                | "services"
                | "serviceaccounts"
                | "resourcequotas"
                | "persistentvolumeclaims" => (value, true),
                _ => (success(&qualified, name, object::uid(&value)), true),
            });
        }
        let meta = object::meta_mut(&mut value);
        let already = meta.contains_key("deletionTimestamp");
        let shorter = meta
            .get("deletionGracePeriodSeconds")
            .and_then(Value::as_i64)
            .is_none_or(|own| grace < own);
        if already
            && !shorter
            && finalizers
                == meta
                    .get("finalizers")
                    .and_then(Value::as_array)
                    .cloned()
                    .unwrap_or_default()
        {
            return Ok((value, false));
        }
        if !already && let Some(generation) = meta.get("generation").and_then(Value::as_i64) {
            meta.insert("generation".into(), (generation + 1).into());
        }
        if !already || shorter {
            let end = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(grace);
            meta.insert("deletionTimestamp".into(), object::stamp(end).into());
            if qualified != "namespaces" {
                meta.insert("deletionGracePeriodSeconds".into(), grace.into());
            }
        }
        if !finalizers.is_empty() {
            meta.insert("finalizers".into(), finalizers.into());
        }
        if qualified == "namespaces" {
            value["status"]["phase"] = "Terminating".into();
        }
        if how.dry_run {
            return Ok((value, false));
        }
        let waits = grace > 0
            || !object::items(&value, &["metadata", "finalizers"]).is_empty()
            || qualified == "namespaces";
        let kept = self.store.put(&qualified, value);
        if !waits {
            self.store.take(&qualified, namespace, name);
        }
        Ok((kept.value.clone(), false))
    }

    /// Those of the object, with those that the propagation asks for.
    fn finalizers(&self, value: &Value, how: &Deletion) -> Vec<Value> {
        let mut finalizers = object::items(value, &["metadata", "finalizers"]).to_vec();
        let wanted = match how.propagation.as_deref() {
            Some("Foreground") => Some(FOREGROUND),
            Some("Orphan") => Some(ORPHAN),
            _ => None,
        };
        if how.propagation.is_some() {
            finalizers.retain(|one| one != FOREGROUND && one != ORPHAN);
        }
        if let Some(wanted) = wanted {
            finalizers.push(wanted.into());
        }
        finalizers
    }

    /// Takes a finalizer away, as its controller does; the object goes with its last one.
    pub(crate) fn finalize(
        &mut self,
        resource: &Arc<Resource>,
        live: &Arc<Object>,
        finalizer: &str,
    ) -> Result<()> {
        let mut value = live.value.clone();
        let mut left = object::items(&value, &["metadata", "finalizers"]).to_vec();
        left.retain(|one| one != finalizer);
        if left.is_empty() {
            object::remove(&mut value, &["metadata", "finalizers"]);
        } else {
            object::meta_mut(&mut value).insert("finalizers".into(), left.into());
        }
        self.replace(
            resource,
            live,
            value,
            &mut Write::by("kube-controller-manager"),
            false,
        )?;
        Ok(())
    }

    /// Ends a pod as the kubelet does once its containers stopped.
    pub(crate) fn end_pod(&mut self, live: &Arc<Object>) {
        let (namespace, name) = (
            object::namespace(&live.value).to_owned(),
            object::name(&live.value).to_owned(),
        );
        if object::items(&live.value, &["metadata", "finalizers"]).is_empty() {
            self.store.take("pods", &namespace, &name);
            return;
        }
        let mut value = live.value.clone();
        object::meta_mut(&mut value).insert("deletionGracePeriodSeconds".into(), json!(0));
        self.store.put("pods", value);
    }
}

fn check_preconditions(qualified: &str, name: &str, live: &Object, how: &Deletion) -> Result<()> {
    let own = (
        object::uid(&live.value),
        object::text(&live.value, &["metadata", "resourceVersion"]),
    );
    for (word, wanted, is) in [
        ("UID", &how.uid, own.0),
        ("ResourceVersion", &how.version, own.1),
    ] {
        if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != is) {
            let after = if word == "UID" {
                "deleted and then recreated"
            } else {
                "modified"
            };
            let detail = format!(
                "the {word} in the precondition ({wanted}) does not match the {word} in record ({is}). The object might have been {after}"
            );
            return Err(Refusal::conflict(qualified, name, &detail));
        }
    }
    Ok(())
}

/// Seconds until it ends; only pods have any.
fn grace(qualified: &str, value: &Value, how: &Deletion) -> i64 {
    if qualified != "pods" {
        return 0;
    }
    let scheduled = !object::text(value, &["spec", "nodeName"]).is_empty();
    let over = matches!(
        object::text(value, &["status", "phase"]),
        "Succeeded" | "Failed"
    );
    if !scheduled || over {
        return 0;
    }
    how.grace
        .or_else(|| object::number(value, &["spec", "terminationGracePeriodSeconds"]))
        .unwrap_or(30)
        .max(0)
}
