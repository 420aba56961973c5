//! Stand-in services that a book brings: they answer at a host's address and port while what they need runs.
//!
//! A table answers HTTP; a program gets each connection. Whether one was used is counted, so that a step can say so.

mod service;
mod table;

pub use service::{Listen, Program, Seen, Service, What};
pub use table::{Row, Table, TableError};
