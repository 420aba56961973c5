//! Programs in containers, over WebSocket (`v5.channel.k8s.io`, else `v4`), and ports of pods.
//!
//! The exit code comes only over the error channel, as a `Status`. A connection that ends without one has told nothing: that is an
//! error, never a success. Standard input can end only in version 5 (Kubernetes 1.30): an older server is refused it, unless it is
//! held open to the end, as a program has it that ends with us.
//! When the waiting is given up the connection is closed; the program is then ended by the container runtime at its next output,
//! and goes on where it has none: Kubernetes has no way to end it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::client::Client;
use crate::error::{Error, ErrorKind, seconds};
use crate::kind::Resource;
use crate::object::text;
use crate::request::Request;
use crate::transport::of_transport;

/// Nothing was heard for so long: the connection is asked whether it lives.
const PING: Duration = Duration::from_secs(20);
/// It did not answer: the connection is dead.
const DEAD: Duration = Duration::from_secs(60);
/// Standard input is sent in pieces of so many bytes.
const PIECE_BYTES: usize = 32 << 10;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const CLOSE: u8 = 255;
/// The end of standard input.
const END: &[u8] = &[CLOSE, STDIN];

/// Which container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container; without a name the pod's default one.
    pub container: Option<String>,
}

/// Which stream some output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code.
    pub exit: i32,
    /// What the runtime says of an end that was no ordinary one.
    pub message: String,
}

/// Standard input of a program.
enum Input<E> {
    /// Nothing is open.
    None,
    /// These bytes, then its end.
    Whole(Bytes),
    /// These bytes; it ends when somebody says so.
    Held(Bytes, E),
}

/// Runs a program in a container; `output` gets what it prints as it comes. Standard input is what is given, then ends; without
/// it there is none.
///
/// # Errors
///
/// [`Error::Timeout`] at the deadline; [`Error::Lost`] when the connection ends without an exit code; [`Error::Server`] when the
/// program cannot be started (no such program, no such container); or the request is refused.
pub async fn exec(
    client: &Client,
    at: &Container,
    command: &[String],
    stdin: Option<Bytes>,
    limit: Duration,
    output: impl FnMut(Stream, &[u8]),
) -> Result<Ended, Error> {
    let input = stdin.map_or(Input::None, Input::Whole);
    run::<std::future::Pending<()>>(client, at, command, input, limit, output).await
}

/// The same with standard input that stays open after what is given, until `end` is done: a program that watches for the end of
/// its input ends then, and also when the connection is lost or this future is dropped.
///
/// # Errors
///
/// As [`exec`]; a server that cannot end standard input alone (before Kubernetes 1.30) has the connection ended at `end`, and
/// [`Error::Lost`] says so.
pub async fn exec_held(
    client: &Client,
    at: &Container,
    command: &[String],
    stdin: Bytes,
    end: impl Future<Output = ()>,
    limit: Duration,
    output: impl FnMut(Stream, &[u8]),
) -> Result<Ended, Error> {
    run(client, at, command, Input::Held(stdin, end), limit, output).await
}

async fn run<E: Future<Output = ()>>(
    client: &Client,
    at: &Container,
    command: &[String],
    stdin: Input<E>,
    limit: Duration,
    mut output: impl FnMut(Stream, &[u8]),
) -> Result<Ended, Error> {
    let deadline = Instant::now() + limit;
    let mut request = Request::get(&Resource::pod(), Some(&at.namespace), Some(&at.pod))
        .subresource("exec")
        .maybe("container", at.container.as_ref());
    request = request.with("stdout", true).with("stderr", true);
    if !matches!(stdin, Input::None) {
        request = request.with("stdin", true);
    }
    for word in command {
        request = request.with("command", word);
    }
    let timeout = || Error::Timeout {
        what: format!("{request:?}"),
        seconds: seconds(limit),
    };
    let connect = tokio::time::timeout_at(
        deadline.min(Instant::now() + client.times().request),
        connect(client, &request),
    );
    let connection = connect.await.map_err(|_| timeout())??;
    let can_end = connection.supports_stream_close();
    if matches!(stdin, Input::Whole(_)) && !can_end {
        return Err(Error::Server {
            status: 501,
            message:
                "standard input cannot be ended there: the server is older than Kubernetes 1.30"
                    .to_owned(),
        });
    }
    let talk = talk(connection.into_stream(), stdin, can_end, &mut output);
    let status = tokio::time::timeout_at(deadline, talk)
        .await
        .map_err(|_| timeout())??;
    ended(&status)
}

async fn connect(client: &Client, request: &Request) -> Result<kube::client::Connection, Error> {
    let http = http::Request::get(request.uri()).body(Vec::new());
    let http =
        http.map_err(|error| Error::Setting(format!("no request can be made of this: {error}")))?;
    let kube = client.kube();
    kube.connect(http).await.map_err(|error| match &error {
        // `kube` has read the server's words already.
        kube::Error::Api(status) => {
            let body = serde_json::to_vec(status).unwrap_or_default();
            crate::status::error_of(request, status.code, None, &body)
        }
        kube::Error::UpgradeConnection(upgrade) => Error::Server {
            status: 400,
            message: format!("the server does not speak WebSocket here: {upgrade}"),
        },
        error => of_transport(client.url(), error),
    })
}

type Socket<S> = tokio_tungstenite::WebSocketStream<S>;

/// Carries input and output until the status comes.
async fn talk<S, E: Future<Output = ()>>(
    socket: Socket<S>,
    stdin: Input<E>,
    can_end: bool,
    output: &mut impl FnMut(Stream, &[u8]),
) -> Result<Value, Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (mut send, mut receive) = socket.split();
    // Each runs on by itself: giving up a message half sent would spoil the next.
    let write = async {
        let (first, end) = match stdin {
            Input::None => (Vec::new(), None),
            Input::Whole(bytes) => (pieces(&bytes, true), None),
            Input::Held(bytes, end) => (pieces(&bytes, false), Some(end)),
        };
        for piece in first {
            // A program need not read what it is given: its exit code is still to come.
            if send.send(Message::Binary(piece)).await.is_err() {
                break;
            }
        }
        let is_held = end.is_some();
        let mut end = std::pin::pin!(async {
            match end {
                Some(end) => end.await,
                None => std::future::pending().await,
            }
        });
        let mut is_open = is_held;
        loop {
            let sent = tokio::select! {
                () = &mut end, if is_open => {
                    is_open = false;
                    if !can_end {
                        // The end of the connection is the end of standard input, too.
                        return;
                    }
                    send.send(Message::Binary(Bytes::from_static(END))).await
                }
                () = tokio::time::sleep(PING) => send.send(Message::Ping(Bytes::new())).await,
            };
            if sent.is_err() {
                return std::future::pending::<()>().await;
            }
        }
    };
    let read = async {
        loop {
            let data = match tokio::time::timeout(DEAD, receive.next()).await {
                Err(_) => {
                    return Err(Error::Lost(
                        "the connection gives no sign of life".to_owned(),
                    ));
                }
                Ok(Some(Ok(Message::Binary(data)))) => data,
                Ok(Some(Ok(Message::Close(_))) | None) => {
                    return Err(Error::Lost("it ended without an exit code".to_owned()));
                }
                Ok(Some(Ok(_))) => continue,
                Ok(Some(Err(error))) => return Err(Error::Lost(crate::access::chain(&error))),
            };
            match data.split_first() {
                Some((&STDOUT, data)) if !data.is_empty() => output(Stream::Stdout, data),
                Some((&STDERR, data)) if !data.is_empty() => output(Stream::Stderr, data),
                Some((&STATUS, data)) if !data.is_empty() => {
                    return serde_json::from_slice(data)
                        .map_err(|error| Error::Answer(format!("an exit status: {error}")));
                }
                _ => {}
            }
        }
    };
    tokio::select! {
        status = read => status,
        () = write => Err(Error::Lost("the connection is closed".to_owned())),
    }
}

/// Standard input in pieces, then its end where it ends.
fn pieces(stdin: &Bytes, ends: bool) -> Vec<Bytes> {
    let pieces = stdin.chunks(PIECE_BYTES);
    pieces
        .map(|piece| [&[STDIN], piece].concat().into())
        .chain(ends.then_some(Bytes::from_static(END)))
        .collect()
}

/// Reads the exit code of a status: `Success` is 0, a cause of reason `ExitCode` holds any other.
fn ended(status: &Value) -> Result<Ended, Error> {
    let message = text(status, "/message").to_owned();
    if text(status, "/status") == "Success" {
        return Ok(Ended { exit: 0, message });
    }
    let causes = status.pointer("/details/causes").and_then(Value::as_array);
    let code = causes
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .find(|cause| text(cause, "/reason") == "ExitCode");
    if let Some(exit) = code.and_then(|cause| text(cause, "/message").parse().ok()) {
        return Ok(Ended { exit, message });
    }
    let code = status["code"]
        .as_u64()
        .and_then(|code| u16::try_from(code).ok())
        .unwrap_or(500);
    Err(Error::Server {
        status: code,
        message,
    })
}

/// A connection to a port of a pod, until either side ends it.
///
/// # Errors
///
/// The request is refused; nothing listens at the port is told only when something is read: see [`Forward::error`].
pub async fn forward(
    client: &Client,
    namespace: &str,
    pod: &str,
    port: u16,
) -> Result<Forward, Error> {
    let api: kube::Api<k8s_openapi::api::core::v1::Pod> =
        kube::Api::namespaced(client.kube(), namespace);
    let request =
        Request::get(&Resource::pod(), Some(namespace), Some(pod)).subresource("portforward");
    let asked = api.portforward(pod, std::slice::from_ref(&port));
    let forwarder = match tokio::time::timeout(client.times().request, asked).await {
        Ok(Ok(forwarder)) => forwarder,
        Ok(Err(kube::Error::Api(status))) => {
            let body = serde_json::to_vec(&status).unwrap_or_default();
            return Err(crate::status::error_of(&request, status.code, None, &body));
        }
        Ok(Err(error)) => return Err(of_transport(client.url(), &error)),
        Err(_) => {
            return Err(Error::Timeout {
                what: format!("{request:?}"),
                seconds: client.times().request.as_secs(),
            });
        }
    };
    Ok(Forward { forwarder, port })
}

/// A connection to a port of a pod. Dropping it ends it.
pub struct Forward {
    forwarder: kube::api::Portforwarder,
    port: u16,
}

impl Forward {
    /// The connection, once.
    pub fn stream(
        &mut self,
    ) -> Option<impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + use<>> {
        self.forwarder.take_stream(self.port)
    }

    /// Why the pod's side has ended it, where it says so; waits until it ends.
    pub async fn error(&mut self) -> Option<String> {
        match self.forwarder.take_error(self.port) {
            Some(error) => error.await,
            None => None,
        }
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.forwarder.abort();
    }
}

impl std::fmt::Debug for Forward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Forward({})", self.port)
    }
}

/// Whether an error of [`exec`] says nothing about whether the program has run.
pub fn is_uncertain(error: &Error) -> bool {
    error.kind() == ErrorKind::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_exit_code_is_read_from_the_status() {
        assert_eq!(
            ended(&json!({"metadata": {}, "status": "Success"}))
                .expect("an end")
                .exit,
            0
        );
        let status = json!({"status": "Failure", "message": "command terminated with non-zero exit code", "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": "7"}]}});
        assert_eq!(ended(&status).expect("an end").exit, 7);
    }

    #[test]
    fn a_program_that_cannot_start_has_no_exit_code() {
        let status = json!({"status": "Failure", "message": "exec: \"nope\": executable file not found in $PATH", "reason": "InternalError", "code": 500});
        let error = ended(&status).expect_err("no end");
        assert!(
            matches!(&error, Error::Server { status: 500, message } if message.contains("not found")),
            "{error:?}"
        );
        assert!(ended(&json!({})).is_err());
        let odd = json!({"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "many"}]}});
        assert!(ended(&odd).is_err());
    }

    #[test]
    fn input_is_cut_into_pieces_and_ends() {
        let stdin = Bytes::from(vec![b'a'; PIECE_BYTES + 1]);
        let pieces = pieces(&stdin, true);
        assert_eq!(
            pieces.iter().map(Bytes::len).collect::<Vec<_>>(),
            [PIECE_BYTES + 1, 2, 2]
        );
        assert!(pieces[..2].iter().all(|piece| piece[0] == STDIN));
        assert_eq!(&pieces[2][..], [255, 0]);
        assert_eq!(super::pieces(&stdin, false).len(), 2);
        assert_eq!(super::pieces(&Bytes::new(), true).len(), 1);
    }
}
