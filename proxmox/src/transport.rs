//! The one place that sends: one request, one attempt, one bounded answer. Knows no repetitions and no tickets.
//!
//! It speaks HTTP/1.1 over TLS that was given a trust, follows no redirect and uses no proxy. Bodies always have a length:
//! the server refuses chunked ones.

use std::time::Duration;

use hyper::ext::ReasonPhrase;
use reqwest::header::{HeaderMap, HeaderValue};

use crate::answer::{Answer, decode};
use crate::error::Error;
use crate::request::{Method, Request};
use crate::trust::{Trust, refusal, tls};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer. The agent's output alone may be 16 MiB, and JSON makes more of it.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// How long an idle connection is kept: the server closes them after five seconds.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// The largest form: the server refuses more (`for data too large`).
const FORM_BYTES_MAX: usize = 512 << 10;
/// The longest query: the server refuses a header of more than 8 KiB, and there are others in it.
const QUERY_BYTES_MAX: usize = 6 << 10;

pub(crate) struct Transport {
    http: reqwest::Client,
    pub(crate) base: String,
}

impl Transport {
    pub(crate) fn new(url: &str, trust: &Trust) -> Result<Self, Error> {
        let base = base(url)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(trust)?)
            .http1_only()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .user_agent(concat!("runbook/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::Setting(format!("HTTP: {}", innermost(&error))))?;
        Ok(Self { http, base })
    }

    /// Sends once, and reads the answer within the time.
    pub(crate) async fn send(
        &self,
        request: &Request,
        headers: HeaderMap,
        within: Duration,
    ) -> Result<Answer, Error> {
        check(request)?;
        let exchange = self.exchange(request, headers);
        let result = match tokio::time::timeout(within, exchange).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout {
                seconds: within.as_secs(),
            }),
        };
        tracing::debug!(?request, error = ?result.as_ref().err(), "asked");
        result.map_err(|error| error.without(request.secrets()))
    }

    async fn exchange(&self, request: &Request, headers: HeaderMap) -> Result<Answer, Error> {
        let mut url = format!("{}/api2/json{}", self.base, request.path());
        let params = request.encoded();
        if request.in_query() && !params.is_empty() {
            url.push('?');
            url.push_str(&params);
        }
        let method = match request.method() {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut builder = self.http.request(method, url).headers(headers);
        if !request.in_query() {
            let form = "application/x-www-form-urlencoded";
            builder = builder
                .header(reqwest::header::CONTENT_TYPE, form)
                .body(params);
        }
        let response = builder.send().await.map_err(|error| self.explain(&error))?;
        let status = response.status();
        let reason = match response.extensions().get::<ReasonPhrase>() {
            Some(reason) => String::from_utf8_lossy(reason.as_bytes()).into_owned(),
            // Kept only where it is another than the status' own.
            None => status.canonical_reason().unwrap_or_default().to_owned(),
        };
        let body = match self.body(response).await {
            Ok(body) => body,
            // An error without its body is still that error.
            Err(_) if status.as_u16() >= 400 => Vec::new(),
            Err(error) => return Err(error),
        };
        decode(request, status.as_u16(), &reason, &body)
    }

    async fn body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.explain(&error))?
        {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Error::Answer(format!(
                    "longer than {ANSWER_BYTES_MAX} bytes"
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// How far a request came that got no whole answer.
    fn explain(&self, error: &reqwest::Error) -> Error {
        if let Some(refusal) = refusal(error) {
            return Error::Untrusted {
                url: self.base.clone(),
                reason: refusal.reason,
                fingerprint: refusal.fingerprint,
            };
        }
        if error.is_connect() {
            return Error::Unreachable {
                url: self.base.clone(),
                why: innermost(error),
            };
        }
        Error::Lost(innermost(error))
    }
}

/// `https://HOST:PORT`, without what is the same for every request.
fn base(url: &str) -> Result<String, Error> {
    let url = url.trim().trim_end_matches('/');
    let url = url.strip_suffix("/api2/json").unwrap_or(url);
    let parsed = reqwest::Url::parse(url)
        .map_err(|error| Error::Setting(format!("the URL cannot be read: {error}")))?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        // It is not shown: a password is in it.
        return Err(Error::Setting(
            "the URL holds a user or a password; give a token or a login instead".to_owned(),
        ));
    }
    if parsed.scheme() != "https" {
        return Err(Error::Setting(format!(
            "`{url}` is not `https`: credentials are never sent in clear"
        )));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(Error::Setting(format!(
            "`{url}` is not the URL of a server: write `https://HOST:8006`"
        )));
    }
    Ok(url.to_owned())
}

/// What the server would refuse without a useful word, or take for something else.
fn check(request: &Request) -> Result<(), Error> {
    let path = request.path();
    let odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '?' | '#' | '\\');
    if path.contains(odd) || path.split('/').any(|part| matches!(part, "." | "..")) {
        return Err(Error::Setting(format!(
            "`{path}` is no path of the API: parameters stand apart, and blanks are escaped"
        )));
    }
    let max = match request.in_query() {
        true => QUERY_BYTES_MAX,
        false => FORM_BYTES_MAX,
    };
    let bytes = request.encoded().len();
    if bytes > max {
        return Err(Error::Setting(format!(
            "the parameters of {} {path} are {bytes} bytes; the server takes {max}",
            request.method().as_str()
        )));
    }
    Ok(())
}

/// A header that is in no `Debug`.
pub(crate) fn secret_header(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Error::Setting("the credentials hold characters that no header can carry".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// What the system says stands innermost; the outer texts hold URLs.
fn innermost(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    // Without a cause its own text would name the URL.
    if std::ptr::addr_eq(innermost, error as &dyn std::error::Error) {
        return "the connection failed".to_owned();
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_url_of_a_server_is_taken() {
        for url in ["https://pve1:8006", "https://pve1:8006/api2/json/"] {
            assert_eq!(base(url).unwrap(), "https://pve1:8006");
        }
        for url in ["", "pve1", "http://pve1:8006", "https://pve1:8006/?a=b"] {
            assert!(base(url).is_err(), "{url}");
        }
        let error = base("https://root:geheim@pve1").unwrap_err().to_string();
        assert!(!error.contains("geheim"), "{error}");
    }

    #[test]
    fn what_the_server_would_misread_is_not_sent() {
        for path in ["/a?b=c", "/nodes/../access", "/a b", "/a#b", "/a\nb"] {
            assert!(check(&Request::get(path)).is_err(), "{path}");
        }
        assert!(check(&Request::get("/a").with("b", "c".repeat(7 << 10))).is_err());
        assert!(check(&Request::put("/a").with("b", "c".repeat(7 << 10))).is_ok());
        assert!(check(&Request::put("/a").with("b", "c".repeat(600 << 10))).is_err());
    }
}
