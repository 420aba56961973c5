//! Who one is: an API token in a header, or a ticket that was got with a password and is renewed before it is too old.
//!
//! One login or renewal at a time: whoever needs the ticket meanwhile waits for that one and shares its refusal, which takes the
//! server 3 s. A ticket lives 7200 s, is renewed by giving it as the password, and its CSRF token goes with all but reads. A
//! second factor answers 200 with `NeedTFA` and half a ticket, given back as `tfa-challenge`. Secrets are in no `Debug`.

use std::fmt;
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, COOKIE, HeaderMap};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::client::Times;
use crate::error::Error;
use crate::loose::{flag_of, text_of};
use crate::request::{Method, Request, Retry, segment};
use crate::transport::{Transport, secret_header};

/// A ticket older than this is not used any more: it lives 7200 s.
const TICKET_AGE_END: Duration = Duration::from_secs(7200 - 60);
/// How long a refused login is not tried again.
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// How long a renewal that reached nobody is not tried again while the old ticket is good.
const RENEW_PAUSE: Duration = Duration::from_secs(10);
/// How often a login is sent at most, where no answer came.
const LOGINS_MAX: u32 = 4;

/// Who one is.
#[derive(Clone)]
pub enum Auth {
    /// An API token. It needs no login and no renewal.
    Token {
        /// `user@realm!name`.
        id: String,
        /// Its secret.
        secret: String,
    },
    /// A login: for what a token may not do.
    Login {
        /// `user@realm`.
        user: String,
        /// The password.
        password: String,
        /// One code of an authenticator, for the first login only.
        totp: Option<String>,
    },
}

impl Auth {
    /// A token.
    pub fn token(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self::Token {
            id: id.into(),
            secret: secret.into(),
        }
    }

    /// A token as one text: `user@realm!name=secret`.
    pub fn token_text(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix("PVEAPIToken=").unwrap_or(text);
        let (id, secret) = text.rsplit_once('=')?;
        (id.contains('@') && id.contains('!') && !secret.is_empty())
            .then(|| Self::token(id, secret))
    }

    /// A login.
    pub fn login(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Login {
            user: user.into(),
            password: password.into(),
            totp: None,
        }
    }

    /// What must stand in no text.
    pub(crate) fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Token { secret, .. } => vec![secret],
            Self::Login { password, totp, .. } => std::iter::once(password.as_str())
                .chain(totp.as_deref())
                .collect(),
        }
    }

    /// Credentials that no server could know are refused before anything is sent: each wrong try costs 3 s.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let odd =
            |text: &str| text.contains(|c: char| c.is_control() || c.is_whitespace() || c == ';');
        let known = |user: &str| {
            let parts = user.split_once('@');
            parts.is_some_and(|(name, realm)| !name.is_empty() && !realm.is_empty()) && !odd(user)
        };
        match self {
            Self::Token { id, secret } => {
                let parts = id.split_once('!');
                if !parts.is_some_and(|(user, name)| known(user) && !name.is_empty() && !odd(name))
                {
                    return Err(Error::Setting(format!(
                        "`{id}` is no token's ID: `USER@REALM!NAME`, as in `root@pam!book`"
                    )));
                }
                if secret.is_empty() || odd(secret) {
                    return Err(Error::Setting(format!(
                        "the secret of the token `{id}` is empty or holds blanks"
                    )));
                }
            }
            Self::Login { user, password, .. } => {
                if !known(user) {
                    return Err(Error::Setting(format!(
                        "`{user}` names no realm: `USER@REALM`, as in `root@pam`"
                    )));
                }
                if password.is_empty() {
                    return Err(Error::Setting(format!("the password of `{user}` is empty")));
                }
            }
        }
        Ok(())
    }

    /// Whose rights are used.
    pub fn user(&self) -> &str {
        match self {
            Self::Token { id, .. } => id,
            Self::Login { user, .. } => user,
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Auth({})", self.user())
    }
}

/// A ticket with what writing requests need beside it.
struct Ticket {
    text: String,
    csrf: String,
    since: Instant,
}

/// Who one is, and the ticket in use.
pub(crate) struct Session {
    pub(crate) auth: Auth,
    /// Held while a ticket is got, so that nobody else gets one meanwhile.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ticket: Option<Ticket>,
    generation: u64,
    refused: Option<(Instant, Error)>,
    renewed_in_vain: Option<Instant>,
}

impl Session {
    pub(crate) fn new(auth: Auth) -> Self {
        Self {
            auth,
            state: Mutex::default(),
        }
    }

    /// The headers that say who one is, and of a ticket its number.
    pub(crate) async fn headers(
        &self,
        request: &Request,
        transport: &Transport,
        times: &Times,
    ) -> Result<(HeaderMap, Option<u64>), Error> {
        let mut headers = HeaderMap::new();
        if let Auth::Token { id, secret } = &self.auth {
            // The server unescapes what stands there.
            let value = format!("PVEAPIToken={id}={secret}").replace('%', "%25");
            headers.insert(AUTHORIZATION, secret_header(&value)?);
            return Ok((headers, None));
        }
        let mut state = self.state.lock().await;
        self.refresh(&mut state, transport, times).await?;
        let Some(ticket) = &state.ticket else {
            return Err(Error::Answer("a login without a ticket".to_owned()));
        };
        let escaped = segment(&ticket.text);
        headers.insert(COOKIE, secret_header(&format!("PVEAuthCookie={escaped}"))?);
        if request.method() != Method::Get {
            headers.insert("CSRFPreventionToken", secret_header(&ticket.csrf)?);
        }
        Ok((headers, Some(state.generation)))
    }

    /// Forgets a ticket that was refused, unless somebody got a newer one meanwhile.
    pub(crate) async fn forget(&self, generation: u64) {
        let mut state = self.state.lock().await;
        if state.generation == generation {
            state.ticket = None;
        }
    }

    /// Sees to it that there is a ticket that is good.
    async fn refresh(
        &self,
        state: &mut State,
        transport: &Transport,
        times: &Times,
    ) -> Result<(), Error> {
        if let Some(ticket) = &state.ticket {
            let age = ticket.since.elapsed();
            let vain = state.renewed_in_vain;
            let paused = vain.is_some_and(|at| at.elapsed() < RENEW_PAUSE);
            let good = age < TICKET_AGE_END;
            if age < times.renew_after || good && paused {
                return Ok(());
            }
            // The old ticket is a password while it lives.
            let renewed = match good {
                true => self.log_in(&ticket.text, transport, times).await,
                false => Err(Error::Unauthorized("the ticket is too old".to_owned())),
            };
            match renewed.and_then(|answer| read(&answer)) {
                Ok(ticket) => {
                    state.keep(ticket);
                    return Ok(());
                }
                Err(error) if error.is_passing() || matches!(error, Error::Timeout { .. }) => {
                    state.renewed_in_vain = Some(Instant::now());
                    return Ok(());
                }
                Err(_) => state.ticket = None,
            }
        }
        if let Some((at, error)) = &state.refused
            && at.elapsed() < REFUSED_FOR
        {
            return Err(error.clone());
        }
        match self.full_login(transport, times).await {
            Ok(ticket) => state.keep(ticket),
            Err(error) => {
                let error = error.without(self.auth.secrets());
                if matches!(error, Error::Unauthorized(_) | Error::SecondFactor { .. }) {
                    state.refused = Some((Instant::now(), error.clone()));
                }
                return Err(error);
            }
        }
        Ok(())
    }

    async fn full_login(&self, transport: &Transport, times: &Times) -> Result<Ticket, Error> {
        let Auth::Login {
            user,
            password,
            totp,
        } = &self.auth
        else {
            return Err(Error::Setting("a token has no ticket".to_owned()));
        };
        let answer = self.log_in(password, transport, times).await?;
        if !needs_factor(&answer) {
            return read(&answer);
        }
        let no = || Error::SecondFactor { user: user.clone() };
        let (Some(half), Some(code)) = (text_of(&answer, "ticket"), totp) else {
            return Err(no());
        };
        let request = login(user)
            .with("tfa-challenge", half)
            .with("password", format!("totp:{code}"));
        match self.send(&request, transport, times).await {
            Ok(answer) if needs_factor(&answer) => Err(no()),
            Ok(answer) => read(&answer),
            // Used already, or for another half minute.
            Err(Error::Unauthorized(_)) => Err(no()),
            Err(error) => Err(error),
        }
    }

    async fn log_in(
        &self,
        password: &str,
        transport: &Transport,
        times: &Times,
    ) -> Result<Value, Error> {
        let request = login(self.auth.user()).with("password", password);
        self.send(&request, transport, times).await
    }

    /// A login that got no answer is sent again: a second ticket does no harm.
    async fn send(
        &self,
        request: &Request,
        transport: &Transport,
        times: &Times,
    ) -> Result<Value, Error> {
        let mut attempt = 1;
        loop {
            let sent = transport
                .send(request, HeaderMap::new(), times.request)
                .await;
            match sent {
                Ok(answer) => return Ok(answer.data),
                Err(error) if attempt >= LOGINS_MAX || !error.is_passing() => return Err(error),
                Err(_) => {}
            }
            tokio::time::sleep(crate::client::jitter(times.pause * attempt)).await;
            attempt += 1;
        }
    }
}

impl State {
    fn keep(&mut self, ticket: Ticket) {
        *self = Self {
            ticket: Some(ticket),
            generation: self.generation + 1,
            ..Self::default()
        };
    }
}

fn login(user: &str) -> Request {
    Request::post("/access/ticket")
        .retry(Retry::Idempotent)
        .with("username", user)
}

fn needs_factor(answer: &Value) -> bool {
    flag_of(answer, "NeedTFA").unwrap_or(false)
}

/// A full ticket of the answer to a login.
fn read(answer: &Value) -> Result<Ticket, Error> {
    let (text, csrf) = (
        text_of(answer, "ticket"),
        text_of(answer, "CSRFPreventionToken"),
    );
    let (Some(text), Some(csrf), false) = (text, csrf, needs_factor(answer)) else {
        return Err(Error::Answer("a login without a ticket".to_owned()));
    };
    Ok(Ticket {
        text,
        csrf,
        since: Instant::now(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_text() {
        let Some(Auth::Token { id, secret }) = Auth::token_text("root@pam!lab=11-22") else {
            panic!("a token");
        };
        assert_eq!((id.as_str(), secret.as_str()), ("root@pam!lab", "11-22"));
        assert!(Auth::token_text("root@pam=11").is_none());
        assert!(Auth::token_text("nonsense").is_none());
    }

    #[test]
    fn credentials_that_nobody_could_know_are_refused_without_their_secret() {
        for auth in [
            Auth::token("book", "geheim"),
            Auth::token("root@pam", "geheim"),
            Auth::token("root@pam!book", "geheim geheim"),
            Auth::login("root", "geheim"),
            Auth::login("root@pam", ""),
        ] {
            let error = auth.check().unwrap_err().to_string();
            assert!(!error.contains("geheim"), "{error}");
        }
        assert_eq!(Auth::token("root@pam!book", "geheim").check(), Ok(()));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let text = format!(
            "{:?} {:?}",
            Auth::token("a@b!c", "geheim"),
            Auth::login("a@b", "geheim")
        );
        assert_eq!(text, "Auth(a@b!c) Auth(a@b)");
    }
}
