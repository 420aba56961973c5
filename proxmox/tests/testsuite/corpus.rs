//! Every recorded answer of a real server goes through the client's decoding.

use std::path::Path;

use runbook_proxmox::{Error, Method, Request, decode};
use serde_json::Value;

/// Where the recordings are, beside the repository. They are not part of it.
const CORPUS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../shared/pve-corpus/dev"
);
const CORPUS_NEAR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/pve-corpus/dev");

#[test]
fn every_recorded_answer_is_understood() {
    let folder = [CORPUS_NEAR, CORPUS]
        .into_iter()
        .map(Path::new)
        .find(|path| path.is_dir());
    let Some(folder) = folder else {
        eprintln!(
            "SKIPPED every_recorded_answer_is_understood: no folder shared/pve-corpus beside the repository"
        );
        return;
    };
    let mut count = 0;
    for file in std::fs::read_dir(folder).expect("the folder") {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("a text");
        for line in text.lines().skip(1) {
            let exchange: Value = serde_json::from_str(line).expect("JSON");
            check(&exchange).unwrap_or_else(|why| panic!("{}: {why}\n{line}", path.display()));
            count += 1;
        }
    }
    assert!(count > 0, "there is nothing in {}", folder.display());
}

fn check(exchange: &Value) -> Result<(), String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (request, response) = (&exchange["request"], &exchange["response"]);
    // Other verbs than the client's are recorded too: the answer is what counts here.
    let method: Method = match text(&request["method"]).as_str() {
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        _ => Method::Get,
    };
    let request = Request::any(method, "/recorded");
    let status = response["status"]
        .as_u64()
        .and_then(|status| u16::try_from(status).ok());
    let status = status.ok_or("no status")?;
    let reason = text(&response["reason"]);
    let body = match &response["body"] {
        Value::Null => text(&response["text"]),
        body => body.to_string(),
    };
    let decoded = decode(&request, status, &reason, body.as_bytes());
    let expected = match (status, &decoded) {
        (200, Ok(answer)) => answer.data == response["body"]["data"],
        // A page of HTML or text is no answer of the API.
        (200, Err(Error::Answer(_))) => response["body"].get("data").is_none(),
        (300..400, Err(Error::Answer(_)))
        | (401, Err(Error::Unauthorized(_)))
        | (403, Err(Error::Forbidden { .. }))
        | (501, Err(Error::NotImplemented(_))) => true,
        (400 | 500, Err(Error::Parameters { errors, .. })) => {
            let recorded = response["body"]["errors"]
                .as_object()
                .map_or(0, serde_json::Map::len);
            errors.len() == recorded && errors.values().all(|why| !why.is_empty())
        }
        (_, Err(Error::Refused { status: kept, .. })) => *kept == status,
        _ => false,
    };
    let shown = decoded.as_ref().err().map(Error::to_string);
    if !expected {
        return Err(format!("decoded to {decoded:?}"));
    }
    match shown {
        Some(shown) if shown.is_empty() || shown.ends_with('\n') => {
            Err(format!("says `{shown:?}`"))
        }
        _ => Ok(()),
    }
}
