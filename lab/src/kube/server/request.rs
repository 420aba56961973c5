//! From a request to what it means: where it goes, how it is asked, what it carries.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::Value;

use crate::kube::resource::{Registry, Resource};
use crate::kube::status::{Refusal, Result};
use crate::kube::wire;

/// The largest body, as the API server has it.
const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// How Go's typed clients send objects.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// The parameters of a query, the last of a name.
#[derive(Debug, Default)]
pub(crate) struct Params(HashMap<String, Vec<String>>);

impl Params {
    pub(crate) fn parse(query: &str) -> Self {
        let mut map: HashMap<String, Vec<String>> = HashMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            map.entry(decoded(name)).or_default().push(decoded(value));
        }
        Self(map)
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.0
            .get(name)
            .and_then(|list| list.last())
            .map_or("", String::as_str)
    }

    pub(crate) fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether it is there, with a value or without.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), "true" | "1")
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name).parse().ok()
    }
}

fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        let hex = bytes
            .get(index + 1..index + 3)
            .and_then(|hex| std::str::from_utf8(hex).ok());
        match (
            bytes[index],
            hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()),
        ) {
            (b'%', Some(byte)) => {
                out.push(byte);
                index += 2;
            }
            (b'+', _) => out.push(b' '),
            (other, _) => out.push(other),
        }
        index += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A place among the resources.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) resource: Arc<Resource>,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) sub: String,
    /// What follows the subresource, as a proxy has it.
    pub(crate) rest: bool,
}

/// Where a path leads; none when it is not served.
pub(crate) fn place(registry: &Registry, path: &str) -> Option<Place> {
    let parts: Vec<String> = path
        .split('/')
        .filter(|part| !part.is_empty())
        .map(decoded)
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, rest): (&str, &[&str]) = match rest {
        ["namespaces", namespace, rest @ ..]
            if !rest.is_empty()
                && (!group.is_empty() || !matches!(rest, ["status" | "finalize"])) =>
        {
            (*namespace, rest)
        }
        other => ("", other),
    };
    let (plural, rest) = rest.split_first()?;
    let resource = registry.find(group, version, plural)?;
    if !namespace.is_empty() && !resource.namespaced {
        return None;
    }
    let (name, sub, more) = match rest {
        [] => ("", "", false),
        [name] => (*name, "", false),
        [name, sub] => (*name, *sub, false),
        [name, sub, ..] => (*name, *sub, true),
    };
    // An object of a namespace is not found without it.
    if resource.namespaced && namespace.is_empty() && !name.is_empty() {
        return None;
    }
    Some(Place {
        resource,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        sub: sub.to_owned(),
        rest: more,
    })
}

/// The whole body, at most as much as is read.
pub(crate) async fn body(incoming: Incoming) -> Result<Bytes> {
    match Limited::new(incoming, BODY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(_) => Err(Refusal::new(
            413,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {BODY_BYTES_MAX}"),
        )),
    }
}

pub(crate) fn content_type(parts: &Parts) -> String {
    let value = parts
        .headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    value
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// The object of a body in JSON or YAML.
pub(crate) fn object(kind: &str, body: &Bytes) -> Result<Value> {
    match kind {
        "" | "application/json" => json(body),
        "application/yaml" => yaml(body),
        PROTOBUF => wire::decode(body).ok_or_else(|| {
            Refusal::bad_request(
                "the body of the request is no object in protobuf form that is known here",
            )
        }),
        _ => Err(Refusal::new(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        )),
    }
}

pub(crate) fn json(body: &Bytes) -> Result<Value> {
    serde_json::from_slice(body).map_err(|error| {
        let text = if error.is_eof() {
            "unexpected end of JSON input".to_owned()
        } else {
            error.to_string()
        };
        Refusal::bad_request(format!(
            "couldn't get version/kind; json parse error: {text}"
        ))
    })
}

pub(crate) fn yaml(body: &Bytes) -> Result<Value> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    let text = String::from_utf8_lossy(body);
    serde_saphyr::from_str(&text)
        .map_err(|error| Refusal::bad_request(format!("error decoding YAML: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_resources() {
        let registry = Registry::builtin();
        let found = |path: &str| {
            place(&registry, path).map(|one| {
                (
                    one.resource.plural.clone(),
                    one.namespace,
                    one.name,
                    one.sub,
                )
            })
        };
        let text = |a: &str, b: &str, c: &str, d: &str| {
            Some((a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned()))
        };
        assert_eq!(found("/api/v1/pods"), text("pods", "", "", ""));
        assert_eq!(
            found("/api/v1/namespaces/a/pods/x/log"),
            text("pods", "a", "x", "log")
        );
        assert_eq!(
            found("/api/v1/namespaces/a"),
            text("namespaces", "", "a", "")
        );
        assert_eq!(
            found("/api/v1/namespaces/a/status"),
            text("namespaces", "", "a", "status")
        );
        assert_eq!(
            found("/apis/apps/v1/namespaces/a/deployments/x"),
            text("deployments", "a", "x", "")
        );
        assert_eq!(found("/api/v1/pods/x"), None);
        assert_eq!(found("/apis/apps/v1/nothing"), None);
        assert_eq!(found("/api/v1/namespaces/a/nodes"), None);
    }

    #[test]
    fn queries_are_decoded() {
        let params = Params::parse("labelSelector=app%3Dweb%2Ctier+in+%28a%29&watch=true&limit=5");
        assert_eq!(params.get("labelSelector"), "app=web,tier in (a)");
        assert!(params.flag("watch"));
        assert_eq!(params.number("limit"), Some(5));
    }
}
