//! What a failed connection means.

use std::error::Error as StdError;

use crate::access::{chain, credentials_text};
use crate::error::Error;

/// How deep causes are looked for.
const DEPTH_MAX: usize = 16;

/// The error of a request that got no answer.
pub(crate) fn of_transport(url: &str, error: &kube::Error) -> Error {
    match error {
        kube::Error::Auth(error) => Error::Credentials(credentials_text(error)),
        kube::Error::Service(error) => of_chain(url, &**error),
        kube::Error::HyperError(error) => of_chain(url, error),
        error => of_chain(url, error),
    }
}

fn of_chain(url: &str, error: &(dyn StdError + 'static)) -> Error {
    let url = url.to_owned();
    let mut is_connect = false;
    let mut next = Some(error);
    for _ in 0..DEPTH_MAX {
        let Some(error) = next else { break };
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            if let rustls::Error::InvalidCertificate(why) = tls {
                return Error::Untrusted {
                    url,
                    why: certificate_text(why),
                };
            }
            is_connect = true;
        }
        // A plugin that is asked again when its credentials have run out.
        if let Some(auth) = error.downcast_ref::<kube::client::AuthError>() {
            return Error::Credentials(credentials_text(auth));
        }
        if let Some(client) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
            is_connect |= client.is_connect();
        }
        // The source of an I/O error is that of what it carries, not what it carries.
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    let why = chain(error);
    if is_connect {
        Error::Unreachable { url, why }
    } else {
        Error::Lost(why)
    }
}

fn certificate_text(error: &rustls::CertificateError) -> String {
    use rustls::CertificateError as E;
    match error {
        E::UnknownIssuer | E::BadSignature => {
            "its issuer is none of the authorities that are trusted".to_owned()
        }
        E::Expired | E::ExpiredContext { .. } => format!("it is expired ({error})"),
        E::NotValidYet | E::NotValidYetContext { .. } => format!("it is not valid yet ({error})"),
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            format!("it is for another name ({error})")
        }
        error => error.to_string(),
    }
}
