//! A table of HTTP answers: the first row that fits a request is its answer.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use regex::Regex;
use serde::Deserialize;
use tokio::net::TcpStream;

/// One row, as a book's file has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The method; any when not given.
    #[serde(default)]
    pub method: Option<String>,
    /// A regular expression for the whole path, or for the path with its query.
    pub path: String,
    /// The status; 200 when not given.
    #[serde(default = "ok")]
    pub status: u16,
    /// Headers.
    #[serde(default)]
    pub header: std::collections::BTreeMap<String, String>,
    /// The body.
    #[serde(default)]
    pub body: String,
}

fn ok() -> u16 {
    200
}

/// What is wrong with a row.
#[derive(Debug, thiserror::Error)]
#[error("row {row} of the stand-in's table: {why}")]
pub struct TableError {
    /// Which, from 1.
    pub row: usize,
    /// What.
    pub why: String,
}

/// A checked table.
#[derive(Debug, Clone)]
pub struct Table(Vec<Checked>);

#[derive(Debug, Clone)]
struct Checked {
    method: Option<Method>,
    path: Regex,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Table {
    /// Checks the rows.
    ///
    /// # Errors
    /// For the first row with a method, path, status or header that HTTP does not know.
    pub fn new(rows: Vec<Row>) -> Result<Self, TableError> {
        let rows = rows.into_iter().enumerate();
        let checked = rows.map(|(n, row)| check(row).map_err(|why| TableError { row: n + 1, why }));
        Ok(Self(checked.collect::<Result<_, _>>()?))
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let whole = request
            .uri()
            .path_and_query()
            .map_or(path, http::uri::PathAndQuery::as_str);
        let fits = |row: &&Checked| {
            let method = row.method.as_ref().is_none_or(|method| {
                // A server that answers GET answers HEAD with the same headers.
                method == request.method()
                    || (method == Method::GET && request.method() == Method::HEAD)
            });
            method && (row.path.is_match(path) || row.path.is_match(whole))
        };
        let mut response = Response::new(Full::default());
        match self.0.iter().find(fits) {
            Some(row) => {
                *response.status_mut() = row.status;
                *response.headers_mut() = row.headers.clone();
                *response.body_mut() = Full::new(row.body.clone());
            }
            None => *response.status_mut() = StatusCode::NOT_FOUND,
        }
        response
    }

    /// Serves one connection to its end.
    pub(super) async fn serve(&self, stream: TcpStream) {
        let service = service_fn(async |request| Ok::<_, Infallible>(self.answer(&request)));
        if let Err(error) = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await
        {
            tracing::debug!(%error, "a stand-in's connection ended");
        }
    }
}

fn check(row: Row) -> Result<Checked, String> {
    let said = |what: &str, value: &str, error: &dyn std::fmt::Display| {
        format!("`{value}` is no {what}: {error}")
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &row.header {
        let name = HeaderName::try_from(name).map_err(|error| said("header", name, &error))?;
        let value =
            HeaderValue::try_from(value).map_err(|error| said("header's value", value, &error))?;
        headers.append(name, value);
    }
    let method = row.method.as_deref().map(|text| {
        Method::from_bytes(text.to_ascii_uppercase().as_bytes())
            .map_err(|error| said("method", text, &error))
    });
    Ok(Checked {
        method: method.transpose()?,
        path: Regex::new(&format!("^(?:{})$", row.path))
            .map_err(|error| said("regular expression", &row.path, &error))?,
        status: StatusCode::from_u16(row.status)
            .map_err(|error| said("status", &row.status.to_string(), &error))?,
        headers,
        body: row.body.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: serde_json::Value) -> Row {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_row_that_http_does_not_know_is_named() {
        let good = row(serde_json::json!({"path": "/"}));
        for (bad, part) in [
            (serde_json::json!({"path": "("}), "regular expression"),
            (serde_json::json!({"path": "/", "status": 42}), "status"),
            (serde_json::json!({"path": "/", "method": "G T"}), "method"),
            (
                serde_json::json!({"path": "/", "header": {"a b": "c"}}),
                "header",
            ),
        ] {
            let error = Table::new(vec![good.clone(), row(bad)]).unwrap_err();
            assert_eq!(error.row, 2);
            assert!(error.why.contains(part), "{error}");
        }
        assert!(
            serde_json::from_value::<Row>(serde_json::json!({"path": "/", "stauts": 1})).is_err()
        );
    }
}
