//! Ports of pods over a WebSocket: `v4.channel.k8s.io`, two channels a port. The first message on each is its port, little-endian.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::handle::Call;
use super::request::Place;
use super::respond::Answer;
use super::socket;
use super::sub::live;
use crate::kube::object;
use crate::kube::programs::{Hook, Missing};
use crate::kube::status::{Refusal, Result};

const PROTOCOLS: [&str; 1] = ["v4.channel.k8s.io"];
/// Ports of one request: two channels each, and a channel is a byte.
const PORTS_MAX: usize = 120;
/// One read of a connection.
const CHUNK: usize = 16 * 1024;
/// Chunks that wait for a slow client.
const CHUNKS_MAX: usize = 64;
/// How long a forwarded connection may live.
const FORWARD_WAIT: Duration = Duration::from_secs(4 * 3600);

pub(super) fn start(mut call: Call, place: &Place) -> Result<Answer> {
    let pod = live(&call, place)?;
    let phase = object::text(&pod.value, &["status", "phase"]);
    if phase != "Running" {
        let text =
            format!("unable to forward port because pod is not running. Current status={phase}");
        return Err(Refusal::bad_request(text));
    }
    let (upgrade, answer) = socket::upgrade(&mut call, &PROTOCOLS)?;
    let ports = ports(&call)?;
    let target = (place.namespace.clone(), place.name.clone());
    let shared = call.shared;
    let mut stopped = shared.stopped.clone();
    tokio::spawn(async move {
        let _alive = shared.alive.clone();
        let serve = async {
            if let Some(socket) = socket::open(upgrade).await {
                serve(socket, &shared.cluster.programs, &target, &ports).await;
            }
        };
        tokio::select! {
            _ = stopped.changed() => {}
            _ = tokio::time::timeout(FORWARD_WAIT, serve) => {}
        }
    });
    Ok(answer)
}

fn ports(call: &Call) -> Result<Vec<u16>> {
    let texts: Vec<&str> = call
        .params
        .all("ports")
        .iter()
        .flat_map(|text| text.split(','))
        .collect();
    if texts.is_empty() {
        return Err(Refusal::bad_request(
            "query parameter \"ports\" is required",
        ));
    }
    if texts.len() > PORTS_MAX {
        return Err(Refusal::bad_request(format!("at most {PORTS_MAX} ports")));
    }
    let port = |text: &str| text.trim().parse().ok().filter(|port| *port > 0);
    texts
        .into_iter()
        .map(|text| port(text).ok_or_else(|| Refusal::bad_request(format!("invalid port: {text}"))))
        .collect()
}

/// What goes to the client: a channel and its data.
type Chunk = (u8, Vec<u8>);

async fn serve(
    mut socket: socket::Socket,
    programs: &Hook,
    (namespace, pod): &(String, String),
    ports: &[u16],
) {
    let (sender, mut chunks) = mpsc::channel::<Chunk>(CHUNKS_MAX);
    let mut inputs: Vec<Option<OwnedWriteHalf>> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let Ok(data) = u8::try_from(2 * index) else {
            return;
        };
        for channel in [data, data + 1] {
            let [low, high] = port.to_le_bytes();
            let greeting = vec![channel, low, high];
            if socket.send(Message::Binary(greeting.into())).await.is_err() {
                return;
            }
        }
        let connected = programs
            .0
            .connect(namespace.clone(), pod.clone(), *port)
            .await;
        inputs.push(match connected {
            Ok(stream) => {
                let (from, to) = stream.into_split();
                tokio::spawn(pump(from, data, sender.clone()));
                Some(to)
            }
            Err(missing) => {
                let text = refused(pod, *port, &missing);
                let _ = sender.try_send((data + 1, text.into_bytes()));
                None
            }
        });
    }
    drop(sender);
    loop {
        tokio::select! {
            chunk = chunks.recv() => match chunk {
                Some((channel, data)) => {
                    let mut message = vec![channel];
                    message.extend(data);
                    if socket.send(Message::Binary(message.into())).await.is_err() {
                        return;
                    }
                }
                // All that was forwarded has ended.
                None => break,
            },
            message = socket.next() => match message {
                Some(Ok(Message::Binary(frame))) => take(&frame, &mut inputs).await,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
    socket::close(socket).await;
}

fn refused(pod: &str, port: u16, missing: &Missing) -> String {
    format!("error forwarding port {port} to pod {pod}, uid : {missing}")
}

async fn pump(mut from: OwnedReadHalf, channel: u8, chunks: mpsc::Sender<Chunk>) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if chunks
            .send((channel, buffer[..count].to_vec()))
            .await
            .is_err()
        {
            return;
        }
    }
}

/// A frame of the client, for the connection whose channel it names.
async fn take(frame: &[u8], inputs: &mut [Option<OwnedWriteHalf>]) {
    let Some((channel, data)) = frame.split_first() else {
        return;
    };
    if channel % 2 == 1 {
        return;
    }
    let Some(input) = inputs.get_mut(usize::from(channel / 2)) else {
        return;
    };
    if let Some(to) = input
        && to.write_all(data).await.is_err()
    {
        *input = None;
    }
}
