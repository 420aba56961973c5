//! One kind in one place, told as it changes: list, then watch, and again whatever happens to the watch.
//!
//! A watch that is cut goes on where it was; one whose version is forgotten (410) or that says nothing for too long is begun anew
//! with a list, and what was missed is told then. Throttling, restarts and lost connections end nothing; a right that is missing
//! does. Who may list but not watch is served by lists.

use std::collections::HashMap;
use std::time::Duration;

use bytes::BytesMut;
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::client::Client;
use crate::error::Error;
use crate::get::Query;
use crate::object::{Key, is_older, resource_version, text};
use crate::request::Request;
use crate::status::of_status;

/// How long the server keeps a watch open: shorter than what load balancers cut (Azure: 240 s).
const WATCH_SECONDS: u64 = 200;
/// The most of one event, in bytes: etcd takes 1.5 MiB an object.
const LINE_BYTES_MAX: usize = 16 << 20;
/// The pause before a watch is begun again, at first.
const AGAIN_FIRST: Duration = Duration::from_millis(50);
/// The pause before a watch is begun again, at most.
const AGAIN_MAX: Duration = Duration::from_secs(5);
/// How often is listed where a watch is not allowed.
const POLL: Duration = Duration::from_secs(2);

/// What a watch tells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// An object is there, or is different.
    Set(Value),
    /// An object is gone; how it was last.
    Gone(Value),
    /// All that was there when it began was told.
    Listed,
}

/// Where a watch begins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Start {
    /// What is there already.
    pub(crate) items: Vec<Value>,
    /// The version of the list; empty: list first.
    pub(crate) resource_version: String,
}

/// Runs until nobody listens any more, or an error that does not pass.
pub(crate) async fn run(
    client: Client,
    query: Query,
    start: Start,
    id: usize,
    out: mpsc::Sender<(usize, Result<Change, Error>)>,
) {
    let known = start
        .items
        .into_iter()
        .map(|item| (Key::of(&item), item))
        .collect();
    let mut watch = Watch {
        client,
        query,
        known,
        version: start.resource_version,
        id,
        out,
    };
    if let Err(Stop::Failed(error)) = watch.go().await {
        let _ = watch.out.send((id, Err(error))).await;
    }
}

/// Why a watch ends for good.
enum Stop {
    /// Nobody listens.
    Unheard,
    Failed(Error),
}

/// Why a stream ended.
enum End {
    /// It is begun again where it was.
    Cut,
    /// Everything is listed anew.
    Lost,
    /// The server wants a pause.
    Pause(Duration),
}

struct Watch {
    client: Client,
    query: Query,
    known: HashMap<Key, Value>,
    /// Where the watch goes on; empty: list first.
    version: String,
    id: usize,
    out: mpsc::Sender<(usize, Result<Change, Error>)>,
}

impl Watch {
    async fn tell(&self, change: Change) -> Result<(), Stop> {
        self.out
            .send((self.id, Ok(change)))
            .await
            .map_err(|_| Stop::Unheard)
    }

    async fn go(&mut self) -> Result<(), Stop> {
        let mut pause = AGAIN_FIRST;
        loop {
            if self.version.is_empty() {
                match self.client.list(&self.query).await {
                    Ok(list) => self.listed(list.items, list.resource_version).await?,
                    Err(error) if error.is_passing() => {
                        self.rest(&mut pause).await?;
                        continue;
                    }
                    Err(error) => return Err(Stop::Failed(error)),
                }
            }
            let request = Request::watch(&self.query.resource, self.query.namespace.as_deref())
                .with("resourceVersion", &self.version)
                .with("allowWatchBookmarks", true)
                .with("timeoutSeconds", WATCH_SECONDS);
            let request = self.query.selected(request);
            let opened = tokio::time::Instant::now();
            let end = match self.client.open(&request).await {
                Ok(body) => self.follow(&request, body).await?,
                Err(Error::Expired(_)) => End::Lost,
                Err(error) if error.is_passing() => End::Cut,
                Err(Error::Forbidden(_)) => {
                    tokio::time::sleep(POLL).await;
                    End::Lost
                }
                Err(error) => return Err(Stop::Failed(error)),
            };
            // One that lived was no failure.
            if opened.elapsed() > AGAIN_MAX {
                pause = AGAIN_FIRST;
            }
            match end {
                End::Cut => {}
                End::Lost => self.version.clear(),
                End::Pause(wait) => tokio::time::sleep(wait.min(AGAIN_MAX * 6)).await,
            }
            self.rest(&mut pause).await?;
        }
    }

    async fn rest(&self, pause: &mut Duration) -> Result<(), Stop> {
        tokio::select! {
            () = self.out.closed() => Err(Stop::Unheard),
            () = tokio::time::sleep(*pause) => {
                *pause = (*pause * 2).min(AGAIN_MAX);
                Ok(())
            }
        }
    }

    /// Tells what is different from what was known.
    async fn listed(&mut self, items: Vec<Value>, version: String) -> Result<(), Stop> {
        let mut before = std::mem::take(&mut self.known);
        for item in items {
            let key = Key::of(&item);
            let is_same = before
                .remove(&key)
                .is_some_and(|old| resource_version(&old) == resource_version(&item));
            if !is_same {
                self.tell(Change::Set(item.clone())).await?;
            }
            self.known.insert(key, item);
        }
        for old in before.into_values() {
            self.tell(Change::Gone(old)).await?;
        }
        self.version = version;
        self.tell(Change::Listed).await
    }

    /// Reads events until the stream ends.
    async fn follow(&mut self, request: &Request, mut body: Body) -> Result<End, Stop> {
        let silence = self.client.times().silence;
        let mut lines = Lines::default();
        loop {
            let frame = tokio::select! {
                () = self.out.closed() => return Err(Stop::Unheard),
                frame = tokio::time::timeout(silence, body.frame()) => frame,
            };
            let data = match frame {
                // It may be dead, and it may have nothing to say: only a list can tell.
                Err(_) => return Ok(End::Lost),
                Ok(None | Some(Err(_))) => return Ok(End::Cut),
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            };
            if lines.push(&data).is_err() {
                return Ok(End::Lost);
            }
            while let Some(line) = lines.next() {
                // What cannot be read was cut off.
                let Ok(event) = serde_json::from_slice::<Value>(&line) else {
                    return Ok(End::Lost);
                };
                if let Some(end) = self.event(request, event).await? {
                    return Ok(end);
                }
            }
        }
    }

    async fn event(&mut self, request: &Request, mut event: Value) -> Result<Option<End>, Stop> {
        let object = event.get_mut("object").map(Value::take).unwrap_or_default();
        let kind = text(&event, "/type").to_owned();
        if kind == "ERROR" {
            let code = object["code"]
                .as_u64()
                .and_then(|code| u16::try_from(code).ok())
                .unwrap_or(500);
            let after = object
                .pointer("/details/retryAfterSeconds")
                .and_then(Value::as_u64);
            let error = of_status(request, code, after.map(Duration::from_secs), &object);
            return match error {
                Error::Expired(_) => Ok(Some(End::Lost)),
                Error::Throttled { after, .. } => Ok(Some(End::Pause(after.unwrap_or(AGAIN_MAX)))),
                error if error.is_passing() => Ok(Some(End::Lost)),
                error => Err(Stop::Failed(error)),
            };
        }
        let version = resource_version(&object).to_owned();
        if !version.is_empty() {
            self.version.clone_from(&version);
        }
        let key = Key::of(&object);
        match kind.as_str() {
            "ADDED" | "MODIFIED" => {
                let is_old = self.known.get(&key).is_some_and(|known| {
                    resource_version(known) == version
                        || is_older(&version, resource_version(known))
                });
                if !is_old {
                    self.known.insert(key, object.clone());
                    self.tell(Change::Set(object)).await?;
                }
            }
            "DELETED" => {
                self.known.remove(&key);
                self.tell(Change::Gone(object)).await?;
            }
            // BOOKMARK, and what later servers may send.
            _ => {}
        }
        Ok(None)
    }
}

/// Bytes to lines.
#[derive(Default)]
pub(crate) struct Lines {
    buffer: BytesMut,
    /// How much of the buffer was looked through without finding an end.
    seen: usize,
}

impl Lines {
    /// Adds bytes; an error where a line is too long.
    pub(crate) fn push(&mut self, data: &[u8]) -> Result<(), ()> {
        if self.buffer.len() > LINE_BYTES_MAX {
            return Err(());
        }
        self.buffer.extend_from_slice(data);
        Ok(())
    }

    /// The next whole line, without its end.
    pub(crate) fn next(&mut self) -> Option<BytesMut> {
        let Some(end) = self.buffer[self.seen..]
            .iter()
            .position(|&byte| byte == b'\n')
        else {
            self.seen = self.buffer.len();
            return None;
        };
        let mut line = self.buffer.split_to(self.seen + end + 1);
        line.truncate(line.len() - 1);
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        self.seen = 0;
        Some(line)
    }

    /// What is left without an end.
    pub(crate) fn rest(self) -> BytesMut {
        self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_across_pieces() {
        let mut lines = Lines::default();
        lines.push(b"one\ntw").expect("short");
        assert_eq!(lines.next().as_deref(), Some(&b"one"[..]));
        assert_eq!(lines.next(), None);
        lines.push(b"o\r\n\nrest").expect("short");
        assert_eq!(lines.next().as_deref(), Some(&b"two"[..]));
        assert_eq!(lines.next().as_deref(), Some(&b""[..]));
        assert_eq!(lines.next(), None);
        assert_eq!(&lines.rest()[..], b"rest");
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        let mut lines = Lines::default();
        let piece = vec![b'a'; 1 << 20];
        let refused = (0..64).any(|_| lines.push(&piece).is_err());
        assert!(refused && lines.buffer.len() <= LINE_BYTES_MAX + piece.len());
    }
}
