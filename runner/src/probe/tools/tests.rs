//! Answers of real programs, and the programs of this machine where it has them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

use serde_json::json;

use super::super::http::{Body, Request};
use super::super::{dns, tcp, tls};
use super::*;

const TIME: Duration = Duration::from_secs(5);

/// Asks by the programs of this machine; those named are hidden.
fn ask(question: &Question<'_>, hidden: &[&str]) -> Option<(String, Result<Answer, ProbeError>)> {
    let commands = question.commands(TIME).unwrap();
    let mut text = commands.text;
    for name in hidden {
        text = text.replace(&format!("command -v {name}"), "command -v no-such-program");
    }
    let output = Command::new("sh")
        .args(["-euc", &text])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .envs(commands.env)
        .output()
        .unwrap();
    let printed = Printed {
        code: output.status.code().unwrap(),
        stdout: &String::from_utf8_lossy(&output.stdout),
        stderr: &String::from_utf8_lossy(&output.stderr),
        is_whole: true,
    };
    question.read(printed, TIME)
}

/// A server that answers each request with what was sent to it; one that asks for `/away` is sent on.
fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
                    break;
                }
                let small = line.to_ascii_lowercase();
                if let Some(value) = small.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer = if head.starts_with("GET /away") {
                "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
            } else if head.starts_with("GET /none") {
                "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnone"
                    .to_owned()
            } else {
                let text = format!("{head}\r\n{}", String::from_utf8_lossy(&body));
                format!(
                    "HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
                    text.len(),
                    if head.starts_with("HEAD") { "" } else { &text }
                )
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

fn has(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output();
    found.is_ok_and(|output| output.status.success())
}

fn http(request: &Request, hidden: &[&str]) -> (u16, Vec<(String, String)>, String) {
    let (_, answer) = ask(&Question::Http(request), hidden).unwrap();
    match answer.unwrap() {
        Answer::Http {
            status,
            header,
            body,
            ..
        } => (status, header, body),
        other => panic!("{other:?}"),
    }
}

#[test]
fn curl_asks_what_a_request_says() {
    if !has("curl") {
        return;
    }
    let url = format!("http://127.0.0.1:{}/a?x=1", server());
    let request = Request {
        url: url.clone(),
        method: "PUT".into(),
        headers: vec![("X-Odd".into(), "it's \"$x\" \\ ü".into())],
        query: vec![("q".into(), "a b&c".into())],
        body: Body::Json(json!({"k": "line\nbreak \"q\" \\"})),
        ..Request::default()
    };
    let (status, header, body) = http(&request, &[]);
    assert_eq!(status, 200);
    assert!(
        header.contains(&("x-a".into(), "1, 2".into())),
        "{header:?}"
    );
    assert!(
        body.starts_with("PUT /a?x=1&q=a+b%26c HTTP/1.1\r\n"),
        "{body}"
    );
    assert!(body.contains("X-Odd: it's \"$x\" \\ ü\r\n"), "{body}");
    assert!(
        body.to_lowercase()
            .contains("content-type: application/json\r\n"),
        "{body}"
    );
    assert!(body.ends_with(r#"{"k":"line\nbreak \"q\" \\"}"#), "{body}");
    let form = Request {
        url: url.clone(),
        method: "POST".into(),
        body: Body::Form(vec![
            ("a".into(), "1 2".into()),
            ("b".into(), "@/etc/passwd".into()),
        ]),
        ..Request::default()
    };
    assert!(http(&form, &[]).2.ends_with("a=1+2&b=%40%2Fetc%2Fpasswd"));
    let text = Request {
        url,
        method: "POST".into(),
        body: Body::Text("@/etc/passwd\nx".into()),
        ..Request::default()
    };
    let (_, _, body) = http(&text, &[]);
    assert!(body.ends_with("\r\n@/etc/passwd\nx"), "{body}");
    assert!(!body.to_lowercase().contains("content-type"), "{body}");
}

#[test]
fn curl_and_wget_follow_only_when_told() {
    for (program, hidden) in [("curl", &[][..]), ("wget", &["curl"])] {
        if !has(program) {
            continue;
        }
        let port = server();
        let at = |path: &str, follow| Request {
            url: format!("http://127.0.0.1:{port}{path}"),
            follow,
            ..Request::default()
        };
        assert_eq!(http(&at("/away", false), hidden).0, 302, "{program}");
        let (status, _, body) = http(&at("/away", true), hidden);
        assert_eq!(status, 200, "{program}");
        assert!(body.starts_with("GET / HTTP"), "{program}: {body}");
        assert_eq!(http(&at("/none", false), hidden).0, 404, "{program}");
    }
}

#[test]
fn what_keeps_a_probe_from_its_answer_is_told_apart() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let request = Request {
        url: format!("http://127.0.0.1:{port}/"),
        ..Request::default()
    };
    let unknown = Request {
        url: "http://nowhere.invalid/".into(),
        ..Request::default()
    };
    for (program, hidden) in [("curl", &[][..]), ("wget", &["curl"])] {
        if !has(program) {
            continue;
        }
        let (tool, answer) = ask(&Question::Http(&request), hidden).unwrap();
        assert_eq!(tool, program);
        // Why nobody is there some versions of curl do not tell.
        let told = matches!(
            &answer,
            Err(ProbeError::Refused { address } | ProbeError::Unreachable { address, .. }) if *address == format!("127.0.0.1:{port}")
        );
        assert!(told, "{program}: {answer:?}");
        let (_, answer) = ask(&Question::Http(&unknown), hidden).unwrap();
        assert!(
            matches!(answer, Err(ProbeError::Name { .. })),
            "{program}: {answer:?}"
        );
    }
    assert_eq!(ask(&Question::Http(&request), &["curl", "wget"]), None);
}

#[test]
fn a_port_is_open_or_not_by_each_program() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let open = tcp::Request {
        host: "127.0.0.1".into(),
        port,
    };
    let closed = tcp::Request {
        host: "127.0.0.1".into(),
        port: 1,
    };
    let unknown = tcp::Request {
        host: "nowhere.invalid".into(),
        port: 1,
    };
    let programs = [
        ("bash", &[][..]),
        ("nc", &["bash"]),
        ("python3", &["bash", "nc"]),
    ];
    for (program, hidden) in programs {
        if !has(program) {
            continue;
        }
        let (tool, answer) = ask(&Question::Tcp(&open), hidden).unwrap();
        assert_eq!((tool.as_str(), answer), (program, Ok(Answer::Tcp(Ok(())))));
        let (_, answer) = ask(&Question::Tcp(&closed), hidden).unwrap();
        let why = "connection to `127.0.0.1:1` refused".to_owned();
        assert_eq!(answer, Ok(Answer::Tcp(Err(why))), "{program}");
        let (_, answer) = ask(&Question::Tcp(&unknown), hidden).unwrap();
        assert!(
            matches!(answer, Err(ProbeError::Name { .. })),
            "{program}: {answer:?}"
        );
    }
}

fn dns_request(name: &str, kind: &str) -> dns::Request {
    dns::Request {
        name: name.into(),
        kind: kind.into(),
        server: "192.0.2.53".into(),
    }
}

fn dns_answer(tool: &str, kind: &str, code: i32, stdout: &str) -> Result<Answer, ProbeError> {
    let text = format!("{tool}\n{stdout}");
    let request = dns_request("x.example", kind);
    let printed = Printed {
        code,
        stdout: &text,
        stderr: "",
        is_whole: true,
    };
    Question::Dns(&request).read(printed, TIME).unwrap().1
}

#[test]
fn what_dig_prints_is_read() {
    let head = ";; Got answer:\n;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 4711\n";
    for (kind, records, expected) in [
        (
            "A",
            "x.example. 300 IN CNAME y.example.\ny.example.\t300\tIN\tA\t192.0.2.1\ny.example. 300 IN A 192.0.2.2",
            vec!["192.0.2.1", "192.0.2.2"],
        ),
        (
            "MX",
            "x.example. 300 IN MX 10 mail.example.",
            vec!["10 mail.example"],
        ),
        (
            "SRV",
            "x.example. 300 IN SRV 0 5 5060 sip.example.",
            vec!["0 5 5060 sip.example"],
        ),
        (
            "TXT",
            "x.example. 300 IN TXT \"a \\\"b\\\"\" \"c d\"",
            vec!["a \"b\"c d"],
        ),
        (
            "CNAME",
            "x.example. 300 IN CNAME y.example.",
            vec!["y.example"],
        ),
    ] {
        let answer = expected.into_iter().map(str::to_owned).collect();
        let status = "NOERROR".to_owned();
        assert_eq!(
            dns_answer("dig", kind, 0, &format!("{head}{records}\n")),
            Ok(Answer::Dns { answer, status })
        );
    }
    let none = ";; ->>HEADER<<- opcode: QUERY, status: NXDOMAIN, id: 1\n";
    let status = "NXDOMAIN".to_owned();
    assert_eq!(
        dns_answer("dig", "A", 0, none),
        Ok(Answer::Dns {
            answer: vec![],
            status
        })
    );
    let lost = ";; connection timed out; no servers could be reached\n";
    assert!(matches!(
        dns_answer("dig", "A", 9, lost),
        Err(ProbeError::TimedOut { .. })
    ));
}

#[test]
fn what_nslookup_and_getent_print_is_read() {
    let told = |answer: &[&str], status: &str| {
        Ok(Answer::Dns {
            answer: answer.iter().map(|text| (*text).to_owned()).collect(),
            status: status.to_owned(),
        })
    };
    let bind = "Server:\t\t192.0.2.53\nAddress:\t192.0.2.53#53\n\nName:\tx.example\nAddress: 192.0.2.1\nName:\tx.example\nAddress: 192.0.2.2\n";
    assert_eq!(
        dns_answer("nslookup", "A", 0, bind),
        told(&["192.0.2.1", "192.0.2.2"], "NOERROR")
    );
    let busybox = "Server:\t\t192.0.2.53\nAddress:\t192.0.2.53:53\n\nName:\tx.example\nAddress 1: 192.0.2.1 x.example\n";
    assert_eq!(
        dns_answer("nslookup", "A", 0, busybox),
        told(&["192.0.2.1"], "NOERROR")
    );
    let none = "Server: 192.0.2.53\n** server can't find x.example: NXDOMAIN\n";
    assert_eq!(dns_answer("nslookup", "A", 1, none), told(&[], "NXDOMAIN"));
    let getent = "192.0.2.1       STREAM x.example\n192.0.2.1       DGRAM\n";
    assert_eq!(
        dns_answer("getent", "A", 0, getent),
        told(&["192.0.2.1"], "NOERROR")
    );
    assert_eq!(dns_answer("getent", "A", 2, ""), told(&[], "NXDOMAIN"));
}

#[test]
fn an_address_is_asked_for_by_its_name() {
    let name = |name: &str| {
        let commands = Question::Dns(&dns_request(name, "PTR"))
            .commands(TIME)
            .unwrap();
        commands.env[0].1.clone()
    };
    assert_eq!(name("192.168.4.85"), "85.4.168.192.in-addr.arpa.");
    assert!(name("fd00::1").starts_with("1.0.0.0.") && name("fd00::1").ends_with("d.f.ip6.arpa."));
    assert_eq!(name("x.example"), "x.example.");
}

#[test]
fn openssl_tells_the_certificate_and_whether_it_is_trusted() {
    if !has("openssl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert"), folder.path().join("key"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "3",
            "-subj",
            "/CN=lab",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout",
        ])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .unwrap();
    assert!(made.status.success());
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut server = Command::new("openssl")
        .args([
            "s_server",
            "-quiet",
            "-accept",
            &format!("127.0.0.1:{port}"),
            "-cert",
        ])
        .arg(&cert)
        .arg("-key")
        .arg(&key)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let request = |name: Option<&str>, ca: bool| tls::Request {
        host: "127.0.0.1".into(),
        port,
        server_name: name.map(str::to_owned),
        ca: ca.then(|| cert.clone()),
    };
    let tell = |request: &tls::Request| match ask(&Question::Tls(request), &[]) {
        Some((_, Ok(Answer::Tls(certificate, reason)))) => (certificate, reason),
        other => panic!("{other:?}"),
    };
    let (certificate, reason) = tell(&request(None, true));
    assert!(certificate.trusted && reason.is_none(), "{reason:?}");
    assert_eq!(certificate.subject, "CN=lab");
    assert!(certificate.san.iter().any(|name| name == "localhost"));
    assert!(tell(&request(Some("localhost"), true)).0.trusted);
    let (certificate, reason) = tell(&request(Some("other"), true));
    assert!(!certificate.trusted);
    assert!(reason.unwrap().contains("ostname mismatch"));
    assert!(!tell(&request(None, false)).0.trusted);
    server.kill().unwrap();
    server.wait().unwrap();
    let (_, answer) = ask(&Question::Tls(&request(None, true)), &[]).unwrap();
    assert!(
        matches!(answer, Err(ProbeError::Refused { .. })),
        "{answer:?}"
    );
}
