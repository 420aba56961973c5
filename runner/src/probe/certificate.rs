//! What a certificate says.

use std::net::IpAddr;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What a server's certificate says, and whether it is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// Its subject alternative names: DNS names, addresses, mail addresses and URIs as texts.
    pub san: Vec<String>,
    /// Whom it names: `CN=pve1`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// When it ends: RFC 3339 in UTC.
    pub expires: String,
    /// SHA-256 of it, in hexadecimal with colons.
    pub fingerprint: String,
    /// Whether its chain, its dates and its name are all right.
    pub trusted: bool,
}

impl Certificate {
    /// Reads a DER certificate.
    pub(super) fn read(der: &[u8], trusted: bool) -> Result<Self, String> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let names = certificate.subject_alternative_name().ok().flatten();
        let san = names.map_or_else(Vec::new, |names| {
            names
                .value
                .general_names
                .iter()
                .filter_map(general_name)
                .collect()
        });
        let expires = jiff::Timestamp::from_second(certificate.validity().not_after.timestamp());
        Ok(Self {
            san,
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            expires: expires.map_err(|error| error.to_string())?.to_string(),
            fingerprint: fingerprint(der),
            trusted,
        })
    }
}

/// Whether the moment lies within a certificate's dates; a text says why not.
pub(super) fn check_dates(der: &[u8], now: i64) -> Result<(), String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let validity = certificate.validity();
    if now < validity.not_before.timestamp() {
        Err("not valid yet".to_owned())
    } else if now > validity.not_after.timestamp() {
        Err("expired".to_owned())
    } else {
        Ok(())
    }
}

fn general_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
            Some((*name).to_owned())
        }
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes)
                .ok()
                .map(|bytes| IpAddr::from(bytes).to_string()),
            16 => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|bytes| IpAddr::from(bytes).to_string()),
            _ => None,
        },
        _ => None,
    }
}

fn fingerprint(der: &[u8]) -> String {
    let digest = Sha256::digest(der);
    digest
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect::<Vec<_>>()
        .join(":")
}
