//! The rooms of the `runbook` program, as a library so that tests and benchmarks reach them.
//!
//! The leaves (`process`, `probe`, `redact`, `scratch`, `whole_file`) know nothing of runbooks; what is built on them does. Nothing points up.

pub mod action;
pub mod causes;
pub mod cli;
pub mod execute;
pub mod exit;
pub mod history;
pub mod journal;
pub mod listing;
pub mod local;
pub mod origins;
pub mod plan;
pub mod probe;
pub mod process;
pub mod reach;
pub mod redact;
pub mod remote;
pub mod report;
pub mod request;
pub mod revision;
pub mod scope;
pub mod scratch;
pub mod secrets;
pub mod sink;
pub mod site;
pub mod whole_file;
pub mod world;
