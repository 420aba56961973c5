//! Bad input: a clear error with its place and a non-zero exit, and nothing lost that was recorded before.

use std::process::Command;

use crate::book::{TestBook, clean, said, states, step};

/// Checks that `verify` refuses a book: exit 3, and these words on standard error.
#[track_caller]
fn refused(book: &TestBook, words: &[&str]) {
    let verify = book.run(&["verify"]);
    assert_eq!(verify.code, 3, "{}{}", verify.out, verify.err);
    for word in words {
        assert!(
            verify.err.contains(word),
            "`{word}` is not in:\n{}",
            verify.err
        );
    }
    assert!(
        !book.path(".runbook/runs").exists(),
        "a book that is invalid is not run"
    );
    let check = book.run(&["check"]);
    assert_eq!(check.code, 3, "{}", check.err);
}

#[test]
fn an_unclosed_fence() {
    refused(
        &TestBook::new("# G\n\n## S\n\n```bash runbook\n#| id: a\ntrue\n\nprose\n"),
        &["error: ", " --> src/guide.md:5:1", "^^^", "hint: "],
    );
}

#[test]
fn invalid_yaml() {
    refused(
        &TestBook::new(&step("id: a\nexpect: {stdout: [", "true")),
        &[" --> src/guide.md:7:", "hint: "],
    );
}

#[test]
fn a_duplicate_id() {
    let twice = "# G\n\n## S\n\n```bash runbook\n#| id: a\ntrue\n```\n\n```bash runbook\n#| id: a\ntrue\n```\n";
    refused(&TestBook::new(twice), &["`a`", " --> src/guide.md:10:"]);
}

#[test]
fn an_unknown_key_and_its_neighbour_in_one_pass() {
    let book = TestBook::new(&step("id: a\ntimout: 3s\nretry: 3", "true"));
    refused(
        &book,
        &[
            "`timout`",
            "did you mean `timeout`?",
            " --> src/guide.md:7:4",
            " --> src/guide.md:8:",
            "2 errors",
        ],
    );
}

#[test]
fn an_unknown_target() {
    refused(
        &TestBook::new(&step("id: a\non: lxc/nowhere", "true")),
        &["nowhere", " --> src/guide.md:7:8"],
    );
}

#[test]
fn an_undefined_variable() {
    refused(
        &TestBook::new(&step("id: a", "echo {{ vars.pool }}")),
        &["pool", " --> src/guide.md:7:9"],
    );
}

#[test]
fn a_cycle_in_needs() {
    let chapter = "# G\n\n## S\n\n```bash runbook\n#| id: a\n#| needs: [b]\ntrue\n```\n\n```bash runbook\n#| id: b\n#| needs: [a]\ntrue\n```\n";
    refused(
        &TestBook::new(chapter),
        &["guide#s/a", "guide#s/b", " --> src/guide.md:"],
    );
}

#[test]
fn a_missing_include() {
    refused(
        &TestBook::new(&step("id: a", "{{#include nothing.sh}}")),
        &["nothing.sh", " --> src/guide.md:7:"],
    );
}

#[test]
fn a_chapter_that_is_not_utf_8() {
    let book = TestBook::new("");
    book.write("src/guide.md", b"# G\n\nbad \xff\n");
    refused(&book, &["not UTF-8", " --> src/guide.md:3:5"]);
}

#[test]
fn an_action_whose_cluster_is_not_there() {
    let chapter = "# G\n\n## S\n\n```runbook\nid: a\nget: {kind: Pod, name: x}\n```\n";
    let told = [
        "`get` does not say where it runs",
        "add a cluster to the inventory",
    ];
    refused(&TestBook::new(chapter), &told);
}

#[test]
fn an_empty_book_and_a_book_without_steps() {
    for files in [
        vec![("src/SUMMARY.md", "# Summary\n")],
        vec![("src/SUMMARY.md", "- [A](a.md)\n"), ("src/a.md", "# A\n")],
    ] {
        let book = TestBook::with(&files);
        for command in ["check", "verify", "plan"] {
            let said = book.run(&[command]);
            assert_eq!(said.code, 3, "{command}: {}", said.err);
            for words in ["no steps found", " --> book.toml:1:1", "hint: "] {
                assert!(said.err.contains(words), "{command}: {}", said.err);
            }
        }
    }
    let prose = TestBook::with(&[("src/SUMMARY.md", "- [A](a.md)\n"), ("src/a.md", "# A\n")]);
    assert_eq!(
        prose.run(&["build"]).code,
        0,
        "a book without steps may be built"
    );
}

#[test]
fn no_book_at_all() {
    let empty = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
    command.arg("check").current_dir(empty.path());
    clean(&mut command);
    let said = said(command.output().unwrap());
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("no `book.toml`") && said.err.contains("runbook init"),
        "{}",
        said.err
    );
}

#[test]
fn ids_that_name_nothing_are_usage_with_a_suggestion() {
    let book = TestBook::new(&step("id: alpha", "true"));
    for command in ["run", "show", "history", "plan"] {
        let said = book.run(&[command, "guide#s/alpa"]);
        assert_eq!(said.code, 2, "{command}: {}{}", said.out, said.err);
        assert!(said.err.contains("alpha"), "{command}: {}", said.err);
    }
    assert_eq!(book.run(&["run"]).code, 2);
    assert_eq!(book.run(&["nonsense"]).code, 2);
}

#[test]
fn results_of_a_newer_version_are_refused_and_kept() {
    let book = TestBook::new(&step("id: a", "true"));
    assert_eq!(book.run(&["verify"]).code, 0);
    let history = book.path(".runbook/history.jsonl");
    let text = format!(
        "{}{{\"version\":99}}\n",
        std::fs::read_to_string(&history).unwrap()
    );
    std::fs::write(&history, &text).unwrap();
    for command in ["verify", "status", "build"] {
        let said = book.run(&[command]);
        assert_eq!(said.code, 3, "{command}: {}{}", said.out, said.err);
        assert!(said.err.contains("99"), "{command}: {}", said.err);
    }
    assert_eq!(std::fs::read_to_string(&history).unwrap(), text);
}

/// Runs the program on a copy of the book in a mount of its own. `None`, with a line that says so, where the kernel forbids that.
fn mounted(book: &TestBook, setup: &str, args: &str) -> Option<crate::book::Said> {
    let script = format!(
        "set -e; mkdir -p '{root}/m'; {setup}; exec '{program}' {args} --book '{root}/m'",
        root = book.root().display(),
        program = env!("CARGO_BIN_EXE_runbook"),
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    clean(&mut command);
    let probe = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "true"])
        .output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        eprintln!("skipped: this machine lets no test mount a file system");
        return None;
    }
    Some(said(command.output().unwrap()))
}

#[test]
fn a_read_only_disk() {
    let book = TestBook::new(&step("id: a", "true"));
    let root = book.root().display();
    let setup = format!(
        "cp -r '{root}/book.toml' '{root}/src' '{root}/m'; mount --bind '{root}/m' '{root}/m'; mount -o remount,ro,bind '{root}/m'"
    );
    if let Some(said) = mounted(&book, &setup, "verify") {
        assert_eq!(said.code, 4, "{}{}", said.out, said.err);
        assert!(
            said.err.contains("cannot write") && said.err.contains("hint: "),
            "{}",
            said.err
        );
    }
    if let Some(said) = mounted(&book, &setup, "build") {
        assert_eq!(
            said.code, 4,
            "the disk is at fault, not the book: {}",
            said.err
        );
        assert!(said.err.contains("hint: "), "{}", said.err);
    }
}

#[test]
fn what_was_recorded_is_read_from_a_read_only_disk() {
    let book = TestBook::new(&step("id: a", "true"));
    assert_eq!(book.run(&["verify"]).code, 0);
    let root = book.root().display();
    let setup = format!(
        "cp -r '{root}/book.toml' '{root}/src' '{root}/.runbook' '{root}/m'; rm '{root}/m/.runbook/'history.sqlite*; \
         mount --bind '{root}/m' '{root}/m'; mount -o remount,ro,bind '{root}/m'"
    );
    for command in ["status", "history guide#s/a"] {
        if let Some(said) = mounted(&book, &setup, command) {
            assert_eq!(said.code, 0, "{command}: {}", said.err);
            assert!(said.out.contains('✓'), "{command}: {}", said.out);
        }
    }
}

#[test]
fn a_full_disk_ends_the_run_and_loses_nothing_that_was_recorded() {
    // Each of a hundred steps leaves some kilobytes in the journal: the disk is full half way.
    let mut chapter = String::from("# G\n\n## S\n\n");
    for index in 0..100 {
        chapter.push_str(&format!(
            "```bash runbook\n#| id: s{index}\nhead -c 9000 /dev/zero | tr '\\0' x\n```\n\n"
        ));
    }
    let book = TestBook::new(&chapter);
    let root = book.root().display();
    let setup = format!(
        "mount -t tmpfs -o size=400k tmpfs '{root}/m'; cp -r '{root}/book.toml' '{root}/src' '{root}/m'"
    );
    if let Some(said) = mounted(&book, &setup, "verify --json") {
        assert_eq!(said.code, 4, "{}", said.err);
        assert!(said.err.contains("events.jsonl"), "{}", said.err);
        let events: Vec<serde_json::Value> = said
            .out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let started = events
            .iter()
            .filter(|event| event["event"] == "step-started")
            .count();
        assert!(started < 100, "no step begins when nothing can be recorded");
        assert_eq!(
            events.last().unwrap()["event"],
            "run-finished",
            "the run is told to its end"
        );
        assert!(states(&events).iter().any(|(_, state)| state == "passed"));
    }
}
