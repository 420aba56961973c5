//! What sends requests: each has a deadline, and is repeated only where that does no harm.
//!
//! `kube` makes connections, TLS, credentials; its own repetitions are off, because it repeats creations too. A request that is
//! throttled was not carried out and is always sent again, when the server wants it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use serde_json::Value;
use tokio::time::Instant;

use crate::access::{self, Access};
use crate::error::Error;
use crate::kinds::Kinds;
use crate::request::Request;
use crate::status::error_of;
use crate::transport::of_transport;

/// The most of an answer that is read, in bytes: a page of 500 objects of 1 MiB would be more than etcd gives out at once.
const ANSWER_BYTES_MAX: usize = 512 << 20;
/// The most of an error's body that is read, in bytes.
const ERROR_BYTES_MAX: usize = 1 << 20;
/// How often a request is sent at most when it fails.
const ATTEMPTS_MAX: u32 = 4;
/// How often a request is sent at most when the server throttles.
const THROTTLED_MAX: u32 = 20;
/// The longest pause between two attempts that the server did not ask for.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// All attempts together take at most so many times the time of one.
const CALL_REQUESTS: u32 = 4;

/// How long a client waits. The usual values are for real servers; tests shorten them.
#[derive(Debug, Clone)]
pub struct Times {
    /// For one answer.
    pub request: Duration,
    /// Before the second attempt; doubled each time.
    pub pause: Duration,
    /// A watch that says nothing for so long is not trusted any more: everything is listed anew.
    pub silence: Duration,
    /// How long a custom resource without any status must be at rest before it counts as ready.
    pub settle: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(30),
            pause: Duration::from_millis(250),
            silence: Duration::from_secs(75),
            settle: Duration::from_secs(3),
        }
    }
}

/// A connection to a cluster. Cheap to clone; clones share connections and what was learned of kinds.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    kube: kube::Client,
    url: String,
    namespace: String,
    times: Times,
    kinds: Kinds,
    requests: AtomicU64,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.inner.url)
    }
}

impl Client {
    /// Prepares a connection: reads the kubeconfig and gets the credentials. Nothing is sent to the cluster yet.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`]: a file, context, URL or certificate that cannot be used. [`Error::Credentials`]: an exec plugin that
    /// failed.
    pub async fn connect(access: &Access) -> Result<Self, Error> {
        Self::connect_with(access, Times::default()).await
    }

    /// The same with other times.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`].
    pub async fn connect_with(access: &Access, times: Times) -> Result<Self, Error> {
        let connection = access::open(access).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                kube: connection.client,
                url: connection.url,
                namespace: connection.namespace,
                times,
                kinds: Kinds::default(),
                requests: AtomicU64::new(0),
            }),
        })
    }

    /// Where it is connected to.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// The namespace of the kubeconfig's context, else `default`.
    pub fn default_namespace(&self) -> &str {
        &self.inner.namespace
    }

    /// How long it waits.
    pub fn times(&self) -> &Times {
        &self.inner.times
    }

    /// How many requests were sent so far, repetitions included.
    pub fn requests(&self) -> u64 {
        self.inner.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn kinds(&self) -> &Kinds {
        &self.inner.kinds
    }

    pub(crate) fn kube(&self) -> kube::Client {
        self.inner.requests.fetch_add(1, Ordering::Relaxed);
        self.inner.kube.clone()
    }

    /// Sends a request and gives its answer.
    ///
    /// # Errors
    ///
    /// Whatever went wrong, told apart in [`Error`].
    pub async fn send(&self, request: &Request) -> Result<Value, Error> {
        let bytes = self.repeated(request, Self::attempt).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::Answer(format!("{request:?}: {error}")))
    }

    /// Sends a request and gives its answer as it is.
    ///
    /// # Errors
    ///
    /// As [`Client::send`].
    pub(crate) async fn bytes(&self, request: &Request) -> Result<Bytes, Error> {
        self.repeated(request, Self::attempt).await
    }

    /// Sends a request whose answer has no end: a watch, a log that is followed.
    ///
    /// # Errors
    ///
    /// As [`Client::send`], until the head of the answer is there.
    pub(crate) async fn open(&self, request: &Request) -> Result<Body, Error> {
        self.repeated(request, Self::head).await
    }

    async fn repeated<'a, T, F>(
        &'a self,
        request: &'a Request,
        attempt: impl Fn(&'a Self, &'a Request) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let times = &self.inner.times;
        let deadline = Instant::now() + times.request * CALL_REQUESTS;
        let mut pause = times.pause;
        let mut count = 1;
        loop {
            let error = match attempt(self, request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let (may, wait) = match &error {
                // Nothing was done.
                Error::Throttled { after, .. } => {
                    (count < THROTTLED_MAX, after.unwrap_or(pause).max(pause))
                }
                Error::Unreachable { .. } => (count < ATTEMPTS_MAX, pause),
                error => (
                    request.repeats && error.is_passing() && count < ATTEMPTS_MAX,
                    pause,
                ),
            };
            if !may || Instant::now() + wait >= deadline {
                return Err(error);
            }
            tracing::debug!(?request, count, %error, "asking again");
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(PAUSE_MAX);
            count += 1;
        }
    }

    async fn attempt(&self, request: &Request) -> Result<Bytes, Error> {
        let deadline = Instant::now() + self.inner.times.request;
        let body = self.head(request).await?;
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect();
        match tokio::time::timeout_at(deadline, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) => Err(Error::Lost(access::chain(&*error))),
            Err(_) => Err(self.timeout(request)),
        }
    }

    /// The head of the answer; the body of an answer that is no success is read into an error.
    async fn head(&self, request: &Request) -> Result<Body, Error> {
        let deadline = Instant::now() + self.inner.times.request;
        let (kube, http) = (self.kube(), self.http(request)?);
        let sent = kube.send(http);
        let response = match tokio::time::timeout_at(deadline, sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(of_transport(self.url(), &error)),
            Err(_) => return Err(self.timeout(request)),
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let after = response.headers().get(http::header::RETRY_AFTER);
        let after = after
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let body = Limited::new(response.into_body(), ERROR_BYTES_MAX).collect();
        // What the status says stands even where its words are lost.
        let body = match tokio::time::timeout_at(deadline, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            _ => Bytes::new(),
        };
        Err(error_of(request, status.as_u16(), after.as_deref(), &body))
    }

    fn http(&self, request: &Request) -> Result<http::Request<Body>, Error> {
        let mut builder = http::Request::builder()
            .method(request.method.clone())
            .uri(request.uri())
            .header(http::header::ACCEPT, request.accept)
            .header(
                http::header::USER_AGENT,
                concat!("runbook/", env!("CARGO_PKG_VERSION")),
            );
        let body = match &request.body {
            Some((body, content)) => {
                builder = builder.header(http::header::CONTENT_TYPE, content.media_type());
                body.to_string().into_bytes()
            }
            None => Vec::new(),
        };
        let request = builder.body(Body::from(body));
        request.map_err(|error| Error::Setting(format!("no request can be made of this: {error}")))
    }

    fn timeout(&self, request: &Request) -> Error {
        Error::Timeout {
            what: format!("{request:?}"),
            seconds: self.inner.times.request.as_secs(),
        }
    }
}
