//! What is not ours comes out byte for byte as plain mdBook renders it.

use super::support::{BookTest, without};

/// Chapters as people write them, with everything that Markdown has and nothing of ours.
const CORPUS: &[(&str, &str)] = &[
    ("empty.md", ""),
    (
        "plain.md",
        "# Title\n\nA paragraph with *emphasis*, `code` and a [link](other.md#x).\n",
    ),
    (
        "no-title.md",
        "Text without a title.\n\n## Later\n\nMore.\n",
    ),
    ("setext.md", "Title\n=====\n\nSection\n-------\n\ntext\n"),
    (
        "lists.md",
        "# Lists\n\n- tight\n- list\n  - nested\n\n1. loose\n\n2. list\n\n   with a paragraph\n\n- [ ] task\n- [x] done\n",
    ),
    (
        "fences.md",
        "# F\n\n```bash\necho {{ not.ours }}\n```\n\n~~~python\nprint(1)\n~~~\n\n```rust,editable\nfn main() {}\n```\n\n    indented\n",
    ),
    (
        "shown.md",
        "# Shown\n\n````markdown\n```bash runbook\n#| id: not-a-step\necho\n```\n````\n",
    ),
    (
        "html.md",
        "# H\n\n<div class=\"x\">\n\n*inside*\n\n</div>\n\n<!-- a\n\ncomment -->\n\n<details><summary>s</summary>\n\nbody\n\n</details>\n",
    ),
    ("table.md", "# T\n\n| a | b |\n|---|:-:|\n| 1 | `x\\|y` |\n"),
    (
        "notes.md",
        "# N\n\nA note[^1].\n\n[^1]: The note.\n\n> [!NOTE]\n> An admonition.\n\nTerm\n: Definition\n",
    ),
    ("rules.md", "# R\n\n---\n\ntext\n\n***\n"),
    ("crlf.md", "# C\r\n\r\ntext\r\n\r\n- a\r\n- b\r\n"),
    (
        "unicode.md",
        "# Überschrift – 日本語\n\n\u{201c}quotes\u{201d} … -- --- 'x'\n",
    ),
    (
        "include.md",
        "# I\n\n{{#include files/part.txt}}\n\n\\{{#include not}}\n",
    ),
    ("nested/README.md", "# Nested\n\n[up](../plain.md)\n"),
];

fn corpus(book: BookTest) -> BookTest {
    let book = book.file("src/files/part.txt", "an *included* part\n");
    CORPUS
        .iter()
        .fold(book, |book, (path, text)| book.chapter(path, text))
}

#[test]
fn a_book_without_steps_is_as_mdbook_makes_it() {
    let book = corpus(BookTest::new());
    let (plain, built, external) = (book.plain(), book.built(), book.external());
    for (path, _) in CORPUS {
        let page = path
            .replace("README.md", "index.md")
            .replace(".md", ".html");
        assert_eq!(built.text(&page), plain.text(&page), "{page}");
        assert_eq!(external.text(&page), plain.text(&page), "{page}");
    }
    assert!(!built.has("status.html"));
}

#[test]
fn chapters_without_steps_in_a_book_with_steps_are_as_mdbook_makes_them() {
    let step = "# S\n\n## Run\n\n```bash runbook read\n#| id: one\necho one\n```\n";
    let book = corpus(BookTest::new()).chapter("steps.md", step);
    let (plain, built) = (book.plain(), book.built());
    for (path, _) in CORPUS {
        let page = path
            .replace("README.md", "index.md")
            .replace(".md", ".html");
        assert_eq!(built.main(&page), plain.main(&page), "{page}");
    }
    assert!(built.has("status.html"));
}

#[test]
fn around_the_cards_of_a_chapter_nothing_changes() {
    let chapter = "# Steps everywhere\nA paragraph right below the title:\n```bash runbook read\n#| id: close\necho close\n```\nand right after it.\n\n\
## Lists\n\n- tight\n  ```bash runbook read\n  #| id: in-list\n  echo 1\n\n  echo 2\n  ```\n- still tight\n\n1. loose\n\n   ~~~~sh runbook\n   #| id: deep\n   echo deep\n   ~~~~\n\n2. end\n\n\
- ```bash runbook read\n  #| id: first\n  echo first\n  ```\n- second\n\n\
> quoted\n> ```bash runbook read\n> #| id: quoted\n> echo q\n>\n> echo r\n> ```\n> more\n\n> - both\n>\n>   ```yaml runbook\n>   id: both\n>   file: {path: /tmp/x, content: y}\n>   ```\n\nThe end.\n";
    let book = BookTest::new().chapter("steps.md", chapter);
    let (plain, built) = (book.plain(), book.built());
    let ours = without(
        &built.main("steps.html"),
        "<!----><section class=\"rb-step\"",
        "section",
    );
    // The head and what it carries are one line each below the title.
    let ours = without(&ours, "<div class=\"rb-head\"", "div");
    let ours: String = ours
        .lines()
        .filter(|line| {
            !line.contains("<link rel=\"stylesheet\"") && !matches!(line.trim(), "<!---->" | "@")
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let mut theirs = plain.main("steps.html");
    for id in ["close", "in-list", "deep", "first", "quoted", "both"] {
        let at = theirs.find(&format!("id: {id}")).unwrap();
        let from = theirs[..at].rfind("<pre>").unwrap();
        let to = at + theirs[at..].find("</pre>").unwrap() + "</pre>".len();
        theirs.replace_range(from..to, "@");
    }
    let squeezed = |text: &str| text.replace("<!---->", "").replace(['@', '\n'], "");
    assert_eq!(squeezed(&ours), squeezed(&theirs));
    assert_eq!(
        built.main("steps.html").matches("data-runbook-id=").count(),
        6
    );
}
