//! A lab of the book's inventory: its credentials, its start, and the clients that know it.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use runbook::model::Book;
use runbook_lab::Homelab;
use runbook_lab::fixture::Fixture;
use runbook_proxmox::{Auth, Client, Endpoint, Trust};
use tokio::sync::OnceCell;

use super::clusters::Around;
use super::fixture::{Credentials, TOKEN, USER, preconditions};
use super::machines::{self, Machines};
use super::{Clusters, LabNetwork, Proxmox, World, clusters, state};
use crate::action::Failure;
use crate::remote::SshSettings;

/// What a lab is started from.
pub enum LabState<'a> {
    /// The book's inventory, the folder it lies in, and the domains of the lab.
    Book(&'a Book, &'a Path, &'a [String]),
    /// A fixture in the form of the recorded exchanges' header line.
    File(&'a str),
}

/// A lab that runs.
pub struct Started {
    /// Its API.
    pub lab: Homelab,
    /// What it began with.
    pub fixture: Fixture,
    /// Its machines, or why there are none.
    pub machines: Result<Machines, String>,
}

/// Starts a lab. Where its machines cannot be isolated it is one without machines.
///
/// # Errors
///
/// A fixture that cannot be read, no port to listen at.
pub async fn start(from: LabState<'_>, credentials: &Credentials) -> Result<Started, Failure> {
    let said = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
    let (fixture, hosts) = match from {
        LabState::Book(book, folder, domains) => {
            let value = preconditions(book, credentials);
            let fixture: Fixture = serde_json::from_value(value)
                .map_err(|error| Failure::new(format!("the inventory makes no lab: {error}")))?;
            let hosts = machines::prepare(&book.inventory, folder, domains, &fixture).await?;
            (fixture, hosts)
        }
        LabState::File(text) => {
            let fixture = Fixture::parse(text).map_err(|error| said(&error))?;
            let hosts = machines::start(state::specs(&fixture), &[]).await;
            (fixture, hosts)
        }
    };
    let lab = match &hosts {
        Ok(prepared) => Homelab::with_hooks(&fixture, prepared.hooks()).await,
        Err(_) => Homelab::start(&fixture).await,
    };
    let lab = lab.map_err(|error| said(&error))?;
    let machines = match hosts {
        Ok(prepared) => {
            let nodes: Vec<String> = fixture.nodes.iter().map(|node| node.name.clone()).collect();
            prepared.serve(&lab, nodes).await
        }
        Err(why) => Err(why),
    };
    Ok(Started {
        lab,
        fixture,
        machines,
    })
}

impl Credentials {
    /// Made up, for one lab only.
    ///
    /// # Errors
    ///
    /// When the system gives no randomness.
    pub fn random() -> Result<Self, Failure> {
        let mut bytes = [0u8; 32];
        let source = rustls::crypto::ring::default_provider().secure_random;
        source
            .fill(&mut bytes)
            .map_err(|_| Failure::new("the system gives no randomness"))?;
        let digits =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        let token = digits(&bytes[..16]);
        let parts = [
            &token[..8],
            &token[8..12],
            &token[12..16],
            &token[16..20],
            &token[20..],
        ];
        Ok(Self {
            password: digits(&bytes[16..]),
            token: parts.join("-"),
        })
    }
}

/// The clusters of a lab, to be started when they are asked for.
pub async fn lab_clusters(book: &Book, around: &Around, machines: Option<&Machines>) -> Clusters {
    let hosts = machines.map(Machines::hosts);
    let prepared = clusters::prepare(&book.inventory, around, hosts.as_ref());
    Clusters::of_lab(prepared).await
}

pub(super) async fn open(
    book: &Book,
    around: &Around,
    domains: &[String],
) -> Result<World, Failure> {
    let credentials = Credentials::random()?;
    let state = LabState::Book(book, &around.folder, domains);
    let Started { lab, machines, .. } = start(state, &credentials).await?;
    let client = |auth| {
        Client::new(Endpoint {
            url: lab.url(),
            auth,
            trust: Trust::Ca(lab.ca().to_owned()),
        })
        .map_err(super::failure)
    };
    let proxmox = Proxmox {
        client: client(Auth::token(TOKEN, &credentials.token))?,
        login: Some(client(Auth::login(USER, &credentials.password))?),
    };
    let clusters = lab_clusters(book, around, machines.as_ref().ok()).await;
    Ok(World {
        proxmox: Ok(proxmox),
        ssh: machines
            .as_ref()
            .map(|machines| SshSettings {
                config: Some(machines.ssh_config()),
                ..SshSettings::default()
            })
            .map_err(Clone::clone),
        network: machines
            .as_ref()
            .map(|machines| Arc::new(LabNetwork::new(machines.hosts())))
            .map_err(Clone::clone),
        identity: OnceCell::new(),
        refused: OnceLock::new(),
        clusters,
        _machines: machines.ok(),
        _lab: Some(lab),
    })
}
