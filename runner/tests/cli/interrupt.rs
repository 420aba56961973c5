//! INT and TERM: what was begun is taken back, no child is left, no record says "running".

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::book::{TestBook, text};

/// How long the program may take to end after a signal.
const END_DEADLINE: Duration = Duration::from_secs(20);

const CHAPTER: &str = "# G\n\n## S\n\n\
```runbook\nid: file\nfile: {path: left.txt, content: x}\ncleanup: always\n```\n\n\
```bash runbook\n#| id: server\n#| background: true\nexec sleep MARK1\n```\n\n\
```bash runbook\n#| id: long\n#| timeout: 1h\ntrap '' TERM\nsleep MARK2 & wait\nsleep MARK2\n```\n\n\
```bash runbook\n#| id: never\ntrue\n```\n";

fn signal(child: &Child, signal: &str) {
    let sent = std::process::Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Processes of this machine whose command line holds a text.
fn processes(mark: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(mark))
        .collect()
}

fn wait(child: &mut Child) -> i32 {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        assert!(started.elapsed() < END_DEADLINE, "the program does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Starts the book, waits until the long step runs, and gives the program and the seconds that mark its sleeps.
fn start(book: &TestBook, marks: [&str; 2]) -> Child {
    book.write(
        "src/guide.md",
        CHAPTER
            .replace("MARK1", marks[0])
            .replace("MARK2", marks[1]),
    );
    let child = book
        .command(&["verify", "--json"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while processes(&format!("sleep {}", marks[1])).is_empty() {
        assert!(
            started.elapsed() < END_DEADLINE,
            "the long step does not begin"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

fn journal(book: &TestBook) -> Vec<Value> {
    let runs = book.path(".runbook/runs");
    let run = std::fs::read_dir(runs)
        .unwrap()
        .flatten()
        .next()
        .unwrap()
        .path();
    let text = std::fs::read_to_string(run.join("events.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn ends_clean(name: &str, marks: [&str; 2]) {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: processes are looked for in /proc");
        return;
    }
    let book = TestBook::new("");
    let mut child = start(&book, marks);
    signal(&child, name);
    assert_eq!(wait(&mut child), 130);
    for mark in marks {
        assert_eq!(
            processes(&format!("sleep {mark}")),
            Vec::<String>::new(),
            "{name} left a child"
        );
    }
    let events = journal(&book);
    let of = |kind: &str| {
        events
            .iter()
            .filter(|event| event["event"] == kind)
            .map(|event| text(&event["id"]))
            .collect::<Vec<_>>()
    };
    let (mut begun, mut ended) = (of("step-started"), of("step-finished"));
    begun.sort();
    ended.retain(|id| begun.contains(id));
    ended.sort();
    assert_eq!(begun, ended, "what began has a result");
    let long = events
        .iter()
        .find(|e| e["event"] == "step-finished" && e["id"] == "guide#s/long")
        .unwrap();
    assert_eq!(long["state"], "aborted");
    assert_eq!(
        of("undo-finished"),
        ["guide#s/file"],
        "{name}: what was made is taken back"
    );
    let last = events.last().unwrap();
    assert_eq!(
        (text(&last["event"]), last["exit_code"].as_u64()),
        ("run-finished".into(), Some(130))
    );
}

#[test]
fn ctrl_c_cleans_up_and_leaves_no_child() {
    ends_clean("-INT", ["98761", "98762"]);
}

#[test]
fn term_cleans_up_and_leaves_no_child() {
    ends_clean("-TERM", ["98763", "98764"]);
}

#[test]
fn a_killed_runner_loses_nothing_it_told() {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: processes are looked for in /proc");
        return;
    }
    let book = TestBook::new("").with_own_tmp();
    let mut child = start(&book, ["98765", "98766"]);
    signal(&child, "-KILL");
    child.wait().unwrap();
    // The long step ignores TERM.
    let killed = Instant::now();
    while ["98765", "98766"]
        .iter()
        .any(|mark| !processes(&format!("sleep {mark}")).is_empty())
    {
        assert!(
            killed.elapsed() < END_DEADLINE,
            "a child outlives its runner"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let scratch = || {
        std::fs::read_dir(book.path("tmp"))
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name())
            .collect::<Vec<_>>()
    };
    assert_eq!(scratch().len(), 1, "{:?}", scratch());
    let events = journal(&book);
    assert!(
        events
            .iter()
            .any(|e| e["event"] == "undo-registered" && e["id"] == "guide#s/file")
    );
    assert!(events.iter().any(|e| e["event"] == "step-finished"
        && e["id"] == "guide#s/file"
        && e["state"] == "passed"));
    // Nobody has to ask for it: the run is told as interrupted, what had ended counts, what had begun is aborted.
    let state = |id: &str| {
        let history = book.run(&["history", id, "--json"]);
        let report: Value = serde_json::from_str(&history.out).unwrap();
        report["runs"][0]["state"].clone()
    };
    assert_eq!(state("guide#s/file"), "passed");
    assert_eq!(state("guide#s/long"), "aborted");
    assert_eq!(state("guide#s/never"), Value::Null);
    let status: Value = serde_json::from_str(&book.run(&["status", "--json"]).out).unwrap();
    assert_eq!(status["guides"][0]["state"], "aborted");
    let site = book.run(&["build"]);
    assert_eq!(site.code, 0, "{}", site.err);
    let page = std::fs::read_to_string(book.path("book/guide.html")).unwrap();
    assert!(page.contains("data-state=\"aborted\""), "{page}");
    // Made anew from the journals it is the same.
    assert_eq!(book.run(&["history", "--rebuild"]).code, 0);
    assert_eq!(state("guide#s/long"), "aborted");
    // The next run removes what the killed one could not.
    book.write(
        "src/guide.md",
        "# G\n\n## S\n\n```bash runbook\n#| id: x\ntrue\n```\n",
    );
    assert_eq!(book.run(&["verify"]).code, 0);
    assert_eq!(scratch(), Vec::<std::ffi::OsString>::new());
}
