//! The certificate behind a port, trusted or not.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use serde::Serialize;
use tokio_rustls::TlsConnector;

use super::trust::{Roots, Trust};
use super::{Certificate, Network, ProbeError, address, bare, within};

/// Whose certificate to ask for.
#[derive(Debug, Clone)]
pub struct Request {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The name to ask for, when it is not the host.
    pub server_name: Option<String>,
    /// The file with the only certificates to trust, instead of this machine's.
    pub ca: Option<PathBuf>,
}

/// What was shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The server's own certificate.
    pub certificate: Certificate,
    /// Why it is not trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Seconds until it was known.
    pub duration: f64,
}

/// Asks for the certificate behind a port. One that is not trusted is an answer too.
///
/// # Errors
///
/// When there is no connection, no TLS behind the port, or no answer within the deadline.
pub async fn probe(
    request: &Request,
    network: &Network,
    deadline: Duration,
) -> Result<Answer, ProbeError> {
    let started = Instant::now();
    let address = address(&request.host, request.port);
    let name = bare(request.server_name.as_deref().unwrap_or(&request.host));
    let server = ServerName::try_from(name.to_owned())
        .map_err(|error| ProbeError::invalid("server name", name, error))?;
    let trust = Arc::new(Trust::new(Roots::load(request.ca.as_deref()).await?, true));
    let config = trust.config(&[])?;
    let certificate = within(deadline, &address, async {
        let stream = network
            .connect(&request.host, request.port, deadline)
            .await?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(server, stream)
            .await;
        let stream = stream.map_err(|error| not_tls(&address, deadline, &error))?;
        let leaf = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(<[_]>::first)
            .cloned();
        leaf.ok_or_else(|| ProbeError::Tls {
            address: address.clone(),
            reason: "no certificate".to_owned(),
        })
    })
    .await?;
    let reason = trust.verdict(&certificate);
    let certificate =
        Certificate::read(&certificate, reason.is_none()).map_err(|reason| ProbeError::Tls {
            address: address.clone(),
            reason,
        })?;
    Ok(Answer {
        certificate,
        reason,
        duration: started.elapsed().as_secs_f64(),
    })
}

/// A handshake that does not come about: where it is not a matter of time or TLS, there is no TLS.
fn not_tls(address: &str, deadline: Duration, error: &std::io::Error) -> ProbeError {
    match ProbeError::from_chain(address, deadline, error) {
        ProbeError::Unreachable { address, reason } => ProbeError::Tls { address, reason },
        error => error,
    }
}
