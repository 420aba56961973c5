//! One channel: a command's streams between the process and the client.
//!
//! Output waits for the client's window, so a client that does not read costs one buffer. The command's tree ends when the
//! client closes the channel or is lost; as in sshd the channel stays open while anything holds the output.

use std::sync::Arc;

use russh::server::{Handle, Msg};
use russh::{Channel, ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};

use super::spool::Spool;
use super::{Control, End, Machine, Process, Start};

/// What is read from a command at once.
const CHUNK_BYTES: usize = 32 << 10;
/// Extended data of this kind is standard error.
const STDERR: u32 = 1;
/// What ssh itself ends with when a command could not be started.
const NOT_STARTED: u32 = 255;

/// What the connection passes on.
pub(super) enum Request {
    Start(Start),
    Signal(String),
}

/// Ends the command's tree when the channel is done with it, however that came.
struct Ending(Arc<dyn Control>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Serves a channel to its end.
pub(super) async fn serve(
    channel: Channel<Msg>,
    mut requests: mpsc::UnboundedReceiver<Request>,
    machine: Arc<dyn Machine>,
    handle: Handle,
) {
    let id = channel.id();
    let (read, write) = channel.split();
    // From the beginning: an eager client sends input before the command is there.
    let client = watch_input(read);
    let start = loop {
        tokio::select! {
            request = requests.recv() => match request {
                Some(Request::Start(start)) => break start,
                Some(Request::Signal(_)) => {}
                None => return,
            },
            () = client.gone() => return,
        }
    };
    let process = tokio::select! {
        process = machine.clone().start(start) => process,
        () = client.gone() => return,
    };
    match process {
        Ok(process) => run(process, &write, id, &handle, requests, &client).await,
        Err(why) => {
            let mut stderr = write.make_writer_ext(Some(STDERR));
            let _ = stderr.write_all(format!("{why}\n").as_bytes()).await;
            let _ = handle.exit_status_request(id, NOT_STARTED).await;
            let _ = write.eof().await;
        }
    }
    let _ = write.close().await;
}

/// Whether the client is still there, and what it sent.
struct Client {
    state: std::sync::Mutex<State>,
    changed: Notify,
    lost: Notify,
}

#[derive(Default)]
struct State {
    spool: Spool,
    eof: bool,
    gone: bool,
}

impl Client {
    /// Resolves when the channel was closed or the connection lost.
    async fn gone(&self) {
        loop {
            let lost = self.lost.notified();
            tokio::pin!(lost);
            lost.as_mut().enable();
            if self.lock().gone {
                return;
            }
            lost.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Takes everything the client sends from the connection at once; one task for the channel's life.
fn watch_input(mut read: ChannelReadHalf) -> Arc<Client> {
    let client = Arc::new(Client {
        state: std::sync::Mutex::default(),
        changed: Notify::new(),
        lost: Notify::new(),
    });
    let shared = client.clone();
    tokio::spawn(async move {
        while let Some(message) = read.wait().await {
            match message {
                ChannelMsg::Data { data } => {
                    if let Err(error) = shared.lock().spool.push(data) {
                        tracing::warn!(%error, "standard input of a lab host is lost");
                        break;
                    }
                }
                ChannelMsg::Eof => shared.lock().eof = true,
                ChannelMsg::Close => break,
                _ => continue,
            }
            shared.changed.notify_one();
        }
        let mut state = shared.lock();
        (state.eof, state.gone) = (true, true);
        drop(state);
        shared.changed.notify_one();
        shared.lost.notify_waiters();
    });
    client
}

async fn run(
    process: Process,
    write: &ChannelWriteHalf<Msg>,
    id: ChannelId,
    handle: &Handle,
    mut requests: mpsc::UnboundedReceiver<Request>,
    client: &Arc<Client>,
) {
    let Process {
        stdin,
        stdout,
        stderr,
        ended,
        control,
    } = process;
    let _ending = Ending(control.clone());
    let feeding = tokio::spawn(feed(client.clone(), stdin));
    let output = async {
        let (out, err) = (write.make_writer(), write.make_writer_ext(Some(STDERR)));
        tokio::join!(copy(stdout, out), copy(stderr, err));
    };
    let status = async {
        match ended.await {
            End::Code(code) => {
                let _ = handle.exit_status_request(id, code).await;
            }
            End::Signal(name) => {
                let _ = handle
                    .exit_signal_request(id, signal(&name), false, String::new(), String::new())
                    .await;
            }
        }
    };
    let signals = async {
        while let Some(request) = requests.recv().await {
            if let Request::Signal(name) = request {
                control.signal(&name);
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        // The end of the output last: a client whose own input has ended closes the channel at it, and takes no status any more.
        _ = async { tokio::join!(output, status) } => {
            let _ = write.eof().await;
        }
        () = signals => {}
        () = client.gone() => {}
    }
    feeding.abort();
}

/// From the client to the command, until either is done.
async fn feed(client: Arc<Client>, mut stdin: Box<dyn AsyncWrite + Send + Unpin>) {
    loop {
        let (next, eof) = {
            let mut state = client.lock();
            (state.spool.pop(), state.eof)
        };
        match next {
            Ok(Some(bytes)) => {
                if stdin.write_all(&bytes).await.is_err() || stdin.flush().await.is_err() {
                    return; // the command reads no more; what still comes is left in the spool
                }
            }
            Ok(None) if eof => break,
            Ok(None) => client.changed.notified().await,
            Err(error) => {
                tracing::warn!(%error, "standard input of a lab host is lost");
                break;
            }
        }
    }
    let _ = stdin.shutdown().await;
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(n) => {
                if to.write_all(&buffer[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The protocol's name of a signal.
fn signal(name: &str) -> Sig {
    match name {
        "ABRT" => Sig::ABRT,
        "ALRM" => Sig::ALRM,
        "FPE" => Sig::FPE,
        "HUP" => Sig::HUP,
        "ILL" => Sig::ILL,
        "INT" => Sig::INT,
        "KILL" => Sig::KILL,
        "PIPE" => Sig::PIPE,
        "QUIT" => Sig::QUIT,
        "SEGV" => Sig::SEGV,
        "TERM" => Sig::TERM,
        "USR1" => Sig::USR1,
        other => Sig::Custom(format!("{other}@openssh.com")),
    }
}

/// The system's name of a signal, without `SIG`.
pub(super) fn name(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => name.split('@').next().unwrap_or_default().to_owned(),
        known => format!("{known:?}"),
    }
}
