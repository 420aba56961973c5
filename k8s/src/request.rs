//! Requests as values: a method, a path, a query, a body, and whether they may be sent again.
//!
//! Nothing is sent here. Server-side apply and everything that reads may be repeated; a creation and a JSON patch may not.

use std::fmt;

use serde_json::Value;

use crate::kind::Resource;

/// How a body is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// An object.
    Json,
    /// Server-side apply.
    Apply,
    /// RFC 7386.
    Merge,
    /// RFC 6902.
    JsonPatch,
}

impl Content {
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            // JSON is YAML; this is the older of its two names, which every server knows.
            Self::Apply => "application/apply-patch+yaml",
            Self::Merge => "application/merge-patch+json",
            Self::JsonPatch => "application/json-patch+json",
        }
    }
}

/// One request to the API.
#[derive(Clone)]
pub struct Request {
    pub(crate) method: http::Method,
    pub(crate) path: String,
    query: Vec<(&'static str, String)>,
    pub(crate) body: Option<(Value, Content)>,
    pub(crate) accept: &'static str,
    pub(crate) repeats: bool,
    verb: &'static str,
    resource: Option<Resource>,
    namespace: Option<String>,
    name: Option<String>,
}

/// The path only: a body or a query may hold what nobody should read.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Request {
    fn new(method: http::Method, verb: &'static str, path: String) -> Self {
        Self {
            method,
            path,
            query: Vec::new(),
            body: None,
            accept: "application/json",
            repeats: true,
            verb,
            resource: None,
            namespace: None,
            name: None,
        }
    }

    fn on(
        method: http::Method,
        verb: &'static str,
        resource: &Resource,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Self {
        let mut path = match resource.group.as_str() {
            "" => format!("/api/{}", segment(&resource.version)),
            group => format!("/apis/{}/{}", segment(group), segment(&resource.version)),
        };
        let namespace = namespace.filter(|_| resource.namespaced);
        if let Some(namespace) = namespace {
            path.push_str("/namespaces/");
            path.push_str(&segment(namespace));
        }
        path.push('/');
        path.push_str(&segment(&resource.plural));
        if let Some(name) = name {
            path.push('/');
            path.push_str(&segment(name));
        }
        Self {
            resource: Some(resource.clone()),
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
            ..Self::new(method, verb, path)
        }
    }

    /// Reads a path that is no object: `/version`, `/apis`.
    pub fn path(path: &str) -> Self {
        Self::new(http::Method::GET, "get", path.to_owned())
    }

    /// Reads an object, or lists a kind where there is no name; without a namespace those of all.
    pub fn get(resource: &Resource, namespace: Option<&str>, name: Option<&str>) -> Self {
        let verb = if name.is_some() { "get" } else { "list" };
        Self::on(http::Method::GET, verb, resource, namespace, name)
    }

    /// Watches a kind.
    pub(crate) fn watch(resource: &Resource, namespace: Option<&str>) -> Self {
        Self::on(http::Method::GET, "watch", resource, namespace, None).with("watch", "true")
    }

    /// Creates an object; never repeated.
    pub fn create(resource: &Resource, namespace: Option<&str>, object: Value) -> Self {
        let mut request = Self::on(http::Method::POST, "create", resource, namespace, None);
        request.name = object
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .map(str::to_owned);
        request.body = Some((object, Content::Json));
        request.repeats = false;
        request
    }

    /// Changes an object.
    pub fn patch(
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        content: Content,
        body: Value,
    ) -> Self {
        let mut request = Self::on(
            http::Method::PATCH,
            "patch",
            resource,
            namespace,
            Some(name),
        );
        request.body = Some((body, content));
        request.repeats = content != Content::JsonPatch;
        request
    }

    /// Replaces an object by one with its resource version, or creates it there.
    pub fn replace(
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        object: Value,
    ) -> Self {
        let mut request = Self::on(http::Method::PUT, "update", resource, namespace, Some(name));
        request.body = Some((object, Content::Json));
        request
    }

    /// Deletes an object, with `DeleteOptions`.
    pub fn delete(
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        options: Value,
    ) -> Self {
        let mut request = Self::on(
            http::Method::DELETE,
            "delete",
            resource,
            namespace,
            Some(name),
        );
        request.body = Some((options, Content::Json));
        request
    }

    /// The same on a part of the object: `status`, `log`, `exec`, `scale`.
    #[must_use]
    pub fn subresource(mut self, name: &str) -> Self {
        self.path.push('/');
        self.path.push_str(name);
        self
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// Adds a query parameter that may be missing.
    #[must_use]
    pub fn maybe(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Asks for another form of answer.
    #[must_use]
    pub(crate) fn accepting(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }

    /// Is not sent again, whatever happens.
    #[must_use]
    pub(crate) fn once(mut self) -> Self {
        self.repeats = false;
        self
    }

    /// Path and query.
    pub fn uri(&self) -> String {
        let mut uri = self.path.clone();
        for (position, (name, value)) in self.query.iter().enumerate() {
            uri.push(if position == 0 { '?' } else { '&' });
            uri.push_str(name);
            uri.push('=');
            uri.push_str(&segment(value));
        }
        uri
    }

    /// `get`, `list`, `watch`, `create`, `patch`, `update`, `delete`: the verb of RBAC.
    pub fn verb(&self) -> &'static str {
        self.verb
    }

    pub(crate) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The plural of the kind with its group; the path where it is no kind.
    pub(crate) fn resource(&self) -> String {
        self.resource
            .as_ref()
            .map_or_else(|| self.path.clone(), Resource::full_name)
    }

    /// The kind with its `apiVersion`; the path where it is no kind.
    pub(crate) fn kind(&self) -> String {
        self.resource
            .as_ref()
            .map_or_else(|| self.path.clone(), ToString::to_string)
    }

    /// What it is about, for people: `Deployment shop/web`, `deployments.apps in shop`, `/version`.
    pub(crate) fn what(&self) -> String {
        let Some(resource) = &self.resource else {
            return self.path.clone();
        };
        match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => format!("{} {namespace}/{name}", resource.kind),
            (None, Some(name)) => format!("{} {name}", resource.kind),
            (Some(namespace), None) => format!("{} in {namespace}", resource.full_name()),
            (None, None) => resource.full_name(),
        }
    }
}

/// A text as one segment of a path or one value of a query (RFC 3986: what is not unreserved is escaped).
pub(crate) fn segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte))
            }
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment() -> Resource {
        Resource::known("apps", "v1", "Deployment").expect("known")
    }

    #[test]
    fn paths_have_group_namespace_and_name() {
        let request = Request::get(&deployment(), Some("shop"), Some("web"));
        assert_eq!(
            request.uri(),
            "/apis/apps/v1/namespaces/shop/deployments/web"
        );
        assert_eq!(
            (request.verb(), request.what()),
            ("get", "Deployment shop/web".to_owned())
        );
        let request = Request::get(&deployment(), None, None)
            .with("labelSelector", "a in (b,c)")
            .with("limit", 500);
        assert_eq!(
            request.uri(),
            "/apis/apps/v1/deployments?labelSelector=a%20in%20%28b%2Cc%29&limit=500"
        );
        assert_eq!(
            (request.verb(), request.what()),
            ("list", "deployments.apps".to_owned())
        );
        let node = Resource::called("node").expect("known");
        let request = Request::get(&node, Some("shop"), Some("pve1"));
        assert_eq!(request.uri(), "/api/v1/nodes/pve1");
        assert_eq!(request.what(), "Node pve1");
    }

    #[test]
    fn a_name_cannot_leave_its_segment() {
        let role = Resource::called("clusterrole").expect("known");
        let request = Request::get(&role, None, Some("system:../x?y"));
        assert_eq!(
            request.uri(),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3A..%2Fx%3Fy"
        );
    }

    #[test]
    fn what_may_be_sent_again_is_known() {
        let object = json!({"metadata": {"name": "web"}});
        assert!(Request::get(&deployment(), None, None).repeats);
        assert!(!Request::create(&deployment(), Some("a"), object.clone()).repeats);
        assert!(
            Request::patch(
                &deployment(),
                Some("a"),
                "web",
                Content::Apply,
                object.clone()
            )
            .repeats
        );
        assert!(
            !Request::patch(
                &deployment(),
                Some("a"),
                "web",
                Content::JsonPatch,
                json!([])
            )
            .repeats
        );
        assert!(Request::delete(&deployment(), Some("a"), "web", json!({})).repeats);
    }

    #[test]
    fn debug_shows_neither_query_nor_body() {
        let request = Request::create(&deployment(), Some("a"), json!({"data": "geheim"}))
            .with("token", "geheim");
        assert_eq!(
            format!("{request:?}"),
            "POST /apis/apps/v1/namespaces/a/deployments"
        );
    }
}
