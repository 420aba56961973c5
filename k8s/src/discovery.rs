//! Which kinds the server has, as far as they are not Kubernetes' own.
//!
//! A kind with its `apiVersion` costs one request (the resources of that group and version); a bare word costs one for all groups
//! (aggregated discovery, Kubernetes 1.26), and where the server cannot do that one for each group. A server that is too old answers
//! aggregated discovery with a list that has no `items`: that is not "no groups". A CRD that was applied is known without asking.

use futures_util::stream::{self, StreamExt as _};
use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::kind::Resource;
use crate::object::{group_version, text};
use crate::request::{Request, segment};

/// Discovery in one answer; what is behind the comma is for servers that have no such thing.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
/// How many groups are asked for at a time where there is no discovery in one answer.
const GROUPS_AT_ONCE: usize = 8;

impl Client {
    /// How a kind is served. Kinds of Kubernetes itself and kinds of CRDs that were applied cost no request.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchKind`], or the server cannot be asked.
    pub async fn resource(&self, api_version: &str, kind: &str) -> Result<Resource, Error> {
        let (group, version) = group_version(api_version);
        if let Some(resource) = Resource::known(group, version, kind) {
            return Ok(resource);
        }
        if let Some(resource) = self.kinds().get(api_version, kind) {
            return Ok(resource);
        }
        let named = format!("{api_version} {kind}");
        let found = self.resources_of(group, version, &named).await?;
        let found = found.into_iter().find(|one| one.resource.kind == kind);
        found
            .map(|one| one.resource)
            .ok_or_else(|| Error::NoSuchKind {
                message: format!("`{api_version}` has no such kind"),
                kind: named,
            })
    }

    /// How a kind is served that a person names: kind, plural, singular or short name, with `.GROUP` where needed; of one
    /// `apiVersion` if that is given.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchKind`]; [`Error::Setting`] where several groups have it; or the server cannot be asked.
    pub async fn resource_called(
        &self,
        word: &str,
        api_version: Option<&str>,
    ) -> Result<Resource, Error> {
        if let Some(api_version) = api_version {
            let (group, version) = group_version(api_version);
            if let Some(known) = Resource::called(word).filter(|known| known.group == group) {
                return Ok(Resource {
                    version: version.to_owned(),
                    ..known
                });
            }
            if let Some(resource) = self.kinds().get(api_version, word) {
                return Ok(resource);
            }
            let named = format!("{api_version} {word}");
            let found = self.resources_of(group, version, &named).await?;
            let found = found.into_iter().find(|one| one.is_called(word));
            return found
                .map(|one| one.resource)
                .ok_or_else(|| Error::NoSuchKind {
                    message: format!("`{api_version}` has no such kind"),
                    kind: named,
                });
        }
        if let Some(resource) = Resource::called(word).or_else(|| self.kinds().called(word)) {
            return Ok(resource);
        }
        let mut found: Vec<_> = self
            .all()
            .await?
            .into_iter()
            .filter(|one| one.is_called(word))
            .collect();
        // Of each group the first version stands for all.
        found.dedup_by(|one, other| one.resource.group == other.resource.group);
        match found.len() {
            0 => Err(Error::NoSuchKind {
                kind: word.to_owned(),
                message: "no group has it".to_owned(),
            }),
            1 => {
                let resource = found.remove(0).resource;
                self.kinds().learn_word(word, &resource);
                Ok(resource)
            }
            _ => {
                let groups: Vec<_> = found
                    .iter()
                    .map(|one| format!("`{}`", one.resource.api_version()))
                    .collect();
                Err(Error::Setting(format!(
                    "several groups have the kind `{word}`: say which of {}",
                    groups.join(", ")
                )))
            }
        }
    }

    async fn resources_of(
        &self,
        group: &str,
        version: &str,
        named: &str,
    ) -> Result<Vec<Served>, Error> {
        let path = match group {
            "" => format!("/api/{}", segment(version)),
            group => format!("/apis/{}/{}", segment(group), segment(version)),
        };
        let list = self
            .send(&Request::path(&path))
            .await
            .map_err(|error| match error {
                Error::NoSuchKind { .. } | Error::NotFound { .. } => Error::NoSuchKind {
                    kind: named.to_owned(),
                    message: "this group and version is not served".to_owned(),
                },
                error => error,
            })?;
        let served = served_of_list(group, version, &list);
        served
            .iter()
            .for_each(|one| self.kinds().learn(&one.resource));
        Ok(served)
    }

    /// Every kind of every group, the preferred version of each first.
    async fn all(&self) -> Result<Vec<Served>, Error> {
        let answer = self
            .send(&Request::path("/apis").accepting(AGGREGATED))
            .await?;
        if let Some(served) = served_of_aggregated(&answer) {
            return Ok(served);
        }
        let groups = answer["groups"].as_array().cloned().unwrap_or_default();
        let mut asked = Vec::new();
        for group in &groups {
            let (_, version) = group_version(text(group, "/preferredVersion/groupVersion"));
            asked.push(self.resources_of(text(group, "/name"), version, ""));
        }
        // One dead aggregated API does not take the others away.
        let lists: Vec<Result<Vec<Served>, Error>> =
            stream::iter(asked).buffered(GROUPS_AT_ONCE).collect().await;
        Ok(lists.into_iter().flatten().flatten().collect())
    }
}

/// A kind with the other names it goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Served {
    resource: Resource,
    names: Vec<String>,
}

impl Served {
    fn is_called(&self, word: &str) -> bool {
        let (name, group) = word
            .split_once('.')
            .map_or((word, None), |(name, group)| (name, Some(group)));
        let is_named = self.resource.kind.eq_ignore_ascii_case(name)
            || self.resource.plural.eq_ignore_ascii_case(name)
            || self
                .names
                .iter()
                .any(|other| other.eq_ignore_ascii_case(name));
        is_named && group.is_none_or(|group| group == self.resource.group)
    }
}

fn texts(value: &Value) -> Vec<String> {
    let texts = value
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter();
    texts.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn served_of_list(group: &str, version: &str, list: &Value) -> Vec<Served> {
    let resources = list["resources"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter();
    // `deployments/scale` is a part of another.
    let resources = resources.filter(|one| !text(one, "/name").contains('/'));
    resources
        .map(|one| {
            let mut names = texts(&one["shortNames"]);
            names.push(text(one, "/singularName").to_owned());
            Served {
                resource: Resource {
                    group: group.to_owned(),
                    version: version.to_owned(),
                    kind: text(one, "/kind").to_owned(),
                    plural: text(one, "/name").to_owned(),
                    namespaced: one["namespaced"].as_bool().unwrap_or(true),
                },
                names,
            }
        })
        .collect()
}

/// None where the answer is no aggregated discovery.
fn served_of_aggregated(answer: &Value) -> Option<Vec<Served>> {
    let groups = answer["items"].as_array()?;
    // Every server has `apps`; one that seems to have none did not answer this.
    groups
        .iter()
        .find(|group| text(group, "/metadata/name") == "apps")?;
    let mut served = Vec::new();
    for group in groups {
        for version in group["versions"].as_array()? {
            for one in version["resources"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default()
            {
                let mut names = texts(&one["shortNames"]);
                names.push(text(one, "/singularResource").to_owned());
                served.push(Served {
                    resource: Resource {
                        group: text(group, "/metadata/name").to_owned(),
                        version: text(version, "/version").to_owned(),
                        kind: text(one, "/responseKind/kind").to_owned(),
                        plural: text(one, "/resource").to_owned(),
                        namespaced: text(one, "/scope") != "Cluster",
                    },
                    names,
                });
            }
        }
    }
    Some(served)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_old_server_has_no_aggregated_discovery_though_it_says_ok() {
        let old = json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [{"name": "apps"}]});
        assert_eq!(served_of_aggregated(&old), None);
        assert_eq!(served_of_aggregated(&json!({"items": []})), None);
    }

    #[test]
    fn aggregated_discovery_gives_kinds_with_their_names() {
        let answer = json!({"kind": "APIGroupDiscoveryList", "items": [
            {"metadata": {"name": "apps"}, "versions": [{"version": "v1", "resources": []}]},
            {"metadata": {"name": "source.toolkit.fluxcd.io"}, "versions": [{"version": "v1", "resources": [
                {"resource": "gitrepositories", "responseKind": {"group": "", "version": "", "kind": "GitRepository"},
                 "scope": "Namespaced", "singularResource": "gitrepository", "shortNames": ["gitrepo"]}]}]}]});
        let served = served_of_aggregated(&answer).expect("aggregated");
        for word in [
            "GitRepository",
            "gitrepositories",
            "gitrepo",
            "gitrepository.source.toolkit.fluxcd.io",
        ] {
            assert!(served[0].is_called(word), "{word}");
        }
        assert!(!served[0].is_called("gitrepo.other.io") && !served[0].is_called("git"));
        assert_eq!(
            served[0].resource.to_string(),
            "source.toolkit.fluxcd.io/v1 GitRepository"
        );
    }

    #[test]
    fn parts_of_kinds_are_no_kinds() {
        let list = json!({"resources": [{"name": "widgets", "kind": "Widget", "namespaced": true, "singularName": "widget", "shortNames": ["wd"]},
            {"name": "widgets/status", "kind": "Widget", "namespaced": true}]});
        let served = served_of_list("example.com", "v1", &list);
        assert_eq!(served.len(), 1);
        assert!(served[0].is_called("wd") && served[0].is_called("widget"));
    }
}
