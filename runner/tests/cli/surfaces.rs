//! The machine surfaces, as other programs read them (DESIGN section 6), and the exit codes of runs.

use serde_json::{Value, json};

use crate::book::{TestBook, states, step};

const CHAPTER: &str = "---\ntitle: A guide\ntags: [net]\n---\n# Guide\n\n## S\n\n\
```bash runbook read\n#| id: good\n#| title: All is well\n#| expect: {stdout: hello}\necho hello\n```\n\n\
```bash runbook read\n#| id: bad\n#| expect: {stdout: {contains: wanted}}\n#| hints: {\"exit 0\": look elsewhere}\necho other\n```\n\n\
```bash runbook read\n#| id: after\n#| needs: [bad]\ntrue\n```\n\n\
```bash runbook read\n#| id: each\n#| needs: []\n#| each: {n: [1, 2]}\ntest {{ n }} = 1\n```\n\n\
```runbook\nid: person\nneeds: []\nmanual: {prompt: Look at the lamp.}\n```\n";

fn json_of(book: &TestBook, args: &[&str]) -> Value {
    let said = book.run(args);
    assert_eq!(said.code, 0, "{args:?}: {}", said.err);
    serde_json::from_str(&said.out)
        .unwrap_or_else(|error| panic!("{args:?}: {error}: {}", said.out))
}

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn list_and_show_have_their_shapes() {
    let book = TestBook::new(CHAPTER);
    let list = json_of(&book, &["list", "--json"]);
    let guide = &list["guides"][0];
    assert_eq!(list["version"], 1);
    assert_eq!(keys(guide), ["id", "title", "path", "verify", "sections"]);
    assert_eq!(
        (
            &guide["id"],
            &guide["title"],
            &guide["path"],
            &guide["verify"]
        ),
        (
            &json!("guide"),
            &json!("A guide"),
            &json!("src/guide.md"),
            &json!("rehearse")
        )
    );
    let section = &guide["sections"][0];
    assert_eq!(
        (&section["id"], &section["title"]),
        (&json!("guide#s"), &json!("S"))
    );
    assert_eq!(
        section["steps"][0],
        json!({"id": "guide#s/good", "title": "All is well", "on": "local", "action": "bash", "effect": "read", "line": 9})
    );
    let show = json_of(&book, &["show", "guide#s/good", "--json"]);
    assert_eq!(
        keys(&show),
        [
            "version", "id", "title", "path", "line", "markdown", "steps"
        ]
    );
    assert_eq!(show["line"], 9);
    assert!(
        show["markdown"]
            .as_str()
            .unwrap()
            .starts_with("```bash runbook read\n#| id: good\n")
    );
    assert_eq!(show["steps"][0]["source"], "echo hello\n");
    assert_eq!(show["steps"][0]["expect"], json!({"stdout": "hello"}));
    assert_eq!(
        json_of(&book, &["list", "--json", "--tag", "other"])["guides"],
        json!([])
    );
}

#[test]
fn a_run_tells_events_and_ends_with_its_code() {
    let book = TestBook::new(CHAPTER);
    let (code, events) = book.events(&[
        "verify",
        "--json",
        "--junit",
        book.path("junit.xml").to_str().unwrap(),
    ]);
    assert_eq!(code, 1);
    let head = &events[0];
    assert_eq!(
        (&head["event"], &head["version"], &head["profile"]),
        (&json!("run-started"), &json!(1), &json!("lab"))
    );
    let expected = [
        ("guide#s/good", "passed"),
        ("guide#s/bad", "failed"),
        ("guide#s/after", "blocked"),
        ("guide#s/each@1", "passed"),
        ("guide#s/each@2", "failed"),
        ("guide#s/each", "failed"),
        ("guide#s/person", "pending"),
    ];
    let mut found = states(&events);
    // Items that only read run together: their order is that of their ends.
    found[3..5].sort();
    assert_eq!(
        found,
        expected.map(|(id, state)| (id.to_owned(), state.to_owned()))
    );
    let bad = events
        .iter()
        .find(|e| e["event"] == "step-finished" && e["id"] == "guide#s/bad")
        .unwrap();
    for key in [
        "id",
        "state",
        "changed",
        "repaired",
        "duration_ms",
        "reason",
        "message",
        "profile",
        "target",
        "file",
        "line",
        "checks",
    ] {
        assert!(bad.get(key).is_some(), "{key}");
    }
    assert_eq!(
        (&bad["file"], &bad["line"], &bad["hint"]),
        (&json!("src/guide.md"), &json!(16), &json!("look elsewhere"))
    );
    let fails = bad["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["verdict"] == "fails")
        .unwrap();
    assert_eq!(
        keys(fails),
        ["check", "expected", "actual", "verdict", "stand_in"]
    );
    assert_eq!(fails["expected"], "contains \"wanted\"");
    let last = events.last().unwrap();
    assert_eq!(
        (&last["event"], &last["exit_code"]),
        (&json!("run-finished"), &json!(1))
    );
    assert_eq!(
        last["counts"],
        json!({"failed": 2, "blocked": 1, "pending": 1, "passed": 1})
    );
    let run = head["run"].as_str().unwrap();
    let journal =
        std::fs::read_to_string(book.path(&format!(".runbook/runs/{run}/events.jsonl"))).unwrap();
    assert!(
        journal.lines().count() >= events.len(),
        "the journal has every event"
    );
    let junit = std::fs::read_to_string(book.path("junit.xml")).unwrap();
    assert!(
        junit.contains(r#"tests="6""#) && junit.contains(r#"failures="2""#),
        "{junit}"
    );
    assert!(
        junit.contains(r#"file="src/guide.md""#) && junit.contains(r#"line="16""#),
        "{junit}"
    );
}

#[test]
fn status_and_history_follow_a_run() {
    let book = TestBook::new(CHAPTER);
    let before = json_of(&book, &["status", "--json"]);
    assert_eq!(before["guides"][0]["state"], Value::Null);
    assert_eq!(
        (
            &before["guides"][0]["steps"][0]["state"],
            &before["guides"][0]["steps"][0]["freshness"]
        ),
        (&Value::Null, &json!("never-run"))
    );
    book.run(&["verify"]);
    let status = json_of(&book, &["status", "--json"]);
    let guide = &status["guides"][0];
    assert_eq!(keys(guide), ["id", "title", "state", "counts", "steps"]);
    assert_eq!(guide["state"], "failed");
    let good = &guide["steps"][0];
    assert_eq!(
        keys(good),
        [
            "id",
            "state",
            "freshness",
            "profile",
            "target",
            "finished_at",
            "duration_ms",
            "run",
            "items"
        ]
    );
    assert_eq!(
        (&good["state"], &good["freshness"], &good["profile"]),
        (&json!("passed"), &json!("fresh"), &json!("lab"))
    );
    assert_eq!(guide["steps"][3]["items"].as_array().unwrap().len(), 2);
    let history = json_of(&book, &["history", "guide#s/bad", "--json"]);
    assert_eq!(
        keys(&history["runs"][0]),
        ["run", "finished_at", "state", "revision", "duration_ms"]
    );
    assert_eq!(history["runs"][0]["state"], "failed");
    // A change of what is executed makes the result stale, one of the title does not.
    book.write(
        "src/guide.md",
        CHAPTER.replace("All is well", "Other title"),
    );
    assert_eq!(
        json_of(&book, &["status", "--json"])["guides"][0]["steps"][0]["freshness"],
        "fresh"
    );
    book.write(
        "src/guide.md",
        CHAPTER.replace("echo hello", "echo hello there"),
    );
    assert_eq!(
        json_of(&book, &["status", "--json"])["guides"][0]["steps"][0]["freshness"],
        "stale"
    );
}

#[test]
fn a_published_history_goes_on_in_a_fresh_checkout() {
    let first = TestBook::new(CHAPTER);
    first.run(&["verify"]);
    assert_eq!(
        first
            .run(&["build", "--dest", first.path("site").to_str().unwrap()])
            .code,
        0
    );
    let second = TestBook::new(CHAPTER);
    second.run(&["verify", "--history", first.path("site").to_str().unwrap()]);
    let history = json_of(&second, &["history", "guide#s/bad", "--json"]);
    assert_eq!(history["runs"].as_array().unwrap().len(), 2);
    let third = TestBook::new(CHAPTER);
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(
        third
            .run(&["verify", "--history", empty.path().to_str().unwrap()])
            .code,
        1,
        "the first night has no history"
    );
    assert_eq!(
        third
            .run(&["verify", "--history", "/nonexistent/site"])
            .code,
        4
    );
}

#[test]
fn exit_codes_say_what_happened() {
    let passed = TestBook::new(&step("id: a", "true"));
    assert_eq!(passed.run(&["verify"]).code, 0);
    let skipped = TestBook::new(&step("id: a\nwhen: false", "true"));
    assert_eq!(skipped.run(&["verify"]).code, 0);
    assert_eq!(skipped.run(&["verify", "--strict"]).code, 1);
    let person = TestBook::new("# G\n\n## S\n\n```runbook\nid: a\nmanual: {prompt: p}\n```\n");
    assert_eq!(person.run(&["verify"]).code, 0);
    assert_eq!(person.run(&["verify", "--strict"]).code, 5);
    assert_eq!(person.run(&["run", "guide"]).code, 5);
    let slow = TestBook::new(&step("id: a\ntimeout: 200ms", "sleep 60"));
    let (code, events) = slow.events(&["verify", "--json"]);
    assert_eq!((code, states(&events)[0].1.as_str()), (1, "timed-out"));
}

#[test]
fn a_plan_changes_nothing_and_shows_the_difference() {
    let book = TestBook::new(
        "# G\n\n## S\n\n```runbook\nid: f\nfile: {path: a.txt, content: hello}\n```\n",
    );
    let plan = json_of(&book, &["plan", "guide", "--json"]);
    assert_eq!(keys(&plan), ["version", "hash", "steps"]);
    let step = &plan["steps"][0];
    assert_eq!(
        keys(step),
        [
            "id", "action", "target", "effect", "would", "diff", "approval"
        ]
    );
    assert!(
        step["would"].as_str().unwrap().starts_with("change"),
        "{step}"
    );
    assert!(step["diff"].as_str().unwrap().contains("+hello"), "{step}");
    assert!(!book.path(".runbook/runs").exists(), "a plan is no run");
}

#[test]
fn secrets_are_in_no_sink() {
    let secret = "s3cr3t-Val/ue+x";
    let chapter = "# G\n\n## S\n\n```bash runbook\n#| id: a\n#| secrets: [token]\n#| expect: {stdout: nothing}\necho \"got $TOKEN\"; echo -n \"$TOKEN\" | base64; echo \"$TOKEN\" >&2; exit 3\n```\n";
    let book = TestBook::with(&[
        ("src/SUMMARY.md", "- [G](guide.md)\n"),
        ("src/guide.md", chapter),
        ("inventory.yaml", "secrets:\n  token: {file: token}\n"),
        ("token", &format!("{secret}\n")),
    ]);
    let junit = book.path("junit.xml");
    let text = book.run(&["verify", "--junit", junit.to_str().unwrap()]);
    assert_eq!(text.code, 1, "{}", text.err);
    let json = book.run(&["verify", "--json"]);
    assert_eq!(
        book.run(&["build", "--dest", book.path("site").to_str().unwrap()])
            .code,
        0
    );
    let mut found = Vec::new();
    let encoded = "czNjcjN0LVZhbC91ZSt4";
    for (name, content) in [
        ("text", text.out + &text.err),
        ("json", json.out + &json.err),
    ] {
        if content.contains(secret) || content.contains(encoded) {
            found.push(name.to_owned());
        }
        assert!(
            content.contains("[hidden]"),
            "{name} shows that something was hidden"
        );
    }
    let mut folders = vec![book.path(".runbook"), book.path("site")];
    let mut files = vec![junit];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path())
            } else {
                files.push(entry.path())
            }
        }
    }
    for file in files {
        let content = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        if content.contains(secret) || content.contains(encoded) {
            found.push(file.display().to_string());
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_new_book_verifies_green_at_once() {
    let book = TestBook::with(&[]);
    std::fs::remove_file(book.path("book.toml")).unwrap();
    let init = book.run(&["init"]);
    assert_eq!(init.code, 0, "{}", init.err);
    let verify = book.run(&[
        "verify",
        "--site",
        "--dest",
        book.path("site").to_str().unwrap(),
    ]);
    assert_eq!(verify.code, 0, "{}{}", verify.out, verify.err);
    let page = std::fs::read_to_string(book.path("site/first-guide.html")).unwrap();
    assert_eq!(page.matches("data-state=\"passed\"").count(), 4, "{page}");
}

#[test]
fn github_gets_annotations_and_a_summary() {
    let book = TestBook::new(CHAPTER);
    let summary = book.path("summary.md");
    let output = book
        .command(&["verify"])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &summary)
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(
        out.contains("::error file=src/guide.md,line=16,title=guide#s/bad failed::"),
        "{out}"
    );
    let text = std::fs::read_to_string(summary).unwrap();
    assert!(text.contains("| `guide#s/bad` | ✕ failed |"), "{text}");
    // What machines read stays whole lines of JSON.
    let output = book
        .command(&["verify", "--json"])
        .env("GITHUB_ACTIONS", "true")
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(
        out.lines().all(|line| line.starts_with("{\"event\":")),
        "{out}"
    );
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("::error file=src/guide.md,line=16,"), "{err}");
}

#[test]
fn help_names_every_command_and_no_color_is_honoured() {
    let book = TestBook::new(CHAPTER);
    let help = book.run(&["--help"]);
    for command in [
        "init",
        "check",
        "fmt",
        "list",
        "show",
        "plan",
        "run",
        "verify",
        "build",
        "serve",
        "history",
        "status",
        "doctor",
        "schema",
        "completions",
    ] {
        assert!(help.out.contains(&format!("  {command}")), "{command}");
    }
    let said = book.run(&["check"]);
    assert!(!said.out.contains('\u{1b}') && !said.err.contains('\u{1b}'));
    assert!(book.run(&["--version"]).out.starts_with("runbook "));
}
