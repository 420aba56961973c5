//! `get`: objects as they are now.

use runbook::result::Fields;
use runbook_k8s::kstatus::{self, State};
use runbook_k8s::wait::Wish;
use runbook_k8s::{Client, Error, Query};
use serde_json::{Map, Value};

/// Which objects.
#[derive(Debug, Clone)]
pub struct Which {
    /// The kind, as in a manifest or as kubectl takes it: `Deployment`, `deployments`, `deploy`.
    pub kind: String,
    /// Its API, `apps/v1`, where the kind is not enough.
    pub api: Option<String>,
    /// One object.
    pub name: Option<String>,
    /// A label selector.
    pub labels: Option<String>,
    /// A field selector.
    pub fields: Option<String>,
    /// Where; without one in the namespace of the kubeconfig's context.
    pub namespace: Option<String>,
    /// In every namespace.
    pub everywhere: bool,
}

impl Which {
    /// The question to the server.
    ///
    /// # Errors
    ///
    /// The server has no such kind, or cannot be asked.
    pub async fn query(&self, client: &Client) -> Result<Query, Error> {
        let resource = client
            .resource_called(&self.kind, self.api.as_deref())
            .await?;
        let namespace = match (&self.namespace, self.everywhere) {
            (_, true) => None,
            (Some(namespace), _) => Some(namespace.as_str()),
            (None, _) => Some(client.default_namespace()),
        };
        let query = match &self.name {
            Some(name) => Query::one(&resource, namespace, name),
            None => Query::all(&resource, namespace),
        };
        Ok(Query {
            labels: self.labels.clone(),
            fields: self.fields.clone(),
            ..query
        })
    }
}

/// The fields of objects: of one by its name the object itself, else a `List`.
pub fn fields(value: Value, wish: Wish) -> Fields {
    let mut fields = Fields::new();
    let items: Vec<&Value> = match value.get("items").and_then(Value::as_array) {
        Some(items) => items.iter().collect(),
        None => vec![&value],
    };
    let is_ready = |object: &&Value| wish.status(object).state == State::Current;
    fields.set("count", items.len());
    fields.set("ready", !items.is_empty() && items.iter().all(is_ready));
    if let [only] = items[..] {
        fields.set("condition", conditions(only));
    }
    fields.set("json", value);
    fields
}

/// `{Ready: "True", …}`.
fn conditions(object: &Value) -> Map<String, Value> {
    let conditions = kstatus::conditions(object);
    conditions
        .map(|condition| (condition.kind, Value::from(condition.status)))
        .collect()
}
