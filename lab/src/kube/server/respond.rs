//! From answers to responses: bodies that are whole, and bodies that go on.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, WARNING};
use http::{HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::kube::status::Refusal;

/// The connection is to be cut instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the lab cuts the connection")]
pub(crate) struct Cut;

/// A body: whole, or lines that come while it is open.
pub(crate) enum Payload {
    Whole(Option<Bytes>),
    Lines(mpsc::Receiver<Result<Bytes, Cut>>),
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut *self {
            Payload::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Payload::Lines(lines) => lines
                .poll_recv(context)
                .map(|line| line.map(|line| line.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Payload::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Payload::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Payload::Lines(_) => SizeHint::default(),
        }
    }
}

pub(crate) type Answer = Response<Payload>;

pub(crate) fn bytes(status: u16, kind: &'static str, body: Bytes) -> Answer {
    let mut response = Response::new(Payload::Whole(Some(body)));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    headers.insert(
        HeaderName::from_static("audit-id"),
        HeaderValue::from_str(&crate::kube::object::new_uid())
            .unwrap_or(HeaderValue::from_static("lab")),
    );
    response
}

pub(crate) fn json(status: u16, value: &Value) -> Answer {
    bytes(status, "application/json", Bytes::from(value.to_string()))
}

pub(crate) fn text(status: u16, text: &str) -> Answer {
    bytes(
        status,
        "text/plain; charset=utf-8",
        Bytes::from(text.to_owned()),
    )
}

pub(crate) fn refusal(refusal: &Refusal) -> Answer {
    let mut response = json(refusal.code, &refusal.body());
    if let Some(seconds) = refusal.retry_after_seconds() {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

pub(crate) fn lines(kind: &'static str, lines: mpsc::Receiver<Result<Bytes, Cut>>) -> Answer {
    let mut response = bytes(200, kind, Bytes::new());
    *response.body_mut() = Payload::Lines(lines);
    response
}

/// Warnings that go with an answer.
pub(crate) fn warn(response: &mut Answer, warnings: &[String]) {
    for text in warnings {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{escaped}\"")) {
            response.headers_mut().append(WARNING, value);
        }
    }
}
