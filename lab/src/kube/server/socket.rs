//! From a request to a web socket with Kubernetes' channels, and its end. SPDY is refused by name.

use std::time::Duration;

use base64::Engine;
use futures_util::StreamExt;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderName, HeaderValue, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::handle::Call;
use super::respond::{self, Answer, Payload};
use crate::kube::status::{Refusal, Result};

/// From RFC 6455.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// How long the connection may take to become a WebSocket, and how long a client may take to close it.
const UPGRADE_WAIT: Duration = Duration::from_secs(10);

pub(super) type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// The answer that makes a web socket of the connection, by the first protocol that both know, in our order.
pub(super) fn upgrade(call: &mut Call, known: &[&'static str]) -> Result<(OnUpgrade, Answer)> {
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
    Ok((upgrade, answer))
}

/// The web socket, once the answer is sent; none when the client is gone before.
pub(super) async fn open(upgrade: OnUpgrade) -> Option<Socket> {
    let upgraded = tokio::time::timeout(UPGRADE_WAIT, upgrade)
        .await
        .ok()?
        .ok()?;
    Some(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await)
}

/// Ends it in good order.
pub(super) async fn close(mut socket: Socket) {
    let normal = CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    };
    let _ = socket.close(Some(normal)).await;
    // The client closes too; until then its frames are read.
    let rest = async { while let Some(Ok(_)) = socket.next().await {} };
    let _ = tokio::time::timeout(UPGRADE_WAIT, rest).await;
}
