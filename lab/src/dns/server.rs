//! The sockets: UDP with truncation, TCP with length prefixes. Everything ends when the server is dropped.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Answer, Zone};

/// How long an answer may be kept: not at all, names come and go within a run.
const TTL_SECONDS: u32 = 0;
/// A datagram without EDNS is never longer.
const UDP_BYTES: usize = 512;
/// A datagram with EDNS is never longer.
const EDNS_BYTES_MAX: u16 = 1232;
/// A connection that asks nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(10);
/// Connections at a time.
const CONNECTIONS_MAX: usize = 64;
/// Ports tried until UDP and TCP have the same.
const PORTS_TRIED_MAX: usize = 20;
/// Pause after an error of a socket.
const PAUSE: Duration = Duration::from_millis(50);

/// A running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

/// What kept the server from starting.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve DNS at {address}")]
pub struct Error {
    /// Where.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

impl Server {
    /// Serves at an address of this machine; port 0 takes one that is free for UDP and TCP.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub async fn start(zone: Zone, address: SocketAddr) -> Result<Self, Error> {
        let mut last = None;
        for _ in 0..PORTS_TRIED_MAX {
            match bind(address).await {
                Ok((udp, tcp)) => {
                    return Self::serve(zone, udp, tcp).map_err(|source| Error { address, source });
                }
                Err(error) => last = Some(error),
            }
            if address.port() != 0 {
                break;
            }
        }
        let source = last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into());
        Err(Error { address, source })
    }

    /// Serves on sockets that are open already, wherever they are.
    ///
    /// # Errors
    /// When a socket has no address.
    pub fn serve(zone: Zone, udp: UdpSocket, tcp: TcpListener) -> io::Result<Self> {
        let address = udp.local_addr()?;
        let tasks = [
            tokio::spawn(datagrams(zone.clone(), udp)),
            tokio::spawn(connections(zone, tcp)),
        ];
        Ok(Self { address, tasks })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let tcp = TcpListener::bind(address).await?;
    Ok((UdpSocket::bind(tcp.local_addr()?).await?, tcp))
}

async fn datagrams(zone: Zone, socket: UdpSocket) {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let Some(answer) = reply(&zone, &buffer[..length]) else {
            continue;
        };
        let limit = answer
            .edns
            .as_ref()
            .map_or(UDP_BYTES, |edns| usize::from(edns.max_payload()));
        let bytes = match answer.to_vec() {
            Ok(bytes) if bytes.len() <= limit => Ok(bytes),
            Ok(_) => answer.truncate().to_vec(),
            Err(error) => Err(error),
        };
        if let Err(error) = match bytes {
            Ok(bytes) => socket
                .send_to(&bytes, from)
                .await
                .map(drop)
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        } {
            tracing::debug!(%error, "an answer is lost");
        }
    }
}

async fn connections(zone: Zone, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut open = tokio::task::JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        if let Ok(place) = places.clone().try_acquire_owned() {
            let zone = zone.clone();
            open.spawn(async move {
                if let Err(error) = questions(&zone, stream).await {
                    tracing::debug!(%error, "a DNS connection ended");
                }
                drop(place);
            });
        }
    }
}

async fn questions(zone: &Zone, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let length = match timeout(IDLE, stream.read_u16()).await {
            Ok(Ok(length)) => length,
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Ok(()),
        };
        let mut question = vec![0; usize::from(length)];
        timeout(IDLE, stream.read_exact(&mut question)).await??;
        let Some(answer) = reply(zone, &question) else {
            return Ok(());
        };
        let bytes = answer.to_vec().map_err(io::Error::other)?;
        let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(&bytes);
        timeout(IDLE, stream.write_all(&framed)).await??;
    }
}

/// The answer to a message; none to what is not even a question's header.
fn reply(zone: &Zone, bytes: &[u8]) -> Option<Message> {
    let id = u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?);
    let question = match Message::from_vec(bytes) {
        Ok(message) if message.metadata.message_type == MessageType::Query => message,
        Ok(_) => return None, // an answer is never answered
        Err(_) => return Some(Message::error_msg(id, OpCode::Query, ResponseCode::FormErr)),
    };
    let mut answer = Message::response(id, question.metadata.op_code);
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.add_queries(question.queries.iter().cloned());
    if let Some(asked) = &question.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(asked.max_payload().clamp(512, EDNS_BYTES_MAX));
        answer.set_edns(edns);
    }
    answer.metadata.response_code = match (question.metadata.op_code, question.queries.as_slice()) {
        (OpCode::Query, [query]) if query.query_class() == DNSClass::IN => match zone
            .answer(query.name(), query.query_type())
        {
            Answer::Found(data) => {
                answer.metadata.authoritative = true;
                answer.add_answers(
                    data.into_iter()
                        .map(|data| Record::from_rdata(query.name().clone(), TTL_SECONDS, data)),
                );
                ResponseCode::NoError
            }
            Answer::NoSuchName => {
                answer.metadata.authoritative = true;
                ResponseCode::NXDomain
            }
            Answer::NotOurs => ResponseCode::ServFail,
        },
        (OpCode::Query, [_]) => ResponseCode::Refused,
        (OpCode::Query, _) => ResponseCode::FormErr,
        _ => ResponseCode::NotImp,
    };
    Some(answer)
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;
    use hickory_proto::rr::{Name, RecordType};

    use super::*;

    fn zone() -> Zone {
        let zone = Zone::new(["home.arpa".to_owned()]);
        zone.add("nas", "192.168.4.20".parse().unwrap());
        for n in 0..100 {
            zone.add("many", format!("10.0.0.{n}").parse().unwrap());
        }
        zone
    }

    fn question(name: &str) -> Vec<u8> {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
        message.to_vec().unwrap()
    }

    async fn over_udp(server: &Server, question: &[u8]) -> Message {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(question, server.address()).await.unwrap();
        let mut buffer = [0; 4096];
        let (length, _) = timeout(IDLE, socket.recv_from(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    }

    async fn over_tcp(stream: &mut TcpStream, question: &[u8]) -> Message {
        stream
            .write_u16(question.len().try_into().unwrap())
            .await
            .unwrap();
        stream.write_all(question).await.unwrap();
        let length = timeout(IDLE, stream.read_u16()).await.unwrap().unwrap();
        let mut answer = vec![0; length.into()];
        stream.read_exact(&mut answer).await.unwrap();
        Message::from_vec(&answer).unwrap()
    }

    #[tokio::test]
    async fn questions_are_answered_over_udp_and_tcp() {
        let server = Server::start(zone(), "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        for (name, code, count) in [
            ("nas.home.arpa.", ResponseCode::NoError, 1),
            ("nope.home.arpa.", ResponseCode::NXDomain, 0),
            ("example.org.", ResponseCode::ServFail, 0),
        ] {
            let question = question(name);
            for answer in [
                over_udp(&server, &question).await,
                over_tcp(&mut stream, &question).await,
            ] {
                assert_eq!(
                    (answer.metadata.response_code, answer.answers.len()),
                    (code, count),
                    "{name}"
                );
                assert_eq!(answer.metadata.id.to_be_bytes(), question[..2], "{name}");
            }
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_a_datagram_is_truncated_and_whole_over_tcp() {
        let server = Server::start(zone(), "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let question = question("many.");
        let short = over_udp(&server, &question).await;
        assert!(short.metadata.truncation);
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        assert_eq!(over_tcp(&mut stream, &question).await.answers.len(), 100);
    }

    #[tokio::test]
    async fn rubbish_gets_an_error_and_the_server_lives_on() {
        let server = Server::start(zone(), "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let answer = over_udp(&server, b"\x12\x34\xff\xff\xff\xff\xff").await;
        assert_eq!(
            (answer.metadata.id, answer.metadata.response_code),
            (0x1234, ResponseCode::FormErr)
        );
        assert_eq!(over_udp(&server, &question("nas.")).await.answers.len(), 1);
    }
}
