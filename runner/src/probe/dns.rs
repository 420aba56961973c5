//! What a DNS server answers, with its status.
//!
//! Asks the server itself, over UDP and, when the answer does not fit, over TCP: what a cache or `/etc/hosts` says is not
//! the question here. `system` are the servers of this machine's configuration; search domains are not applied. They are not asked
//! for `localhost`, which no server is to be asked for (RFC 6761, section 6.3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::{Network, ProbeError, within};

/// How long a server may take until it is asked again, or the next one is.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How often one server is asked when there are others.
const ATTEMPTS_MAX: usize = 2;
/// What an answer over UDP may have without being fragmented (DNS flag day 2020).
const UDP_BYTES_MAX: u16 = 1232;
const PORT: u16 = 53;

/// The types that can be asked for.
pub const TYPES: [&str; 10] = [
    "A", "AAAA", "CNAME", "MX", "TXT", "PTR", "SRV", "NS", "SOA", "CAA",
];

/// What to ask whom.
#[derive(Debug, Clone)]
pub struct Request {
    /// A name, taken as a full one; for `PTR` an address is turned into its name.
    pub name: String,
    /// One of `TYPES`.
    pub kind: String,
    /// `system`, or an address or a name with an optional port.
    pub server: String,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// Records of the type asked for, as texts: names without their last dot, `TXT` without quotes, `MX` as
    /// `10 mail.example.org`, `SRV` as `0 5 5060 sip.example.org`.
    pub answer: Vec<String>,
    /// `NOERROR`, `NXDOMAIN`, `SERVFAIL`, `REFUSED` and so on.
    pub status: String,
    /// The server that answered.
    pub server: String,
    /// Seconds until it was known.
    pub duration: f64,
}

/// Asks a DNS server.
///
/// # Errors
///
/// When the question is not valid, and when no server answers within the deadline.
pub async fn probe(
    request: &Request,
    network: &Network,
    deadline: Duration,
) -> Result<Answer, ProbeError> {
    let started = Instant::now();
    let question = question(request)?;
    if request.server == "system" && is_localhost(question.name()) {
        return Ok(Answer {
            answer: loopback(question.query_type()),
            status: status(ResponseCode::NoError),
            server: "this machine".to_owned(),
            duration: started.elapsed().as_secs_f64(),
        });
    }
    let (response, server) = within(deadline, &request.server, async {
        let servers = servers(&request.server, network).await?;
        ask_all(network, &servers, &question, deadline).await
    })
    .await?;
    let kind = question.query_type();
    let records = response
        .answers
        .iter()
        .filter(|record| record.record_type() == kind);
    Ok(Answer {
        answer: records.map(|record| text(&record.data)).collect(),
        status: status(response.metadata.response_code),
        server: server.to_string(),
        duration: started.elapsed().as_secs_f64(),
    })
}

fn question(request: &Request) -> Result<Query, ProbeError> {
    let kind = request.kind.to_ascii_uppercase();
    let known = TYPES
        .contains(&kind.as_str())
        .then(|| RecordType::from_str(&kind).ok())
        .flatten();
    let kind = known.ok_or_else(|| {
        ProbeError::invalid(
            "type",
            &request.kind,
            format!("one of {}", TYPES.join(", ")),
        )
    })?;
    let mut name = match request.name.parse::<IpAddr>() {
        Ok(address) if kind == RecordType::PTR => Name::from(address),
        _ => Name::from_str(&request.name)
            .map_err(|error| ProbeError::invalid("name", &request.name, error))?,
    };
    name.set_fqdn(true);
    Ok(Query::query(name, kind))
}

fn is_localhost(name: &Name) -> bool {
    name.iter()
        .next_back()
        .is_some_and(|label| label.eq_ignore_ascii_case(b"localhost"))
}

fn loopback(kind: RecordType) -> Vec<String> {
    match kind {
        RecordType::A => vec![Ipv4Addr::LOCALHOST.to_string()],
        RecordType::AAAA => vec![Ipv6Addr::LOCALHOST.to_string()],
        _ => Vec::new(),
    }
}

async fn servers(server: &str, network: &Network) -> Result<Vec<SocketAddr>, ProbeError> {
    if server == "system" {
        return match network {
            Network::Own => system(),
            Network::Other(dial) => Ok(dial.servers()),
        };
    }
    if let Ok(address) = super::bare(server).parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, PORT)]);
    }
    if let Ok(address) = server.parse::<SocketAddr>() {
        return Ok(vec![address]);
    }
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) => (
            host,
            port.parse()
                .map_err(|error| ProbeError::invalid("server", server, error))?,
        ),
        None => (server, PORT),
    };
    network.lookup(host, port).await
}

fn system() -> Result<Vec<SocketAddr>, ProbeError> {
    let (config, _) = hickory_resolver::system_conf::read_system_conf()
        .map_err(|error| ProbeError::invalid("server", "system", error))?;
    let servers: Vec<_> = config
        .name_servers()
        .iter()
        .map(|server| {
            SocketAddr::new(
                server.ip,
                server
                    .connections
                    .first()
                    .map_or(PORT, |connection| connection.port),
            )
        })
        .collect();
    if servers.is_empty() {
        return Err(ProbeError::invalid(
            "server",
            "system",
            "this machine's configuration names none",
        ));
    }
    Ok(servers)
}

/// Asks one server after the other until one knows.
async fn ask_all(
    network: &Network,
    servers: &[SocketAddr],
    question: &Query,
    deadline: Duration,
) -> Result<(Message, SocketAddr), ProbeError> {
    let mut last = None;
    for server in servers {
        let result = ask(network, *server, question, servers.len() > 1, deadline).await;
        let knows = |message: &Message| {
            !matches!(
                message.metadata.response_code,
                ResponseCode::ServFail | ResponseCode::Refused
            )
        };
        let is_last = matches!(&result, Ok(message) if knows(message));
        // An answer, be it a refusal, says more than a server that is silent.
        if result.is_ok() || !matches!(last, Some(Ok(_))) {
            last = Some(result.map(|message| (message, *server)));
        }
        if is_last {
            break;
        }
    }
    last.unwrap_or_else(|| Err(ProbeError::invalid("server", "", "there is none")))
}

/// Asks one server: again when it is silent, without extensions when it does not know them, over TCP when the answer is
/// cut.
async fn ask(
    network: &Network,
    server: SocketAddr,
    question: &Query,
    has_others: bool,
    deadline: Duration,
) -> Result<Message, ProbeError> {
    let fail =
        |error: std::io::Error| ProbeError::from_chain(&server.to_string(), deadline, &error);
    let mut extended = true;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let (message, bytes) = message(question, extended)?;
        let socket = network.datagrams(server).await?;
        socket.connect(server).await.map_err(fail)?;
        socket.send(&bytes).await.map_err(fail)?;
        let Ok(response) = timeout(RETRY_AFTER, receive(&socket, &message)).await else {
            if has_others && attempts >= ATTEMPTS_MAX {
                return Err(ProbeError::TimedOut {
                    address: server.to_string(),
                    after: RETRY_AFTER * 2,
                });
            }
            continue;
        };
        let response = response.map_err(fail)?;
        if extended
            && matches!(
                response.metadata.response_code,
                ResponseCode::FormErr | ResponseCode::NotImp
            )
        {
            extended = false;
            continue;
        }
        if response.metadata.truncation {
            let mut stream = network.dial(server, deadline).await?;
            return over_tcp(&mut stream, &message, &bytes).await.map_err(fail);
        }
        return Ok(response);
    }
}

fn message(question: &Query, extended: bool) -> Result<(Message, Vec<u8>), ProbeError> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(question.clone());
    if extended {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_BYTES_MAX);
        message.set_edns(edns);
    }
    let bytes = message
        .to_vec()
        .map_err(|error| ProbeError::invalid("name", question.name().to_string(), error))?;
    Ok((message, bytes))
}

/// Waits for the answer to this question; others, forged ones perhaps, are passed over.
async fn receive(socket: &UdpSocket, asked: &Message) -> std::io::Result<Message> {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Ok(response) = Message::from_vec(&buffer[..length])
            && is_answer(&response, asked)
        {
            return Ok(response);
        }
    }
}

async fn over_tcp(
    stream: &mut tokio::net::TcpStream,
    asked: &Message,
    bytes: &[u8],
) -> std::io::Result<Message> {
    let length = u16::try_from(bytes.len()).map_err(std::io::Error::other)?;
    stream
        .write_all(&[&length.to_be_bytes(), bytes].concat())
        .await?;
    let mut buffer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut buffer).await?;
    let response = Message::from_vec(&buffer).map_err(std::io::Error::other)?;
    if is_answer(&response, asked) {
        Ok(response)
    } else {
        Err(std::io::Error::other("an answer to another question"))
    }
}

fn is_answer(response: &Message, asked: &Message) -> bool {
    let same = |(one, other): (&Query, &Query)| {
        one.name() == other.name() && one.query_type() == other.query_type()
    };
    response.metadata.id == asked.metadata.id
        && response.metadata.message_type == MessageType::Response
        // A refusal may come without the question.
        && response.queries.iter().zip(&asked.queries).all(same)
}

fn status(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::NotAuth => "NOTAUTH".to_owned(),
        other => format!("RCODE{}", u16::from(other)),
    }
}

fn text(data: &RData) -> String {
    match data {
        RData::CNAME(name) => dotless(&name.0),
        RData::PTR(name) => dotless(&name.0),
        RData::NS(name) => dotless(&name.0),
        RData::MX(mx) => format!("{} {}", mx.preference, dotless(&mx.exchange)),
        RData::SRV(srv) => format!(
            "{} {} {} {}",
            srv.priority,
            srv.weight,
            srv.port,
            dotless(&srv.target)
        ),
        RData::TXT(txt) => String::from_utf8_lossy(&txt.txt_data.concat()).into_owned(),
        RData::SOA(soa) => format!(
            "{} {} {} {} {} {} {}",
            dotless(&soa.mname),
            dotless(&soa.rname),
            soa.serial,
            soa.refresh,
            soa.retry,
            soa.expire,
            soa.minimum
        ),
        other => other.to_string(),
    }
}

fn dotless(name: &Name) -> String {
    let text = name.to_ascii();
    match text.strip_suffix('.') {
        Some(short) if !short.is_empty() => short.to_owned(),
        _ => text,
    }
}
