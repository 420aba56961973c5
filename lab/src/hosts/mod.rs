//! The machines of the lab: nodes, guests and other hosts, each with files and processes of its own, reached by SSH.
//!
//! Their roots follow the guests of the cluster (`Hooks`), and some programs on them are answered from the lab's state
//! (`program`). What is not answered says so and fails; nothing is a success that did not happen.

mod answer;
mod boot;
mod calls;
mod commands;
mod devices;
mod drive;
mod files;
mod follow;
mod gateway;
mod guests;
mod listeners;
mod machine;
mod mounts;
mod names;
mod node;
mod pods;
mod ports;
pub mod program;
mod reach;
mod records;
mod sftp;
mod storage;
mod systemctl;
mod units;
mod uses;
mod within;
mod zfs;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crate::fixture::{Device, GuestKind};
use crate::isolate::{self, Sandbox, SandboxConfig};
use crate::pve::{Cluster, Hooks};
use crate::{dns, ssh};

use machine::Machine;

pub use gateway::{Gateway, Published};
pub use ports::{Answers, Served, StandIn};
pub use uses::Use;

/// The port of SSH, and the unit behind it.
const SSH: (u16, &str) = (22, "ssh");

/// What a machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A node of the cluster.
    Node,
    /// A guest of the cluster.
    Guest {
        /// Its number.
        vmid: u32,
        /// Container or virtual machine.
        kind: GuestKind,
        /// The node it is on at first.
        node: String,
    },
    /// Anything else.
    Host,
}

/// A machine to be there.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Its addresses in the lab.
    pub addresses: Vec<IpAddr>,
    /// The account of SSH; `root` if not given. Another one may become root by `sudo`.
    pub user: Option<String>,
    /// Units that run at first, without or with `.service`.
    pub units: Vec<String>,
    /// Packages that are installed at first: `name` or `name=version`.
    pub packages: Vec<String>,
    /// PCI and USB devices of a node.
    pub devices: Vec<Device>,
    /// ZFS pools of a node and their sizes in bytes.
    pub pools: Vec<(String, u64)>,
    /// Services that a book brings.
    pub stand_ins: Vec<StandIn>,
    /// A directory whose files are laid over its own.
    pub overlay: Option<PathBuf>,
    /// Whether it is up at first.
    pub up: bool,
}

impl Spec {
    /// A machine that is up, with nothing of its own.
    pub fn new(name: impl Into<String>, role: Role) -> Self {
        Self {
            name: name.into(),
            role,
            addresses: Vec::new(),
            user: None,
            units: Vec::new(),
            packages: Vec::new(),
            devices: Vec::new(),
            pools: Vec::new(),
            stand_ins: Vec::new(),
            overlay: None,
            up: true,
        }
    }
}

/// Why there are no machines.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine forbids isolation.
    #[error("{0}")]
    Forbidden(isolate::Forbidden),
    /// The isolated place does not start.
    #[error("the lab's machines cannot be isolated")]
    Isolate(#[from] isolate::Error),
    /// A machine's files cannot be made.
    #[error("the files of the lab's `{name}` cannot be made")]
    Root {
        /// Whose.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The name server does not start.
    #[error("the lab's machines have no name server")]
    Names(#[source] io::Error),
    /// SSH does not start.
    #[error(transparent)]
    Ssh(#[from] ssh::Error),
}

/// All machines of a lab. They end when the last copy is dropped.
#[derive(Clone)]
pub struct Hosts(Arc<Inner>);

struct Inner {
    /// Answers on the machines' own loopback, which they share.
    _names: dns::Server,
    sandbox: Sandbox,
    /// This executable.
    program: PathBuf,
    directory: PathBuf,
    machines: Mutex<BTreeMap<String, Arc<Machine>>>,
    snapshots: Mutex<BTreeMap<(u32, String), isolate::Root>>,
    cluster: OnceLock<Weak<Cluster>>,
    zone: dns::Zone,
    /// Addresses that DHCP gave, by guest.
    leases: Mutex<BTreeMap<u32, IpAddr>>,
    /// Who used stand-ins.
    uses: uses::Uses,
    /// The variable by which programs are told apart.
    mark: OnceLock<&'static str>,
    /// Held while services are turned on and off.
    refreshing: tokio::sync::Mutex<()>,
    /// What has the stand-ins of clusters.
    gateways: Mutex<Vec<Weak<Machine>>>,
    /// Objects of clusters that stand-ins need, and whether they are ready.
    objects: Mutex<BTreeMap<String, bool>>,
}

impl Hosts {
    /// Makes the machines below an empty directory. The place's addresses are those of the machines that are up; its
    /// `program` is the executable whose `main` asks [`isolate::main_if_asked`] and [`program::main_if_asked`] first. Names
    /// below the domains are the lab's.
    ///
    /// # Errors
    ///
    /// When isolation is forbidden here, or files cannot be made.
    pub async fn start(
        place: SandboxConfig,
        directory: &Path,
        specs: Vec<Spec>,
        domains: &[String],
    ) -> Result<Self, Error> {
        let program = place.program.clone();
        let sandbox = match Sandbox::start(place).await {
            Err(isolate::Error::Forbidden(forbidden)) => return Err(Error::Forbidden(forbidden)),
            started => started?,
        };
        let zone = names::zone(&specs, domains);
        let names = names::serve(&sandbox, zone.clone()).await?;
        let hosts = Self(Arc::new(Inner {
            _names: names,
            sandbox,
            program,
            directory: directory.to_owned(),
            machines: Mutex::default(),
            snapshots: Mutex::default(),
            cluster: OnceLock::new(),
            zone: zone.clone(),
            leases: Mutex::default(),
            uses: uses::Uses::default(),
            mark: OnceLock::new(),
            refreshing: tokio::sync::Mutex::default(),
            gateways: Mutex::default(),
            objects: Mutex::default(),
        }));
        let lab = Arc::downgrade(&hosts.0);
        zone.also(Arc::new(move || names::now(&lab)));
        let known: String = specs
            .iter()
            .flat_map(|spec| {
                spec.addresses
                    .iter()
                    .map(move |address| format!("{address} {}\n", spec.name))
            })
            .collect();
        for spec in specs {
            hosts.add(spec, &known).await?;
        }
        Ok(hosts)
    }

    /// What the cluster tells of its guests; give it to [`Cluster::with_hooks`].
    pub fn hooks(&self) -> Box<dyn Hooks> {
        Box::new(follow::Follow(Arc::downgrade(&self.0)))
    }

    /// The cluster that programs on the machines ask. Once.
    pub fn set_cluster(&self, cluster: &Arc<Cluster>) {
        // A second one would be a mistake of the caller; the first stays.
        let _ = self.0.cluster.set(Arc::downgrade(cluster));
    }

    /// Starts SSH for all machines; its files go to that directory.
    ///
    /// # Errors
    ///
    /// When it cannot listen, or write its files.
    pub async fn ssh(&self, directory: &Path) -> Result<ssh::Server, Error> {
        let machines: Vec<Arc<Machine>> = self.0.all();
        let host = |machine: Arc<Machine>| ssh::Host {
            name: machine.spec.name.clone(),
            aliases: self.0.zone.aliases(&machine.spec.name),
            addresses: machine.spec.addresses.clone(),
            user: machine.spec.user.clone(),
            machine,
        };
        let hosts = machines.iter().cloned().map(host).collect();
        let server = ssh::Server::start(directory, hosts, Some(self.0.program.clone())).await?;
        for machine in machines {
            self.serve_ssh(&machine, &server).await;
        }
        Ok(server)
    }

    /// The lab's network, where the addresses are real.
    pub fn sandbox(&self) -> &Sandbox {
        &self.0.sandbox
    }

    /// Whether a machine of that name is up.
    pub fn is_up(&self, name: &str) -> bool {
        self.0.find(name).is_some_and(|machine| machine.is_up())
    }

    async fn add(&self, spec: Spec, known: &str) -> Result<(), Error> {
        let (name, up) = (spec.name.clone(), spec.up);
        let failed = |source| Error::Root {
            name: name.clone(),
            source,
        };
        let machine = Machine::new(spec, &self.0, known).map_err(failed)?;
        self.0.lock().insert(name.clone(), machine.clone());
        if up {
            machine.start().await.map_err(failed)?;
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // What serves a machine knows it, and the machine knows what serves it: neither would go.
        for machine in self.all() {
            machine.offer_nothing();
        }
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Machine>>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Arc<Machine>> {
        self.lock().values().cloned().collect()
    }

    fn find(&self, name: &str) -> Option<Arc<Machine>> {
        self.lock().get(name).cloned()
    }

    /// The machine of a guest.
    fn guest(&self, vmid: u32) -> Option<Arc<Machine>> {
        self.lock()
            .values()
            .find(|machine| machine.vmid() == Some(vmid))
            .cloned()
    }

    fn cluster(&self) -> Option<Arc<Cluster>> {
        self.cluster.get()?.upgrade()
    }
}
