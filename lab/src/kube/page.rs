//! Lists: consistent pages, selectors, and the versions a list may be asked for.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::object::Object;
use super::resource::Resource;
use super::select::Selector;
use super::state::State;
use super::status::{Refusal, Result};
use super::store::Key;

const EXPIRED: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/// What is asked of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pub(crate) selector: Selector,
    pub(crate) limit: usize,
    pub(crate) token: String,
    pub(crate) version: String,
    pub(crate) matches: String,
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Arc<Object>>,
    pub(crate) version: u64,
    pub(crate) token: String,
    pub(crate) remaining: Option<usize>,
}

impl State {
    pub(crate) fn list(&self, resource: &Resource, namespace: &str, query: &Query) -> Result<Page> {
        let table = resource.qualified();
        let (version, after) = self.start(query)?;
        let chosen = |(key, object): (&Key, &Arc<Object>)| {
            let inside = namespace.is_empty() || key.0 == namespace;
            let later = after.as_ref().is_none_or(|after| key > after);
            (inside && later && query.selector.matches(&object.value))
                .then(|| (key.clone(), object.clone()))
        };
        let found: Vec<(Key, Arc<Object>)> = if version == self.store.version() {
            self.store
                .list(&table, namespace)
                .filter_map(chosen)
                .collect()
        } else {
            let Some(then) = self.store.as_of(&table, version) else {
                return Err(if query.token.is_empty() {
                    too_old(version, self.store.version())
                } else {
                    Refusal::expired(EXPIRED)
                });
            };
            then.iter().filter_map(chosen).collect()
        };
        let total = found.len();
        let limit = if query.limit == 0 { total } else { query.limit };
        let mut token = String::new();
        let mut remaining = None;
        if total > limit
            && let Some((key, _)) = found.get(limit.saturating_sub(1))
        {
            let text =
                json!({"v": "meta.k8s.io/v1", "rv": version, "start": [key.0, key.1]}).to_string();
            token = URL_SAFE_NO_PAD.encode(text);
            // A selector hides how many there are.
            remaining = query.selector.is_empty().then_some(total - limit);
        }
        Ok(Page {
            items: found
                .into_iter()
                .take(limit)
                .map(|(_, object)| object)
                .collect(),
            version,
            token,
            remaining,
        })
    }

    /// The version of the list and the key behind which it begins.
    fn start(&self, query: &Query) -> Result<(u64, Option<Key>)> {
        let now = self.store.version();
        if !query.token.is_empty() {
            let bad = || {
                Refusal::bad_request(
                    "invalid continue token: continue key is not valid: illegal base64 data at input byte 0",
                )
            };
            if !query.version.is_empty() && query.version != "0" {
                return Err(Refusal::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
            let bytes = URL_SAFE_NO_PAD.decode(&query.token).map_err(|_| bad())?;
            let value: Value = serde_json::from_slice(&bytes).map_err(|_| bad())?;
            let text = |index: usize| {
                value["start"][index]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            let version = value["rv"].as_u64().ok_or_else(bad)?;
            return Ok((version, Some((text(0), text(1)))));
        }
        if query.version.is_empty() && !query.matches.is_empty() {
            return Err(forbidden_match(
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        if query.matches.is_empty() || query.matches == "NotOlderThan" {
            let wanted = parse_version(&query.version)?;
            if wanted > now {
                return Err(too_large(wanted, now));
            }
            return Ok((now, None));
        }
        if query.matches != "Exact" {
            return Err(forbidden_match(
                "supported values: \"Exact\", \"NotOlderThan\"",
            ));
        }
        match parse_version(&query.version)? {
            0 => Err(forbidden_match(
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            )),
            wanted if wanted > now => Err(too_large(wanted, now)),
            wanted => Ok((wanted, None)),
        }
    }
}

fn forbidden_match(detail: &str) -> Refusal {
    let cause = super::status::Cause::forbidden("resourceVersionMatch", detail);
    Refusal::invalid("ListOptions.meta.k8s.io", "", &[cause])
}

pub(crate) fn parse_version(text: &str) -> Result<u64> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| {
        Refusal::bad_request(format!(
            "invalid resource version: resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"
        ))
    })
}

pub(crate) fn too_large(wanted: u64, now: u64) -> Refusal {
    Refusal::new(
        504,
        "Timeout",
        format!("Timeout: Too large resource version: {wanted}, current: {now}"),
    )
    .with_causes(vec![
        json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}),
    ])
    .retry_after(1)
}

pub(crate) fn too_old(wanted: u64, now: u64) -> Refusal {
    Refusal::expired(format!("too old resource version: {wanted} ({now})"))
}
