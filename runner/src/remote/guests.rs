//! What must be asked of somebody else about guests: where they live, at which address, and their agent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::agent::Agent;

/// What a question about a guest becomes; the error is for people.
pub type GuestFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// Who knows the guests: the Proxmox VE API.
pub trait Guests: Send + Sync {
    /// The number of a guest that the inventory knows by name only.
    fn number(&self, name: String) -> GuestFuture<'_, u32>;

    /// The node it lives on.
    fn node(&self, vmid: u32) -> GuestFuture<'_, String>;

    /// Its address: the agent's, or that of its first interface.
    fn address(&self, vmid: u32) -> GuestFuture<'_, String>;

    /// Its agent.
    fn agent(&self, vmid: u32) -> Arc<dyn Agent>;
}
