//! An embedded homelab on real sockets. The clients cannot tell it from the real thing.

pub mod fixture;
pub mod isolate;
pub mod pve;
