//! Objects made ready to be sent: their kinds found, namespaces filled in, and what only the server may write taken out.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{Action, Options, Planned};
use crate::client::Client;
use crate::error::Error;
use crate::kind::Resource;
use crate::kinds::kinds_of_crd;
use crate::object::{Key, Object, Place, set_metadata, strip};

pub(super) struct Prepared {
    pub(super) objects: Vec<Planned>,
    /// Kinds that the server does not have yet, but a CRD brings: among the objects, or one that is coming.
    pub(super) unserved: HashSet<Resource>,
}

pub(super) async fn prepare(
    client: &Client,
    objects: &[Object],
    options: &Options,
) -> Result<Prepared, Error> {
    let brought: Vec<Resource> = options
        .coming
        .iter()
        .chain(objects)
        .filter(|object| is_crd(object))
        .flat_map(|object| kinds_of_crd(&object.value))
        .collect();
    let mut kinds: HashMap<(String, String), Resource> = HashMap::new();
    let mut unserved = HashSet::new();
    let mut seen: HashMap<Key, Place> = HashMap::new();
    let mut prepared = Vec::new();
    for object in objects {
        let (api_version, kind) = (object.api_version().to_owned(), object.kind().to_owned());
        let resource = match kinds.get(&(api_version.clone(), kind.clone())) {
            Some(resource) => resource.clone(),
            None => {
                let resource = match client.resource(&api_version, &kind).await {
                    Err(error @ Error::NoSuchKind { .. }) => {
                        let brought = brought
                            .iter()
                            .find(|one| one.api_version() == api_version && one.kind == kind);
                        let brought = brought.ok_or(error)?.clone();
                        unserved.insert(brought.clone());
                        brought
                    }
                    resource => resource?,
                };
                kinds.insert((api_version, kind), resource.clone());
                resource
            }
        };
        let planned = one(client, object, resource, options);
        if let Some(first) = seen.insert(planned.key.clone(), planned.place) {
            return Err(Error::Manifest {
                document: planned.place.document,
                line: planned.place.line,
                message: format!(
                    "{} stands here again: document {}, line {} has it",
                    planned.key, first.document, first.line
                ),
            });
        }
        prepared.push(planned);
    }
    Ok(Prepared {
        objects: prepared,
        unserved,
    })
}

fn is_crd(object: &Object) -> bool {
    object.kind() == "CustomResourceDefinition"
        && object.api_version().starts_with("apiextensions.k8s.io/")
}

fn one(client: &Client, object: &Object, resource: Resource, options: &Options) -> Planned {
    let mut wished = object.value.clone();
    strip(&mut wished);
    if object.kind() == "Secret" && object.api_version() == "v1" {
        encode_string_data(&mut wished);
    }
    let namespace = resource.namespaced.then(|| {
        let given = object.namespace().or(options.namespace.as_deref());
        given
            .unwrap_or_else(|| client.default_namespace())
            .to_owned()
    });
    if let Some(namespace) = &namespace {
        set_metadata(&mut wished, "namespace", Value::from(namespace.as_str()));
    }
    Planned {
        key: Key::new(
            &resource.group,
            &resource.kind,
            namespace.as_deref(),
            object.name(),
        ),
        resource,
        place: object.place,
        action: Action::Same,
        before: None,
        wished,
        differences: Vec::new(),
        conflict: None,
    }
}

/// `stringData` is written by the server into `data` and never read back: nothing could be compared with it.
fn encode_string_data(secret: &mut Value) {
    let Some(secret) = secret.as_object_mut() else {
        return;
    };
    let Some(Value::Object(texts)) = secret.get("stringData") else {
        return;
    };
    // What is no text is left for the server to refuse.
    if !texts.values().all(Value::is_string) {
        return;
    }
    let texts = texts.clone();
    let data = secret
        .entry("data")
        .or_insert_with(|| Value::Object(Map::new()));
    if data.is_null() {
        *data = Value::Object(Map::new());
    }
    let Some(data) = data.as_object_mut() else {
        return;
    };
    for (key, text) in texts {
        data.insert(
            key,
            Value::from(STANDARD.encode(text.as_str().unwrap_or_default())),
        );
    }
    secret.remove("stringData");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn string_data_becomes_data_and_wins_over_it() {
        let mut secret = json!({"data": {"a": "b2xk", "b": "Yg=="}, "stringData": {"a": "new"}});
        encode_string_data(&mut secret);
        assert_eq!(secret, json!({"data": {"a": "bmV3", "b": "Yg=="}}));
        let mut odd = json!({"stringData": {"a": 1}});
        encode_string_data(&mut odd);
        assert_eq!(odd, json!({"stringData": {"a": 1}}));
    }
}
