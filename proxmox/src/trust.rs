//! Which server is trusted: a certificate authority's file, one certificate by its fingerprint, or what this machine trusts.
//!
//! There is no way to trust everything. A certificate that is refused is told with its fingerprint.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};
use sha2::{Digest as _, Sha256};

use crate::error::Error;

/// Which server is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// One signed by an authority of this PEM text, for its name (of a cluster: `/etc/pve/pve-root-ca.pem`).
    Ca(String),
    /// One with exactly this certificate, whatever its name: SHA-256, `AA:BB:…`.
    Fingerprint(String),
    /// One that this machine trusts.
    System,
}

/// A certificate that was refused: it travels inside the error of the handshake.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) fingerprint: String,
    pub(crate) reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Refusal {}

/// The refusal inside an error of the transport, however deep.
pub(crate) fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<Refusal> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(CertificateError::Other(other))) =
            error.downcast_ref()
        {
            return other.0.downcast_ref::<Refusal>().cloned();
        }
        // The source of an I/O error is that of the error it holds: the held one is skipped.
        let held = error.downcast_ref::<std::io::Error>();
        if let Some(held) = held.and_then(std::io::Error::get_ref) {
            let held: &(dyn std::error::Error + 'static) = held;
            if let Some(found) = refusal(held) {
                return Some(found);
            }
        }
        next = error.source();
    }
    None
}

/// TLS with this trust and HTTP/1.1 only, which is all the server speaks.
pub(crate) fn tls(trust: &Trust) -> Result<ClientConfig, Error> {
    let verifier = Verifier::new(trust)?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Setting(format!("TLS: {error}")))?;
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[derive(Debug)]
struct Verifier {
    kind: Kind,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Kind {
    Chain {
        verifier: Arc<dyn ServerCertVerifier>,
        /// A server's own certificate in the file is trusted as if by its fingerprint.
        given: Vec<CertificateDer<'static>>,
    },
    Pin([u8; 32]),
}

impl Verifier {
    fn new(trust: &Trust) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let kind = match trust {
            Trust::Fingerprint(text) => Kind::Pin(fingerprint(text)?),
            Trust::Ca(pem) => authorities(pem, &provider)?,
            Trust::System => {
                let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(&provider));
                let verifier = verifier.map_err(|error| {
                    Error::Setting(format!(
                        "the certificates that this machine trusts: {error}"
                    ))
                })?;
                Kind::Chain {
                    verifier: Arc::new(verifier),
                    given: Vec::new(),
                }
            }
        };
        Ok(Self { kind, provider })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let hash: [u8; 32] = Sha256::digest(end_entity).into();
        let why = match &self.kind {
            Kind::Pin(pin) if *pin == hash => return Ok(ServerCertVerified::assertion()),
            Kind::Pin(_) => "it is not the one whose fingerprint was given".to_owned(),
            Kind::Chain { given, .. } if given.iter().any(|one| **one == **end_entity) => {
                return Ok(ServerCertVerified::assertion());
            }
            Kind::Chain { verifier, .. } => {
                let verdict = verifier.verify_server_cert(
                    end_entity,
                    intermediates,
                    server_name,
                    ocsp_response,
                    now,
                );
                match verdict {
                    Ok(verified) => return Ok(verified),
                    Err(error) => reason(&error),
                }
            }
        };
        let refusal = Refusal {
            fingerprint: print(&hash),
            reason: why,
        };
        Err(CertificateError::Other(OtherError(Arc::new(refusal))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn authorities(pem: &str, provider: &Arc<CryptoProvider>) -> Result<Kind, Error> {
    let setting = |why: String| Error::Setting(format!("the certificate authority: {why}"));
    let given: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let given = given.map_err(|error| setting(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in &given {
        roots
            .add(certificate.clone())
            .map_err(|error| setting(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(setting("no PEM certificate in it".to_owned()));
    }
    let builder =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let verifier = builder
        .build()
        .map_err(|error| setting(error.to_string()))?;
    Ok(Kind::Chain { verifier, given })
}

fn fingerprint(text: &str) -> Result<[u8; 32], Error> {
    let digits: String = text
        .trim()
        .to_ascii_lowercase()
        .trim_start_matches("sha256:")
        .chars()
        .filter(|c| *c != ':')
        .collect();
    let bytes: Option<Vec<u8>> = (digits.len() == 64 && digits.is_ascii())
        .then(|| {
            (0..32)
                .map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).ok())
                .collect()
        })
        .flatten();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| {
            Error::Setting(format!(
                "`{text}` is no SHA-256 fingerprint: 32 bytes, `AA:BB:…`"
            ))
        })
}

fn print(hash: &[u8; 32]) -> String {
    let bytes: Vec<String> = hash.iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(":")
}

fn reason(error: &rustls::Error) -> String {
    use rustls::Error::InvalidCertificate;
    match error {
        InvalidCertificate(CertificateError::UnknownIssuer) => {
            "nobody who is trusted has signed it".to_owned()
        }
        InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "it is for another name".to_owned(),
        InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "it is expired".to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_in_every_usual_form() {
        let bytes = [0xABu8; 32];
        let text = print(&bytes);
        for text in [text.clone(), text.to_lowercase(), text.replace(':', "")] {
            assert_eq!(fingerprint(&text).unwrap(), bytes);
        }
        for text in ["", "AA:BB", "zz", "é".repeat(32).as_str()] {
            assert!(fingerprint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_no_trust() {
        assert!(Verifier::new(&Trust::Ca("hello".into())).is_err());
    }
}
