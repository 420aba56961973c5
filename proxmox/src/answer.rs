//! From an answer's status, reason phrase and body to a value or an error. Pure: nothing is sent here.

use serde_json::Value;

use crate::error::Error;
use crate::loose::integer;
use crate::request::Request;

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What was asked for; null where there is nothing to say.
    pub data: Value,
    /// How many there are altogether, of lists in pages.
    pub total: Option<i64>,
}

/// What an answer to a request means. A success is always 200 and an object with `data`.
///
/// # Errors
///
/// Every other status, and a body that is not the API's.
pub fn decode(request: &Request, status: u16, reason: &str, body: &[u8]) -> Result<Answer, Error> {
    match status {
        200 => success(body),
        300..400 => Err(Error::Answer(format!(
            "a redirect ({status}), which is not followed; the URL is not that of the API"
        ))),
        _ => Err(Error::of_answer(request, status, reason, body)),
    }
}

fn success(body: &[u8]) -> Result<Answer, Error> {
    let mut json: Value = serde_json::from_slice(body).map_err(|error| {
        Error::Answer(format!("no JSON ({error}); the URL is not that of the API"))
    })?;
    let total = json.get("total").and_then(integer);
    match json.get_mut("data") {
        Some(data) => Ok(Answer {
            data: data.take(),
            total,
        }),
        None => Err(Error::Answer(
            "JSON without `data`; the URL is not that of the API".to_owned(),
        )),
    }
}
