//! A client for Kubernetes (1.26 and later; proved on 1.36) and Flux. It knows no runbooks.
//!
//! Objects are JSON values: what is not said is not sent, so nothing is owned by accident. `kube` makes connections, TLS,
//! credentials and WebSockets; requests ([`Request`]) are values of ours that know whether they may be repeated, and every one has a
//! deadline. Nothing here prints, and no body, query or credential is in any `Debug`.
//!
//! ```no_run
//! # async fn example() -> Result<(), runbook_k8s::Error> {
//! use std::time::Duration;
//! use runbook_k8s::apply::{Options, Plan};
//! use runbook_k8s::{Access, Client, manifest, wait};
//! let access = Access::Kubeconfig { path: "/home/me/.kube/config".into(), context: Some("home".into()) };
//! let client = Client::connect(&access).await?;
//! let objects = manifest::parse("{apiVersion: v1, kind: ConfigMap, metadata: {name: motd}, data: {text: hello}}")?;
//! let plan = Plan::make(&client, &objects, &Options::default()).await?;
//! plan.objects().iter().for_each(|planned| println!("{} {:?}", planned.key, planned.action));
//! let limit = Duration::from_secs(60);
//! let outcome = plan.run(&client, limit, |applied| println!("{} is applied", applied.key)).await?;
//! outcome.ready(&client, wait::Wish::default(), limit).await?;
//! # Ok(()) }
//! ```
//!
//! From the ground up: `object`, `kind`, `request`, `error` (values); `status`, [`manifest`], [`kstatus`], [`diff`] (pure);
//! `access`, `transport`, `client`, `discovery`, `get` (one request); `watch`, [`watched`], [`wait`], `evidence`, [`log`], [`exec`],
//! [`change`], [`pod`]; [`apply`], [`job`], [`flux`].

mod access;
mod client;
mod discovery;
mod error;
mod evidence;
mod get;
mod kind;
mod kinds;
mod object;
mod request;
mod standing;
mod status;
mod transport;
mod watch;

pub mod apply;
pub mod change;
pub mod diff;
pub mod exec;
pub mod flux;
pub mod job;
pub mod kstatus;
pub mod log;
pub mod manifest;
pub mod pod;
pub mod wait;
pub mod watched;

pub use access::Access;
pub use client::{Client, Times};
pub use error::{Cause, Denied, Error, ErrorKind, FieldConflict};
pub use evidence::events;
pub use get::{Identity, List, Query, items, without_managed_fields};
pub use kind::Resource;
pub use object::{Key, Object, Place};
pub use request::{Content, Request};
pub use standing::{Evidence, Standing};
