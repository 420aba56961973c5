//! Whether a port is open.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Network, ProbeError, address, within};

/// A host and a port.
#[derive(Debug, Clone)]
pub struct Request {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Whether it is open.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// A connection was accepted. False when it was refused or there is no way there; no answer at all is an error.
    pub open: bool,
    /// Why it is not open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Seconds until it was known.
    pub duration: f64,
}

/// Asks whether a port is open.
///
/// # Errors
///
/// When the name has no address, and when nothing comes back within the deadline.
pub async fn probe(
    request: &Request,
    network: &Network,
    deadline: Duration,
) -> Result<Answer, ProbeError> {
    let started = Instant::now();
    let address = address(&request.host, request.port);
    let result = within(
        deadline,
        &address,
        network.connect(&request.host, request.port, deadline),
    )
    .await;
    let reason = match result {
        Ok(_) => None,
        Err(error @ (ProbeError::Refused { .. } | ProbeError::Unreachable { .. })) => {
            Some(error.to_string())
        }
        Err(error) => return Err(error),
    };
    Ok(Answer {
        open: reason.is_none(),
        reason,
        duration: started.elapsed().as_secs_f64(),
    })
}
