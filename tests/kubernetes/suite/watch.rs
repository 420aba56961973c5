//! A watch as it comes over the wire: one JSON object a line, on an answer that does not end.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use reqwest::Method;
use reqwest::header::ACCEPT;
use serde_json::Value;

use crate::client::{Client, JSON};

/// How long the next event may take, where a case says nothing else.
const EVENT_TIME: Duration = Duration::from_secs(60);
/// How long a watch is listened to before it counts as silent.
const SILENCE: Duration = Duration::from_millis(1500);
/// A line longer than this is no event of a test.
const LINE_BYTES: usize = 4 * 1024 * 1024;

pub(crate) struct Watch {
    client: Client,
    response: reqwest::Response,
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) object: Value,
}

impl Event {
    pub(crate) fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// `KIND NAME`, to compare in one look.
    pub(crate) fn short(&self) -> String {
        format!("{} {}", self.kind, self.name())
    }
}

impl Watch {
    /// Opens `COLLECTION?watch=1&QUERY`.
    pub(crate) async fn open(client: &Client, collection: &str, query: &str) -> Result<Self> {
        Self::open_as(client, collection, query, JSON).await
    }

    pub(crate) async fn open_as(
        client: &Client,
        collection: &str,
        query: &str,
        accept: &str,
    ) -> Result<Self> {
        let path = format!("{collection}?watch=1&{query}");
        let request = client.request(Method::GET, &path).header(ACCEPT, accept);
        let response = tokio::time::timeout(EVENT_TIME, client.begin(request)).await??;
        let status = response.status().as_u16();
        if status != 200 {
            bail!(
                "the watch `{path}` was refused: {status} {}",
                response.text().await?
            );
        }
        Ok(Self {
            client: client.clone(),
            response,
            buffer: Vec::new(),
        })
    }

    pub(crate) fn header(&self, name: &str) -> String {
        self.response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    }

    /// The next event; none when the server has ended the answer in good order.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>> {
        let limit = EVENT_TIME.min(self.client.patience);
        match tokio::time::timeout(limit, self.line()).await {
            Ok(line) => line,
            Err(_) => bail!("no event within {} s", limit.as_secs()),
        }
    }

    /// The next event, which must come.
    pub(crate) async fn event(&mut self) -> Result<Event> {
        match self.next().await? {
            Some(event) => Ok(event),
            None => bail!("the watch has ended"),
        }
    }

    /// The next event is of this kind, about this name.
    pub(crate) async fn expect(&mut self, kind: &str, name: &str) -> Result<Value> {
        let event = self.event().await?;
        ensure!(
            event.kind == kind && event.name() == name,
            "expected {kind} {name}, got {} {}",
            event.kind,
            event.object
        );
        Ok(event.object)
    }

    /// Events until one holds; it is given.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        holds: impl Fn(&Event) -> bool,
    ) -> Result<Event> {
        loop {
            match self.next().await? {
                Some(event) if holds(&event) => return Ok(event),
                Some(event) if event.kind == "ERROR" => {
                    bail!("an error instead of {what}: {}", event.object)
                }
                Some(_) => {}
                None => bail!("the watch has ended before {what}"),
            }
        }
    }

    /// Nothing comes for a while.
    pub(crate) async fn silent(&mut self) -> Result<()> {
        match tokio::time::timeout(SILENCE, self.line()).await {
            Err(_) => Ok(()),
            Ok(Ok(Some(event))) => {
                bail!("nothing was expected, got {} {}", event.kind, event.object)
            }
            Ok(Ok(None)) => bail!("the watch has ended"),
            Ok(Err(error)) => Err(error),
        }
    }

    async fn line(&mut self) -> Result<Option<Event>> {
        loop {
            match self.whole_line().await? {
                Some(mut event) => {
                    if self.client.sees(&mut event) {
                        return Ok(Some(event));
                    }
                }
                None => return Ok(None),
            }
        }
    }

    async fn whole_line(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let mut value: Value = serde_json::from_slice(&line)?;
                let object = value["object"].take();
                return Ok(Some(Event {
                    kind: value["type"].as_str().unwrap_or_default().to_owned(),
                    object,
                }));
            }
            ensure!(
                self.buffer.len() < LINE_BYTES,
                "a line of more than {LINE_BYTES} bytes"
            );
            match self.response.chunk().await? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => {
                    ensure!(
                        self.buffer.is_empty(),
                        "the watch has ended within an event"
                    );
                    return Ok(None);
                }
            }
        }
    }
}
