//! Which pod is meant by a selector: the oldest that is ready.

use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::get::Query;
use crate::kind::Resource;
use crate::kstatus::condition;
use crate::object::text;

/// The oldest ready pod that a label selector finds.
///
/// # Errors
///
/// [`Error::NotFound`] where none is ready; its message counts those that are not.
pub async fn oldest_ready(
    client: &Client,
    namespace: &str,
    selector: &str,
) -> Result<Value, Error> {
    let query = Query::all(&Resource::pod(), Some(namespace)).labelled(selector);
    let pods = client.list(&query).await?.items;
    let Some(pod) = oldest(&pods) else {
        let count = pods.len();
        return Err(Error::NotFound {
            what: format!("pods/{selector}"),
            message: match count {
                0 => format!("no pod in `{namespace}` has `{selector}`"),
                _ => {
                    format!("none of the {count} pods in `{namespace}` with `{selector}` is ready")
                }
            },
        });
    };
    Ok(pod.clone())
}

fn oldest(pods: &[Value]) -> Option<&Value> {
    let is_ready = |pod: &&Value| {
        text(pod, "/metadata/deletionTimestamp").is_empty()
            && condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
    };
    let ready = pods.iter().filter(is_ready);
    // RFC 3339 in UTC: texts are in the order of time.
    ready.min_by_key(|&pod| {
        (
            text(pod, "/metadata/creationTimestamp"),
            text(pod, "/metadata/name"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_oldest_ready_pod_is_meant_not_one_that_goes() {
        let pod = |name: &str, created: &str, ready: &str, goes: bool| {
            let mut pod = json!({"metadata": {"name": name, "creationTimestamp": created}, "status": {"conditions": [{"type": "Ready", "status": ready}]}});
            if goes {
                pod["metadata"]["deletionTimestamp"] = json!(created);
            }
            pod
        };
        let pods = [
            pod("goes", "2026-11-30T00:00:00Z", "True", true),
            pod("not-ready", "2026-11-30T00:00:01Z", "False", false),
            pod("young", "2026-11-30T00:00:03Z", "True", false),
            pod("old", "2026-11-30T00:00:02Z", "True", false),
        ];
        assert_eq!(
            oldest(&pods).map(|pod| text(pod, "/metadata/name")),
            Some("old")
        );
        assert_eq!(oldest(&pods[..2]), None);
    }
}
