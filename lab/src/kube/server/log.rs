//! Logs of containers: whole, cut, from a time on, followed.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::exec;
use super::handle::Call;
use super::request::{Params, Place};
use super::respond::{self, Answer};
use super::sub::live;
use crate::kube::object;
use crate::kube::state::State;
use crate::kube::status::{Refusal, Result};

const PLAIN: &str = "text/plain";
/// Between looks at a log that is followed.
const LOOK: Duration = Duration::from_millis(50);
/// Pieces that wait for a slow client.
const PIECES_MAX: usize = 64;

pub(super) fn answer(call: &Call, place: &Place) -> Result<Answer> {
    let pod = live(call, place)?;
    let container = exec::container(&pod.value, call.params.get("container"))?["name"]
        .as_str()
        .unwrap_or_default();
    if object::text(&pod.value, &["spec", "nodeName"]).is_empty() {
        return Ok(respond::bytes(204, PLAIN, Bytes::new()));
    }
    let state = object::items(&pod.value, &["status", "containerStatuses"])
        .iter()
        .find(|one| one["name"] == container);
    let ended_before = state.is_some_and(|one| one["lastState"]["terminated"].is_object());
    if call.params.flag("previous") && !ended_before {
        let message = format!(
            "previous terminated container \"{container}\" in pod \"{}\" not found",
            place.name
        );
        return Err(Refusal::bad_request(message));
    }
    if let Some(waiting) = state.and_then(|one| one["state"]["waiting"]["reason"].as_str()) {
        let text = match waiting {
            "ImagePullBackOff" | "ErrImagePull" => "trying and failing to pull image".to_owned(),
            "CrashLoopBackOff" => String::new(),
            other => other.to_owned(),
        };
        if !text.is_empty() {
            let message = format!(
                "container \"{container}\" in pod \"{}\" is waiting to start: {text}",
                place.name
            );
            return Err(Refusal::bad_request(message));
        }
    }
    let key = (object::uid(&pod.value).to_owned(), container.to_owned());
    let (first, seen) = {
        let state = call.shared.cluster.lock();
        let lines = state.logs.get(&key).map(Vec::as_slice).unwrap_or_default();
        (text(lines, &call.params)?, lines.len())
    };
    if !call.params.flag("follow") {
        return Ok(respond::bytes(200, PLAIN, first.into()));
    }
    let (pieces, receiver) = mpsc::channel(PIECES_MAX);
    let (shared, stamps) = (call.shared.clone(), call.params.flag("timestamps"));
    let mut stopped = shared.stopped.clone();
    tokio::spawn(async move {
        let _alive = shared.alive.clone();
        let mut seen = seen;
        let mut piece = first;
        loop {
            if !piece.is_empty()
                && pieces
                    .send(Ok(Bytes::from(std::mem::take(&mut piece))))
                    .await
                    .is_err()
            {
                return;
            }
            tokio::select! {
                _ = stopped.changed() => return,
                () = pieces.closed() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let state = shared.cluster.lock();
            let lines = state.logs.get(&key).map(Vec::as_slice).unwrap_or_default();
            for line in lines.get(seen..).unwrap_or_default() {
                piece.push_str(shown(line, stamps));
                piece.push('\n');
            }
            seen = lines.len();
            let over = !runs(&state, &key);
            drop(state);
            if over && piece.is_empty() {
                return;
            }
        }
    });
    Ok(respond::lines(PLAIN, receiver))
}

/// Whether more may come from a container.
fn runs(state: &State, (uid, container): &(String, String)) -> bool {
    state.store.by_uid(uid).is_some_and(|pod| {
        object::items(&pod.value, &["status", "containerStatuses"])
            .iter()
            .any(|one| one["name"] == container.as_str() && !one["state"]["terminated"].is_object())
    })
}

fn shown(line: &str, stamps: bool) -> &str {
    if stamps {
        line
    } else {
        line.split_once(' ').map_or("", |(_, rest)| rest)
    }
}

/// The lines as the query wants them.
fn text(lines: &[String], params: &Params) -> Result<String> {
    let since = match (params.number("sinceSeconds"), params.get("sinceTime")) {
        (Some(seconds), _) => {
            let seconds = i64::try_from(seconds).unwrap_or_default();
            Some(jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds))
        }
        (None, "") => None,
        (None, time) => Some(
            time.parse()
                .map_err(|_| Refusal::bad_request(format!("invalid sinceTime `{time}`")))?,
        ),
    };
    let young = |line: &&String| {
        let time = line
            .split(' ')
            .next()
            .unwrap_or_default()
            .parse::<jiff::Timestamp>()
            .unwrap_or_default();
        since.is_none_or(|since| time >= since)
    };
    let lines: Vec<&String> = lines.iter().filter(young).collect();
    let from = match params
        .number("tailLines")
        .and_then(|count| usize::try_from(count).ok())
    {
        Some(most) => lines.len().saturating_sub(most),
        None => 0,
    };
    let mut out = String::new();
    for line in &lines[from..] {
        out.push_str(shown(line, params.flag("timestamps")));
        out.push('\n');
    }
    if let Some(most) = params
        .number("limitBytes")
        .and_then(|most| usize::try_from(most).ok())
    {
        let mut end = most.min(out.len());
        while !out.is_char_boundary(end) {
            end -= 1;
        }
        out.truncate(end);
    }
    Ok(out)
}
