//! What the targets of a run are: the API and the machines of its profile, or those of a lab that is started for them.
//!
//! On a real profile there is one world. In the lab guides that need each other share one, others have their own, each started
//! when it is first asked for and gone with the run. Nothing is changed here.

mod brought;
pub mod clusters;
pub mod domains;
pub mod fixture;
mod guests;
mod lab;
mod machines;
mod network;
mod pods;
mod profile;
mod stand_ins;
mod state;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use runbook::model::Book;
use runbook_lab::Homelab;
use runbook_lab::hosts::Use;
use runbook_proxmox::{Client, ErrorKind, cluster};
use tokio::sync::OnceCell;

pub use clusters::{Cluster, Clusters};
pub use lab::{LabState, Started, lab_clusters, start as start_lab};
pub use machines::Machines;
pub use network::LabNetwork;
pub use pods::find_in as find_pod;

use crate::action::Failure;
use crate::origins::Origins;
use crate::process::Cancel;
use crate::reach::{Lost, PodPlace, Reach, ReachFuture};
use crate::remote::{Guests, Marks, SshSettings};
use crate::request::RunRequest;
use crate::secrets::Secrets;

/// The worlds of a run.
pub struct Worlds {
    book: Arc<Book>,
    profile: String,
    is_lab: bool,
    /// Where relative paths of the inventory begin.
    folder: PathBuf,
    /// The book's root.
    root: PathBuf,
    /// The lab's git.
    origins: Arc<Origins>,
    /// The domains of the lab.
    domains: Vec<String>,
    secrets: Arc<Secrets>,
    cancel: Cancel,
    worlds: Mutex<HashMap<u32, Arc<OnceCell<Arc<World>>>>>,
    /// The programs of the steps of each world.
    noted: Mutex<HashMap<u32, Vec<Marks>>>,
}

/// What targets are reached by.
pub struct World {
    proxmox: Result<Proxmox, Failure>,
    ssh: Result<SshSettings, String>,
    /// The lab's network, or why there is none; there is none on a real profile.
    network: Result<Arc<LabNetwork>, String>,
    identity: OnceCell<BTreeMap<String, String>>,
    /// Why its API lets nobody in: who asks again and again is shut out.
    refused: OnceLock<Failure>,
    clusters: Clusters,
    // Before the API that they follow.
    _machines: Option<Machines>,
    _lab: Option<Homelab>,
}

/// A Proxmox VE with the credentials there are.
#[derive(Debug, Clone)]
pub struct Proxmox {
    /// Who calls it: the token, where there is one.
    pub client: Client,
    /// The login, for what a token may not do.
    pub login: Option<Client>,
}

impl Worlds {
    /// The worlds of a run; nothing is started or connected yet.
    pub fn new(
        book: Arc<Book>,
        request: &RunRequest,
        secrets: Arc<Secrets>,
        origins: Arc<Origins>,
        cancel: Cancel,
    ) -> Self {
        let inventory = request.root.join(&book.options.inventory);
        let folder = inventory.parent().unwrap_or(&request.root).to_owned();
        let domains = domains::domains(&book, domains::given(&request.vars));
        Self {
            book,
            domains,
            profile: request.profile.clone(),
            is_lab: request.is_lab(),
            folder,
            root: request.root.clone(),
            origins,
            secrets,
            cancel,
            worlds: Mutex::default(),
            noted: Mutex::default(),
        }
    }

    /// A world, started or connected when it is first asked for.
    ///
    /// # Errors
    ///
    /// When the lab cannot be started, or the profile's secrets and files cannot be read. It is tried anew next time.
    pub async fn get(&self, world: u32) -> Result<Arc<World>, Failure> {
        let world = if self.is_lab { world } else { 0 };
        let cell = {
            let mut worlds = self.worlds.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(worlds.entry(world).or_default())
        };
        let found = cell.get_or_try_init(|| self.open(world)).await?;
        Ok(Arc::clone(found))
    }

    async fn open(&self, world: u32) -> Result<Arc<World>, Failure> {
        let world = if self.is_lab {
            let around = clusters::Around {
                folder: self.folder.clone(),
                root: self.root.clone(),
                origins: Arc::clone(&self.origins),
                world,
            };
            lab::open(&self.book, &around, &self.domains).await?
        } else {
            profile::open(self).await?
        };
        Ok(Arc::new(world))
    }

    /// What is known of a world's identity by now.
    pub fn known(&self, world: u32) -> BTreeMap<String, String> {
        let world = if self.is_lab { world } else { 0 };
        let worlds = self.worlds.lock().unwrap_or_else(PoisonError::into_inner);
        let known = worlds.get(&world).and_then(|cell| cell.get());
        let Some(world) = known else {
            return BTreeMap::new();
        };
        let mut identity = world.identity.get().cloned().unwrap_or_default();
        identity.extend(world.clusters.known());
        identity
    }

    /// The configuration of OpenSSH that reaches the machines of a lab; it is started when need be.
    ///
    /// # Errors
    ///
    /// Why there are none, for people.
    pub async fn ssh_config(&self, world: u32) -> Result<PathBuf, String> {
        let world = self.get(world).await.map_err(|failure| failure.message)?;
        let settings = world.ssh.as_ref().map_err(Clone::clone)?;
        settings
            .config
            .clone()
            .ok_or_else(|| "it has no configuration of OpenSSH".to_owned())
    }

    /// Writes one kubeconfig for all clusters of a lab, which are started when need be; the path it is given.
    ///
    /// # Errors
    ///
    /// Why there are none, for people.
    pub async fn write_kubeconfig(&self, world: u32, path: PathBuf) -> Result<PathBuf, String> {
        let opened = async { self.get(world).await?.clusters.kubeconfig().await };
        let text = opened.await.map_err(|failure| match failure.hint {
            Some(hint) => format!("{} (hint: {hint})", failure.message),
            None => failure.message,
        })?;
        clusters::kubeconfig::write(&path, &text).map_err(|error| error.to_string())?;
        Ok(path)
    }

    /// How many connections stand-ins of a world have taken so far. Nothing is started for it.
    pub fn stand_ins_used(&self, world: u32) -> usize {
        let network = self.started(world).and_then(|world| world.network().ok());
        network.map_or(0, |network| network.stand_ins_used())
    }

    /// Notes whose programs run in a world from now on.
    pub fn note(&self, world: u32, marks: &Marks) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.entry(world).or_default().push(marks.clone());
    }

    /// Whether stand-ins were used by these programs since that number of connections; or by somebody who cannot be told from
    /// them. Probes of this machine know it themselves.
    pub async fn used_by(&self, world: u32, marks: &Marks, since: usize) -> bool {
        let network = self.started(world).and_then(|world| world.network().ok());
        let Some(network) = network else {
            return false;
        };
        let uses = network.stand_in_uses(since).await;
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let others = noted.get(&world).map(Vec::as_slice).unwrap_or_default();
        uses.iter().any(|by| match by {
            Use::Outside => false,
            Use::Marked(mark) => {
                marks.contains(mark) || !others.iter().any(|other| other.contains(mark))
            }
            Use::Unknown => true,
        })
    }

    /// Whether a script on a machine of the lab uses a program that the book brings.
    pub fn brings(&self, machine: &str, script: &str) -> bool {
        let overlay = self.folder.join(machines::OVERLAYS).join(machine);
        self.is_lab && brought::is_used(&overlay, script)
    }

    /// A world that was asked for already.
    fn started(&self, world: u32) -> Option<Arc<World>> {
        let worlds = self.worlds.lock().unwrap_or_else(PoisonError::into_inner);
        worlds.get(&world)?.get().cloned()
    }

    /// Ends the labs.
    pub fn close(&self) {
        self.worlds
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl World {
    /// The Proxmox VE of this world.
    ///
    /// # Errors
    ///
    /// When the profile names none, or what it names cannot be used.
    pub fn proxmox(&self) -> Result<&Proxmox, Failure> {
        self.proxmox.as_ref().map_err(Clone::clone)
    }

    /// The Kubernetes clusters of this world.
    pub fn clusters(&self) -> &Clusters {
        &self.clusters
    }

    /// The network of a lab, or why there is none.
    pub fn network(&self) -> Result<Arc<LabNetwork>, String> {
        self.network.clone()
    }

    /// What it is, for records: version, node and cluster. Asked once.
    ///
    /// # Errors
    ///
    /// When the API cannot be asked.
    pub async fn identity(&self) -> Result<&BTreeMap<String, String>, Failure> {
        let proxmox = self.proxmox()?;
        let ask = async || {
            if let Some(refused) = self.refused() {
                return Err(refused.clone());
            }
            let identity = cluster::identity(&proxmox.client).await;
            let identity = identity.map_err(|error| self.at_first(error))?;
            let mut map = BTreeMap::from([("pve".to_owned(), identity.version)]);
            if !identity.node.is_empty() {
                map.insert("node".to_owned(), identity.node);
            }
            if let Some(cluster) = identity.cluster {
                map.insert("cluster".to_owned(), cluster);
            }
            Ok(map)
        };
        self.identity.get_or_try_init(ask).await
    }

    /// An error of the first questions as a failure of a step; credentials that were refused are not used again.
    pub fn at_first(&self, error: runbook_proxmox::Error) -> Failure {
        let is_refused = matches!(error, runbook_proxmox::Error::Unauthorized(_));
        let failure = failure(error);
        if is_refused {
            // The first is kept.
            let _ = self.refused.set(failure.clone());
        }
        failure
    }

    /// Why its API did not accept the credentials when it was first asked.
    pub fn refused(&self) -> Option<&Failure> {
        self.refused.get()
    }
}

/// An error of the API as a failure of a step.
pub fn failure(error: runbook_proxmox::Error) -> Failure {
    let mut failure = Failure::new(error.to_string()).hint(error.hint());
    failure.refused = error.kind() == ErrorKind::Refused;
    failure
}

impl Reach for Worlds {
    fn ssh(&self, world: u32) -> ReachFuture<'_, Result<SshSettings, String>> {
        Box::pin(async move {
            match self.get(world).await {
                Ok(world) => world.ssh.clone(),
                Err(failure) => Err(failure.message),
            }
        })
    }

    fn guests(&self, world: u32) -> ReachFuture<'_, Option<Arc<dyn Guests>>> {
        Box::pin(async move {
            let world = self.get(world).await.ok()?;
            let proxmox = world.proxmox().ok()?;
            if world.refused().is_some() {
                return None;
            }
            let known: Arc<dyn Guests> = Arc::new(guests::Known::new(proxmox.client.clone()));
            Some(known)
        })
    }

    fn pod<'a>(
        &'a self,
        world: u32,
        cluster: Option<&'a str>,
        namespace: &'a str,
        pod: &'a str,
    ) -> ReachFuture<'a, Result<PodPlace, Lost>> {
        Box::pin(async move {
            let world = self.get(world).await?;
            pods::find(world.clusters(), cluster, namespace, pod).await
        })
    }

    fn kept(&self, world: u32) -> ReachFuture<'_, Option<String>> {
        Box::pin(async move {
            if !self.is_lab {
                return None;
            }
            self.get(world).await.ok()?.ssh.as_ref().err().cloned()
        })
    }
}

#[cfg(test)]
mod tests;
