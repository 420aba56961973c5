//! `serve`: the site on loopback, a change visible at once, a broken chapter that keeps the last good site.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::book::{TestBook, step};

/// How long a change may take to be seen; the budget of one second is a benchmark's, not a test's.
const SEEN_DEADLINE: Duration = Duration::from_secs(20);

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(book: &TestBook) -> Self {
        let mut child = book
            .command(&["serve", "--port", "0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .trim_start_matches("serving http://")
            .trim_end_matches('/')
            .to_owned();
        Self { child, address }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(SEEN_DEADLINE)).unwrap();
        write!(
            stream,
            "GET /{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        )
        .unwrap();
        let mut page = Vec::new();
        stream.read_to_end(&mut page).unwrap();
        String::from_utf8_lossy(&page).into_owned()
    }

    fn see(&self, path: &str, text: &str) {
        let started = Instant::now();
        while !self.get(path).contains(text) {
            assert!(started.elapsed() < SEEN_DEADLINE, "`{text}` is not seen");
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn no_page_is_missing_while_the_site_is_built_again() {
    let book = TestBook::new(&step("id: a", "true"));
    let server = Server::start(&book);
    for round in 0..3 {
        let word = format!("round{round}");
        book.write("src/guide.md", step("id: a", "true") + "\n" + &word + "\n");
        let started = Instant::now();
        loop {
            let page = server.get("guide.html");
            assert!(page.starts_with("HTTP/1.1 200"), "{page}");
            if page.contains(&word) {
                break;
            }
            assert!(started.elapsed() < SEEN_DEADLINE, "`{word}` is not seen");
        }
    }
}

#[test]
fn a_change_is_seen_and_a_broken_chapter_keeps_the_last_good_site() {
    let book = TestBook::new(&step("id: a", "true"));
    let mut server = Server::start(&book);
    assert!(
        server
            .get("guide.html")
            .contains("data-runbook-id=\"guide#s/a\"")
    );
    assert!(
        server.get("guide.html").contains("__runbook/reload"),
        "the page listens for reloads"
    );
    book.write("src/guide.md", step("id: changed", "true"));
    server.see("guide.html", "guide#s/changed");
    book.write("src/guide.md", step("id: broken\nnonsense: 1", "true"));
    std::thread::sleep(Duration::from_millis(500));
    assert!(server.get("guide.html").contains("guide#s/changed"));
    book.write("src/guide.md", step("id: mended", "true"));
    server.see("guide.html", "guide#s/mended");
    let sent = std::process::Command::new("kill")
        .args(["-TERM", &server.child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    let started = Instant::now();
    while server.child.try_wait().unwrap().is_none() {
        assert!(
            started.elapsed() < SEEN_DEADLINE,
            "TERM does not end the server"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
