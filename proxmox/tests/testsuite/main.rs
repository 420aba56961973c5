//! The client against a TLS server that misbehaves on demand, and against recorded answers of a real one.

#![allow(clippy::print_stderr)]

mod agent;
mod auth;
mod cluster;
mod corpus;
mod server;
mod tasks;
mod transport;
