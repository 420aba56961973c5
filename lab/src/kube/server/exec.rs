//! Commands in containers over a WebSocket: `v4.channel.k8s.io` and `v5.channel.k8s.io`. SPDY is refused by name.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::OnUpgrade;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::handle::Call;
use super::request::Place;
use super::respond::Answer;
use super::socket::{self, Socket};
use crate::command::{End, Later, Process};
use crate::kube::controllers::environment;
use crate::kube::object::{self, Object};
use crate::kube::programs::{Missing, Order};
use crate::kube::state::State;
use crate::kube::status::{Refusal, Result};

const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
/// Half-closes another channel, in version 5.
const CLOSE: u8 = 255;
/// One read of a stream.
const CHUNK: usize = 16 * 1024;
/// Chunks that wait for a slow client.
const CHUNKS_MAX: usize = 64;
/// How long a command may run.
const COMMAND_WAIT: Duration = Duration::from_secs(4 * 3600);

pub(super) fn start(mut call: Call, place: &Place) -> Result<Answer> {
    let order = order(&call, place)?;
    let programs = call.shared.cluster.programs.clone();
    begin(
        &mut call,
        Box::pin(async move { programs.0.start(order).await }),
    )
}

/// As `exec`, of the command that the container runs already: from now on what it prints, and its input when it has one.
pub(super) fn attach(mut call: Call, place: &Place) -> Result<Answer> {
    let key = {
        let state = call.shared.cluster.lock();
        let (pod, container) = target(&call, &state, place)?;
        let name = container["name"].as_str().unwrap_or_default();
        (object::uid(&pod.value).to_owned(), name.to_owned())
    };
    let process = call.shared.cluster.lock().attached.process(&key);
    let process = process.ok_or_else(|| Missing::Program("what this container should run".into()));
    begin(&mut call, Box::pin(async move { process }))
}

/// Makes a web socket of the connection and passes the streams of a process through it.
fn begin(call: &mut Call, started: Later<std::result::Result<Process, Missing>>) -> Result<Answer> {
    let (upgrade, answer) = socket::upgrade(call, &PROTOCOLS)?;
    let wants = |name: &str| call.params.flag(name);
    let streams = (wants("stdin"), wants("stdout"), wants("stderr"));
    let shared = call.shared.clone();
    let mut stopped = shared.stopped.clone();
    tokio::spawn(async move {
        let _alive = shared.alive.clone();
        tokio::select! {
            _ = stopped.changed() => {}
            _ = tokio::time::timeout(COMMAND_WAIT, serve(started, upgrade, streams)) => {}
        }
    });
    Ok(answer)
}

/// What is to run, and where.
fn order(call: &Call, place: &Place) -> Result<Order> {
    let state = call.shared.cluster.lock();
    let command = call.params.all("command").to_vec();
    let (pod, own) = target(call, &state, place)?;
    if command.is_empty() {
        return Err(Refusal::bad_request(
            "you must specify at least one command for the container",
        ));
    }
    Ok(Order {
        namespace: place.namespace.clone(),
        pod: place.name.clone(),
        env: environment(&state, &pod.value, own),
        container: own["name"].as_str().unwrap_or_default().to_owned(),
        node: object::text(&pod.value, &["spec", "nodeName"]).to_owned(),
        command,
        uid: object::uid(&pod.value).to_owned(),
    })
}

/// The pod and its container that is meant, which runs.
fn target<'a>(
    call: &Call,
    state: &'a State,
    place: &Place,
) -> Result<(&'a Arc<Object>, &'a Value)> {
    let Some(pod) = state.store.get("pods", &place.namespace, &place.name) else {
        return Err(Refusal::not_found("pods", &place.name));
    };
    let own = container(&pod.value, call.params.get("container"))?;
    let phase = object::text(&pod.value, &["status", "phase"]);
    if matches!(phase, "Succeeded" | "Failed") {
        let text =
            format!("cannot exec into a container in a completed pod; current phase is {phase}");
        return Err(Refusal::new(500, "InternalError", text));
    }
    if object::text(&pod.value, &["spec", "nodeName"]).is_empty() {
        return Err(Refusal::bad_request(format!(
            "pod {} does not have a host assigned",
            place.name
        )));
    }
    let name = own["name"].as_str().unwrap_or_default();
    let statuses = object::items(&pod.value, &["status", "containerStatuses"]);
    if !statuses
        .iter()
        .any(|one| one["name"] == name && one["state"]["running"].is_object())
    {
        let text = format!("unable to upgrade connection: container not found (\"{name}\")");
        return Err(Refusal::new(500, "InternalError", text));
    }
    Ok((pod, own))
}

/// The container of a pod that is asked for, or its only one.
pub(super) fn container<'a>(pod: &'a Value, asked: &str) -> Result<&'a Value> {
    let all = object::items(pod, &["spec", "containers"]);
    let name = object::name(pod);
    match (asked, all) {
        ("", [one]) => Ok(one),
        ("", all) => {
            let names: Vec<&str> = all.iter().filter_map(|one| one["name"].as_str()).collect();
            Err(Refusal::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                names.join(" ")
            )))
        }
        (asked, all) => all.iter().find(|one| one["name"] == asked).ok_or_else(|| {
            Refusal::bad_request(format!("container {asked} is not valid for pod {name}"))
        }),
    }
}

async fn serve(
    started: Later<std::result::Result<Process, Missing>>,
    upgrade: OnUpgrade,
    (stdin, stdout, stderr): (bool, bool, bool),
) {
    let Some(mut socket) = socket::open(upgrade).await else {
        return;
    };
    // The client learns that the other end is there.
    let first = if stdout { STDOUT } else { ERROR };
    let _ = socket.send(Message::Binary(vec![first].into())).await;
    let status = match started.await {
        Err(missing) => refused(&missing),
        Ok(process) => match stream(&mut socket, process, stdin, stdout, stderr).await {
            Some(end) => ended(&end),
            // The client is gone.
            None => return,
        },
    };
    let mut last = vec![ERROR];
    last.extend(status.to_string().into_bytes());
    let _ = socket.send(Message::Binary(last.into())).await;
    socket::close(socket).await;
}

fn refused(missing: &Missing) -> Value {
    let message =
        format!("Internal error occurred: error executing command in container: {missing}");
    json!({"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500,
        "details": {"causes": [{"message": missing.to_string()}]}})
}

fn ended(end: &End) -> Value {
    let code = match end {
        End::Code(0) => return json!({"metadata": {}, "status": "Success"}),
        End::Code(code) => *code,
        End::Signal(_) => 137,
    };
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: command terminated with exit code {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

async fn pump(
    mut stream: Box<dyn AsyncRead + Send + Unpin>,
    channel: u8,
    wanted: bool,
    chunks: mpsc::Sender<Vec<u8>>,
) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if !wanted {
            continue;
        }
        let mut chunk = Vec::with_capacity(count + 1);
        chunk.push(channel);
        chunk.extend_from_slice(&buffer[..count]);
        if chunks.send(chunk).await.is_err() {
            return;
        }
    }
}

/// A frame of the client: more input, or its end.
async fn take(frame: &[u8], input: &mut Option<Box<dyn AsyncWrite + Send + Unpin>>) {
    match (frame.first().copied(), &mut *input) {
        (Some(STDIN), Some(own)) => {
            let written = own.write_all(&frame[1..]).await.and(own.flush().await);
            if written.is_err() {
                *input = None;
            }
        }
        (Some(CLOSE), _) if frame.get(1) == Some(&STDIN) => *input = None,
        _ => {}
    }
}

/// Passes the streams on until the command has ended and all it said was sent; none when the client went away.
async fn stream(
    socket: &mut Socket,
    process: Process,
    stdin: bool,
    stdout: bool,
    stderr: bool,
) -> Option<End> {
    let (sender, mut chunks) = mpsc::channel(CHUNKS_MAX);
    tokio::spawn(pump(process.stdout, STDOUT, stdout, sender.clone()));
    tokio::spawn(pump(process.stderr, STDERR, stderr, sender));
    let mut input = stdin.then_some(process.stdin);
    let mut running = process.ended;
    let control = process.control;
    let (mut end, mut said) = (None, false);
    let outcome = loop {
        if said && let Some(end) = end.take() {
            break Some(end);
        }
        tokio::select! {
            chunk = chunks.recv(), if !said => match chunk {
                Some(chunk) => {
                    if socket.send(Message::Binary(chunk.into())).await.is_err() {
                        break None;
                    }
                }
                None => said = true,
            },
            code = &mut running, if end.is_none() => {
                end = Some(code);
                // What it left behind would hold the streams open.
                control.end();
            }
            message = socket.next() => match message {
                Some(Ok(Message::Binary(frame))) => take(&frame, &mut input).await,
                Some(Ok(Message::Close(_)) | Err(_)) | None => break None,
                Some(Ok(_)) => {}
            },
        }
    };
    control.end();
    outcome
}
