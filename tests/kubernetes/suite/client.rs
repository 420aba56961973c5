//! HTTP as it is: one client by one identity, replies with status, headers and body, and the questions that cases ask of a reply.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use reqwest::{Certificate, Identity, Method, RequestBuilder};
use serde_json::Value;

use crate::defects::Defect;
use crate::watch::Event;

/// One request with its answer; streams have their own.
const REQUEST_TIME: Duration = Duration::from_secs(60);
/// Between two looks at an object that is awaited.
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// How long an object is awaited; the case's own time may be shorter.
const WAIT_TIME: Duration = Duration::from_secs(90);
/// The same where something is wrong on purpose: what does not come need not be awaited for long.
const DEFECT_WAIT_TIME: Duration = Duration::from_secs(5);

pub(crate) const JSON: &str = "application/json";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

#[derive(Clone)]
pub(crate) enum Credentials {
    Anonymous,
    Token(String),
    /// Key and certificate, PEM.
    Certificate(Vec<u8>),
}

/// A client by one identity. Cloning shares its connections.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    authority: Vec<u8>,
    token: Option<String>,
    /// What is wrong with the server, as this client sees it; nothing unless the cases themselves are tried.
    defect: Option<&'static Defect>,
    /// How long something is awaited; the case's own time may be shorter.
    pub(crate) patience: Duration,
}

impl Client {
    pub(crate) fn new(url: &str, authority: &[u8], credentials: Credentials) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .tls_certs_only(
                Certificate::from_pem_bundle(authority)
                    .context("the authority is no certificate")?,
            )
            .no_proxy()
            // Web sockets begin as HTTP/1.1; and one connection a request shows what a server does with many.
            .http1_only()
            .user_agent("conformance/1");
        let mut token = None;
        match credentials {
            Credentials::Anonymous => {}
            Credentials::Token(text) => token = Some(text),
            Credentials::Certificate(pem) => builder = builder.identity(Identity::from_pem(&pem)?),
        }
        Ok(Self {
            http: builder.build()?,
            url: url.trim_end_matches('/').to_owned(),
            authority: authority.to_owned(),
            token,
            defect: None,
            patience: WAIT_TIME,
        })
    }

    /// The same server with something wrong, which is not awaited for long.
    pub(crate) fn with(&self, defect: &'static Defect) -> Self {
        Self {
            defect: Some(defect),
            patience: DEFECT_WAIT_TIME,
            ..self.clone()
        }
    }

    /// The same server, asked by somebody else.
    pub(crate) fn by(&self, credentials: Credentials) -> Result<Self> {
        let client = Self::new(&self.url, &self.authority, credentials)?;
        Ok(match self.defect {
            Some(defect) => client.with(defect),
            None => client,
        })
    }

    /// The same server and identity, trusting another authority (PEM).
    pub(crate) fn trusting(&self, authority: &[u8]) -> Result<Self> {
        let credentials = self
            .token
            .clone()
            .map_or(Credentials::Anonymous, Credentials::Token);
        Self::new(&self.url, authority, credentials)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A request with the identity's header and nothing else.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request whose answer is read as it comes.
    pub(crate) async fn begin(&self, request: RequestBuilder) -> Result<reqwest::Response> {
        let mut request = request.build()?;
        if let Some(defect) = self.defect {
            defect.ask(&mut request);
        }
        Ok(self.http.execute(request).await?)
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Reply> {
        let mut request = request.timeout(REQUEST_TIME).build()?;
        let method = request.method().clone();
        if let Some(defect) = self.defect {
            defect.ask(&mut request);
        }
        let response = self.http.execute(request).await?;
        let status = response.status().as_u16();
        let asked = response.url().path().to_owned();
        let headers = response.headers().clone();
        let text = response.text().await?;
        let mut reply = Reply {
            status,
            headers,
            asked,
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
        };
        if let Some(defect) = self.defect {
            defect.answer(&method, &mut reply);
        }
        Ok(reply)
    }

    /// What becomes of an event of a watch on its way to the case.
    pub(crate) fn sees(&self, event: &mut Event) -> bool {
        self.defect.is_none_or(|defect| defect.event(event))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Reply> {
        self.send(self.request(Method::GET, path).header(ACCEPT, JSON))
            .await
    }

    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Result<Reply> {
        self.send(self.request(Method::GET, path).header(ACCEPT, accept))
            .await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Reply> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Reply> {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, kind: &str, body: &Value) -> Result<Reply> {
        self.send(
            self.request(Method::PATCH, path)
                .header(CONTENT_TYPE, kind)
                .body(body.to_string()),
        )
        .await
    }

    /// Server-side apply. `path` may have further parameters.
    pub(crate) async fn apply(&self, path: &str, manager: &str, body: &Value) -> Result<Reply> {
        let joint = if path.contains('?') { '&' } else { '?' };
        self.patch(&format!("{path}{joint}fieldManager={manager}"), APPLY, body)
            .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Reply> {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// DELETE with DeleteOptions.
    pub(crate) async fn delete_with(&self, path: &str, options: &Value) -> Result<Reply> {
        self.send(self.request(Method::DELETE, path).json(options))
            .await
    }

    /// Looks at an object until `holds`. The error shows how it looked last.
    pub(crate) async fn until(
        &self,
        path: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let deadline = tokio::time::Instant::now() + self.patience;
        loop {
            let reply = self.get(path).await?;
            if reply.status == 200 && holds(&reply.body) {
                return Ok(reply.body);
            }
            if tokio::time::Instant::now() >= deadline {
                bail!(
                    "not within {} s: {what}; last {}",
                    self.patience.as_secs(),
                    reply.short()
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Looks until the object is there no more.
    pub(crate) async fn until_gone(&self, path: &str) -> Result<()> {
        let deadline = tokio::time::Instant::now() + self.patience;
        loop {
            let reply = self.get(path).await?;
            if reply.status == 404 {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                bail!(
                    "`{path}` is still there after {} s: {}",
                    self.patience.as_secs(),
                    reply.short()
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// An answer. `body` is null where the text is not JSON.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) asked: String,
    pub(crate) body: Value,
    pub(crate) text: String,
}

/// As much of a body as an error shows.
const SHORT_CHARS: usize = 1500;

impl Reply {
    /// The body of a success.
    pub(crate) fn ok(self) -> Result<Value> {
        ensure!(
            (200..300).contains(&self.status),
            "`{}` was refused: {}",
            self.asked,
            self.short()
        );
        Ok(self.body)
    }

    /// The body, when the status is this one.
    pub(crate) fn status(self, status: u16) -> Result<Value> {
        ensure!(
            self.status == status,
            "`{}`: expected {status}, got {}",
            self.asked,
            self.short()
        );
        Ok(self.body)
    }

    /// The `Status` of a failure with this code and reason.
    pub(crate) fn failure(self, code: u16, reason: &str) -> Result<Value> {
        ensure!(
            self.status == code,
            "`{}`: expected {code} {reason}, got {}",
            self.asked,
            self.short()
        );
        let body = &self.body;
        ensure!(
            body["kind"] == "Status"
                && body["apiVersion"] == "v1"
                && body["status"] == "Failure"
                && body["code"] == code,
            "`{}`: not the Status of a failure: {}",
            self.asked,
            self.short()
        );
        ensure!(
            body["reason"] == reason,
            "`{}`: expected the reason {reason}, got {}",
            self.asked,
            self.short()
        );
        Ok(self.body)
    }

    /// As `failure`, and the message is exactly this.
    pub(crate) fn refused(self, code: u16, reason: &str, message: &str) -> Result<Value> {
        let status = self.failure(code, reason)?;
        ensure!(
            status["message"] == message,
            "the message\n  expected: {message:?}\n  actual:   {:?}",
            status["message"].as_str().unwrap_or_default()
        );
        Ok(status)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub(crate) fn short(&self) -> String {
        let text: String = self.text.chars().take(SHORT_CHARS).collect();
        format!("{} {text}", self.status)
    }
}
