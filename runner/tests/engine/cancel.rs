//! Ended by INT or TERM: what was begun is cleaned up, and has its result.

use std::time::{Duration, Instant};

use runbook::event::EventKind;
use runbook::outcome::State;
use runbook_runner::execute::Cancel;

use crate::book_test::{BookTest, Ran, bash};

/// Runs, and asks to stop once the step has begun and printed.
fn stopped(book: &BookTest, step: &'static str, at_once: bool) -> Ran {
    let cancel = Cancel::new();
    let asked = cancel.clone();
    let ran = book.run_with(cancel, move |event| {
        if let EventKind::StepStarted(started) = &event.kind
            && started.id.step.as_deref() == Some(step)
        {
            let asked = asked.clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(300));
                asked.stop();
                if at_once {
                    std::thread::sleep(Duration::from_millis(300));
                    asked.stop_now();
                }
            });
        }
    });
    ran.assert_complete();
    ran
}

#[test]
fn the_first_request_aborts_the_running_step_and_takes_back_what_was_done() {
    let steps = bash(
        "id: a\ncleanup: always\nundo: sleep 0.5; touch undone",
        "true",
    ) + &bash(
        "id: server\nbackground: test -e up",
        "echo $$ > pid; touch up; exec sleep 300",
    ) + &bash("id: x", "(trap '' TERM; sleep 300) & sleep 300")
        + &bash("id: after\nneeds: []", "touch after");
    let book = BookTest::new(&steps).home();
    let begun = Instant::now();
    let ran = stopped(&book, "x", false);
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(ran.state("x"), State::Aborted);
    assert!(!ran.steps.contains_key("after"), "nothing more is begun");
    assert_eq!(ran.undone(), ["a passed"]);
    assert!(book.root().join("undone").exists() && !book.root().join("after").exists());
    assert_eq!(ran.result.exit_code, 130);
    let pid = std::fs::read_to_string(book.root().join("pid")).unwrap();
    assert!(
        !std::path::Path::new("/proc").join(pid.trim()).exists(),
        "the server is still there"
    );
}

#[test]
fn the_second_request_ends_cleaning_up_too_and_tells_what_is_left() {
    let steps = bash("id: a\ncleanup: always\nundo: touch undone", "true")
        + &bash("id: b\ncleanup: always\nundo: sleep 300", "true")
        + &bash("id: x", "sleep 300");
    let book = BookTest::new(&steps).home();
    let begun = Instant::now();
    let ran = stopped(&book, "x", true);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(ran.undone(), ["b aborted", "a aborted"]);
    assert_eq!(ran.result.left_behind.len(), 2, "{:?}", ran.result);
    assert!(!book.root().join("undone").exists());
    assert_eq!(ran.result.exit_code, 130);
}

#[test]
fn waiting_ends_at_once() {
    for options in [
        "id: x\nretry: {for: 10m, every: 5m}\nexpect: {exit: 1}",
        "id: x\nhold: 10m\nretry: {for: 1s, every: 5m}",
        "id: x\nbackground: 'false'\ntimeout: 10m",
    ] {
        let body = if options.contains("background") {
            "sleep 300"
        } else {
            "true"
        };
        let begun = Instant::now();
        let ran = stopped(&BookTest::new(&bash(options, body)), "x", false);
        assert_eq!(ran.state("x"), State::Aborted, "{options}");
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{options}: {:?}",
            begun.elapsed()
        );
    }
}

#[test]
fn items_that_were_not_begun_have_no_result_and_the_step_is_aborted() {
    let ran = stopped(
        &BookTest::new(&bash("id: x\neach: {n: [1, 2, 3]}", "sleep 300")),
        "x",
        false,
    );
    assert_eq!(ran.states(), ["x@1 aborted", "x aborted"]);
}

#[test]
fn a_guide_that_waits_for_another_ends_too() {
    let book = BookTest::new(&bash("id: x", "sleep 300")).chapter(
        "b",
        "---\nneeds: a#s\n---\n\n# B\n\n```bash runbook\n#| id: y\ntrue\n```\n",
    );
    let ran = stopped(&book, "x", false);
    assert_eq!(ran.states(), ["x aborted"]);
}

#[test]
fn a_sink_that_cannot_go_on_stops_the_run_and_it_is_4() {
    use runbook::event::Event;
    use runbook_runner::execute;
    use runbook_runner::sink::{Sink, SinkError, Sinks};
    struct Full(u32);
    impl Sink for Full {
        fn event(&mut self, _: &Event) -> Result<(), SinkError> {
            self.0 += 1;
            if self.0 < 4 {
                return Ok(());
            }
            Err(SinkError {
                what: "`events.jsonl`".into(),
                source: std::io::ErrorKind::StorageFull.into(),
            })
        }
    }
    let steps = bash("id: a\ncleanup: always\nundo: touch undone", "true")
        + &bash("id: b", "true")
        + &bash("id: c", "touch after");
    let book = BookTest::new(&steps).home();
    let run = execute::run(
        book.load(),
        book.request(),
        Sinks::new(vec![Box::new(Full(0))]),
        Cancel::new(),
    );
    let result = tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(run)
        .unwrap();
    assert_eq!(result.exit_code, 4);
    assert_eq!(
        result.error.unwrap().to_string(),
        "`events.jsonl` cannot be written"
    );
    assert!(
        book.root().join("undone").exists(),
        "what was done is taken back"
    );
    assert!(
        !book.root().join("after").exists(),
        "nothing goes on without a journal"
    );
}
