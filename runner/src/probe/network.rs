//! By which network a probe goes: this machine's own, or another one that somebody holds open.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};

use super::{ProbeError, address, bare};

/// What a question to a network becomes.
pub type DialFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, ProbeError>> + Send + 'a>>;

/// A network that is not this machine's.
pub trait Dial: Send + Sync {
    /// The addresses of a name or an address there; none is an error.
    fn lookup<'a>(&'a self, host: &'a str) -> DialFuture<'a, Vec<IpAddr>>;

    /// Opens a connection there.
    fn connect(&self, to: SocketAddr, deadline: Duration) -> DialFuture<'_, TcpStream>;

    /// A socket for datagrams to an address there, not connected yet.
    fn datagrams(&self, to: SocketAddr) -> DialFuture<'_, UdpSocket>;

    /// Its name servers.
    fn servers(&self) -> Vec<SocketAddr>;
}

/// By which network a probe goes.
#[derive(Clone, Default)]
pub enum Network {
    /// This machine's.
    #[default]
    Own,
    /// Another one.
    Other(Arc<dyn Dial>),
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Own => "Own",
            Self::Other(_) => "Other",
        })
    }
}

impl Network {
    /// Addresses of a host.
    pub(super) async fn lookup(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, ProbeError> {
        let host = bare(host);
        let dial = match self {
            Self::Own => return by_machine(host, port).await,
            Self::Other(dial) => dial,
        };
        let found = dial.lookup(host).await?;
        Ok(found
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect())
    }

    /// Connects to an address.
    pub(super) async fn dial(
        &self,
        to: SocketAddr,
        deadline: Duration,
    ) -> Result<TcpStream, ProbeError> {
        match self {
            Self::Own => TcpStream::connect(to)
                .await
                .map_err(|error| ProbeError::from_chain(&to.to_string(), deadline, &error)),
            Self::Other(dial) => dial.connect(to, deadline).await,
        }
    }

    /// Connects to the first address of a host that answers.
    pub(super) async fn connect(
        &self,
        host: &str,
        port: u16,
        deadline: Duration,
    ) -> Result<TcpStream, ProbeError> {
        let mut failure = ProbeError::Name {
            name: host.to_owned(),
            reason: "it has none".to_owned(),
        };
        for found in self.lookup(host, port).await? {
            match self.dial(found, deadline).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error.at(&address(host, port)),
            }
        }
        Err(failure)
    }

    /// A socket for datagrams to an address, not connected yet.
    pub(super) async fn datagrams(&self, to: SocketAddr) -> Result<UdpSocket, ProbeError> {
        if let Self::Other(dial) = self {
            return dial.datagrams(to).await;
        }
        let any: IpAddr = if to.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        UdpSocket::bind(SocketAddr::new(any, 0))
            .await
            .map_err(|error| ProbeError::from_chain(&to.to_string(), Duration::ZERO, &error))
    }
}

/// Addresses of a host by this machine's resolver.
async fn by_machine(host: &str, port: u16) -> Result<Vec<SocketAddr>, ProbeError> {
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| {
            let reason = error.to_string();
            let reason = reason
                .strip_prefix("failed to lookup address information: ")
                .unwrap_or(&reason)
                .to_owned();
            ProbeError::Name {
                name: host.to_owned(),
                reason,
            }
        })?;
    Ok(found.collect())
}
