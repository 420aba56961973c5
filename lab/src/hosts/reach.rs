//! How somebody outside sees the lab's network: names, connections, and whether anything is there.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::rr::{Name, RData, RecordType};
use tokio::net::{TcpStream, UdpSocket};

use super::names::NAMES_PORT;
use super::uses::OUTSIDE;
use super::{Hosts, listeners};
use crate::dns::Answer;
use crate::isolate::Error;

/// How long a connection to a program of a machine may take, when it is only looked whether there is one. Nothing is lost on
/// the way: the network is one loopback.
const LOOK: Duration = Duration::from_secs(2);

impl Hosts {
    /// The addresses of a name, as the lab's name server knows them: none when the name would be the lab's and is not there,
    /// `None` when it is nobody's here.
    pub fn resolve(&self, name: &str) -> Option<Vec<IpAddr>> {
        let name = Name::from_utf8(name).ok()?;
        let ask = |kind| match self.0.zone.answer(&name, kind) {
            Answer::Found(records) => Some(records),
            Answer::NoSuchName => Some(Vec::new()),
            Answer::NotOurs => None,
        };
        let (four, six) = (ask(RecordType::A)?, ask(RecordType::AAAA)?);
        let address = |record: RData| match record {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        };
        Some(four.into_iter().chain(six).filter_map(address).collect())
    }

    /// Opens a connection in the lab's network, from outside of it.
    ///
    /// # Errors
    ///
    /// What the system says there: refused where nothing listens, unreachable where nobody has the address.
    pub async fn connect(&self, to: SocketAddr, limit: Duration) -> Result<TcpStream, Error> {
        let from = to.is_ipv4().then_some(OUTSIDE);
        self.0.sandbox.connect(from, to, limit).await
    }

    /// A socket for datagrams in the lab's network.
    ///
    /// # Errors
    ///
    /// When the system gives none.
    pub async fn datagrams(&self, to: IpAddr) -> Result<UdpSocket, Error> {
        let any: IpAddr = match to {
            IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        self.0.sandbox.listen_udp((any, 0).into()).await
    }

    /// The lab's name server, in its network.
    pub fn name_server(&self) -> SocketAddr {
        (std::net::Ipv4Addr::LOCALHOST, NAMES_PORT).into()
    }

    /// Whether a program of a machine listens there: of the one that has the address or, for a loopback address, of the one
    /// that is named. All machines share one network: what another machine listens at everywhere does not count.
    pub async fn listens(&self, machine: Option<&str>, at: SocketAddr) -> bool {
        let machines = match machine.filter(|_| at.ip().is_loopback()) {
            Some(name) => self.0.find(name).into_iter().collect(),
            None => self.0.of_address(at.ip()),
        };
        let roots: Vec<_> = machines
            .iter()
            .filter(|machine| machine.is_up())
            .map(|machine| machine.root.path().to_owned())
            .collect();
        if roots.is_empty() || self.connect(at, LOOK).await.is_err() {
            return false;
        }
        let place = self.0.sandbox.pid();
        let found = tokio::task::spawn_blocking(move || listeners::roots(place, at)).await;
        let found = found.unwrap_or_default();
        roots
            .iter()
            .any(|root| found.iter().any(|part| root.ends_with(part)))
    }
}
