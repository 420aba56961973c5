//! Actions on Proxmox VE, one file each: guests, their snapshots, high availability, images, any call.
//!
//! What is wished and how it differs is pure ([`guest`]); reading and changing goes through a [`world::World`], which has a
//! [`runbook_proxmox::Client`], the step's deadline and its stop.

pub mod call;
pub mod declared;
pub mod guest;
pub mod ha;
pub mod helper;
pub mod image;
pub mod life;
pub mod needs;
pub mod pairs;
pub mod snapshot;
pub mod snippet;
pub mod world;
