//! A client for OCI registries that are asked over HTTP: tags, manifests, blobs, each held to its digest. Which registries are asked is
//! not decided here. Refusals are in the words of the library that source-controller asks registries with.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::tree::{BYTES_MAX, sha256};

/// One request.
const TIME: Duration = Duration::from_secs(20);
/// A list of tags, or a manifest.
const DOCUMENT_MAX: usize = 4 * 1024 * 1024;
/// Pages of a list of tags.
const PAGES_MAX: usize = 50;
const TAGS_PER_PAGE: usize = 1000;
const PORT: u16 = 80;
/// What a manifest may be.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json,application/vnd.docker.distribution.manifest.v2+json,\
    application/vnd.oci.image.index.v1+json,application/vnd.docker.distribution.manifest.list.v2+json";

/// A repository of a registry.
#[derive(Clone, Debug)]
pub(super) struct Repository {
    /// `HOST` or `HOST:PORT`.
    pub(super) registry: String,
    pub(super) name: String,
    /// What `Authorization` is sent with, where there are credentials.
    pub(super) login: Option<String>,
}

/// A manifest, and what it is called.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) digest: String,
    pub(super) value: Value,
}

impl Repository {
    /// `oci://HOST[:PORT]/NAME`, which names no tag.
    ///
    /// # Errors
    ///
    /// The library's words for a URL that is none.
    pub(super) fn read(url: &str) -> Result<Self, String> {
        let rest = url
            .strip_prefix("oci://")
            .ok_or("URL must be in format 'oci://<domain>/<org>/<repo>'")?;
        let (registry, name) = match rest.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) => (first, rest),
            _ => ("index.docker.io", rest),
        };
        if name.len() < 2 || name.len() > 255 {
            return Err(format!(
                "repository must be between 2 and 255 characters in length: {name}"
            ));
        }
        // A colon is none of them: a tag is refused here too.
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-./".contains(c);
        if !name.chars().all(known) {
            return Err(format!(
                "repository can only contain the characters `abcdefghijklmnopqrstuvwxyz0123456789_-./`: {name}"
            ));
        }
        Ok(Self {
            registry: registry.to_owned(),
            name: name.to_owned(),
            login: None,
        })
    }

    /// All tags.
    pub(super) async fn tags(&self) -> Result<Vec<String>, String> {
        let mut out = Vec::new();
        let mut last = String::new();
        for _ in 0..PAGES_MAX {
            let after = match last.as_str() {
                "" => String::new(),
                last => format!("&last={last}"),
            };
            let path = format!("/v2/{}/tags/list?n={TAGS_PER_PAGE}{after}", self.name);
            let found = self.get(&path, "application/json", DOCUMENT_MAX).await?;
            let list: Value =
                serde_json::from_slice(&found.body).map_err(|error| error.to_string())?;
            let page: Vec<String> = list["tags"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|tag| tag.as_str().map(str::to_owned))
                .collect();
            last = page.last().cloned().unwrap_or_default();
            out.extend(page);
            if !found.more || last.is_empty() {
                return Ok(out);
            }
        }
        Err(format!("`{}` has more tags than the lab reads", self.name))
    }

    /// The manifest of a tag or a digest; that of a digest must be the one it names.
    pub(super) async fn manifest(&self, reference: &str) -> Result<Manifest, String> {
        let path = format!("/v2/{}/manifests/{reference}", self.name);
        let found = self.get(&path, MANIFESTS, DOCUMENT_MAX).await?;
        let digest = sha256(&found.body);
        if reference.contains(':') && reference != digest {
            return Err(format!(
                "manifest digest: \"{digest}\" does not match requested digest: \"{reference}\" for \"{}/{}@{reference}\"",
                self.registry, self.name
            ));
        }
        let value = serde_json::from_slice(&found.body).map_err(|error| error.to_string())?;
        Ok(Manifest { digest, value })
    }

    /// A blob, which must be what its digest names.
    pub(super) async fn blob(&self, digest: &str) -> Result<Bytes, String> {
        let path = format!("/v2/{}/blobs/{digest}", self.name);
        let found = self.get(&path, "*/*", BYTES_MAX).await?;
        let own = sha256(&found.body);
        if own == digest {
            return Ok(found.body);
        }
        let hex = |text: &str| text.trim_start_matches("sha256:").to_owned();
        Err(format!(
            "error verifying sha256 checksum after reading {} bytes; got \"{}\", want \"{}\"",
            found.body.len(),
            hex(&own),
            hex(digest)
        ))
    }

    async fn get(&self, path: &str, accept: &str, most: usize) -> Result<Found, String> {
        let url = format!("http://{}{path}", self.registry);
        let told = |text: String| format!("Get \"{url}\": {text}");
        tokio::time::timeout(TIME, self.ask(path, accept, most))
            .await
            .map_err(|_| told("context deadline exceeded".into()))?
            .map_err(|error| match error {
                Failure::Way(text) => told(text),
                Failure::Answer(text) => format!("GET {url}: {text}"),
            })
    }

    async fn ask(&self, path: &str, accept: &str, most: usize) -> Result<Found, Failure> {
        let way = |error: &dyn std::fmt::Display| Failure::Way(error.to_string());
        let address = match self.registry.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => self.registry.clone(),
            _ => format!("{}:{PORT}", self.registry),
        };
        let stream = TcpStream::connect(&address)
            .await
            .map_err(|error| way(&error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| way(&error))?;
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(path)
            .header(header::HOST, &self.registry)
            .header(header::ACCEPT, accept);
        if let Some(login) = &self.login {
            request = request.header(header::AUTHORIZATION, login);
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|error| way(&error))?;
        let exchange = async {
            let answer = sender
                .send_request(request)
                .await
                .map_err(|error| way(&error))?;
            let status = answer.status();
            let more = answer.headers().contains_key(header::LINK);
            let body = Limited::new(answer.into_body(), most)
                .collect()
                .await
                .map_err(|error| Failure::Way(error.to_string()))?
                .to_bytes();
            Ok::<_, Failure>((status, more, body))
        };
        tokio::pin!(exchange);
        let (status, more, body) = tokio::select! {
            outcome = &mut exchange => outcome?,
            // The connection may end before its last answer was read to its end.
            ended = connection => {
                ended.map_err(|error| way(&error))?;
                exchange.await?
            }
        };
        match status {
            StatusCode::OK => Ok(Found { body, more }),
            status => Err(Failure::Answer(refusal(status, &body))),
        }
    }
}

struct Found {
    body: Bytes,
    /// There is another page.
    more: bool,
}

/// Nothing came, or something that is no success.
enum Failure {
    Way(String),
    Answer(String),
}

/// A registry's own words: `CODE: message; detail`.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    let errors = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let all: Vec<String> = errors["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| {
            let text = |key: &str| one[key].as_str().unwrap_or_default();
            let said = format!("{}: {}", text("code"), text("message"));
            match &one["detail"] {
                Value::Null => said,
                Value::String(detail) => format!("{said}; {detail}"),
                detail => format!("{said}; {detail}"),
            }
        })
        .collect();
    let code = format!(
        "unexpected status code {} {}",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default()
    );
    match all.as_slice() {
        [] if body.is_empty() => code,
        [] => format!("{code}: {}", String::from_utf8_lossy(body)),
        [one] => one.clone(),
        several => format!("multiple errors returned: {}", several.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_registry_and_a_repository() {
        for (url, registry, name) in [
            (
                "oci://127.0.0.1:5000/team/app",
                "127.0.0.1:5000",
                "team/app",
            ),
            ("oci://ghcr.io/app", "ghcr.io", "app"),
            ("oci://team/app", "index.docker.io", "team/app"),
        ] {
            let read = Repository::read(url).unwrap();
            assert_eq!(
                (read.registry.as_str(), read.name.as_str()),
                (registry, name)
            );
        }
        for url in [
            "http://ghcr.io/app",
            "oci://ghcr.io/App",
            "oci://ghcr.io/app:v1",
            "oci://ghcr.io/a",
        ] {
            assert!(Repository::read(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_registry() {
        let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such tag"}]}"#;
        assert_eq!(
            refusal(StatusCode::NOT_FOUND, body),
            "MANIFEST_UNKNOWN: no such tag"
        );
        assert_eq!(
            refusal(StatusCode::BAD_GATEWAY, b""),
            "unexpected status code 502 Bad Gateway"
        );
    }
}
