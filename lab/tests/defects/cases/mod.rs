//! What a client can rely on, one case per behaviour. A case starts with a fresh lab and ends at the first thing that is
//! not so, which it names.

mod access;
mod containers;
mod guests;
mod machines;
mod requests;
mod snapshots;
mod storage;
mod tasks;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::wire::{Answer, Api, Auth, Request};

/// How often a task is looked at before it is given up, and how long between two looks.
const LOOKS_MAX: u32 = 500;
const BETWEEN_LOOKS: Duration = Duration::from_millis(4);

/// Green, or what was not so.
pub(crate) type Verdict = Result<(), String>;
pub(crate) type Running = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// A behaviour and how it is seen.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(Lab) -> Running,
}

/// All of them.
pub(crate) fn all() -> Vec<&'static Case> {
    [
        access::CASES,
        requests::CASES,
        guests::CASES,
        containers::CASES,
        machines::CASES,
        snapshots::CASES,
        tasks::CASES,
        storage::CASES,
    ]
    .into_iter()
    .flatten()
    .collect()
}

macro_rules! cases {
    ($($name:literal: $case:ident,)*) => {
        pub(super) const CASES: &[crate::cases::Case] = &[
            $(crate::cases::Case { name: $name, run: |lab| Box::pin($case(lab)) },)*
        ];
    };
}
pub(crate) use cases;

/// A lab, real or with a defect.
#[derive(Clone)]
pub(crate) struct Lab(pub(crate) Arc<dyn Api>);

/// Compares two values and says which of them was meant.
pub(crate) fn is(what: &str, got: &Value, wanted: impl Into<Value>) -> Verdict {
    let wanted = wanted.into();
    if *got == wanted {
        Ok(())
    } else {
        Err(format!("{what}: {got}, not {wanted}"))
    }
}

/// Compares a status and a reason phrase.
pub(crate) fn refuses(answer: &Answer, status: u16, reason: &str) -> Verdict {
    let got = (answer.status, answer.reason.as_str());
    if got == (status, reason) {
        Ok(())
    } else {
        Err(format!("{got:?}, not {:?}", (status, reason)))
    }
}

/// Something that must be so.
pub(crate) fn holds(what: &str, so: bool) -> Verdict {
    if so {
        Ok(())
    } else {
        Err(format!("not so: {what}"))
    }
}

impl Lab {
    /// Any answer.
    pub(crate) async fn send(&self, request: Request) -> Answer {
        self.0.send(request).await
    }

    /// Any answer to root's token.
    pub(crate) async fn call(
        &self,
        verb: &'static str,
        path: &str,
        params: &[(&str, &str)],
    ) -> Answer {
        self.send(Request::new(verb, path, params)).await
    }

    /// The data of a call that must succeed.
    pub(crate) async fn data(
        &self,
        verb: &'static str,
        path: &str,
        params: &[(&str, &str)],
    ) -> Result<Value, String> {
        let answer = self.call(verb, path, params).await;
        if answer.status == 200 {
            Ok(answer.body["data"].clone())
        } else {
            Err(format!(
                "{verb} {path}: {} {} {}",
                answer.status, answer.reason, answer.body
            ))
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, String> {
        self.data("GET", path, &[]).await
    }

    /// Starts a task and waits for its exit status.
    pub(crate) async fn task(
        &self,
        verb: &'static str,
        path: &str,
        params: &[(&str, &str)],
    ) -> Result<String, String> {
        let upid = self.data(verb, path, params).await?;
        self.end(upid.as_str().ok_or(format!("{verb} {path} gave no task"))?)
            .await
    }

    /// A task that must end well.
    pub(crate) async fn done(
        &self,
        verb: &'static str,
        path: &str,
        params: &[(&str, &str)],
    ) -> Verdict {
        match self.task(verb, path, params).await?.as_str() {
            "OK" => Ok(()),
            other => Err(format!("{verb} {path} ended with: {other}")),
        }
    }

    /// A task that must end with that error.
    pub(crate) async fn fails(
        &self,
        verb: &'static str,
        path: &str,
        params: &[(&str, &str)],
        exit: &str,
    ) -> Verdict {
        is(path, &self.task(verb, path, params).await?.into(), exit)
    }

    /// How a task ended, waited for.
    pub(crate) async fn end(&self, upid: &str) -> Result<String, String> {
        let path = format!("/nodes/pve1/tasks/{upid}/status");
        for _ in 0..LOOKS_MAX {
            let status = self.get(&path).await?;
            if status["status"] == "stopped" {
                let exit = status["exitstatus"].as_str();
                return exit
                    .map(str::to_owned)
                    .ok_or("an ended task has no exit status".into());
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Err("the task does not end".into())
    }

    /// The lines of a task's log.
    pub(crate) async fn log(&self, upid: &str) -> Result<Vec<String>, String> {
        let rows = self
            .get(&format!("/nodes/pve1/tasks/{upid}/log?limit=0"))
            .await?;
        let lines = rows
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|row| row["t"].as_str());
        Ok(lines.map(str::to_owned).collect())
    }

    /// A ticket by password.
    pub(crate) async fn login(&self, user: &str, password: &str) -> Result<Auth, String> {
        let request = Request::new(
            "POST",
            "/access/ticket",
            &[("username", user), ("password", password)],
        );
        let answer = self.send(request.with(Auth::Nothing)).await;
        let text = |key: &str| answer.body["data"][key].as_str().map(str::to_owned);
        Ok(Auth::Ticket {
            ticket: text("ticket").ok_or("a login gives no ticket")?,
            csrf: Some(text("CSRFPreventionToken").ok_or("a login gives no CSRF token")?),
        })
    }
}

/// The values under a key of a list's rows.
pub(crate) fn column(rows: &Value, key: &str) -> Vec<String> {
    let rows = rows.as_array().into_iter().flatten();
    rows.filter_map(|row| match &row[key] {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    })
    .collect()
}
