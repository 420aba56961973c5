//! Stand-in services on real sockets, asked by a client that nobody here wrote.

use std::io;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runbook_lab::command::{Control, End, Later, Process};
use runbook_lab::stand_in::{Listen, Row, Seen, Service, Table, What};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const DEADLINE: Duration = Duration::from_secs(20);

struct Here;

impl Listen for Here {
    fn listen(&self, address: SocketAddr) -> Later<io::Result<TcpListener>> {
        Box::pin(async move { bound(address)?.listen(16) })
    }
}

/// A socket at an address that may be held by another one that does not listen.
fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// An address that nobody else gets while the socket is there: neither a listener nor, as its own end, a connection.
fn held() -> (TcpSocket, SocketAddr) {
    let socket = bound("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn table(rows: serde_json::Value) -> What {
    What::Table(Arc::new(
        Table::new(serde_json::from_value::<Vec<Row>>(rows).unwrap()).unwrap(),
    ))
}

#[tokio::test]
async fn the_first_row_that_fits_answers() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let rows = serde_json::json!([
        {"method": "POST", "path": "/api/v1/.*", "status": 201, "header": {"x-made": "yes"}, "body": "made"},
        {"path": "/api/v1/query\\?query=up", "body": "{\"up\": 3}"},
        {"path": "/api/v1/.*", "body": "other"},
    ]);
    let (_held, address) = held();
    let service = Service::new(address, table(rows), Arc::new(Here));
    service.set(true).await.unwrap();
    let client = reqwest::Client::new();
    let url = |path: &str| format!("http://{}{path}", service.address());
    let text = async |path: &str| {
        client
            .get(url(path))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    };
    assert_eq!(text("/api/v1/query?query=up").await, "{\"up\": 3}");
    assert_eq!(text("/api/v1/query?query=down").await, "other");
    let made = client.post(url("/api/v1/x")).send().await.unwrap();
    assert_eq!(
        (
            made.status().as_u16(),
            made.headers()["x-made"].to_str().unwrap()
        ),
        (201, "yes")
    );
    assert_eq!(
        client.get(url("/api")).send().await.unwrap().status(),
        404,
        "a path fits as a whole"
    );
}

#[tokio::test]
async fn nothing_answers_while_it_is_off() {
    let (_held, address) = held();
    let service = Service::new(
        address,
        table(serde_json::json!([{"path": "/"}])),
        Arc::new(Here),
    );
    let refused = async || {
        TcpStream::connect(service.address())
            .await
            .is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
    };
    assert!(refused().await);
    for _ in 0..3 {
        service.set(true).await.unwrap();
        service.set(true).await.unwrap();
        let mut open = TcpStream::connect(service.address()).await.unwrap();
        service.set(false).await.unwrap();
        assert!(refused().await);
        let mut byte = [0];
        let left = tokio::time::timeout(DEADLINE, open.read(&mut byte))
            .await
            .expect("an open connection ends");
        assert!(matches!(left, Ok(0) | Err(_)));
    }
}

struct Nothing;

impl Control for Nothing {
    fn signal(&self, _name: &str) {}
    fn end(&self) {}
}

#[tokio::test]
async fn a_program_speaks_on_the_connection() {
    let program = || -> Later<Result<Process, String>> {
        Box::pin(async {
            let mut child = tokio::process::Command::new("sh")
                .args(["-c", "read name; echo hello $name; cat"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|error| error.to_string())?;
            let (stdin, stdout, stderr) =
                (child.stdin.take(), child.stdout.take(), child.stderr.take());
            Ok(Process {
                stdin: Box::new(stdin.unwrap()),
                stdout: Box::new(stdout.unwrap()),
                stderr: Box::new(stderr.unwrap()),
                ended: Box::pin(async move {
                    let status = child.wait().await.unwrap();
                    End::Code(status.code().unwrap().try_into().unwrap())
                }),
                control: Arc::new(Nothing),
            })
        })
    };
    let (_held, address) = held();
    let peers = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&peers);
    let seen: Seen = Arc::new(move |peer| {
        noted.lock().unwrap().push(peer);
        Box::pin(async {})
    });
    let service = Service::new(address, What::Program(Arc::new(program)), Arc::new(Here));
    let service = service.with_seen(Some(seen));
    service.set(true).await.unwrap();
    let mut own = Vec::new();
    for n in 0..2 {
        let mut stream = TcpStream::connect(service.address()).await.unwrap();
        stream
            .write_all(format!("n{n}\nrest").as_bytes())
            .await
            .unwrap();
        own.push(stream.local_addr().unwrap());
        stream.shutdown().await.unwrap();
        let mut text = String::new();
        tokio::time::timeout(DEADLINE, stream.read_to_string(&mut text))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(text, format!("hello n{n}\nrest"));
    }
    assert_eq!(
        *peers.lock().unwrap(),
        own,
        "each is told with where it came from"
    );
}
