//! What counts as a fence, what its parts are, and where they stand.

use super::*;
use crate::model::Language;
use crate::outcome::Effect;

fn scan_text(text: &str) -> Chapter {
    scan(&Source::new("src/a.md", text))
}

fn bodies(text: &str) -> Vec<String> {
    scan_text(text)
        .fences
        .iter()
        .map(|fence| fence.body.text().to_owned())
        .collect()
}

fn problem(text: &str) -> (String, u32, u32, String, Option<String>) {
    let chapter = scan_text(text);
    let problem = chapter
        .problems
        .first()
        .unwrap_or_else(|| panic!("no problem in {text:?}"));
    (
        problem.rule.to_owned(),
        problem.line,
        problem.column,
        problem.message.clone(),
        problem.hint.clone(),
    )
}

#[test]
fn a_native_fence_has_options_and_a_body() {
    let text = "# T\n\n```bash runbook read\n#| id: a\n#|   more: b\necho 1\n\necho 2\n```\n";
    let chapter = scan_text(text);
    let fence = &chapter.fences[0];
    assert_eq!(
        fence.kind,
        FenceKind::Native {
            language: Language::Bash,
            effect: Some(Effect::Read)
        }
    );
    assert_eq!(fence.options.as_ref().unwrap().text(), "id: a\n  more: b\n");
    assert_eq!(fence.body.text(), "echo 1\n\necho 2\n");
    assert_eq!(
        (fence.line, fence.heading, fence.closed),
        (3, Some(0), true)
    );
    assert_eq!(&text[fence.body.span(0, 4).start..][..6], "echo 1");
    assert_eq!(
        &text[fence.options.as_ref().unwrap().span(0, 5).start..][..5],
        "id: a"
    );
    assert_eq!(
        &text[fence.span.start..fence.span.end].lines().last(),
        &Some("```")
    );
}

#[test]
fn fences_in_lists_and_quotes_count_and_lose_their_prefix() {
    assert_eq!(
        bodies(
            "# T\n\n1. One\n\n   ```bash runbook\n   #| id: a\n   if x; then\n     y\n   fi\n   ```\n"
        ),
        ["if x; then\n  y\nfi\n"]
    );
    assert_eq!(
        bodies("# T\n\n> ```sh runbook\n> #| id: a\n> echo 1\n>\n> echo 2\n> ```\n"),
        ["echo 1\n\necho 2\n"]
    );
    assert_eq!(
        bodies("# T\n\n- a\n  > - ~~~~ sh runbook\n  >   #| id: a\n  >   x\n  >   ~~~~\n"),
        ["x\n"]
    );
    assert_eq!(
        bodies("# T\n\n- ```sh runbook\n  #| id: a\n  x\n  ```\n"),
        ["x\n"]
    );
}

#[test]
fn tildes_longer_fences_and_crlf_are_fences_too() {
    assert_eq!(
        bodies("# T\n~~~~bash runbook\n#| id: a\n~~~\nx\n~~~~\n"),
        ["~~~\nx\n"]
    );
    assert_eq!(
        bodies("# T\r\n\r\n```bash runbook\r\n#| id: a\r\nx\r\n```\r\n"),
        ["x\r\n"]
    );
}

#[test]
fn fences_that_only_show_markdown_are_not_steps() {
    for text in [
        "````markdown\n```bash runbook\n#| id: a\nx\n```\n````\n",
        "<!--\n```bash runbook\nx\n```\n-->\n",
        "    ```bash runbook\n    x\n    ```\n",
        "```bash\necho runbook\n```\n",
        "`` ```bash runbook ``\n",
    ] {
        let chapter = scan_text(text);
        assert!(
            chapter.fences.is_empty() && chapter.problems.is_empty(),
            "{text:?}: {chapter:?}"
        );
    }
}

#[test]
fn an_unclosed_fence_is_an_error_wherever_its_container_ends() {
    for text in [
        "# T\n\n```bash runbook\n#| id: a\nx\n",
        "# T\n\n- ```bash runbook\n  #| id: a\n  x\n\nprose\n",
        "# T\n\n> ```bash runbook\n> x\n\nprose\n",
        "# T\n\n````bash runbook\nx\n```\n\nprose\n",
    ] {
        assert_eq!(problem(text).0, "unclosed-fence", "{text:?}");
    }
}

#[test]
fn info_strings_are_read_exactly() {
    for (info, rule, column, hint) in [
        ("bsh runbook", "unknown-language", 4, "did you mean `bash`?"),
        (
            "ruby runbook",
            "unknown-language",
            4,
            "a step is written in",
        ),
        (
            "bash runbook raed",
            "info-string",
            17,
            "did you mean `read`?",
        ),
        (
            "bash runbook read read",
            "info-string",
            17,
            "at most one effect",
        ),
        ("bash read runbook", "info-string", 4, "LANGUAGE runbook"),
        ("runbook please", "info-string", 12, "an effect is"),
    ] {
        let (found, line, at, _, why) = problem(&format!("# T\n\n```{info}\n#| id: a\nx\n```\n"));
        assert_eq!((found.as_str(), line), (rule, 3), "{info}");
        assert!(why.unwrap().contains(hint), "{info}");
        // `read read`: the first of equal words is marked.
        assert_eq!(at, column, "{info}");
    }
}

#[test]
fn options_stand_at_the_top_and_begin_with_a_hash() {
    assert_eq!(
        problem("# T\n\n```bash runbook\n#| id: a\nx\n#| late: b\n```\n").0,
        "late-option"
    );
    let (rule, line, column, ..) = problem("# T\n\n```bash runbook\n//| id: a\nx\n```\n");
    assert_eq!((rule.as_str(), line, column), ("option-marker", 4, 1));
}

#[test]
fn front_matter_stands_at_the_very_top() {
    let chapter = scan_text("---\ntitle: A\n---\n# T\n\n```sh runbook\n#| id: a\nx\n```\n");
    assert_eq!(chapter.front.as_ref().unwrap().yaml.text(), "title: A\n");
    assert_eq!(chapter.fences[0].line, 6);
    assert_eq!(chapter.headings[0].id, "t");
    assert!(scan_text("\n---\ntitle: A\n---\n").front.is_none());
    assert!(scan_text("---\n\nA rule and prose.\n").front.is_none());
    assert_eq!(problem("---\ntitle: A\n# T\n").0, "unclosed-front-matter");
}

#[test]
fn sections_know_what_they_hold() {
    let text = "# A\n\n## B\n\n### C\n\n## B\n\n## D {#own .x}\n\n## own\n";
    let headings = scan_text(text).headings;
    let ids: Vec<_> = headings
        .iter()
        .map(|h| (h.id.as_str(), h.level, h.parent))
        .collect();
    assert_eq!(
        ids,
        [
            ("a", 1, None),
            ("b", 2, Some(0)),
            ("c", 3, Some(1)),
            ("b-1", 2, Some(0)),
            ("own", 2, Some(0)),
            ("own", 2, Some(0))
        ]
    );
    assert_eq!(
        &text[headings[1].span.start..headings[1].span.end],
        "## B\n\n### C\n\n"
    );
}

#[test]
fn diagrams_are_listed_in_both_forms() {
    let chapter =
        scan_text("```mermaid\nflowchart LR\n```\n\n```{mermaid}\n:name: x\nflowchart LR\n```\n");
    assert_eq!(chapter.diagrams.len(), 2);
    assert_eq!(chapter.diagrams[1].body.text(), ":name: x\nflowchart LR\n");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_scan_panic(text in "[ -~\n\r\tä`~>#|-]{0,200}") {
        let _ = scan_text(&text);
    }

    #[test]
    fn no_pile_of_markers_makes_the_scan_panic(lines in proptest::collection::vec("( {0,5}|> |- |1\\. )?(```|~~~~)?( ?(bash|runbook|read|yaml)){0,3}", 0..12)) {
        let _ = scan_text(&lines.join("\n"));
    }
}
