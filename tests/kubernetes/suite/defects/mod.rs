//! Defects of a server, one at a time: an error, a state change or an answer that is left out. Each must turn its case red; a case that
//! nothing can turn red would prove nothing.
//!
//! A defect stands between the case and the server and does what a server with that defect would do, as far as a client can see it.

mod answers;
mod changes;
mod errors;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt as _;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Request, Url};
use serde_json::Value;

use crate::case::{self, Case};
use crate::client::Reply;
use crate::options::Options;
use crate::report::Outcome;
use crate::server::Server;
use crate::watch::Event;

/// What the issue asks for; there are more.
const DEFECTS_MIN: usize = 20;
/// As much of a case's error as is shown.
const SHOWN_CHARS: usize = 160;

/// A defect, the case that sees it, and what it does.
pub(crate) struct Defect {
    name: &'static str,
    seen_by: &'static str,
    act: Act,
}

enum Act {
    /// What the server understands of a request.
    Ask(fn(&mut Request)),
    /// What it answers.
    Answer(fn(&Method, &mut Reply)),
    /// What it sends over a watch; false is nothing.
    Event(fn(&mut Event) -> bool),
}

/// `defects![ask "name" => "group/case": function, ...]`: a table of defects.
macro_rules! defects {
    ($($kind:ident $name:literal => $case:literal: $act:expr,)*) => {
        pub(super) const DEFECTS: &[crate::defects::Defect] = &[$(crate::defects::Defect {
            name: $name,
            seen_by: $case,
            act: defects!(@$kind $act),
        }),*];
    };
    (@ask $act:expr) => { crate::defects::Act::Ask($act) };
    (@answer $act:expr) => { crate::defects::Act::Answer($act) };
    (@event $act:expr) => { crate::defects::Act::Event($act) };
}
use defects;

impl Defect {
    pub(crate) fn ask(&self, request: &mut Request) {
        if let Act::Ask(act) = self.act {
            act(request);
        }
    }

    pub(crate) fn answer(&self, method: &Method, reply: &mut Reply) {
        if let Act::Answer(act) = self.act
            && reply.body.is_object()
        {
            act(method, reply);
            reply.text = reply.body.to_string();
        }
    }

    pub(crate) fn event(&self, event: &mut Event) -> bool {
        match self.act {
            Act::Event(act) => act(event),
            _ => true,
        }
    }
}

/// What became of a defect.
enum Seen {
    Red(String),
    Unseen(String),
    Skipped(String),
}

/// Tries every defect; fails when one is not seen.
pub(crate) async fn run(server: &Server, options: &Options) -> ExitCode {
    let chosen: Vec<&'static Defect> = all()
        .filter(|defect| options.chooses(defect.name) || options.chooses(defect.seen_by))
        .collect();
    let started = Instant::now();
    let names: BTreeSet<&str> = all().map(|defect| defect.name).collect();
    if names.len() != all().count() || names.len() < DEFECTS_MIN {
        println!("kubernetes defects: two have one name, or there are fewer than {DEFECTS_MIN}");
        return ExitCode::FAILURE;
    }
    println!(
        "\nkubernetes defects: {} seeded, one at a time",
        chosen.len()
    );
    let count = chosen.len();
    let mut running = futures_util::stream::iter(chosen)
        .map(|defect| async move { (defect, judge(server, defect).await) })
        .buffer_unordered(options.jobs);
    let (mut red, mut unseen, mut skipped) = (0, 0, 0);
    while let Some((defect, seen)) = running.next().await {
        let (name, case) = (defect.name, defect.seen_by);
        match seen {
            Seen::Red(text) => {
                red += 1;
                let text: String = text.replace('\n', " ").chars().take(SHOWN_CHARS).collect();
                println!("red     {name}: {case}: {text}");
            }
            Seen::Unseen(text) => {
                unseen += 1;
                println!("UNSEEN  {name}: {case}: {text}");
            }
            Seen::Skipped(reason) => {
                skipped += 1;
                println!("skipped {name}: {case}: {reason}");
            }
        }
    }
    println!(
        "\nkubernetes defects: {red} of {count} seen, {unseen} unseen, {skipped} skipped, in {:.0} s",
        started.elapsed().as_secs_f64()
    );
    if unseen == 0 && red > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The case is green without the defect and red with it.
async fn judge(server: &Server, defect: &'static Defect) -> Seen {
    let Some(case) = crate::cases::all().find(|case| case.name() == defect.seen_by) else {
        return Seen::Unseen("there is no such case".into());
    };
    match outcome(case, server.clone()).await {
        Outcome::Passed => {}
        Outcome::Skipped(reason) => return Seen::Skipped(reason),
        Outcome::Failed(text) => {
            return Seen::Unseen(format!("red without the defect too: {text}"));
        }
    }
    match outcome(case, server.with(defect)).await {
        Outcome::Failed(text) => Seen::Red(text),
        Outcome::Passed => Seen::Unseen("stays green".into()),
        Outcome::Skipped(reason) => Seen::Unseen(format!("is skipped with it: {reason}")),
    }
}

async fn outcome(case: &'static Case, server: Server) -> Outcome {
    match tokio::spawn(case::run(case, Arc::new(server))).await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Failed(format!("the case panicked: {error}")),
    }
}

fn all() -> impl Iterator<Item = &'static Defect> {
    [errors::DEFECTS, changes::DEFECTS, answers::DEFECTS]
        .into_iter()
        .flatten()
}

/// Takes a parameter out of the query.
fn forget(url: &mut Url, name: &str) {
    let rest: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(own, _)| own != name)
        .map(|(own, value)| (own.into_owned(), value.into_owned()))
        .collect();
    url.set_query(None);
    if !rest.is_empty() {
        url.query_pairs_mut().extend_pairs(rest);
    }
}

/// Says a parameter in the query.
fn say(url: &mut Url, name: &str, value: &str) {
    forget(url, name);
    url.query_pairs_mut().append_pair(name, value);
}

/// Changes the body where it is JSON.
fn body(request: &mut Request, change: impl FnOnce(&mut Value)) {
    let bytes = request.body().and_then(|body| body.as_bytes());
    let value = bytes.and_then(|bytes| serde_json::from_slice(bytes).ok());
    let Some(mut value) = value.filter(Value::is_object) else {
        return;
    };
    change(&mut value);
    *request.body_mut() = Some(value.to_string().into());
}

/// Whether a request is a change of this method, to a path that contains this.
fn is(request: &Request, method: &Method, path: &str) -> bool {
    request.method() == method && request.url().path().contains(path)
}

fn content_type(request: &Request) -> &str {
    request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Takes a key out of an object.
fn without(value: &mut Value, key: &str) {
    if let Some(map) = value.as_object_mut() {
        map.shift_remove(key);
    }
}
