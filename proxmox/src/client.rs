//! What sends requests: repeats those that may be repeated, keeps the session, keeps changes to one node few at a time.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::answer::Answer;
use crate::error::Error;
use crate::request::{Request, Retry};
use crate::session::{Auth, Session};
use crate::transport::Transport;
use crate::trust::Trust;

/// How long a request may take: the server's own proxy gives up after 30 s.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(45);
/// How often a request is sent at most.
const ATTEMPTS_MAX: u32 = 4;
/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How many changing requests are under way to one node at a time: it has three workers by default.
const WRITES_PER_NODE: usize = 3;
/// All attempts together take at most so many times the time of one.
const CALL_REQUESTS: u32 = 4;

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

/// How long a client waits. The usual values are for real servers; tests shorten them.
#[derive(Debug, Clone)]
pub struct Times {
    /// For one answer.
    pub request: Duration,
    /// Before the second attempt; doubled each time.
    pub pause: Duration,
    /// How old a ticket may be: it lives two hours and is renewed before half of that.
    pub renew_after: Duration,
    /// How long is looked for what became of a creation whose answer was lost: a guest's lock alone may take 10 s.
    pub search: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            request: REQUEST_TIMEOUT,
            pause: Duration::from_millis(250),
            renew_after: Duration::from_secs(55 * 60),
            search: Duration::from_secs(20),
        }
    }
}

/// A connection to a server or cluster. Cheap to clone; clones share the session.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    transport: Transport,
    session: Session,
    lanes: Mutex<HashMap<String, Arc<Semaphore>>>,
    times: Times,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({}, {:?})", self.url(), self.inner.session.auth)
    }
}

impl Client {
    /// Prepares a connection; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// A URL that is not `https`, credentials, a certificate or a fingerprint that cannot be read.
    pub fn new(endpoint: Endpoint) -> Result<Self, Error> {
        Self::with_times(endpoint, Times::default())
    }

    /// The same with another limit for each request.
    ///
    /// # Errors
    ///
    /// As [`Client::new`].
    pub fn with_timeout(endpoint: Endpoint, timeout: Duration) -> Result<Self, Error> {
        let times = Times {
            request: timeout,
            ..Times::default()
        };
        Self::with_times(endpoint, times)
    }

    /// The same with other times.
    ///
    /// # Errors
    ///
    /// As [`Client::new`].
    pub fn with_times(endpoint: Endpoint, times: Times) -> Result<Self, Error> {
        endpoint.auth.check()?;
        Ok(Self {
            inner: Arc::new(Inner {
                transport: Transport::new(&endpoint.url, &endpoint.trust)?,
                session: Session::new(endpoint.auth),
                lanes: Mutex::default(),
                times,
            }),
        })
    }

    /// Where it is connected to.
    pub fn url(&self) -> &str {
        &self.inner.transport.base
    }

    /// Whose rights are used.
    pub fn user(&self) -> &str {
        self.inner.session.auth.user()
    }

    /// How long it waits.
    pub fn times(&self) -> &Times {
        &self.inner.times
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
        let inner = &*self.inner;
        let deadline = Instant::now() + inner.times.request * CALL_REQUESTS;
        let mut pause = inner.times.pause;
        let mut attempt = 1;
        loop {
            let error = match self.attempt(request, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error.without(inner.session.auth.secrets()),
            };
            let may = match request.repeat() {
                Retry::Idempotent => error.is_passing(),
                Retry::Once => error.is_undone(),
                Retry::Never => false,
            };
            let now = jitter(pause.min(PAUSE_MAX));
            if !may || attempt >= ATTEMPTS_MAX || Instant::now() + now >= deadline {
                return Err(error);
            }
            tracing::debug!(?request, attempt, %error, "asking again");
            tokio::time::sleep(now).await;
            pause *= 2;
            attempt += 1;
        }
    }

    /// One attempt, with a new ticket where the old one is refused: a 401 means that nothing was done.
    async fn attempt(&self, request: &Request, deadline: Instant) -> Result<Answer, Error> {
        let inner = &*self.inner;
        let _lane = self.lane(request, deadline).await?;
        let (transport, session, times) = (&inner.transport, &inner.session, &inner.times);
        let (headers, generation) = session.headers(request, transport, times).await?;
        let result = transport.send(request, headers, times.request).await;
        let (Err(Error::Unauthorized(_)), Some(generation)) = (&result, generation) else {
            return result;
        };
        session.forget(generation).await;
        let (headers, _) = session.headers(request, transport, times).await?;
        transport.send(request, headers, times.request).await
    }

    /// A place among the changes to the request's node; reads need none.
    async fn lane(
        &self,
        request: &Request,
        deadline: Instant,
    ) -> Result<Option<OwnedSemaphorePermit>, Error> {
        if request.method() == crate::request::Method::Get {
            return Ok(None);
        }
        let node = request.node().unwrap_or_default().to_owned();
        let lane = {
            let lanes = self.inner.lanes.lock();
            let mut lanes = lanes.unwrap_or_else(PoisonError::into_inner);
            let lane = lanes.entry(node);
            Arc::clone(lane.or_insert_with(|| Arc::new(Semaphore::new(WRITES_PER_NODE))))
        };
        let permit = tokio::time::timeout_at(deadline, lane.acquire_owned()).await;
        // The semaphore is never closed.
        let permit = permit.ok().and_then(Result::ok);
        permit.map(Some).ok_or_else(|| Error::Unreachable {
            url: self.url().to_owned(),
            why: "too many changes are under way there, nothing was sent".to_owned(),
        })
    }
}

/// Between half of the pause and the whole, so that many clients do not come back together.
pub(crate) fn jitter(pause: Duration) -> Duration {
    use std::hash::BuildHasher as _;
    // The standard library's hash keys differ each time; they are its only source of chance.
    let bits = std::hash::RandomState::new().hash_one(0_u8);
    let share = 0.5 + (bits >> 12) as f64 / (1_u64 << 53) as f64;
    pause.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_renewed_before_half_of_its_two_hours() {
        let times = Times::default();
        assert!(times.renew_after < Duration::from_secs(3600));
        // The server's own proxy answers for itself first.
        assert!(times.request > Duration::from_secs(30));
    }

    #[test]
    fn pauses_differ_and_stay_between_half_and_the_whole() {
        let whole = Duration::from_millis(100);
        let pauses: std::collections::HashSet<_> = (0..50).map(|_| jitter(whole)).collect();
        assert!(pauses.len() > 25, "{pauses:?}");
        assert!(pauses.iter().all(|&one| one >= whole / 2 && one <= whole));
    }
}
