//! The history as a whole: added to, read again, rebuilt, refused.

use super::*;
use runbook::id::Id;
use runbook::outcome::{Mode, State};
use runbook::report::HistoryStep;

fn run(run: &str, state: State) -> HistoryLine {
    let at = format!("2026-11-{run}T00:00:00Z");
    let step = HistoryStep {
        id: Id::step("g", "s", "a"),
        state,
        finished_at: at.clone(),
        duration_ms: 5,
        target: "local".into(),
        fingerprint: None,
        identity: Default::default(),
        message: None,
        standing: Default::default(),
        items: Vec::new(),
    };
    HistoryLine {
        version: HISTORY_VERSION,
        run: run.into(),
        profile: "lab".into(),
        mode: Mode::Converge,
        revision: Some(format!("rev{run}")),
        started_at: at.clone(),
        finished_at: at,
        exit_code: 0,
        steps: vec![step],
    }
}

#[test]
fn runs_are_added_once_in_the_order_of_time() {
    let root = tempfile::tempdir().unwrap();
    add(root.path(), [run("03", State::Failed)]).unwrap();
    add(
        root.path(),
        [
            run("01", State::Passed),
            run("03", State::Failed),
            run("02", State::Failed),
        ],
    )
    .unwrap();
    let runs: Vec<String> = load(root.path())
        .unwrap()
        .into_iter()
        .map(|line| line.run)
        .collect();
    assert_eq!(runs, ["01", "02", "03"]);
    let index = Index::open(root.path()).unwrap();
    let told = index.runs(&[Id::step("g", "s", "a")], None, 10).unwrap();
    assert_eq!(
        told.iter().map(|r| r.run.as_str()).collect::<Vec<_>>(),
        ["03", "02", "01"]
    );
    let trend = Trend::of(&told);
    assert_eq!((trend.runs, trend.flips, trend.failing_runs), (3, 1, 2));
    assert_eq!(
        trend
            .failing_since
            .map(|(run, _, revision)| (run, revision)),
        Some(("02".into(), Some("rev02".into())))
    );
}

#[test]
fn a_lost_index_is_made_again_from_the_lines() {
    let root = tempfile::tempdir().unwrap();
    add(root.path(), [run("01", State::Passed)]).unwrap();
    fs::remove_file(root.path().join(RECORDS_DIR).join("history.sqlite")).unwrap();
    assert_eq!(rebuild(root.path()).unwrap(), 1);
    let index = Index::open(root.path()).unwrap();
    assert_eq!(
        index
            .runs(&[Id::step("g", "s", "a")], Some("lab"), 10)
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        index
            .runs(&[Id::step("g", "s", "a")], Some("home"), 10)
            .unwrap()
            .len(),
        0
    );
}

#[test]
fn questions_are_answered_where_the_index_cannot_be_on_disk() {
    let root = tempfile::tempdir().unwrap();
    // A folder stands where the database would be.
    fs::create_dir_all(root.path().join(RECORDS_DIR).join("history.sqlite")).unwrap();
    let lines = [run("01", State::Passed), run("02", State::Failed)];
    assert!(Index::open(root.path()).is_err());
    let index = Index::of(root.path(), &lines).unwrap();
    assert_eq!(
        index
            .runs(&[Id::step("g", "s", "a")], None, 10)
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_line_of_a_newer_version_is_refused_and_nothing_is_lost() {
    let root = tempfile::tempdir().unwrap();
    add(root.path(), [run("01", State::Passed)]).unwrap();
    let file = path(root.path());
    let before = format!(
        "{}{}\n",
        fs::read_to_string(&file).unwrap(),
        r#"{"version":2,"other":true}"#
    );
    fs::write(&file, &before).unwrap();
    let error = add(root.path(), [run("02", State::Passed)]).unwrap_err();
    assert!(
        matches!(error, HistoryError::Newer { version: 2, .. }),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
}

#[test]
fn a_torn_last_line_is_passed_over_and_a_broken_one_is_not() {
    let good = serde_json::to_string(&run("01", State::Passed)).unwrap();
    assert_eq!(
        parse(&format!("{good}\n{{\"version\":1,\"ru"), "h")
            .unwrap()
            .len(),
        1
    );
    let error = parse(&format!("{{}}\n{good}\n"), "h").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("`h:1` is not a line of a history"),
        "{error}"
    );
}

/// A site that gives one answer to the first who asks, and then is gone.
fn site(answer: String) -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/book", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut seen = [0; 1024];
        let length = stream.read(&mut seen).unwrap();
        assert!(seen[..length].starts_with(b"GET /book/history.jsonl "));
        stream.write_all(answer.as_bytes()).unwrap();
    });
    url
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_sites_history_is_read_by_its_url() {
    let line = serde_json::to_string(&run("01", State::Passed)).unwrap();
    let url = site(answer("200 OK", &format!("{line}\n")));
    assert_eq!(fetch(&url).await.unwrap(), [run("01", State::Passed)]);
}

#[tokio::test]
async fn a_site_that_has_no_history_yet_has_an_empty_one() {
    let url = site(answer("404 Not Found", "no"));
    assert_eq!(fetch(&url).await.unwrap(), []);
}

#[tokio::test]
async fn a_site_that_is_out_of_order_is_an_error() {
    let url = site(answer("503 Service Unavailable", "later"));
    let error = fetch(&url).await.unwrap_err().to_string();
    assert!(error.contains("503"), "{error}");
}

#[test]
fn a_journal_of_a_newer_version_is_refused_and_nothing_is_lost() {
    let root = tempfile::tempdir().unwrap();
    add(root.path(), [run("01", State::Passed)]).unwrap();
    let before = fs::read_to_string(path(root.path())).unwrap();
    let runs = crate::journal::runs_dir(root.path());
    fs::create_dir_all(runs.join("imported")).unwrap();
    assert_eq!(rebuild(root.path()).unwrap(), 1);
    fs::create_dir_all(runs.join("02")).unwrap();
    let newer = r#"{"event":"run-started","at":"x","version":9}"#;
    fs::write(runs.join("02/events.jsonl"), format!("{newer}\n")).unwrap();
    let error = rebuild(root.path()).unwrap_err();
    assert!(error.is_invalid(), "{error}");
    assert!(error.to_string().contains("is of version 9"), "{error}");
    assert_eq!(fs::read_to_string(path(root.path())).unwrap(), before);
}

fn event(at: &str, kind: serde_json::Value) -> String {
    let mut event = kind;
    event["at"] = format!("2026-11-24T00:00:{at}Z").into();
    format!("{event}\n")
}

/// A journal whose runner was killed in the midst of its second step.
fn killed(root: &Path, run: &str) {
    use serde_json::json;
    let started = |step: &str| json!({"event": "step-started", "id": format!("g#s/{step}"), "title": step, "action": "bash", "target": "local", "effect": "change"});
    let text = event(
        "00",
        json!({"event": "run-started", "version": 1, "run": run, "profile": "lab", "mode": "converge", "steps": 3, "asked": [], "program": "0", "vars": {}}),
    ) + &event("01", started("a"))
        + &event(
            "02",
            json!({"event": "step-finished", "id": "g#s/a", "state": "passed", "changed": true, "repaired": false, "duration_ms": 5, "profile": "lab", "target": "local", "file": "src/g.md", "line": 3, "checks": [], "stand_in": false, "title": "a", "action": "bash", "effect": "change", "mode": "converge", "attempts": 1}),
        )
        + &event("02", started("b"));
    let dir = journal::runs_dir(root).join(run);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("events.jsonl"), text + "{\"event\":\"st").unwrap();
}

#[test]
fn a_run_whose_runner_was_killed_is_part_of_the_history() {
    let root = tempfile::tempdir().unwrap();
    add(root.path(), [run("25", State::Passed)]).unwrap();
    killed(root.path(), "24");
    let lines = recover(root.path()).unwrap();
    assert_eq!(lines, load(root.path()).unwrap(), "it stays");
    assert_eq!(
        lines
            .iter()
            .map(|line| line.run.as_str())
            .collect::<Vec<_>>(),
        ["24", "25"]
    );
    let steps: Vec<_> = lines[0]
        .steps
        .iter()
        .map(|step| (step.id.to_string(), step.state))
        .collect();
    assert_eq!(
        steps,
        [
            ("g#s/a".to_owned(), State::Passed),
            ("g#s/b".to_owned(), State::Aborted)
        ]
    );
    assert_eq!(lines[0].exit_code, crate::exit::INTERRUPTED);
}

#[test]
fn a_run_that_goes_on_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    killed(root.path(), "24");
    let path = journal::runs_dir(root.path()).join("24/events.jsonl");
    let held = File::open(&path).unwrap();
    held.try_lock().unwrap();
    assert_eq!(recover(root.path()).unwrap(), []);
    drop(held);
    assert_eq!(recover(root.path()).unwrap().len(), 1);
}

#[test]
fn runs_that_end_together_all_stay() {
    let root = tempfile::tempdir().unwrap();
    std::thread::scope(|threads| {
        for number in 10..26 {
            let root = root.path();
            threads.spawn(move || add(root, [run(&number.to_string(), State::Passed)]).unwrap());
        }
    });
    assert_eq!(load(root.path()).unwrap().len(), 16);
    let index = Index::open(root.path()).unwrap();
    assert_eq!(
        index
            .runs(&[Id::step("g", "s", "a")], None, 99)
            .unwrap()
            .len(),
        16
    );
}

#[test]
fn a_run_that_was_told_as_interrupted_and_ends_after_all_is_told_as_it_ended() {
    let root = tempfile::tempdir().unwrap();
    let interrupted = HistoryLine {
        exit_code: crate::exit::INTERRUPTED,
        ..run("01", State::Aborted)
    };
    add(root.path(), [interrupted.clone()]).unwrap();
    let ended = run("01", State::Passed);
    let told = add(root.path(), [ended.clone()]).unwrap();
    assert_eq!((told.len(), &told[0]), (1, &ended));
    // The other way round nothing changes.
    assert_eq!(add(root.path(), [interrupted]).unwrap(), [ended]);
    let index = Index::open(root.path()).unwrap();
    let told = index.runs(&[Id::step("g", "s", "a")], None, 10).unwrap();
    assert_eq!(
        told.iter().map(|run| run.state).collect::<Vec<_>>(),
        [State::Passed]
    );
}
