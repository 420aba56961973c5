//! Defects of the lab, one at a time: an error, a state change or an answer that is left out.
//!
//! A defect stands between the case and the real lab and does what a lab with that defect would do, as far as a client can
//! see it. Each names the case that must turn red.

mod answers;
mod changes;
mod errors;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::wire::{Answer, Api, Auth, Real, Request, Sent};

/// How often a task of the real lab is looked at, and how long between two looks.
const LOOKS_MAX: u32 = 500;
const BETWEEN_LOOKS: Duration = Duration::from_millis(4);
/// The ids of tasks that never were begin with this.
const NO_TASK: &str = "UPID:pve1:0000DEAD:";

/// A defect, the case that sees it, and what it does.
pub(crate) struct Defect {
    pub(crate) name: &'static str,
    pub(crate) seen_by: &'static str,
    act: for<'a> fn(&'a Defective, Request) -> Sent<'a>,
}

/// All of them.
pub(crate) fn all() -> Vec<&'static Defect> {
    [errors::DEFECTS, changes::DEFECTS, answers::DEFECTS]
        .into_iter()
        .flatten()
        .collect()
}

macro_rules! defects {
    ($($name:literal => $case:literal: $act:ident,)*) => {
        pub(super) const DEFECTS: &[crate::seeded::Defect] = &[
            $(crate::seeded::Defect { name: $name, seen_by: $case, act: |lab, request| Box::pin($act(lab, request)) },)*
        ];
    };
}
use defects;

/// The real lab with one defect.
pub(crate) struct Defective {
    real: Real,
    defect: &'static Defect,
    /// What the defect remembers.
    kept: Mutex<Vec<Value>>,
}

impl Defective {
    pub(crate) fn new(real: Real, defect: &'static Defect) -> Self {
        let kept = Mutex::default();
        Self { real, defect, kept }
    }

    /// What the real lab answers.
    async fn real(&self, request: Request) -> Answer {
        self.real.send(request).await
    }

    /// A call of the defect's own, as root.
    async fn own(&self, verb: &'static str, path: &str, params: &[(&str, &str)]) -> Value {
        let answer = self.real(Request::new(verb, path, params)).await;
        answer.body["data"].clone()
    }

    /// The same, waited for to its end.
    async fn own_task(&self, verb: &'static str, path: &str, params: &[(&str, &str)]) {
        let upid = self.own(verb, path, params).await;
        self.wait(upid.as_str().unwrap_or_default()).await;
    }

    async fn wait(&self, upid: &str) {
        for _ in 0..LOOKS_MAX {
            let status = self
                .own("GET", &format!("/nodes/pve1/tasks/{upid}/status"), &[])
                .await;
            if status["status"] == "stopped" {
                return;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// The credentials of root@pam itself.
    async fn root_ticket(&self) -> Auth {
        let login = [("username", "root@pam"), ("password", "rootpw")];
        let request = Request::new("POST", "/access/ticket", &login).with(Auth::Nothing);
        let data = self.real(request).await.body["data"].clone();
        let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
        Auth::Ticket {
            ticket: text("ticket"),
            csrf: Some(text("CSRFPreventionToken")),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Value>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Api for Defective {
    fn send(&self, request: Request) -> Sent<'_> {
        if !request.path.contains(NO_TASK) {
            return (self.defect.act)(self, request);
        }
        let data = if request.path.contains("/log") {
            json!([{"n": 1, "t": "TASK OK"}])
        } else {
            json!({"status": "stopped", "exitstatus": "OK"})
        };
        Box::pin(async { good(data) })
    }

    fn pass(&self, time: Duration) {
        self.real.pass(time);
    }

    fn slow_tasks(&self, time: Duration) {
        self.real.slow_tasks(time);
    }
}

/// A success.
fn good(data: Value) -> Answer {
    Answer {
        status: 200,
        reason: "OK".into(),
        kind: Some("application/json;charset=UTF-8".into()),
        body: json!({"data": data}),
    }
}

/// A task that ended well and did nothing.
fn no_task() -> Answer {
    good(format!("{NO_TASK}00000001:60000000:nothing:0:root@pam:").into())
}

impl Request {
    fn is(&self, verb: &str, end: &str) -> bool {
        self.verb == verb && self.path.ends_with(end)
    }

    fn drop(&mut self, name: &str) {
        self.params.retain(|(own, _)| own != name);
    }

    fn add(&mut self, name: &str, value: &str) {
        self.drop(name);
        self.params.push((name.to_owned(), value.to_owned()));
    }
}

impl Answer {
    /// Changes the data of a success.
    fn edit(mut self, change: impl FnOnce(&mut Value)) -> Self {
        if self.status == 200 {
            change(&mut self.body["data"]);
        }
        self
    }
}

/// Takes a key out of an object.
fn without(data: &mut Value, key: &str) {
    if let Some(map) = data.as_object_mut() {
        map.shift_remove(key);
    }
}
