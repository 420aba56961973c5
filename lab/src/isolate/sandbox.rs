//! The isolated place of a lab: a network with the inventory's addresses, and hosts in it.
//!
//! It is a process tree of its own. It ends when the value is dropped, and when the lab ends in whatever way.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::channel::{ANSWER_MAX, Channel};
use super::error::{Error, Failure};
use super::forbidden;
use super::host::{Host, HostConfig};
use super::machine::Machine;
use super::message::{Answer, Hello, Identities, Setup, Text, Wish};
use super::stage::Stage;
use super::{identities, wire};

/// How long it may take to make the place.
const START_MAX: Duration = Duration::from_secs(20);
/// How long a killed process may take to be gone.
const GONE_MAX: Duration = Duration::from_secs(2);
/// How often is looked whether it is.
const GONE_LOOK: Duration = Duration::from_millis(1);

/// What the isolated place of a lab is made of.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// This executable: it calls [`main_if_asked`](super::main_if_asked) first thing in its `main`.
    pub program: PathBuf,
    /// The addresses of the lab's network.
    pub addresses: Vec<IpAddr>,
    /// Starts the process from which everything isolated descends. Who ends what it does not know among its own children
    /// must learn of this one.
    pub spawn: fn(&mut Command) -> io::Result<Child>,
}

impl SandboxConfig {
    /// With this executable and these addresses.
    pub fn new(program: PathBuf, addresses: Vec<IpAddr>) -> Self {
        Self {
            program,
            addresses,
            spawn: Command::spawn,
        }
    }
}

/// The isolated place of a lab.
#[derive(Debug)]
pub struct Sandbox {
    channel: Channel,
    child: Child,
    machine: Machine,
    has_users: bool,
    /// Where what all hosts share is gathered, inside; outside it is empty.
    shared: TempDir,
}

impl Sandbox {
    /// Makes the place.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] when the machine does not allow it, with what would.
    pub async fn start(config: SandboxConfig) -> Result<Self, Error> {
        tokio::task::spawn_blocking(move || Self::start_now(config))
            .await
            .map_err(|error| Error::Start(io::Error::other(error)))?
    }

    /// The same, on this thread.
    pub(super) fn start_now(config: SandboxConfig) -> Result<Self, Error> {
        if cfg!(not(target_os = "linux")) {
            return Err(forbidden::not_linux().into());
        }
        let shared = tempfile::Builder::new()
            .prefix("runbook-lab-")
            .tempdir()
            .map_err(Error::Start)?;
        let (here, there) = UnixStream::pair().map_err(Error::Start)?;
        here.set_read_timeout(Some(START_MAX))
            .map_err(Error::Start)?;
        let mut command = Stage::Keeper.command(config.program.clone());
        command.stdin(Stdio::from(OwnedFd::from(there)));
        // A group of its own: Ctrl-C is for the lab, which may still need the place to clean up.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = (config.spawn)(&mut command).map_err(Error::Start)?;
        // Our copy of its end of the socket.
        drop(command);
        let mut started = Starting { child: Some(child) };
        let machine = Machine::look();
        let identities = started.identities(&here)?;
        let setup = Setup {
            shared: Text::from(shared.path()),
            program: Text::from(config.program.as_path()),
            machine: machine.clone(),
            addresses: config.addresses,
        };
        wire::send(&here, &identities, &[]).map_err(Error::Start)?;
        wire::send(&here, &setup, &[]).map_err(Error::Start)?;
        match receive(&here)? {
            Said::Answer(Answer::Done) => {}
            Said::Answer(Answer::Failed(failure)) | Said::Hello(Hello::Failed(failure)) => {
                return Err(forbidden::explain(failure).into());
            }
            Said::Answer(_) | Said::Hello(_) => return Err(no_word()),
        }
        here.set_read_timeout(None).map_err(Error::Start)?;
        let Some(child) = started.child.take() else {
            return Err(no_word());
        };
        Ok(Self {
            channel: Channel::new(here, "the lab's isolated place").map_err(Error::Start)?,
            child,
            machine,
            has_users: matches!(identities, Identities::Mapped),
            shared,
        })
    }

    /// Whether other identities than root's exist inside: then `chown` and a command's user are real.
    pub fn has_users(&self) -> bool {
        self.has_users
    }

    /// Listens at an address of the lab's network.
    ///
    /// # Errors
    ///
    /// What the system says inside, for example that the address is taken.
    pub async fn listen(&self, address: SocketAddr) -> Result<TcpListener, Error> {
        let socket = self.socket("listening", Wish::Listen(address)).await?;
        let listener = std::net::TcpListener::from(socket);
        listener.set_nonblocking(true).map_err(Error::Start)?;
        TcpListener::from_std(listener).map_err(Error::Start)
    }

    /// Listens for datagrams at an address of the lab's network.
    ///
    /// # Errors
    ///
    /// What the system says inside.
    pub async fn listen_udp(&self, address: SocketAddr) -> Result<UdpSocket, Error> {
        let socket = self.socket("listening", Wish::ListenUdp(address)).await?;
        let socket = std::net::UdpSocket::from(socket);
        socket.set_nonblocking(true).map_err(Error::Start)?;
        UdpSocket::from_std(socket).map_err(Error::Start)
    }

    /// Opens a connection in the lab's network, from an address of it when one is given.
    ///
    /// # Errors
    ///
    /// What the system says inside, `TimedOut` after the given time.
    pub async fn connect(
        &self,
        from: Option<IpAddr>,
        to: SocketAddr,
        timeout: Duration,
    ) -> Result<TcpStream, Error> {
        let wish = Wish::Connect {
            from,
            to,
            milliseconds: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        };
        let limit = timeout.saturating_add(ANSWER_MAX);
        let reply = self
            .channel
            .ask("connecting", wish, Vec::new(), limit)
            .await?;
        let socket = reply.socket.ok_or_else(no_word)?;
        let stream = std::net::TcpStream::from(socket);
        stream.set_nonblocking(true).map_err(Error::Start)?;
        TcpStream::from_std(stream).map_err(Error::Start)
    }

    /// Adds an address to the lab's network; one that is there already is no error.
    ///
    /// # Errors
    ///
    /// What the system says inside.
    pub async fn add_address(&self, address: IpAddr) -> Result<(), Error> {
        self.done("adding an address", Wish::AddAddress(address))
            .await
    }

    /// Takes an address away; one that is not there is no error.
    ///
    /// # Errors
    ///
    /// What the system says inside.
    pub async fn remove_address(&self, address: IpAddr) -> Result<(), Error> {
        self.done("removing an address", Wish::RemoveAddress(address))
            .await
    }

    /// Boots a host: its processes live until it is stopped.
    ///
    /// # Errors
    ///
    /// When its tree cannot be shown.
    pub async fn boot(&self, config: HostConfig) -> Result<Host, Error> {
        Host::boot(
            &self.channel,
            config,
            self.shared.path(),
            self.machine.clone(),
            self.has_users,
        )
        .await
    }

    async fn done(&self, what: &'static str, wish: Wish) -> Result<(), Error> {
        self.channel.ask(what, wish, Vec::new(), ANSWER_MAX).await?;
        Ok(())
    }

    async fn socket(&self, what: &'static str, wish: Wish) -> Result<OwnedFd, Error> {
        let reply = self.channel.ask(what, wish, Vec::new(), ANSWER_MAX).await?;
        reply.socket.ok_or_else(no_word)
    }

    /// The process from which everything isolated descends.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.channel.hang_up();
        end(&mut self.child);
    }
}

/// Kills the keeper, whose end is everybody's, and waits until it is gone.
fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let until = Instant::now() + GONE_MAX;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
        std::thread::sleep(GONE_LOOK);
    }
}

/// A keeper that is killed when the start fails.
struct Starting {
    child: Option<Child>,
}

impl Starting {
    /// Waits for the new user namespace and maps its identities.
    fn identities(&self, here: &UnixStream) -> Result<Identities, Error> {
        let pid = self.child.as_ref().map_or(0, Child::id);
        match receive(here)? {
            Said::Hello(Hello::Unshared) => Ok(identities::map(pid)),
            Said::Hello(Hello::Failed(failure)) => Err(forbidden::explain(failure).into()),
            Said::Answer(_) => Err(no_word()),
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
    }
}

/// What is said during the start.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Said {
    Hello(Hello),
    Answer(Answer),
}

fn receive(socket: &UnixStream) -> Result<Said, Error> {
    match wire::receive(socket) {
        Ok(Some((said, _))) => Ok(said),
        Ok(None) | Err(_) => Err(no_word()),
    }
}

fn no_word() -> Error {
    let failure = Failure::new(
        "the process inside ended without a word",
        &io::Error::from(io::ErrorKind::UnexpectedEof),
    );
    forbidden::explain(failure).into()
}
