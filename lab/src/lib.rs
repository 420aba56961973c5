//! An embedded homelab on real sockets. The clients cannot tell it from the real thing.

pub mod command;
pub mod dns;
pub mod fixture;
pub mod homelab;
pub mod hosts;
pub mod identity;
pub mod isolate;
pub mod kube;
mod listen;
pub mod pve;
pub mod ssh;
pub mod stand_in;

pub use homelab::Homelab;
