//! One service: it listens while it is on, and nothing answers at its address while it is off.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::{JoinHandle, JoinSet};

use super::Table;
use crate::command::{Later, Process, Serve};

/// Connections at a time.
const CONNECTIONS_MAX: usize = 64;
/// What is kept of a program's standard error, for the log.
const STDERR_BYTES_MAX: u64 = 4096;
/// Pause after an error of the socket.
const PAUSE: Duration = Duration::from_millis(50);

/// Opens a socket where the lab's hosts are.
pub trait Listen: Send + Sync {
    /// Listens at that address.
    fn listen(&self, address: SocketAddr) -> Later<io::Result<TcpListener>>;
}

/// Starts a program of the host for one connection.
pub type Program = Arc<dyn Fn() -> Later<Result<Process, String>> + Send + Sync>;

/// Told of each connection with where it comes from, before anything answers on it.
pub type Seen = Arc<dyn Fn(SocketAddr) -> Later<()> + Send + Sync>;

/// What answers.
#[derive(Clone)]
pub enum What {
    /// HTTP answers.
    Table(Arc<Table>),
    /// A program per connection, on its standard input and output.
    Program(Program),
    /// Something of the lab's own.
    Own(Serve),
}

/// A service at an address.
pub struct Service {
    address: SocketAddr,
    what: What,
    net: Arc<dyn Listen>,
    seen: Option<Seen>,
    running: Mutex<Option<JoinHandle<()>>>,
}

impl Service {
    /// A service that is off.
    pub fn new(address: SocketAddr, what: What, net: Arc<dyn Listen>) -> Self {
        Self {
            address,
            what,
            net,
            seen: None,
            running: Mutex::default(),
        }
    }

    /// The same, which tells of its connections.
    pub fn with_seen(mut self, seen: Option<Seen>) -> Self {
        self.seen = seen;
        self
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it is on.
    pub async fn is_on(&self) -> bool {
        let running = self.running.lock().await;
        running.as_ref().is_some_and(|task| !task.is_finished())
    }

    /// Turns it on or off. When this returns it answers, or nothing does.
    ///
    /// # Errors
    /// When the address cannot be listened at.
    pub async fn set(&self, on: bool) -> io::Result<()> {
        let mut running = self.running.lock().await;
        match (on, running.take()) {
            (true, Some(task)) if !task.is_finished() => *running = Some(task),
            (true, _) => {
                let listener = self.net.listen(self.address).await?;
                *running = Some(tokio::spawn(accept(
                    listener,
                    self.what.clone(),
                    self.seen.clone(),
                )));
            }
            (false, Some(task)) => {
                task.abort();
                let _ = task.await; // the socket is closed when the task is gone
            }
            (false, None) => {}
        }
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(task) = self.running.get_mut().take() {
            task.abort();
        }
    }
}

async fn accept(listener: TcpListener, what: What, seen: Option<Seen>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Connections end with the service.
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            continue;
        };
        let what = what.clone();
        let seen = seen.as_ref().map(|seen| seen(peer));
        open.spawn(async move {
            if let Some(seen) = seen {
                seen.await;
            }
            match what {
                What::Table(table) => table.serve(stream).await,
                What::Program(program) => run(&program, stream).await,
                What::Own(serve) => serve(stream).await,
            }
            drop(place);
        });
    }
}

/// Ends a program with its connection.
struct Ending(Arc<dyn crate::command::Control>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

async fn run(program: &Program, stream: TcpStream) {
    let Process {
        mut stdin,
        mut stdout,
        stderr,
        ended,
        control,
    } = match program().await {
        Ok(process) => process,
        Err(error) => return tracing::warn!(error, "a stand-in's program could not be started"),
    };
    let _ending = Ending(control);
    let (mut from, mut to) = stream.into_split();
    let input = async move {
        // The program may end without having read everything.
        let _ = tokio::io::copy(&mut from, &mut stdin).await;
        let _ = stdin.shutdown().await;
    };
    let output = async move {
        let copied = tokio::io::copy(&mut stdout, &mut to).await;
        let _ = to.shutdown().await;
        copied
    };
    let errors = async move {
        let mut text = Vec::new();
        let mut stderr = stderr;
        let _ = (&mut stderr)
            .take(STDERR_BYTES_MAX)
            .read_to_end(&mut text)
            .await;
        if !text.is_empty() {
            tracing::warn!(text = %String::from_utf8_lossy(&text), "a stand-in's program");
        }
        let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    };
    let reading = tokio::spawn(input);
    let logging = tokio::spawn(errors);
    if let Err(error) = output.await {
        tracing::debug!(%error, "a stand-in's connection ended");
    }
    ended.await;
    reading.abort();
    logging.abort();
}
