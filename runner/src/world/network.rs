//! The lab's network, as probes of this machine go through it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use runbook_lab::hosts::{Hosts, Served, Use};
use tokio::net::{TcpStream, UdpSocket};

use crate::probe::{Dial, DialFuture, ProbeError};
use crate::remote::MARK;

/// The network of a lab.
pub struct LabNetwork {
    hosts: Hosts,
}

impl LabNetwork {
    pub(super) fn new(hosts: Hosts) -> Self {
        hosts.mark_by(MARK);
        Self { hosts }
    }

    /// The addresses of a name or an address of the lab; none where it has no such name.
    pub fn addresses(&self, host: &str) -> Vec<IpAddr> {
        match host.parse() {
            Ok(address) => vec![address],
            Err(_) => self.hosts.resolve(host).unwrap_or_default(),
        }
    }

    /// What is offered at an address.
    pub fn served(&self, at: SocketAddr) -> Served {
        self.hosts.served(at)
    }

    /// Whether a program of the machine that has the address listens there; of a loopback address, of the machine named.
    pub async fn listens(&self, machine: Option<&str>, at: SocketAddr) -> bool {
        self.hosts.listens(machine, at).await
    }

    /// How many connections stand-ins have taken so far.
    pub fn stand_ins_used(&self) -> usize {
        self.hosts.stand_ins_used()
    }

    /// Who opened them, from that number on.
    pub async fn stand_in_uses(&self, from: usize) -> Vec<Use> {
        self.hosts.stand_in_uses(from).await
    }
}

/// What the system said inside of the lab's network, as it would be said here.
fn explain(at: SocketAddr, limit: Duration, error: &runbook_lab::isolate::Error) -> ProbeError {
    ProbeError::from_chain(&at.to_string(), limit, error)
}

impl Dial for LabNetwork {
    fn lookup<'a>(&'a self, host: &'a str) -> DialFuture<'a, Vec<IpAddr>> {
        let found = self.addresses(host);
        Box::pin(async move {
            if found.is_empty() {
                return Err(ProbeError::Name {
                    name: host.to_owned(),
                    reason: "the lab has no such name".to_owned(),
                });
            }
            Ok(found)
        })
    }

    fn connect(&self, to: SocketAddr, deadline: Duration) -> DialFuture<'_, TcpStream> {
        Box::pin(async move {
            let connected = self.hosts.connect(to, deadline).await;
            connected.map_err(|error| explain(to, deadline, &error))
        })
    }

    fn datagrams(&self, to: SocketAddr) -> DialFuture<'_, UdpSocket> {
        Box::pin(async move {
            let socket = self.hosts.datagrams(to.ip()).await;
            socket.map_err(|error| explain(to, Duration::ZERO, &error))
        })
    }

    fn servers(&self) -> Vec<SocketAddr> {
        vec![self.hosts.name_server()]
    }
}
