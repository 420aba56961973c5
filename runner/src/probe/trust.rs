//! Which certificates are trusted: this machine's roots, or those of a file; and a verifier that can look without
//! refusing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use sha2::{Digest as _, Sha256};

use super::{ProbeError, certificate};

/// How many certificates' verdicts are remembered.
const VERDICTS_MAX: usize = 64;
/// The longest file of certificates.
const CA_BYTES_MAX: u64 = 4 << 20;

/// The only TLS provider here.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}

/// Where trust comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Roots {
    /// What this machine trusts.
    Machine,
    /// The certificates of a file and nothing else.
    File {
        path: PathBuf,
        certificates: Vec<CertificateDer<'static>>,
    },
}

impl Roots {
    /// Reads the file, when there is one.
    pub(super) async fn load(ca: Option<&Path>) -> Result<Self, ProbeError> {
        let Some(path) = ca else {
            return Ok(Self::Machine);
        };
        let fail = |reason: String| ProbeError::Ca {
            path: path.to_owned(),
            reason,
        };
        let metadata = tokio::fs::metadata(path)
            .await
            .map_err(|error| fail(error.to_string()))?;
        if metadata.len() > CA_BYTES_MAX {
            return Err(fail(format!("longer than {CA_BYTES_MAX} bytes")));
        }
        let pem = tokio::fs::read(path)
            .await
            .map_err(|error| fail(error.to_string()))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let certificates = certificates.map_err(|error| fail(error.to_string()))?;
        if certificates.is_empty() {
            return Err(fail("no PEM certificate in it".to_owned()));
        }
        Ok(Self::File {
            path: path.to_owned(),
            certificates,
        })
    }

    fn verifier(&self) -> Result<Arc<dyn ServerCertVerifier>, ProbeError> {
        match self {
            Self::Machine => machine(),
            Self::File { path, certificates } => {
                let fail = |reason: String| ProbeError::Ca {
                    path: path.clone(),
                    reason,
                };
                let mut store = RootCertStore::empty();
                for certificate in certificates {
                    store
                        .add(certificate.clone())
                        .map_err(|error| fail(error.to_string()))?;
                }
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider())
                        .build();
                Ok(verifier.map_err(|error| fail(error.to_string()))?)
            }
        }
    }
}

/// This machine's verifier: reading all its roots takes a while, so once.
fn machine() -> Result<Arc<dyn ServerCertVerifier>, ProbeError> {
    static MACHINE: OnceLock<Result<Arc<rustls_platform_verifier::Verifier>, String>> =
        OnceLock::new();
    let verifier = MACHINE.get_or_init(|| {
        let verifier = rustls_platform_verifier::Verifier::new(provider());
        verifier.map(Arc::new).map_err(|error| error.to_string())
    });
    match verifier {
        Ok(verifier) => Ok(Arc::clone(verifier) as _),
        Err(reason) => Err(ProbeError::Ca {
            path: PathBuf::from("/etc/ssl/certs"),
            reason: format!("this machine's roots: {reason}"),
        }),
    }
}

/// A verifier that remembers its verdicts, and may look without refusing.
#[derive(Debug)]
pub(super) struct Trust {
    roots: Roots,
    /// Accepts what it would refuse; the verdict still tells.
    is_lenient: bool,
    inner: Result<Arc<dyn ServerCertVerifier>, ProbeError>,
    /// By certificate: why it is not trusted.
    verdicts: Mutex<HashMap<Vec<u8>, Option<String>>>,
}

impl Trust {
    pub(super) fn new(roots: Roots, is_lenient: bool) -> Self {
        let inner = roots.verifier();
        Self {
            roots,
            is_lenient,
            inner,
            verdicts: Mutex::default(),
        }
    }

    /// A client that trusts so.
    pub(super) fn config(self: &Arc<Self>, alpn: &[&[u8]]) -> Result<ClientConfig, ProbeError> {
        if let (Err(error), false) = (&self.inner, self.is_lenient) {
            return Err(error.clone());
        }
        let builder =
            ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| ProbeError::invalid("TLS", "ring", error))?;
        let verifier = Arc::clone(self) as Arc<dyn ServerCertVerifier>;
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        // A resumed session shows its certificate without a verdict on it.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }

    /// Why a certificate that was seen is not trusted; `None` when it is.
    pub(super) fn verdict(&self, certificate: &[u8]) -> Option<String> {
        let verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = verdicts
            .get(Sha256::digest(certificate).as_slice())
            .cloned();
        verdict.unwrap_or_else(|| Some("not verified".to_owned()))
    }

    fn remember(&self, certificate: &[u8], verdict: Option<String>) {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if verdicts.len() >= VERDICTS_MAX {
            verdicts.clear();
        }
        verdicts.insert(Sha256::digest(certificate).to_vec(), verdict);
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let inner = self
            .inner
            .as_ref()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        match inner.verify_server_cert(leaf, chain, name, ocsp, now) {
            Ok(_) => Ok(()),
            // A self-signed certificate that is itself in the file is trusted, as other programs do; `openssl req -x509`
            // makes such. Its name and dates must be right all the same.
            Err(error) if self.is_itself_trusted(leaf) => {
                let is_formal = matches!(
                    error,
                    rustls::Error::InvalidCertificate(
                        CertificateError::UnknownIssuer | CertificateError::Other(_)
                    )
                );
                if !is_formal {
                    return Err(error);
                }
                rustls::client::verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
                let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
                certificate::check_dates(leaf, now).map_err(rustls::Error::General)
            }
            Err(error) => Err(error),
        }
    }

    fn is_itself_trusted(&self, leaf: &CertificateDer<'_>) -> bool {
        matches!(&self.roots, Roots::File { certificates, .. } if certificates.contains(leaf))
    }

    fn signature(
        &self,
        certificate: &CertificateDer<'_>,
        result: impl FnOnce(&CryptoProvider) -> Result<HandshakeSignatureValid, rustls::Error>,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match result(&provider()) {
            Err(error) if self.is_lenient => {
                self.remember(certificate, Some(reason(&error)));
                Ok(HandshakeSignatureValid::assertion())
            }
            result => result,
        }
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let result = self.verify(leaf, chain, name, ocsp, now);
        self.remember(leaf, result.as_ref().err().map(reason));
        match result {
            Err(error) if !self.is_lenient => Err(error),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(certificate, |provider| {
            let algorithms = &provider.signature_verification_algorithms;
            rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
        })
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(certificate, |provider| {
            let algorithms = &provider.signature_verification_algorithms;
            rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
        })
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// What is wrong, in a person's words.
pub(super) fn reason(error: &rustls::Error) -> String {
    use CertificateError as E;
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            E::Expired | E::ExpiredContext { .. } => "expired".to_owned(),
            E::NotValidYet | E::NotValidYetContext { .. } => "not valid yet".to_owned(),
            E::NotValidForName | E::NotValidForNameContext { .. } => {
                format!("not valid for this name: {error}")
            }
            E::UnknownIssuer => "its issuer is not trusted".to_owned(),
            E::Revoked => "revoked".to_owned(),
            error => error.to_string(),
        },
        rustls::Error::InvalidMessage(_) => "what answers does not speak TLS".to_owned(),
        rustls::Error::General(reason) => reason.clone(),
        error => error.to_string(),
    }
}
