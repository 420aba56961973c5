//! One HTTP request and what came back.
//!
//! Each request has a connection of its own: what it finds is what a new client would find. Proxies of the environment are
//! not used. Redirects are followed only when asked for.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, Url};
use serde::Serialize;
use serde_json::Value;

use super::door::Door;
use super::trust::{Roots, Trust};
use super::{Certificate, Network, ProbeError, address, within};

/// How much of a body is read.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// How many redirects are followed.
const REDIRECTS_MAX: usize = 10;
/// How many clients are kept, one for each way to trust and to resolve.
const CLIENTS_MAX: usize = 16;

/// What to ask for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `http` or `https`.
    pub url: String,
    /// `GET` when empty.
    pub method: String,
    /// Further headers; they win over those that a body brings.
    pub headers: Vec<(String, String)>,
    /// Added to the query of the URL.
    pub query: Vec<(String, String)>,
    /// What is sent.
    pub body: Body,
    /// Accept any certificate; the answer still says whether it is trusted.
    pub insecure: bool,
    /// The file with the only certificates to trust, instead of this machine's.
    pub ca: Option<PathBuf>,
    /// Follow redirects, at most ten.
    pub follow: bool,
    /// Addresses of hosts, with an optional port, instead of what their names say.
    pub resolve: Vec<(String, String)>,
}

/// What is sent.
#[derive(Debug, Clone, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    None,
    /// As `application/json`.
    Json(Value),
    /// As `application/x-www-form-urlencoded`.
    Form(Vec<(String, String)>),
    /// As it is.
    Text(String),
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case; several values of one name are joined by a comma and a blank.
    pub header: BTreeMap<String, String>,
    /// The text, invalid UTF-8 replaced.
    pub body: String,
    /// Whether the body was longer than `BODY_BYTES_MAX`; nothing follows from what it lacks then.
    pub is_cut: bool,
    /// Of an `https` server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// Where it came from after redirects.
    pub url: String,
    /// Seconds until the body had been read.
    pub duration: f64,
}

/// Asks over HTTP; keeps a client for each way to trust and to resolve.
#[derive(Debug, Default)]
pub struct Http {
    clients: Mutex<Vec<(Key, Connection)>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    roots: Roots,
    insecure: bool,
    follow: bool,
    resolve: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
struct Connection {
    client: Client,
    trust: Arc<Trust>,
}

impl Http {
    /// Knows no client yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends a request and reads what comes back; any status is an answer.
    ///
    /// # Errors
    ///
    /// When the request is not valid, nobody answers, the certificate is not trusted, or the deadline is over before the
    /// body has ended.
    pub async fn probe(
        &self,
        request: &Request,
        network: &Network,
        deadline: Duration,
    ) -> Result<Answer, ProbeError> {
        let started = Instant::now();
        let url = Url::parse(&request.url)
            .map_err(|error| ProbeError::invalid("url", &request.url, error))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ProbeError::invalid(
                "url",
                &request.url,
                "only http and https",
            ));
        }
        let address = address(
            url.host_str().unwrap_or_default(),
            url.port_or_known_default().unwrap_or_default(),
        );
        within(deadline, &address, async {
            let (connection, door) = match network {
                Network::Own => (self.connection(request).await?, None),
                Network::Other(_) => through(request, network, deadline).await?,
            };
            let sent = build(&connection.client, url, request)?.send().await;
            let response = sent.map_err(|error| match door.as_ref().and_then(Door::failure) {
                Some(failure) if error.is_connect() => failure,
                _ => explain(&address, deadline, &error),
            })?;
            read(response, &connection.trust, &address, deadline, started).await
        })
        .await
    }

    async fn connection(&self, request: &Request) -> Result<Connection, ProbeError> {
        let roots = Roots::load(request.ca.as_deref()).await?;
        let key = Key {
            roots,
            insecure: request.insecure,
            follow: request.follow,
            resolve: request.resolve.clone(),
        };
        if let Some((_, connection)) = self.clients().iter().find(|(known, _)| *known == key) {
            return Ok(connection.clone());
        }
        let trust = Arc::new(Trust::new(key.roots.clone(), key.insecure));
        let connection = Connection {
            client: client(&key, &trust, None)?,
            trust,
        };
        let mut clients = self.clients();
        if clients.len() >= CLIENTS_MAX {
            clients.remove(0);
        }
        clients.push((key, connection.clone()));
        Ok(connection)
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, Vec<(Key, Connection)>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client of one request, through a door into another network.
async fn through(
    request: &Request,
    network: &Network,
    deadline: Duration,
) -> Result<(Connection, Option<Door>), ProbeError> {
    let resolve = request
        .resolve
        .iter()
        .map(|(host, place)| Ok((host.clone(), parse_place(host, place)?)));
    let resolve = resolve.collect::<Result<Vec<_>, ProbeError>>()?;
    let door = Door::open(network.clone(), resolve, deadline).await?;
    let key = Key {
        roots: Roots::load(request.ca.as_deref()).await?,
        insecure: request.insecure,
        follow: request.follow,
        resolve: Vec::new(),
    };
    let trust = Arc::new(Trust::new(key.roots.clone(), key.insecure));
    let client = client(&key, &trust, Some(door.url()))?;
    Ok((Connection { client, trust }, Some(door)))
}

/// An address of `resolve`; port 0 stands for the port of the URL.
fn parse_place(host: &str, place: &str) -> Result<SocketAddr, ProbeError> {
    place
        .parse::<SocketAddr>()
        .or_else(|_| place.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0)))
        .map_err(|error| ProbeError::invalid("resolve", host, error))
}

fn client(key: &Key, trust: &Arc<Trust>, door: Option<&str>) -> Result<Client, ProbeError> {
    let mut builder = Client::builder()
        .user_agent(concat!("runbook/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .pool_max_idle_per_host(0)
        .redirect(if key.follow {
            Policy::limited(REDIRECTS_MAX)
        } else {
            Policy::none()
        })
        .retry(reqwest::retry::never())
        .tls_info(true)
        .dns_resolver(Arc::new(MachineResolver))
        .tls_backend_preconfigured(trust.config(&[b"h2", b"http/1.1"])?);
    for (host, place) in &key.resolve {
        builder = builder.resolve(host, parse_place(host, place)?);
    }
    if let Some(door) = door {
        let proxy = reqwest::Proxy::all(door)
            .map_err(|error| ProbeError::invalid("door", door, chain(&error)))?;
        builder = builder.proxy(proxy);
    }
    builder
        .build()
        .map_err(|error| ProbeError::invalid("http client", "", chain(&error)))
}

/// This machine's resolver, with an error that says which name it was.
struct MachineResolver;

impl Resolve for MachineResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = Network::Own.lookup(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn build(
    client: &Client,
    url: Url,
    request: &Request,
) -> Result<reqwest::RequestBuilder, ProbeError> {
    let method = if request.method.is_empty() {
        "GET"
    } else {
        &request.method
    };
    let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes())
        .map_err(|error| ProbeError::invalid("method", &request.method, error))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|error| ProbeError::invalid("header", name, error))?;
        // The value may be a secret: it is not repeated.
        let value = HeaderValue::from_str(value)
            .map_err(|error| ProbeError::invalid("header", name.as_str(), error))?;
        headers.append(name, value);
    }
    let mut builder = client.request(method, url);
    if !request.query.is_empty() {
        builder = builder.query(&request.query);
    }
    let typed = |headers: &mut HeaderMap, kind: &'static str| {
        headers
            .entry(CONTENT_TYPE)
            .or_insert(HeaderValue::from_static(kind));
    };
    builder = match &request.body {
        Body::None => builder,
        Body::Json(value) => {
            typed(&mut headers, "application/json");
            builder.body(value.to_string())
        }
        Body::Form(pairs) => {
            typed(&mut headers, "application/x-www-form-urlencoded");
            let encoded = reqwest::Url::parse_with_params("http://form/", pairs);
            let encoded = encoded.map_err(|error| ProbeError::invalid("form", "", error))?;
            builder.body(encoded.query().unwrap_or_default().to_owned())
        }
        Body::Text(text) => builder.body(text.clone()),
    };
    Ok(builder.headers(headers))
}

async fn read(
    mut response: Response,
    trust: &Trust,
    address: &str,
    deadline: Duration,
    started: Instant,
) -> Result<Answer, ProbeError> {
    let status = response.status().as_u16();
    let mut header = BTreeMap::<String, String>::new();
    for (name, value) in response.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        let known = header.entry(name.as_str().to_owned());
        known
            .and_modify(|known| *known = format!("{known}, {value}"))
            .or_insert_with(|| value.into_owned());
    }
    let info = response.extensions().get::<reqwest::tls::TlsInfo>();
    let certificate = info.and_then(|info| info.peer_certificate()).map(|der| {
        let is_trusted = trust.verdict(der).is_none();
        Certificate::read(der, is_trusted).map_err(|reason| ProbeError::Tls {
            address: address.to_owned(),
            reason,
        })
    });
    let certificate = certificate.transpose()?;
    let url = response.url().to_string();
    let mut body = Vec::new();
    let mut is_cut = false;
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| explain(address, deadline, &error))?
    {
        let room = BODY_BYTES_MAX - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            is_cut = true;
            break;
        }
    }
    let body = String::from_utf8(body)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    let duration = started.elapsed().as_secs_f64();
    Ok(Answer {
        status,
        header,
        body,
        is_cut,
        certificate,
        url,
        duration,
    })
}

fn explain(address: &str, deadline: Duration, error: &reqwest::Error) -> ProbeError {
    if error.is_builder() {
        return ProbeError::invalid("request", address, chain(error));
    }
    let cause = ProbeError::from_chain(address, deadline, error);
    match cause {
        ProbeError::Unreachable { address, .. } if !error.is_connect() => ProbeError::Protocol {
            address,
            reason: chain(error),
        },
        cause => cause,
    }
}

/// The causes of an error, without its URL, which may hold a secret.
fn chain(error: &reqwest::Error) -> String {
    let mut texts = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    if error.is_redirect() {
        texts.insert(0, "too many redirects".to_owned());
    }
    texts.dedup();
    texts.join(": ")
}
