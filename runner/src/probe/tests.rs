//! Probes against real sockets on this machine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType, rdata};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::http::{Body, Http};
use super::*;

const DEADLINE: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(300);

/// A port at which nobody listens.
async fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("its address").port()
}

/// A port that accepts and says nothing.
async fn silent() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    (listener, port)
}

/// Reads one request and answers with what `answer` makes of it; returns false at the end of the connection.
async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    answer: impl Fn(&str) -> String,
) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let length = text
            .to_ascii_lowercase()
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| {
                rest.split("\r\n")
                    .next()
                    .and_then(|length| length.parse::<usize>().ok())
            });
        let is_whole = text
            .split_once("\r\n\r\n")
            .is_some_and(|(_, body)| body.len() >= length.unwrap_or(0));
        if is_whole {
            let _ = stream.write_all(answer(&text).as_bytes()).await;
            let _ = stream.shutdown().await;
            return;
        }
        if read == 0 {
            return;
        }
    }
}

/// Serves HTTP/1 on a port, each connection for one request.
async fn serve(answer: impl Fn(&str) -> String + Clone + Send + Sync + 'static) -> u16 {
    let (listener, port) = silent().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move { exchange(&mut stream, answer).await });
        }
    });
    port
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nX-One: 1\r\nX-Two: a\r\nx-two: b\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn get(url: impl Into<String>) -> http::Request {
    http::Request {
        url: url.into(),
        ..http::Request::default()
    }
}

async fn probe(request: &http::Request) -> Result<http::Answer, ProbeError> {
    Http::new().probe(request, &Network::Own, DEADLINE).await
}

#[tokio::test]
async fn an_http_answer_has_status_headers_and_body() {
    let port = serve(|_| ok("hello\n")).await;
    let answer = probe(&get(format!("http://127.0.0.1:{port}/a")))
        .await
        .expect("an answer");
    assert_eq!(
        (answer.status, answer.body.as_str(), answer.is_cut),
        (200, "hello\n", false)
    );
    assert_eq!(
        (
            answer.header["x-one"].as_str(),
            answer.header["x-two"].as_str()
        ),
        ("1", "a, b")
    );
    assert_eq!(answer.certificate, None);
    assert!(answer.duration > 0.0 && answer.duration < 10.0);
}

#[tokio::test]
async fn what_is_sent_is_what_was_asked_for() {
    let port = serve(ok).await;
    let url = format!("http://127.0.0.1:{port}/p?a=1");
    let request = http::Request {
        method: "put".to_owned(),
        headers: vec![
            ("X-Token".to_owned(), "t".to_owned()),
            ("content-type".to_owned(), "text/x".to_owned()),
        ],
        query: vec![("b".to_owned(), "x y&".to_owned())],
        body: Body::Json(json!({"k": [1]})),
        ..get(&url)
    };
    let sent = probe(&request).await.expect("an answer").body;
    assert!(
        sent.starts_with("PUT /p?a=1&b=x+y%26 HTTP/1.1\r\n"),
        "{sent}"
    );
    assert!(
        sent.contains("x-token: t\r\n") && sent.contains("content-type: text/x\r\n"),
        "{sent}"
    );
    assert!(
        sent.contains("user-agent: runbook/") && sent.ends_with("\r\n\r\n{\"k\":[1]}"),
        "{sent}"
    );
    assert_eq!(sent.matches("content-type").count(), 1);
    let form = Body::Form(vec![
        ("a".to_owned(), "1 2".to_owned()),
        ("b".to_owned(), "ä".to_owned()),
    ]);
    let request = http::Request {
        method: "POST".to_owned(),
        body: form,
        ..get(&url)
    };
    let sent = probe(&request).await.expect("an answer").body;
    assert!(
        sent.contains("content-type: application/x-www-form-urlencoded\r\n"),
        "{sent}"
    );
    assert!(sent.ends_with("\r\n\r\na=1+2&b=%C3%A4"), "{sent}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_unless_it_is_followed() {
    let port = serve(|request| {
        if request.starts_with("GET /old ") {
            "HTTP/1.1 302 Found\r\nLocation: /new\r\nContent-Length: 0\r\n\r\n".to_owned()
        } else if request.starts_with("GET /loop ") {
            "HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n".to_owned()
        } else {
            ok("new")
        }
    })
    .await;
    let url = format!("http://127.0.0.1:{port}/old");
    let answer = probe(&get(&url)).await.expect("an answer");
    assert_eq!(
        (answer.status, answer.header["location"].as_str()),
        (302, "/new")
    );
    let answer = probe(&http::Request {
        follow: true,
        ..get(&url)
    })
    .await
    .expect("an answer");
    assert_eq!((answer.status, answer.body.as_str()), (200, "new"));
    assert!(answer.url.ends_with("/new"));
    let looping = http::Request {
        follow: true,
        ..get(url.replace("old", "loop"))
    };
    let error = probe(&looping).await.expect_err("no end");
    assert!(
        matches!(&error, ProbeError::Protocol { reason, .. } if reason.contains("too many redirects")),
        "{error}"
    );
}

#[tokio::test]
async fn a_long_body_is_cut_and_says_so() {
    let port = serve(|_| ok(&"x".repeat(http::BODY_BYTES_MAX + 1))).await;
    let answer = probe(&get(format!("http://127.0.0.1:{port}/")))
        .await
        .expect("an answer");
    assert_eq!(
        (answer.body.len(), answer.is_cut),
        (http::BODY_BYTES_MAX, true)
    );
}

#[tokio::test]
async fn a_host_is_found_where_resolve_says() {
    let port = serve(ok).await;
    let resolve = vec![("web.example.test".to_owned(), "127.0.0.1".to_owned())];
    let request = http::Request {
        resolve,
        ..get(format!("http://web.example.test:{port}/"))
    };
    let answer = probe(&request).await.expect("an answer");
    assert!(
        answer
            .body
            .contains(&format!("host: web.example.test:{port}\r\n")),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn what_keeps_http_from_an_answer_is_told_apart() {
    let port = closed_port().await;
    let error = probe(&get(format!("http://127.0.0.1:{port}/")))
        .await
        .expect_err("refused");
    assert_eq!(
        error,
        ProbeError::Refused {
            address: format!("127.0.0.1:{port}")
        }
    );

    let (_listener, port) = silent().await;
    let error = Http::new()
        .probe(
            &get(format!("http://127.0.0.1:{port}/")),
            &Network::Own,
            SHORT,
        )
        .await
        .expect_err("silent");
    assert_eq!(
        error,
        ProbeError::TimedOut {
            address: format!("127.0.0.1:{port}"),
            after: SHORT
        }
    );
    assert!(error.is_timeout());

    let error = probe(&get("http://no-such-host.invalid/"))
        .await
        .expect_err("no such name");
    assert!(
        matches!(&error, ProbeError::Name { name, .. } if name == "no-such-host.invalid"),
        "{error}"
    );

    let port = serve(|_| "SSH-2.0-OpenSSH\r\n".to_owned()).await;
    let error = probe(&get(format!("http://127.0.0.1:{port}/")))
        .await
        .expect_err("not HTTP");
    assert!(matches!(error, ProbeError::Protocol { .. }), "{error}");

    let port = serve(|_| "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort".to_owned()).await;
    let error = probe(&get(format!("http://127.0.0.1:{port}/")))
        .await
        .expect_err("cut off");
    assert!(matches!(error, ProbeError::Protocol { .. }), "{error}");

    for url in ["not a url", "ftp://127.0.0.1/", "http://"] {
        assert!(
            matches!(
                probe(&get(url)).await,
                Err(ProbeError::Invalid { what: "url", .. })
            ),
            "{url}"
        );
    }
}

#[tokio::test]
async fn an_invalid_header_does_not_repeat_its_value() {
    let headers = vec![("X-Token".to_owned(), "se\ncret".to_owned())];
    let error = probe(&http::Request {
        headers,
        ..get("http://127.0.0.1/")
    })
    .await
    .expect_err("a line end in a header");
    assert!(
        error.to_string().contains("x-token") && !error.to_string().contains("cret"),
        "{error}"
    );
}

/// A certificate authority and files of it.
struct Authority {
    directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "Test CA");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).expect("a file");
        Self {
            directory,
            issuer: Issuer::new(params, key),
        }
    }

    fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Serves HTTPS with a certificate signed by it.
    async fn serve(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> u16 {
        let key = KeyPair::generate().expect("a key");
        let names = names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>();
        let mut params = CertificateParams::new(names).expect("parameters");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "web");
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        serve_tls(&certificate, &key).await
    }
}

async fn serve_tls(certificate: &rcgen::Certificate, key: &KeyPair) -> u16 {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("versions")
    .with_no_client_auth()
    .with_single_cert(vec![certificate.der().clone()], key)
    .expect("a certificate");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (listener, port) = silent().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    exchange(&mut stream, |_| ok("secure")).await;
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_certificate_is_trusted_only_by_its_own_authority() {
    let authority = Authority::new();
    let port = authority.serve(&["localhost", "127.0.0.1"], |_| ()).await;
    let url = format!("https://localhost:{port}/");
    let http = Http::new();

    let trusting = http::Request {
        ca: Some(authority.ca()),
        ..get(&url)
    };
    let answer = http
        .probe(&trusting, &Network::Own, DEADLINE)
        .await
        .expect("an answer");
    let certificate = answer.certificate.expect("a certificate");
    assert!(certificate.trusted && answer.body == "secure");
    assert_eq!(certificate.san, ["localhost", "127.0.0.1"]);
    assert_eq!(
        (
            certificate.subject.as_str(),
            certificate.issuer.contains("Test CA")
        ),
        ("CN=web", true)
    );
    assert!(
        certificate.expires.ends_with('Z') && certificate.expires.len() == 20,
        "{}",
        certificate.expires
    );
    assert_eq!(certificate.fingerprint.len(), 95);

    let error = http
        .probe(&get(&url), &Network::Own, DEADLINE)
        .await
        .expect_err("this machine does not know it");
    assert!(
        matches!(&error, ProbeError::Tls { reason, .. } if reason == "its issuer is not trusted"),
        "{error}"
    );

    let insecure = http::Request {
        insecure: true,
        ..get(&url)
    };
    let answer = http
        .probe(&insecure, &Network::Own, DEADLINE)
        .await
        .expect("an answer");
    assert!(!answer.certificate.expect("a certificate").trusted);

    let other = http::Request {
        ca: Some(Authority::new().ca()),
        ..get(&url)
    };
    assert!(
        matches!(
            http.probe(&other, &Network::Own, DEADLINE).await,
            Err(ProbeError::Ca { .. })
        ),
        "its file is gone"
    );
    let other = Authority::new();
    let other = http::Request {
        ca: Some(other.ca()),
        ..get(&url)
    };
    assert!(http.probe(&other, &Network::Own, DEADLINE).await.is_err());
}

fn tls_request(port: u16, server_name: Option<&str>, ca: Option<PathBuf>) -> tls::Request {
    tls::Request {
        host: "127.0.0.1".to_owned(),
        port,
        server_name: server_name.map(str::to_owned),
        ca,
    }
}

#[tokio::test]
async fn the_tls_probe_reports_what_it_does_not_trust() {
    let authority = Authority::new();
    let port = authority.serve(&["web.example.test"], |_| ()).await;
    let ask = async |name: &str, ca| {
        tls::probe(&tls_request(port, Some(name), ca), &Network::Own, DEADLINE)
            .await
            .expect("an answer")
    };

    let answer = ask("web.example.test", Some(authority.ca())).await;
    assert_eq!((answer.certificate.trusted, answer.reason), (true, None));
    let answer = ask("other.example.test", Some(authority.ca())).await;
    assert!(
        answer
            .reason
            .is_some_and(|reason| reason.starts_with("not valid for this name"))
    );
    let answer = ask("web.example.test", None).await;
    assert_eq!(answer.reason.as_deref(), Some("its issuer is not trusted"));

    let port = authority
        .serve(&["127.0.0.1"], |params| {
            params.not_after = rcgen::date_time_ymd(2024, 2, 29)
        })
        .await;
    let answer = tls::probe(
        &tls_request(port, None, Some(authority.ca())),
        &Network::Own,
        DEADLINE,
    )
    .await
    .expect("an answer");
    assert_eq!(
        (answer.certificate.trusted, answer.reason.as_deref()),
        (false, Some("expired"))
    );
    assert_eq!(answer.certificate.expires, "2024-02-29T00:00:00Z");
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_when_it_is_itself_in_the_file() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        params.is_ca = is_ca;
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("server.pem");
        std::fs::write(&file, certificate.pem()).expect("a file");
        let port = serve_tls(&certificate, &key).await;
        let request = http::Request {
            ca: Some(file.clone()),
            ..get(format!("https://localhost:{port}/"))
        };
        let answer = probe(&request)
            .await
            .unwrap_or_else(|error| panic!("{is_ca:?}: {error}"));
        assert!(answer.certificate.expect("a certificate").trusted);
        let wrong = tls::probe(
            &tls_request(port, Some("other.test"), Some(file)),
            &Network::Own,
            DEADLINE,
        )
        .await
        .expect("an answer");
        assert!(
            !wrong.certificate.trusted,
            "{is_ca:?}: the name counts all the same"
        );
    }
}

#[tokio::test]
async fn what_keeps_tls_from_an_answer_is_told_apart() {
    let port = closed_port().await;
    let refused = tls::probe(&tls_request(port, None, None), &Network::Own, DEADLINE).await;
    assert_eq!(
        refused,
        Err(ProbeError::Refused {
            address: format!("127.0.0.1:{port}")
        })
    );
    let (_listener, port) = silent().await;
    assert!(
        tls::probe(&tls_request(port, None, None), &Network::Own, SHORT)
            .await
            .expect_err("silent")
            .is_timeout()
    );
    let (listener, plain) = silent().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"220 mail.example.org ESMTP\r\n").await;
        }
    });
    let error = tls::probe(&tls_request(plain, None, None), &Network::Own, DEADLINE)
        .await
        .expect_err("no TLS");
    assert!(
        matches!(&error, ProbeError::Tls { reason, .. } if reason.contains("does not speak TLS")),
        "{error}"
    );
    let missing = tls_request(plain, None, Some("/no/such/ca.pem".into()));
    assert!(matches!(
        tls::probe(&missing, &Network::Own, DEADLINE).await,
        Err(ProbeError::Ca { .. })
    ));
}

#[tokio::test]
async fn a_port_is_open_closed_or_silent() {
    let (_listener, port) = silent().await;
    let request = |host: &str, port| tcp::Request {
        host: host.to_owned(),
        port,
    };
    let answer = tcp::probe(&request("localhost", port), &Network::Own, DEADLINE)
        .await
        .expect("an answer");
    assert_eq!((answer.open, answer.reason), (true, None));
    let port = closed_port().await;
    let answer = tcp::probe(&request("127.0.0.1", port), &Network::Own, DEADLINE)
        .await
        .expect("an answer");
    assert_eq!(
        (answer.open, answer.reason),
        (
            false,
            Some(format!("connection to `127.0.0.1:{port}` refused"))
        )
    );
    let error = tcp::probe(&request("no-such-host.invalid", 1), &Network::Own, DEADLINE)
        .await
        .expect_err("no such name");
    assert!(matches!(error, ProbeError::Name { .. }));
}

/// A name server with one zone, over UDP and TCP at the same port.
async fn name_server() -> SocketAddr {
    let (listener, udp) = loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        if let Ok(udp) = UdpSocket::bind(listener.local_addr().expect("its address")).await {
            break (listener, udp);
        }
    };
    let place = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            if let Some(response) = respond(&buffer[..length], true) {
                // One that was not asked for comes first.
                let mut forged = response.clone();
                forged[0] ^= 0xFF;
                let _ = udp.send_to(&forged, from).await;
                let _ = udp.send_to(&response, from).await;
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let length = stream.read_u16().await.unwrap_or(0);
            let mut buffer = vec![0; usize::from(length)];
            let _ = stream.read_exact(&mut buffer).await;
            if let Some(response) = respond(&buffer, false) {
                let _ = stream
                    .write_u16(u16::try_from(response.len()).expect("short"))
                    .await;
                let _ = stream.write_all(&response).await;
            }
        }
    });
    place
}

fn respond(bytes: &[u8], is_udp: bool) -> Option<Vec<u8>> {
    let asked = Message::from_vec(bytes).ok()?;
    let query = asked.queries.first()?.clone();
    let mut response = Message::response(asked.metadata.id, OpCode::Query);
    response.add_query(query.clone());
    let name = |text: &str| Name::from_ascii(text).expect("a name");
    let mut add = |data: RData| {
        response.add_answer(Record::from_rdata(query.name().clone(), 60, data));
    };
    match (query.name().to_ascii().as_str(), query.query_type()) {
        ("web.example.test.", RecordType::A) => {
            add(RData::CNAME(rdata::CNAME(name("host.example.test."))));
            add(RData::A("192.168.4.85".parse().expect("an address")));
            add(RData::A("192.168.4.86".parse().expect("an address")));
        }
        ("web.example.test.", RecordType::AAAA) => {
            add(RData::AAAA("fd00::1".parse().expect("an address")))
        }
        ("example.test.", RecordType::MX) => {
            add(RData::MX(rdata::MX::new(10, name("mail.example.test."))))
        }
        ("example.test.", RecordType::TXT) => add(RData::TXT(rdata::TXT::new(vec![
            "v=spf1 ".into(),
            "-all".into(),
        ]))),
        ("_sip._tcp.example.test.", RecordType::SRV) => {
            add(RData::SRV(rdata::SRV::new(
                0,
                5,
                5060,
                name("sip.example.test."),
            )));
        }
        ("85.4.168.192.in-addr.arpa.", RecordType::PTR) => {
            add(RData::PTR(rdata::PTR(name("web.example.test."))))
        }
        ("big.example.test.", RecordType::TXT) if is_udp => response.metadata.truncation = true,
        ("big.example.test.", RecordType::TXT) => {
            for n in 0..50 {
                add(RData::TXT(rdata::TXT::new(vec![format!("{n:0100}")])));
            }
        }
        ("old.example.test.", _) if asked.edns.is_some() => {
            response.metadata.response_code = ResponseCode::FormErr
        }
        ("old.example.test.", _) => add(RData::A("10.0.0.1".parse().expect("an address"))),
        ("broken.example.test.", _) => response.metadata.response_code = ResponseCode::ServFail,
        ("secret.example.test.", _) => response.metadata.response_code = ResponseCode::Refused,
        ("silent.example.test.", _) => return None,
        (_, RecordType::A) => response.metadata.response_code = ResponseCode::NXDomain,
        _ => {}
    }
    response.to_vec().ok()
}

#[tokio::test]
async fn dns_answers_are_texts_of_the_type_asked_for_with_their_status() {
    let server = name_server().await.to_string();
    let ask = async |name: &str, kind: &str| {
        let request = dns::Request {
            name: name.to_owned(),
            kind: kind.to_owned(),
            server: server.clone(),
        };
        let answer = dns::probe(&request, &Network::Own, DEADLINE)
            .await
            .unwrap_or_else(|error| panic!("{name} {kind}: {error}"));
        assert_eq!(answer.server, server);
        (answer.status, answer.answer.join(" | "))
    };
    let found = |text: &str| ("NOERROR".to_owned(), text.to_owned());
    assert_eq!(
        ask("web.example.test", "A").await,
        found("192.168.4.85 | 192.168.4.86")
    );
    assert_eq!(ask("web.example.test.", "aaaa").await, found("fd00::1"));
    assert_eq!(
        ask("example.test", "MX").await,
        found("10 mail.example.test")
    );
    assert_eq!(ask("example.test", "TXT").await, found("v=spf1 -all"));
    assert_eq!(
        ask("_sip._tcp.example.test", "SRV").await,
        found("0 5 5060 sip.example.test")
    );
    assert_eq!(ask("192.168.4.85", "PTR").await, found("web.example.test"));
    assert_eq!(ask("example.test", "CAA").await, found(""));
    assert_eq!(ask("old.example.test", "A").await, found("10.0.0.1"));
    assert_eq!(
        ask("big.example.test", "TXT").await.1.split(" | ").count(),
        50
    );
    assert_eq!(
        ask("nothing.example.test", "A").await,
        ("NXDOMAIN".to_owned(), String::new())
    );
    assert_eq!(
        ask("broken.example.test", "A").await,
        ("SERVFAIL".to_owned(), String::new())
    );
    assert_eq!(
        ask("secret.example.test", "A").await,
        ("REFUSED".to_owned(), String::new())
    );
}

#[tokio::test]
async fn what_keeps_dns_from_an_answer_is_told_apart() {
    let request = |name: &str, kind: &str, server: String| dns::Request {
        name: name.into(),
        kind: kind.into(),
        server,
    };
    let server = name_server().await.to_string();
    let started = Instant::now();
    let error = dns::probe(
        &request("silent.example.test", "A", server.clone()),
        &Network::Own,
        SHORT,
    )
    .await
    .expect_err("silent");
    assert!(error.is_timeout() && started.elapsed() < Duration::from_secs(2));
    let closed = UdpSocket::bind("127.0.0.1:0")
        .await
        .expect("a port")
        .local_addr()
        .expect("its address");
    let error = dns::probe(
        &request("web.example.test", "A", closed.to_string()),
        &Network::Own,
        DEADLINE,
    )
    .await
    .expect_err("closed");
    assert_eq!(
        error,
        ProbeError::Refused {
            address: closed.to_string()
        }
    );
    let error = dns::probe(
        &request("a", "HTTPS", server.clone()),
        &Network::Own,
        DEADLINE,
    )
    .await
    .expect_err("no such type");
    assert!(matches!(error, ProbeError::Invalid { what: "type", .. }));
    let error = dns::probe(&request("a..b", "A", server), &Network::Own, DEADLINE)
        .await
        .expect_err("no name");
    assert!(matches!(error, ProbeError::Invalid { what: "name", .. }));
}
