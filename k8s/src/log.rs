//! Logs of containers: read at once, or followed line by line.

use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::time::Instant;

use crate::client::Client;
use crate::error::Error;
use crate::kind::Resource;
use crate::object::text;
use crate::request::Request;
use crate::watch::Lines;

/// The most of a log that is read at once, in bytes: the server ends it there.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// Which part of which log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The container; without one the pod's only one, or its default.
    pub container: Option<String>,
    /// The last so many lines.
    pub tail: Option<u32>,
    /// What is not older than so many seconds.
    pub since_seconds: Option<u64>,
    /// The container's life before this one.
    pub previous: bool,
    /// The time before each line.
    pub timestamps: bool,
}

impl Wanted {
    fn request(&self, namespace: &str, pod: &str) -> Request {
        let request = Request::get(&Resource::pod(), Some(namespace), Some(pod))
            .subresource("log")
            .accepting("*/*");
        request
            .maybe("container", self.container.as_ref())
            .maybe("tailLines", self.tail)
            .maybe("sinceSeconds", self.since_seconds)
            .maybe("previous", self.previous.then_some(true))
            .maybe("timestamps", self.timestamps.then_some(true))
    }
}

/// Reads a log as it is now, up to 64 MiB. Bytes that are no UTF-8 are replaced.
///
/// # Errors
///
/// [`Error::NotFound`] for the pod, [`Error::Invalid`] for a container that is not there or has not started; whatever went wrong.
pub async fn read(
    client: &Client,
    namespace: &str,
    pod: &str,
    wanted: &Wanted,
) -> Result<String, Error> {
    let request = wanted
        .request(namespace, pod)
        .with("limitBytes", LOG_BYTES_MAX);
    let bytes = client.bytes(&request).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Follows a log until the container ends, the time is over, or `line` says that it is enough. True where the log has ended.
///
/// # Errors
///
/// As [`read`]; [`Error::Lost`] where the connection is.
pub async fn follow(
    client: &Client,
    namespace: &str,
    pod: &str,
    wanted: &Wanted,
    limit: Duration,
    mut line: impl FnMut(&str) -> bool,
) -> Result<bool, Error> {
    let deadline = Instant::now() + limit;
    let request = wanted.request(namespace, pod).with("follow", true);
    let mut body = client.open(&request).await?;
    let mut lines = Lines::default();
    loop {
        let frame = match tokio::time::timeout_at(deadline, body.frame()).await {
            Err(_) => return Ok(false),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(Error::Lost(crate::access::chain(&error))),
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        };
        if lines.push(&frame).is_err() {
            return Err(Error::Answer("a line of the log has no end".to_owned()));
        }
        while let Some(text) = lines.next() {
            if !line(&String::from_utf8_lossy(&text)) {
                return Ok(false);
            }
        }
    }
    let rest = lines.rest();
    if !rest.is_empty() {
        line(&String::from_utf8_lossy(&rest));
    }
    Ok(true)
}

/// The containers of a pod that have said something, and whether the life before this one is to be read: the one that crashed.
pub(crate) fn started(pod: &Value) -> Vec<(String, bool)> {
    let lists = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let statuses = lists
        .iter()
        .filter_map(|pointer| pod.pointer(pointer)?.as_array())
        .flatten();
    let started = statuses.filter_map(|one| {
        let name = text(one, "/name").to_owned();
        let has = |pointer: &str| one.pointer(pointer).is_some_and(|state| !state.is_null());
        // One that has done its work is not what is asked about.
        let is_done = one
            .pointer("/state/terminated/exitCode")
            .and_then(Value::as_i64)
            == Some(0);
        if has("/state/running") || has("/state/terminated") && !is_done {
            return Some((name, false));
        }
        has("/lastState/terminated").then_some((name, true))
    });
    started.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_container_that_waits_after_a_crash_is_read_in_its_life_before() {
        let pod = json!({"status": {
            "initContainerStatuses": [{"name": "done", "state": {"terminated": {"exitCode": 0}}}],
            "containerStatuses": [
                {"name": "runs", "state": {"running": {}}},
                {"name": "crashed", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1}}},
                {"name": "pulls", "state": {"waiting": {"reason": "ImagePullBackOff"}}},
                {"name": "ended", "state": {"terminated": {"exitCode": 3}}}]}});
        let expected = [
            ("runs".to_owned(), false),
            ("crashed".to_owned(), true),
            ("ended".to_owned(), false),
        ];
        assert_eq!(started(&pod), expected);
    }

    #[test]
    fn the_request_has_what_is_wanted_and_nothing_else() {
        let wanted = Wanted {
            container: Some("web".into()),
            tail: Some(5),
            previous: true,
            ..Wanted::default()
        };
        let request = wanted.request("shop", "web-1");
        assert_eq!(
            request.uri(),
            "/api/v1/namespaces/shop/pods/web-1/log?container=web&tailLines=5&previous=true"
        );
        let request = Wanted::default().request("shop", "web-1");
        assert_eq!(request.uri(), "/api/v1/namespaces/shop/pods/web-1/log");
    }
}
