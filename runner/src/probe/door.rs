//! A door from this machine into another network, for one request: SOCKS 5 on a port of the loopback, so that the HTTP
//! client goes there as it is.
//!
//! It names no network of its own: where a connection leads is the dialler's to say. It closes with the value.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::network::Network;
use super::{ProbeError, address};

/// Connections of one request: itself and its redirects, with more than one address each.
const CONNECTIONS_MAX: usize = 64;
/// What SOCKS 5 calls itself.
const VERSION: u8 = 5;
/// No authentication.
const NO_AUTHENTICATION: u8 = 0;
/// A connection is wished for.
const CONNECT: u8 = 1;
/// Kinds of address.
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
/// Answers.
const SUCCEEDED: u8 = 0;
const UNREACHABLE: u8 = 4;
const REFUSED: u8 = 5;
const UNSUPPORTED: u8 = 7;

/// A door that is open.
pub(super) struct Door {
    url: String,
    failure: Arc<Mutex<Option<ProbeError>>>,
    task: JoinHandle<()>,
}

/// What stands behind a door.
struct Behind {
    network: Network,
    /// Places of hosts, with port 0 for the port that was asked for, instead of what their names say.
    resolve: Vec<(String, SocketAddr)>,
    deadline: Duration,
    failure: Arc<Mutex<Option<ProbeError>>>,
}

impl Door {
    pub(super) async fn open(
        network: Network,
        resolve: Vec<(String, SocketAddr)>,
        deadline: Duration,
    ) -> Result<Self, ProbeError> {
        let failed = |error: io::Error| ProbeError::from_chain("127.0.0.1", deadline, &error);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(failed)?;
        let at = listener.local_addr().map_err(failed)?;
        let failure = Arc::default();
        let behind = Arc::new(Behind {
            network,
            resolve,
            deadline,
            failure: Arc::clone(&failure),
        });
        Ok(Self {
            url: format!("socks5h://{at}"),
            failure,
            task: tokio::spawn(serve(listener, behind)),
        })
    }

    /// What a client is told of it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Why the last connection did not come about: the client only knows that.
    pub(super) fn failure(&self) -> Option<ProbeError> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, behind: Arc<Behind>) {
    let mut open = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while open.try_join_next().is_some() {}
        if open.len() < CONNECTIONS_MAX {
            let behind = Arc::clone(&behind);
            // Who went away needs no answer.
            open.spawn(async move { behind.pass(stream).await.ok() });
        }
    }
}

impl Behind {
    async fn pass(&self, mut client: TcpStream) -> io::Result<()> {
        let [version, methods] = read(&mut client).await?;
        let mut offered = vec![0; usize::from(methods)];
        client.read_exact(&mut offered).await?;
        if version != VERSION || !offered.contains(&NO_AUTHENTICATION) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        client.write_all(&[VERSION, NO_AUTHENTICATION]).await?;
        let [_, command, _, kind] = read(&mut client).await?;
        let host = match kind {
            IPV4 => IpAddr::from(Ipv4Addr::from(read::<4>(&mut client).await?)).to_string(),
            IPV6 => IpAddr::from(Ipv6Addr::from(read::<16>(&mut client).await?)).to_string(),
            NAME => {
                let [length] = read(&mut client).await?;
                let mut name = vec![0; usize::from(length)];
                client.read_exact(&mut name).await?;
                String::from_utf8(name).map_err(io::Error::other)?
            }
            _ => return answer(&mut client, UNSUPPORTED).await,
        };
        let port = u16::from_be_bytes(read(&mut client).await?);
        if command != CONNECT {
            return answer(&mut client, UNSUPPORTED).await;
        }
        match self.connect(&host, port).await {
            Ok(mut stream) => {
                answer(&mut client, SUCCEEDED).await?;
                tokio::io::copy_bidirectional(&mut client, &mut stream).await?;
                Ok(())
            }
            Err(error) => {
                let code = match error {
                    ProbeError::Refused { .. } => REFUSED,
                    _ => UNREACHABLE,
                };
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                answer(&mut client, code).await
            }
        }
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, ProbeError> {
        let placed = self
            .resolve
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(host));
        let Some((_, place)) = placed else {
            return self.network.connect(host, port, self.deadline).await;
        };
        let own = if place.port() == 0 {
            port
        } else {
            place.port()
        };
        let to = SocketAddr::new(place.ip(), own);
        let connected = self.network.dial(to, self.deadline).await;
        connected.map_err(|error| error.at(&address(host, own)))
    }
}

async fn read<const N: usize>(stream: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn answer(stream: &mut TcpStream, code: u8) -> io::Result<()> {
    // The address that was connected from, which nobody asks for.
    let mut bytes = vec![VERSION, code, 0, IPV4];
    bytes.extend([0; 6]);
    stream.write_all(&bytes).await
}
