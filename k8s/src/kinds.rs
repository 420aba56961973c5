//! What was learned of kinds that are not Kubernetes' own. Asking for them is in `discovery`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::kind::Resource;
use crate::object::text;

/// What was learned of kinds. Nothing is learned of what is not there: it may come.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    /// By `apiVersion` and kind.
    learned: Mutex<HashMap<(String, String), Resource>>,
    /// By the word that a person used.
    words: Mutex<HashMap<String, Resource>>,
}

impl Kinds {
    pub(crate) fn get(&self, api_version: &str, kind: &str) -> Option<Resource> {
        let learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        learned
            .get(&(api_version.to_owned(), kind.to_owned()))
            .cloned()
    }

    pub(crate) fn learn(&self, resource: &Resource) {
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        learned.insert(
            (resource.api_version(), resource.kind.clone()),
            resource.clone(),
        );
    }

    pub(crate) fn called(&self, word: &str) -> Option<Resource> {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        words.get(word).cloned()
    }

    pub(crate) fn learn_word(&self, word: &str, resource: &Resource) {
        self.learn(resource);
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        words.insert(word.to_owned(), resource.clone());
    }

    /// Learns the kinds of a CustomResourceDefinition.
    pub(crate) fn learn_crd(&self, crd: &Value) {
        for resource in kinds_of_crd(crd) {
            self.learn(&resource);
        }
    }
}

/// The kinds that a CustomResourceDefinition brings, one for each version that is served.
pub(crate) fn kinds_of_crd(crd: &Value) -> Vec<Resource> {
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array);
    let served = versions.map(Vec::as_slice).unwrap_or_default().iter();
    let served = served.filter(|version| version["served"].as_bool() != Some(false));
    served
        .map(|version| Resource {
            group: text(crd, "/spec/group").to_owned(),
            version: text(version, "/name").to_owned(),
            kind: text(crd, "/spec/names/kind").to_owned(),
            plural: text(crd, "/spec/names/plural").to_owned(),
            namespaced: text(crd, "/spec/scope") != "Cluster",
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_crd_brings_each_version_that_is_served() {
        let crd = json!({"spec": {"group": "example.com", "scope": "Cluster", "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": true}, {"name": "v1alpha1", "served": false}, {"name": "v1beta1"}]}});
        let kinds: Vec<_> = kinds_of_crd(&crd).iter().map(ToString::to_string).collect();
        assert_eq!(
            kinds,
            ["example.com/v1 Widget", "example.com/v1beta1 Widget"]
        );
        assert!(
            kinds_of_crd(&crd)
                .iter()
                .all(|kind| !kind.namespaced && kind.plural == "widgets")
        );
    }
}
