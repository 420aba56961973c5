//! The cluster: the state behind one lock, the clock, the workers, and a call in the API's order of checks.
//!
//! `call` is what the server and the lab's own `pvesh`, `pct` and `qm` use. It knows no HTTP.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::answer::{Answer, Fail};
use super::api::{self, Act};
pub(crate) use super::call::Call;
pub use super::call::Caller;
use super::faults::Faults;
use super::hooks::{Hooks, NoHooks};
use super::locks::Locks;
use super::params::{Params, plain};
use super::schema::{self, Method};
use super::state::{State, Status, seed};
use super::uploads::Uploads;
use super::{auth, guest, permission};
use crate::fixture::Fixture;

/// A simulated Proxmox VE cluster.
pub struct Cluster {
    state: Mutex<State>,
    pub(crate) locks: Locks,
    pub(crate) hooks: Box<dyn Hooks>,
    pub(crate) faults: Faults,
    pub(crate) secret: [u8; 32],
    pub(crate) uploads: Uploads,
    /// Seconds the clock is ahead: tests let tickets expire.
    ahead: AtomicI64,
    /// How long a task takes at least, in milliseconds.
    task_ms: AtomicU64,
    /// When it started, for `uptime` of tasks' process starts.
    pub(crate) since: i64,
    fingerprint: std::sync::OnceLock<String>,
    pub(crate) me: std::sync::Weak<Cluster>,
}

impl Cluster {
    /// A cluster in the state of a fixture that nobody follows.
    pub fn new(fixture: &Fixture) -> Arc<Self> {
        Self::with_hooks(fixture, Box::new(NoHooks))
    }

    /// A cluster in the state of a fixture.
    pub fn with_hooks(fixture: &Fixture, hooks: Box<dyn Hooks>) -> Arc<Self> {
        let now = unix_now();
        Arc::new_cyclic(|me| Self {
            state: Mutex::new(seed(fixture, now)),
            locks: Locks::default(),
            hooks,
            faults: Faults::seeded(&fixture.faults),
            secret: auth::random(),
            uploads: Uploads::default(),
            ahead: AtomicI64::new(0),
            task_ms: AtomicU64::new(fixture.task_ms),
            since: now,
            fingerprint: std::sync::OnceLock::new(),
            me: me.clone(),
        })
    }

    /// The faults to inject; empty at first.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The fingerprint of the certificate it answers with, once a server has one.
    pub(crate) fn fingerprint(&self) -> Option<String> {
        self.fingerprint.get().cloned()
    }

    pub(crate) fn set_fingerprint(&self, fingerprint: &str) {
        let _ = self.fingerprint.set(fingerprint.to_owned());
    }

    /// Seconds since 1970, as the cluster sees it.
    pub fn now(&self) -> i64 {
        unix_now() + self.ahead.load(Ordering::Relaxed)
    }

    /// Lets time pass for tickets and tokens.
    pub fn advance(&self, by: Duration) {
        self.ahead.fetch_add(
            i64::try_from(by.as_secs()).unwrap_or(i64::MAX),
            Ordering::Relaxed,
        );
    }

    /// How long a task takes at least.
    pub fn set_task_duration(&self, duration: Duration) {
        self.task_ms.store(
            u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// The file of a volume, whether it is there or not; `None` without such a storage.
    pub fn path_of(&self, storage: &str, volume: &str) -> Option<String> {
        let state = self.lock();
        Some(state.storage(storage)?.file(volume))
    }

    /// What a restart of a node does: its tasks end with `unexpected status`, locks stay, guests stop; those that start
    /// at boot run again. Says which guests stopped and which of them run.
    pub fn node_restarted(&self, name: &str) -> (Vec<u32>, Vec<u32>) {
        let now = self.now();
        let mut state = self.lock();
        state.tasks.vanish_on(name, now);
        if let Some(node) = state.node_mut(name) {
            node.booted = now;
        }
        let mut stopped = Vec::new();
        let mut wanted = Vec::new();
        for guest in state.guests.values_mut().filter(|guest| guest.node == name) {
            if guest.is_running() {
                guest.status = Status::Stopped;
                stopped.push(guest.vmid);
            }
            let onboot = guest.config.get("onboot").and_then(plain).as_deref() == Some("1");
            if onboot && guest.lock().is_none() && !guest.is_template() {
                wanted.push(guest.vmid);
            }
        }
        for vmid in &wanted {
            guest::change::apply(&mut state, *vmid);
            guest::run(&mut state, *vmid, now);
        }
        (stopped, wanted)
    }

    /// Takes a node down or up: calls to it answer 595 while it is down.
    pub fn set_online(&self, node: &str, online: bool) {
        if let Some(node) = self.lock().node_mut(node) {
            node.online = online;
        }
    }

    /// Calls the API in process. `path` is what follows `/api2/json`.
    pub async fn call(&self, verb: &str, path: &str, params: Params, caller: &Caller) -> Answer {
        match self.prepare(verb, path, params, caller) {
            Ok(ready) => ready.run().await,
            Err(fail) => Err(fail).into(),
        }
    }

    /// All checks before the work, in the API's order: 501, 403, node, 400.
    pub(crate) fn prepare(
        &self,
        verb: &str,
        path: &str,
        params: Params,
        caller: &Caller,
    ) -> Result<Ready, Fail> {
        let (parts, shown) = split_path(path);
        let refs: Vec<&str> = parts.iter().map(String::as_str).collect();
        let missing = || Fail::not_implemented(verb, &shown);
        let found = schema::find(&refs).ok_or_else(missing)?;
        let method: &'static Method = found.methods.get(verb).ok_or_else(missing)?;
        let mut params = params;
        params.remove("_dc");
        for (name, value) in &found.bound {
            if params.text(name).is_some_and(|other| other != *value) {
                return Err(Fail::status(
                    400,
                    "duplicate parameter (already defined in URI) with conflicting values",
                ));
            }
            params.set(name, value.clone());
        }
        if method.ticket_only && caller.is_token() {
            return Err(Fail::forbidden(&format!(
                "URI '{shown}' not available with API token, need proper ticket.\n"
            )));
        }
        let state = self.lock();
        permission::check(
            &state.access,
            method.permissions.as_ref(),
            caller.authid.as_deref(),
            &params,
        )?;
        proxy(&state, found.template, &params)?;
        drop(state);
        schema::coerce(method, &mut params);
        let errors = schema::verify(method, &params);
        if !errors.is_empty() {
            return Err(Fail::params(errors));
        }
        let act = api::route(verb, found.template).ok_or_else(missing)?;
        let cluster = self
            .me
            .upgrade()
            .ok_or_else(|| Fail::die("the lab has stopped"))?;
        Ok(Ready {
            call: Call {
                cluster,
                caller: caller.clone(),
                params,
            },
            act,
            protected: method.protected,
        })
    }

    /// The state; held for short, never over an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At least the time a task takes.
    pub(crate) async fn pace(&self) {
        let wait = self.task_ms.load(Ordering::Relaxed);
        if wait > 0 {
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }
}

/// A call that passed all checks.
pub(crate) struct Ready {
    call: Call,
    act: Act,
    /// The proxy waits for it with a limit.
    pub(crate) protected: bool,
}

impl Ready {
    pub(crate) async fn run(self) -> Answer {
        match self.act {
            Act::Now(act) => {
                let cluster = self.call.cluster.clone();
                let mut state = cluster.lock();
                act(&self.call, &mut state).into()
            }
            Act::Later(act) => act(self.call).await.into(),
        }
    }
}

/// Which node answers: an unknown one does not resolve, one that is down cannot be reached.
fn proxy(state: &State, template: &str, params: &Params) -> Result<(), Fail> {
    if !template.starts_with("/nodes/{node}/") || template == "/nodes/{node}/tasks/{upid}" {
        return Ok(());
    }
    let name = params.text("node").unwrap_or_default();
    match state.node(&name) {
        _ if name == "localhost" => Ok(()),
        Some(node) if node.online => Ok(()),
        Some(_) => Err(Fail::status(595, "No route to host")),
        None => Err(Fail::die(format!(
            "hostname lookup '{name}' failed - failed to get address info for: {name}: Name or service not known"
        ))),
    }
}

/// The path's parts, and the path as error texts show it: single slashes, none at the end.
fn split_path(path: &str) -> (Vec<String>, String) {
    let parts: Vec<String> = path
        .split('/')
        .filter(|part| !part.is_empty())
        .map(percent_decode)
        .collect();
    let shown = format!("/{}", parts.join("/"));
    (parts, shown)
}

/// `%2F` as `/`; what is no escape stays.
pub(crate) fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after
            .get(..2)
            .and_then(|two| std::str::from_utf8(two).ok())
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        match hex {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn unix_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        })
}
