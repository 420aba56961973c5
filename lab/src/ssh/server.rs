//! The ports: one listener per host, its connections, its key. Everything ends when the server is dropped.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use russh::keys::{PrivateKey, PublicKey};
use russh::server::{Config, run_stream};
use russh::{MethodKind, MethodSet, SshId};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use super::files::{Entry, Files, new_key, public};
use super::session::Connection;
use super::{Error, Machine};
use crate::command::Serve;

/// Time from the first byte to a login, as sshd gives it in small (`LoginGraceTime`).
const LOGIN: Duration = Duration::from_secs(30);
/// A connection on which nothing came for so long is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// That many questions without an answer end a connection.
const KEEPALIVES_MAX: usize = 10;
/// Connections of one host at a time.
const CONNECTIONS_MAX: usize = 64;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 128;
/// Pause after a listener's error (no file descriptors left), before it is tried again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A host to be served.
#[derive(Clone)]
pub struct Host {
    /// Its name: `ssh NAME`.
    pub name: String,
    /// Other names: `NAME.home.arpa`.
    pub aliases: Vec<String>,
    /// Its addresses in the lab, which are names for `ssh` too.
    pub addresses: Vec<IpAddr>,
    /// The account when none is named; `root` if not given.
    pub user: Option<String>,
    /// What answers.
    pub machine: Arc<dyn Machine>,
}

/// SSH for all hosts of a lab.
pub struct Server {
    files: Files,
    key: PublicKey,
    hosts: Mutex<BTreeMap<String, Arc<Port>>>,
}

/// Opens and closes a host's port: as its SSH service is started and stopped. Connections that are there stay.
#[derive(Clone)]
pub struct Gate {
    port: Arc<Port>,
    key: PublicKey,
}

/// One host's port.
struct Port {
    host: Host,
    port: u16,
    /// Keeps the number while nobody listens: a connection is refused then.
    _held: TcpSocket,
    listening: Mutex<Option<JoinHandle<()>>>,
    is_over: AtomicBool,
    /// What clients were told, and what is shown: they differ after [`Server::change_key`].
    told: String,
    shown: Mutex<PrivateKey>,
    /// Woken to reset all connections.
    reset: Notify,
    opened: AtomicUsize,
}

impl Server {
    /// Starts a port for each host and writes `config`, `known_hosts` and `identity` below `dir`, which must exist. With an
    /// executable that calls [`main_if_asked`](super::main_if_asked), a port that a client names does not matter.
    ///
    /// # Errors
    /// When a port cannot be opened, a key not be made, or a file not be written (an `identity` that is there is not replaced).
    pub async fn start(dir: &Path, hosts: Vec<Host>, via: Option<PathBuf>) -> Result<Self, Error> {
        let key = new_key()?;
        let files = Files::at(dir, via);
        files.write_identity(&key)?;
        let server = Self {
            files,
            key: key.public_key().clone(),
            hosts: Mutex::default(),
        };
        for host in hosts {
            server.open(host).await?;
        }
        server.write_files()?;
        Ok(server)
    }

    /// Serves one more host.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn add(&self, host: Host) -> Result<(), Error> {
        self.open(host).await?;
        self.write_files()
    }

    /// The file for `ssh -F`.
    pub fn config(&self) -> &Path {
        &self.files.config
    }

    /// The host keys, one line a host.
    pub fn known_hosts(&self) -> &Path {
        &self.files.known_hosts
    }

    /// The private key that opens every host of this lab, and nothing else.
    pub fn identity(&self) -> &Path {
        &self.files.identity
    }

    /// The port of a host.
    pub fn port(&self, name: &str) -> Option<u16> {
        self.find(name).map(|port| port.port)
    }

    /// What serves a connection to a host that was accepted elsewhere: at its own address in the lab's network.
    pub fn serves(&self, name: &str) -> Option<Serve> {
        let (port, key) = (self.find(name)?, self.key.clone());
        Some(Arc::new(move |stream| {
            let (port, key) = (Arc::clone(&port), key.clone());
            Box::pin(async move { connection(stream, &port, key).await })
        }))
    }

    /// What opens and closes the port of a host; it is open at first.
    pub fn gate(&self, name: &str) -> Option<Gate> {
        let (port, key) = (self.find(name)?, self.key.clone());
        Some(Gate { port, key })
    }

    /// How many connections were opened to a host so far.
    pub fn opened(&self, name: &str) -> usize {
        self.find(name)
            .map_or(0, |port| port.opened.load(Ordering::Acquire))
    }

    /// Gives the host another key than clients were told, as after a reinstallation or with somebody in between. False: no such host.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn change_key(&self, name: &str) -> Result<bool, Error> {
        let Some(port) = self.find(name) else {
            return Ok(false);
        };
        *lock(&port.shown) = new_key()?;
        Ok(true)
    }

    /// Loses all connections of a host, in the midst of whatever they do.
    pub fn reset(&self, name: &str) {
        if let Some(port) = self.find(name) {
            port.reset.notify_waiters();
        }
    }

    fn find(&self, name: &str) -> Option<Arc<Port>> {
        lock(&self.hosts).get(name).cloned()
    }

    async fn open(&self, host: Host) -> Result<(), Error> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if host.name.is_empty() || host.name.starts_with('-') || !host.name.chars().all(fits) {
            return Err(Error::Name(host.name));
        }
        let failed = |source| Error::Listen {
            host: host.name.clone(),
            source,
        };
        let held = socket(0).map_err(failed)?;
        let number = held.local_addr().map_err(failed)?.port();
        let shown = new_key()?;
        let port = Arc::new(Port {
            port: number,
            _held: held,
            listening: Mutex::default(),
            is_over: AtomicBool::new(false),
            told: public(&shown)?,
            shown: Mutex::new(shown),
            reset: Notify::new(),
            opened: AtomicUsize::new(0),
            host,
        });
        let key = self.key.clone();
        let gate = Gate {
            port: port.clone(),
            key,
        };
        gate.set(true).await.map_err(|source| Error::Listen {
            host: port.host.name.clone(),
            source,
        })?;
        lock(&self.hosts).insert(port.host.name.clone(), port);
        Ok(())
    }

    fn write_files(&self) -> Result<(), Error> {
        let hosts: Vec<Arc<Port>> = lock(&self.hosts).values().cloned().collect();
        let entries: Vec<Entry<'_>> = hosts
            .iter()
            .map(|port| Entry {
                name: &port.host.name,
                aliases: &port.host.aliases,
                addresses: &port.host.addresses,
                user: port.host.user.as_deref(),
                port: port.port,
                public_key: port.told.clone(),
            })
            .collect();
        self.files.write(&entries)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for port in lock(&self.hosts).values() {
            port.is_over.store(true, Ordering::Release);
            if let Some(task) = lock(&port.listening).take() {
                task.abort();
            }
            port.reset.notify_waiters();
        }
    }
}

impl Gate {
    /// Opens or closes. When this returns it is so.
    ///
    /// # Errors
    /// When the port cannot be listened at.
    pub async fn set(&self, open: bool) -> io::Result<()> {
        if !open {
            let task = lock(&self.port.listening).take();
            if let Some(task) = task {
                task.abort();
                let _ = task.await; // the socket is closed when the task is gone
            }
            return Ok(());
        }
        let mut listening = lock(&self.port.listening);
        if listening.is_none() && !self.port.is_over.load(Ordering::Acquire) {
            let listener = socket(self.port.port)?.listen(BACKLOG)?;
            let (port, key) = (self.port.clone(), self.key.clone());
            *listening = Some(tokio::spawn(accept(listener, port, key)));
        }
        Ok(())
    }
}

/// A socket with a number of this machine's; the one that holds it and the one that listens share it.
fn socket(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    Ok(socket)
}

async fn accept(listener: TcpListener, port: Arc<Port>, key: PublicKey) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, host = port.host.name, "cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let up = *port.host.machine.up().borrow();
        match places.clone().try_acquire_owned() {
            Ok(place) if up => {
                port.opened.fetch_add(1, Ordering::AcqRel);
                let (port, key) = (port.clone(), key.clone());
                tokio::spawn(async move {
                    connection(stream, &port, key).await;
                    drop(place);
                });
            }
            _ => refuse(&stream),
        }
    }
}

/// Closes with a reset: the machine is down, or too busy.
fn refuse(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "the connection is closed without a reset");
    }
}

async fn connection(stream: TcpStream, port: &Port, key: PublicKey) {
    let logged_in = Arc::new(AtomicBool::new(false));
    let handler = Connection::new(port.host.machine.clone(), key, logged_in.clone());
    let config = Arc::new(config(lock(&port.shown).clone()));
    // A second handle on the socket: a reset must reach a session that is in the midst of something.
    let (stream, cut) = match split(stream) {
        Ok(both) => both,
        Err(error) => return tracing::warn!(%error, "a connection is lost"),
    };
    let reset = port.reset.notified();
    tokio::pin!(reset);
    reset.as_mut().enable();
    let mut up = port.host.machine.up();
    let login = async {
        tokio::time::sleep(LOGIN).await;
        if logged_in.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
    };
    let session = async {
        match run_stream(config, stream, handler).await {
            Ok(session) => session.await,
            Err(error) => Err(error),
        }
    };
    tokio::select! {
        ended = session => {
            if let Err(error) = ended {
                tracing::debug!(%error, host = port.host.name, "a connection ended");
            }
            return;
        }
        () = &mut reset => {}
        _ = up.wait_for(|up| !up) => {}
        () = login => {}
    }
    // The session is a task of its own, which ends when its socket does.
    if let Err(error) = cut.shutdown(Shutdown::Both) {
        tracing::debug!(%error, "the connection was closed already");
    }
}

fn split(stream: TcpStream) -> io::Result<(TcpStream, std::net::TcpStream)> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let cut = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, cut))
}

fn config(key: PrivateKey) -> Config {
    let mut methods = MethodSet::empty();
    methods.push(MethodKind::PublicKey);
    Config {
        server_id: SshId::Standard("SSH-2.0-runbook_lab".into()),
        methods,
        keys: vec![key],
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: Some(Duration::ZERO),
        inactivity_timeout: None,
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES_MAX,
        nodelay: true,
        ..Config::default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
