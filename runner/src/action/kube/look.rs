//! Objects as they are: which are meant, and what is told of them.
//!
//! What a Secret holds is told to whoever judges it, beside the texts that must not be shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runbook::matcher::SECRET;
use runbook::result::Fields;
use runbook_k8s::kstatus::{self, State};
use runbook_k8s::wait::Wish;
use runbook_k8s::{Client, Error, Key, Query, without_managed_fields};
use serde_json::{Map, Value, json};

/// Where kubectl writes the whole of an object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

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

/// A query for people: `Deployment shop/web`, `pods with app=web in shop`.
pub fn shown(query: &Query) -> String {
    if let Some(key) = query.key() {
        return key.to_string();
    }
    let selectors: Vec<&str> = [&query.labels, &query.fields]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let with = match selectors[..] {
        [] => String::new(),
        _ => format!(" with {}", selectors.join(" and ")),
    };
    let place = query
        .namespace
        .as_ref()
        .map(|namespace| format!(" in `{namespace}`"));
    format!("{}{with}{}", query.resource.kind, place.unwrap_or_default())
}

/// Whether a query means an object.
pub fn may_mean(query: &Query, key: &Key) -> bool {
    if let Some(named) = query.key() {
        return named == *key;
    }
    query.resource.group == key.group
        && query.resource.kind == key.kind
        && (query.namespace.is_none() || query.namespace == key.namespace)
}

/// The fields of objects: of one by its name the object itself, else a `List`.
pub fn fields(value: Value, wish: Wish) -> Fields {
    let mut fields = Fields::new();
    let items: Vec<&Value> = match runbook_k8s::items(&value) {
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

/// Several objects as one value: of one the object itself, else a `List`.
pub fn together(mut objects: Vec<Value>) -> Value {
    match objects.pop() {
        Some(only) if objects.is_empty() => only,
        last => {
            objects.extend(last);
            listed(objects)
        }
    }
}

/// What a selector finds: a `List`, however many there are.
pub fn listed(objects: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": objects})
}

/// What the Secrets among objects hold, as it stands there and decoded: texts that no result may show.
pub fn held(value: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    let items = runbook_k8s::items(value).unwrap_or(std::slice::from_ref(value));
    for object in items.iter().filter(|object| object["kind"] == "Secret") {
        let maps = ["data", "stringData"]
            .iter()
            .filter_map(|map| object[map].as_object());
        for text in maps.flat_map(Map::values).filter_map(Value::as_str) {
            if let Some(decoded) = STANDARD
                .decode(text)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
            {
                texts.push(decoded);
            }
            texts.push(text.to_owned());
        }
        // kubectl writes the whole of it here.
        let whole = object["metadata"]["annotations"][LAST_APPLIED].as_str();
        texts.extend(whole.map(str::to_owned));
    }
    texts.retain(|text| !text.is_empty());
    texts
}

/// An object for people to read: without what nobody reads, and without what a Secret holds.
pub fn readable(object: &Value) -> Value {
    let mut object = object.clone();
    without_managed_fields(&mut object);
    if object["kind"] == "Secret" {
        for map in ["data", "stringData"] {
            let map = object.get_mut(map).and_then(Value::as_object_mut);
            for value in map.into_iter().flat_map(Map::values_mut) {
                *value = Value::from(SECRET);
            }
        }
        if let Some(annotations) = object.pointer_mut("/metadata/annotations")
            && let Some(annotations) = annotations.as_object_mut()
        {
            annotations.remove(LAST_APPLIED);
        }
    }
    object
}

/// `{Ready: "True", …}`.
fn conditions(object: &Value) -> Map<String, Value> {
    let conditions = kstatus::conditions(object);
    conditions
        .map(|condition| (condition.kind, Value::from(condition.status)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_is_itself_and_several_are_a_list() {
        assert_eq!(together(vec![json!({"kind": "A"})]), json!({"kind": "A"}));
        let two = together(vec![json!({"kind": "A"}), json!({"kind": "B"})]);
        assert_eq!(two["items"], json!([{"kind": "A"}, {"kind": "B"}]));
        assert_eq!(together(Vec::new())["items"], json!([]));
    }

    #[test]
    fn an_object_with_a_field_called_items_is_one_object() {
        let shelf = json!({"apiVersion": "example.com/v1", "kind": "Shelf", "items": [{}, {}],
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let fields = fields(shelf, Wish::default());
        assert_eq!(fields.get("count"), Some(&json!(1)));
        assert_eq!(fields.get("condition"), Some(&json!({"Ready": "True"})));
    }

    #[test]
    fn what_a_secret_holds_is_known_in_both_forms_and_never_readable() {
        let secret = json!({"kind": "Secret", "metadata": {"name": "a", "managedFields": [1]}, "data": {"password": "Z2VoZWlt"}});
        assert_eq!(held(&secret), ["geheim", "Z2VoZWlt"]);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [secret, {"kind": "ConfigMap", "data": {"a": "b"}}]});
        assert_eq!(held(&list), ["geheim", "Z2VoZWlt"]);
        assert_eq!(
            readable(&secret),
            json!({"kind": "Secret", "metadata": {"name": "a"}, "data": {"password": "(secret)"}})
        );
    }
}
