//! A server on a real TLS socket that answers what a test says, byte by byte, and remembers what it was asked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runbook_proxmox::{Auth, Client, Endpoint, Times, Trust};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ServerConfig, crypto::ring};

pub(crate) const TOKEN: &str = "root@pam!book";
pub(crate) const SECRET: &str = "11111111-2222-3333-4444-555555555555";

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == format!("/api2/json{path}")
    }
}

/// What the server does with a request.
pub(crate) enum Act {
    /// These bytes, then the connection is closed.
    Bytes(String),
    /// Closed without a byte.
    Reset,
    /// The answer after a pause.
    Slow(Duration, Box<Act>),
    /// A body without end.
    Endless,
}

/// A status line with its reason, and a body.
pub(crate) fn answer(status: u16, reason: &str, body: &str) -> Act {
    Act::Bytes(format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/json;charset=UTF-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    ))
}

/// 200 with this JSON as `data`.
pub(crate) fn data(json: &str) -> Act {
    answer(200, "OK", &format!("{{\"data\":{json}}}"))
}

/// A 500 as servers since 8.3 send it.
pub(crate) fn refused(text: &str) -> Act {
    let body = serde_json::json!({"data": null, "message": format!("{text}\n")});
    answer(500, text, &body.to_string())
}

type Script = dyn Fn(usize, &Asked) -> Act + Send + Sync;

pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) fingerprint: String,
    pub(crate) ca: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    pub(crate) connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Starts one; the script gets each request with its number from 0.
    pub(crate) async fn start(
        script: impl Fn(usize, &Asked) -> Act + Send + Sync + 'static,
    ) -> Self {
        Self::start_as(identity(false), script).await
    }

    /// One that shows a certificate whose key it does not have.
    pub(crate) async fn start_impostor() -> Self {
        Self::start_as(identity(true), |_, _| data("1")).await
    }

    async fn start_as(
        (config, fingerprint, ca): (ServerConfig, String, String),
        script: impl Fn(usize, &Asked) -> Act + Send + Sync + 'static,
    ) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let script: Arc<Script> = Arc::new(script);
        let (log, count) = (Arc::clone(&asked), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (acceptor, log, script) =
                    (acceptor.clone(), Arc::clone(&log), Arc::clone(&script));
                tokio::spawn(async move {
                    // A client that refuses the certificate ends it here.
                    let _ = serve(acceptor, stream, log, script).await;
                });
            }
        });
        Self {
            port,
            fingerprint,
            ca,
            asked,
            connections,
            task,
        }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("asked").clone()
    }

    pub(crate) fn count(&self, method: &str, path: &str) -> usize {
        self.asked()
            .iter()
            .filter(|asked| asked.is(method, path))
            .count()
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    pub(crate) fn client(&self) -> Client {
        self.client_as(Auth::token(TOKEN, SECRET))
    }

    pub(crate) fn client_as(&self, auth: Auth) -> Client {
        self.client_with(auth, Trust::Fingerprint(self.fingerprint.clone()), times())
    }

    pub(crate) fn client_with(&self, auth: Auth, trust: Trust, times: Times) -> Client {
        let endpoint = Endpoint {
            url: self.url(),
            auth,
            trust,
        };
        Client::with_times(endpoint, times).expect("a client")
    }
}

/// Short ones.
pub(crate) fn times() -> Times {
    Times {
        request: Duration::from_secs(5),
        pause: Duration::from_millis(5),
        renew_after: Duration::from_secs(3000),
        search: Duration::from_millis(400),
    }
}

/// A server's TLS, its certificate's fingerprint, and the authority that signed it.
fn identity(with_another_key: bool) -> (ServerConfig, String, String) {
    use sha2::Digest as _;
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("params");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key).expect("an authority").pem();
    let issuer = rcgen::Issuer::new(params, key);
    let mut key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("params");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    let der = certificate.der().clone();
    let hash = sha2::Sha256::digest(&der);
    let fingerprint: Vec<String> = hash.iter().map(|byte| format!("{byte:02X}")).collect();
    if with_another_key {
        key = rcgen::KeyPair::generate().expect("a key");
    }
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signing = ring::sign::any_supported_type(&key).expect("a key");
    // Not checked against the certificate.
    let certified = CertifiedKey::new(vec![der], signing);
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(Arc::new(certified))));
    (config, fingerprint.join(":"), ca)
}

/// Shows the same certificate to everyone.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

async fn serve(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    log: Arc<Mutex<Vec<Asked>>>,
    script: Arc<Script>,
) -> std::io::Result<()> {
    let stream = acceptor.accept(stream).await?;
    let mut stream = BufReader::new(stream);
    let asked = read(&mut stream).await?;
    let number = {
        let mut log = log.lock().expect("log");
        log.push(asked.clone());
        log.len() - 1
    };
    let mut act = script(number, &asked);
    loop {
        act = match act {
            Act::Slow(pause, then) => {
                tokio::time::sleep(pause).await;
                *then
            }
            Act::Bytes(bytes) => {
                stream.write_all(bytes.as_bytes()).await?;
                return stream.shutdown().await;
            }
            Act::Reset => return Ok(()),
            Act::Endless => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                    .await?;
                let chunk = vec![b' '; 1 << 20];
                loop {
                    stream.write_all(&chunk).await?;
                }
            }
        };
    }
}

async fn read(
    stream: &mut BufReader<tokio_rustls::server::TlsStream<TcpStream>>,
) -> std::io::Result<Asked> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Asked {
        method,
        path,
        query,
        headers,
        body,
    })
}
