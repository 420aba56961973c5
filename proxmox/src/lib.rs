//! A client for the Proxmox VE API (8.3 to 9.2; facts about answers were recorded from 9.2). It knows no runbooks.
//!
//! Requests are pure values ([`Request`]) that know whether they may be repeated; one transport ([`Client`]) sends them;
//! everything else makes requests or reads answers. Nothing here prints, and no secret is in any error or `Debug`.
//!
//! ```no_run
//! # async fn example() -> Result<(), runbook_proxmox::Error> {
//! use runbook_proxmox::{Auth, Client, Endpoint, Request, Trust};
//! let client = Client::new(Endpoint {
//!     url: "https://192.168.4.11:8006".into(),
//!     auth: Auth::token("root@pam!lab", "11111111-2222-3333-4444-555555555555"),
//!     trust: Trust::Fingerprint("AA:BB:…".into()),
//! })?;
//! let version = client.call(&Request::get("/version")).await?;
//! println!("{}", version["version"]);
//! # Ok(()) }
//! ```

mod answer;
mod client;
mod error;
mod loose;
mod property;
mod request;
mod session;
mod shape;
mod transport;
mod trust;
mod upid;

pub mod access;
pub mod agent;
pub mod backup;
pub mod cluster;
pub mod guest;
pub mod ha;
pub mod storage;
pub mod task;

pub use answer::{Answer, decode};
pub use client::{Client, Endpoint, REQUEST_TIMEOUT, Times};
pub use error::{Error, ErrorKind};
pub use loose::{flag, integer, number, text};
pub use property::{PropertyString, same_value};
pub use request::{Method, Request, Retry};
pub use session::Auth;
pub use shape::{Difference, Shape, same_option};
pub use trust::Trust;
pub use upid::Upid;
