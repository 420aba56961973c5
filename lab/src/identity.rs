//! The certificate of a simulated server: signed by an authority made for it, as the real ones do at their installation.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
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
        let issuer = Issuer::new(ca, ca_key);

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

    pub(crate) fn config(&self) -> Result<Arc<ServerConfig>, Error> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        // Without ALPN, as the real one: it would refuse who offers HTTP/1.0 alone.
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)?;
        Ok(Arc::new(config))
    }
}
