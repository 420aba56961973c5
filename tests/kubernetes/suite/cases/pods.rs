//! Pods: how they run, end and are placed, and what admission makes of them.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::workloads::condition;
use crate::case::{cases, same};
use crate::context::Context;
use crate::manifest::{pod, pod_of};

cases![
    a_pod_runs,
    a_pod_that_ends_well_has_succeeded,
    a_pod_that_ends_badly_has_failed,
    a_pod_that_fits_nowhere_is_unschedulable,
    a_pod_without_its_account_is_refused,
    a_pod_gets_its_account_and_a_token,
    a_priority_class_becomes_a_number,
    events_are_found_by_their_object,
];

async fn started(
    t: &Context,
    body: &Value,
    what: &str,
    holds: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let pods = t.workload("v1", "pods").await?;
    t.create(&pods, body).await?;
    t.admin()
        .until(
            &format!(
                "{pods}/{}",
                body["metadata"]["name"].as_str().unwrap_or_default()
            ),
            what,
            holds,
        )
        .await
}

async fn a_pod_runs(t: &Context) -> Result<()> {
    let running = started(t, &pod("a"), "it is ready", |pod| {
        condition(pod, "Ready")["status"] == "True"
    })
    .await?;
    let status = &running["status"];
    same!(status["phase"], "Running");
    same!(condition(&running, "PodScheduled")["status"], "True");
    same!(condition(&running, "Initialized")["status"], "True");
    same!(condition(&running, "ContainersReady")["status"], "True");
    ensure!(
        status["podIP"].is_string()
            && status["hostIP"].is_string()
            && status["startTime"].is_string(),
        "{status}"
    );
    same!(status["qosClass"], "BestEffort");
    let container = &status["containerStatuses"][0];
    same!(container["name"], "c");
    same!(container["ready"], true);
    same!(container["restartCount"], 0);
    ensure!(
        container["state"]["running"]["startedAt"].is_string(),
        "{container}"
    );
    Ok(())
}

async fn a_pod_that_ends_well_has_succeeded(t: &Context) -> Result<()> {
    t.programs()?;
    let body = pod_of("a", "Never", &["true"]);
    let ended = started(t, &body, "it has ended", |pod| {
        pod["status"]["phase"] == "Succeeded"
    })
    .await?;
    let state = &ended["status"]["containerStatuses"][0]["state"]["terminated"];
    same!(state["exitCode"], 0);
    same!(state["reason"], "Completed");
    same!(condition(&ended, "Ready")["status"], "False");
    same!(condition(&ended, "Ready")["reason"], "PodCompleted");
    Ok(())
}

async fn a_pod_that_ends_badly_has_failed(t: &Context) -> Result<()> {
    t.programs()?;
    let body = pod_of("a", "Never", &["sh", "-c", "exit 3"]);
    let ended = started(t, &body, "it has ended", |pod| {
        pod["status"]["phase"] == "Failed"
    })
    .await?;
    let state = &ended["status"]["containerStatuses"][0]["state"]["terminated"];
    same!(state["exitCode"], 3);
    same!(state["reason"], "Error");
    Ok(())
}

async fn a_pod_that_fits_nowhere_is_unschedulable(t: &Context) -> Result<()> {
    let mut body = pod("a");
    body["spec"]["nodeSelector"] = json!({"example.com/none": "here"});
    let refused = |pod: &Value| condition(pod, "PodScheduled")["reason"] == "Unschedulable";
    let waits = started(t, &body, "no node is found", refused).await?;
    same!(waits["status"]["phase"], "Pending");
    same!(condition(&waits, "PodScheduled")["status"], "False");
    let message = condition(&waits, "PodScheduled")["message"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        message.starts_with("0/") && message.contains(" nodes are available: "),
        "{message}"
    );
    ensure!(
        message.contains("didn't match Pod's node affinity/selector"),
        "{message}"
    );
    let events = t.resource("v1", "events").await?;
    let failed = |list: &Value| {
        let mut items = list["items"].as_array().into_iter().flatten();
        items.any(|event| event["reason"] == "FailedScheduling" && event["type"] == "Warning")
    };
    t.admin().until(&events, "an event says so", failed).await?;
    Ok(())
}

async fn a_pod_without_its_account_is_refused(t: &Context) -> Result<()> {
    let pods = t.workload("v1", "pods").await?;
    let mut body = pod("a");
    body["spec"]["serviceAccountName"] = json!("nobody");
    let namespace = t.namespace().await?;
    t.admin().post(&pods, &body).await?.refused(
        403,
        "Forbidden",
        &format!("pods \"a\" is forbidden: error looking up service account {namespace}/nobody: serviceaccount \"nobody\" not found"),
    )?;
    Ok(())
}

async fn a_pod_gets_its_account_and_a_token(t: &Context) -> Result<()> {
    let made = t
        .create(&t.workload("v1", "pods").await?, &pod("a"))
        .await?;
    same!(made["spec"]["serviceAccountName"], "default");
    let mount = &made["spec"]["containers"][0]["volumeMounts"][0];
    same!(
        mount["mountPath"],
        "/var/run/secrets/kubernetes.io/serviceaccount"
    );
    ensure!(
        made["spec"]["volumes"][0]["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("kube-api-access-")),
        "{made}"
    );
    let tolerations = made["spec"]["tolerations"].as_array().map(Vec::len);
    same!(
        tolerations,
        Some(2),
        "not-ready and unreachable are borne for five minutes"
    );
    Ok(())
}

async fn a_priority_class_becomes_a_number(t: &Context) -> Result<()> {
    let pods = t.workload("v1", "pods").await?;
    let mut body = pod("a");
    body["spec"]["priorityClassName"] = json!("system-node-critical");
    body["metadata"]["namespace"] = Value::Null;
    let made = t.create(&pods, &body).await?;
    same!(made["spec"]["priority"], 2_000_001_000);
    body["metadata"]["name"] = json!("b");
    body["spec"]["priorityClassName"] = json!("no-such-class");
    t.admin().post(&pods, &body).await?.refused(
        403,
        "Forbidden",
        "pods \"b\" is forbidden: no PriorityClass with name no-such-class was found",
    )?;
    Ok(())
}

async fn events_are_found_by_their_object(t: &Context) -> Result<()> {
    let running = started(t, &pod("a"), "it runs", |pod| {
        pod["status"]["phase"] == "Running"
    })
    .await?;
    let uid = running["metadata"]["uid"].as_str().unwrap_or_default();
    let path = format!(
        "{}?fieldSelector=involvedObject.uid%3D{uid},reason%3DScheduled,type%3DNormal",
        t.resource("v1", "events").await?
    );
    let some = |list: &Value| {
        list["items"]
            .as_array()
            .is_some_and(|items| !items.is_empty())
    };
    let list = t.admin().until(&path, "an event", some).await?;
    let message = list["items"][0]["message"].as_str().unwrap_or_default();
    let expected = format!(
        "Successfully assigned {}/a to {}",
        t.namespace().await?,
        running["spec"]["nodeName"].as_str().unwrap_or_default()
    );
    same!(message, expected);
    Ok(())
}
