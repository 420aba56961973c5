//! Reads the last published history: from a folder or a file, or from a site's URL.

use std::fs;
use std::path::Path;
use std::time::Duration;

use runbook::report::HistoryLine;

use super::{HISTORY_BYTES_MAX, HistoryError, parse};
use crate::causes::chain;

/// How long a site may take to give its history.
const FETCH_DEADLINE: Duration = Duration::from_secs(60);
/// The file's name on a published site.
const FILE: &str = "history.jsonl";

/// Reads the history of a folder (`DIR/history.jsonl`), a file, or a site (`URL/history.jsonl`). A site or folder that has none yet
/// gives an empty one: that is the first night.
///
/// # Errors
/// When it is there and cannot be read: a history that is lost silently would be written over.
pub async fn fetch(from: &str) -> Result<Vec<HistoryLine>, HistoryError> {
    if from.starts_with("http://") || from.starts_with("https://") {
        return fetch_url(from).await;
    }
    let mut path = Path::new(from).to_owned();
    if path.is_dir() {
        path.push(FILE);
        if !path.exists() {
            return Ok(Vec::new());
        }
    }
    let text = fs::read_to_string(&path).map_err(|source| HistoryError::Io {
        what: "read",
        path: path.clone(),
        source,
    })?;
    parse(&text, &path.display().to_string())
}

async fn fetch_url(from: &str) -> Result<Vec<HistoryLine>, HistoryError> {
    let url = if from.ends_with(".jsonl") {
        from.to_owned()
    } else {
        format!("{}/{FILE}", from.trim_end_matches('/'))
    };
    let failed = |message: String| HistoryError::Fetch {
        url: url.clone(),
        message,
    };
    // The HTTP client has no provider of its own; where one is set already, it stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .timeout(FETCH_DEADLINE)
        .build()
        .map_err(|e| failed(chain(&e)))?;
    let mut response = client
        .get(&url)
        .send()
        .await
        .map_err(|e| failed(chain(&e)))?;
    if response.status() == reqwest::StatusCode::NOT_FOUND {
        return Ok(Vec::new());
    }
    if !response.status().is_success() {
        return Err(failed(format!("the site answered {}", response.status())));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| failed(chain(&e)))? {
        body.extend_from_slice(&chunk);
        if body.len() as u64 > HISTORY_BYTES_MAX {
            return Err(failed(format!(
                "it is larger than {HISTORY_BYTES_MAX} bytes"
            )));
        }
    }
    let text = String::from_utf8(body).map_err(|_| failed("it is not UTF-8".into()))?;
    parse(&text, &url)
}
