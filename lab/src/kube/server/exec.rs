//! Commands in containers over a WebSocket: `v4.channel.k8s.io` and `v5.channel.k8s.io`. SPDY is refused by name.

use std::time::Duration;

use base64::Engine;
use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderName, HeaderValue, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::handle::Call;
use super::request::Place;
use super::respond::{self, Answer, Payload};
use crate::command::{End, Process};
use crate::kube::controllers::environment;
use crate::kube::object;
use crate::kube::programs::{Missing, Order};
use crate::kube::status::{Refusal, Result};

/// From RFC 6455.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
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
/// How long the connection may take to become a WebSocket.
const UPGRADE_WAIT: Duration = Duration::from_secs(10);
/// How long a command may run.
const COMMAND_WAIT: Duration = Duration::from_secs(4 * 3600);

pub(super) fn start(mut call: Call, place: &Place) -> Result<Answer> {
    let order = order(&call, place)?;
    let header = |name: &str| {
        call.parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    if !header("upgrade").eq_ignore_ascii_case("websocket") {
        if header("upgrade").to_ascii_lowercase().starts_with("spdy") {
            return Err(Refusal::new(
                501,
                "NotImplemented",
                "the lab does not speak SPDY; hint: kubectl 1.31 and later use a WebSocket",
            ));
        }
        return Err(Refusal::bad_request("Upgrade request required"));
    }
    let asked = header("sec-websocket-protocol");
    let known = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
    let Some(protocol) = known
        .iter()
        .find(|one| asked.split(',').any(|own| own.trim() == **one))
    else {
        return Err(Refusal::new(
            403,
            "Forbidden",
            format!("the lab speaks {}, not `{asked}`", known.join(" and ")),
        ));
    };
    let key = header("sec-websocket-key");
    let Some(upgrade) = call.parts.extensions.remove::<OnUpgrade>() else {
        return Err(Refusal::bad_request("Upgrade request required"));
    };
    let wants = |name: &str| call.params.flag(name);
    let streams = (wants("stdin"), wants("stdout"), wants("stderr"));
    let shared = call.shared.clone();
    let mut stopped = shared.stopped.clone();
    tokio::spawn(async move {
        let _alive = shared.alive.clone();
        tokio::select! {
            _ = stopped.changed() => {}
            _ = tokio::time::timeout(COMMAND_WAIT, serve(shared.cluster.programs.clone(), order, upgrade, streams)) => {}
        }
    });
    let accept =
        base64::engine::general_purpose::STANDARD.encode(Sha1::digest(format!("{key}{MAGIC}")));
    let mut answer = respond::bytes(101, "text/plain", bytes::Bytes::new());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.body_mut() = Payload::Whole(None);
    let headers = answer.headers_mut();
    headers.clear();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    for (name, value) in [
        ("sec-websocket-accept", accept.as_str()),
        ("sec-websocket-protocol", *protocol),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Ok(answer)
}

/// What is to run, and where.
fn order(call: &Call, place: &Place) -> Result<Order> {
    let state = call.shared.cluster.lock();
    let Some(pod) = state.get("pods", &place.namespace, &place.name) else {
        return Err(Refusal::not_found("pods", &place.name));
    };
    let command = call.params.all("command").to_vec();
    if command.is_empty() {
        return Err(Refusal::bad_request(
            "you must specify at least one command for the container",
        ));
    }
    let containers = object::items(&pod.value, &["spec", "containers"]);
    let asked = call.params.get("container");
    let own = match (asked, containers) {
        ("", [one]) => Some(one),
        ("", all) => {
            let names: Vec<&str> = all.iter().filter_map(|one| one["name"].as_str()).collect();
            let text = format!(
                "a container name must be specified for pod {}, choose one of: [{}]",
                place.name,
                names.join(" ")
            );
            return Err(Refusal::bad_request(text));
        }
        (asked, all) => all.iter().find(|one| one["name"] == asked),
    };
    let Some(own) = own else {
        return Err(Refusal::bad_request(format!(
            "container {asked} is not valid for pod {}",
            place.name
        )));
    };
    let phase = object::text(&pod.value, &["status", "phase"]);
    if matches!(phase, "Succeeded" | "Failed") {
        let text =
            format!("cannot exec into a container in a completed pod; current phase is {phase}");
        return Err(Refusal::new(500, "InternalError", text));
    }
    let node = object::text(&pod.value, &["spec", "nodeName"]).to_owned();
    if node.is_empty() {
        return Err(Refusal::bad_request(format!(
            "pod {} does not have a host assigned",
            place.name
        )));
    }
    let name = own["name"].as_str().unwrap_or_default().to_owned();
    let statuses = object::items(&pod.value, &["status", "containerStatuses"]);
    if !statuses
        .iter()
        .any(|one| one["name"] == name.as_str() && one["state"]["running"].is_object())
    {
        let text = format!("unable to upgrade connection: container not found (\"{name}\")");
        return Err(Refusal::new(500, "InternalError", text));
    }
    Ok(Order {
        namespace: place.namespace.clone(),
        pod: place.name.clone(),
        env: environment(&state, &pod.value, own),
        container: name,
        node,
        command,
        uid: object::uid(&pod.value).to_owned(),
    })
}

async fn serve(
    programs: crate::kube::programs::Hook,
    order: Order,
    upgrade: OnUpgrade,
    (stdin, stdout, stderr): (bool, bool, bool),
) {
    let Ok(Ok(upgraded)) = tokio::time::timeout(UPGRADE_WAIT, upgrade).await else {
        return;
    };
    let mut socket =
        WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    // The client learns that the other end is there.
    let first = if stdout { STDOUT } else { ERROR };
    let _ = socket.send(Message::Binary(vec![first].into())).await;
    let status = match programs.0.start(order).await {
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
    let normal = CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    };
    let _ = socket.close(Some(normal)).await;
    // The client closes too; until then its frames are read.
    let rest = async { while let Some(Ok(_)) = socket.next().await {} };
    let _ = tokio::time::timeout(UPGRADE_WAIT, rest).await;
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

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

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
