//! Probes of this machine: their fields, what is expected of them, what is not asked twice.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use runbook::outcome::State;

use crate::book_test::{BookTest, step};

/// A server that answers each request like this; counts them.
fn server(status: &'static str, body: &'static str) -> (u16, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 4096];
            if stream.read(&mut buffer).unwrap_or(0) == 0 {
                continue;
            }
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nX-Kind: test\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    (port, count)
}

#[test]
fn an_answer_has_its_fields_and_a_status_below_400_is_expected() {
    let (port, _) = server("200 OK", r#"{"ready": true, "n": [1, 2]}"#);
    let (wrong, _) = server("500 Oh", "broken");
    let steps = step(&format!(
        "id: a\nhttp: {{url: 'http://127.0.0.1:{port}/'}}\nexpect:\n  status: 200\n  header: {{x-kind: test}}\n  json: {{$.ready: true, '$.n[1]': 2}}\n  body: {{contains: ready}}\ncapture: {{n: {{json: '$.n[0]'}}}}"
    )) + &step(&format!(
        "id: b\nneeds: []\nhttp: {{url: 'http://127.0.0.1:{wrong}/'}}"
    )) + &step(&format!(
        "id: c\nneeds: []\nhttp: {{url: 'http://127.0.0.1:{wrong}/'}}\nexpect: {{status: 500}}"
    ));
    let ran = BookTest::new(&steps).run();
    assert_eq!(ran.state("a"), State::Passed, "{}", ran.why("a"));
    assert!(!ran.step("a").changed, "a read changes nothing");
    assert_eq!(ran.step("a").captures["n"], 1);
    assert_eq!(ran.state("b"), State::Failed);
    assert_eq!(ran.why("b"), "status: expected at most 399, got 500");
    assert_eq!(ran.state("c"), State::Passed, "{}", ran.why("c"));
}

#[test]
fn a_refused_request_is_not_repeated_and_a_change_is_made_once() {
    let (refused, refusals) = server("403 No", "");
    let (broken, breaks) = server("500 Oh", "");
    let retry = "retry: {for: 2s, every: 50ms}\nneeds: []";
    let steps = step(&format!(
        "id: a\nhttp: {{url: 'http://127.0.0.1:{refused}/'}}\n{retry}"
    )) + &step(&format!(
        "id: b\nhttp: {{url: 'http://127.0.0.1:{broken}/', method: POST, json: {{a: 1}}}}\n{retry}"
    ));
    let ran = BookTest::new(&steps).run();
    assert_eq!(
        (ran.state("a"), refusals.load(Ordering::SeqCst)),
        (State::Failed, 1),
        "{}",
        ran.why("a")
    );
    assert_eq!(
        (ran.state("b"), breaks.load(Ordering::SeqCst)),
        (State::Failed, 1),
        "{}",
        ran.why("b")
    );
    let steps = step(&format!(
        "id: a\nhttp: {{url: 'http://127.0.0.1:{broken}/'}}\nretry: {{for: 300ms, every: 50ms}}"
    ));
    let ran = BookTest::new(&steps).run();
    assert_eq!(ran.state("a"), State::TimedOut);
    assert!(breaks.load(Ordering::SeqCst) > 3);
}

#[test]
fn ports_are_open_or_not_and_a_closed_one_is_a_failed_step() {
    let (port, _) = server("200 OK", "");
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let steps = step(&format!("id: a\ntcp: {{host: 127.0.0.1, port: {port}}}"))
        + &step(&format!(
            "id: b\nneeds: []\ntcp: {{host: 127.0.0.1, port: {closed}}}"
        ))
        + &step(&format!(
            "id: c\nneeds: []\ntcp: {{host: 127.0.0.1, port: {closed}}}\nexpect: {{open: false}}"
        ))
        + &step(&format!(
            "id: d\nneeds: []\ntls: {{host: 127.0.0.1, port: {closed}}}"
        ));
    let ran = BookTest::new(&steps).run();
    assert_eq!(ran.state("a"), State::Passed, "{}", ran.why("a"));
    assert_eq!(ran.state("b"), State::Failed);
    assert_eq!(ran.why("b"), "open: expected true, got false");
    assert_eq!(ran.state("c"), State::Passed);
    assert!(ran.why("d").contains("refused"), "{}", ran.why("d"));
    assert_eq!(
        ran.result.exit_code, 1,
        "a probe that is refused is a failed step"
    );
}

#[test]
fn a_condition_may_be_a_probe() {
    let (port, _) = server("200 OK", "");
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let with = |port: u16| format!("id: x\nunless: {{tcp: {{host: 127.0.0.1, port: {port}}}}}");
    let open = BookTest::new(&crate::book_test::bash(&with(port), "exit 1")).run();
    assert_eq!(
        (open.state("x"), open.step("x").changed),
        (State::Passed, false),
        "{}",
        open.why("x")
    );
    let shut = BookTest::new(&crate::book_test::bash(&with(closed), "true")).run();
    assert_eq!(shut.state("x"), State::Failed);
    assert!(
        shut.why("x").contains("open: expected true, got false"),
        "{}",
        shut.why("x")
    );
}
