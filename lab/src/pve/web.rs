//! One file by plain HTTP, said as `wget` says it, which is what a node runs (pve-common, `Tools.pm`).
//!
//! Asked are this machine's loopback and, by the hooks, the lab's own hosts: the lab has no other network. The lines were
//! compared with those of GNU wget.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::hooks::Hooks;

/// How long a connection may take.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long a whole download may take.
const DOWNLOAD_WAIT: Duration = Duration::from_secs(300);
/// The largest file that is fetched.
const DOWNLOAD_BYTES_MAX: u64 = 512 << 20;
/// How often a server may send us on; wget's own limit.
const REDIRECTS_MAX: usize = 20;
/// The process number in the name of the file while it is written.
pub(crate) const PID: u32 = 4711;
/// What wget ends with when the server answers with an error, and when the network fails.
const SERVER_ERROR: &str = "exit code 8";
const NETWORK_ERROR: &str = "exit code 4";

/// A plain HTTP URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Url {
    host: String,
    port: u16,
    path: String,
}

impl Url {
    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (place, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (place, 80),
        };
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        Some(Self {
            host: host.to_owned(),
            port,
            path,
        })
    }

    fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost"
            || bare
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

fn stamp() -> String {
    jiff::Zoned::now()
        .with_time_zone(jiff::tz::TimeZone::UTC)
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// A response's head.
struct Head {
    code: u16,
    /// The code and its text.
    status: String,
    location: Option<String>,
    kind: Option<String>,
}

/// Fetches a file; `None` where the lab has no such host. Every line that the tool writes is said; the error is what
/// stands after `download failed:` in the task's end: the last line where there is one, else how the tool ended.
pub(crate) async fn get(
    hooks: &dyn Hooks,
    url: &str,
    to: &str,
    say: impl Fn(&str),
) -> Result<Option<Vec<u8>>, String> {
    let mut text = url.to_owned();
    for _ in 0..=REDIRECTS_MAX {
        let Some(url) = Url::parse(&text) else {
            return Ok(None);
        };
        let Some(connected) = dial(hooks, &url).await else {
            return Ok(None);
        };
        say(&format!("--{}--  {text}", stamp()));
        let connecting = format!("Connecting to {}:{}...", url.host, url.port);
        let stream = match connected {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let host = &url.host;
                say(&format!(
                    "Resolving {host} ({host})... failed: Name or service not known."
                ));
                return Err(format!("wget: unable to resolve host address '{host}'"));
            }
            Err(error) => {
                let why = match error.kind() {
                    io::ErrorKind::ConnectionRefused => "Connection refused".to_owned(),
                    io::ErrorKind::TimedOut => "Connection timed out".to_owned(),
                    _ => error.to_string(),
                };
                return Err(format!("{connecting} failed: {why}."));
            }
        };
        say(&format!("{connecting} connected."));
        let whole = tokio::time::timeout(DOWNLOAD_WAIT, ask(stream, &url, to, &say));
        let (head, body) = whole.await.map_err(|_| NETWORK_ERROR.to_owned())??;
        match (head.code, head.location) {
            (200, _) => return Ok(Some(body)),
            (301 | 302 | 303 | 307 | 308, Some(location)) => {
                say(&format!("Location: {location} [following]"));
                text = if location.starts_with('/') {
                    format!("http://{}:{}{location}", url.host, url.port)
                } else {
                    location
                };
            }
            _ => {
                let why = head.status.split_once(' ').map_or("", |(_, text)| text);
                say(&format!("{} ERROR {}: {why}.", stamp(), head.code));
                return Err(SERVER_ERROR.into());
            }
        }
    }
    say(&format!("{REDIRECTS_MAX} redirections exceeded."));
    Err(SERVER_ERROR.into())
}

/// A connection: to this machine's loopback, or to a host of the lab.
async fn dial(hooks: &dyn Hooks, url: &Url) -> Option<io::Result<TcpStream>> {
    let bare = url.host.trim_start_matches('[').trim_end_matches(']');
    let connected = async {
        match url.is_loopback() {
            true => Some(TcpStream::connect((bare, url.port)).await),
            false => hooks.connect(bare, url.port).await,
        }
    };
    match tokio::time::timeout(CONNECT_WAIT, connected).await {
        Ok(connected) => connected,
        Err(_) => Some(Err(io::ErrorKind::TimedOut.into())),
    }
}

async fn ask(
    mut stream: TcpStream,
    url: &Url,
    to: &str,
    say: &impl Fn(&str),
) -> Result<(Head, Vec<u8>), String> {
    let Url { host, port, path } = url;
    let began = Instant::now();
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nUser-Agent: Wget/1.25.0\r\nAccept: */*\r\n\r\n"
    );
    let mut bytes = Vec::new();
    let read = async {
        stream.write_all(request.as_bytes()).await?;
        (&mut stream)
            .take(DOWNLOAD_BYTES_MAX)
            .read_to_end(&mut bytes)
            .await
    };
    const SENT: &str = "HTTP request sent, awaiting response...";
    if let Err(error) = read.await {
        say(&format!("{SENT} Read error ({error}) in headers."));
        return Err(NETWORK_ERROR.into());
    }
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        say(&format!("{SENT} No data received."));
        return Err(NETWORK_ERROR.into());
    };
    let head = head(&String::from_utf8_lossy(&bytes[..end]));
    say(&format!("{SENT} {}", head.status));
    let body = bytes.split_off(end + 4);
    if head.code == 200 {
        let size = body.len();
        let kind = head.kind.as_deref().unwrap_or("application/octet-stream");
        say(&format!("Length: {size} [{kind}]"));
        say(&format!("Saving to: '{to}'"));
        let seconds = began.elapsed().as_secs_f64().max(1e-6);
        let speed = size as f64 / seconds / 1024.0;
        let stamp = stamp();
        say(&format!(
            "{stamp} ({speed:.1} KB/s) - '{to}' saved [{size}/{size}]"
        ));
    }
    Ok((head, body))
}

fn head(text: &str) -> Head {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let status = first
        .split_once(' ')
        .map_or("", |(_, status)| status)
        .to_owned();
    let code = status.split(' ').next().and_then(|code| code.parse().ok());
    let mut head = Head {
        code: code.unwrap_or(0),
        status,
        location: None,
        kind: None,
    };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim().to_owned();
        match name.to_lowercase().as_str() {
            "location" => head.location = Some(value),
            "content-type" => head.kind = value.split(';').next().map(str::to_owned),
            _ => {}
        }
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_is_told_from_other_hosts() {
        let loopback = |text: &str| Url::parse(text).is_some_and(|url| url.is_loopback());
        assert!(loopback("http://127.0.0.1:8000/x.iso") && loopback("http://localhost/x"));
        assert!(loopback("http://[::1]:8000/x"));
        for other in [
            "https://127.0.0.1/x",
            "http://192.0.2.1/x",
            "http://127.0.0.1.example/x",
        ] {
            assert!(!loopback(other), "{other}");
        }
    }

    /// A lab that answers for its own names and has none of them.
    struct Nobody;

    impl Hooks for Nobody {
        fn connect(
            &self,
            host: &str,
            _: u16,
        ) -> crate::pve::HookFuture<'_, Option<io::Result<TcpStream>>> {
            let ours = host.ends_with(".home.arpa");
            Box::pin(async move { ours.then(|| Err(io::ErrorKind::NotFound.into())) })
        }
    }

    #[tokio::test]
    async fn a_name_of_the_lab_is_missed_and_another_is_not_ours() {
        let missed = get(&Nobody, "http://files.home.arpa/x", "/x", |_| {}).await;
        assert_eq!(
            missed,
            Err("wget: unable to resolve host address 'files.home.arpa'".to_owned())
        );
        assert_eq!(
            get(&Nobody, "http://example.org/x", "/x", |_| {}).await,
            Ok(None)
        );
        assert_eq!(
            get(&Nobody, "https://example.org/x", "/x", |_| {}).await,
            Ok(None)
        );
    }

    #[tokio::test]
    async fn a_closed_port_is_the_last_line_of_the_tool() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let port = listener.local_addr().expect("it has an address").port();
        drop(listener);
        let refused = get(&Nobody, &format!("http://127.0.0.1:{port}/x"), "/x", |_| {}).await;
        assert_eq!(
            refused,
            Err(format!(
                "Connecting to 127.0.0.1:{port}... failed: Connection refused."
            ))
        );
    }

    #[test]
    fn a_head_is_read_in_its_parts() {
        let head = head("HTTP/1.1 302 Found\r\nlocation: /y\r\nContent-Type: text/html; charset=x");
        assert_eq!((head.code, head.status.as_str()), (302, "302 Found"));
        assert_eq!(head.location.as_deref(), Some("/y"));
        assert_eq!(head.kind.as_deref(), Some("text/html"));
    }
}
