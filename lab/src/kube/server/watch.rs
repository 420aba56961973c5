//! Watches: from a version on, as lines of JSON, with bookmarks, until a time, an error or the client ends them.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::handle::Call;
use super::read::{self, Form};
use super::request::Place;
use super::respond::{self, Answer, Cut};
use crate::kube::faults::Fault;
use crate::kube::object::Object;
use crate::kube::page::{parse_version, too_old};
use crate::kube::resource::Resource;
use crate::kube::select::Selector;
use crate::kube::state::Cluster;
use crate::kube::status::{Cause, Refusal, Result};
use crate::kube::store::Event;

/// Lines that wait for a slow client.
const LINES_MAX: usize = 64;
/// How long a watch lasts that says nothing about it.
const DURATION: Duration = Duration::from_secs(45 * 60);
/// Between bookmarks.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// A watch that ends by its time gets a bookmark that long before.
const BOOKMARK_BEFORE: Duration = Duration::from_secs(2);

struct Watch {
    cluster: Arc<Cluster>,
    resource: Arc<Resource>,
    namespace: String,
    selector: Selector,
    form: Form,
    bookmarks: bool,
    /// Up to which version everything was sent.
    at: u64,
}

pub(crate) fn start(call: &Call, place: &Place) -> Result<Answer> {
    let query = read::query(call, place)?;
    let form = read::form(call)?;
    let initial = check(call)?;
    let (lines, receiver) = mpsc::channel(LINES_MAX);
    let mut watch = Watch {
        cluster: call.shared.cluster.clone(),
        resource: place.resource.clone(),
        namespace: place.namespace.clone(),
        selector: query.selector.clone(),
        form,
        bookmarks: call.params.flag("allowWatchBookmarks"),
        at: 0,
    };
    let wanted = parse_version(&query.version).map_err(|refusal| {
        // Here the words are those of another layer.
        let text = refusal
            .message
            .trim_start_matches("invalid resource version: ");
        Refusal::new(500, "", text)
    })?;
    let mut first: Vec<Bytes> = Vec::new();
    let wake = {
        let mut state = watch.cluster.lock();
        let now = state.store.version();
        let table = watch.resource.qualified();
        let whole = initial == Some(true) || (initial.is_none() && wanted == 0);
        if whole {
            for (_, object) in state.store.list(&table, &watch.namespace) {
                if watch.selector.matches(&object.value) {
                    first.push(watch.line("ADDED", object));
                }
            }
            watch.at = now;
            if initial == Some(true) {
                first.push(watch.bookmark(true));
            }
        } else if initial == Some(false) && wanted == 0 {
            watch.at = now;
        } else if state.store.since(&table, wanted).is_none() {
            first.push(error_line(&too_old(wanted, now)));
            watch.at = u64::MAX;
        } else {
            watch.at = wanted;
        }
        state.store.watch(&table)
    };
    if call.fault == Some(Fault::WatchExpired) {
        first = vec![error_line(&too_old(wanted, watch.at))];
        watch.at = u64::MAX;
    }
    let seconds = call
        .params
        .number("timeoutSeconds")
        .filter(|seconds| *seconds > 0);
    let lasts = seconds.map_or(DURATION, Duration::from_secs);
    let (mut stopped, alive) = (call.shared.stopped.clone(), call.shared.alive.clone());
    let fault = call.fault.clone();
    tokio::spawn(async move {
        let _alive = alive;
        tokio::select! {
            _ = stopped.changed() => {}
            () = watch.run(first, wake, lines, lasts, fault) => {}
        }
    });
    Ok(respond::lines("application/json", receiver))
}

/// The rules of `sendInitialEvents`.
fn check(call: &Call) -> Result<Option<bool>> {
    let given = call.params.get("sendInitialEvents");
    let matches = call.params.get("resourceVersionMatch");
    let refuse = |field: &str, detail: &str| {
        Err(Refusal::invalid(
            "ListOptions.meta.k8s.io",
            "",
            &[Cause::forbidden(field, detail)],
        ))
    };
    if given.is_empty() {
        if !matches.is_empty() {
            return refuse(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            );
        }
        return Ok(None);
    }
    if matches != "NotOlderThan" {
        return refuse(
            "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        );
    }
    let wanted = call.params.flag("sendInitialEvents");
    if wanted && !call.params.flag("allowWatchBookmarks") {
        // Asked for without its end being wished: the real one serves it, the bookmark is not sent.
        return Ok(Some(true));
    }
    Ok(Some(wanted))
}

fn error_line(refusal: &Refusal) -> Bytes {
    Bytes::from(format!(
        "{}\n",
        json!({"type": "ERROR", "object": refusal.body()})
    ))
}

impl Watch {
    fn line(&self, kind: &str, object: &Object) -> Bytes {
        let text = read::shaped(&self.resource, object, self.form);
        let mut out = BytesMut::with_capacity(text.len() + 32);
        out.put_slice(b"{\"type\":\"");
        out.put_slice(kind.as_bytes());
        out.put_slice(b"\",\"object\":");
        out.put_slice(&text);
        out.put_slice(b"}\n");
        out.freeze()
    }

    fn bookmark(&self, end_of_first: bool) -> Bytes {
        let mut meta = json!({"resourceVersion": self.at.to_string(), "creationTimestamp": null});
        if end_of_first {
            meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let (kind, version) = match self.form {
            Form::Full => (self.resource.kind.clone(), self.resource.api_version()),
            Form::Partial => ("PartialObjectMetadata".into(), "meta.k8s.io/v1".into()),
            Form::Table { .. } => ("Table".into(), "meta.k8s.io/v1".into()),
        };
        let object = json!({"kind": kind, "apiVersion": version, "metadata": meta});
        Bytes::from(format!(
            "{}\n",
            json!({"type": "BOOKMARK", "object": object})
        ))
    }

    /// What an event is for this watch.
    fn seen(&self, event: &Event) -> Option<Bytes> {
        let inside = |object: &Arc<Object>| {
            (self.namespace.is_empty()
                || crate::kube::object::namespace(&object.value) == self.namespace)
                && self.selector.matches(&object.value)
        };
        let now = event.now.as_ref().filter(|object| inside(object));
        let before = event.before.as_ref().filter(|object| inside(object));
        match (before, now) {
            (None, Some(now)) => Some(self.line("ADDED", now)),
            (Some(_), Some(now)) => Some(self.line("MODIFIED", now)),
            // It is gone for this watch: its last version that was seen, at the version at which it went.
            (Some(before), None) => {
                let mut value: Value = before.value.clone();
                value["metadata"]["resourceVersion"] = event.version.to_string().into();
                Some(self.line("DELETED", &Object::new(value)))
            }
            (None, None) => None,
        }
    }

    async fn run(
        mut self,
        first: Vec<Bytes>,
        mut wake: tokio::sync::watch::Receiver<u64>,
        lines: mpsc::Sender<std::result::Result<Bytes, Cut>>,
        lasts: Duration,
        fault: Option<Fault>,
    ) {
        let end = Instant::now() + lasts;
        let cut = match fault {
            Some(Fault::WatchCut(after)) => Some(Instant::now() + after),
            _ => None,
        };
        let silent = fault == Some(Fault::WatchSilent);
        for line in first {
            if lines.send(Ok(line)).await.is_err() {
                return;
            }
        }
        if self.at == u64::MAX {
            return;
        }
        let mut bookmark = Instant::now() + BOOKMARK_EVERY;
        if lasts > BOOKMARK_BEFORE {
            bookmark = bookmark.min(end - BOOKMARK_BEFORE);
        }
        let far = end + DURATION;
        loop {
            if !silent && !self.send_new(&lines).await {
                return;
            }
            tokio::select! {
                changed = wake.changed() => if changed.is_err() { return },
                () = lines.closed() => return,
                () = tokio::time::sleep_until(end) => return,
                () = tokio::time::sleep_until(cut.unwrap_or(far)) => {
                    let _ = lines.send(Err(Cut)).await;
                    return;
                }
                () = tokio::time::sleep_until(bookmark) => {
                    bookmark = Instant::now() + BOOKMARK_EVERY;
                    if self.bookmarks && !silent && lines.send(Ok(self.bookmark(false))).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Sends what happened since; false when the watch is over.
    async fn send_new(&mut self, lines: &mpsc::Sender<std::result::Result<Bytes, Cut>>) -> bool {
        let (events, now) = {
            let state = self.cluster.lock();
            (
                state.store.since(&self.resource.qualified(), self.at),
                state.store.version(),
            )
        };
        let Some(events) = events else {
            // The client was slower than the history is long.
            let _ = lines.send(Ok(error_line(&too_old(self.at, now)))).await;
            return false;
        };
        for event in events {
            if let Some(line) = self.seen(&event)
                && lines.send(Ok(line)).await.is_err()
            {
                return false;
            }
        }
        // A version that is yet to come is waited for.
        self.at = self.at.max(now);
        true
    }
}
