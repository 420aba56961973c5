//! Actions on Proxmox VE, one file each: guests, their snapshots, high availability, images, any call.
//!
//! What is wished and how it differs is pure ([`guest`]); reading and changing goes through a [`runbook_proxmox::Client`].

pub mod guest;
pub mod pairs;
