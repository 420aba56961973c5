//! Books on disk: found, read, refused.

use super::*;

fn book(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

fn option_error(option: &str) -> Diagnostic {
    let toml = format!("[book]\ntitle = \"T\"\n\n[preprocessor.runbook]\n{option}\n");
    let dir = book(&[("book.toml", toml.as_bytes())]);
    let error = BookDir::open(dir.path()).unwrap_err();
    error.diagnostic().cloned().unwrap()
}

#[test]
fn chapters_are_named_as_their_pages_are() {
    assert_eq!(guide_id("guides/ollama.md"), "guides/ollama");
    assert_eq!(guide_id("README.md"), "index");
    assert_eq!(guide_id("guides/readme.md"), "guides/index");
}

#[test]
fn options_are_read_and_unknown_ones_refused_with_their_line() {
    let toml = b"[preprocessor.runbook]\ncommand = \"x\"\nbefore = [\"links\"]\nprofile = \"home\"\nold-after = \"2d\"\nkeep = 3\n";
    let dir = book(&[("book.toml", toml)]);
    let opened = BookDir::open(dir.path()).unwrap();
    assert_eq!(opened.options().profile, "home");
    assert_eq!(
        (opened.options().old_after.as_secs(), opened.options().keep),
        (172_800, 3)
    );
    let unknown = option_error("kep = 3");
    assert_eq!(
        (
            unknown.line,
            unknown.message.as_str(),
            unknown.hint.as_deref()
        ),
        (5, "unknown option `kep`", Some("did you mean `keep`?"))
    );
    assert_eq!(
        option_error("keep = 0").message,
        "`keep` must be a number of runs, 1 or more"
    );
    assert!(
        option_error("old-after = \"7\"")
            .message
            .starts_with("`old-after`:")
    );
}

#[test]
fn chapters_that_cannot_be_read_are_findings_and_the_others_are_read() {
    let dir = book(&[
        ("book.toml", b"[book]\n"),
        (
            "src/SUMMARY.md",
            b"- [A](a.md)\n  - [B](./sub/b.md)\n- [C](c.md)\n- [Draft]()\n",
        ),
        (
            "src/a.md",
            b"# A\n\n## S\n\n```sh runbook\n#| id: x\ntrue\n```\n",
        ),
        ("src/sub/b.md", b"# B\nbad \xff here\n"),
    ]);
    let opened = BookDir::open(dir.path()).unwrap();
    let loaded = opened.load("lab", &Vars::new()).unwrap();
    let found: Vec<_> = loaded
        .diagnostics
        .iter()
        .map(|d| (d.rule, d.file.as_str(), d.line, d.column))
        .collect();
    assert_eq!(
        found,
        [
            ("not-utf8", "src/sub/b.md", 2, 5),
            ("missing-file", "src/c.md", 1, 1)
        ]
    );
    assert_eq!(
        loaded
            .book
            .guides
            .iter()
            .map(|guide| guide.id.as_str())
            .collect::<Vec<_>>(),
        ["a"]
    );
    assert_eq!(
        opened.load_guide("a", "lab").unwrap().book.guides[0]
            .steps
            .len(),
        1
    );
}

#[test]
fn files_outside_of_the_repository_are_not_read() {
    let dir = book(&[
        ("repo/.git/HEAD", b""),
        ("repo/book/book.toml", b""),
        ("repo/inside", b"i"),
        ("secret", b"s"),
    ]);
    let opened = BookDir::open(&dir.path().join("repo/book")).unwrap();
    assert_eq!(opened.read("../inside").unwrap(), b"i");
    assert!(matches!(
        opened.read("../../secret"),
        Err(FileError::Outside)
    ));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(dir.path().join("secret"), dir.path().join("repo/link"))
            .unwrap();
        assert!(matches!(opened.read("../link"), Err(FileError::Outside)));
    }
    assert!(matches!(opened.read("../nothing"), Err(FileError::Missing)));
}

#[test]
fn a_missing_book_says_where_was_looked() {
    let dir = book(&[("x", b"")]);
    let error = BookDir::find(Some(dir.path())).unwrap_err();
    assert!(
        error.to_string().starts_with("no `book.toml` in `"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("--book"));
}
