//! Logs, exec, attach and port-forward: what a kubelet streams through the API server.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::json;

use crate::case::{cases, same, skip};
use crate::context::Context;
use crate::echo;
use crate::manifest::{pod, pod_of};
use crate::socket::{CLOSE, Channels, STDIN, V4, V5, command};

cases![
    logs_are_plain_text,
    logs_have_a_tail,
    logs_have_a_limit,
    logs_have_times,
    logs_since_a_while,
    logs_are_followed,
    logs_of_a_missing_pod_are_404,
    logs_of_a_missing_container_are_400,
    logs_of_several_containers_want_a_name,
    logs_of_a_pod_on_no_node_are_nothing,
    exec_by_the_fourth_protocol,
    exec_by_the_fifth_protocol,
    exec_prefers_the_first_protocol_offered,
    exec_has_two_streams,
    exec_tells_the_exit_code,
    exec_closes_standard_input,
    exec_of_what_is_not_there_is_a_failure,
    exec_in_a_missing_container_is_400,
    exec_in_a_missing_pod_is_404,
    exec_without_an_upgrade_is_400,
    a_port_is_forwarded,
];

/// How long a program may take from its start until it listens, and between two looks.
const LISTEN_TIME: Duration = Duration::from_secs(30);
const LISTEN_LOOK: Duration = Duration::from_millis(200);

/// A pod that counts: `seq 1 5`, then it runs on. `counter` is also what KWOK's log of it is called.
async fn counter(t: &Context) -> Result<String> {
    t.programs()?;
    let pods = t.workload("v1", "pods").await?;
    t.create(
        &pods,
        &pod_of("counter", "Always", &["sh", "-c", "seq 1 5; sleep 3600"]),
    )
    .await?;
    let path = format!("{pods}/counter");
    t.admin()
        .until(&path, "it runs", |pod| pod["status"]["phase"] == "Running")
        .await?;
    let log = format!("{path}/log");
    for _ in 0..100 {
        let reply = t.admin().get_as(&log, "*/*").await?;
        if reply.status == 200 && reply.text.lines().count() == 5 {
            return Ok(log);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let reply = t.admin().get_as(&log, "*/*").await?;
    anyhow::bail!("the pod's log is not five lines: {}", reply.short())
}

/// A pod to run programs in, as a path.
async fn running(t: &Context) -> Result<String> {
    started(t, &["sleep", "3600"]).await
}

/// A pod with a command that runs on, as a path.
async fn started(t: &Context, command: &[&str]) -> Result<String> {
    t.programs()?;
    let pods = t.workload("v1", "pods").await?;
    t.create(&pods, &pod_of("a", "Always", command)).await?;
    let path = format!("{pods}/a");
    t.admin()
        .until(&path, "it runs", |pod| pod["status"]["phase"] == "Running")
        .await?;
    Ok(path)
}

async fn log(t: &Context, path: &str) -> Result<String> {
    let reply = t.admin().get_as(path, "*/*").await?;
    ensure!(reply.status == 200, "{}", reply.short());
    Ok(reply.text)
}

async fn logs_are_plain_text(t: &Context) -> Result<()> {
    let path = counter(t).await?;
    let reply = t.admin().get_as(&path, "*/*").await?;
    same!(reply.text, "1\n2\n3\n4\n5\n");
    same!(reply.header("content-type"), "text/plain");
    same!(
        log(t, &format!("{path}?container=c")).await?,
        "1\n2\n3\n4\n5\n"
    );
    Ok(())
}

async fn logs_have_a_tail(t: &Context) -> Result<()> {
    let path = counter(t).await?;
    same!(log(t, &format!("{path}?tailLines=2")).await?, "4\n5\n");
    same!(log(t, &format!("{path}?tailLines=0")).await?, "");
    same!(
        log(t, &format!("{path}?tailLines=100"))
            .await?
            .lines()
            .count(),
        5
    );
    Ok(())
}

async fn logs_have_a_limit(t: &Context) -> Result<()> {
    let path = counter(t).await?;
    same!(log(t, &format!("{path}?limitBytes=4")).await?, "1\n2\n");
    Ok(())
}

async fn logs_have_times(t: &Context) -> Result<()> {
    let path = counter(t).await?;
    let text = log(t, &format!("{path}?timestamps=true&tailLines=1")).await?;
    let (time, rest) = text.split_once(' ').context("no time")?;
    same!(rest, "5\n");
    time.parse::<jiff::Timestamp>()
        .with_context(|| format!("`{time}` is no time"))?;
    Ok(())
}

async fn logs_since_a_while(t: &Context) -> Result<()> {
    let path = counter(t).await?;
    same!(
        log(t, &format!("{path}?sinceSeconds=86400"))
            .await?
            .lines()
            .count(),
        5
    );
    let later = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_hours(1))?;
    same!(log(t, &format!("{path}?sinceTime={later}")).await?, "");
    Ok(())
}

async fn logs_are_followed(t: &Context) -> Result<()> {
    let path = counter(t).await?;
    let request = t
        .admin()
        .request(Method::GET, &format!("{path}?follow=true"));
    let mut response = t.admin().begin(request).await?;
    same!(response.status().as_u16(), 200);
    let mut text = String::new();
    while text.lines().count() < 5 {
        let chunk = tokio::time::timeout(Duration::from_secs(20), response.chunk()).await??;
        text.push_str(&String::from_utf8_lossy(
            &chunk.context("the log has ended")?,
        ));
    }
    same!(text, "1\n2\n3\n4\n5\n");
    // The container lives: so does the stream.
    let more = tokio::time::timeout(Duration::from_secs(2), response.chunk()).await;
    ensure!(more.is_err(), "the stream did not stay open: {more:?}");
    Ok(())
}

async fn logs_of_a_missing_pod_are_404(t: &Context) -> Result<()> {
    let path = format!("{}/none/log", t.resource("v1", "pods").await?);
    t.admin()
        .get(&path)
        .await?
        .refused(404, "NotFound", "pods \"none\" not found")?;
    Ok(())
}

async fn logs_of_a_missing_container_are_400(t: &Context) -> Result<()> {
    let path = running(t).await?;
    t.admin()
        .get(&format!("{path}/log?container=other"))
        .await?
        .refused(400, "BadRequest", "container other is not valid for pod a")?;
    Ok(())
}

async fn logs_of_several_containers_want_a_name(t: &Context) -> Result<()> {
    let pods = t.workload("v1", "pods").await?;
    let mut body = pod("two");
    let mut side = body["spec"]["containers"][0].clone();
    side["name"] = json!("side");
    body["spec"]["containers"]
        .as_array_mut()
        .context("a list")?
        .push(side);
    t.create(&pods, &body).await?;
    t.admin().get(&format!("{pods}/two/log")).await?.refused(
        400,
        "BadRequest",
        "a container name must be specified for pod two, choose one of: [c side]",
    )?;
    Ok(())
}

async fn logs_of_a_pod_on_no_node_are_nothing(t: &Context) -> Result<()> {
    let pods = t.workload("v1", "pods").await?;
    let mut body = pod("a");
    body["spec"]["nodeSelector"] = json!({"example.com/none": "here"});
    t.create(&pods, &body).await?;
    // On no node there is nobody to ask.
    let reply = t.admin().get_as(&format!("{pods}/a/log"), "*/*").await?;
    same!((reply.status, reply.text.as_str()), (204, ""));
    Ok(())
}

async fn exec_by_the_fourth_protocol(t: &Context) -> Result<()> {
    let path = running(t).await?;
    let channels = Channels::open(
        t.admin(),
        &format!("{path}/exec{}", command(&["echo", "hello"], "")),
        V4,
    )
    .await?;
    same!(channels.protocol, V4);
    let ended = channels.finish().await?;
    same!(ended.stdout, "hello\n");
    same!(ended.stderr, "");
    same!(ended.status["status"], "Success");
    Ok(())
}

async fn exec_by_the_fifth_protocol(t: &Context) -> Result<()> {
    let path = running(t).await?;
    let channels = Channels::open(
        t.admin(),
        &format!("{path}/exec{}", command(&["echo", "hello"], "")),
        V5,
    )
    .await?;
    same!(channels.protocol, V5);
    let ended = channels.finish().await?;
    same!(ended.stdout, "hello\n");
    same!(ended.status["status"], "Success");
    Ok(())
}

async fn exec_prefers_the_first_protocol_offered(t: &Context) -> Result<()> {
    let path = running(t).await?;
    let both = format!("{V5}, {V4}");
    let channels = Channels::open(
        t.admin(),
        &format!("{path}/exec{}", command(&["true"], "")),
        &both,
    )
    .await?;
    same!(channels.protocol, V5);
    Ok(())
}

async fn exec_has_two_streams(t: &Context) -> Result<()> {
    let path = running(t).await?;
    let words = ["sh", "-c", "echo out; echo err >&2"];
    let ended = Channels::open(
        t.admin(),
        &format!("{path}/exec{}", command(&words, "&container=c")),
        V4,
    )
    .await?
    .finish()
    .await?;
    same!(
        (ended.stdout.as_str(), ended.stderr.as_str()),
        ("out\n", "err\n")
    );
    Ok(())
}

async fn exec_tells_the_exit_code(t: &Context) -> Result<()> {
    if let Some(version) = t.server().kwok() {
        return skip(format!("KWOK {version} loses the exit code of exec"));
    }
    let path = running(t).await?;
    let words = ["sh", "-c", "exit 7"];
    let ended = Channels::open(
        t.admin(),
        &format!("{path}/exec{}", command(&words, "")),
        V4,
    )
    .await?
    .finish()
    .await?;
    same!(ended.status["status"], "Failure");
    same!(ended.status["reason"], "NonZeroExitCode");
    same!(
        ended.status["details"]["causes"],
        json!([{"reason": "ExitCode", "message": "7"}])
    );
    // What follows is the container runtime's own.
    let message = ended.status["message"].as_str().unwrap_or_default();
    ensure!(
        message.starts_with("command terminated with non-zero exit code"),
        "{message}"
    );
    Ok(())
}

async fn exec_closes_standard_input(t: &Context) -> Result<()> {
    if let Some(version) = t.server().kwok() {
        return skip(format!(
            "KWOK {version} never closes the standard input of exec"
        ));
    }
    let path = running(t).await?;
    let mut channels = Channels::open(
        t.admin(),
        &format!("{path}/exec{}", command(&["cat"], "&stdin=1")),
        V5,
    )
    .await?;
    channels.send(STDIN, b"through").await?;
    channels.send(CLOSE, &[STDIN]).await?;
    let ended = channels.finish().await?;
    same!(ended.stdout, "through");
    same!(ended.status["status"], "Success");
    Ok(())
}

async fn exec_of_what_is_not_there_is_a_failure(t: &Context) -> Result<()> {
    let path = running(t).await?;
    let query = command(&["no-such-program-anywhere"], "");
    let ended = Channels::open(t.admin(), &format!("{path}/exec{query}"), V4)
        .await?
        .finish()
        .await?;
    same!(ended.status["status"], "Failure");
    Ok(())
}

async fn exec_in_a_missing_container_is_400(t: &Context) -> Result<()> {
    let path = running(t).await?;
    let error = Channels::open(
        t.admin(),
        &format!("{path}/exec{}", command(&["true"], "&container=other")),
        V4,
    )
    .await;
    let text = error
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    ensure!(
        text.contains("400") && text.contains("container other is not valid for pod a"),
        "{text}"
    );
    Ok(())
}

async fn exec_in_a_missing_pod_is_404(t: &Context) -> Result<()> {
    let path = format!(
        "{}/none/exec{}",
        t.resource("v1", "pods").await?,
        command(&["true"], "")
    );
    let error = Channels::open(t.admin(), &path, V4).await;
    let text = error
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    ensure!(
        text.contains("404") && text.contains("pods \\\"none\\\" not found"),
        "{text}"
    );
    Ok(())
}

async fn exec_without_an_upgrade_is_400(t: &Context) -> Result<()> {
    let path = running(t).await?;
    let reply = t
        .admin()
        .get(&format!("{path}/exec{}", command(&["true"], "")))
        .await?;
    reply.refused(400, "BadRequest", "Upgrade request required")?;
    Ok(())
}

async fn a_port_is_forwarded(t: &Context) -> Result<()> {
    let path = started(t, &echo::command("7")).await?;
    // A command runs before it listens.
    let deadline = tokio::time::Instant::now() + LISTEN_TIME;
    loop {
        match ping(t, &path).await? {
            (0, data) => {
                same!(data, b"ping");
                return Ok(());
            }
            (_, error) if tokio::time::Instant::now() >= deadline => {
                anyhow::bail!("not forwarded: {}", String::from_utf8_lossy(&error))
            }
            _ => tokio::time::sleep(LISTEN_LOOK).await,
        }
    }
}

/// Says something to port 7 of a pod; the first answer, with its channel.
async fn ping(t: &Context, path: &str) -> Result<(u8, Vec<u8>)> {
    let mut channels =
        Channels::open(t.admin(), &format!("{path}/portforward?ports=7"), V4).await?;
    // Each channel begins with its port, little-endian; then data flows.
    for _ in 0..2 {
        let (_, data) = channels.next().await?.context("the connection has ended")?;
        same!(data, vec![7, 0]);
    }
    channels.send(STDIN, b"ping").await?;
    channels.next().await?.context("the connection has ended")
}
