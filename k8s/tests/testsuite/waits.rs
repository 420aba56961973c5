//! Waits: what they see, what they survive, and what they say when they end in vain.

use std::time::{Duration, Instant};

use runbook_k8s::change::{Propagation, absent};
use runbook_k8s::wait::{Wish, ready};
use runbook_k8s::{Client, Error, Query, Resource, Times};
use serde_json::{Value, json};

use crate::server::{Asked, End, Reply, Server};

const LIMIT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_secs(2);
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/shop/deployments";

fn deployment(ready: i64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop", "generation": 1},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}},
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": ready, "availableReplicas": ready,
            "conditions": [{"type": "Available", "status": if ready == 1 { "True" } else { "False" }, "reason": "MinimumReplicasUnavailable",
                "message": "Deployment does not have minimum availability.", "lastTransitionTime": "2026-11-30T00:00:00Z"}]}})
}

fn web() -> Query {
    Query::one(
        &Resource::called("deployments").expect("known"),
        Some("shop"),
        "web",
    )
}

async fn wait(client: &Client, limit: Duration) -> Result<Vec<Value>, Error> {
    ready(client, &[web()], Wish::default(), limit).await
}

/// Becomes ready after a moment, while the hook does its worst.
async fn becomes_ready(hook: impl FnMut(&Asked) -> Option<Reply> + Send + 'static) -> Server {
    let server = Server::start().await;
    server.put(DEPLOYMENTS, deployment(0));
    server.hook(hook);
    let controller = server.clone();
    tokio::spawn(async move {
        controller.watched().await;
        controller.put(DEPLOYMENTS, deployment(1));
    });
    let client = server.client().await;
    let found = wait(&client, LIMIT).await.expect("ready");
    assert_eq!(found[0]["status"]["readyReplicas"], 1);
    server
}

#[tokio::test]
async fn the_end_is_seen_by_one_list_and_one_watch() {
    let server = becomes_ready(|_| None).await;
    assert_eq!(
        (server.count(Asked::is_watch), server.asked().len()),
        (1, 2)
    );
}

#[tokio::test]
async fn several_objects_of_a_kind_share_a_list_and_a_watch() {
    let server = Server::start().await;
    let mut other = deployment(0);
    other["metadata"]["name"] = json!("other");
    server.put(DEPLOYMENTS, other.clone());
    server.put(DEPLOYMENTS, deployment(1));
    // One that nobody asks about is never ready.
    let mut foreign = deployment(0);
    foreign["metadata"]["name"] = json!("foreign");
    server.put(DEPLOYMENTS, foreign);
    let controller = server.clone();
    tokio::spawn(async move {
        controller.watched().await;
        other["status"] = deployment(1)["status"].clone();
        controller.put(DEPLOYMENTS, other);
    });
    let queries = [
        web(),
        Query {
            name: Some("other".into()),
            ..web()
        },
    ];
    let found = ready(&server.client().await, &queries, Wish::default(), LIMIT)
        .await
        .expect("ready");
    assert_eq!((found.len(), server.asked().len()), (2, 2));
}

#[tokio::test]
async fn a_watch_that_is_cut_again_and_again_goes_on_where_it_was() {
    let server = becomes_ready(|asked| {
        // The first ones are cut without a word; later ones live.
        (asked.is_watch() && asked.query.contains("resourceVersion=101"))
            .then(|| Reply::Stream(vec![], End::Cut))
            .filter(|_| {
                static CUTS: std::sync::atomic::AtomicUsize =
                    std::sync::atomic::AtomicUsize::new(0);
                CUTS.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 3
            })
    })
    .await;
    assert_eq!(
        server.count(|asked| !asked.is_watch()),
        1,
        "it was listed again"
    );
    assert_eq!(server.count(Asked::is_watch), 4);
}

#[tokio::test]
async fn a_version_that_is_forgotten_is_listed_anew() {
    for code in ["answer", "event"] {
        let mut once = true;
        let server = becomes_ready(move |asked| {
            if !asked.is_watch() || !std::mem::take(&mut once) {
                return None;
            }
            let gone = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version: 101 (250)"});
            Some(match code {
                "answer" => Reply::Status(410, gone),
                _ => Reply::Stream(vec![json!({"type": "ERROR", "object": gone})], End::Silent),
            })
        })
        .await;
        assert_eq!(server.count(|asked| !asked.is_watch()), 2, "{code}");
    }
}

#[tokio::test]
async fn a_silent_watch_is_not_trusted() {
    let server =
        becomes_ready(|asked| asked.is_watch().then(|| Reply::Stream(vec![], End::Silent))).await;
    assert!(server.count(|asked| !asked.is_watch()) >= 2);
}

#[tokio::test]
async fn a_throttled_watch_waits_and_a_server_that_restarts_is_awaited() {
    let mut left = 6;
    becomes_ready(move |_| {
        left -= 1;
        match left {
            5 | 3 => Some(Reply::Throttle(0)),
            4 | 2 => Some(Reply::Hangup),
            1 => Some(Reply::Status(503, json!({"message": "starting"}))),
            _ => None,
        }
    })
    .await;
}

#[tokio::test]
async fn who_may_list_but_not_watch_is_served_by_lists() {
    let server = becomes_ready(|asked| {
        let message = "deployments.apps is forbidden: User \"u\" cannot watch resource \"deployments\" in API group \"apps\" in the namespace \"shop\"";
        asked.is_watch().then(|| Reply::Status(403, json!({"kind": "Status", "message": message})))
    })
    .await;
    assert!(server.count(|asked| !asked.is_watch()) >= 2);
}

#[tokio::test]
async fn a_right_that_is_missing_ends_the_wait() {
    let server = Server::start().await;
    server.hook(|_| {
        let message = "deployments.apps is forbidden: User \"u\" cannot list resource \"deployments\" in API group \"apps\" in the namespace \"shop\"";
        Some(Reply::Status(403, json!({"kind": "Status", "message": message})))
    });
    let error = wait(&server.client().await, LIMIT)
        .await
        .expect_err("forbidden");
    let Error::Forbidden(denied) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (denied.verb.as_str(), denied.resource.as_str()),
        ("list", "deployments.apps")
    );
}

#[tokio::test]
async fn at_the_deadline_object_condition_time_events_and_logs_are_told() {
    let server = Server::start().await;
    server.put(DEPLOYMENTS, deployment(0));
    server.put("/api/v1/namespaces/shop/pods", json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web"}},
        "status": {"phase": "Running", "containerStatuses": [{"name": "main", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1}}}]}}));
    server.put("/api/v1/namespaces/shop/events", json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "shop"}, "type": "Warning", "reason": "BackOff",
        "message": "Back-off restarting failed container", "count": 4, "involvedObject": {"kind": "Pod", "name": "web-1"}, "lastTimestamp": "2026-11-30T00:01:00Z"}));
    server.hook(|asked| {
        (asked.path.ends_with("/pods/web-1/log") && asked.query.contains("previous=true"))
            .then_some(Reply::Text("starting\npanic: no database\n"))
    });
    let error = wait(&server.client().await, SHORT)
        .await
        .expect_err("not ready");
    assert_eq!(
        error.to_string(),
        "not ready within 2 s: Deployment shop/web is InProgress: 0 of 1 replicas are available; \
         Available=False (MinimumReplicasUnavailable): Deployment does not have minimum availability. since 2026-11-30T00:00:00Z\n  \
         event: Warning BackOff (Pod web-1): Back-off restarting failed container (4 times)\n  log: web-1/main: starting\n  log: web-1/main: panic: no database"
    );
}

#[tokio::test]
async fn a_failure_ends_the_wait_at_once_unless_it_may_recover() {
    let server = Server::start().await;
    let mut late = deployment(0);
    late["status"]["conditions"] = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}]);
    server.put(DEPLOYMENTS, late);
    let client = server.client().await;
    let started = Instant::now();
    let error = wait(&client, LIMIT).await.expect_err("failed");
    assert!(
        matches!(&error, Error::Failed(evidence) if evidence[0].standing.state == "Failed"),
        "{error:?}"
    );
    assert!(started.elapsed() < LIMIT / 2);
    let patient = Wish {
        fail_fast: false,
        ..Wish::default()
    };
    let error = ready(&client, &[web()], patient, SHORT)
        .await
        .expect_err("not ready");
    assert!(matches!(error, Error::Deadline { .. }), "{error:?}");
}

#[tokio::test]
async fn an_object_that_is_deleted_while_it_is_awaited_is_told() {
    let server = Server::start().await;
    server.put(DEPLOYMENTS, deployment(0));
    let controller = server.clone();
    tokio::spawn(async move {
        controller.watched().await;
        controller.remove(&format!("{DEPLOYMENTS}/web"));
    });
    let error = wait(&server.client().await, LIMIT)
        .await
        .expect_err("deleted");
    assert_eq!(
        error.to_string(),
        "Deployment shop/web was deleted while it was awaited"
    );
}

#[tokio::test]
async fn an_object_that_is_not_there_yet_is_awaited_and_named() {
    let server = Server::start().await;
    let client = server.client().await;
    let error = wait(&client, SHORT).await.expect_err("not there");
    assert!(
        error
            .to_string()
            .contains("Deployment shop/web is NotFound"),
        "{error}"
    );
    let controller = server.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        controller.put(DEPLOYMENTS, deployment(1));
    });
    assert_eq!(wait(&client, LIMIT).await.expect("ready").len(), 1);
}

#[tokio::test]
async fn a_selector_that_finds_nothing_is_no_success() {
    let server = Server::start().await;
    let query = Query::all(
        &Resource::called("deployments").expect("known"),
        Some("shop"),
    )
    .labelled("app=none");
    let error = ready(&server.client().await, &[query], Wish::default(), SHORT)
        .await
        .expect_err("nothing");
    assert!(
        error
            .to_string()
            .contains("Deployment shop/app=none is NotFound: nothing is found"),
        "{error}"
    );
}

#[tokio::test]
async fn what_a_selector_finds_may_come_and_go_while_it_is_awaited() {
    let server = Server::start().await;
    let pods = "/api/v1/namespaces/shop/pods";
    let pod = |name: &str, ready: bool| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}})
    };
    server.put(pods, pod("old", false));
    let controller = server.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(80)).await;
        controller.put(pods, pod("new", false));
        tokio::time::sleep(Duration::from_millis(80)).await;
        controller.remove(&format!("{pods}/old"));
        tokio::time::sleep(Duration::from_millis(80)).await;
        controller.put(pods, pod("new", true));
    });
    let query = Query::all(&Resource::pod(), Some("shop")).labelled("app=web");
    let found = ready(&server.client().await, &[query], Wish::default(), LIMIT)
        .await
        .expect("ready");
    let names: Vec<_> = found
        .iter()
        .map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(names, ["new"]);
}

#[tokio::test]
async fn a_custom_resource_without_a_status_must_be_at_rest_for_a_while() {
    let server = Server::start().await;
    let client = server.client().await;
    let widgets = "/apis/example.com/v1/namespaces/shop/widgets";
    let widget = Resource {
        group: "example.com".into(),
        version: "v1".into(),
        kind: "Widget".into(),
        plural: "widgets".into(),
        namespaced: true,
    };
    let query = Query::one(&widget, Some("shop"), "w");
    let object = |created: &str| json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "shop", "creationTimestamp": created}});
    // One of old is ready at once, however long others must be at rest.
    server.put(widgets, object("2020-01-01T00:00:00Z"));
    let patient = Times {
        settle: Duration::from_secs(3600),
        ..client.times().clone()
    };
    let patient = server.client_with(patient).await;
    ready(
        &patient,
        std::slice::from_ref(&query),
        Wish::default(),
        LIMIT,
    )
    .await
    .expect("ready");
    // A new one is not: its controller may say something, and then that counts.
    server.remove(&format!("{widgets}/w"));
    server.put(widgets, object("2999-01-01T00:00:00Z"));
    let controller = server.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut failing = object("2999-01-01T00:00:00Z");
        failing["status"] = json!({"conditions": [{"type": "Ready", "status": "False", "message": "no such size"}]});
        controller.put(widgets, failing);
    });
    let error = ready(
        &client,
        std::slice::from_ref(&query),
        Wish::default(),
        Duration::from_secs(3),
    )
    .await
    .expect_err("not ready");
    assert!(
        error
            .to_string()
            .contains("Widget shop/w is InProgress: no such size"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_deleted_is_awaited_until_it_is_gone() {
    let server = Server::start().await;
    server.put(DEPLOYMENTS, deployment(1));
    let before = absent(
        &server.client().await,
        &[web()],
        Propagation::Foreground,
        LIMIT,
    )
    .await
    .expect("gone");
    assert_eq!(before.len(), 1);
    assert_eq!(server.get(&format!("{DEPLOYMENTS}/web")), None);
    let deletion = server
        .asked()
        .into_iter()
        .find(|asked| asked.method == http::Method::DELETE)
        .expect("a deletion");
    assert_eq!(
        (
            &deletion.body["propagationPolicy"],
            &deletion.body["preconditions"]["uid"]
        ),
        (&json!("Foreground"), &before[0]["metadata"]["uid"])
    );
    // Again: nothing is there, nothing is done.
    assert_eq!(
        absent(
            &server.client().await,
            &[web()],
            Propagation::Foreground,
            LIMIT
        )
        .await
        .expect("gone")
        .len(),
        0
    );
}

#[tokio::test]
async fn what_is_held_by_a_finalizer_is_stuck_and_the_finalizer_named() {
    let server = Server::start().await;
    let mut held = deployment(1);
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    server.put(DEPLOYMENTS, held.clone());
    let client = server.client().await;
    let error = absent(&client, &[web()], Propagation::Foreground, SHORT)
        .await
        .expect_err("stuck");
    assert!(
        matches!(&error, Error::Stuck { finalizers, .. } if finalizers == &["example.com/hold"]),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "Deployment shop/web is still there after 2 s: held by example.com/hold"
    );
    let controller = server.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        controller.remove(&format!("{DEPLOYMENTS}/web"));
    });
    absent(&client, &[web()], Propagation::Foreground, LIMIT)
        .await
        .expect("gone");
}

#[tokio::test]
async fn a_namespace_that_is_stuck_says_what_is_left_in_it() {
    let server = Server::start().await;
    server.put("/api/v1/namespaces", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "old", "finalizers": []}, "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Terminating", "conditions": [
            {"type": "NamespaceContentRemaining", "status": "True", "message": "Some resources are remaining: widgets.example.com has 1 resource instances"},
            {"type": "NamespaceDeletionContentFailure", "status": "False", "message": "no"}]}}));
    let query = Query::one(&Resource::namespace(), None, "old");
    let error = absent(
        &server.client().await,
        &[query],
        Propagation::Foreground,
        SHORT,
    )
    .await
    .expect_err("stuck");
    assert_eq!(
        error.to_string(),
        "Namespace old is still there after 2 s: held by kubernetes: Some resources are remaining: widgets.example.com has 1 resource instances"
    );
}

#[tokio::test]
async fn futures_can_be_sent_to_other_threads() {
    fn sendable<T: Send>(future: T) -> T {
        future
    }
    let server = Server::start().await;
    let client = server.client().await;
    let objects =
        runbook_k8s::manifest::parse("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}")
            .expect("readable");
    let options = runbook_k8s::apply::Options::default();
    let plan = sendable(runbook_k8s::apply::Plan::make(&client, &objects, &options))
        .await
        .expect("a plan");
    let outcome = sendable(plan.run(&client, LIMIT, |_| {}))
        .await
        .expect("applied");
    sendable(outcome.ready(&client, Wish::default(), LIMIT))
        .await
        .expect("ready");
    let query = web();
    drop(sendable(absent(
        &client,
        std::slice::from_ref(&query),
        Propagation::Background,
        LIMIT,
    )));
    drop(sendable(ready(
        &client,
        std::slice::from_ref(&query),
        Wish::default(),
        LIMIT,
    )));
    drop(sendable(runbook_k8s::job::run(
        &client,
        &objects[0],
        None,
        "m",
        LIMIT,
    )));
    drop(sendable(runbook_k8s::flux::reconcile(
        &client,
        &query,
        Default::default(),
        LIMIT,
    )));
    drop(sendable(runbook_k8s::flux::all(&client, "flux-system")));
}
