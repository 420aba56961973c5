//! Books and records that cannot be shown: an error with its place, and no site that looks right.

use super::support::BookTest;

const CHAPTER: &str = "# A\n\n## Run\n\n```bash runbook read\n#| id: one\necho one\n```\n";

fn refused(book: &BookTest) -> String {
    match book.try_built() {
        Ok(_) => panic!("the book was built"),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn an_invalid_book_is_refused_with_line_and_caret() {
    let book = BookTest::new().chapter(
        "a.md",
        &CHAPTER.replace("#| id: one", "#| id: one\n#| timout: 3s"),
    );
    let told = refused(&book);
    for part in ["error: ", "timout", " --> src/a.md:7:4", "hint: "] {
        assert!(told.contains(part), "`{part}` in {told}");
    }
}

#[test]
fn records_of_a_newer_program_are_refused() {
    let book = BookTest::new()
        .chapter("a.md", CHAPTER)
        .file(".runbook/history.jsonl", "{\"version\":2,\"run\":\"r\"}\n");
    assert!(
        refused(&book).contains("history.jsonl:1 is of version 2"),
        "{}",
        refused(&book)
    );
}

#[test]
fn a_chapter_where_the_status_page_goes_is_refused() {
    let book = BookTest::new()
        .chapter("a.md", CHAPTER)
        .chapter("status.md", "# Mine\n");
    let told = refused(&book);
    for part in ["`src/status.md`", "status page", "another name"] {
        assert!(told.contains(part), "`{part}` in {told}");
    }
}

#[test]
fn the_program_ends_with_3_and_says_why() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let program = env!("CARGO_BIN_EXE_mdbook-runbook");
    let root = BookTest::new()
        .file("book.toml", "[book]\ntitle = \"T\"\n")
        .file("src/SUMMARY.md", "# S\n\n- [A](a.md)\n")
        .file(
            "src/a.md",
            "# A\n\n```bash runbook\n#| id: x\necho\n```\n\n```bash runbook\n#| id: x\necho\n```\n",
        );
    let input = serde_json::json!([{"root": root.root(), "config": {}, "renderer": "html", "mdbook_version": "0.5.4"}, {"items": []}]);
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.to_string().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(
        output.stdout.is_empty() && told.contains("src/a.md"),
        "{told}"
    );
    for (renderer, code) in [("html", 0), ("epub", 1)] {
        let status = Command::new(program)
            .args(["supports", renderer])
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(code), "{renderer}");
    }
    assert_eq!(
        Command::new(program)
            .arg("--nonsense")
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .code(),
        Some(2)
    );
}
