//! A simulated Proxmox VE cluster: `Cluster` holds its state, `Server` answers for it on a real TLS socket.
//!
//! Every answer comes from the state and from the table of the official schema. To add endpoints: write a file
//! `api/FAMILY.rs` with `pub(super) const ROUTES: &[Route]`, add it to `api::FAMILIES`, done. A route names a verb, the
//! path template of the schema and what it does: `Act::Now(fn(&Call, &mut State) -> Outcome)` under the state's lock, or
//! `Act::Later(fn(Call) -> HookFuture<Outcome>)` when it waits (a lock, the agent). Parameters, permissions that the
//! schema declares and the node are checked before. Long work is `call.task(state, "vzstart", "130", |worker| async { … })`:
//! it returns the answer with the UPID; the worker logs by `worker.log`, warns by `worker.warn`, and its `Err(Fail)` is
//! the exit status. `cluster.locks.guest(kind, vmid).await` is a guest's lock; `Fail::die("text")` is a 500.

mod access;
mod answer;
mod api;
mod auth;
mod call;
mod cluster;
pub mod faults;
mod guest;
pub mod hooks;
mod locks;
mod params;
mod permission;
pub mod schema;
pub mod server;
mod state;
mod task;
mod uploads;
mod web;
mod worker;

pub use answer::{Answer, Fail};
pub use auth::TICKET_SECONDS;
pub use cluster::{Caller, Cluster};
pub use faults::{Fault, Faults};
pub use hooks::{AgentResult, HookFuture, Hooks, Interface, NoHooks};
pub use locks::LOCK_WAIT;
pub use params::Params;
pub use server::{Options, Server};
pub use task::{TASK_LOG_LINES_MAX, TASKS_MAX};
