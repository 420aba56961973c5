//! Reading objects: one by name, or those a selector finds.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Client;
use crate::error::Error;
use crate::kind::Resource;
use crate::object::{Key, Object, resource_version};
use crate::request::Request;

/// How many objects are asked for at a time: what kubectl asks for.
const PAGE: usize = 500;
/// How many objects a list may have.
const OBJECTS_MAX: usize = 200_000;
/// How often a list is begun anew because its continuation was forgotten.
const RESTARTS_MAX: usize = 3;

/// Which objects: one by its name, or those of a kind that selectors find.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Query {
    /// The kind.
    pub resource: Resource,
    /// Where; none for all namespaces, and for what belongs to the whole cluster.
    pub namespace: Option<String>,
    /// One object.
    pub name: Option<String>,
    /// `app=web,tier in (a,b)`.
    pub labels: Option<String>,
    /// `status.phase=Running`.
    pub fields: Option<String>,
}

impl Query {
    /// All objects of a kind in a namespace; without one in all.
    pub fn all(resource: &Resource, namespace: Option<&str>) -> Self {
        Self {
            resource: resource.clone(),
            namespace: namespace.filter(|_| resource.namespaced).map(str::to_owned),
            name: None,
            labels: None,
            fields: None,
        }
    }

    /// One object.
    pub fn one(resource: &Resource, namespace: Option<&str>, name: &str) -> Self {
        Self {
            name: Some(name.to_owned()),
            ..Self::all(resource, namespace)
        }
    }

    /// Those with labels.
    #[must_use]
    pub fn labelled(self, selector: &str) -> Self {
        Self {
            labels: Some(selector.to_owned()),
            ..self
        }
    }

    /// Those with fields.
    #[must_use]
    pub fn with_fields(self, selector: &str) -> Self {
        Self {
            fields: Some(selector.to_owned()),
            ..self
        }
    }

    /// The key of the one object it means.
    pub fn key(&self) -> Option<Key> {
        let name = self.name.as_deref()?;
        Some(Key::new(
            &self.resource.group,
            &self.resource.kind,
            self.namespace.as_deref(),
            name,
        ))
    }

    fn not_found(&self) -> Error {
        let (plural, name) = (
            &self.resource.plural,
            self.name.as_deref().unwrap_or_default(),
        );
        let selectors = self.labels.iter().chain(&self.fields);
        let selectors: Vec<&str> = selectors.map(String::as_str).collect();
        Error::NotFound {
            what: format!("{plural}/{name}"),
            message: format!(
                "{plural} \"{name}\" with {} not found",
                selectors.join(" and ")
            ),
        }
    }

    /// As a list: a name becomes a field selector, so that a list and a watch of one object are the same as of many.
    pub(crate) fn selected(&self, request: Request) -> Request {
        let name = self
            .name
            .as_ref()
            .map(|name| format!("metadata.name={name}"));
        let fields: Vec<String> = name.into_iter().chain(self.fields.clone()).collect();
        request.maybe("labelSelector", self.labels.as_ref()).maybe(
            "fieldSelector",
            Some(fields.join(",")).filter(|fields| !fields.is_empty()),
        )
    }
}

/// What a list found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct List {
    /// The objects, with `apiVersion` and `kind`.
    pub items: Vec<Value>,
    /// The state of the cluster it shows: a watch can go on from here.
    pub resource_version: String,
}

impl List {
    /// As one value: `{apiVersion: v1, kind: List, items: […]}`.
    pub fn into_value(self) -> Value {
        json!({ "apiVersion": "v1", "kind": "List", "items": self.items })
    }
}

impl Client {
    /// Reads what a query means: the object where it has a name, else a `List`. `managedFields` are left out.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] where it has a name, also for one that its selectors do not find; nothing found by selectors alone is an
    /// empty list. Else whatever went wrong.
    pub async fn get(&self, query: &Query) -> Result<Value, Error> {
        let mut value = match &query.name {
            Some(_) if query.labels.is_some() || query.fields.is_some() => self
                .list(query)
                .await?
                .items
                .pop()
                .ok_or_else(|| query.not_found())?,
            Some(name) => {
                let request = Request::get(&query.resource, query.namespace.as_deref(), Some(name));
                self.send(&request).await?
            }
            None => self.list(query).await?.into_value(),
        };
        match value.get_mut("items").filter(|_| query.name.is_none()) {
            Some(Value::Array(items)) => items.iter_mut().for_each(without_managed_fields),
            _ => without_managed_fields(&mut value),
        }
        Ok(value)
    }

    /// The query that means an object of a manifest; objects that name no namespace are in the given one, else in that of the
    /// kubeconfig's context.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchKind`], or the server cannot be asked.
    pub async fn query_of(&self, object: &Object, namespace: Option<&str>) -> Result<Query, Error> {
        let resource = self.resource(object.api_version(), object.kind()).await?;
        let namespace = object
            .namespace()
            .or(namespace)
            .unwrap_or_else(|| self.default_namespace());
        Ok(Query::one(&resource, Some(namespace), object.name()))
    }

    /// Lists what a query means, page by page, with `managedFields`; nothing found is an empty list.
    ///
    /// # Errors
    ///
    /// Whatever went wrong.
    pub async fn list(&self, query: &Query) -> Result<List, Error> {
        let mut restarts = 0;
        loop {
            match self.pages(query).await {
                // The continuation was forgotten before it was used.
                Err(Error::Expired(_)) if restarts < RESTARTS_MAX => restarts += 1,
                result => return result,
            }
        }
    }

    async fn pages(&self, query: &Query) -> Result<List, Error> {
        let mut list = List::default();
        let mut next = String::new();
        loop {
            let request = Request::get(&query.resource, query.namespace.as_deref(), None);
            let request = query.selected(request).with("limit", PAGE);
            let request = request.maybe("continue", Some(&next).filter(|next| !next.is_empty()));
            let mut answer = self.send(&request).await?;
            list.resource_version = resource_version(&answer).to_owned();
            next = crate::object::text(&answer, "/metadata/continue").to_owned();
            let Some(Value::Array(items)) = answer.get_mut("items").map(Value::take) else {
                return Err(Error::Answer(format!("{request:?}: a list without items")));
            };
            list.items
                .extend(items.into_iter().map(|item| typed(item, &query.resource)));
            if next.is_empty() {
                return Ok(list);
            }
            if list.items.len() >= OBJECTS_MAX {
                return Err(Error::Answer(format!(
                    "{request:?}: more than {OBJECTS_MAX} objects"
                )));
            }
        }
    }

    /// Who the cluster is: the server's version (`v1.36.4`) and the `uid` of namespace `kube-system`, which stays the same as long
    /// as the cluster is the same one.
    ///
    /// # Errors
    ///
    /// Whatever went wrong.
    pub async fn identity(&self) -> Result<Identity, Error> {
        let version = self.send(&Request::path("/version")).await?;
        let system = self
            .send(&Request::get(
                &Resource::namespace(),
                None,
                Some("kube-system"),
            ))
            .await;
        let uid = match system {
            Ok(system) => Some(crate::object::text(&system, "/metadata/uid").to_owned()),
            // Who may not see it, or a cluster without it, is known by its address alone.
            Err(Error::Forbidden(_) | Error::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(Identity {
            version: crate::object::text(&version, "/gitVersion").to_owned(),
            uid,
        })
    }

    /// Waits until the server says that it is ready (`/readyz`).
    ///
    /// # Errors
    ///
    /// The last failure, when the time is over.
    pub async fn ready(&self, limit: Duration) -> Result<(), Error> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let error = match self
                .bytes(&Request::path("/readyz").accepting("*/*").once())
                .await
            {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let pause = self.times().pause;
            if tokio::time::Instant::now() + pause >= deadline {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// Who a cluster is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `v1.36.4`.
    pub version: String,
    /// The `uid` of `kube-system`; none where it cannot be seen.
    pub uid: Option<String>,
}

/// The items of a list of a built-in kind do not say what they are.
fn typed(mut item: Value, resource: &Resource) -> Value {
    if let Some(map) = item.as_object_mut()
        && !map.contains_key("kind")
    {
        let mut typed = serde_json::Map::new();
        typed.insert("apiVersion".to_owned(), Value::from(resource.api_version()));
        typed.insert("kind".to_owned(), Value::from(resource.kind.as_str()));
        typed.append(map);
        return Value::Object(typed);
    }
    item
}

/// The items of a `List`; none of an object, which may have a field of that name.
pub fn items(value: &Value) -> Option<&[Value]> {
    let is_list = value["apiVersion"] == "v1" && value["kind"] == "List";
    value["items"]
        .as_array()
        .filter(|_| is_list)
        .map(Vec::as_slice)
}

/// Takes out who owns which field, which nobody wants to read.
pub fn without_managed_fields(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_field_selector_where_lists_and_watches_need_one() {
        let pods = Resource::called("pods").expect("known");
        let query = Query::one(&pods, Some("shop"), "web").with_fields("status.phase=Running");
        let request = query.selected(Request::get(&pods, Some("shop"), None));
        let uri = "/api/v1/namespaces/shop/pods?fieldSelector=metadata.name%3Dweb%2Cstatus.phase%3DRunning";
        assert_eq!(request.uri(), uri);
    }

    #[test]
    fn what_belongs_to_the_whole_cluster_has_no_namespace() {
        let nodes = Resource::called("nodes").expect("known");
        assert_eq!(Query::all(&nodes, Some("shop")).namespace, None);
    }

    #[test]
    fn an_object_with_a_field_called_items_is_no_list() {
        let list = List::default().into_value();
        assert_eq!(items(&list), Some(&[][..]));
        let shelf = json!({"apiVersion": "example.com/v1", "kind": "Shelf", "items": [{"a": 1}]});
        assert_eq!(items(&shelf), None);
        let list = json!({"apiVersion": "example.com/v1", "kind": "List", "items": [{"a": 1}]});
        assert_eq!(items(&list), None);
    }

    #[test]
    fn items_of_a_list_say_what_they_are() {
        let pods = Resource::called("pods").expect("known");
        let item = typed(json!({"metadata": {"name": "a"}}), &pods);
        assert_eq!(
            item,
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}})
        );
    }
}
