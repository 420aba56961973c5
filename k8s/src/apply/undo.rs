//! Takes back what was applied: what was created is deleted, what was changed gets its former values, what was pruned comes back.
//!
//! Only the very object that was created is deleted: its `uid` is compared, or, where the answer to its creation was lost, its
//! field manager. Former values are applied by the same field manager, so that a later apply does not conflict with its own undo.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{Action, Applied};
use crate::change;
use crate::client::Client;
use crate::error::Error;
use crate::kind::Resource;
use crate::object::{Key, strip, text};
use crate::request::{Content, Request};

/// Takes changes back, the last first, and waits until what is deleted is gone.
///
/// # Errors
///
/// [`Error::Stuck`] with the finalizers that hold an object; whatever else the server refuses. What is left is not tried then.
pub async fn take_back(
    client: &Client,
    done: &[Applied],
    manager: &str,
    limit: Duration,
) -> Result<(), Error> {
    let deadline = Instant::now() + limit;
    for applied in done.iter().rev() {
        let resource = &applied.resource;
        match (applied.action, &applied.before) {
            (Action::Create, _) => {
                let left = deadline.saturating_duration_since(Instant::now());
                uncreate(client, applied, manager, left).await?;
            }
            (Action::Change, Some(before)) => {
                let wished = former(&applied.wished, before, applied.after.as_ref());
                put(client, resource, &applied.key, wished, manager).await?;
            }
            (Action::Prune, Some(before)) => {
                let mut wished = before.clone();
                strip(&mut wished);
                put(client, resource, &applied.key, wished, manager).await?;
            }
            (Action::Same | Action::Change | Action::Prune, _) => {}
        }
    }
    Ok(())
}

async fn uncreate(
    client: &Client,
    applied: &Applied,
    manager: &str,
    limit: Duration,
) -> Result<(), Error> {
    let key = &applied.key;
    let known = applied.after.as_ref().map(|one| text(one, "/metadata/uid"));
    let uid = match known.filter(|uid| !uid.is_empty()) {
        Some(uid) => uid.to_owned(),
        None => {
            let request =
                Request::get(&applied.resource, key.namespace.as_deref(), Some(&key.name));
            match client.send(&request).await {
                Ok(live) if is_applied_by(&live, manager) => {
                    text(&live, "/metadata/uid").to_owned()
                }
                Ok(_) => return Ok(()),
                Err(error) if error.is_absent() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    };
    match change::remove(client, &applied.resource, key, &uid, limit).await {
        // Another has taken its name, or its kind went with its definition: ours is gone.
        Err(Error::Stale { .. } | Error::NoSuchKind { .. }) => Ok(()),
        result => result,
    }
}

/// Whether a field manager has applied an object.
pub(super) fn is_applied_by(live: &Value, manager: &str) -> bool {
    let managed = live
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let mut managed = managed.map(Vec::as_slice).unwrap_or_default().iter();
    managed.any(|one| text(one, "/manager") == manager && text(one, "/operation") == "Apply")
}

async fn put(
    client: &Client,
    resource: &Resource,
    key: &Key,
    wished: Value,
    manager: &str,
) -> Result<(), Error> {
    let request = Request::patch(
        resource,
        key.namespace.as_deref(),
        &key.name,
        Content::Apply,
        wished,
    )
    .with("fieldManager", manager)
    .with("force", true);
    client.send(&request).await.map(|_| ())
}

/// What is to be applied so that everything that was wished is as it was: former values where there were some, nothing where there
/// were none, and again what the change took out. Lists are taken as a whole.
fn former(wished: &Value, before: &Value, after: Option<&Value>) -> Value {
    let mut before = before.clone();
    strip(&mut before);
    let (Value::Object(wished), Value::Object(was)) = (wished, &before) else {
        return before;
    };
    Value::Object(of_map(wished, was, after.and_then(Value::as_object)))
}

fn of_map(
    wished: &Map<String, Value>,
    was: &Map<String, Value>,
    is: Option<&Map<String, Value>>,
) -> Map<String, Value> {
    let mut former = Map::new();
    for (key, value) in was {
        let now = is.and_then(|is| is.get(key));
        match (wished.get(key), value) {
            (Some(Value::Object(wished)), Value::Object(was)) => {
                let inside = of_map(wished, was, now.and_then(Value::as_object));
                former.insert(key.clone(), Value::Object(inside));
            }
            (Some(_), value) => drop(former.insert(key.clone(), value.clone())),
            // What the change took out, because it was ours before and is wished no more.
            (None, value) if is.is_some() && now.is_none() => {
                former.insert(key.clone(), value.clone());
            }
            (None, Value::Object(was)) => {
                let gone = of_map(&Map::new(), was, now.and_then(Value::as_object));
                if !gone.is_empty() {
                    former.insert(key.clone(), Value::Object(gone));
                }
            }
            (None, _) => {}
        }
    }
    former
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn former_values_come_back_and_what_was_added_is_left_out() {
        let before = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "uid": "u", "resourceVersion": "7",
            "labels": {"keep": "1"}}, "data": {"changed": "old", "others": "x", "gone": "g"}});
        let wished = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"new": "1"}},
            "data": {"changed": "new", "added": "n"}});
        let after = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"keep": "1", "new": "1"}},
            "data": {"changed": "new", "added": "n", "others": "x"}});
        assert_eq!(
            former(&wished, &before, Some(&after)),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {}},
                "data": {"changed": "old", "gone": "g"}})
        );
    }

    #[test]
    fn lists_are_as_they_were_as_a_whole() {
        let before =
            json!({"spec": {"ports": [{"port": 80, "protocol": "TCP"}], "type": "ClusterIP"}});
        let wished = json!({"spec": {"ports": [{"port": 81}, {"port": 82}]}});
        let after = json!({"spec": {"ports": [{"port": 81}, {"port": 82}], "type": "ClusterIP"}});
        assert_eq!(
            former(&wished, &before, Some(&after)),
            json!({"spec": {"ports": [{"port": 80, "protocol": "TCP"}]}})
        );
    }

    #[test]
    fn what_is_not_known_after_a_lost_answer_is_not_taken_for_gone() {
        let before = json!({"data": {"a": "1", "other": "2"}});
        let wished = json!({"data": {"a": "9"}});
        assert_eq!(former(&wished, &before, None), json!({"data": {"a": "1"}}));
    }
}
