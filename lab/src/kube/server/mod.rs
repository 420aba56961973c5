//! The API on a real TLS socket: connections, their end, and the kubeconfig that leads to it.

pub(super) mod access;
mod exec;
mod forward;
mod handle;
mod identify;
mod log;
mod read;
mod request;
mod respond;
mod reviews;
mod socket;
mod sub;
mod watch;
mod write;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch as flag};
use tokio_rustls::TlsAcceptor;

use super::controllers;
use super::object;
use super::programs::{Hook, NoPrograms, Programs};
use super::settings::{Error, Settings};
use super::state::Cluster;
use crate::command::Serve;
use crate::identity::{Authority, ClientIdentity, Identity};
use crate::listen;

const AUTHORITY: Authority = Authority {
    common_name: "kubernetes",
    organization: None,
};
/// The user with all rights.
const ADMIN: &str = "admin";
/// How long a client may take for TLS and its headers.
const HEADER_WAIT: Duration = Duration::from_secs(30);
/// How long a shutdown waits for what was started.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// A listening API with its controllers. Both stop when it is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub addr: SocketAddr,
    ca_pem: String,
    token: String,
    client: ClientIdentity,
    cluster: Arc<Cluster>,
    stop: flag::Sender<bool>,
    /// Closed when everything that was started has ended.
    alive: mpsc::Receiver<()>,
}

/// Who may do everything, by certificate.
pub(crate) struct Admin {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
    /// The certificate.
    pub(crate) der: Vec<u8>,
}

/// What every connection has.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) token: Arc<str>,
    pub(crate) admin: Arc<Admin>,
    /// The certificate that the client of this connection has shown.
    pub(crate) certificate: Option<Arc<[u8]>>,
    pub(crate) address: Arc<str>,
    pub(crate) stopped: flag::Receiver<bool>,
    pub(crate) alive: mpsc::Sender<()>,
}

impl Server {
    /// Listens on a free port of the loopback.
    ///
    /// # Errors
    ///
    /// When the settings cannot be used, or nothing can be listened at.
    pub async fn start(settings: Settings) -> Result<Self, Error> {
        Self::with_programs(settings, Arc::new(NoPrograms)).await
    }

    /// The same with who runs the commands of containers.
    ///
    /// # Errors
    ///
    /// As `start`.
    pub async fn with_programs(
        settings: Settings,
        programs: Arc<dyn Programs>,
    ) -> Result<Self, Error> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let names = [
            "kubernetes",
            "kubernetes.default.svc",
            "localhost",
            "127.0.0.1",
            "10.96.0.1",
        ]
        .map(str::to_owned);
        let identity = Identity::signed_by(AUTHORITY, &names)?;
        let cluster = Cluster::new(settings, identity.ca_pem(), Hook(programs))?;
        let addr = listener.local_addr()?;
        let acceptor = TlsAcceptor::from(identity.config_asking()?);
        let groups = vec!["system:masters".to_owned()];
        let client = identity.client(ADMIN, &groups)?;
        let token = object::new_uid().replace('-', "");
        let (stop, stopped) = flag::channel(false);
        let (alive, ended) = mpsc::channel(1);
        let shared = Shared {
            cluster: cluster.clone(),
            token: token.as_str().into(),
            admin: Arc::new(Admin {
                name: ADMIN.into(),
                groups,
                der: client.der.to_vec(),
            }),
            certificate: None,
            address: addr.to_string().into(),
            stopped: stopped.clone(),
            alive: alive.clone(),
        };
        tokio::spawn(controllers::run(cluster.clone(), stopped.clone(), alive));
        let serve: Serve =
            Arc::new(move |stream| Box::pin(connection(stream, acceptor.clone(), shared.clone())));
        tokio::spawn(listen::accept(listener, serve, stopped));
        Ok(Self {
            addr,
            ca_pem: identity.ca_pem().to_owned(),
            token,
            client,
            cluster,
            stop,
            alive: ended,
        })
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.addr)
    }

    /// The authority to trust, as PEM.
    pub fn ca(&self) -> &str {
        &self.ca_pem
    }

    /// The administrator's bearer token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The administrator's certificate and its key, both as PEM.
    fn certificate(&self) -> (&str, &str) {
        (&self.client.certificate_pem, &self.client.key_pem)
    }

    /// The state behind the API, for faults and compaction.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// The administrator's kubeconfig, as YAML.
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig_of("lab", ADMIN, &self.token)
    }

    /// A kubeconfig with another name of the cluster, user and token.
    pub fn kubeconfig_of(&self, cluster: &str, user: &str, token: &str) -> String {
        use base64::Engine;
        let ca = base64::engine::general_purpose::STANDARD.encode(&self.ca_pem);
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: {cluster}\n  cluster:\n    server: {}\n    certificate-authority-data: {ca}\n\
             users:\n- name: {user}\n  user:\n    token: {token}\n\
             contexts:\n- name: {cluster}\n  context:\n    cluster: {cluster}\n    user: {user}\ncurrent-context: {cluster}\n",
            self.url()
        )
    }

    /// The administrator's kubeconfig with a second context, `admin-certificate`: the same rights by client certificate.
    pub fn kubeconfig_with_certificate(&self) -> String {
        use base64::Engine;
        let (certificate, key) = self.certificate();
        let [authority, certificate, key] = [self.ca(), certificate, key]
            .map(|text| base64::engine::general_purpose::STANDARD.encode(text));
        let (url, token) = (self.url(), self.token());
        format!(
            "apiVersion: v1
kind: Config
clusters:
- {{name: lab, cluster: {{server: \"{url}\", certificate-authority-data: {authority}}}}}
users:
- {{name: admin, user: {{token: {token}}}}}
- {{name: admin-certificate, user: {{client-certificate-data: {certificate}, client-key-data: {key}}}}}
contexts:
- {{name: admin, context: {{cluster: lab, user: admin}}}}
- {{name: admin-certificate, context: {{cluster: lab, user: admin-certificate}}}}
current-context: admin
"
        )
    }

    /// Ends connections, watches and controllers, and waits until nothing of them is left.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        let _ = tokio::time::timeout(STOP_WAIT, self.alive.recv()).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, shared: Shared) {
    let _ = stream.set_nodelay(true);
    let Ok(Ok(tls)) = tokio::time::timeout(HEADER_WAIT, acceptor.accept(stream)).await else {
        return;
    };
    let shown = tls.get_ref().1.peer_certificates();
    let certificate = shown
        .and_then(|chain| chain.first())
        .map(|own| own.as_ref().into());
    let shared = Shared {
        certificate,
        ..shared
    };
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { handle::answer(shared, request).await }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT);
    // An error here is the client's going away, or a fault that cuts the connection.
    let _ = http
        .serve_connection(TokioIo::new(tls), service)
        .with_upgrades()
        .await;
}
