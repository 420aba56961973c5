use std::fmt::Write as _;

use proptest::prelude::*;

use super::{Chapter, FenceKind, scan};
use crate::model::Language;
use crate::outcome::Effect;
use crate::source::Source;

fn read(text: &str) -> (Source, Chapter) {
    let source = Source::new("src/a.md", text);
    let chapter = scan(&source);
    (source, chapter)
}

/// The problems as `rule line:column`.
fn problems(text: &str) -> Vec<String> {
    let (_, chapter) = read(text);
    chapter
        .problems
        .iter()
        .map(|p| format!("{} {}:{}", p.rule, p.line, p.column))
        .collect()
}

fn ids(text: &str) -> Vec<String> {
    read(text)
        .1
        .headings
        .into_iter()
        .map(|heading| heading.id)
        .collect()
}

/// The bodies of the fences of a chapter that has no problems.
fn bodies(text: &str) -> Vec<String> {
    let (source, chapter) = read(text);
    assert_eq!(chapter.problems, [], "{text}");
    for fence in &chapter.fences {
        let whole = source.slice(fence.span);
        assert!(
            whole.starts_with(['`', '~']) && whole.ends_with(['`', '~']),
            "{whole:?}"
        );
        assert_eq!(source.slice(fence.info_span), fence.info);
        // Every line of the body stands in the chapter where its map says.
        let mut offset = 0;
        for line in fence.body.text().lines() {
            let span = fence.body.span(offset, offset + line.len());
            assert_eq!(source.slice(span), line);
            offset += line.len() + 1;
        }
    }
    chapter
        .fences
        .iter()
        .map(|fence| fence.body.text().to_owned())
        .collect()
}

#[test]
fn fences_are_steps_wherever_markdown_has_them() {
    for (text, expected) in [
        ("```bash runbook\na\n```\n", "a\n"),
        ("```bash runbook\na\n```", "a\n"),
        ("```bash runbook\r\na\r\n\r\nb\r\n```\r\n", "a\n\nb\n"),
        ("~~~~sh runbook\n```\n~~~\n~~~~\n", "```\n~~~\n"),
        ("`````bash runbook\n````\na\n``````\n", "````\na\n"),
        (
            "1. one\n\n   ```bash runbook\n   a\n     b\n   ```\n",
            "a\n  b\n",
        ),
        (
            "- a\n  - b\n\n    ```bash runbook\n    a\n\n    b\n    ```\n",
            "a\n\nb\n",
        ),
        ("> ```bash runbook\n> a\n> b\n> ```\n", "a\nb\n"),
        ("> 1. x\n>\n>    ```bash runbook\n>    a\n>    ```\n", "a\n"),
        (
            "1. one\r\n\r\n   ```bash runbook\r\n   a\r\n   ```\r\n",
            "a\n",
        ),
        ("- ```bash runbook\n  a\n  ```\n", "a\n"),
        ("  ```bash runbook\n  a\n    b\n  ```\n", "a\n  b\n"),
        (
            "- a\n  > - ~~~~ sh runbook\n  >   a\n  >     b\n  >   ~~~~\n",
            "a\n  b\n",
        ),
        ("text\n```bash   runbook  \na\n```\ntext\n", "a\n"),
        (
            "<details>\n\n```bash runbook\na\n```\n\n</details>\n",
            "a\n",
        ),
        ("```bash runbook\n```\n", ""),
        ("> ```bash runbook\n> ```\n", ""),
        ("> [!NOTE]\n> ```bash runbook\n> a\n> ```\n", "a\n"),
    ] {
        assert_eq!(bodies(text), [expected], "{text}");
    }
}

#[test]
fn fences_that_only_show_markdown_are_no_steps() {
    for text in [
        "````markdown\n```bash runbook\na\n```\n````\n",
        "~~~\n```bash runbook\na\n```\n~~~\n",
        "    ```bash runbook\n    a\n    ```\n",
        "<!--\n```bash runbook\na\n```\n-->\n",
        "<pre>\n```bash runbook\na\n```\n</pre>\n",
        "```bash\na\n```\n",
        "`` ```bash runbook ``\n",
    ] {
        assert_eq!(bodies(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn unclosed_fences_are_errors_at_their_first_line() {
    for (text, place) in [
        ("a\n\n```bash runbook\na\n", "3:1"),
        ("```bash runbook", "1:1"),
        ("> ```bash runbook\n> a\n\ntext\n", "1:3"),
        (
            "- x\n\n  ```bash runbook\n  a\n\ntext\n\n```\nx\n```\n",
            "3:3",
        ),
        ("```bash runbook\na\n~~~\n", "1:1"),
        ("````bash runbook\na\n```\n", "1:1"),
        (
            "```bash runbook\na\n\n## Next\n\n```bash runbook\nb\n```\n",
            "1:1",
        ),
        ("```bash runbook\na\n\n## Next\n\n```json\nb\n```\n", "1:1"),
        ("```bash\na\n\n## Next\n\n```bash runbook\nb\n```\n", "1:1"),
        ("```mermaid\ngraph TD\n", "1:1"),
    ] {
        assert_eq!(
            problems(text),
            [format!("unclosed-fence {place}")],
            "{text}"
        );
    }
    assert_eq!(problems("```bash\na\n"), Vec::<String>::new());
}

#[test]
fn steps_that_html_would_swallow_are_errors() {
    assert_eq!(
        problems("<details>\n```bash runbook\na\n```\n</details>\n"),
        ["fence-in-html 2:1"]
    );
    assert_eq!(
        problems("<!-- x\n\n```bash runbook\na\n```\n"),
        ["unclosed-comment 1:1"]
    );
    assert_eq!(
        problems("a[^1]\n\n[^1]: x\n\n    ```bash runbook\n    a\n    ```\n"),
        ["fence-in-footnote 3:1"]
    );
}

#[test]
fn info_strings_say_what_a_fence_is() {
    use FenceKind::{Native, Typed};
    let kind = |info: &str, body: &str| {
        let (_, chapter) = read(&format!("```{info}\n{body}```\n"));
        assert_eq!(chapter.problems, [], "{info}");
        match chapter.fences[0].kind {
            Typed { effect } => (None, effect.map(|(effect, _)| effect)),
            Native { language, effect } => (Some(language), effect.map(|(effect, _)| effect)),
        }
    };
    assert_eq!(kind("runbook", "id: a\n"), (None, None));
    assert_eq!(
        kind("runbook destroy", "id: a\n"),
        (None, Some(Effect::Destroy))
    );
    assert_eq!(kind("bash runbook", ""), (Some(Language::Bash), None));
    assert_eq!(
        kind("sh runbook read", ""),
        (Some(Language::Sh), Some(Effect::Read))
    );
    assert_eq!(
        kind(" python runbook change", ""),
        (Some(Language::Python), Some(Effect::Change))
    );
    assert_eq!(
        kind("yaml runbook", "#| id: a\nb: c\n"),
        (Some(Language::Yaml), None)
    );
    assert_eq!(
        kind("yaml runbook read", "id: a\n"),
        (None, Some(Effect::Read))
    );
}

#[test]
fn wrong_info_strings_are_errors_at_the_word() {
    for (info, place, hint) in [
        ("rust runbook", "1:4", "the languages are"),
        ("shell runbook", "1:4", "did you mean `sh runbook`"),
        ("pyton runbook", "1:4", "did you mean `python runbook`"),
        ("bash runbook raed", "1:17", "did you mean `read`"),
        ("bash runbook read change", "1:22", "remove `change`"),
        ("bash runbook title=x", "1:17", "only an effect"),
        (
            "runbook bash",
            "1:12",
            "write the language first: `bash runbook`",
        ),
        ("bash,runbook", "1:4", "write `bash runbook`"),
        ("{bash runbook}", "1:4", "write `bash runbook`"),
        ("{.bash .runbook}", "1:4", "write `bash runbook`"),
        ("bash read runbook", "1:4", "write `bash runbook read`"),
        ("bash Runbook", "1:4", "write `bash runbook`"),
    ] {
        let (_, chapter) = read(&format!("```{info}\na\n```\n"));
        assert_eq!(
            problems(&format!("```{info}\na\n```\n")),
            [format!("fence-info {place}")],
            "{info}"
        );
        let found = chapter.problems[0].hint.as_deref().unwrap_or("");
        assert!(found.contains(hint), "{info}: {found}");
    }
    assert_eq!(problems("```bash runbok\na\n```\n"), ["misspelt-fence 1:4"]);
}

#[test]
fn options_are_the_unbroken_run_at_the_top() {
    let (source, chapter) =
        read("- x\n\n  ```bash runbook\n  #| id: a\n  #|title: b\n  #|\n  #|   c\n  echo\n  ```\n");
    let fence = &chapter.fences[0];
    let options = fence.options.as_ref().unwrap();
    assert_eq!(options.text(), "id: a\ntitle: b\n\n  c\n");
    assert_eq!(fence.body.text(), "echo\n");
    assert_eq!(source.slice(options.span(4, 5)), "a");
    assert_eq!(source.slice(options.span(6, 11)), "title");
    assert_eq!(source.slice(fence.body.span(0, 4)), "echo");
    assert_eq!(fence.prefix, "  ");
    assert_eq!((fence.line, chapter.problems.len()), (3, 0));
}

#[test]
fn options_elsewhere_and_in_other_comments_are_errors() {
    for (text, expected) in [
        (
            "```bash runbook\n#| id: a\necho\n#| on: b\n```\n",
            "option-place 4:1",
        ),
        (
            "```bash runbook\n#!/bin/bash\n#| id: a\n```\n",
            "option-place 3:1",
        ),
        ("```bash runbook\n  #| id: a\n```\n", "option-place 2:1"),
        ("```bash runbook\n//| id: a\n```\n", "option-comment 2:1"),
        ("```python runbook\n--| id: a\n```\n", "option-comment 2:1"),
        ("```runbook\n#| id: a\n```\n", "fence-info 1:4"),
        ("```runbook\nid: a\n#| on: b\n```\n", "option-place 3:1"),
    ] {
        assert_eq!(problems(text), [expected], "{text}");
    }
    assert_eq!(
        bodies("```bash runbook\n#| id: a\ncat <<E\n  #| b\nE\n```\n").len(),
        1
    );
}

#[test]
fn mermaid_fences_stand_apart() {
    let (_, chapter) = read(
        "# A\n\n```mermaid\ngraph TD\n```\n\n> ```{mermaid}\n> graph LR\n> ```\n\n```mermaids\n```\n",
    );
    let bodies: Vec<_> = chapter
        .diagrams
        .iter()
        .map(|d| (d.body.text(), &*d.prefix, d.heading, d.line))
        .collect();
    assert_eq!(
        bodies,
        [
            ("graph TD\n", "", Some(0), 3),
            ("graph LR\n", "> ", Some(0), 7)
        ]
    );
    assert_eq!(chapter.fences, []);
}

#[test]
fn heading_ids_are_mdbooks() {
    assert_eq!(
        ids(
            "# Über `x-y` & _z_!\n## A\n## A\n## A-1\n\nB\n---\n\n# C {#c-d .x}\n# c-d\n# c-d\n# [L](x) ![alt](y)\n# 🐙\n# 🐙\n"
        ),
        [
            "über-x-y--z",
            "a",
            "a-1",
            "a-1-1",
            "b",
            "c-d",
            "c-d",
            "c-d-1",
            "l",
            "",
            "-1"
        ]
    );
}

#[test]
fn headings_that_cannot_be_addressed_are_errors_where_steps_stand() {
    let step = "```bash runbook\n#| id: a\na\n```\n";
    assert_eq!(problems(&format!("# 🐙\n\n{step}")), ["heading-id 1:1"]);
    assert_eq!(
        problems(&format!("# A {{#a/b}}\n\n{step}")),
        ["heading-id 1:1"]
    );
    assert_eq!(
        problems(&format!("# A {{#b}}\n# B\n\n{step}")),
        ["duplicate-heading-id 2:1"]
    );
    assert_eq!(
        problems(&format!("# A {{#b}}\n# B\n# C\n{step}")),
        Vec::<String>::new()
    );
    assert_eq!(problems("# A {#b}\n# B\n# 🐙\n"), Vec::<String>::new());
}

#[test]
fn sections_end_at_the_next_heading_of_their_level_or_above() {
    let (source, chapter) = read("# A\n\na\n\n### B\n\nb\n\n## C\n\n## D\n\n# E\n");
    let sections: Vec<_> = chapter
        .headings
        .iter()
        .map(|h| {
            (
                &*h.id,
                h.parent,
                source.slice(h.span).lines().last().unwrap_or(""),
            )
        })
        .collect();
    let expected = [
        ("a", None, ""),
        ("b", Some(0), ""),
        ("c", Some(0), ""),
        ("d", Some(0), ""),
        ("e", None, "# E"),
    ];
    assert_eq!(sections, expected);
    assert_eq!(source.slice(chapter.headings[1].span), "### B\n\nb\n\n");
    assert!(source.slice(chapter.headings[0].span).ends_with("## D\n\n"));
}

#[test]
fn front_matter_is_a_map_at_the_very_top() {
    let front = |text: &str| {
        let (source, chapter) = read(text);
        chapter.front.map(|front| {
            (
                front.yaml.text().to_owned(),
                source.text()[front.span.end..].to_owned(),
            )
        })
    };
    let some = |yaml: &str, rest: &str| Some((yaml.to_owned(), rest.to_owned()));
    assert_eq!(
        front("---\ntitle: a\n---\n# B\n"),
        some("title: a\n", "# B\n")
    );
    assert_eq!(
        front("---\r\ntitle: a\r\n...\r\n# B\r\n"),
        some("title: a\n", "# B\r\n")
    );
    assert_eq!(
        front("\u{feff}---\n# x\n\ntitle:\n  b\n---\n"),
        some("# x\n\ntitle:\n  b\n", "")
    );
    assert_eq!(front("---\n---\n# B\n"), some("", "# B\n"));
    for text in [
        "\n---\na: b\n---\n",
        "---\n\na: b\n\n---\n",
        "---\nsome text\n---\n",
        "--- \nhttps://x\n---\n",
        "----\na: b\n---\n",
        "---",
    ] {
        assert_eq!(front(text), None, "{text}");
    }
    assert_eq!(
        problems("---\ntitle: a\n\n# B\n"),
        ["unclosed-front-matter 1:1"]
    );
}

#[test]
fn headings_and_fences_in_the_front_matter_are_none() {
    let (source, chapter) =
        read("---\ntitle: a\n# no heading\n---\n\n# Heading\n\n```bash runbook\na\n```\n");
    assert_eq!(chapter.headings.len(), 1);
    assert_eq!(
        source.slice(chapter.headings[0].heading_span),
        "# Heading\n"
    );
    assert_eq!(
        (chapter.fences[0].line, chapter.fences[0].heading),
        (8, Some(0))
    );
    assert!(source.slice(chapter.fences[0].span).starts_with("```bash"));
}

#[test]
fn a_thousand_chapters_of_twenty_steps_are_read_in_well_under_a_second() {
    let mut text = String::from("---\ntitle: a\n---\n\n# A\n\n");
    for number in 0..20 {
        let _ = write!(
            text,
            "## Step {number}\n\nSome *prose* about `it`.\n\n```bash runbook\n#| id: s{number}\necho {number}\n```\n\n"
        );
    }
    let source = Source::new("src/a.md", text);
    let started = std::time::Instant::now();
    let fences: usize = (0..1000).map(|_| scan(&source).fences.len()).sum();
    assert_eq!(fences, 20_000);
    // A debug build is about ten times slower than the one that counts.
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

/// Pieces from which chapters with many odd structures are made.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("```bash runbook\n".to_owned()),
        Just("```\n".to_owned()),
        Just("~~~yaml runbook read\n".to_owned()),
        Just("````\n".to_owned()),
        Just("#| id: a\n".to_owned()),
        Just("---\n".to_owned()),
        Just("title: é\n".to_owned()),
        Just("# Ä {#x}\n".to_owned()),
        Just("<!-- ".to_owned()),
        Just("-->\n".to_owned()),
        Just("<div>\n".to_owned()),
        Just("[^1]: x\n".to_owned()),
        Just("[^1]".to_owned()),
        Just(": y\n".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("> ".to_owned()),
        Just("1. ".to_owned()),
        Just("\t".to_owned()),
        Just("   ".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("\0".to_owned()),
        "\\PC{0,6}",
    ]
}

proptest! {
    #[test]
    fn no_text_makes_the_scan_panic(pieces in proptest::collection::vec(piece(), 0..40)) {
        let text = pieces.concat();
        let (source, chapter) = read(&text);
        let mut end = 0;
        for fence in &chapter.fences {
            prop_assert!(end <= fence.span.start && fence.span.end <= text.len());
            prop_assert!(source.text().get(fence.span.start..fence.span.end).is_some());
            end = fence.span.end;
            let body = fence.body.text();
            prop_assert!(fence.body.offset(body.len()) <= text.len() + 3);
        }
        for pair in chapter.headings.windows(2) {
            prop_assert!(pair[0].span.start < pair[1].span.start);
        }
        if let Some(front) = chapter.front {
            prop_assert!(front.span.end <= text.len());
        }
    }
}
