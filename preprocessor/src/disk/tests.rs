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

fn toml_error(toml: &str) -> Diagnostic {
    let dir = book(&[("book.toml", toml.as_bytes())]);
    let error = BookDir::open(dir.path()).unwrap_err();
    error.diagnostic().cloned().unwrap()
}

fn summary_error(summary: &[u8]) -> Diagnostic {
    let dir = book(&[
        ("book.toml", b""),
        ("src/SUMMARY.md", summary),
        ("src/a.md", b"# A\n"),
    ]);
    let error = BookDir::open(dir.path())
        .unwrap()
        .load("lab", &Vars::new())
        .unwrap_err();
    error.diagnostic().cloned().unwrap()
}

#[test]
fn chapters_are_named_as_their_pages_are() {
    for (location, id) in [
        ("guides/ollama.md", "guides/ollama"),
        ("README.md", "index"),
        ("guides/readme.md", "guides/index"),
        ("index.md", "index"),
        ("guides/my-readme.md", "guides/my-readme"),
    ] {
        assert_eq!(guide_id(location), id);
    }
}

#[test]
fn the_nearest_book_upward_is_found_also_in_its_folder_book() {
    let dir = book(&[
        ("repo/book/book.toml", b"[book]\ntitle = \"T\"\n"),
        ("repo/.git/HEAD", b""),
        ("repo/src/deep/x", b""),
    ]);
    let repo = dir.path().canonicalize().unwrap().join("repo");
    for start in ["", "src", "src/deep", "book"] {
        let found = BookDir::find_upward(&repo.join(start)).unwrap();
        assert_eq!(found.root(), repo.join("book"), "{start}");
        assert_eq!(
            (found.repository(), found.src(), found.title()),
            (repo.as_path(), "src", Some("T"))
        );
    }
    let alone = book(&[("book.toml", b"")]);
    let found = BookDir::find(Some(alone.path())).unwrap();
    assert_eq!(found.repository(), found.root());
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
    let below = book(&[("book/book.toml", b"")]);
    let hint = BookDir::find(Some(below.path()))
        .unwrap_err()
        .hint()
        .unwrap();
    assert!(
        hint.contains("write `--book ") && hint.contains("/book`"),
        "{hint}"
    );
    assert!(matches!(
        BookDir::find_upward(Path::new("/")),
        Err(DiskError::NotFound { upward: true, .. })
    ));
}

#[test]
fn options_are_read_and_unknown_ones_refused_with_their_line() {
    let toml = b"[preprocessor.runbook]\ncommand = \"x\"\nbefore = [\"links\"]\nprofile = \"home\"\nold-after = \"2d\"\nkeep = 3\n[output.html]\nsmart-punctuation = false\n";
    let dir = book(&[("book.toml", toml)]);
    let opened = BookDir::open(dir.path()).unwrap();
    let options = opened.options();
    assert_eq!(
        (options.profile.as_str(), options.inventory.as_str()),
        ("home", "inventory.yaml")
    );
    assert_eq!((options.old_after.as_secs(), options.keep), (172_800, 3));
    assert!(!opened.markdown.smart_punctuation && opened.markdown.admonitions);
    for (option, message, hint) in [
        (
            "kep = 3",
            "unknown option `kep` in `[preprocessor.runbook]`",
            "did you mean `keep`?",
        ),
        (
            "keep = 0",
            "`keep` must be a number of runs, 1 or more",
            "write `keep = 30`",
        ),
        (
            "keep = \"3\"",
            "`keep` must be a number of runs, 1 or more",
            "write `keep = 30`",
        ),
        (
            "profile = 1",
            "`profile` must be the name of a profile",
            "write `profile = \"lab\"`",
        ),
        (
            "inventory = \"\"",
            "`inventory` must be the path of a file",
            "write `inventory = \"inventory.yaml\"`",
        ),
        (
            "old-after = \"7\"",
            "`old-after`: `7` has no unit: write `7s`, `7m` or `7ms`",
            "write a duration: `\"7d\"`",
        ),
    ] {
        let found = toml_error(&format!(
            "[book]\ntitle = \"keep\"\n\n[preprocessor.runbook]\n  {option}\n"
        ));
        assert_eq!(
            (found.message.as_str(), found.hint.as_deref()),
            (message, Some(hint))
        );
        assert_eq!(
            (found.file.as_str(), found.line, found.column),
            ("book.toml", 5, 3),
            "{option}"
        );
    }
}

#[test]
fn a_broken_book_toml_is_shown_where_it_breaks() {
    let found = toml_error("[book]\ntitle = \"x\nsrc = 3\n");
    assert_eq!(
        (found.rule, found.line),
        ("book-toml", 2),
        "{}",
        found.message
    );
    assert!(
        found.excerpt.is_some() && !found.message.contains('|'),
        "{}",
        found.message
    );
    assert!(toml_error("[bok]\n").message.contains("bok"));
    assert!(
        toml_error("preprocessor.runbook = 3\n")
            .message
            .contains("cannot be read")
    );
}

#[test]
fn a_broken_summary_is_an_error_with_its_place() {
    let found = summary_error(b"# Summary\n\n- [A](a.md)\n  - text\n");
    assert_eq!(
        (found.rule, found.file.as_str()),
        ("summary", "src/SUMMARY.md")
    );
    assert!(
        found.message.contains("hyperlink") && found.line >= 3,
        "{} {}",
        found.line,
        found.message
    );
    assert!(
        summary_error(b"- [A](a.md)\n- [B](a.md)\n")
            .message
            .contains("Duplicate file")
    );
    assert_eq!(summary_error(b"- [\xff](a.md)\n").rule, "not-utf8");
    let dir = book(&[("book.toml", b"")]);
    let error = BookDir::open(dir.path())
        .unwrap()
        .load("lab", &Vars::new())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the summary `src/SUMMARY.md` does not exist"
    );
}

#[test]
fn chapters_that_cannot_be_read_are_findings_and_the_others_are_read() {
    let dir = book(&[
        ("book.toml", b"[book]\n"),
        ("src/SUMMARY.md", b"- [A](a.md)\n  - [B](./sub/b.md)\n- [C](c.md)\n- [Draft]()\n- [D](d.md)\n- [E](README.md)\n- [F](index.md)\n"),
        ("src/a.md", b"\xef\xbb\xbf# A\n\n## S\n\n```sh runbook\n#| id: x\ntrue\n```\n"),
        ("src/sub/b.md", b"# B\nbad \xff here\n"),
        ("src/d.md/x", b""),
        ("src/README.md", b"# E\n"),
        ("src/index.md", b"# F\n"),
    ]);
    let opened = BookDir::open(dir.path()).unwrap();
    let loaded = opened.load("lab", &Vars::new()).unwrap();
    let found: Vec<_> = loaded
        .diagnostics
        .iter()
        .map(|d| (d.rule, d.file.as_str(), d.line, d.column))
        .collect();
    let expected = [
        ("not-utf8", "src/sub/b.md", 2, 5),
        ("missing-file", "src/c.md", 1, 1),
        ("unreadable", "src/d.md", 1, 1),
        ("duplicate-guide", "src/index.md", 1, 1),
    ];
    assert_eq!(found, expected);
    assert!(
        loaded
            .diagnostics
            .iter()
            .all(|finding| finding.hint.is_some())
    );
    assert_eq!(
        loaded
            .book
            .guides
            .iter()
            .map(|guide| guide.id.as_str())
            .collect::<Vec<_>>(),
        ["a", "index"]
    );
    assert_eq!(
        opened.load_guide("a", "lab").unwrap().book.guides[0]
            .steps
            .len(),
        1
    );
    let chapters = opened.chapters().unwrap();
    assert_eq!(chapters[1], ("sub/b".to_owned(), "src/sub/b.md".to_owned()));
}

#[test]
fn an_inventory_that_is_named_must_be_there() {
    let dir = book(&[
        (
            "book.toml",
            b"[preprocessor.runbook]\ninventory = \"lab.yaml\"\n",
        ),
        ("src/SUMMARY.md", b"- [A](a.md)\n"),
        ("src/a.md", b"# A\n"),
    ]);
    let loaded = BookDir::open(dir.path())
        .unwrap()
        .load("lab", &Vars::new())
        .unwrap();
    let found: Vec<_> = loaded
        .diagnostics
        .iter()
        .map(|d| (d.rule, d.file.as_str()))
        .collect();
    assert_eq!(found, [("missing-file", "lab.yaml")]);
    fs::write(dir.path().join("book.toml"), "").unwrap();
    let loaded = BookDir::open(dir.path())
        .unwrap()
        .load("lab", &Vars::new())
        .unwrap();
    assert_eq!(loaded.diagnostics, []);
}

#[test]
fn chapters_below_another_folder_are_found() {
    let files: &[(&str, &[u8])] = &[
        ("book.toml", b"[book]\nsrc = \".\"\n"),
        ("SUMMARY.md", b"- [A](x/a.md)\n"),
        ("x/a.md", b"# A\n"),
    ];
    let opened = BookDir::open(book(files).path());
    assert_eq!(opened.unwrap().src(), ".");
    let dir = book(files);
    let chapters = BookDir::open(dir.path()).unwrap().chapters().unwrap();
    assert_eq!(chapters, [("x/a".to_owned(), "x/a.md".to_owned())]);
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
    assert_eq!(opened.read("../../secret"), Err(FileError::Outside));
    let absolute = dir.path().join("secret");
    assert_eq!(
        opened.read(absolute.to_str().unwrap()),
        Err(FileError::Outside)
    );
    assert_eq!(opened.read("../nothing"), Err(FileError::Missing));
    assert_eq!(opened.read("book.toml/x"), Err(FileError::Missing));
    assert!(matches!(opened.read(".."), Err(FileError::Unreadable(_))));
}

#[test]
fn the_files_below_a_directory_are_listed_and_none_outside_of_the_repository() {
    let dir = book(&[
        ("repo/.git/HEAD", b""),
        ("repo/book/book.toml", b""),
        ("repo/apps/b.yaml", b""),
        ("repo/apps/a/.git/x", b""),
        ("repo/apps/a/a.yaml", b""),
        ("other/x", b""),
    ]);
    let opened = BookDir::open(&dir.path().join("repo/book")).unwrap();
    assert_eq!(
        opened.below("../apps").unwrap(),
        ["../apps/a/a.yaml", "../apps/b.yaml"]
    );
    assert_eq!(opened.read("../apps/a/a.yaml").unwrap(), b"");
    assert_eq!(opened.below("../../other"), Err(FileError::Outside));
    assert_eq!(opened.below("../nothing"), Err(FileError::Missing));
    assert_eq!(opened.below("../apps/b.yaml"), Err(FileError::Missing));
}

#[cfg(unix)]
#[test]
fn links_do_not_lead_out_of_the_repository() {
    let dir = book(&[
        ("repo/.git/HEAD", b""),
        ("repo/book.toml", b""),
        ("repo/a", b"a"),
        ("secret", b"s"),
        ("folder/x", b"x"),
    ]);
    let repo = dir.path().join("repo");
    std::os::unix::fs::symlink(dir.path().join("secret"), repo.join("out")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("folder"), repo.join("folder")).unwrap();
    std::os::unix::fs::symlink("a", repo.join("in")).unwrap();
    let opened = BookDir::open(&repo).unwrap();
    assert_eq!(opened.read("out"), Err(FileError::Outside));
    assert_eq!(opened.read("folder/x"), Err(FileError::Outside));
    assert_eq!(opened.read("in").unwrap(), b"a");
}

#[cfg(target_os = "linux")]
#[test]
fn devices_and_endless_files_are_refused() {
    let error = text::bytes(Path::new("/dev/zero")).unwrap_err();
    assert_eq!(error.to_string(), "it is not a regular file");
    let dir = book(&[("x", b"")]);
    let large = dir.path().join("large");
    fs::File::create(&large)
        .unwrap()
        .set_len(FILE_BYTES_MAX + 1)
        .unwrap();
    assert_eq!(
        text::bytes(&large).unwrap_err().to_string(),
        "it is larger than 16 MiB"
    );
}
