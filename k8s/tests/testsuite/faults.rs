//! A whole cluster that fails: each fault is put into the lab, and the client goes on or says what is the matter.

use std::time::Duration;

use runbook_k8s::apply::{Options, Plan};
use runbook_k8s::change::{Propagation, absent};
use runbook_k8s::wait::{Wish, ready};
use runbook_k8s::{Client, Error, ErrorKind, Query, Request, Resource, job, manifest};
use runbook_lab::kube::{Delays, Fail, Fault, Rule, Settings, TokenRule, When};
use serde_json::json;

use crate::lab::{Lab, client};

const LIMIT: Duration = Duration::from_secs(60);
/// Longer than any of these tests: what takes so long does not come.
const NEVER_MS: u64 = 600_000;

const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  progressDeadlineSeconds: 2
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: main, image: registry.example/app:1}]}}
";

fn settings(pod_start_ms: u64) -> Settings {
    Settings {
        delays: Delays {
            pod_start_ms,
            ..Delays::default()
        },
        ..Settings::default()
    }
}

fn one(word: &str, name: &str) -> Query {
    Query::one(
        &Resource::called(word).expect("known"),
        Some("default"),
        name,
    )
}

async fn plan(client: &Client, text: &str) -> Result<Plan, Error> {
    let options = Options {
        namespace: Some("default".into()),
        ..Options::default()
    };
    Plan::make(client, &manifest::parse(text)?, &options).await
}

/// Applies and waits until it is ready.
async fn apply(client: &Client, text: &str) -> Result<(), Error> {
    let outcome = plan(client, text).await?.run(client, LIMIT, |_| {}).await?;
    outcome.ready(client, Wish::default(), LIMIT).await?;
    Ok(())
}

/// Without its deadline for progress: it may take its time.
fn patient() -> String {
    WEB.replace("  progressDeadlineSeconds: 2\n", "")
}

fn watches(times: u32) -> When {
    When {
        watch: Some(true),
        times,
        ..When::default()
    }
}

fn requests(method: &str, times: u32) -> When {
    When {
        method: Some(method.into()),
        watch: Some(false),
        times,
        ..When::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_cut_each_second_sees_the_end_all_the_same() {
    let lab = Lab::start(settings(3_500)).await;
    let cut = Fault::WatchCut(Duration::from_secs(1));
    lab.server.cluster().faults.plan(watches(0), cut);
    apply(&lab.client, &patient()).await.expect("ready");
    let struck = lab.server.cluster().faults.struck();
    assert!(struck >= 3, "the watch was opened {struck} times");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_whose_version_is_forgotten_begins_anew() {
    let lab = Lab::start(settings(1_000)).await;
    let faults = &lab.server.cluster().faults;
    faults.plan(watches(2), Fault::WatchExpired);
    faults.plan(
        watches(1),
        Fault::Status {
            status: 410,
            retry_after: None,
        },
    );
    apply(&lab.client, &patient()).await.expect("ready");
    assert_eq!(faults.struck(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_falls_silent_is_not_trusted() {
    let lab = Lab::start(settings(2_000)).await;
    let faults = &lab.server.cluster().faults;
    faults.plan(watches(2), Fault::WatchSilent);
    apply(&lab.client, &patient()).await.expect("ready");
    assert_eq!(faults.struck(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_throttles_is_asked_again_when_it_wants() {
    let lab = Lab::start(settings(50)).await;
    let faults = &lab.server.cluster().faults;
    for method in ["GET", "PATCH"] {
        let throttled = Fault::Status {
            status: 429,
            retry_after: Some(1),
        };
        faults.plan(requests(method, 2), throttled);
    }
    apply(&lab.client, WEB).await.expect("ready");
    assert_eq!(faults.struck(), 4);
    let made = lab
        .client
        .get(&one("deployments", "web"))
        .await
        .expect("there");
    assert_eq!(
        made["metadata"]["generation"], 1,
        "it was applied once: {made}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_is_no_end_and_a_creation_is_never_sent_twice() {
    let lab = Lab::start(settings(50)).await;
    let faults = &lab.server.cluster().faults;
    faults.plan(requests("GET", 1), Fault::Reset { done: false });
    faults.plan(requests("PATCH", 1), Fault::Reset { done: true });
    apply(&lab.client, WEB).await.expect("ready");
    assert_eq!(faults.struck(), 2);
    faults.plan(requests("POST", 1), Fault::Reset { done: true });
    let named = json!({"metadata": {"generateName": "a-"}});
    let create = Request::create(&Resource::config_map(), Some("default"), named);
    let error = lab.client.send(&create).await.expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error:?}");
    let maps = Request::path("/api/v1/namespaces/default/configmaps");
    let list = lab.client.send(&maps).await.expect("listed");
    let made = list["items"].as_array().expect("a list").iter();
    let made = made.filter(|map| map["metadata"]["generateName"] == "a-");
    assert_eq!(made.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_deleted_while_it_is_awaited_is_told() {
    let lab = Lab::start(settings(NEVER_MS)).await;
    let outcome = plan(&lab.client, &patient()).await.expect("a plan");
    outcome
        .run(&lab.client, LIMIT, |_| {})
        .await
        .expect("applied");
    let faults = &lab.server.cluster().faults;
    let query = [one("deployments", "web")];
    let (error, ()) = tokio::join!(ready(&lab.client, &query, Wish::default(), LIMIT), async {
        // Somebody is watching: a list and a watch beside what was asked before.
        let before = faults.requests();
        while faults.requests() < before + 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        absent(&lab.client, &query, Propagation::Background, LIMIT)
            .await
            .expect("deleted");
    });
    assert_eq!(
        error.expect_err("deleted").to_string(),
        "Deployment default/web was deleted while it was awaited"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_and_a_right_that_is_missing_are_told_apart() {
    let rule = |token: &str, expired: bool| TokenRule {
        token: token.into(),
        user: "bob".into(),
        expired,
        allow: vec![Rule::default()],
        deny: vec![Rule {
            verbs: vec!["patch".into()],
            resources: vec!["deployments.apps".into()],
            ..Rule::default()
        }],
    };
    let lab = Lab::start(Settings {
        tokens: vec![rule("old", true), rule("few", false)],
        ..settings(50)
    })
    .await;
    let old = client(&lab.server.kubeconfig_of("lab", "bob", "old")).await;
    let error = old.identity().await.expect_err("refused");
    assert!(
        matches!(&error, Error::Unauthorized(text) if text == "Unauthorized"),
        "{error:?}"
    );
    let few = client(&lab.server.kubeconfig_of("lab", "bob", "few")).await;
    let error = apply(&few, WEB).await.expect_err("forbidden");
    assert!(
        error.to_string().contains("bob")
            && error.to_string().contains("patch")
            && error.to_string().contains("deployments"),
        "{error}"
    );
    let error = lab.client.get(&one("deployments", "web")).await;
    assert!(
        matches!(&error, Err(Error::NotFound { .. })),
        "nothing is applied: {error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_stuck_on_a_finalizer_says_what_is_left() {
    let lab = Lab::start(settings(50)).await;
    let text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n\
        apiVersion: v1\nkind: ConfigMap\nmetadata: {name: held, namespace: shop, finalizers: [example.com/hold]}\n";
    apply(&lab.client, text).await.expect("ready");
    let query = Query::one(&Resource::namespace(), None, "shop");
    let error = absent(
        &lab.client,
        &[query],
        Propagation::Background,
        Duration::from_secs(2),
    )
    .await
    .expect_err("stuck");
    let text = error.to_string();
    assert!(
        text.contains("shop") && text.contains("example.com/hold"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_scripted_failure_is_told_with_its_reason() {
    for (reason, told) in [
        ("image-pull", "ImagePullBackOff"),
        ("crash-loop", "Back-off restarting failed container"),
        ("unschedulable", "Insufficient"),
        ("quota", "exceeded quota"),
    ] {
        let fail = Fail {
            kind: "Deployment".into(),
            name: "web".into(),
            reason: reason.into(),
            ..Fail::default()
        };
        let lab = Lab::start(Settings {
            fail: vec![fail],
            ..settings(50)
        })
        .await;
        let error = apply(&lab.client, WEB).await.expect_err(reason);
        assert!(matches!(error, Error::Failed(_)), "{reason}: {error:?}");
        assert!(error.to_string().contains(told), "{reason}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_command_fails_has_failed() {
    let lab = Lab::start(settings(50)).await;
    let text = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: work}\nspec: {backoffLimit: 0, template: {spec: {restartPolicy: Never, \
        containers: [{name: main, image: x, command: [sh, -c, echo no disk; exit 9]}]}}}\n";
    let object = manifest::parse(text).expect("readable").remove(0);
    let finished = job::run(&lab.client, &object, Some("default"), "test", LIMIT)
        .await
        .expect("an end");
    assert!(!finished.succeeded);
    assert_eq!(
        (finished.phase.as_str(), finished.exit),
        ("Failed", Some(9))
    );
    assert!(finished.log.contains("no disk"), "{finished:?}");
}
