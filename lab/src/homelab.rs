//! A whole lab: its Proxmox VE API on a loopback port, with the credentials that were seeded.
//!
//! Everything lives as long as the value; nothing listens after it was dropped.

use std::sync::Arc;

use crate::fixture::Fixture;
use crate::pve::{Cluster, Hooks, NoHooks, Options, Server};

/// A running lab.
pub struct Homelab {
    server: Server,
    cluster: Arc<Cluster>,
}

impl std::fmt::Debug for Homelab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Homelab({})", self.server.addr)
    }
}

/// Why a lab does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificate cannot be made.
    #[error("the lab's certificate cannot be made: {0}")]
    Identity(String),
    /// No port can be listened at.
    #[error("the lab cannot listen: {0}")]
    Listen(#[from] std::io::Error),
}

impl Homelab {
    /// Starts a lab with this state.
    ///
    /// # Errors
    ///
    /// When it cannot listen on the loopback.
    pub async fn start(fixture: &Fixture) -> Result<Self, Error> {
        Self::with_hooks(fixture, Box::new(NoHooks)).await
    }

    /// The same with who follows what becomes of guests.
    ///
    /// # Errors
    ///
    /// When it cannot listen on the loopback.
    pub async fn with_hooks(fixture: &Fixture, hooks: Box<dyn Hooks>) -> Result<Self, Error> {
        let cluster = Cluster::with_hooks(fixture, hooks);
        let names = fixture.nodes.iter().flat_map(|node| {
            let address = node.ip.iter().cloned();
            std::iter::once(node.name.clone()).chain(address)
        });
        let options = Options::named(&names.collect::<Vec<_>>())
            .map_err(|error| Error::Identity(error.to_string()))?;
        let server = Server::start(Arc::clone(&cluster), options).await?;
        Ok(Self { server, cluster })
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// What serves the API to a connection of the lab's own network.
    pub fn serves(&self) -> crate::command::Serve {
        self.server.serves()
    }

    /// The SHA-256 of the API's certificate, `AA:BB:…`.
    pub fn fingerprint(&self) -> &str {
        &self.server.fingerprint
    }

    /// The authority that signed it, as PEM.
    pub fn ca(&self) -> &str {
        &self.server.ca_pem
    }

    /// The state behind the API, for faults and for what follows it.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }
}
