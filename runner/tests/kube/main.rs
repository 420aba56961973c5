//! The actions on clusters through the engine: books are run against the lab's Kubernetes API on a real socket.

mod absent;
mod apply;
#[allow(dead_code)]
#[path = "../engine/book_test.rs"]
mod book_test;
mod cluster;
mod faults;
mod flux;
mod job;
mod manifests;
mod pods;
mod programs;
mod ready;
mod secrets;
mod undo;
