//! From an answer to a response: status, reason phrase, content type, body.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST, LOCATION, PRAGMA, SERVER};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use serde_json::{Map, Value};

use crate::pve::answer::Answer;

/// The two ways to ask: `/api2/json` and `/api2/extjs` (always 200).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Extjs,
}

const JSON: &str = "application/json;charset=UTF-8";
const NAME: &str = "pve-api-daemon/3.0";

/// An answer of the API.
pub(super) fn answer(format: Format, answer: Answer) -> Response<Full<Bytes>> {
    let failed = answer.status >= 400;
    let mut body = Map::new();
    body.insert("data".into(), answer.data);
    body.extend(answer.beside);
    let message = answer.message.unwrap_or_default();
    let reason = message.lines().next().unwrap_or_default().to_owned();
    if failed {
        body.insert("message".into(), message.into());
    }
    if !answer.errors.is_empty() {
        body.insert("errors".into(), Value::Object(answer.errors));
    }
    let status = match format {
        Format::Json => answer.status,
        Format::Extjs => {
            body.insert("success".into(), u8::from(!failed).into());
            if failed {
                body.insert("status".into(), answer.status.into());
            }
            200
        }
    };
    let text = Value::Object(body).to_string();
    let mut response = build(
        status,
        if status < 400 { "OK" } else { &reason },
        text.into(),
    );
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

/// A status with its reason phrase and nothing else.
pub(super) fn bare(status: u16, reason: &str) -> Response<Full<Bytes>> {
    build(
        status,
        reason.lines().next().unwrap_or_default(),
        Bytes::new(),
    )
}

/// Where plain HTTP is to come back.
pub(super) fn redirect(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let status = if matches!(request.method().as_str(), "GET" | "HEAD") {
        301
    } else {
        308
    };
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost");
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let mut response = build(
        status,
        if status == 301 {
            "Moved Permanently"
        } else {
            "Permanent Redirect"
        },
        Bytes::new(),
    );
    if let Ok(place) = HeaderValue::from_str(&format!("https://{host}{path}")) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn build(status: u16, reason: &str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // What may not stand in a reason phrase is left out, as are line breaks.
    let phrase: String = reason.chars().filter(|c| !c.is_control()).collect();
    if let Ok(phrase) = ReasonPhrase::try_from(phrase.into_bytes()) {
        response.extensions_mut().insert(phrase);
    }
    let headers = response.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static(NAME));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=0"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    if status >= 400 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
