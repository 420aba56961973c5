//! From a target to the machine: what the inventory says about how it is reached.
//!
//! Connects to nothing itself; that is [`crate::remote`]'s. A run has one connection per login and, in the lab, per world.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use runbook::inventory::{Guest, GuestKind, Inventory};
use runbook::model::Target;
use runbook::node::Node;

use crate::action::Failure;
use crate::remote::{Connections, Container, Guests, Login, Remote, SshSettings, Way};

/// What a question about a world becomes.
pub type ReachFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How the machines of a run are reached, where the inventory alone does not say it: the lab's, and what the API knows.
pub trait Reach: Send + Sync {
    /// How OpenSSH is started; the error is for people. On a real profile there is one world, 0.
    fn ssh(&self, world: u32) -> ReachFuture<'_, Result<SshSettings, String>>;

    /// Who knows the guests.
    fn guests(&self, world: u32) -> ReachFuture<'_, Option<Arc<dyn Guests>>>;

    /// The pod that a target means, in a cluster or in the only one there is.
    fn pod<'a>(
        &'a self,
        world: u32,
        cluster: Option<&'a str>,
        namespace: &'a str,
        pod: &'a str,
    ) -> ReachFuture<'a, Result<PodPlace, Lost>> {
        let _ = (world, cluster, namespace, pod);
        let failure = Failure::new("there is no cluster that a pod could run in");
        Box::pin(std::future::ready(Err(failure.into())))
    }

    /// Why the lab lets no script run on its machines, if it does not.
    fn kept(&self, world: u32) -> ReachFuture<'_, Option<String>> {
        let _ = world;
        Box::pin(std::future::ready(None))
    }
}

/// A pod that programs run in.
pub struct PodPlace {
    /// What people call it: `pod/shop/web-5d9c`.
    pub name: String,
    /// Its container.
    pub container: Arc<dyn Container>,
    /// What nobody else may touch while it is changed.
    pub lock: String,
}

/// Why it is not known where a target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// For people.
    pub failure: Failure,
    /// Whether who was asked has answered: there is no such target.
    pub is_absent: bool,
}

impl Lost {
    /// It is not there.
    pub fn absent(failure: Failure) -> Self {
        Self {
            failure,
            is_absent: true,
        }
    }
}

impl From<Failure> for Lost {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            is_absent: false,
        }
    }
}

/// The machines of a run.
pub struct Machines {
    reach: Arc<dyn Reach>,
    worlds: tokio::sync::Mutex<HashMap<u32, Arc<Connections>>>,
    /// Whether any connection was ever asked for.
    used: Mutex<bool>,
}

impl Machines {
    /// The machines of a run.
    pub fn new(reach: Arc<dyn Reach>) -> Self {
        Self {
            reach,
            worlds: tokio::sync::Mutex::default(),
            used: Mutex::new(false),
        }
    }

    /// Why the lab lets no script run on its machines, if it does not.
    pub async fn kept(&self, world: u32) -> Option<String> {
        self.reach.kept(world).await
    }

    /// The machine that a target is; `cluster`: of a pod, where that is known.
    ///
    /// # Errors
    ///
    /// Why it cannot be said where it is.
    pub async fn find(
        &self,
        inventory: &Inventory,
        target: &Target,
        cluster: Option<&str>,
        world: u32,
    ) -> Result<Machine, Lost> {
        let asked = Asked {
            inventory,
            reach: &*self.reach,
            world,
        };
        let place = match target {
            Target::Node(name) => asked.node(name),
            Target::Host(name) => asked.host(name),
            Target::Lxc(name) => asked.guest(name, GuestKind::Lxc).await?,
            Target::Vm(name) => asked.guest(name, GuestKind::Vm).await?,
            Target::Pod { namespace, pod } => {
                let found = self.reach.pod(world, cluster, namespace, pod).await?;
                Place {
                    name: Some(found.name),
                    way: Way::Container(found.container),
                    lock: found.lock,
                }
            }
            Target::Local | Target::Cluster(_) => {
                let word = target.kind().word();
                let failure = Failure::new(format!("`{word}` is no machine that programs run on"));
                return Err(failure.into());
            }
        };
        let connections = self.connections(world).await?;
        let name = place
            .name
            .unwrap_or_else(|| format!("{}/{}", target.kind().word(), target_name(target)));
        Ok(Machine {
            remote: Remote::new(name, place.way, connections),
            lock: place.lock,
            is_container: matches!(target, Target::Lxc(_)),
        })
    }

    async fn connections(&self, world: u32) -> Result<Arc<Connections>, Failure> {
        let mut worlds = self.worlds.lock().await;
        if let Some(connections) = worlds.get(&world) {
            return Ok(Arc::clone(connections));
        }
        let settings = self.reach.ssh(world).await.map_err(Failure::new)?;
        let connections = Connections::new(settings).map_err(|error| {
            Failure::new(format!(
                "no directory for the sockets of OpenSSH can be made: {error}"
            ))
        })?;
        let connections = Arc::new(connections);
        worlds.insert(world, Arc::clone(&connections));
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = true;
        Ok(connections)
    }

    /// Ends all connections.
    pub async fn close(&self) {
        if !*self.used.lock().unwrap_or_else(PoisonError::into_inner) {
            return;
        }
        let worlds: Vec<Arc<Connections>> =
            self.worlds.lock().await.drain().map(|(_, c)| c).collect();
        for connections in worlds {
            connections.close().await;
        }
    }
}

/// A machine that programs run on.
#[derive(Clone)]
pub struct Machine {
    /// How.
    pub remote: Remote,
    /// What nobody else may touch while it is changed.
    pub lock: String,
    /// Whether its kernel is another machine's.
    pub is_container: bool,
}

/// Where a target is.
struct Place {
    /// What people call it, where that is not the target's own text.
    name: Option<String>,
    way: Way,
    lock: String,
}

struct Asked<'a> {
    inventory: &'a Inventory,
    reach: &'a dyn Reach,
    world: u32,
}

impl Asked<'_> {
    fn node(&self, name: &str) -> Place {
        Place {
            name: None,
            way: Way::Ssh(self.node_login(name)),
            lock: format!("node {name}"),
        }
    }

    fn node_login(&self, name: &str) -> Login {
        let node = find(&self.inventory.nodes, name);
        Login::new(text(node, "address").unwrap_or_else(|| name.to_owned()))
    }

    fn host(&self, name: &str) -> Place {
        let host = find(&self.inventory.hosts, name);
        let destination = text(host, "address").unwrap_or_else(|| name.to_owned());
        Place {
            name: None,
            way: Way::Ssh(login(host, destination)),
            lock: format!("host {name}"),
        }
    }

    async fn guest(&self, name: &str, kind: GuestKind) -> Result<Place, Failure> {
        let number: Option<i64> = name.parse().ok();
        let guest = match number {
            Some(number) => self
                .inventory
                .guests
                .iter()
                .find(|guest| guest.vmid == Some(number)),
            None => self.inventory.guest(name),
        };
        let node = guest.map(|guest| &guest.node);
        let vmid = self.vmid(name, number, guest);
        let exec = text(node, "exec").unwrap_or_else(|| match kind {
            GuestKind::Lxc => "pct".into(),
            GuestKind::Vm => "agent".into(),
        });
        if exec == "ssh" {
            let destination = match text(node, "address") {
                Some(address) => address,
                None => {
                    let vmid = vmid.await?;
                    self.ask(name, "address", |guests| guests.address(vmid))
                        .await?
                }
            };
            return Ok(Place {
                name: None,
                way: Way::Ssh(login(node, destination)),
                lock: match number.or_else(|| guest.and_then(|guest| guest.vmid)) {
                    Some(vmid) => format!("guest {vmid}"),
                    None => format!("guest {name}"),
                },
            });
        }
        let vmid = vmid.await?;
        let lock = format!("guest {vmid}");
        if exec == "agent" {
            let Some(guests) = self.reach.guests(self.world).await else {
                return Err(self.nobody(name, "guest agent"));
            };
            return Ok(Place {
                name: None,
                way: Way::Agent(guests.agent(vmid)),
                lock,
            });
        }
        let home = match text(node, "node") {
            // It may have moved since; where nobody can tell it is where the inventory says.
            Some(home) => match self.reach.guests(self.world).await {
                Some(guests) => guests.node(vmid).await.unwrap_or(home),
                None => home,
            },
            None => self.ask(name, "node", |guests| guests.node(vmid)).await?,
        };
        Ok(Place {
            name: None,
            way: Way::Pct {
                node: self.node_login(&home),
                vmid,
            },
            lock,
        })
    }

    async fn vmid(
        &self,
        name: &str,
        number: Option<i64>,
        guest: Option<&Guest>,
    ) -> Result<u32, Failure> {
        match number.or_else(|| guest.and_then(|guest| guest.vmid)) {
            Some(vmid) => u32::try_from(vmid)
                .map_err(|_| Failure::new(format!("`{vmid}` is no number of a guest"))),
            None => {
                self.ask(name, "vmid", |guests| guests.number(name.to_owned()))
                    .await
            }
        }
    }

    /// Asks who knows the guests.
    async fn ask<T>(
        &self,
        name: &str,
        what: &str,
        question: impl for<'g> FnOnce(&'g dyn Guests) -> crate::remote::GuestFuture<'g, T>,
    ) -> Result<T, Failure> {
        let Some(guests) = self.reach.guests(self.world).await else {
            return Err(self.nobody(name, what));
        };
        question(&*guests)
            .await
            .map_err(|error| Failure::new(format!("the {what} of `{name}` is not known: {error}")))
    }

    fn nobody(&self, name: &str, what: &str) -> Failure {
        Failure::new(format!(
            "the {what} of `{name}` can be asked of nobody: the profile has no `proxmox`"
        ))
        .hint(Some(format!(
            "add `proxmox: {{url: …, token: …}}` to the profile, or what is missing to the guest ({})",
            if what == "guest agent" { "`exec: ssh`" } else { what }
        )))
    }
}

fn find<'a>(machines: &'a [(String, Node)], name: &str) -> Option<&'a Node> {
    machines
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, node)| node)
}

fn login(machine: Option<&Node>, destination: String) -> Login {
    Login {
        destination,
        user: text(machine, "user"),
        port: text(machine, "port").and_then(|port| port.parse().ok()),
        sudo: text(machine, "become").is_some(),
    }
}

fn text(node: Option<&Node>, key: &str) -> Option<String> {
    node?.get(key)?.as_text().map(str::to_owned)
}

fn target_name(target: &Target) -> &str {
    match target {
        Target::Node(name) | Target::Lxc(name) | Target::Vm(name) | Target::Host(name) => name,
        Target::Local | Target::Cluster(_) | Target::Pod { .. } => "",
    }
}
