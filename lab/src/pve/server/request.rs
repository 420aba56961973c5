//! From a request to a call: verb, path, credentials and parameters, with the real server's limits and refusals.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming as HyperBody;
use serde_json::Value;

use super::respond::{self, Format};
use crate::pve::auth::Credentials;
use crate::pve::cluster::percent_decode;
use crate::pve::params::Params;
use crate::pve::uploads::{Uploads, is_upload};

/// The largest body that is read.
pub(crate) const BODY_BYTES_MAX: usize = 512 * 1024;
/// The largest file that the lab lets be uploaded; the real one takes what its disk takes.
pub const UPLOAD_BYTES_MAX: usize = 256 << 20;

/// An answer instead of a call.
pub(super) type Refused = Box<Response<Full<Bytes>>>;

/// A request that may become a call.
pub(super) struct Incoming {
    pub(super) verb: String,
    /// What follows `/api2/json`.
    pub(super) path: String,
    pub(super) format: Format,
    pub(super) credentials: Credentials,
    pub(super) body: Body,
}

/// Query and body, not yet read.
pub(super) struct Body {
    query: String,
    kind: Kind,
    bytes: Bytes,
}

#[derive(PartialEq)]
enum Kind {
    None,
    Form,
    Json,
    /// An upload with what stands between its parts.
    Parts(String),
}

/// Reads a request, or refuses it as the real server does before any login.
pub(super) async fn parse(request: Request<HyperBody>) -> Result<Incoming, Refused> {
    let (head, body) = request.into_parts();
    let verb = head.method.as_str().to_owned();
    if !matches!(verb.as_str(), "GET" | "POST" | "PUT" | "DELETE") {
        return Err(refuse(501, &format!("method '{verb}' not available")));
    }
    let raw = head.uri.path();
    let Some((format, path)) = split_format(raw) else {
        return Err(match raw.starts_with("/api2/") {
            true => refuse(501, &format!("no formatter for uri {raw}")),
            false => refuse(404, &format!("no such file '{}'", percent_decode(raw))),
        });
    };
    let credentials = credentials(&head.headers);
    if head.headers.contains_key(TRANSFER_ENCODING) {
        return Err(refuse(501, "chunked transfer encoding not supported"));
    }
    let length: usize = header(&head.headers, CONTENT_LENGTH.as_str())
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let kind = match length {
        0 => Kind::None,
        _ if !matches!(verb.as_str(), "POST" | "PUT") => {
            return Err(refuse(
                501,
                &format!("Unexpected content for method '{verb}'"),
            ));
        }
        _ if is_upload(&verb, path) && upload_boundary(&head.headers).is_some() => {
            if length > UPLOAD_BYTES_MAX {
                return Err(refuse(501, "for data too large"));
            }
            Kind::Parts(upload_boundary(&head.headers).unwrap_or_default())
        }
        _ if length > BODY_BYTES_MAX => return Err(refuse(501, "for data too large")),
        _ => kind_of(&head.headers)?,
    };
    let most = match kind {
        Kind::Parts(_) => UPLOAD_BYTES_MAX,
        _ => BODY_BYTES_MAX,
    };
    let bytes = match Limited::new(body, most).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Err(refuse(501, "for data too large")),
    };
    let query = head.uri.query().unwrap_or_default().to_owned();
    Ok(Incoming {
        verb,
        path: path.to_owned(),
        format,
        credentials,
        body: Body { query, kind, bytes },
    })
}

/// What stands between the parts of an upload; none where the body is no form with files.
fn upload_boundary(headers: &HeaderMap) -> Option<String> {
    super::upload::boundary(&header(headers, CONTENT_TYPE.as_str())?)
}

fn kind_of(headers: &HeaderMap) -> Result<Kind, Refused> {
    let whole = header(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let kind = whole.split(';').next().unwrap_or_default().trim();
    match kind {
        "application/x-www-form-urlencoded" | "" => Ok(Kind::Form),
        "application/json" => Ok(Kind::Json),
        _ => Err(refuse(
            506,
            &format!("upload 'Content-Type '{whole}' not implemented"),
        )),
    }
}

/// A status with its reason phrase, in place of a call.
fn refuse(status: u16, reason: &str) -> Refused {
    Box::new(respond::bare(status, reason))
}

fn split_format(path: &str) -> Option<(Format, &str)> {
    let rest = path.strip_prefix("/api2/")?;
    let (name, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match name {
        "json" => Some((Format::Json, rest)),
        "extjs" => Some((Format::Extjs, rest)),
        _ => None,
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

/// Ticket and token, as cookie and authorization carry them.
fn credentials(headers: &HeaderMap) -> Credentials {
    let cookie = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .find_map(|part| {
            part.trim()
                .strip_prefix("PVEAuthCookie=")
                .map(percent_decode)
        });
    let authorization = header(headers, AUTHORIZATION.as_str()).unwrap_or_default();
    let value = |name: &str| {
        let at = authorization.find(name)?;
        let before = at == 0 || authorization[..at].ends_with(char::is_whitespace);
        let rest = authorization[at + name.len()..].strip_prefix(['=', ' '])?;
        before.then(|| percent_decode(rest.split(';').next().unwrap_or_default()))
    };
    Credentials {
        ticket: cookie.or_else(|| value("PVEAuthCookie")),
        token: value("PVEAPIToken"),
        csrf: header(headers, "csrfpreventiontoken"),
    }
}

impl Body {
    /// Query and body in one; the query wins. An upload's file is put where its call finds it. The error is what a broken
    /// body gets.
    pub(super) fn params(&self, uploads: &Uploads) -> Result<Params, String> {
        let mut params = match &self.kind {
            Kind::None => Params::new(),
            Kind::Parts(boundary) => {
                let parts = super::upload::read(&self.bytes, boundary)?;
                let mut params = parts.fields;
                params.set("tmpfilename", uploads.put(parts.file));
                params
            }
            Kind::Form => form(&String::from_utf8_lossy(&self.bytes)),
            Kind::Json => match serde_json::from_slice(&self.bytes) {
                Ok(Value::Object(map)) => Params::from_map(map),
                _ => return Err(json_error(&String::from_utf8_lossy(&self.bytes))),
            },
        };
        let query = form(&self.query);
        for (name, value) in query.iter() {
            params.set(name, value.clone());
        }
        Ok(params)
    }
}

/// The texts of the real server's JSON parser.
fn json_error(text: &str) -> String {
    let place = "at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line 997.";
    match serde_json::from_str::<Value>(text) {
        Ok(_) => format!("Not a HASH reference {place}"),
        Err(error) => {
            let offset = error.column().saturating_sub(1);
            let rest: String = text.chars().skip(offset).take(20).collect();
            let rest = if rest.is_empty() {
                "(end of string)".to_owned()
            } else {
                rest
            };
            format!(
                "malformed JSON string, neither tag, array, object, number, string or atom, at character offset {offset} (before \"{rest}\") {place}"
            )
        }
    }
}

/// A form: `+` is a space, a second `=` cuts the value, a name that comes again makes a list.
fn form(text: &str) -> Params {
    let pairs = text
        .split(['&', ';'])
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let mut parts = pair.split('=');
            let decode =
                |text: Option<&str>| percent_decode(&text.unwrap_or_default().replace('+', " "));
            (decode(parts.next()), decode(parts.next()))
        });
    Params::from_pairs(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_repeats_keys_as_lists_and_is_cut_at_a_second_equals_sign() {
        let params = form("a=1&b=x+y%2Bz&a=2&c=k=v");
        assert_eq!(params.list("a"), ["1", "2"]);
        assert_eq!(params.text("b").as_deref(), Some("x y+z"));
        assert_eq!(params.text("c").as_deref(), Some("k"));
    }

    #[test]
    fn the_query_wins_over_the_body() {
        let body = Body {
            query: "a=2".into(),
            kind: Kind::Form,
            bytes: Bytes::from_static(b"a=1&b=1"),
        };
        let params = body.params(&Uploads::default()).expect("a form is read");
        assert_eq!(
            (params.text("a").as_deref(), params.text("b").as_deref()),
            (Some("2"), Some("1"))
        );
    }

    #[test]
    fn a_token_is_found_in_the_authorization() {
        let mut headers = HeaderMap::new();
        headers.insert(
            AUTHORIZATION,
            "PVEAPIToken=root@pam!lab=1234"
                .parse()
                .expect("it is a header"),
        );
        assert_eq!(
            credentials(&headers).token.as_deref(),
            Some("root@pam!lab=1234")
        );
    }

    #[test]
    fn a_broken_body_is_named() {
        let body = Body {
            query: String::new(),
            kind: Kind::Json,
            bytes: Bytes::from_static(b"{bad"),
        };
        assert!(
            body.params(&Uploads::default())
                .expect_err("it is no JSON")
                .starts_with("malformed JSON string")
        );
    }
}
