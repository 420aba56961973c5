//! A simulated Kubernetes cluster: a store, the API on a real TLS socket, controllers and Flux.
//!
//! Every answer comes from the store. Schemas, discovery and ownership come from a table that is derived from the official
//! OpenAPI documents; what is not in it is not served and answers 404. Every writer, the controllers too, goes the way of
//! `admit`: decoding, defaults, checks, ownership, store. To add a controller: write `controllers/NAME.rs` with a function
//! `(&mut State, namespace, name)` that brings one object to where it should be, and name it in `controllers::REACTIONS`.
//!
//! It imports nothing of the clients that are tested with it. Programs of containers are run by a hook; the only program it runs by
//! itself is `git`, which reads the repositories that Flux is shown.

mod admit;
mod apply;
mod attach;
mod controllers;
mod crd;
mod discovery;
pub mod faults;
mod flux;
mod object;
mod openapi;
mod page;
mod patch;
pub mod programs;
mod resource;
mod schema;
mod select;
pub mod server;
pub mod settings;
mod state;
mod status;
mod store;
mod table;
mod wire;

pub use faults::{Fault, Faults, When};
pub use flux::kustomized;
pub use programs::{Missing, NoPrograms, Order, Programs};
pub use server::Server;
pub use settings::{Delays, Error, Fail, FluxSettings, Rule, Settings, TokenRule};
pub use state::Cluster;
