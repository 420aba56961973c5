//! The channels of exec, attach and port-forward: a web socket whose messages begin with the channel's number.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::client::Client;

pub(crate) const STDIN: u8 = 0;
pub(crate) const STDOUT: u8 = 1;
pub(crate) const STDERR: u8 = 2;
/// The status of what ran, as JSON, at its end.
pub(crate) const ERROR: u8 = 3;
/// v5 only: closes the channel whose number follows.
pub(crate) const CLOSE: u8 = 255;

pub(crate) const V4: &str = "v4.channel.k8s.io";
pub(crate) const V5: &str = "v5.channel.k8s.io";

const OPEN_TIME: Duration = Duration::from_secs(30);
/// For the next message, or the end.
const MESSAGE_TIME: Duration = Duration::from_secs(30);
const KEY: [u8; 16] = *b"conformance-key!";

pub(crate) struct Channels {
    socket: WebSocketStream<reqwest::Upgraded>,
    /// The protocol the server has chosen.
    pub(crate) protocol: String,
}

/// All that came on the channels until the end.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) status: Value,
}

impl Channels {
    /// Opens a web socket and offers the protocols in this order.
    pub(crate) async fn open(client: &Client, path: &str, protocols: &str) -> Result<Self> {
        let request = client
            .request(Method::GET, path)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", STANDARD.encode(KEY))
            .header("Sec-WebSocket-Protocol", protocols);
        let response = tokio::time::timeout(OPEN_TIME, client.begin(request))
            .await
            .context("no answer to the upgrade")??;
        let status = response.status().as_u16();
        if status != 101 {
            bail!(
                "the web socket `{path}` was refused: {status} {}",
                response.text().await?
            );
        }
        let protocol = response
            .headers()
            .get("Sec-WebSocket-Protocol")
            .and_then(|value| value.to_str().ok());
        let protocol = protocol.unwrap_or_default().to_owned();
        let socket =
            WebSocketStream::from_raw_socket(response.upgrade().await?, Role::Client, None).await;
        Ok(Self { socket, protocol })
    }

    pub(crate) async fn send(&mut self, channel: u8, data: &[u8]) -> Result<()> {
        let message: Vec<u8> = std::iter::once(channel)
            .chain(data.iter().copied())
            .collect();
        Ok(self.socket.send(Message::Binary(message.into())).await?)
    }

    /// The next message with data: its channel and the data. None at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        loop {
            let message = tokio::time::timeout(MESSAGE_TIME, self.socket.next())
                .await
                .with_context(|| {
                    format!(
                        "neither a message nor the end within {} s",
                        MESSAGE_TIME.as_secs()
                    )
                })?;
            let data = match message {
                None | Some(Ok(Message::Close(_))) => return Ok(None),
                Some(Ok(Message::Binary(data))) => data.to_vec(),
                Some(Ok(Message::Text(text))) => text.as_bytes().to_vec(),
                Some(Ok(_)) => continue,
                // The server may drop the connection instead of a closing handshake.
                Some(Err(_)) => return Ok(None),
            };
            ensure!(!data.is_empty(), "a message without a channel");
            if data.len() > 1 {
                return Ok(Some((data[0], data[1..].to_vec())));
            }
        }
    }

    /// Everything until the end.
    pub(crate) async fn finish(mut self) -> Result<Ended> {
        let (mut out, mut err, mut status) = (Vec::new(), Vec::new(), Vec::new());
        while let Some((channel, data)) = self.next().await? {
            match channel {
                STDOUT => out.extend(data),
                STDERR => err.extend(data),
                ERROR => status.extend(data),
                other => bail!(
                    "data on channel {other}: {}",
                    String::from_utf8_lossy(&data)
                ),
            }
        }
        Ok(Ended {
            stdout: String::from_utf8_lossy(&out).into_owned(),
            stderr: String::from_utf8_lossy(&err).into_owned(),
            status: serde_json::from_slice(&status).unwrap_or(Value::Null),
        })
    }
}

/// `?command=…&command=…` with both output streams, and more parameters.
pub(crate) fn command(words: &[&str], more: &str) -> String {
    let words: String = words
        .iter()
        .map(|word| format!("&command={}", escape(word)))
        .collect();
    format!("?stdout=1&stderr=1{words}{more}")
}

/// Percent-encoding of a value in a query.
pub(crate) fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
