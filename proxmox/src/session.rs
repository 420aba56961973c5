//! Who one is: an API token in a header, or a ticket that was got with a password and is renewed before it is too old.
//!
//! One renewal at a time, whoever needs it. Secrets are in no `Debug`.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Mutex;

use crate::loose::{flag_of, text_of};

/// How old a ticket may be: it lives two hours and is renewed before half of that.
pub(crate) const TICKET_AGE_MAX: Duration = Duration::from_secs(55 * 60);

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
#[derive(Clone)]
pub(crate) struct Ticket {
    pub(crate) ticket: String,
    pub(crate) csrf: String,
    pub(crate) since: Instant,
}

impl Ticket {
    /// Of the answer to a login; `None` where it is no full ticket.
    pub(crate) fn of(answer: &Value) -> Option<Self> {
        if flag_of(answer, "NeedTFA").unwrap_or(false) {
            return None;
        }
        Some(Self {
            ticket: text_of(answer, "ticket")?,
            csrf: text_of(answer, "CSRFPreventionToken")?,
            since: Instant::now(),
        })
    }

    pub(crate) fn is_old(&self) -> bool {
        self.since.elapsed() >= TICKET_AGE_MAX
    }
}

/// The ticket in use. The lock is held while it is got, so that nobody else gets one meanwhile.
#[derive(Default)]
pub(crate) struct Session {
    pub(crate) ticket: Mutex<Option<Ticket>>,
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
    fn nothing_secret_is_printed() {
        let text = format!(
            "{:?} {:?}",
            Auth::token("a@b!c", "geheim"),
            Auth::login("a@b", "geheim")
        );
        assert_eq!(text, "Auth(a@b!c) Auth(a@b)");
    }
}
