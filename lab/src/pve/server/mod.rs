//! The API on a real TLS socket: HTTP/1 with the real one's reason phrases, content types and closing of connections.
//!
//! It turns requests into calls and answers into responses; what a call does is not its business. The proxy's limit on
//! privileged calls is here too: after it the client gets 596 and the work goes on.

mod request;
mod respond;
mod upload;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::identity::{self, Authority, Identity};

pub use request::UPLOAD_BYTES_MAX;

use super::answer::Answer;
use super::cluster::Cluster;
use super::faults::Fault;
use crate::command::Serve;
use crate::listen;
use request::Incoming as Parsed;

/// How long a 401 takes on a real server.
pub const UNAUTHORIZED_DELAY: Duration = Duration::from_secs(3);
/// How long the proxy waits for the privileged daemon or another node.
pub const PROXY_WAIT: Duration = Duration::from_secs(30);
/// The authority of a Proxmox VE cluster.
const AUTHORITY: Authority = Authority {
    common_name: "Proxmox Virtual Environment",
    organization: Some("PVE Cluster Manager CA"),
};
/// How long a client may take for TLS and its headers.
const HEADER_WAIT: Duration = Duration::from_secs(30);
const HEADER_LINES_MAX: usize = 64;
/// Bytes of headers: what hyper allows at least.
const HEADER_BYTES_MAX: usize = 8192;

/// How a server answers.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub bind: SocketAddr,
    /// The certificate.
    pub identity: Identity,
    /// How long a 401 takes.
    pub unauthorized_delay: Duration,
    /// How long the proxy waits.
    pub proxy_wait: Duration,
}

/// A listening API. It stops when dropped.
pub struct Server {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The certificate's SHA-256, `AA:BB:…`.
    pub fingerprint: String,
    /// The certificate authority to trust.
    pub ca_pem: String,
    stop: watch::Sender<bool>,
    serve: Serve,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.addr)
    }
}

struct Shared {
    cluster: Arc<Cluster>,
    unauthorized_delay: Duration,
    proxy_wait: Duration,
}

impl Options {
    /// A free port of the loopback, with an identity of its own.
    pub fn local() -> Result<Self, identity::Error> {
        Self::named(&[])
    }

    /// The same, with further names and addresses in its certificate.
    pub fn named(names: &[String]) -> Result<Self, identity::Error> {
        let bind = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(Into::into).into();
        all.extend(names.iter().filter(|name| name.is_ascii()).cloned());
        let identity = Identity::signed_by(AUTHORITY, &all)?;
        Ok(Self {
            bind,
            identity,
            unauthorized_delay: UNAUTHORIZED_DELAY,
            proxy_wait: PROXY_WAIT,
        })
    }
}

impl Server {
    /// Listens at the options' address.
    pub async fn start(cluster: Arc<Cluster>, options: Options) -> std::io::Result<Self> {
        let listener = TcpListener::bind(options.bind).await?;
        Self::serve(cluster, options, listener)
    }

    /// Answers on a listener that exists, such as one inside the lab's network.
    pub fn serve(
        cluster: Arc<Cluster>,
        options: Options,
        listener: TcpListener,
    ) -> std::io::Result<Self> {
        let addr = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let fingerprint = options.identity.fingerprint().to_owned();
        cluster.set_fingerprint(&fingerprint);
        let ca_pem = options.identity.ca_pem().to_owned();
        let acceptor = TlsAcceptor::from(options.identity.config().map_err(std::io::Error::other)?);
        let Options {
            unauthorized_delay,
            proxy_wait,
            ..
        } = options;
        let shared = Arc::new(Shared {
            cluster,
            unauthorized_delay,
            proxy_wait,
        });
        let serve: Serve = Arc::new(move |stream| {
            Box::pin(connection(stream, acceptor.clone(), Arc::clone(&shared)))
        });
        tokio::spawn(listen::accept(listener, Arc::clone(&serve), stopped));
        Ok(Self {
            addr,
            fingerprint,
            ca_pem,
            stop,
            serve,
        })
    }

    /// What serves a connection that was accepted elsewhere: at a node's own address in the lab's network.
    pub fn serves(&self) -> Serve {
        Arc::clone(&self.serve)
    }

    /// The base of all calls: `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.addr)
    }

    /// Stops listening and ends all connections.
    pub fn stop(&self) {
        let _ = self.stop.send(true);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    if shared.cluster.faults.refuses() {
        return;
    }
    let _ = stream.set_nodelay(true);
    let mut first = [0u8; 1];
    match tokio::time::timeout(HEADER_WAIT, stream.peek(&mut first)).await {
        // 0x16 opens a TLS handshake; anything else is plain HTTP.
        Ok(Ok(1)) if first[0] == 0x16 => {}
        Ok(Ok(1)) => return redirect(stream).await,
        _ => return,
    }
    let Ok(Ok(tls)) = tokio::time::timeout(HEADER_WAIT, acceptor.accept(stream)).await else {
        return;
    };
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { shared.answer(request).await }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT)
        .max_headers(HEADER_LINES_MAX)
        .max_buf_size(HEADER_BYTES_MAX);
    // An error here is the client's going away, or a fault that cuts the connection.
    let _ = http.serve_connection(TokioIo::new(tls), service).await;
}

/// Plain HTTP is told to come back with TLS.
async fn redirect(mut stream: TcpStream) {
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(respond::redirect(&request))
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(&mut stream), service)
        .await;
    let _ = stream.shutdown().await;
}

/// The connection is to be cut instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the lab cuts the connection")]
struct Cut;

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
        let verb = request.method().as_str().to_owned();
        let path = request.uri().path().to_owned();
        let fault = self.cluster.faults.request(&verb, &path);
        match &fault {
            Some(Fault::Reset { done: false }) => return Err(Cut),
            Some(Fault::Status {
                status,
                text,
                done: false,
            }) => return Ok(respond::bare(*status, text)),
            Some(Fault::Unauthorized) => {
                tokio::time::sleep(self.unauthorized_delay).await;
                return Ok(respond::bare(401, "Authentication failed!"));
            }
            _ => {}
        }
        let parsed = match request::parse(request).await {
            Ok(parsed) => parsed,
            Err(refused) => return Ok(*refused),
        };
        let response = self.call(parsed).await;
        match fault {
            Some(Fault::Reset { .. }) => Err(Cut),
            Some(Fault::Status { status, text, .. }) => Ok(respond::bare(status, &text)),
            Some(Fault::Slow(wait)) => {
                tokio::time::sleep(wait).await;
                Ok(response)
            }
            _ => Ok(response),
        }
    }

    async fn call(&self, parsed: Parsed) -> Response<Full<Bytes>> {
        let Parsed {
            verb,
            path,
            format,
            credentials,
            body,
        } = parsed;
        // The path that needs no login is compared as the API has it.
        let clean = format!(
            "/{}",
            path.split('/')
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join("/")
        );
        let caller = match self.cluster.authenticate(&verb, &clean, &credentials) {
            Ok(caller) => caller,
            Err(reason) => {
                tokio::time::sleep(self.unauthorized_delay).await;
                return respond::bare(401, &reason);
            }
        };
        let params = match body.params(&self.cluster.uploads) {
            Ok(params) => params,
            Err(text) => return respond::bare(500, &text),
        };
        let answer = match self.cluster.prepare(&verb, &path, params, &caller) {
            Err(fail) if fail.status == 595 => return respond::bare(595, fail.line()),
            Err(fail) => Answer::from(Err(fail)),
            Ok(ready) if ready.protected => {
                // The work goes on when the proxy gives up.
                let work = tokio::spawn(ready.run());
                match tokio::time::timeout(self.proxy_wait, work).await {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(_)) => return respond::bare(596, "Broken pipe"),
                    Err(_) => return respond::bare(596, "Connection timed out"),
                }
            }
            Ok(ready) => ready.run().await,
        };
        if answer.status == 401 {
            tokio::time::sleep(self.unauthorized_delay).await;
        }
        respond::answer(format, answer)
    }
}
