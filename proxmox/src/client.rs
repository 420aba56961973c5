//! The one transport: sends requests, reads answers, repeats what may be repeated, keeps the session.
//!
//! It speaks HTTP/1.1 over TLS that was given a trust, follows no redirect and uses no proxy. Bodies always have a length:
//! the server refuses chunked ones.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::ext::ReasonPhrase;
use reqwest::header::{COOKIE, HeaderMap, HeaderValue};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::loose::flag_of;
use crate::request::{Request, Retry};
use crate::session::{Auth, Session, Ticket};
use crate::trust::{Trust, Verifier};

/// How long a request may take: the server's own proxy gives up after 30 s.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(45);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// How often a request is sent at most.
const ATTEMPTS_MAX: u32 = 4;
/// The pause before the second attempt; doubled each time.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// How many changing requests are under way at a time: each server has three workers by default.
const WRITES_MAX: usize = 3;
/// How long an idle connection is kept: the server closes them after five seconds.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// Where a server is and how one gets in.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// `https://HOST:8006`.
    pub url: String,
    /// Who one is.
    pub auth: Auth,
    /// Which certificate is trusted.
    pub trust: Trust,
}

/// A connection to a server or cluster. Cheap to clone; clones share the session.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    base: String,
    auth: Auth,
    session: Session,
    verifier: Arc<Verifier>,
    writes: Semaphore,
    timeout: Duration,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What was asked for.
    pub data: Value,
    /// How many there are altogether, of lists in pages.
    pub total: Option<i64>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({}, {:?})", self.inner.base, self.inner.auth)
    }
}

impl Client {
    /// Prepares a connection; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// A URL that is not `https`, a certificate or fingerprint that cannot be read.
    pub fn new(endpoint: Endpoint) -> Result<Self, Error> {
        Self::with_timeout(endpoint, REQUEST_TIMEOUT)
    }

    /// The same with another limit for each request.
    ///
    /// # Errors
    ///
    /// As [`Client::new`].
    pub fn with_timeout(endpoint: Endpoint, timeout: Duration) -> Result<Self, Error> {
        let url = endpoint.url.trim().trim_end_matches('/');
        let url = url.strip_suffix("/api2/json").unwrap_or(url);
        let parsed = reqwest::Url::parse(url)
            .map_err(|error| Error::Setting(format!("`{url}` is no URL: {error}")))?;
        if parsed.scheme() != "https" {
            return Err(Error::Setting(format!(
                "`{url}` is not `https`: credentials are never sent in clear"
            )));
        }
        let verifier = Verifier::new(&endpoint.trust)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(verifier.config()?)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .user_agent(concat!("runbook/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::Setting(format!("HTTP: {}", chain(&error))))?;
        Ok(Self {
            inner: Arc::new(Inner {
                http,
                base: url.to_owned(),
                auth: endpoint.auth,
                session: Session::default(),
                verifier,
                writes: Semaphore::new(WRITES_MAX),
                timeout,
            }),
        })
    }

    /// Where it is connected to.
    pub fn url(&self) -> &str {
        &self.inner.base
    }

    /// Whose rights are used.
    pub fn user(&self) -> &str {
        self.inner.auth.user()
    }

    /// Sends a request and gives the `data` of its answer.
    ///
    /// # Errors
    ///
    /// Whatever went wrong, told apart in [`Error`].
    pub async fn call(&self, request: &Request) -> Result<Value, Error> {
        self.ask(request).await.map(|answer| answer.data)
    }

    /// Sends a request and gives its whole answer.
    ///
    /// # Errors
    ///
    /// As [`Client::call`].
    pub async fn ask(&self, request: &Request) -> Result<Answer, Error> {
        // The semaphore is never closed.
        let _permit = if request.in_query() {
            None
        } else {
            self.inner.writes.acquire().await.ok()
        };
        let mut pause = PAUSE_FIRST;
        for attempt in 1.. {
            let error = match self.attempt(request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let may = match request.repeat() {
                Retry::Idempotent => error.is_passing(),
                Retry::Once => error.is_undone(),
                Retry::Never => false,
            };
            if !may || attempt >= ATTEMPTS_MAX {
                return Err(error);
            }
            tracing::debug!(?request, attempt, %error, "asking again");
            tokio::time::sleep(jitter(pause)).await;
            pause *= 2;
        }
        Err(Error::Answer("no attempt was made".to_owned()))
    }

    /// One attempt, with a new ticket where the old one is refused: a 401 means that nothing was done.
    async fn attempt(&self, request: &Request) -> Result<Answer, Error> {
        let (headers, since) = self.credentials(request).await?;
        let result = self.send(request, headers).await;
        match (result, since) {
            (Err(Error::Unauthorized(_)), Some(since)) => {
                self.forget(since).await;
                let (headers, _) = self.credentials(request).await?;
                self.send(request, headers).await
            }
            (result, _) => result,
        }
    }

    /// The headers that say who one is, and since when the ticket in them is.
    async fn credentials(&self, request: &Request) -> Result<(HeaderMap, Option<Instant>), Error> {
        let mut headers = HeaderMap::new();
        match &self.inner.auth {
            Auth::Token { id, secret } => {
                let value = secret_header(&format!("PVEAPIToken={id}={secret}"))?;
                headers.insert(reqwest::header::AUTHORIZATION, value);
                Ok((headers, None))
            }
            Auth::Login { .. } => {
                let ticket = self.ticket().await?;
                let escaped = crate::request::segment(&ticket.ticket);
                headers.insert(COOKIE, secret_header(&format!("PVEAuthCookie={escaped}"))?);
                if request.method() != crate::request::Method::Get {
                    headers.insert("CSRFPreventionToken", secret_header(&ticket.csrf)?);
                }
                Ok((headers, Some(ticket.since)))
            }
        }
    }

    /// The ticket in use, renewed or got anew where it has to be. Whoever needs one meanwhile waits for it.
    async fn ticket(&self) -> Result<Ticket, Error> {
        let mut held = self.inner.session.ticket.lock().await;
        match held.as_ref() {
            Some(ticket) if !ticket.is_old() => return Ok(ticket.clone()),
            Some(old) => {
                // The old ticket is a password while it lives.
                let renewed = self.log_in(&old.ticket).await;
                if let Ok(answer) = renewed
                    && let Some(ticket) = Ticket::of(&answer)
                {
                    *held = Some(ticket.clone());
                    return Ok(ticket);
                }
            }
            None => {}
        }
        let Auth::Login {
            user,
            password,
            totp,
        } = &self.inner.auth
        else {
            return Err(Error::Setting("a token has no ticket".to_owned()));
        };
        let mut answer = self.log_in(password).await?;
        if flag_of(&answer, "NeedTFA").unwrap_or(false) {
            let challenge = answer.get("ticket").and_then(Value::as_str);
            let (Some(challenge), Some(code)) = (challenge, totp) else {
                return Err(Error::SecondFactor { user: user.clone() });
            };
            let request = Request::post("/access/ticket")
                .with("username", user)
                .with("tfa-challenge", challenge)
                .with("password", format!("totp:{code}"));
            answer = self.send(&request, HeaderMap::new()).await?.data;
        }
        let ticket = Ticket::of(&answer)
            .ok_or_else(|| Error::Answer("a login without a ticket".to_owned()))?;
        *held = Some(ticket.clone());
        Ok(ticket)
    }

    async fn log_in(&self, password: &str) -> Result<Value, Error> {
        let request = Request::post("/access/ticket")
            .with("username", self.user())
            .with("password", password);
        Ok(self.send(&request, HeaderMap::new()).await?.data)
    }

    /// Forgets a ticket that was refused, unless somebody got a newer one meanwhile.
    async fn forget(&self, since: Instant) {
        let mut held = self.inner.session.ticket.lock().await;
        if held.as_ref().is_some_and(|ticket| ticket.since == since) {
            *held = None;
        }
    }

    async fn send(&self, request: &Request, headers: HeaderMap) -> Result<Answer, Error> {
        let inner = &*self.inner;
        let url = format!("{}/api2/json{}", inner.base, request.path());
        let method = match request.method() {
            crate::request::Method::Get => reqwest::Method::GET,
            crate::request::Method::Post => reqwest::Method::POST,
            crate::request::Method::Put => reqwest::Method::PUT,
            crate::request::Method::Delete => reqwest::Method::DELETE,
        };
        let mut builder = inner.http.request(method, url).headers(headers);
        builder = match (request.in_query(), request.params()) {
            (true, []) => builder,
            (true, params) => builder.query(params),
            (false, params) => builder.form(params),
        };
        let response = builder.send().await.map_err(|error| self.explain(&error))?;
        let status = response.status();
        let reason = match response.extensions().get::<ReasonPhrase>() {
            Some(reason) => String::from_utf8_lossy(reason.as_bytes()).into_owned(),
            None => status.canonical_reason().unwrap_or_default().to_owned(),
        };
        let body = match self.body(response).await {
            Ok(body) => body,
            // An error without its body is still that error.
            Err(_) if status.as_u16() >= 400 => Vec::new(),
            Err(error) => return Err(error),
        };
        if status.as_u16() == 200 {
            return answer(&body);
        }
        if status.is_redirection() {
            return Err(Error::Answer(format!(
                "a redirect ({status}); the URL is not that of the API"
            )));
        }
        Err(Error::of_answer(request, status.as_u16(), &reason, &body))
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

    fn explain(&self, error: &reqwest::Error) -> Error {
        let inner = &*self.inner;
        if error.is_connect() {
            if let Some(refused) = inner.verifier.take_refused() {
                return Error::Untrusted {
                    url: inner.base.clone(),
                    reason: refused.reason,
                    fingerprint: refused.fingerprint,
                };
            }
            return Error::Unreachable {
                url: inner.base.clone(),
                why: chain(error),
            };
        }
        if error.is_timeout() {
            return Error::Timeout {
                seconds: inner.timeout.as_secs(),
            };
        }
        Error::Lost(chain(error))
    }
}

fn answer(body: &[u8]) -> Result<Answer, Error> {
    let mut json: Value = serde_json::from_slice(body).map_err(|error| {
        Error::Answer(format!("no JSON ({error}); the URL is not that of the API"))
    })?;
    let total = json.get("total").and_then(crate::loose::integer);
    match json.get_mut("data") {
        Some(data) => Ok(Answer {
            data: data.take(),
            total,
        }),
        None => Err(Error::Answer(
            "JSON without `data`; the URL is not that of the API".to_owned(),
        )),
    }
}

fn secret_header(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Error::Setting("the credentials hold characters that no header can carry".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// An error with its causes: what the system says stands innermost. Of URLs only the server's base is told.
fn chain(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Between half of the pause and the whole, so that many clients do not come back together.
pub(crate) fn jitter(pause: Duration) -> Duration {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map(|now| now.subsec_nanos())
        .unwrap_or_default();
    let share = 0.5 + f64::from(nanos % 1000) / 2000.0;
    pause.mul_f64(share)
}
