//! Changing an object: PUT, patches and apply end here.

use std::sync::Arc;

use serde_json::{Value, json};

use super::workload_defaults::TEMPLATE_GENERATION;
use super::{Write, check_kind, create, decode, defaults, immutable, is_same, refuse, validate};
use crate::kube::apply;
use crate::kube::object::{self, Object};
use crate::kube::resource::Resource;
use crate::kube::schema;
use crate::kube::state::State;
use crate::kube::status::{Cause, Refusal, Result};

const CHANGED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";
/// Metadata that no client sets.
const KEPT: [&str; 5] = [
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
];

impl State {
    /// Replaces an object (or its status) as a PUT does.
    pub(crate) fn update(
        &mut self,
        resource: &Arc<Resource>,
        namespace: &str,
        name: &str,
        mut value: Value,
        write: &mut Write,
    ) -> Result<Arc<Object>> {
        check_kind(&self.registry, resource, &value)?;
        decode(resource, &mut value, write)?;
        if resource.is_custom() {
            schema::prune_nulls(resource.schema(), &mut value);
        }
        let Some(live) = self.get(&resource.qualified(), namespace, name) else {
            return Err(Refusal::not_found(&resource.qualified(), name));
        };
        self.replace(resource, &live, value, write, false)
    }

    /// What a server-side apply does: creates, or merges into what is there.
    pub(crate) fn apply(
        &mut self,
        resource: &Arc<Resource>,
        namespace: &str,
        name: &str,
        mut config: Value,
        force: bool,
        write: &mut Write,
    ) -> Result<(Arc<Object>, bool)> {
        check_applied(self, resource, &config)?;
        let sent_namespace = object::namespace(&config).to_owned();
        let own = object::name(&config).to_owned();
        if !own.is_empty() && own != name {
            return Err(Refusal::bad_request(format!(
                "the name of the object ({own}) does not match the name on the URL ({name})"
            )));
        }
        object::meta_mut(&mut config).insert("name".into(), name.into());
        create::place(resource, namespace, &mut config)?;
        let live = self.get(&resource.qualified(), namespace, name);
        if live.is_none() && !write.subresource.is_empty() {
            return Err(Refusal::not_found(&resource.qualified(), name));
        }
        if write.subresource == "status" {
            object::remove(&mut config, &["spec"]);
        } else if resource.sub("status").is_some() {
            object::remove(&mut config, &["status"]);
        }
        if resource.is_custom() {
            decode(resource, &mut config, write)?;
        }
        let by = write.managed();
        let mut merged = apply::apply(
            resource,
            live.as_ref().map(|live| &live.value),
            (&config, &sent_namespace),
            &by,
            force,
        )?;
        if !resource.is_custom()
            && let Err(place) = schema::normalize_bytes(resource.schema(), &mut merged)
        {
            let kind = format!("{}, Kind={}", resource.version_shown(), resource.kind);
            return Err(Refusal::new(
                500,
                "",
                format!(
                    "failed to convert new object ({sent_namespace}/{name}; {kind}) to proper version: unable to convert unstructured object to {kind}: error decoding from json: illegal base64 data at input byte {place}"
                ),
            ));
        }
        match live {
            Some(live) => Ok((self.replace(resource, &live, merged, write, true)?, false)),
            None => Ok((
                self.create_decoded(resource, namespace, merged, write, true)?,
                true,
            )),
        }
    }

    /// Puts a new version in the place of the live one, when it may be there and differs.
    pub(crate) fn replace(
        &mut self,
        resource: &Arc<Resource>,
        live: &Arc<Object>,
        mut value: Value,
        write: &mut Write,
        applied: bool,
    ) -> Result<Arc<Object>> {
        let qualified = resource.qualified();
        let name = object::name(&live.value).to_owned();
        let namespace = object::namespace(&live.value).to_owned();
        value["apiVersion"] = resource.api_version().into();
        value["kind"] = resource.kind.as_str().into();
        create::place(resource, &namespace, &mut value)?;
        let sent = object::name(&value).to_owned();
        if sent.is_empty() && resource.is_custom() {
            return refuse(resource, "", &[Cause::required("metadata.name", "")])
                .map(|()| live.clone());
        }
        if sent != name {
            return Err(Refusal::bad_request(format!(
                "the name of the object ({sent}) does not match the name on the URL ({name})"
            )));
        }
        let version = object::text(&value, &["metadata", "resourceVersion"]);
        if !version.is_empty()
            && version != object::text(&live.value, &["metadata", "resourceVersion"])
        {
            return Err(Refusal::conflict(&qualified, &name, CHANGED));
        }
        let uid = object::uid(&value).to_owned();
        if !uid.is_empty() && uid != object::uid(&live.value) {
            if applied {
                let cause =
                    Cause::invalid("metadata.uid", &uid.as_str().into(), "field is immutable");
                return refuse(resource, &name, &[cause]).map(|()| live.clone());
            }
            let group = if resource.is_custom() {
                format!("{}/", resource.group)
            } else {
                String::new()
            };
            let place = if namespace.is_empty() {
                String::new()
            } else {
                format!("{namespace}/")
            };
            let detail = format!(
                "StorageError: invalid object, Code: 4, Key: /registry/{group}{}/{place}{name}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                resource.plural,
                object::uid(&live.value)
            );
            return Err(Refusal::conflict(&qualified, &name, &detail));
        }
        keep(resource, &live.value, &mut value, &write.subresource);
        defaults::fill(self, resource, &mut value);
        let mut causes = validate::check(self, resource, &value);
        causes.extend(immutable::check(
            resource,
            &live.value,
            &value,
            &write.subresource,
        ));
        causes.extend(new_finalizers(&live.value, &value));
        refuse(resource, &name, &causes)?;
        self.give_addresses(resource, &mut value, Some(&live.value))?;
        if defaults::has_generation(resource)
            && write.subresource != "status"
            && defaults::spec_differs(resource, &live.value, &value)
        {
            let next =
                object::number(&live.value, &["metadata", "generation"]).unwrap_or_default() + 1;
            object::meta_mut(&mut value).insert("generation".into(), next.into());
        }
        if qualified == "daemonsets.apps"
            && live.value["spec"]["template"] != value["spec"]["template"]
        {
            let number = object::annotation(&live.value, TEMPLATE_GENERATION)
                .parse::<i64>()
                .unwrap_or(1)
                + 1;
            value["metadata"]["annotations"][TEMPLATE_GENERATION] = number.to_string().into();
        }
        if !applied {
            apply::update(resource, Some(&live.value), &mut value, &write.managed());
        }
        if is_same(&live.value, &value) {
            return Ok(live.clone());
        }
        if write.dry_run {
            return Ok(Arc::new(Object::new(value)));
        }
        let ends = object::is_deleting(&value)
            && object::items(&value, &["metadata", "finalizers"]).is_empty()
            && (qualified == "namespaces")
                <= object::items(&value, &["spec", "finalizers"]).is_empty()
            && object::number(&value, &["metadata", "deletionGracePeriodSeconds"])
                .unwrap_or_default()
                == 0;
        let kept = self.store.put(&qualified, value);
        if ends {
            self.store.take(&qualified, &namespace, &name);
        }
        Ok(kept)
    }
}

/// What is going gets no new finalizer.
fn new_finalizers(live: &Value, value: &Value) -> Option<Cause> {
    let path = ["metadata", "finalizers"];
    let had = object::items(live, &path);
    let fresh: Vec<String> = object::items(value, &path)
        .iter()
        .filter(|one| !had.contains(one))
        .map(Value::to_string)
        .collect();
    (object::is_deleting(live) && !fresh.is_empty()).then(|| {
        let detail = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            fresh.join(", ")
        );
        Cause::forbidden("metadata.finalizers", &detail)
    })
}

/// An apply names what it applies.
fn check_applied(state: &State, resource: &Resource, config: &Value) -> Result<()> {
    if config["kind"].as_str().unwrap_or_default().is_empty()
        || config["apiVersion"].as_str().unwrap_or_default().is_empty()
    {
        let (api_version, kind) = (&config["apiVersion"], &config["kind"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (group, version) = match text(api_version).split_once('/') {
            Some((group, version)) => (group.to_owned(), version.to_owned()),
            None => (String::new(), text(api_version)),
        };
        return Err(Refusal::bad_request(format!(
            "invalid object type: {group}/{version}, Kind={}",
            text(kind)
        )));
    }
    check_kind(&state.registry, resource, config)
}

/// What this write may not change is taken from the live object.
fn keep(resource: &Resource, live: &Value, value: &mut Value, subresource: &str) {
    if subresource == "status" {
        let managed = object::at(value, &["metadata", "managedFields"]).cloned();
        let status = value.get("status").cloned();
        let notes = object::at(value, &["metadata", "annotations"]).cloned();
        *value = live.clone();
        match status {
            Some(status) => value["status"] = status,
            None => {
                object::remove(value, &["status"]);
            }
        }
        if let Some(managed) = managed {
            object::meta_mut(value).insert("managedFields".into(), managed);
        }
        // Controllers of built-in kinds note things beside the status; such a write raises no generation.
        if !resource.is_custom()
            && let Some(notes) = notes
        {
            object::meta_mut(value).insert("annotations".into(), notes);
        }
        return;
    }
    for key in KEPT {
        let own = object::at(live, &["metadata", key]).cloned();
        let meta = object::meta_mut(value);
        match own {
            Some(own) => {
                meta.insert(key.into(), own);
            }
            None => {
                meta.shift_remove(key);
            }
        }
    }
    let version = object::at(live, &["metadata", "resourceVersion"])
        .cloned()
        .unwrap_or(json!("0"));
    object::meta_mut(value).insert("resourceVersion".into(), version);
    if resource.sub("status").is_some() {
        match live.get("status") {
            Some(status) => value["status"] = status.clone(),
            None => {
                object::remove(value, &["status"]);
            }
        }
    }
}
