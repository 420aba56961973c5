//! Questions to the network: one module per protocol, a request in, an answer out.
//!
//! Knows nothing of runbooks and expects nothing: an answer that nobody wanted is an answer. Every probe has a deadline
//! and every answer a maximum. What keeps a probe from its answer is a typed `ProbeError`.

mod certificate;
pub mod dns;
mod door;
pub mod http;
mod network;
pub mod tcp;
pub mod tls;
pub mod tools;
mod trust;

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use certificate::Certificate;
pub use network::{Dial, DialFuture, Network};

/// What was left of a deadline, as people say it.
fn milliseconds(time: Duration) -> Duration {
    Duration::from_millis((time.as_secs_f64() * 1_000.0).round() as u64)
}

/// What keeps a probe from its answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// Nobody listens there.
    #[error("connection to `{address}` refused")]
    Refused {
        /// Host and port.
        address: String,
    },
    /// No answer within the deadline.
    #[error("no answer from `{address}` within {:?}", milliseconds(*after))]
    TimedOut {
        /// Host and port.
        address: String,
        /// The time that was given.
        after: Duration,
    },
    /// The name has no address.
    #[error("no address of `{name}`: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What the resolver says.
        reason: String,
    },
    /// No way there, or the connection broke.
    #[error("`{address}` cannot be reached: {reason}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// A connection, but no trusted one.
    #[error("no TLS with `{address}`: {reason}")]
    Tls {
        /// Host and port.
        address: String,
        /// What is wrong with the certificate or the handshake.
        reason: String,
    },
    /// An answer that is none.
    #[error("`{address}` does not answer properly: {reason}")]
    Protocol {
        /// Host and port.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A question that cannot be asked.
    #[error("{what} `{value}` is not valid: {reason}")]
    Invalid {
        /// What it is: a URL, a header.
        what: &'static str,
        /// As it was given.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of trusted certificates that cannot be used.
    #[error("certificates in `{}` cannot be used: {reason}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl ProbeError {
    /// Whether time was the reason.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }

    /// The same of a connection to a place as a person names it.
    fn at(self, place: &str) -> Self {
        let address = place.to_owned();
        match self {
            Self::Refused { .. } => Self::Refused { address },
            Self::TimedOut { after, .. } => Self::TimedOut { address, after },
            Self::Unreachable { reason, .. } => Self::Unreachable { address, reason },
            other => other,
        }
    }

    fn invalid(what: &'static str, value: impl Into<String>, reason: impl ToString) -> Self {
        Self::Invalid {
            what,
            value: value.into(),
            reason: reason.to_string(),
        }
    }

    /// What a failed connection or a broken one means. The cause may lie deep in the chain.
    pub fn from_chain(address: &str, after: Duration, error: &(dyn Error + 'static)) -> Self {
        let address = address.to_owned();
        let mut cause = Some(error);
        let mut last = error;
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<Self>() {
                return error.clone();
            }
            if let Some(error) = error.downcast_ref::<rustls::Error>() {
                return Self::Tls {
                    address,
                    reason: trust::reason(error),
                };
            }
            if let Some(io) = error.downcast_ref::<io::Error>() {
                match io.kind() {
                    io::ErrorKind::ConnectionRefused => return Self::Refused { address },
                    io::ErrorKind::TimedOut => return Self::TimedOut { address, after },
                    _ => {}
                }
                // An error inside an I/O error is not its source but itself.
                if let Some(inner) = io.get_ref() {
                    last = inner;
                    cause = Some(inner);
                    continue;
                }
            }
            last = error;
            cause = error.source();
        }
        Self::Unreachable {
            address,
            reason: last.to_string(),
        }
    }
}

/// Host and port as a person writes them.
fn address(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// The host without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

/// Gives a probe its deadline.
async fn within<T>(
    deadline: Duration,
    address: &str,
    probe: impl Future<Output = Result<T, ProbeError>>,
) -> Result<T, ProbeError> {
    match tokio::time::timeout(deadline, probe).await {
        Ok(result) => result,
        Err(_) => Err(ProbeError::TimedOut {
            address: address.to_owned(),
            after: deadline,
        }),
    }
}

#[cfg(test)]
mod tests;
