//! The actions on Proxmox VE through the engine: books are run against the lab's API on a real socket.

#[allow(dead_code)]
#[path = "../engine/book_test.rs"]
mod book_test;
mod cluster;
mod faults;
mod guests;
mod others;
mod refused;
mod rights;
mod sources;
