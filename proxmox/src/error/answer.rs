//! From a status, its reason phrase and its body to an error.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Error;
use crate::request::Request;

/// The most of an error's text that is kept, in characters.
const TEXT_CHARS_MAX: usize = 2000;

impl Error {
    /// From a status, its reason phrase and its body.
    pub(crate) fn of_answer(request: &Request, status: u16, reason: &str, body: &[u8]) -> Self {
        let json: Option<Value> = serde_json::from_slice(body).ok();
        let message = json
            .as_ref()
            .and_then(|json| json.get("message"))
            .and_then(Value::as_str)
            .map(str::trim)
            .filter(|message| !message.is_empty());
        let message = cut(message.unwrap_or(reason.trim()));
        let message = if message.is_empty() {
            format!("status {status}")
        } else {
            message
        };
        let errors = json
            .as_ref()
            .and_then(|json| json.get("errors"))
            .and_then(Value::as_object);
        let errors: BTreeMap<String, String> = errors
            .into_iter()
            .flatten()
            .map(|(name, why)| (name.clone(), cut(why.as_str().unwrap_or_default().trim())))
            .collect();
        match status {
            401 => Self::Unauthorized(message),
            403 => Self::Forbidden {
                needs: needs(&message),
                message,
            },
            400 => Self::Parameters { message, errors },
            501 => Self::NotImplemented(format!(
                "{} {} ({message})",
                request.method().as_str(),
                request.path()
            )),
            595 => Self::NodeDown(message),
            596 => Self::ProxyTimeout(message),
            597..=599 => Self::ProxyFailed { status, message },
            // Odd, but so: a resize of an unknown disk is a 500 with errors by parameter.
            500 if !errors.is_empty() => Self::Parameters { message, errors },
            _ => Self::Refused {
                status,
                message,
                errors,
            },
        }
    }
}

/// `Permission check failed (/vms/200, VM.Audit|VM.Config.Disk)` says what is missing.
fn needs(message: &str) -> Option<(String, Vec<String>)> {
    let inner = message
        .strip_prefix("Permission check failed (")?
        .strip_suffix(')')?;
    let (path, privileges) = inner.split_once(", ")?;
    path.starts_with('/').then(|| {
        let privileges = privileges.split('|').map(str::to_owned).collect();
        (path.to_owned(), privileges)
    })
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}
