//! What answers at the machines' addresses in the lab's own network: their SSH, the API of the nodes, a book's stand-ins.
//!
//! Each listens only while it would on a real machine: the machine is up, and what it needs runs. Otherwise nothing is
//! there, and a connection is refused.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::net::TcpListener;

use super::commands::environment;
use super::machine::Machine;
use super::{Hosts, Inner, Role, SSH, uses};
use crate::command::{Later, Serve};
use crate::ssh;
use crate::stand_in::{Listen, Service, Table, What};

/// Where on a machine a stand-in's program lies.
const PROGRAMS: &str = "usr/libexec/lab-stand-ins";

/// A service that a book brings, at a port of a machine.
#[derive(Debug, Clone)]
pub struct StandIn {
    /// The port.
    pub port: u16,
    /// What must run: a unit of the machine, a guest, or an object of a cluster; nothing but the machine when not given.
    pub needs: Option<String>,
    /// What answers.
    pub answers: Answers,
}

/// What a stand-in answers with.
#[derive(Debug, Clone)]
pub enum Answers {
    /// HTTP answers.
    Table(Arc<Table>),
    /// A program's file outside; it is copied to the machine and gets each connection there.
    Program(PathBuf),
}

/// What the lab has at an address and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Served {
    /// Something of the lab's own. It may be off, as on a real machine that is down.
    Own,
    /// A stand-in. It may be off too.
    StandIn,
    /// A stand-in that never answers: the lab has not what it needs.
    Unable(String),
    /// Nothing that the lab knows of; a program of the machine may listen.
    Unknown,
}

/// Something that is offered at a port of a machine.
pub(super) struct Offer {
    port: u16,
    is_stand_in: bool,
    needs: Option<String>,
    what: What,
    /// The same service's port on this machine, outside of the lab's network.
    gate: Option<ssh::Gate>,
    /// By address: the machine's may come and go.
    services: Mutex<BTreeMap<IpAddr, Arc<Service>>>,
}

impl Offer {
    fn new(port: u16, needs: Option<String>, what: What, is_stand_in: bool) -> Arc<Self> {
        Arc::new(Self {
            port,
            is_stand_in,
            needs,
            what,
            gate: None,
            services: Mutex::default(),
        })
    }

    /// The SSH of a machine.
    fn ssh(serve: Serve, gate: ssh::Gate) -> Arc<Self> {
        Arc::new(Self {
            port: SSH.0,
            is_stand_in: false,
            needs: Some(SSH.1.to_owned()),
            what: What::Own(serve),
            gate: Some(gate),
            services: Mutex::default(),
        })
    }

    /// A book's.
    pub(super) fn stand_in(stand_in: &StandIn, machine: &Weak<Machine>) -> Arc<Self> {
        let what = match &stand_in.answers {
            Answers::Table(table) => What::Table(Arc::clone(table)),
            Answers::Program(_) => program(stand_in.port, machine.clone()),
        };
        Self::new(stand_in.port, stand_in.needs.clone(), what, true)
    }

    /// Its port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn service(
        &self,
        address: IpAddr,
        lab: &Arc<Inner>,
        net: &Arc<dyn Listen>,
    ) -> Arc<Service> {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let service = services.entry(address).or_insert_with(|| {
            let at = SocketAddr::new(address, self.port);
            let seen = self
                .is_stand_in
                .then(|| uses::seen(Arc::downgrade(lab), at));
            let service = Service::new(at, self.what.clone(), Arc::clone(net));
            Arc::new(service.with_seen(seen))
        });
        Arc::clone(service)
    }

    pub(super) fn known(&self) -> Vec<(IpAddr, Arc<Service>)> {
        let services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        services
            .iter()
            .map(|(address, service)| (*address, Arc::clone(service)))
            .collect()
    }

    /// The object of a cluster that it needs.
    fn object(&self) -> Option<&str> {
        self.needs.as_deref().filter(|needs| needs.contains('/'))
    }

    /// What it is; `objects` are those that a cluster can have.
    fn served(&self, objects: &BTreeMap<String, bool>) -> Served {
        let unable = self.object().filter(|needs| !objects.contains_key(*needs));
        match (self.is_stand_in, unable) {
            (_, Some(needs)) => Served::Unable(needs.to_owned()),
            (true, None) => Served::StandIn,
            (false, None) => Served::Own,
        }
    }
}

/// A program of the machine, started for each connection.
fn program(port: u16, machine: Weak<Machine>) -> What {
    What::Program(Arc::new(move || {
        let machine = machine.upgrade();
        Box::pin(async move {
            let machine = machine.ok_or("the lab is gone")?;
            let file = PathBuf::from("/").join(PROGRAMS).join(port.to_string());
            let env = environment("/root".as_ref(), "root", &[]);
            machine
                .process(vec![file.into()], env, "/".into(), None)
                .await
        })
    }))
}

/// Copies the programs of stand-ins to a machine, in the place of what is there.
pub(super) fn write_programs(machine: &Machine) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = machine.root.path().join(PROGRAMS);
    for stand_in in &machine.spec.stand_ins {
        let Answers::Program(file) = &stand_in.answers else {
            continue;
        };
        std::fs::create_dir_all(&directory)?;
        let at = directory.join(stand_in.port.to_string());
        // Not written over: a link of the machine's would lead elsewhere.
        match std::fs::remove_file(&at) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::fs::copy(file, &at)?;
        std::fs::set_permissions(&at, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Listens in the lab's network.
pub(super) struct Net(pub(super) Weak<Inner>);

impl Listen for Net {
    fn listen(&self, address: SocketAddr) -> Later<io::Result<TcpListener>> {
        let lab = self.0.upgrade();
        Box::pin(async move {
            let lab = lab.ok_or(io::ErrorKind::NotConnected)?;
            lab.sandbox.listen(address).await.map_err(io::Error::other)
        })
    }
}

impl Inner {
    /// Turns on what has what it needs, and off what has not; when this returns it is so.
    pub(super) async fn refresh(self: &Arc<Self>) {
        // One after the other: what was found must be true when it is set.
        let _one = self.refreshing.lock().await;
        let net: Arc<dyn Listen> = Arc::new(Net(Arc::downgrade(self)));
        for machine in self.all() {
            let addresses = machine.addresses();
            for offer in machine.offers() {
                let on = machine.is_up() && self.holds(&machine, &offer);
                if let Some(gate) = &offer.gate
                    && let Err(error) = gate.set(on).await
                {
                    tracing::warn!(%error, machine = machine.spec.name, "its SSH is not reached");
                }
                for (address, service) in offer.known() {
                    if !on || !addresses.contains(&address) {
                        // Turning off does not fail.
                        let _ = service.set(false).await;
                    }
                }
                for address in addresses.iter().filter(|_| on) {
                    if let Err(error) = offer.service(*address, self, &net).set(true).await {
                        tracing::warn!(%error, %address, port = offer.port, "nothing answers there in the lab");
                    }
                }
            }
        }
    }

    /// Whether what an offer needs runs: a unit of the machine where it has one of that name, else a guest.
    fn holds(&self, machine: &Machine, offer: &Offer) -> bool {
        let Some(needs) = &offer.needs else {
            return true;
        };
        if let Some(object) = offer.object() {
            return self.objects().get(object).copied().unwrap_or(false);
        }
        if let Some(unit) = machine.unit(needs) {
            return unit.active;
        }
        self.find(needs)
            .is_some_and(|other| matches!(other.spec.role, Role::Guest { .. }) && other.is_up())
    }

    /// The machines that have an address, or had it when they were up.
    pub(super) fn of_address(&self, address: IpAddr) -> Vec<Arc<Machine>> {
        let mut all = self.all();
        all.retain(|machine| {
            machine.addresses().contains(&address) || machine.spec.addresses.contains(&address)
        });
        all
    }
}

impl Hosts {
    /// Something of the lab's own answers at a port of a machine, while that unit of it is active.
    pub async fn serve(&self, machine: &str, port: u16, unit: &str, serve: Serve) {
        if let Some(machine) = self.0.find(machine) {
            machine.offer(Offer::new(
                port,
                Some(unit.to_owned()),
                What::Own(serve),
                false,
            ));
            self.0.refresh().await;
        }
    }

    /// The SSH of a machine answers while its unit is active: in the lab's network and where clients outside reach it.
    pub(super) async fn serve_ssh(&self, machine: &Machine, server: &ssh::Server) {
        let name = &machine.spec.name;
        if let (Some(serve), Some(gate)) = (server.serves(name), server.gate(name)) {
            machine.offer(Offer::ssh(serve, gate));
            self.0.refresh().await;
        }
    }

    /// What the lab has at an address of its network.
    pub fn served(&self, at: SocketAddr) -> Served {
        let machines = self.0.of_address(at.ip());
        let own = machines.iter().flat_map(|machine| machine.offers());
        let clusters = self.0.of_clusters();
        let published = clusters.iter().flat_map(|cluster| cluster.offers());
        let published =
            published.filter(|offer| offer.known().iter().any(|(address, _)| *address == at.ip()));
        let objects = self.0.objects();
        let mut found: Vec<Served> = own
            .chain(published)
            .filter(|offer| offer.port == at.port())
            .map(|offer| offer.served(&objects))
            .collect();
        // A stand-in says so, whatever else there is.
        found.sort_by_key(|served| !matches!(served, Served::StandIn));
        found.into_iter().next().unwrap_or(Served::Unknown)
    }
}
