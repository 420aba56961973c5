//! The certificate of a simulated server: signed by an authority made for it, as the real ones do at their installation.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use sha2::{Digest, Sha256};

/// What the subject of an authority says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Authority {
    pub(crate) common_name: &'static str,
    pub(crate) organization: Option<&'static str>,
}

/// A certificate with its key and authority.
#[derive(Clone, Debug)]
pub struct Identity {
    ca_pem: String,
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    fingerprint: String,
    ca: CertificateParams,
    ca_key: Vec<u8>,
}

/// A client's certificate, signed by the server's authority, with its key.
#[derive(Clone, Debug)]
pub(crate) struct ClientIdentity {
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
    pub(crate) der: CertificateDer<'static>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be made.
    #[error("the lab's certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// TLS does not take it.
    #[error("the lab's certificate cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

impl Identity {
    /// A fresh authority and a certificate for these names and addresses.
    pub(crate) fn signed_by(authority: Authority, names: &[String]) -> Result<Self, Error> {
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca.distinguished_name
            .push(DnType::CommonName, authority.common_name);
        if let Some(organization) = authority.organization {
            ca.distinguished_name
                .push(DnType::OrganizationName, organization);
        }
        let ca_key = KeyPair::generate()?;
        let ca_cert = ca.self_signed(&ca_key)?;
        let ca_key_der = ca_key.serialize_der();
        let issuer = Issuer::new(ca.clone(), ca_key);

        let mut leaf = CertificateParams::new(Vec::new())?;
        // Clients that check by RFC 5280 to the letter (Python from 3.13 on) want to be told which key signed.
        leaf.use_authority_key_identifier_extension = true;
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.distinguished_name.push(
            DnType::CommonName,
            names.first().cloned().unwrap_or_default(),
        );
        for name in names {
            let entry = match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.clone().try_into()?),
            };
            leaf.subject_alt_names.push(entry);
        }
        let key = KeyPair::generate()?;
        let cert = leaf.signed_by(&key, &issuer)?;
        let hex: Vec<String> = Sha256::digest(cert.der())
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        let chain = vec![cert.der().clone(), ca_cert.der().clone()];
        Ok(Self {
            ca_pem: ca_cert.pem(),
            chain,
            key: key.serialize_der(),
            fingerprint: hex.join(":"),
            ca,
            ca_key: ca_key_der,
        })
    }

    /// A certificate for a client: its name, and the groups it is in.
    pub(crate) fn client(&self, name: &str, groups: &[String]) -> Result<ClientIdentity, Error> {
        let issuer = Issuer::new(self.ca.clone(), KeyPair::try_from(self.ca_key.as_slice())?);
        let mut leaf = CertificateParams::new(Vec::new())?;
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        leaf.distinguished_name.push(DnType::CommonName, name);
        for group in groups {
            leaf.distinguished_name
                .push(DnType::OrganizationName, group.as_str());
        }
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &issuer)?;
        Ok(ClientIdentity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            der: certificate.der().clone(),
        })
    }

    /// SHA-256 of the certificate, `AA:BB:…`.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The authority to trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// How the server speaks TLS.
    pub(crate) fn config(&self) -> Result<Arc<ServerConfig>, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        // Without ALPN, as the real one: it would refuse who offers HTTP/1.0 alone.
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.private_key())?;
        Ok(Arc::new(config))
    }

    /// The same, and clients are asked for a certificate: they may have none, and whose it is must be looked at afterwards.
    pub(crate) fn config_asking(&self) -> Result<Arc<ServerConfig>, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let asks = Arc::new(AnyClient(provider.clone()));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(asks)
            .with_single_cert(self.chain.clone(), self.private_key())?;
        Ok(Arc::new(config))
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }
}

/// Asks for a certificate and holds the client to its key; who signed it is not looked at, so that a stranger gets an answer
/// that says so, as the API server gives it.
#[derive(Debug)]
struct AnyClient(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
