//! Watches over the real socket.

use std::time::Duration;

use reqwest::{Method, Response};
use runbook_lab::kube::{Fault, When};
use serde_json::{Value, json};

use crate::support::{DEADLINE, Lab, config_map, lab};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

struct Lines {
    response: Response,
    rest: Vec<u8>,
}

impl Lines {
    /// The next line; none at a clean end.
    async fn next(&mut self) -> Result<Option<Value>, reqwest::Error> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line).expect("a line is JSON")));
            }
            match tokio::time::timeout(DEADLINE, self.response.chunk())
                .await
                .expect("a line in time")?
            {
                Some(chunk) => self.rest.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }

    async fn event(&mut self) -> (String, String) {
        let line = self
            .next()
            .await
            .expect("the watch goes on")
            .expect("the watch goes on");
        let name = line["object"]["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (line["type"].as_str().unwrap_or_default().to_owned(), name)
    }
}

async fn watch(lab: &Lab, query: &str) -> Lines {
    let request = lab.request(Method::GET, &format!("{MAPS}?watch=true&{query}"));
    let response = request.send().await.expect("the watch begins");
    assert_eq!(response.status(), 200);
    Lines {
        response,
        rest: Vec::new(),
    }
}

fn pair(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[tokio::test]
async fn what_happens_is_told_from_a_version_on() {
    let lab = lab().await;
    let version = lab.get(MAPS).await.is(200)["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned();
    lab.post(MAPS, config_map("a", json!({}))).await.is(201);
    let mut lines = watch(&lab, &format!("resourceVersion={version}")).await;
    assert_eq!(lines.event().await, pair("ADDED", "a"));
    lab.patch(&format!("{MAPS}/a"), "merge", json!({"data": {"k": "1"}}))
        .await
        .is(200);
    assert_eq!(lines.event().await, pair("MODIFIED", "a"));
    lab.delete(&format!("{MAPS}/a")).await.is(200);
    assert_eq!(lines.event().await, pair("DELETED", "a"));
}

#[tokio::test]
async fn what_leaves_the_selector_is_deleted_for_it() {
    let lab = lab().await;
    let mut map = config_map("a", json!({}));
    map["metadata"]["labels"] = json!({"in": "yes"});
    lab.post(MAPS, map).await.is(201);
    let mut lines = watch(&lab, "labelSelector=in%3Dyes").await;
    assert_eq!(lines.event().await, pair("ADDED", "a"));
    lab.patch(
        &format!("{MAPS}/a"),
        "merge",
        json!({"metadata": {"labels": {"in": "no"}}}),
    )
    .await
    .is(200);
    assert_eq!(lines.event().await, pair("DELETED", "a"));
    lab.patch(
        &format!("{MAPS}/a"),
        "merge",
        json!({"metadata": {"labels": {"in": "yes"}}}),
    )
    .await
    .is(200);
    assert_eq!(lines.event().await, pair("ADDED", "a"));
}

#[tokio::test]
async fn first_events_end_with_a_bookmark() {
    let lab = lab().await;
    let mut lines = watch(
        &lab,
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
    )
    .await;
    assert_eq!(lines.event().await, pair("ADDED", "kube-root-ca.crt"));
    let line = lines.next().await.unwrap().unwrap();
    assert_eq!(line["type"], "BOOKMARK");
    assert_eq!(
        line["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    let refused = lab
        .get(&format!(
            "{MAPS}?watch=true&resourceVersionMatch=NotOlderThan"
        ))
        .await;
    assert_eq!(refused.status, 422);
    assert!(
        refused
            .message()
            .contains("resourceVersionMatch is forbidden for watch"),
        "{}",
        refused.message()
    );
}

#[tokio::test]
async fn a_watch_ends_with_its_time() {
    let lab = lab().await;
    let mut lines = watch(&lab, "timeoutSeconds=1&resourceVersion=0").await;
    assert_eq!(lines.event().await, pair("ADDED", "kube-root-ca.crt"));
    assert_eq!(lines.next().await.expect("the end is clean"), None);
}

#[tokio::test]
async fn a_forgotten_version_is_gone_and_a_future_one_is_waited_for() {
    let lab = lab().await;
    lab.post(MAPS, config_map("a", json!({}))).await.is(201);
    lab.server.cluster().compact();
    let mut lines = watch(&lab, "resourceVersion=1").await;
    let line = lines.next().await.unwrap().unwrap();
    assert_eq!(
        (line["type"].as_str(), line["object"]["code"].as_i64()),
        (Some("ERROR"), Some(410))
    );
    assert_eq!(line["object"]["reason"], "Expired");
    assert_eq!(lines.next().await.unwrap(), None);
    let mut lines = watch(&lab, "resourceVersion=999999&timeoutSeconds=1").await;
    lab.post(MAPS, config_map("b", json!({}))).await.is(201);
    assert_eq!(
        lines.next().await.unwrap(),
        None,
        "it waits for its version and nothing else"
    );
}

#[tokio::test]
async fn a_watch_is_cut_or_silent_when_planned() {
    let lab = lab().await;
    let when = || When {
        watch: Some(true),
        times: 1,
        ..When::default()
    };
    lab.server
        .cluster()
        .faults
        .plan(when(), Fault::WatchCut(Duration::from_millis(100)));
    let mut lines = watch(&lab, "resourceVersion=0").await;
    assert_eq!(lines.event().await, pair("ADDED", "kube-root-ca.crt"));
    assert!(lines.next().await.is_err(), "the end is not clean");
    lab.server
        .cluster()
        .faults
        .plan(when(), Fault::WatchExpired);
    let mut lines = watch(&lab, "resourceVersion=0").await;
    assert_eq!(lines.next().await.unwrap().unwrap()["object"]["code"], 410);
    lab.server.cluster().faults.plan(when(), Fault::WatchSilent);
    let mut lines = watch(&lab, "resourceVersion=0&timeoutSeconds=1").await;
    assert_eq!(lines.event().await, pair("ADDED", "kube-root-ca.crt"));
    lab.post(MAPS, config_map("unseen", json!({})))
        .await
        .is(201);
    assert_eq!(
        lines.next().await.unwrap(),
        None,
        "nothing was told until the end"
    );
}
