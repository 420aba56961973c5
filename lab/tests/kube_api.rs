//! The Kubernetes API over its real socket: what clients are promised, kind by kind.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

#[path = "kube/support.rs"]
mod support;

#[path = "kube/apply.rs"]
mod apply;
#[path = "kube/basics.rs"]
mod basics;
#[path = "kube/flux.rs"]
mod flux;
#[path = "kube/kubectl.rs"]
mod kubectl;
#[path = "kube/lives.rs"]
mod lives;
#[path = "kube/programs.rs"]
mod programs;
#[path = "kube/watches.rs"]
mod watches;
#[path = "kube/workloads.rs"]
mod workloads;
