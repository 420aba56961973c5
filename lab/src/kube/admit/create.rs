//! Creating an object.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Write, check_kind, decode, defaults, quota, refuse, validate};
use crate::kube::apply;
use crate::kube::object::{self, Object};
use crate::kube::resource::Resource;
use crate::kube::schema;
use crate::kube::state::State;
use crate::kube::status::{Cause, Refusal, Result};

/// How often a generated name is tried.
const NAME_TRIES: usize = 8;

impl State {
    /// Creates an object as a POST does.
    pub(crate) fn create(
        &mut self,
        resource: &Arc<Resource>,
        namespace: &str,
        mut value: Value,
        write: &mut Write,
    ) -> Result<Arc<Object>> {
        check_kind(&self.registry, resource, &value)?;
        decode(resource, &mut value, write)?;
        if resource.is_custom() {
            schema::prune_nulls(resource.schema(), &mut value);
        }
        self.create_decoded(resource, namespace, value, write, false)
    }

    /// The same for what was merged by an apply, which noted its owners itself.
    pub(crate) fn create_decoded(
        &mut self,
        resource: &Arc<Resource>,
        namespace: &str,
        mut value: Value,
        write: &mut Write,
        applied: bool,
    ) -> Result<Arc<Object>> {
        value["apiVersion"] = resource.api_version().into();
        value["kind"] = resource.kind.as_str().into();
        place(resource, namespace, &mut value)?;
        self.name_it(resource, namespace, &mut value)?;
        let name = object::name(&value).to_owned();
        if !object::text(&value, &["metadata", "resourceVersion"]).is_empty() {
            let text = "resourceVersion should not be set on objects to be created";
            return Err(Refusal::new(500, "", text));
        }
        self.admit_namespace(resource, namespace, &name)?;
        let meta = object::meta_mut(&mut value);
        for key in [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
            "resourceVersion",
        ] {
            meta.shift_remove(key);
        }
        if !applied {
            meta.shift_remove("managedFields");
        }
        let uid = write.uid.take().unwrap_or_else(object::new_uid);
        meta.insert("uid".into(), uid.into());
        meta.insert("creationTimestamp".into(), object::now().into());
        meta.shift_remove("generation");
        if defaults::has_generation(resource) {
            meta.insert("generation".into(), 1.into());
        }
        if resource.sub("status").is_some() {
            object::remove(&mut value, &["status"]);
        }
        defaults::fill(self, resource, &mut value);
        let causes = validate::check(self, resource, &value);
        refuse(resource, &name, &causes)?;
        self.admit_pod(resource, &mut value)?;
        if self.get(&resource.qualified(), namespace, &name).is_some() {
            return Err(Refusal::exists(&resource.qualified(), &name));
        }
        quota::admit(self, resource, namespace, &value)?;
        if !applied {
            apply::update(resource, None, &mut value, &write.managed());
        }
        // Nobody owns what the server itself gives.
        self.give_addresses(resource, &mut value, None)?;
        if write.dry_run {
            return Ok(Arc::new(Object::new(value)));
        }
        let made = self.store.put(&resource.qualified(), value);
        if resource.qualified() == "namespaces" {
            self.furnish(&name)?;
        }
        Ok(made)
    }

    fn name_it(&self, resource: &Resource, namespace: &str, value: &mut Value) -> Result<()> {
        if !object::name(value).is_empty() {
            return Ok(());
        }
        let prefix = object::text(value, &["metadata", "generateName"]).to_owned();
        if prefix.is_empty() {
            let cause = Cause::required("metadata.name", "name or generateName is required");
            return refuse(resource, "", &[cause]);
        }
        for _ in 0..NAME_TRIES {
            let name = format!("{prefix}{}", object::suffix());
            if self.get(&resource.qualified(), namespace, &name).is_none() {
                object::meta_mut(value).insert("name".into(), name.into());
                return Ok(());
            }
        }
        Err(Refusal::exists(&resource.qualified(), &prefix))
    }

    /// Nothing is made in a namespace that is not there, or that is ending.
    fn admit_namespace(&self, resource: &Resource, namespace: &str, name: &str) -> Result<()> {
        if !resource.namespaced {
            return Ok(());
        }
        let Some(own) = self.get("namespaces", "", namespace) else {
            return Err(Refusal::not_found("namespaces", namespace));
        };
        if object::is_deleting(&own.value) {
            let detail = format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            );
            let cause = json!({
                "reason": "NamespaceTerminating", "message": format!("namespace {namespace} is being terminated"), "field": "metadata.namespace",
            });
            return Err(
                Refusal::forbidden(&resource.qualified(), name, &detail).with_causes(vec![cause])
            );
        }
        Ok(())
    }

    /// What every namespace has.
    pub(crate) fn furnish(&mut self, namespace: &str) -> Result<()> {
        let ca = self.ca_pem.clone();
        let objects = [
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}),
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "kube-root-ca.crt", "annotations": {"kubernetes.io/description":
                    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."}},
                "data": {"ca.crt": ca},
            }),
        ];
        for object in objects {
            let resource = self.kind("v1", object["kind"].as_str().unwrap_or_default())?;
            let name = object::name(&object).to_owned();
            if self.get(&resource.qualified(), namespace, &name).is_none() {
                self.create(
                    &resource,
                    namespace,
                    object,
                    &mut Write::by("kube-controller-manager"),
                )?;
            }
        }
        Ok(())
    }
}

/// The namespace of the path and the one of the object are one.
pub(super) fn place(resource: &Resource, namespace: &str, value: &mut Value) -> Result<()> {
    let own = object::namespace(value).to_owned();
    let meta = object::meta_mut(value);
    if !resource.namespaced {
        meta.shift_remove("namespace");
        return Ok(());
    }
    if own.is_empty() {
        meta.insert("namespace".into(), namespace.into());
    } else if own != namespace {
        return Err(Refusal::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}
