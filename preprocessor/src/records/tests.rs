//! Records: read whole, refused when newer, survived when torn.

use super::*;

const LINE: &str = r#"{"version":1,"run":"20261124T000000Z-0001","profile":"lab","mode":"converge","revision":null,"started_at":"2026-11-24T00:00:00Z","finished_at":"2026-11-24T00:00:09Z","exit_code":0,"steps":[{"id":"a#s/x","state":"passed","finished_at":"2026-11-24T00:00:05Z","duration_ms":7,"target":"local"}]}"#;
const STARTED: &str = r#"{"event":"run-started","version":1,"run":"20261124T000000Z-0001","profile":"lab","mode":"converge","at":"2026-11-24T00:00:00Z"}"#;

fn finished(output: &str) -> String {
    format!(
        r#"{{"event":"step-finished","id":"a#s/x","state":"passed","changed":false,"duration_ms":7,"profile":"lab","target":"local","file":"src/a.md","line":3,"effect":"read","mode":"converge","output":{{"both":{{"head":{},"bytes":9,"lines":1}}}},"at":"2026-11-24T00:00:05Z"}}"#,
        serde_json::to_string(output).unwrap()
    )
}

fn book(history: &str, journal: Option<&str>) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join(".runbook/runs/20261124T000000Z-0001");
    fs::create_dir_all(&folder).unwrap();
    fs::write(root.path().join(".runbook/history.jsonl"), history).unwrap();
    if let Some(journal) = journal {
        fs::write(folder.join("events.jsonl"), journal).unwrap();
    }
    root
}

#[test]
fn a_book_that_never_ran_has_no_records() {
    let root = tempfile::tempdir().unwrap();
    let recorded = Recorded::load(root.path()).unwrap();
    assert!(recorded.history.is_empty() && recorded.records.lines.is_empty());
}

#[test]
fn what_a_killed_runner_left_torn_is_passed_over() {
    let history = format!("{LINE}\n{}", &LINE[..40]);
    let journal = format!("{STARTED}\n{}\n{{\"event\":\"step-fin", finished("out"));
    let root = book(&history, Some(&journal));
    let recorded = Recorded::load(root.path()).unwrap();
    assert_eq!(recorded.history, format!("{LINE}\n"));
    assert_eq!(recorded.records.lines.len(), 1);
    let journal = &recorded.journals["20261124T000000Z-0001"];
    assert!(journal.finished.is_none());
    assert_eq!(journal.steps.len(), 1);
    let id = Id::step("a", "s", "x");
    let evidence = recorded.records.evidence("20261124T000000Z-0001", &id);
    assert_eq!(evidence.unwrap().output.as_ref().unwrap().both.head, "out");
}

#[test]
fn a_run_whose_journal_is_gone_is_known_without_evidence() {
    let root = book(&format!("{LINE}\n"), None);
    let recorded = Recorded::load(root.path()).unwrap();
    assert_eq!(recorded.records.lines.len(), 1);
    assert!(recorded.journals.is_empty() && recorded.records.evidence.is_empty());
}

#[test]
fn a_newer_version_is_refused_with_its_place() {
    let newer = LINE.replace("\"version\":1", "\"version\":2");
    let error = Recorded::load(book(&format!("{newer}\n"), None).path()).unwrap_err();
    let told = ".runbook/history.jsonl:1 is of version 2, this program knows 1";
    assert_eq!(error.to_string(), told);
    assert!(error.hint().contains("update"));
    let newer = STARTED.replace("\"version\":1", "\"version\":9");
    let root = book(&format!("{LINE}\n"), Some(&format!("{newer}\n")));
    let error = Recorded::load(root.path()).unwrap_err();
    assert!(
        error.to_string().contains("events.jsonl:1 is of version 9"),
        "{error}"
    );
}

#[test]
fn a_broken_line_in_a_journal_is_an_error_with_its_place() {
    let root = book(&format!("{LINE}\n"), Some(&format!("{STARTED}\n{{}}\n")));
    let error = Recorded::load(root.path()).unwrap_err();
    assert!(
        error.to_string().contains("events.jsonl:2 cannot be read"),
        "{error}"
    );
}

#[test]
fn a_loud_output_is_cut_when_it_is_read() {
    let long = "0123456789\n".repeat(100_000);
    let journal = format!("{STARTED}\n{}\n", finished(&long));
    let root = book(&format!("{LINE}\n"), Some(&journal));
    let recorded = Recorded::load(root.path()).unwrap();
    let both = &recorded
        .records
        .evidence
        .values()
        .next()
        .unwrap()
        .output
        .as_ref()
        .unwrap()
        .both;
    assert!(both.head.len() + both.tail.len() <= OUTPUT_BYTES_MAX);
    assert!(both.head.ends_with("9\n") && both.tail.starts_with('0'));
}
