//! The book of this repository in the lab: what the lab skips is known, step by step, and is never the most of a guide.
//!
//! A new skip fails this test. Who adds a step that the lab cannot serve adds it here with its reason, or brings a stand-in.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use runbook_lab::isolate;
use serde_json::Value;

use crate::book::{clean, said, text};

/// What is not of the book: what was built, and what was recorded.
const NOT_COPIED: [&str; 2] = [".runbook", "book"];

/// The steps that the lab skips, each with its reason, in the order of their IDs.
const SKIPPED: &[(&str, &str)] = &[
    (
        "guides/gpu#driver/answers",
        "the lab's render has no `nvidia-smi`",
    ),
    (
        "guides/gpu#driver/module",
        "the lab's render has no `modprobe`",
    ),
    (
        "manual/lab#what-there-is/not-there",
        "the lab's pve1 has no `sgdisk`",
    ),
];

/// How the reason of a step begins that needs a program of the machine on which the book is verified: not the lab's to say.
const OF_THIS_MACHINE: &str = "this machine has no `";
/// Reasons of steps that are not due.
const NOT_DUE: [&str; 2] = ["only when asked", "when: "];

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let name = entry.file_name();
        if NOT_COPIED.iter().any(|other| name == **other) {
            continue;
        }
        let (from, to) = (entry.path(), to.join(&name));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("a file");
        }
    }
}

#[test]
fn what_the_lab_skips_in_our_own_book_is_known() {
    if let Err(why) = isolate::available_with(env!("CARGO_BIN_EXE_runbook").as_ref()) {
        eprintln!("skipped: {why}");
        return;
    }
    // As it lies in this repository: below the root of one.
    let repository = tempfile::tempdir().expect("a folder");
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../book");
    copy(&own, &repository.path().join("book"));
    let git = |args: &[&str]| {
        let done = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@b.example"])
            .args(args)
            .current_dir(repository.path())
            .output();
        assert!(done.expect("git starts").status.success(), "{args:?}");
    };
    git(&["init", "-q", "."]);
    git(&["add", "."]);
    git(&["commit", "-qm", "the book"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
    command.args(["verify", "--json", "--book"]);
    command.arg(repository.path().join("book"));
    clean(&mut command);
    let said = said(command.output().expect("the program starts"));
    let events: Vec<Value> = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    let finished = events
        .iter()
        .filter(|event| event["event"] == "step-finished" && !text(&event["id"]).contains('@'));
    let mut skipped = Vec::new();
    let mut guides: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let mut failed = Vec::new();
    for event in finished {
        let (id, reason) = (text(&event["id"]), text(&event["reason"]));
        let guide = id.split('#').next().unwrap_or_default().to_owned();
        let counts = guides.entry(guide).or_default();
        match event["state"].as_str() {
            Some("passed") => counts.0 += 1,
            Some("skipped") if NOT_DUE.iter().any(|other| reason.starts_with(other)) => {}
            Some("skipped") => {
                counts.1 += 1;
                if !reason.starts_with(OF_THIS_MACHINE) {
                    skipped.push((id, reason));
                }
            }
            Some("pending") => {}
            _ => failed.push(format!("{id}: {}", why(event))),
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    skipped.sort();
    let known: Vec<(String, String)> = SKIPPED
        .iter()
        .map(|(id, reason)| ((*id).to_owned(), (*reason).to_owned()))
        .collect();
    assert_eq!(skipped, known);
    assert!(guides.len() > 10, "{guides:?}");
    for (guide, (passed, skipped)) in guides {
        assert!(
            skipped <= passed,
            "{guide}: {skipped} skipped, {passed} passed"
        );
    }
}

fn why(event: &Value) -> String {
    format!(
        "{} {} {}",
        text(&event["state"]),
        text(&event["reason"]),
        text(&event["message"])
    )
}
